"""The user guide: its examples run, its tables of equals hold, its reference is whole, and Sphinx has nothing to say."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import test_accuracy_divergences
import test_accuracy_gaussian
import test_accuracy_gradients
import test_accuracy_logits
import test_accuracy_logprobs
import test_accuracy_losses
import test_accuracy_probability
import test_accuracy_renyi_and_mixtures
import test_accuracy_rlhf
import test_accuracy_softmax
from command import run_well, without
from logit_rows import EPSILON, REAL
from test_structure import FUNCTIONS, ROOT

import klfast

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.rst"))
REFERENCE = [page for page in PAGES if page.startswith("api/")]
WITH_EXAMPLES = [page for page in PAGES if ">>> " in (DOCS / page).read_text(encoding="utf-8")]
# What a page is about, and what some rows of a table are: without it they cannot be tried.
NEEDED = {"from_torch.rst": ("torch",), "from_jax.rst": ("jax", "optax")}
NEEDED_IN_ROWS = {"sklearn": "sklearn.metrics"}


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


def run_examples(page):
    """Run what a page shows: how many examples and how many failures there were, and the names that they leave behind."""
    for library in NEEDED.get(page, ()):
        pytest.importorskip(library, reason=f"the page is about {library}")
    examples = doctest.DocTestParser().get_doctest(text_of(page), {}, page, page, 0)
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, clear_globs=False)
    return outcome, examples.globs


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_the_examples_are_right(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome, _ = run_examples(page)
    assert outcome.attempted > 0
    assert outcome.failed == 0


# Tables of equals ----------------------------------------------------------------------------------------------------


def tables(page, kind):
    """The rows of the list-tables of this class: of each row, the cells."""
    for table in re.findall(r"^\.\. list-table::.*\n((?:   .*\n|\n)*)", text_of(page), re.MULTILINE):
        if f":class: {kind}" in table:
            for row in re.split(r"^   \* - ", table, flags=re.MULTILINE)[1:]:
                yield [" ".join(cell.split()) for cell in re.split(r"^     - ", row, flags=re.MULTILINE)]


def equals(page):
    """The rows with two cells of nothing but code."""
    for cells in tables(page, "equivalents"):
        codes = [cell[2:-2] for cell in cells if re.fullmatch(r"``[^`]+``", cell)]
        assert len(codes) in (0, 2), cells  # none in a heading
        if codes:
            yield codes


def can_be_tried(codes, names):
    for library, module in NEEDED_IN_ROWS.items():
        if f"{library}." in codes[0]:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError:
                return False
            names[library] = sys.modules[library]
    return True


@pytest.mark.parametrize("page", [page for page in PAGES if ":class: equivalents" in text_of(page)])
def test_what_stands_in_one_row_of_a_table_is_equal(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, names = run_examples(page)
    names |= {"np": np, "inf": np.inf, "nan": np.nan}
    wrong = {}
    tried = 0
    for codes in equals(page):
        if can_be_tried(codes, names):
            one, other = (np.asarray(eval(code, names), np.float64) for code in codes)
            tried += 1
            if one.shape != other.shape or not np.allclose(one, other, rtol=1e-10, atol=1e-13, equal_nan=True):
                wrong[codes[0]] = f"{one} is not {codes[1]}: {other}"
    assert tried > 5
    assert not wrong


# The command ---------------------------------------------------------------------------------------------------------


def test_the_command_prints_what_the_page_shows(tmp_path):
    """In plain text, as without rich; lines are compared without the spaces at their ends."""
    (block,) = re.findall(r"^\.\. code-block:: console\n\n((?:   .*\n|\n)+)", text_of("compare.rst"), re.MULTILINE)
    command, *shown = [line[3:] for line in block.rstrip().splitlines()]
    printed = run_well(*command.removeprefix("$ klfast ").split(), cwd=ROOT, env=without("rich", tmp_path))
    assert [line.rstrip() for line in printed.splitlines()] == shown


# What is promised ----------------------------------------------------------------------------------------------------


def largest(bounds, function=None):
    """The bounds of a test module: for float32, and for float64. They go by type, or by function and type."""
    return tuple(bounds[dtype if function is None else (function, dtype)] for dtype in ("float32", "float64"))


def held(name):
    """The bounds to which the tests hold a function, for float32 and for float64, wherever they do."""
    divergences = test_accuracy_divergences
    by_name = (test_accuracy_probability.BOUNDS, test_accuracy_logits.BOUNDS, test_accuracy_logprobs.BOUNDS)
    found = [largest(bounds, name) for bounds in by_name if (name, "float32") in bounds]
    if name in (*divergences.OPERATIONS, *divergences.ROOTS):
        found.append(tuple(divergences.bound_of(name, dtype) for dtype in ("float32", "float64")))
    others = {
        "cross_entropy": test_accuracy_losses.BOUNDS,
        "logits.softmax": {dtype: test_accuracy_softmax.UNITS["softmax", dtype] * EPSILON[dtype] for dtype in REAL},
        "logits.log_softmax": {
            dtype: test_accuracy_softmax.UNITS["log_softmax", dtype] * EPSILON[dtype] for dtype in REAL
        },
        "logits": test_accuracy_gradients.BOUNDS,
        "rlhf.kl_estimate": test_accuracy_rlhf.BOUND,
        "gaussian.kl_standard_normal": test_accuracy_gaussian.BOUNDS,
        "gaussian.kl_divergence": test_accuracy_gaussian.BOUNDS,
        "renyi_divergence": dict.fromkeys(REAL, test_accuracy_renyi_and_mixtures.RENYI_BOUND),
    }
    return found + ([largest(others[name])] if name in others else [])


def power_of_two(text):
    """2⁻²¹ -> 2**-21"""
    assert re.fullmatch("2⁻[⁰¹²³⁴-⁹]+", text), text
    return 2.0 ** -int(text[2:].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))


def test_the_bounds_that_the_guide_states_are_those_of_the_tests():
    names = []
    for cells in list(tables("accuracy.rst", "bounds"))[1:]:
        promised = tuple(map(power_of_two, cells[1:]))
        for name in re.findall(r"``([^`]+)``", cells[0]):
            names.append(name)
            assert set(held(name)) == {promised}, name
    assert len(names) == len(set(names)) == 16


# The reference, and the whole ----------------------------------------------------------------------------------------


def described(page):
    """The names, as users reach them, that a page of the reference describes."""
    text = text_of(page)
    (module,) = re.findall(r"^\.\. automodule:: klfast\.?(\w*)$", text, re.MULTILINE)
    names = re.findall(r"^\.\. auto(?:function|class):: (\w+)", text, re.MULTILINE)
    assert names == re.findall(r"^   (\w+)$", text, re.MULTILINE), "the overview of the page has other names"
    return [f"{module}.{name}" if module else name for name in names]


def test_everything_public_is_in_the_reference():
    modules = ("distill", "families", "gaussian", "logits", "logprobs", "rlhf")
    public = {name for name in klfast.__all__ if name not in modules and name != "__version__"}
    for module in modules:
        public |= {f"{module}.{name}" for name in getattr(getattr(klfast, module), "__all__", ())}
    names = [name for page in REFERENCE for name in described(page)]
    assert sorted(names) == sorted(public | FUNCTIONS.keys())


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_short_and_lines_narrow(page):
    lines = text_of(page).splitlines()
    assert len(lines) <= 450
    assert max(map(len, lines)) <= 128


def test_sphinx_has_nothing_to_say(tmp_path):
    for library in ("sphinx", "furo", "numpydoc"):
        pytest.importorskip(library, reason="what makes the guide is not installed")
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", tmp_path / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, DOCS, tmp_path / "html"]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert {path.stem for path in (tmp_path / "html").rglob("*.html")} >= {Path(page).stem for page in PAGES}
