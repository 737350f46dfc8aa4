"""Per-row figures -> what is reported. Only the KL of each row is kept, for its percentiles; all else is summed."""

import math

import numpy as np

PERCENTILES = (90, 95, 99, 99.9)
ROWS_NAMED = 5


class Moments:
    """Mean and standard error of values that arrive in blocks.

    The mean is the plain sum over the count, so that an infinite value makes it infinite and not NaN.
    """

    def __init__(self):
        self.count = 0
        self._total = 0.0
        self._squared_deviations = 0.0

    def add(self, values):
        if not len(values):
            return
        with np.errstate(invalid="ignore"):  # infinite values: their deviations are NaN, and so is the standard error
            total, count = np.sum(values, dtype=np.float64), len(values)
            deviations = values - total / count
            self._squared_deviations += deviations @ deviations
            if self.count:
                shift = total / count - self.mean
                self._squared_deviations += shift * shift * (self.count * count / (self.count + count))
            self._total += total
            self.count += count

    @property
    def mean(self):
        return self._total / self.count if self.count else math.nan

    @property
    def standard_error(self):
        if self.count < 2:
            return math.nan
        return np.sqrt(self._squared_deviations / (self.count - 1) / self.count)

    def summary(self):
        return {"mean": float(self.mean), "standard_error": float(self.standard_error)}


class RowCount:
    """How many rows had some property, and the numbers of the first few."""

    def __init__(self):
        self.count = 0
        self.first_rows = []

    def add(self, first_row, flags):
        self.count += int(np.count_nonzero(flags))
        if len(self.first_rows) < ROWS_NAMED:
            found = np.flatnonzero(flags)[: ROWS_NAMED - len(self.first_rows)]
            self.first_rows += [first_row + int(row) for row in found]

    def summary(self):
        return {"count": self.count, "first_rows": self.first_rows}


def percentile(sorted_values, percent):
    """Linear interpolation between the two nearest ranks, as numpy does, but right beside infinite values too."""
    if not len(sorted_values):
        return math.nan
    position = (len(sorted_values) - 1) * (percent / 100)
    rank = math.floor(position)
    low = float(sorted_values[rank])
    if position == rank or math.isinf(low):
        return low
    return low + (float(sorted_values[rank + 1]) - low) * (position - rank)


class Statistics:
    """Takes RowFigures one after the other; `summary()` is a dictionary of plain numbers, as it goes into the JSON."""

    def __init__(self, rows, *, with_targets):
        self._rows = rows
        self._kl = np.empty(rows)
        columns = ["kl", "reverse_kl", "js", "entropy_base", "entropy_test", "same_top"]
        can_be_infinite = ["kl", "reverse_kl"]
        if with_targets:
            columns += ["cross_entropy_base", "cross_entropy_test", "log_ratio", "probability_change"]
            can_be_infinite += ["cross_entropy_base", "cross_entropy_test"]
        self._with_targets = with_targets
        self._moments = {name: Moments() for name in columns}
        self._squared_change = Moments()
        self._undefined = RowCount()
        self._infinite = {name: RowCount() for name in can_be_infinite}

    def add(self, figures):
        defined = figures.defined
        kl = figures.kl[defined]
        used = self._moments["kl"].count
        self._kl[used : used + len(kl)] = kl
        self._undefined.add(figures.first_row, ~defined)
        for name, moments in self._moments.items():
            moments.add(getattr(figures, name)[defined].astype(np.float64, copy=False))
        for name, rows in self._infinite.items():
            rows.add(figures.first_row, np.isinf(getattr(figures, name)) & defined)
        if self._with_targets:
            self._squared_change.add(figures.probability_change[defined] ** 2)

    def sorted_kl(self):
        """The KL of every row that counts, in ascending order."""
        kl = self._kl[: self._moments["kl"].count]
        kl.sort()
        return kl

    def summary(self):
        moments = {name: each.summary() for name, each in self._moments.items()}
        kl = self.sorted_kl()
        result = {
            "rows": {
                "total": self._rows,
                "used": len(kl),
                "undefined": self._undefined.summary(),
                "infinite": {name: rows.summary() for name, rows in self._infinite.items()},
            },
            "kl": {
                **moments["kl"],
                "minimum": percentile(kl, 0),
                "median": percentile(kl, 50),
                "percentiles": {f"{percent:g}": percentile(kl, percent) for percent in PERCENTILES},
                "maximum": percentile(kl, 100),
            },
            "reverse_kl": moments["reverse_kl"],
            "js": moments["js"],
            "entropy": {"base": moments["entropy_base"], "test": moments["entropy_test"]},
            "same_top_token": {
                "fraction": moments["same_top"]["mean"],
                "standard_error": moments["same_top"]["standard_error"],
            },
        }
        if self._with_targets:
            result["targets"] = self._target_summary(moments)
        return result

    def _target_summary(self, moments):
        with np.errstate(over="ignore"):  # a perplexity beyond the largest number is infinite
            return {
                "cross_entropy": {"base": moments["cross_entropy_base"], "test": moments["cross_entropy_test"]},
                "perplexity": {
                    "base": float(np.exp(moments["cross_entropy_base"]["mean"])),
                    "test": float(np.exp(moments["cross_entropy_test"]["mean"])),
                    "ratio": float(np.exp(moments["log_ratio"]["mean"])),
                },
                "log_ratio": moments["log_ratio"],
                "probability_change": {
                    **moments["probability_change"],
                    "rms": float(np.sqrt(self._squared_change.mean)),
                },
            }
