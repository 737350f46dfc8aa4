"""Call every public function with whatever the hostile generators of the tests come up with, for as long as one likes.

    python tools/fuzz.py --minutes 10 --seed 1 [--only logits.entropy]

Prints how many calls of each function were made and what came of them, and for every failure a program that shows it again.
Exit status 1 if there was one. The same seed makes the same calls.
"""

import argparse
import collections
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hostile_arrays import source  # noqa: E402
from hostile_judge import Failed, judge  # noqa: E402
from test_structure import FUNCTIONS  # noqa: E402

MOST_SHOWN = 3  # failures of one function that are printed whole


def program(failure):
    """What shows a failure without the generators."""
    shared = {}
    lines = ["import ml_dtypes", "import numpy as np", "", "import klfast", "", "arguments = {}"]
    for name, value in failure.arguments.items():
        again = shared.get(id(value))
        lines.append(f"arguments[{name!r}] = {f'arguments[{again!r}]' if again else source(value)}")
        shared[id(value)] = name
    lines.append(f"print(klfast.{failure.name}(**arguments))")
    return "\n".join(lines)


def tried(seed, name, number):
    """One call: what came of it, and the failure if it was one."""
    try:
        return judge(random.Random(f"{seed} {name} {number}"), name), None
    except Failed as failure:
        return "FAILED", failure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    parser.add_argument("--only", action="append", help="a function; may be given several times")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    names = options.only or list(FUNCTIONS)
    outcomes = {name: collections.Counter() for name in names}
    end, number = time.monotonic() + 60 * options.minutes, 0
    print(f"seed {seed}, {len(names)} functions", flush=True)
    while time.monotonic() < end:
        for name in names:
            outcome, failure = tried(seed, name, number)
            outcomes[name][outcome] += 1
            if failure and outcomes[name]["FAILED"] <= MOST_SHOWN:
                print(f"\nFAILED, call {number}: {str(failure)[:2000]}\n\n{program(failure)}\n", flush=True)
        number += 1
    report(outcomes)
    return 1 if any(counts["FAILED"] for counts in outcomes.values()) else 0


def report(outcomes):
    """A line for each function, and one for all."""
    total = sum(outcomes.values(), collections.Counter())
    kinds = sorted(total, key=lambda kind: -total[kind])
    width = max(map(len, outcomes))
    print(f"{'':{width}} {'calls':>9}", *(f"{kind:>12}" for kind in kinds))
    for name, counts in [*outcomes.items(), ("all", total)]:
        print(f"{name:{width}} {counts.total():9}", *(f"{counts[kind]:12}" for kind in kinds))


if __name__ == "__main__":
    sys.exit(main())
