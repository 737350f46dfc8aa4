"""Call klfast at any CPU level of this machine.

A level is chosen once, when klfast is imported; so for every level a helper process is kept that has imported it with
KLFAST_CPU set. Arrays travel to it and results come back as pickles, bit for bit. This way each exact value is worked out
once and all levels are held to it.
"""

import atexit
import functools
import operator
import os
import pickle
import subprocess
import sys
import threading

import klfast
from klfast import _kernels

LEVELS = tuple(_kernels.cpu_targets())
LEVELS_WITH_FMA = tuple(level for level in LEVELS if level in ("x86-64-v3", "x86-64-v4"))
# Tests may run in several threads; a helper answers one question at a time.
_asking = threading.Lock()


def call(level, function, *arrays, **keywords):
    """klfast.<function>(*arrays, **keywords) at that level; `function` may have a dot in it."""
    (result,) = call_each(level, function, [arrays], **keywords)
    return result


def call_each(level, function, calls, **keywords):
    """What `call` returns for each of several lists of arrays, which travel together: that takes longer than a small call."""
    if level == _kernels.cpu_target():
        return _results(function, calls, keywords)
    with _asking:
        process = _helper(level)
        pickle.dump((function, calls, keywords), process.stdin)
        process.stdin.flush()
        outcome = pickle.load(process.stdout)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _results(function, calls, keywords):
    function = operator.attrgetter(function)(klfast)
    return [function(*arrays, **keywords) for arrays in calls]


@functools.cache
def _helper(level):
    process = subprocess.Popen(
        [sys.executable, __file__],
        env=os.environ | {"KLFAST_CPU": level},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(process.communicate)  # closes its input, at which it ends
    started = pickle.load(process.stdout)
    assert started == level, f"KLFAST_CPU={level} gave {started}"
    return process


def _serve():
    answers = sys.stdout.buffer
    pickle.dump(_kernels.cpu_target(), answers)
    answers.flush()
    while True:
        try:
            function, calls, keywords = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            outcome = _results(function, calls, keywords)
        except Exception as error:  # it belongs to the caller: handed over and raised there
            outcome = error
        pickle.dump(outcome, answers)
        answers.flush()


if __name__ == "__main__":
    _serve()
