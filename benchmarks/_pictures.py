"""The two pictures of the README: what is in them, and how they are drawn. Only drawing needs matplotlib.

Each SVG carries a digest of the numbers that it was drawn from, by which `stale` knows a picture of other numbers.
"""

import math
import re

from _figures import RESULTS, SWEEP, MissingFigure
from _published import PICTURE
from _store import digest

SPEED = RESULTS / "speed.svg"
ERROR = RESULTS / "error.svg"
INTRODUCTION = "data sha256 "

# Name, colour (the palette of Okabe and Ito, which the colour-blind can tell apart) and marker, klfast in front of all.
STYLES = {
    "klfast": ("klfast", "#d55e00", "o"),
    "numkong": ("NumKong", "#555555", "X"),
    "numba": ("numba", "#e69f00", "P"),
    "jax": ("jax", "#009e73", "^"),
    "numpy": ("numpy", "#0072b2", "s"),
    "torch": ("torch", "#cc79a7", "D"),
    "scipy": ("scipy", "#56b4e9", "v"),
}
GREY = "#666666"
LARGEST, SMALLEST = 1e8, 1e-19  # errors beyond are drawn at these; no error at all is the smallest
BESIDE = {"textcoords": "offset points", "va": "center", "fontsize": 9}
INFINITE_AT = 1e3  # where on the axis of KL the pairs stand whose KL is infinite


def speed_data(figures):
    """For each line of the picture the share of the read's speed that the fastest contestant of each package reaches."""
    lines = []
    for label, name in PICTURE:
        entries = {package: figures.best(name, package) for package in STYLES}
        lines.append([label, {package: entry["ratio_to"]["read"] for package, entry in entries.items() if entry}])
    return lines


def error_data(sweep):
    if not sweep.get("points"):
        raise MissingFigure(f"{SWEEP.name}: not measured; python benchmarks/sweep.py --json {SWEEP}")
    return {"points": sweep["points"], "infinite": sweep["infinite"]}


def stale(figures, sweep):
    """The names of the pictures that were drawn from other numbers, or not at all."""
    wanted = ((SPEED, speed_data(figures)), (ERROR, error_data(sweep)))
    return [f"benchmarks/results/{path.name}" for path, data in wanted if drawn_from(path) != digest(data)]


def drawn_from(path):
    """The digest that a picture carries; None where there is none."""
    found = re.search(INTRODUCTION + r"(\w+)", path.read_text()) if path.exists() else None
    return found and found[1]


def write(figures, sweep):
    """Draw what is not up to date."""
    outdated = stale(figures, sweep)
    for path, draw, data in ((SPEED, draw_speed, speed_data(figures)), (ERROR, draw_error, error_data(sweep))):
        if f"benchmarks/results/{path.name}" in outdated:
            draw(data, path)


# Drawing -------------------------------------------------------------------------------------------------------------


def _plt():
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "klfast", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    plt.rcParams.update({"axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY, "axes.labelcolor": "black"})
    return plt


def _save(figure, data, path):
    """As text that is the same for the same numbers, but for the version of matplotlib."""
    metadata = {"Description": INTRODUCTION + digest(data), "Date": None, "Creator": None}
    figure.savefig(path, metadata=metadata, facecolor="white")
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def draw_speed(data, path):
    """A line of dots for every operation, the memory limit at its right."""
    plt = _plt()
    figure, axes = plt.subplots(figsize=(9, 0.4 * len(data) + 1.2), layout="constrained")
    places = range(len(data), 0, -1)
    for place, (_, shares) in zip(places, data, strict=True):
        axes.plot([min(shares.values()), 1], [place, place], color="#dddddd", linewidth=1, zorder=1)
    for package, (name, colour, marker) in STYLES.items():
        points = [(shares[package], place) for place, (_, shares) in zip(places, data, strict=True) if package in shares]
        is_own = package == "klfast"
        size, order = (95, 4) if is_own else (42, 3)
        axes.scatter(*zip(*points), s=size, color=colour, marker=marker, label=name, zorder=order, lw=0)
        for share, place in points if is_own else ():
            text = axes.annotate(f"{share:.2f}", (share, place), (0, 10), ha="center", **BESIDE | {"fontsize": 8})
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    axes.axvline(1, color="black", linewidth=1.2, zorder=2)
    axes.set_xscale("log")
    lowest, highest = (extreme(extreme(shares.values()) for _, shares in data) for extreme in (min, max))
    axes.set_xlim(min(0.02, 0.8 * lowest), max(1.5, 1.2 * highest))
    axes.set_xticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1][0 if lowest < 0.0125 else 1 :])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_yticks(places, [label for label, _ in data], color="black")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(0.4, len(data) + 1)
    axes.set_xlabel("speed as a share of a plain read of the same bytes (log scale; right is faster)")
    axes.annotate("memory limit", (1, len(data) + 0.85), (-5, 0), ha="right", **BESIDE)
    figure.legend(loc="outside upper center", ncols=len(STYLES), frameon=False, handletextpad=0.2, columnspacing=1.4)
    _save(figure, data, path)
    plt.close(figure)


def draw_error(data, path):
    """Two panels, float32 and float64: the error against the KL, from far apart at the left to all but equal at the right."""
    plt = _plt()
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.6), sharey=True, layout="constrained")
    for axes, dtype in zip(panels, ("float32", "float64"), strict=True):
        for package, (name, colour, marker) in STYLES.items():
            _draw_errors(axes, data, dtype, package, name, colour, marker)
        axes.axhspan(1, 3 * LARGEST, color="#f3f3f3", zorder=0)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(3 * INFINITE_AT, 4e-14)
        axes.set_ylim(SMALLEST / 3, 3 * LARGEST)
        axes.set_xticks([INFINITE_AT, 10, 1e-1, 1e-4, 1e-7, 1e-10, 1e-13], ["∞", "10", "0.1", *_powers(-4, -7, -10, -13)])
        axes.minorticks_off()
        axes.axvline(60, color="#bbbbbb", linewidth=0.8, linestyle=":")
        axes.set_title(dtype, fontsize=11)
        axes.set_xlabel("exact KL divergence (∞: q is 0 somewhere)")
    panels[0].set_yticks([1e6, 1, 1e-6, 1e-12, SMALLEST], [*_powers(6), "1", *_powers(-6, -12), "exact"])
    panels[0].set_ylabel("relative error")
    panels[1].annotate("no digit is right", (5e-14, 2e7), ha="right", fontsize=9, color=GREY)
    handles, labels = panels[0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="none"))
    labels.append("hollow: negative result")
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, columnspacing=1.4)
    _save(figure, data, path)
    plt.close(figure)


def _powers(*exponents):
    return [f"$10^{{{exponent}}}$" for exponent in exponents]


def _draw_errors(axes, data, dtype, package, name, colour, marker):
    """The largest error of one package at each place, hollow if a result is negative; at the left whether infinity is found."""
    places = _places([point for point in data["points"] if point["dtype"] == dtype and package in point["error"]], package)
    if not places:
        return
    is_own = package == "klfast"
    common = {"color": colour, "marker": marker, "markersize": 5.5 if is_own else 4.5, "zorder": 5 if is_own else 3}
    axes.plot(*zip(*(place[:2] for place in places)), linewidth=1.3, label=name, **common)
    hollow = [place[:2] for place in places if place[2]]
    if hollow:
        axes.plot(*zip(*hollow), linestyle="none", markerfacecolor="white", **common)
    is_right = data["infinite"][dtype][package]
    axes.plot([INFINITE_AT], [SMALLEST if is_right else LARGEST], clip_on=False, **common)
    if not is_right:
        axes.annotate(f"{name}: finite", (INFINITE_AT, LARGEST), (6, 0), **BESIDE)
    elif is_own:
        axes.annotate("infinite: right", (INFINITE_AT, SMALLEST), (6, 0), **BESIDE)


def _places(points, package):
    """For every half decade the KL of its largest error, that error, and whether any result in it is negative."""
    places = {}
    for point in points:
        error = min(max(float(point["error"][package]), SMALLEST), LARGEST)
        places.setdefault(round(2 * math.log10(point["exact"])), []).append(
            (error, point["exact"], package in point["negative"])
        )
    return [(*max(found)[1::-1], any(negative for *_, negative in found)) for _, found in sorted(places.items())]
