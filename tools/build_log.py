"""Reads the log of a build: no compiler was told to take liberties with arithmetic, and contraction was off everywhere.

    python tools/build_log.py LOG

The log is what `pip wheel -v` or `python setup.py build_ext` prints. What setup.py means to say is one thing; what the
compiler is told also depends on CFLAGS, and on the flags with which Python itself was built.
"""

import re
import sys
from pathlib import Path

FORBIDDEN = [
    "-ffast-math",
    "-Ofast",
    "-funsafe-math-optimizations",
    "-fassociative-math",
    "-freciprocal-math",
    "-ffinite-math-only",
    "-fno-signed-zeros",
    "-fcx-limited-range",
    "-fcx-fortran-rules",
    "-mdaz-ftz",
    "-mrecip",
    "-ffp-model=fast",
    "-ffp-model=aggressive",
    "-ffp-contract=fast",
    "-ffp-contract=on",
    "/fp:fast",
    "-fp:fast",
]
NO_CONTRACTION = "-ffp-contract=off"
# A command that compiles a file of the core; clang-cl takes options of clang behind /clang:.
OF_CORE = re.compile(r"\bcore[/\\](\w+)\.c\b")
COMPILES = re.compile(r"(?:^|\s)[-/]c\s")


def words_of(command):
    return [word.removeprefix("/clang:").strip("'\"") for word in command.split()]


def is_forbidden(word):
    """-mrecip may have a value; the others are as they are."""
    return word in FORBIDDEN or word.startswith("-mrecip=")


def faults_of(log, wanted):
    """What is wrong with the commands in a log, as sentences. Each of the `wanted` files of the core must be compiled."""
    compiled, faults = set(), []
    for command in log.splitlines():
        words = words_of(command)
        faults += [f"{word} in: {command.strip()}" for word in words if is_forbidden(word)]
        if not COMPILES.search(command):
            continue
        names = OF_CORE.findall(command)
        compiled |= set(names)
        if names and NO_CONTRACTION not in words:
            faults.append(f"no {NO_CONTRACTION} in: {command.strip()}")
    return faults + [f"no command compiles {name}.c" for name in sorted(set(wanted) - compiled)]


def files_of_core():
    core = Path(__file__).resolve().parents[1] / "src" / "klfast" / "core"
    return [path.stem for path in core.glob("*.c")]


def check(log, wanted):
    faults = faults_of(log, wanted)
    if faults:
        sys.exit("\n".join(["the build log is not as it should be:", *faults]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check(Path(sys.argv[1]).read_text(), files_of_core())
