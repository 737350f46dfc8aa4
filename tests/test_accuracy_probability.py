"""KL, cross-entropy and entropy of probabilities and counts are as accurate as promised, at every CPU level.

Each promise is a bound on the relative error against the exact value for the very numbers given (see `oracles`).
"""

import functools

import numpy as np
import oracles
import pytest
from cpu_levels import LEVELS, call, call_each
from distributions import LONG_LENGTHS, PAIRS, SHORT_LENGTHS, pair

DTYPES = ("float32", "float64")
OPERATIONS = ("kl_divergence", "cross_entropy", "entropy")
BOUNDS = {
    ("kl_divergence", "float32"): 2.0**-21,
    ("cross_entropy", "float32"): 2.0**-22,
    ("entropy", "float32"): 2.0**-22,
    ("kl_divergence", "float64"): 2.0**-49,
    ("cross_entropy", "float64"): 2.0**-49,
    ("entropy", "float64"): 2.0**-49,
}
# Where the exact answer is 0 for rows that are not equal but proportional: what may be left of it.
NEXT_TO_NOTHING = 2.0**-90

LONG_NAMES = (
    "uniform",
    "Dirichlet 0.1",
    "peaked",
    "blocks of zeros",
    "ratio 1 +- 1e-5",
    "one ulp",
    "counts",
    "every exponent",
)

# The raw sums of these exceed the largest double, as their definition says.
OVERFLOWING = ("near overflow", "near overflow, near equal", "huge and tiny", "every exponent", "every exponent, near")


def arguments(operation, p, q):
    return (p,) if operation == "entropy" else (p, q)


@functools.cache
def exact_value(operation, name, length, dtype, normalize):
    """The oracle's answer for a named pair, worked out once for all levels, with the size to measure errors against."""
    rows = [row.astype(np.float64) for row in arguments(operation, *pair(name, length, dtype))]
    value = getattr(oracles, operation)(*rows, normalize)
    return value, (None if normalize else oracles.size_of_raw_terms(operation, *rows))


def assert_accurate(level, operation, name, length, dtype, normalize=True):
    exact, size = exact_value(operation, name, length, dtype, normalize)
    result = call(level, operation, *arguments(operation, *pair(name, length, dtype)), normalize=normalize)
    about = f"a row of {length}: {result!r}"
    if normalize and exact == 0:
        assert 0.0 <= result <= NEXT_TO_NOTHING, f"{about}, exact 0"
        return
    error = oracles.relative_error(result, exact, size)
    bound = BOUNDS[operation, dtype]
    assert error <= bound, f"{about}, exact {float(exact)!r}: {error / bound:.3g} times the bound"
    assert not normalize or result >= 0.0, about


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_accurate_for_every_distribution(operation, dtype, name, level):
    for length in SHORT_LENGTHS:
        assert_accurate(level, operation, name, length, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("length", LONG_LENGTHS)
@pytest.mark.parametrize("name", LONG_NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_accurate_for_long_rows(operation, dtype, name, length, level):
    assert_accurate(level, operation, name, length, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", [name for name in PAIRS if name not in OVERFLOWING])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_raw_sums_are_accurate_relative_to_their_terms(operation, dtype, name, level):
    for length in (1, 2, 65, 1000):
        assert_accurate(level, operation, name, length, dtype, normalize=False)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (49152,))
@pytest.mark.parametrize("name", ("uniform", "ratio 1 +- 1e-5"))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_long_raw_sums_are_accurate_relative_to_their_terms(operation, dtype, name, length, level):
    assert_accurate(level, operation, name, length, dtype, normalize=False)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 3, 5, 8, 10, 16, 17, 31, 33, 100))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_many_short_rows_are_accurate_each(operation, dtype, length, level):
    """A table with all kinds of rows next to each other: one row's numbers must not touch another's."""
    rows = [pair(name, length, dtype) for name in PAIRS]
    p, q = (np.stack(side) for side in zip(*rows, strict=True))
    results = call(level, operation, *arguments(operation, p, q))
    wrong = {}
    for name, result in zip(PAIRS, results, strict=True):
        exact, _ = exact_value(operation, name, length, dtype, True)
        if exact == 0:
            error = 0.0 if 0.0 <= result <= NEXT_TO_NOTHING else np.inf
        else:
            error = oracles.relative_error(result, exact)
        if not error <= BOUNDS[operation, dtype]:
            wrong[name] = (float(result), float(exact), error / BOUNDS[operation, dtype])
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PAIRS)
def test_kl_of_a_row_with_itself_is_exactly_zero(name, dtype, level):
    for length in (*SHORT_LENGTHS, *LONG_LENGTHS):
        for row in pair(name, length, dtype):
            results = call_each(level, "kl_divergence", [(row, row), (row, row.copy())])
            assert results == [0.0, 0.0], length


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_entropy_of_a_certain_event_is_exactly_zero(dtype, level):
    for length in (1, 2, 64, 1000):
        row = np.zeros(length, dtype)
        row[length // 2] = 0.7
        assert call(level, "entropy", row) == 0.0
        assert call(level, "cross_entropy", row, row) == 0.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ("kl_divergence", "cross_entropy"))
def test_an_impossible_event_that_happened_is_infinite_wherever_it_stands(operation, dtype, level):
    p, q = pair("uniform", 1000, dtype)
    for position in (0, 1, 63, 64, 500, 998, 999):
        with_zero = q.copy()
        with_zero[position] = 0.0
        assert call(level, operation, p, with_zero) == np.inf
        assert call(level, operation, with_zero, p) < np.inf
