"""The house keeps its own rules: docstrings, the operation table, the twin, the build's flags, the size of files."""

import doctest
import importlib
import inspect
import operator
import pkgutil
import re
from pathlib import Path

import pytest

import klfast
from klfast import _kernels, _reference

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "klfast"


# The modules of public functions, with the prefix by which users reach them.
PUBLIC = (
    ("", klfast.probs),
    ("", klfast.divergences),
    ("", klfast.elementwise),
    ("logits.", klfast.logits),
    ("logprobs.", klfast.logprobs),
    ("distill.", klfast.distill),
    ("families.", klfast.families),
    ("gaussian.", klfast.gaussian),
    ("rlhf.", klfast.rlhf),
)


def homes(module):
    """The names of the modules in which the functions of a module or package are written."""
    inner = pkgutil.iter_modules(getattr(module, "__path__", []), module.__name__ + ".")
    return [module.__name__, *(one.name for one in inner)]


def functions_in(module, written_in):
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ in written_in and not name.startswith("_")
    }


def public_functions():
    """Every function of every family, by the name it has in klfast."""
    return {
        prefix + name: function
        for prefix, module in PUBLIC
        for name, function in functions_in(module, homes(module)).items()
    }


FUNCTIONS = public_functions()
WITH_EXAMPLES = sorted({function.__module__ for function in FUNCTIONS.values()}) + ["klfast._threads", "klfast._config"]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_docstrings_are_right(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_the_python_examples_of_the_readme_are_right():
    outcome = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_documented_whole(name):
    text = inspect.getdoc(FUNCTIONS[name])
    for section in ("Parameters", "Returns", "Raises", "Notes", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, section
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        assert re.search(rf"\b{parameter}\b", text), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_its_plain_twin_with_the_same_keywords(name):
    twin = getattr(_reference, name.replace(".", "_"))
    without = {"out", "n_threads", "check", "dtype"}  # these change no value
    signature = inspect.signature(FUNCTIONS[name])
    expected = [parameter for parameter in signature.parameters.values() if parameter.name not in without]
    assert list(inspect.signature(twin).parameters.values()) == expected


@pytest.mark.parametrize("prefix, module", PUBLIC, ids=lambda value: getattr(value, "__name__", ""))
def test_packages_offer_every_function_that_is_written_in_them(prefix, module):
    written = {}
    for home in homes(module):
        written |= functions_in(importlib.import_module(home), [home])
    assert written == functions_in(module, homes(module))
    offered = [
        name for name in getattr(module, "__all__", sorted(written)) if not inspect.isclass(getattr(module, name))
    ]
    assert sorted(written) == offered


def test_every_function_can_be_reached_from_klfast():
    for name, function in FUNCTIONS.items():
        assert operator.attrgetter(name)(klfast) is function


def test_every_operation_of_the_table_has_a_function():
    functions = {name.replace(".", "_") for name in FUNCTIONS}
    raw = {
        f"raw_{name}"
        for name, function in FUNCTIONS.items()
        if "." not in name and "normalize" in inspect.signature(function).parameters
    }
    elementwise = set(_kernels.ELEMENTWISE)
    assert elementwise <= functions
    # Roots of a divergence; gradients, which the operation of the value has with it; what calls other functions.
    roots = {"js_distance", "raw_js_distance", "logits_js_distance"}
    gradients = {name for name in functions if name.endswith("_grad")}
    uses = ("logprobs_", "distill_", "families_", "gaussian_", "rlhf_")
    callers = {name for name in functions if name.startswith(uses)} | {"logits_compare_rows"}
    other_targets = {"logits_smoothed_cross_entropy", "logits_soft_cross_entropy"}
    assert set(_kernels.OPERATIONS) == (functions | raw | other_targets) - elementwise - roots - gradients - callers


# Where a measurement demanded them, and why stands beside them: float16 is read in one instruction, and floats are widened as
# they are loaded. None of them computes.
INTRINSICS = {
    "level.inc.h": {
        "_mm256_loadu_si256",
        "_mm256_set1_epi32",
        "_mm256_test_epi32_mask",
        "_mm512_loadu_si512",
        "_mm512_set1_epi32",
        "_mm512_test_epi32_mask",
    },
    "tile_sums.inc.h": {"_mm_loadu_ps", "_mm256_cvtps_pd", "_mm256_loadu_ps", "_mm512_cvtps_pd"},
    "reading.inc.h": {"_mm256_storeu_ps", "_mm256_cvtph_ps", "_mm_loadu_si128"},
    "transpose.inc.h": {
        "_mm_loadu_ps",
        "_mm_storeu_ps",
        "_mm256_castps128_ps256",
        "_mm256_castps256_ps128",
        "_mm256_insertf128_ps",
        "_mm256_extractf128_ps",
        "_mm512_castps128_ps512",
        "_mm512_castps512_ps128",
        "_mm512_insertf32x4",
        "_mm512_extractf32x4_ps",
    },
}


def test_the_build_takes_no_liberties_with_arithmetic():
    text = (ROOT / "setup.py").read_text()
    assert "-ffp-contract=off" in text
    for flag in ("-ffast-math", "-Ofast", "-funsafe-math", "-fassociative-math", "-freciprocal-math", "-ffinite-math"):
        assert flag not in text
    for path in [*SOURCE.rglob("*.h"), *SOURCE.rglob("*.c"), *SOURCE.rglob("*.pyx"), *SOURCE.rglob("*.pxi")]:
        text = path.read_text()
        assert not re.search(r"fast-math|#pragma omp .*reduction", text), path
        assert set(re.findall(r"_mm\d*_\w+", text)) <= INTRINSICS.get(path.name, set()), path


def source_files():
    folders = ("src", "tests", "benchmarks", "tools", "examples")
    return [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyx", ".pxi", ".pyi", ".c", ".h")
    ]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_lines_narrow(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 450
    assert max(map(len, lines), default=0) <= 128
