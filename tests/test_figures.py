"""What README.md says in figures is what was measured; and the suite for asv times what its names say."""

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from test_structure import FUNCTIONS

from klfast import _dispatch, _kernels

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="benchmarks are not in the source distribution")
sys.path.append(str(BENCHMARKS))

if BENCHMARKS.exists():
    import _figures
    import _pairs
    import _pictures
    import _published
    import _store
    import _tables
    import _workloads
    import publish
    from suite import functions as suite


@pytest.fixture
def results():
    return _figures.Figures.load(), _store.load_report(_figures.SWEEP)


def test_the_readme_and_its_pictures_are_what_was_measured(results):
    assert publish.stale(*results) == []


def test_a_figure_changed_by_hand_is_noticed(results, tmp_path, monkeypatch):
    text = publish.README.read_text()
    for name in publish.BLOCKS:
        mark = f"<!-- figures:{name} -->\n"
        changed = tmp_path / "README.md"
        changed.write_text(text.replace(mark, f"{mark}\n7"))
        monkeypatch.setattr(publish, "README", changed)
        assert publish.stale(*results) == [f"README.md, figures:{name}"]


def test_pictures_of_other_numbers_are_noticed(results, tmp_path, monkeypatch):
    for picture in ("SPEED", "ERROR"):
        path = getattr(_pictures, picture)
        other = tmp_path / path.name
        digest = _pictures.drawn_from(path)
        other.write_text(path.read_text().replace(digest, digest[::-1]))
        monkeypatch.setattr(_pictures, picture, other)
        assert f"benchmarks/results/{path.name}" in _pictures.stale(*results)


def test_every_published_row_is_a_workload():
    names = {workload.name for workload in _workloads.all_workloads()}
    for wanted in _published.SETS.values():
        assert set(wanted) <= names


def test_every_measured_row_keeps_the_context_it_was_measured_in(results):
    figures, _ = results
    for row in figures.rows.values():
        machine = figures.contexts[row["context"]]["machine"]
        assert machine["cpu"] and machine["versions"]["klfast"] and machine["threads"] == row["threads"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", row["date"])


def small_row(name, level="best", median=1.0):
    return {"name": name, "level": level, "contestants": [{"name": "klfast", "median_ms": median}]}


def test_a_row_measured_again_replaces_itself_and_no_other(tmp_path):
    report = _store.empty_report()
    path = tmp_path / "figures.json"
    for row, context in ((small_row("a"), {"n": 1}), (small_row("b"), {"n": 1}), (small_row("a", "avx2"), {"n": 2})):
        _store.add_row(report, row, context)
    _store.write_report(report, path)
    report = _store.load_report(path)
    _store.add_row(report, small_row("a", median=2.0), {"n": 3})
    _store.write_report(report, path)
    report = json.loads(path.read_text())
    medians = [(row["name"], row["level"], row["contestants"][0]["median_ms"]) for row in report["rows"]]
    assert medians == [("a", "best", 2.0), ("b", "best", 1.0), ("a", "avx2", 1.0)]
    assert [report["contexts"][row["context"]]["n"] for row in report["rows"]] == [3, 1, 2]


def test_numbers_that_json_does_not_know_are_kept_as_text():
    assert _store.plain({"a": [float("inf"), float("nan"), 123456.0]}) == {"a": ["inf", "nan", 123500.0]}


@pytest.mark.parametrize(
    "value, text",
    [(0.0, "0"), (2.6e-9, "3e-9"), (9.7e-10, "1e-9"), (0.34, "0.3"), (0.97, "1"), ("inf", "wrong"), ("nan", "NaN")],
)
def test_errors_are_written_with_one_digit(value, text):
    assert _figures.error(value) == text


def test_rows_of_two_machines_are_not_published_as_one(results):
    figures, _ = results
    name = _published.VECTORS[0]
    other = json.loads(json.dumps(figures.context(name)))
    other["machine"]["cpu"] = "another"
    figures.contexts["other"] = other
    figures.rows[name, figures.level] = figures.row(name) | {"context": "other"}
    with pytest.raises(_figures.MissingFigure, match="different machines"):
        publish.BLOCKS["machine"](figures)


def test_a_row_that_was_not_measured_is_named(results):
    figures, _ = results
    del figures.rows[_published.VECTORS[1], figures.level]
    with pytest.raises(_figures.MissingFigure, match=re.escape(_published.VECTORS[1])):
        _tables.vectors(figures)


def compare(path, *options):
    """Run compare.py on one small row; a process of its own, as it sets the number of threads."""
    chosen = ["--quick", "--peers", "none", "--only", "^kl_divergence 10 float64", "--json", str(path), *options]
    subprocess.run([sys.executable, str(BENCHMARKS / "compare.py"), *chosen], check=True, capture_output=True, timeout=300)
    (row,) = json.loads(path.read_text())["rows"]
    return row


def test_a_run_that_was_cut_off_goes_on_without_measuring_twice(tmp_path):
    path = tmp_path / "figures.json"
    first = compare(path)
    assert compare(path, "--since", first["date"]) == first
    assert compare(path, "--since", "9999-01-01T00:00") != first


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", [10, 1e-3, 1e-13])
def test_the_pairs_of_the_sweep_add_up_to_one_at_about_their_kl(dtype, target):
    p, q, exact = _pairs.make_pair(np.random.default_rng(1), dtype, target)
    assert p.dtype == q.dtype == dtype
    for weights in (p, q):
        assert weights.min() > 0
        assert sum(map(Fraction, weights.tolist())) == 1
    assert target / 3 < exact < 3 * target


# The suite for asv ---------------------------------------------------------------------------------------------------


def test_the_suite_has_every_public_function_and_every_operation():
    entries = {name: benchmark.entry for name, benchmark in suite.BENCHMARKS.items()}
    assert {name: entry.function for name, entry in entries.items() if name in FUNCTIONS} == FUNCTIONS
    operations = {entry.operation for entry in entries.values()} - {None}
    assert operations == {*_kernels.OPERATIONS, *_kernels.ELEMENTWISE}


class Recorder(dict):
    """A table that remembers what was looked up in it."""

    def __init__(self, table, names):
        super().__init__(table)
        self.names = names

    def __getitem__(self, name):
        self.names.append(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("name", suite.BENCHMARKS if BENCHMARKS.exists() else ())
def test_a_benchmark_times_what_its_name_says(name, monkeypatch):
    names = []
    operations = Recorder(_kernels.OPERATIONS, names)
    for module in (_dispatch, _kernels):  # whichever way the call goes
        monkeypatch.setattr(module, "OPERATIONS", operations)
    monkeypatch.setattr(_kernels, "ELEMENTWISE", Recorder(_kernels.ELEMENTWISE, names))
    benchmark = suite.BENCHMARKS[name]()
    assert type(benchmark).__name__ == name.replace(".", "_")
    shape, dtype = "10", "float32"
    benchmark.setup(shape, dtype)
    names.clear()
    benchmark.time_call(shape, dtype)
    if benchmark.entry.operation is not None:
        assert set(names) == {benchmark.entry.operation}


def test_a_function_with_an_unknown_parameter_is_named():
    def newcomer(p, wavelength):
        pass

    with pytest.raises(LookupError, match="newcomer: wavelength"):
        suite.make_inputs(newcomer, (10,), "float32")
