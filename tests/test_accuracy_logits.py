"""KL, JS, entropy, cross-entropy and logsumexp of logits are as accurate as promised, at every CPU level.

Each promise is a bound on the relative error against the exact value for the very numbers given (see `oracles`).
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_logits
import pytest
from cpu_levels import LEVELS, call, call_each
from distributions import LONG_LENGTHS, SHORT_LENGTHS
from logit_distributions import LOGIT_PAIRS, logit_pair

DTYPES = ("float32", "float64")
OPERATIONS = ("kl_divergence", "js_divergence", "entropy", "cross_entropy", "logsumexp")
BOUNDS = {
    ("kl_divergence", "float32"): 2.0**-21,
    ("js_divergence", "float32"): 2.0**-21,
    ("entropy", "float32"): 2.0**-22,
    ("cross_entropy", "float32"): 2.0**-22,
    ("logsumexp", "float32"): 2.0**-22,
    ("kl_divergence", "float64"): 2.0**-49,
    ("js_divergence", "float64"): 2.0**-49,
    ("entropy", "float64"): 2.0**-49,
    ("cross_entropy", "float64"): 2.0**-49,
    ("logsumexp", "float64"): 2.0**-49,
}
# Where the exact answer is 0 for rows that are not equal but shifted: what may be left of it.
NEXT_TO_NOTHING = 2.0**-90

LONG_NAMES = (
    "normal",
    "near equal 1e-3",
    "near equal 1e-7",
    "shifted by 100",
    "confident",
    "ascending",
    "blocks masked in x",
)


def arguments(operation, x, y, target):
    """What the operation is called with, for rows x and y and a class id."""
    if operation in ("kl_divergence", "js_divergence"):
        return x, y
    return (x, target) if operation == "cross_entropy" else (x,)


def target_of(x, choice):
    """A class that is worth asking for: the likeliest, or the last one that is possible."""
    return int(np.argmax(x)) if choice == "likeliest" else int(np.flatnonzero(x > -np.inf)[-1])


@functools.cache
def exact_value(operation, name, length, dtype, choice=None):
    """The oracle's answer for a named pair, worked out once for all levels, with the size to measure errors against."""
    x, y = (row.astype(np.float64) for row in logit_pair(name, length, dtype))
    value = getattr(oracles, f"logits_{operation}")(*arguments(operation, x, y, choice and target_of(x, choice)))
    return value, (oracles.size_of_logsumexp(x) if operation == "logsumexp" else None)


def assert_right(operation, dtype, result, exact, size, about=""):
    if exact == 0 and size is None:
        assert 0.0 <= result <= NEXT_TO_NOTHING, f"{about}{result!r} where the exact value is 0"
        return
    error = oracles.relative_error(result, exact, size)
    bound = BOUNDS[operation, dtype]
    assert error <= bound, f"{about}got {result!r}, exact {float(exact)!r}: {error / bound:.3g} times the bound"
    assert operation == "logsumexp" or result >= 0.0, about


def assert_accurate(level, operation, name, length, dtype):
    x, y = logit_pair(name, length, dtype)
    for choice in ("likeliest", "last") if operation == "cross_entropy" else (None,):
        result = call(level, f"logits.{operation}", *arguments(operation, x, y, choice and target_of(x, choice)))
        exact, size = exact_value(operation, name, length, dtype, choice)
        assert_right(operation, dtype, result, exact, size, f"a row of {length}: ")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LOGIT_PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_accurate_for_every_kind_of_logits(operation, dtype, name, level):
    for length in SHORT_LENGTHS:
        assert_accurate(level, operation, name, length, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation != "js_divergence"])
@pytest.mark.parametrize("length", LONG_LENGTHS)
@pytest.mark.parametrize("name", LONG_NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_accurate_for_long_rows(operation, dtype, name, length, level):
    assert_accurate(level, operation, name, length, dtype)


# Its exact value takes three logarithms for every class, so fewer rows have to do.
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("name", "length"),
    [("near equal 1e-3", 49152), ("near equal 1e-7", 49152), ("blocks masked in x", 49152), ("normal", 100003)],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_js_divergence_is_accurate_for_long_rows(dtype, name, length, level):
    assert_accurate(level, "js_divergence", name, length, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 3, 5, 8, 10, 16, 17, 31, 33, 100))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_many_short_rows_are_accurate_each(operation, dtype, length, level):
    """A table with all kinds of rows next to each other: one row's numbers must not touch another's."""
    choice = "last" if operation == "cross_entropy" else None
    rows = [logit_pair(name, length, dtype) for name in LOGIT_PAIRS]
    x, y = (np.stack(side) for side in zip(*rows, strict=True))
    targets = np.array([target_of(row, choice) for row in x])
    results = call(level, f"logits.{operation}", *arguments(operation, x, y, targets))
    wrong = {}
    for name, result in zip(LOGIT_PAIRS, results, strict=True):
        try:
            assert_right(operation, dtype, result, *exact_value(operation, name, length, dtype, choice))
        except AssertionError as error:
            wrong[name] = str(error)
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOGIT_PAIRS)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence"))
def test_the_divergence_of_a_row_from_itself_is_exactly_zero(operation, name, dtype, level):
    for length in (*SHORT_LENGTHS, *LONG_LENGTHS):
        for row in logit_pair(name, length, dtype):
            results = call_each(level, f"logits.{operation}", [(row, row), (row, row.copy())])
            assert results == [0.0, 0.0], length


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shift", (-4096.0, -1.0, 64.0, 100.0))
@pytest.mark.parametrize("length", (1, 2, 64, 1000, 49152))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence"))
def test_divergences_of_shifted_rows_are_next_to_nothing(operation, dtype, length, shift, level):
    """Multiples of 1/64, so that the shift is exact and so is the answer 0."""
    x = (np.random.default_rng(length).integers(-640, 640, length) / 64.0).astype(dtype)
    result = call(level, f"logits.{operation}", x, (x + shift).astype(dtype))
    assert 0.0 <= result <= NEXT_TO_NOTHING


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_possible_class_is_certain(dtype, level):
    for length in (1, 2, 64, 1000):
        x = np.full(length, -np.inf, dtype)
        x[length // 2] = -3.7
        assert call(level, "logits.entropy", x) == 0.0
        assert call(level, "logits.cross_entropy", x, length // 2) == 0.0
        assert call(level, "logits.logsumexp", x) == x[length // 2]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_disjoint_supports_have_a_js_divergence_of_log_two_and_no_more(dtype, level):
    bound = BOUNDS["js_divergence", dtype]
    for length in (2, 10, 64, 129, 1000, 5000):
        x, y = logit_pair("normal", length, dtype)
        x[: length // 2] = y[length // 2 :] = -np.inf
        apart = np.log(2.0) - call(level, "logits.js_divergence", x, y)
        assert 0.0 <= apart <= bound * np.log(2.0)
        assert call(level, "logits.js_divergence", x, y, base=2) <= 1.0
        assert call(level, "logits.js_distance", x, y) <= np.sqrt(np.log(2.0))
        for beta in (1e-20, 0.01, 0.1, 0.9):
            exact = float(-(beta * mpmath.log(beta) + (1 - mpmath.mpf(beta)) * mpmath.log1p(-beta)))
            share = call(level, "logits.js_divergence", x, y, beta=beta) / exact
            assert 1.0 - bound <= share <= 1.0 + 2.0**-51  # its own rounding


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_class_impossible_in_y_alone_makes_kl_infinite_wherever_it_stands(dtype, level):
    x, y = logit_pair("normal", 1000, dtype)
    for position in (0, 1, 63, 64, 500, 998, 999):
        masked = y.copy()
        masked[position] = -np.inf
        assert call(level, "logits.kl_divergence", x, masked) == np.inf
        assert call(level, "logits.kl_divergence", masked, x) < np.inf


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_class_that_the_first_row_nearly_rules_out_counts_with_all_digits(dtype, level):
    """What rounding takes of log(p/q) = -20 is a share of q, and that may be most of the divergence; so may be a block with one
    class that differs, whose mean is far from that of its likeliest classes."""
    random = np.random.default_rng(4)
    wrong = {}
    for length in (10, 100, 1000, 5000):
        for far in (5.9, 10.6, 19.3, 27.1):
            x = random.normal(0.0, 0.3, length)
            x[length // 3] = far
            y = x + 0.05 * random.normal(size=length)
            y[: length // 5] += far - 3.0
            lone = 0.05 * random.normal(size=length)
            lone[length // 3] = -2.85
            for name, other in (("ruled out", y), ("one class", np.minimum(x, 2.3) + lone)):
                first = (x if name == "ruled out" else np.minimum(x, 2.3)).astype(dtype)
                second = other.astype(dtype)
                for temperature in (1.0, 0.7, 0.9):
                    exact = oracles_logits.kl_divergence(*(one.astype(float) for one in (first, second)), temperature)
                    result = call(level, "logits.kl_divergence", first, second, temperature=temperature)
                    units = oracles.relative_error(result, exact) / BOUNDS["kl_divergence", dtype]
                    if not units <= 1.0:
                        wrong[name, length, far, temperature] = f"{units:.3g} times the bound"
    assert not wrong
