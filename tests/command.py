"""What the tests of the command share: running it as a process, files to give it, and the figures it must find."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from klfast import _reference

EXAMPLES = Path(__file__).parent.parent / "examples"
EXACT = json.loads((EXAMPLES / "exact.json").read_text())
TIMEOUT = 60
ACCURACY = 1e-6
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TARGET_COLUMNS = ["target", "cross_entropy_base", "cross_entropy_test", "probability_change"]
ROW_COLUMNS = ["row", "kl", "reverse_kl", "js", "entropy_base", "entropy_test", "top_base", "top_test"]

# Where a figure of the JSON comes from: the mean and the standard error of these per-row values.
MEANS = {
    "kl": "kl",
    "reverse_kl": "reverse_kl",
    "js": "js",
    "entropy.base": "entropy_base",
    "entropy.test": "entropy_test",
    "targets.cross_entropy.base": "cross_entropy_base",
    "targets.cross_entropy.test": "cross_entropy_test",
    "targets.log_ratio": "log_ratio",
    "targets.probability_change": "probability_change",
}
# Differences of two figures that are each accurate: the bound is absolute.
DIFFERENCES = ("targets.log_ratio", "targets.probability_change")


def command_line(*arguments):
    return [sys.executable, "-m", "klfast", *map(str, arguments)]


def environment(**changes):
    """This process's environment, with the width and the encoding of the output as the tests expect them."""
    return os.environ | {"COLUMNS": "120", "PYTHONIOENCODING": "utf-8"} | changes


def run(*arguments, **options):
    """Run klfast to its end; what it wrote comes back as text."""
    usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    return subprocess.run(command_line(*arguments), encoding="utf-8", timeout=TIMEOUT, **(usual | options))


def run_well(*arguments, **options):
    """Run klfast where nothing may go wrong; returns its standard output."""
    ended = run(*arguments, **options)
    assert (ended.returncode, ended.stderr or "") == (0, "")
    return ended.stdout


def strict_json(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def compare_as_json(*arguments):
    return strict_json(run_well("compare", *arguments, "--json", "-"))


def read_csv(path):
    """The names of the columns, and each column as an array of numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, dict(zip(header, np.array(rows, dtype=np.float64).T, strict=True))


def save(folder, **arrays):
    """Save the arrays under their names; returns the paths in the same order."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [folder / f"{name}.npy" for name in arrays]


def npy_bytes(header, data=b""):
    """An .npy file with a header made by hand."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin1") + data


def without(module, folder):
    """An environment in which Python finds no such module; it leaves nothing in the folder."""
    (folder / "sitecustomize.py").write_text(f"import sys\n\nsys.modules[{module!r}] = None\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return environment(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")


def logits(rows=6, vocabulary=300):
    """Two tables of logits that are near each other, and a target for every row."""
    random = np.random.default_rng(rows)
    base = random.normal(size=(rows, vocabulary))
    test = base + random.normal(scale=0.3, size=base.shape)
    return base.astype(np.float32), test.astype(np.float32), random.integers(0, 100, rows)


def exact_rows(model):
    """The per-row values of the examples, with targets, worked out in 40 digits."""
    base, test = EXACT["models"]["base"], EXACT["models"][model]
    rows = dict(EXACT["against_base"][model])
    for name in ("entropy", "cross_entropy"):
        rows |= {f"{name}_base": base[name], f"{name}_test": test[name]}
    rows |= {"top_base": base["top_token"], "top_test": test["top_token"]}
    rows = {name: np.array(values) for name, values in rows.items()}
    rows["log_ratio"] = rows["cross_entropy_test"] - rows["cross_entropy_base"]
    rows["probability_change"] = np.subtract(test["target_probability"], base["target_probability"])
    return rows


def reference_rows(base, test, targets=None):
    """The per-row values of any logits, by the definitions in plain numpy."""
    rows = {
        "kl": _reference.logits_kl_divergence(base, test),
        "reverse_kl": _reference.logits_kl_divergence(test, base),
        "js": _reference.logits_js_divergence(base, test),
        "entropy_base": _reference.logits_entropy(base),
        "entropy_test": _reference.logits_entropy(test),
        "top_base": np.argmax(base, axis=-1),
        "top_test": np.argmax(test, axis=-1),
    }
    if targets is not None:
        rows["cross_entropy_base"] = _reference.logits_cross_entropy(base, targets)
        rows["cross_entropy_test"] = _reference.logits_cross_entropy(test, targets)
        rows["log_ratio"] = rows["cross_entropy_test"] - rows["cross_entropy_base"]
        rows["probability_change"] = np.exp(-rows["cross_entropy_test"]) - np.exp(-rows["cross_entropy_base"])
    return rows


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


def expected_figures(rows):
    """Every figure that the JSON must hold for these per-row values, as `figures_of` names them."""
    kl, same_top = rows["kl"], rows["top_base"] == rows["top_test"]
    figures = {"kl.minimum": kl.min(), "kl.median": np.median(kl), "kl.maximum": kl.max()}
    figures |= {f"kl.percentiles.{percent}": np.percentile(kl, percent) for percent in (90, 95, 99, 99.9)}
    figures |= {"same_top_token.fraction": same_top.mean(), "same_top_token.standard_error": standard_error(same_top)}
    for name, column in MEANS.items():
        if column in rows:
            figures |= {f"{name}.mean": rows[column].mean(), f"{name}.standard_error": standard_error(rows[column])}
    if "log_ratio" in rows:
        figures["targets.perplexity.base"] = np.exp(rows["cross_entropy_base"].mean())
        figures["targets.perplexity.test"] = np.exp(rows["cross_entropy_test"].mean())
        figures["targets.perplexity.ratio"] = np.exp(rows["log_ratio"].mean())
        figures["targets.probability_change.rms"] = np.sqrt(np.mean(rows["probability_change"] ** 2))
    return figures


def figures_of(summary):
    """The figures of the JSON under names with dots, such as "kl.mean"; what describes the input is left out."""
    figures = {}
    for name, value in summary.items():
        if isinstance(value, dict) and name not in ("files", "rows"):
            figures |= {f"{name}.{inner}": each for inner, each in figures_of(value).items()}
        elif name not in ("klfast", "unit", "files", "dtype", "vocabulary", "rows"):
            figures[name] = value
    return figures


def assert_figures(summary, rows, accuracy=ACCURACY):
    """The JSON holds exactly the figures that follow from the rows: none wrong, none missing, none besides."""
    figures, expected = figures_of(summary), expected_figures(rows)
    assert figures.keys() == expected.keys()
    for name, value in expected.items():
        absolute = accuracy if name.startswith(DIFFERENCES) else 0.0
        assert figures[name] == pytest.approx(value, rel=accuracy, abs=absolute), name
