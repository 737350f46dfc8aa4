"""Errors of the KL divergence from distributions far apart to all but equal ones, of klfast and of what else there is.

    python benchmarks/sweep.py --json results/sweep.json

_pairs.py says how the distributions are made. Nothing is timed here: a busy machine does no harm.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import mpmath
import numpy as np
from _pairs import CLASSES, DIGITS, STEPS, make_pair
from _peers import load_contestants
from _report import describe_machine
from _store import now, plain

SEED = 20240229
PEERS = ("numpy", "scipy", "torch", "numkong")
CONTESTANTS = {"klfast": "klfast", "numpy": "numpy", "scipy": "scipy.special", "torch": "torch", "numkong": "numkong"}
TARGETS = np.geomspace(10, 1e-13, 29)  # two a decade
PAIRS = 3  # at each of them


def measure(contestants):
    """Points: the type, the exact KL, and what each contestant made of it."""
    generator = np.random.default_rng(SEED)
    points = []
    for dtype in STEPS:
        for target in TARGETS:
            for _ in range(PAIRS):
                p, q, exact = make_pair(generator, dtype, target)
                results = {name: result(contestant, p, q) for name, contestant in contestants.items()}
                errors = {name: relative_error(value, exact) for name, value in results.items()}
                point = {"dtype": dtype, "exact": float(exact), "error": errors}
                points.append(point | {"negative": [name for name, value in results.items() if value < 0]})
    return points


def finds_infinity(contestants):
    """Whether each says so where one weight of q is 0 and p's is not: by type, then by contestant."""
    generator = np.random.default_rng(SEED)
    found = {}
    for dtype in STEPS:
        p, q, _ = make_pair(generator, dtype, 0.1)
        q[CLASSES // 2] = 0
        found[dtype] = {name: bool(np.isposinf(result(one, p, q))) for name, one in contestants.items()}
    return found


def result(contestant, p, q):
    call = contestant.functions["kl_divergence"]
    value = call(contestant.convert(p), contestant.convert(q))
    return float(np.asarray(contestant.to_numpy(value), dtype=np.float64))


def relative_error(value, exact):
    with mpmath.workdps(DIGITS):
        return float(abs(value - exact) / exact)


def as_text(report):
    """JSON with a line for each point."""
    head = {name: value for name, value in report.items() if name != "points"}
    points = ",\n".join(json.dumps(point) for point in report["points"])
    return f'{json.dumps(head).removesuffix("}")}, "points": [\n{points}\n]}}\n'


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the errors")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", RuntimeWarning)
    loaded, missing = load_contestants(PEERS, 1)
    for package, reason in missing.items():
        print(f"{package}: missing ({reason})")
    by_name = {contestant.name: contestant for contestant in loaded}
    contestants = {name: by_name[of] for name, of in CONTESTANTS.items() if of in by_name}
    points = measure(contestants)
    report = {"machine": describe_machine(1), "classes": CLASSES} | now()
    report |= {"infinite": finds_infinity(contestants), "points": points}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(as_text(plain(report)))
    for name in contestants:
        for dtype in STEPS:
            worst = max(point["error"][name] for point in points if point["dtype"] == dtype)
            n_negative = sum(name in point["negative"] for point in points if point["dtype"] == dtype)
            print(f"{name}, {dtype}: largest error {worst:.1e}, {n_negative} negative results")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
