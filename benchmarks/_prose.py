"""The sentences of the README that state figures, made from the JSON like the tables."""

import textwrap

from _figures import MissingFigure, instructions, microseconds
from _published import LARGE, SETS, VECTORS

WIDTH = 128
HIDDEN = ("mpmath", "ml_dtypes", "jaxlib")  # packages that are in the JSON alone
NAMES = {"python": "Python", "numkong": "NumKong"}
HOW_TO_REPEAT = """\
```sh
pip install -e '.[bench,plot]'
python benchmarks/publish.py --measure
```"""


def filled(text):
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def machine(figures):
    """On what, with what, when. All rows that the README shows must agree in that."""
    contexts = [figures.context(name) for name in SETS["readme"]]
    contexts += [figures.context(name, level) for name, level in figures.rows if name in SETS["memory"]]
    described = {(_machine_words(context), context["machine"]["threads"]) for context in contexts}
    if len(described) != 1:
        raise MissingFigure("rows were measured on different machines: " + "; ".join(sorted(map(str, described))))
    words, threads = described.pop()
    words = f"{words} with {instructions(figures.level)}"
    dates = sorted(row["date"].split("T")[0] for row in figures.rows.values())
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    rounds = sorted({context["settings"]["rounds"] for context in contexts})
    times = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    conditions = f"Measured on {words}, {threads} threads, {when}, with {_versions(contexts)}; medians of {times} rounds"
    measured = filled(
        f"""{conditions} in which all take turns.{_busy(figures, contexts)} *read* adds up the same bytes and does nothing else;
        *ratio* is its time over the row's. *Error* is the largest relative error of a few rows against the exact value. A
        package takes part with the fastest of what its users would write, and the columns that bear its name say how many
        times as long as klfast it takes. [benchmarks/README.md](benchmarks/README.md) says how all that is measured; the
        tables, the sentences with numbers in them and the pictures are made from `benchmarks/results` by a script. Again, on
        your machine:"""
    )
    return f"{measured}\n\n{HOW_TO_REPEAT}"


def _busy(figures, contexts):
    """A warning, where more was running than the threads that are measured account for."""
    load = max((row["load_average"] or 0 for row in figures.rows.values()), default=0)
    if load <= 2 * contexts[0]["machine"]["cores"]:
        return ""
    return f" The machine was busy with other work (load average up to {load:.1f}): all of these figures are rough."


def _machine_words(context):
    machine = context["machine"]
    caches = machine["cache_kib"]
    last = f", {max(caches.values()) / 1024:.0f} MiB of last-level cache" if caches else ""
    cpu = machine["cpu"].replace("(R)", "").replace("(TM)", "")
    return f"{machine['cores']} cores of an {cpu} ({machine['system']}{last})"


def _versions(contexts):
    """Each package with its version; with all of them, should rows have been measured with several."""
    found = {}
    for context in contexts:
        for package, version in context["machine"]["versions"].items():
            if version and package not in HIDDEN:
                found.setdefault(NAMES.get(package, package), {})[version] = None
    return ", ".join(f"{package} {' and '.join(versions)}" for package, versions in found.items())


def cache(figures):
    """Whether the arrays of the tables lie in the cache."""
    of_vectors = figures.row(VECTORS[0])
    large = figures.row(LARGE[0][1][0])
    sizes = f"{of_vectors['bytes'] / 1e6:.0f} MB"
    if of_vectors["in_cache"]:
        text = f"Arrays of {sizes} fit into the last-level cache of this machine, which others may use at the same time."
    else:
        text = f"Arrays of {sizes} do not fit into the cache, though a part of them may still lie in it."
    from_memory = f"Ratios where the vectors are {large['bytes'] / 1e6:,.0f} MB and more, by CPU level:"
    return filled(f"{text} {from_memory}")


def calls(figures):
    """What a call costs, on an array where nothing else does."""
    name = "kl_divergence 10 float64"
    own, scipy = figures.own(name), figures.entry(name, "scipy.special")
    return filled(
        f"One call on 10 entries takes {microseconds(own)} microseconds (`rel_entr().sum()` of scipy: {microseconds(scipy)})."
    )
