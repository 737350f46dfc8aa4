"""Measure klfast, a plain read of the same bytes and every installed peer in one run: speed and error side by side.

    python benchmarks/compare.py                        the usual run
    python benchmarks/compare.py --quick --peers numpy  a first look
    python benchmarks/compare.py --only "kl_divergence .*float64" --json result.json
    python benchmarks/compare.py --set readme --json results/figures.json

README.md beside this file says what is compared with what and how to read the tables.
"""

import argparse
import re
import statistics
import sys
import warnings
from functools import cache
from pathlib import Path

from _arrays import make_arrays
from _cases import accuracy_cases
from _exact import exact_results, flattened, largest_error
from _peers import PEER_LOADERS, load_contestants
from _published import SETS
from _report import available_cores, describe_machine, is_in_cache, print_machine, print_result, print_summary
from _store import add_row, empty_report, key, load_report, now, write_report
from _timing import alternate, repeats_for
from _workloads import LEVELS, all_workloads

MEMORY_LIMIT = 4.2e9  # bytes; a contestant that would need more for its temporary arrays is left out
SAMPLE_SECONDS = 0.02
QUICK_SAMPLE_SECONDS = 0.002


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, metavar="N", help="threads for all who can be told (default: all cores)")
    parser.add_argument("--rounds", type=int, metavar="N", help="samples for each contestant (default: 9; 3 if quick)")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quick", action="store_true", help="small workloads only")
    level.add_argument("--full", action="store_true", help="also the largest workloads")
    level.add_argument("--set", choices=SETS, metavar="NAME", help=f"rows that are published: {', '.join(SETS)}")
    parser.add_argument("--only", metavar="PATTERN", help="a regular expression that the workload's name must contain")
    parser.add_argument("--peers", metavar="A,B", help=f"the peers to load, or none (default: {','.join(PEER_LOADERS)})")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with base.npy, test_q8.npy and targets.npy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the file that takes all figures; what it has is kept")
    parser.add_argument("--since", metavar="TIME", help="leave out rows that the file of --json has from then or later")
    options = parser.parse_args(arguments)
    for name in ("threads", "rounds"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name}: {getattr(options, name)} is less than 1")
    options.threads = options.threads or available_cores()
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.peers = parse_peers(options.peers)
    unknown = set(options.peers) - set(PEER_LOADERS)
    if unknown:
        parser.error(f"--peers: {sorted(unknown)[0]!r} is none of {', '.join(PEER_LOADERS)}")
    if options.since and options.json is None:
        parser.error("--since: needs --json")
    options.level = "quick" if options.quick else "full" if options.full else "default"
    options.sample_seconds = QUICK_SAMPLE_SECONDS if options.quick else SAMPLE_SECONDS
    return options


def parse_peers(text):
    if text is None:
        return list(PEER_LOADERS)
    return [] if text == "none" else text.split(",")


def choose_workloads(options):
    workloads = [workload for workload in all_workloads(options.data) if workload.is_possible]
    if options.set:
        workloads = [workload for workload in workloads if workload.name in SETS[options.set]]
    else:
        levels = LEVELS[: LEVELS.index(options.level) + 1]
        workloads = [workload for workload in workloads if workload.level in levels]
    return [workload for workload in workloads if re.search(options.only or "", workload.name)]


class Truth:
    """The accuracy cases of a workload, and their exact results, which are worked out once for all contestants."""

    def __init__(self, workload):
        self.workload = workload
        self.cases = accuracy_cases(workload)
        self.exact = cache(self.exact)

    def exact(self, case, normalised):
        return exact_results(self.workload.operation, self.cases[case], normalised, self.workload.axis)

    def errors(self, contestant):
        """The largest error of a contestant on each case, by case; none for the baselines, which compute something else."""
        errors = {}
        for case, arrays in self.cases.items() if not contestant.is_baseline else ():
            result = contestant.call(self.workload, arrays)()
            numbers = flattened(result, contestant.to_numpy, arrays[0].ndim, self.workload.axis)
            errors[case] = largest_error(self.exact(case, contestant.normalises), numbers)
        return errors


def prepare(contestant, workload, arrays, truth, sample_seconds):
    """Convert, compile, warm up and calibrate. Returns the call to time, its repeats for one sample and its errors."""
    needed = sum(array.nbytes for array in arrays) + contestant.temporaries * arrays[0].nbytes
    if needed > MEMORY_LIMIT:
        raise MemoryError(f"left out: would need about {needed / 1e9:.1f} GB")
    errors = truth.errors(contestant)
    call = contestant.call(workload, arrays)
    call()
    return call, repeats_for(call, sample_seconds), errors


def run_workload(workload, contestants, options, machine):
    """Measure one workload with everybody who has a function for it."""
    arrays, truth = make_arrays(workload), Truth(workload)
    contestants = [contestant for contestant in contestants if contestant.can(workload)]
    calls, repeats, errors, failures = {}, {}, {}, {}
    for contestant in contestants:
        name = contestant.name
        try:
            prepared = prepare(contestant, workload, arrays, truth, options.sample_seconds)
            calls[name], repeats[name], errors[name] = prepared
        except Exception as error:  # whatever a peer may raise belongs into the table; the others go on
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    samples = alternate(calls, repeats, options.rounds)
    n_bytes = workload.count_bytes(arrays)
    entries = [
        {
            "name": contestant.name,
            "package": contestant.package,
            "threads": options.threads if contestant.threads == "n_threads" else contestant.threads,
            "normalises": contestant.normalises,
            "is_baseline": contestant.is_baseline,
            "failure": failures.get(contestant.name),
            "samples_ms": [1e3 * seconds for seconds in samples.get(contestant.name, [])],
            "relative_error": errors.get(contestant.name, {}),
        }
        for contestant in contestants
    ]
    add_ratios(entries, n_bytes)
    return {
        "name": workload.name,
        "level": machine["level"],
        "operation": workload.operation,
        "shape": list(workload.shape),
        "shape_text": workload.shape_text,
        "dtype": workload.dtype,
        "threads": options.threads,
        "bytes": n_bytes,
        "in_cache": is_in_cache(n_bytes, machine),
        "cases": list(truth.cases),
        "baselines": [contestant.name for contestant in contestants if contestant.is_baseline],
        "contestants": entries,
    }


def add_ratios(entries, n_bytes):
    """Medians, bests, spreads, and what follows from them; None where there is nothing to compare with."""
    medians = {entry["name"]: statistics.median(entry["samples_ms"]) for entry in entries if entry["samples_ms"]}
    baselines = {entry["name"]: medians.get(entry["name"]) for entry in entries if entry["is_baseline"]}
    own = medians.get("klfast")
    for entry in entries:
        median = medians.get(entry["name"])
        entry["median_ms"] = median
        entry["best_ms"] = min(entry["samples_ms"], default=None)
        entry["quartiles_ms"] = quartiles(entry["samples_ms"])
        entry["gb_per_s"] = median and n_bytes / median / 1e6
        entry["ratio_to"] = {
            name: baseline / median if baseline and median else None for name, baseline in baselines.items()
        }
        entry["times_klfast"] = median / own if own and median else None


def quartiles(samples):
    """The spread: between which times the middle half of the samples lies; None where there is nothing to spread."""
    if len(samples) < 2:
        return None
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return [low, high]


def print_notes(contestants, missing):
    for contestant in contestants:
        if contestant.threads != "n_threads":
            print(f"{contestant.name}: threads: {contestant.threads}")
    for package, reason in missing.items():
        print(f"{package}: missing ({reason})")


def measure(workloads, contestants, options, context):
    """Every workload's row, printed, and written to the file as soon as it is known: a run may be cut off and go on later."""
    report = load_report(options.json) if options.json else empty_report()
    present = {key(row) for row in report["rows"] if options.since and row["date"] >= options.since}
    results = []
    for workload in workloads:
        if (workload.name, context["machine"]["level"]) in present:
            continue
        circumstances = now()
        results.append(run_workload(workload, contestants, options, context["machine"]))
        print_result(results[-1])
        if options.json:
            add_row(report, circumstances | results[-1], context)
            write_report(report, options.json)
    return results


def main(arguments=None):
    options = parse_arguments(arguments)
    workloads = choose_workloads(options)
    if not workloads:
        print(f"compare.py: no workload's name contains {options.only!r}", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore", RuntimeWarning)  # a peer's own expression may divide by zero
    contestants, missing = load_contestants(options.peers, options.threads)
    machine = describe_machine(options.threads)
    print_machine(machine)
    print_notes(contestants, missing)
    settings = {"rounds": options.rounds, "sample_seconds": options.sample_seconds, "peers": options.peers}
    context = {"machine": machine, "settings": settings, "missing": missing}
    results = measure(workloads, contestants, options, context)
    print_summary(results, list(dict.fromkeys(contestant.package for contestant in contestants)))
    own = [entry for result in results for entry in result["contestants"] if entry["package"] == "klfast"]
    return 1 if any(entry["failure"] for entry in own) else 0


if __name__ == "__main__":
    sys.exit(main())
