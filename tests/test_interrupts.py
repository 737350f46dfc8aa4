"""A signal (Ctrl-C) whose handler raises ends a call of many threads with that exception alone: it never hangs or lies."""

import signal
import threading

import pytest
from fresh_process import python

from klfast._side_by_side import side_by_side

# The alarm comes anywhere within a call, or just after it. Each piece of work is so small that the threads mostly start, end
# and wait for each other: with a pool of the standard library in its place this hung within a few hundred calls.
INTERRUPTED_CALLS = """
import collections, faulthandler, random, signal, sys, time
import numpy as np
import klfast
from klfast.logits import _rows
faulthandler.dump_traceback_later(45, exit=True)
class Interrupted(Exception):
    pass
def interrupt(number, frame):
    raise Interrupted
def work():
    return klfast.logits.compare_rows(x, -x, n_threads=4)
_rows.SLAB_BYTES = 1 << 10
x = np.random.default_rng(0).normal(size=(6, 150)).astype(np.float32)
expected = work()
start = time.perf_counter()
work()
duration = time.perf_counter() - start
signal.signal(signal.SIGALRM, interrupt)
delays, ends = random.Random(0), collections.Counter()
for _ in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, delays.uniform(1e-6, duration))
        result = work()
        signal.setitimer(signal.ITIMER_REAL, 0)
        ends["right" if np.array_equal(result, expected) else "wrong"] += 1
    except Exception as error:
        ends[type(error).__name__] += 1
assert np.array_equal(work(), expected)
print(*sorted(ends))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs Unix signals")
def test_an_interrupted_comparison_of_rows_raises_what_the_handler_raises():
    ended = python(INTERRUPTED_CALLS)
    assert (ended.stdout, ended.stderr) in (("Interrupted right\n", ""), ("Interrupted\n", ""))


@pytest.mark.parametrize("n_threads", (1, 2, 5))
def test_every_item_is_taken_once(n_threads):
    taken = []
    side_by_side(taken.append, range(1000), n_threads)
    assert sorted(taken) == list(range(1000))


@pytest.mark.parametrize("here", (True, False))
def test_an_error_of_any_thread_is_raised_and_ends_the_work_of_all(here):
    """The other thread is at work until the one that fails has failed, and no thread works when the error is raised."""
    caller, failed, began, at_work = threading.get_ident(), threading.Event(), threading.Barrier(2), []

    def work(item):
        began.wait(60)
        at_work.append(item)
        if (threading.get_ident() == caller) == here:
            failed.set()
            raise ValueError("of one item")
        assert failed.wait(60)
        at_work.remove(item)

    with pytest.raises(ValueError, match="of one item"):
        side_by_side(work, range(2), 2)
    assert len(at_work) == 1


def test_nothing_to_do_is_no_work():
    side_by_side(lambda item: pytest.fail("there is no item"), (), 3)
