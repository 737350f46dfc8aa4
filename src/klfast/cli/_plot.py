"""The picture of `--plot`: how the KL of the rows is distributed. Needs matplotlib, which is an extra."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CURVE_POINTS = 2000
BINS = 60


def draw_plot(file, sorted_kl, summary):
    """Write a PNG with the histogram of KL(base || test) over the rows, and the sorted curve, both on a log scale."""
    figure = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    histogram, curve = figure.subplots(1, 2)
    rows = summary["rows"]
    figure.suptitle(f"KL(base || test) of {rows['used']} rows, in nats")
    # A log scale has no place for 0 and inf; they are counted in the title of the panel instead.
    drawable = sorted_kl[(sorted_kl > 0) & np.isfinite(sorted_kl)]
    _draw_histogram(histogram, drawable, summary["kl"], len(sorted_kl) - len(drawable))
    _draw_curve(curve, sorted_kl)
    figure.savefig(file, format="png")


def _draw_histogram(axes, kl, figures, not_drawn):
    axes.set(xlabel="KL, nats", ylabel="rows", title=f"{not_drawn} rows at 0 or inf not drawn" if not_drawn else "")
    if not len(kl):
        return
    # All rows equal: open the range a little, a histogram needs a width.
    low, high = (kl[0], kl[-1]) if kl[0] < kl[-1] else (kl[0] / 2, kl[0] * 2)
    axes.hist(kl, bins=np.geomspace(low, high, min(BINS, 5 + len(kl) // 4)), color="tab:blue", alpha=0.7)
    axes.set_xscale("log")
    marked = [(name, style) for name, style in (("mean", "-"), ("median", "--")) if 0 < figures[name] < np.inf]
    for name, style in marked:
        axes.axvline(figures[name], color="black", linestyle=style, label=f"{name} {figures[name]:.4g}")
    if marked:
        axes.legend()


def _draw_curve(axes, sorted_kl):
    """Rank against value, at up to CURVE_POINTS ranks: the smallest and the largest row are always among them."""
    axes.set(xlabel="rows with at most this KL, %", ylabel="KL, nats")
    axes.grid(alpha=0.3)
    if not np.any((sorted_kl > 0) & np.isfinite(sorted_kl)):
        return
    chosen = np.unique(np.linspace(0, len(sorted_kl) - 1, CURVE_POINTS).astype(np.int64))
    percent = 100 * (chosen + 1) / len(sorted_kl)
    values = np.where((sorted_kl[chosen] > 0) & np.isfinite(sorted_kl[chosen]), sorted_kl[chosen], np.nan)
    axes.plot(percent, values, color="tab:blue", marker="." if len(sorted_kl) < 200 else None)
    axes.set_yscale("log")
