"""What is printed: the machine, one table for every workload, and a summary. rich draws them where it can, else plain text."""

import importlib.metadata
import importlib.util
import math
import os
import platform
import sys
from pathlib import Path

CPU_FOLDER = Path("/sys/devices/system/cpu")
VERSIONED = ("klfast", "numpy", "scipy", "numba", "torch", "jax", "jaxlib", "optax", "numkong", "mpmath", "ml_dtypes")


def cpu_name():
    """What the system calls the CPU; with family and model where that name would fit many, as in virtual machines."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    first = info.read_text().split("\n\n")[0]
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    name = found.get("model name") or platform.processor() or platform.machine()
    if "model" in found and not any(map(str.isdigit, name)):
        name += f", family {found.get('cpu family')}, model {found['model']}"
    return name


def available_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cache_kib():
    """Sizes in KiB of the caches that the first core sees, by name; empty where the system does not tell."""
    sizes = {}
    for folder in sorted(CPU_FOLDER.glob("cpu0/cache/index*")):
        kind = {"Data": "d", "Instruction": "i"}.get((folder / "type").read_text().strip(), "")
        name = f"L{(folder / 'level').read_text().strip()}{kind}"
        sizes[name] = int((folder / "size").read_text().strip().removesuffix("K"))
    return sizes


def describe_machine(n_threads):
    import klfast

    versions = {"python": platform.python_version()}
    for package in VERSIONED:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    versions["klfast"] = klfast.__version__  # which may not be installed, only importable
    return {
        "cpu": cpu_name(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": available_cores(),
        "cache_kib": cache_kib(),
        "level": klfast._kernels.cpu_target(),
        "threads": n_threads,
        "versions": versions,
    }


def print_machine(machine):
    caches = ", ".join(f"{name} {size} KiB" for name, size in machine["cache_kib"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    print(f"CPU: {machine['cpu']}, {machine['cores']} cores; cache of one core: {caches or 'unknown'}")
    print(f"klfast CPU target: {machine['level']}; threads: {machine['threads']}")
    print(f"Versions: {versions}")


def is_in_cache(n_bytes, machine):
    sizes = machine["cache_kib"].values()
    return n_bytes <= 1024 * max(sizes) if sizes else None


def number(value, form=".4g"):
    return "" if value is None else format(value, form)


def error_text(case, value):
    """One cell of the accuracy columns; the 'infinite' case is either right or wrong."""
    if value is None:
        return ""
    if case == "infinite":
        return "right" if value == 0 else "wrong"
    return "0" if value == 0 else ("NaN" if math.isnan(value) else f"{value:.0e}")


def print_result(result):
    """The table of one workload."""
    cases = list(result["cases"])
    place = {True: ", fits in cache", False: ", out of cache", None: ""}[result["in_cache"]]
    title = f"{result['operation']}, {result['shape_text']} {result['dtype']}, {result['threads']} threads{place}"
    baselines = result["baselines"]
    header = ["contestant", "median ms", "best ms", "GB/s", *(f"ratio to {name}" for name in baselines), "times klfast"]
    rows = []
    for contestant in result["contestants"]:
        if contestant["failure"]:
            rows.append([contestant["name"], contestant["failure"]])
            continue
        figures = [number(contestant[key]) for key in ("median_ms", "best_ms")]
        figures.append(number(contestant["gb_per_s"], ".1f"))
        figures += [number(contestant["ratio_to"][name], ".2f") for name in baselines]
        figures.append(number(contestant["times_klfast"], ".2f"))
        errors = [error_text(case, contestant["relative_error"].get(case)) for case in cases]
        rows.append([contestant["name"], *figures, *errors])
    print_table(title, header + [f"error, {case}" for case in cases], rows)


def print_summary(results, packages):
    """A line for klfast, and one for klfast with out=, of every workload: time, error, ratios, and what each package takes.

    A package takes part with the fastest of its contestants, and that one's error.
    """
    peers = [package for package in packages if package != "klfast"]
    baselines = list(dict.fromkeys(name for result in results for name in result["baselines"]))
    rows = []
    for result in results:
        contestants = [entry for entry in result["contestants"] if not entry["is_baseline"]]
        for own in (entry for entry in contestants if entry["package"] == "klfast"):
            with_out = own["name"].removeprefix("klfast")
            row = [result["operation"] + with_out, result["shape_text"], result["dtype"], number(own["median_ms"])]
            row += [worst_error(own), *(number(own["ratio_to"].get(name), ".2f") for name in baselines)]
            rows.append(row + [times_text(own, contestants, peer) for peer in peers])
    ratios = [f"ratio to {name}" for name in baselines]
    header = ["operation", "shape", "dtype", "klfast ms", "error", *ratios, *(f"{peer} takes" for peer in peers)]
    print_table("Summary: medians; a peer's figure is its time over klfast's, and its largest error", header, rows)


def times_text(own, contestants, package):
    """How many times as long as klfast the package takes, and its error; nothing where one of them is missing."""
    others = [entry for entry in contestants if entry["package"] == package and entry["median_ms"]]
    if not others or not own["median_ms"]:
        return ""
    best = min(others, key=lambda entry: entry["median_ms"])
    return f"{best['median_ms'] / own['median_ms']:.1f} ({worst_error(best)})"


def worst_error(entry):
    """The largest error over all cases; "wrong" where an infinite result was missed or one was invented."""
    errors = entry["relative_error"].values()
    if any(map(math.isnan, errors)):
        return "NaN"
    return "wrong" if math.inf in errors else error_text("all", max(errors, default=None))


def print_table(title, header, rows):
    if sys.stdout.isatty() and _rich_is_installed():
        _print_rich(title, header, rows)
    else:
        _print_plain(title, header, rows)


def _rich_is_installed():
    return importlib.util.find_spec("rich") is not None


def _print_rich(title, header, rows):
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for position, column in enumerate(header):
        table.add_column(column, justify="right" if position else "left")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def _print_plain(title, header, rows):
    """The table in Markdown. A failure has two cells only, and its text may be wider than its column."""
    widths = [
        max([len(header[i]), *(len(row[i]) for row in rows if len(row) == len(header) or i == 0)])
        for i in range(len(header))
    ]
    print(f"\n{title}\n")
    print("| " + " | ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)) + " |")
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for row in rows:
        cells = [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |")
    sys.stdout.flush()
