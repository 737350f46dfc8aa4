"""The committed figures, and how one of them is found and written down. Needs nothing but the JSON."""

import math
from functools import cached_property
from pathlib import Path

from _published import AVX2, SETS, VECTORS
from _store import load_report

RESULTS = Path(__file__).resolve().parent / "results"
FIGURES = RESULTS / "figures.json"
SWEEP = RESULTS / "sweep.json"


class MissingFigure(LookupError):
    """A row or a contestant that a table needs is not in the JSON."""


class Figures:
    """The published rows of the JSON. Those of the machine's best CPU level are meant unless another is named."""

    def __init__(self, report):
        self.contexts = report["contexts"]
        names = {name for wanted in SETS.values() for name in wanted}
        self.rows = {(row["name"], row["level"]): row for row in report["rows"] if row["name"] in names}

    @classmethod
    def load(cls, path=FIGURES):
        return cls(load_report(path))

    @cached_property
    def level(self):
        """The level of the rows that the peers took part in."""
        levels = {level for name, level in self.rows if name == VECTORS[0]}
        best = levels - {AVX2} or levels
        if len(best) != 1:
            raise MissingFigure(f"{VECTORS[0]}: measured at {len(best)} CPU levels, one is needed")
        return best.pop()

    def row(self, name, level=None):
        try:
            return self.rows[name, level or self.level]
        except KeyError:
            raise MissingFigure(f"{name} at {level or self.level}: not measured") from None

    def entry(self, name, contestant, level=None):
        """What the contestant of that name did; an error where it could not take part."""
        for entry in self.row(name, level)["contestants"]:
            if entry["name"] == contestant and entry["median_ms"] is not None:
                return entry
        raise MissingFigure(f"{name}: no figures of {contestant}")

    def best(self, name, package):
        """The fastest contestant of a package, or None; only klfast must be there."""
        entries = [
            entry
            for entry in self.row(name)["contestants"]
            if entry["package"] == package and not entry["is_baseline"] and entry["median_ms"] is not None
        ]
        return min(entries, key=lambda entry: entry["median_ms"], default=None)

    def context(self, name, level=None):
        return self.contexts[self.row(name, level)["context"]]

    def own(self, name, with_out=False):
        return self.entry(name, "klfast with out=" if with_out else "klfast")


INSTRUCTIONS = {"x86-64-v4": "AVX-512", "x86-64-v3": "AVX2"}  # by which readers know the levels


def instructions(level):
    return INSTRUCTIONS.get(level, level)


# How numbers are written ---------------------------------------------------------------------------------------------


def milliseconds(value):
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def microseconds(entry):
    return f"{1e3 * entry['median_ms']:.2g}"


def times(value):
    """How many times as long."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def ratio(entry, baseline="read"):
    value = entry["ratio_to"][baseline]
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def error_number(value):
    """An error from the JSON, where NaN and infinity are text."""
    return float(value)


def error(value):
    """A relative error with one digit: 3e-9, or 0.3 where that is readable."""
    value = error_number(value)
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "NaN" if math.isnan(value) else "wrong"
    digit, exponent = f"{value:.0e}".split("e")
    return f"{float(f'{value:.0e}'):g}" if int(exponent) in (-1, 0) else f"{digit}e{int(exponent)}"


def case_error(entry, case):
    """The error in one case; of an infinite result there is only right and wrong."""
    if case not in entry["relative_error"]:
        return ""
    value = entry["relative_error"][case]
    return ("right" if error_number(value) == 0 else "wrong") if case == "infinite" else error(value)


def worst_error(entry):
    values = [error_number(value) for value in entry["relative_error"].values()]
    return error(math.nan if any(map(math.isnan, values)) else max(values))


def bold(text):
    return f"**{text}**" if text else text


def markdown(header, rows):
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|" for cells in [header, *rows]]
    lines.insert(1, "|" + "---|" * len(header))
    return "\n".join(lines)
