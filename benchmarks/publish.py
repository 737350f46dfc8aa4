"""Write what was measured into the README: its tables, its sentences with figures, and its two pictures.

    python benchmarks/publish.py                     from benchmarks/results, into README.md
    python benchmarks/publish.py --check             only say whether README.md and the pictures are up to date
    python benchmarks/publish.py --measure           measure all of it first
    python benchmarks/publish.py --measure --only "kl_divergence 10000000 "    measure some rows again
    python benchmarks/publish.py --measure --since 2026-01-31T09:30            go on with a run that began then

What stands in README.md between <!-- figures:NAME --> and <!-- /figures --> is never written by hand. Tables need Python
alone, pictures matplotlib, measuring all of the extra "bench".
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import _pictures
import _prose
import _tables
from _figures import FIGURES, SWEEP, Figures, MissingFigure
from _published import AVX2
from _store import load_report, time_now

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BLOCK = re.compile(r"(<!-- figures:([\w-]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
BLOCKS = {
    "machine": _prose.machine,
    "vectors": _tables.vectors,
    "logits": _tables.logits,
    "logit-rows": _tables.logit_rows,
    "rows": _tables.rows,
    "uses": _tables.uses,
    "cache": _prose.cache,
    "memory": _tables.memory,
    "calls": _prose.calls,
    "faster": _tables.faster_peers,
}
ROUNDS = 5
NO_SUCH_ROW = 2  # what compare.py exits with

def with_figures(text, figures):
    """The README with every block made anew. It must have every block, and no block that is unknown."""
    names = [name for _, name, _ in BLOCK.findall(text)]
    if sorted(names) != sorted(BLOCKS):
        raise MissingFigure(f"README.md has the blocks {sorted(names)} in place of {sorted(BLOCKS)}")
    return BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]](figures)}\n\n{found[3]}", text)


def stale(figures, sweep):
    """The names of what is not as the JSON says."""
    text = README.read_text()
    wanted = with_figures(text, figures)
    old = {name: found for found in BLOCK.finditer(text) for name in [found[2]]}
    names = [found[2] for found in BLOCK.finditer(wanted) if found[0] != old[found[2]][0]]
    return [f"README.md, figures:{name}" for name in names] + _pictures.stale(figures, sweep)


def run(script, *arguments, level=None, allowed=()):
    """A process of its own, as a CPU level is chosen when klfast is imported."""
    environment = os.environ | ({"KLFAST_CPU": level} if level else {})
    command = [sys.executable, str(HERE / script), *arguments]
    print("==", " ".join(command[1:]), flush=True)
    code = subprocess.run(command, env=environment).returncode
    if code not in (0, *allowed):
        raise SystemExit(f"publish.py: {script} has failed")


def measure(options):
    """All rows with all peers, those from memory alone, at the machine's level and at AVX2, and the errors.

    A run for all rows begins with none, so that no row is left of another machine.
    """
    if not options.only and not options.since:
        FIGURES.unlink(missing_ok=True)
    since = options.since or time_now()
    print(f"== should this be cut off: publish.py --measure --since {since}")
    common = ["--json", str(FIGURES), "--rounds", str(options.rounds), "--since", since]
    common += ["--only", options.only] if options.only else []
    allowed = {"allowed": (NO_SUCH_ROW,) if options.only else ()}  # the rows asked for need not be in every set
    run("compare.py", "--set", "readme", *common, **allowed)
    run("compare.py", "--set", "large", "--peers", "none", *common, **allowed)
    if Figures.load().level.startswith("x86-64") and Figures.load().level != AVX2:
        run("compare.py", "--set", "memory", "--peers", "none", *common, level=AVX2, **allowed)
    if not options.only and load_report(SWEEP).get("date", "") < since:
        run("sweep.py", "--json", str(SWEEP))


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything is out of date")
    parser.add_argument("--measure", action="store_true", help="measure first, on a machine that does nothing else")
    parser.add_argument("--since", metavar="TIME", help="measure what is not in the results from then on, as UTC")
    parser.add_argument("--only", metavar="PATTERN", help="measure the rows whose name contains it")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"samples each (default: {ROUNDS})")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_arguments(arguments)
    start = time.monotonic()
    if options.measure:
        measure(options)
        print(f"measured in {(time.monotonic() - start) / 60:.1f} minutes")
    try:
        figures, sweep = Figures.load(), load_report(SWEEP)
        if options.check:
            outdated = stale(figures, sweep)
            for name in outdated:
                print(f"{name}: out of date; python benchmarks/publish.py writes it")
            return 1 if outdated else 0
        README.write_text(with_figures(README.read_text(), figures))
        _pictures.write(figures, sweep)
    except MissingFigure as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
