"""The divergences that compare distributions are as accurate as promised, at every CPU level.

Each promise is a bound on the relative error against the exact value for the very numbers given (see
`oracles_divergences`). All terms of these sums have one sign, so the bounds hold for raw sums just as well.
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_divergences
import pytest
from cpu_levels import LEVELS, call
from distributions import PAIRS, SHORT_LENGTHS, pair
from reductions import from_bfloat16_bits, to_bfloat16_bits

DTYPES = ("float32", "float64")
OPERATIONS = ("js_divergence", "total_variation", "hellinger", "chi2_divergence", "jeffreys")
SYMMETRIC = ("js_divergence", "js_distance", "total_variation", "hellinger", "jeffreys")
LARGEST = {"js_divergence": np.log(2.0), "js_distance": np.sqrt(np.log(2.0)), "total_variation": 1.0, "hellinger": 1.0}
ROOTS = ("hellinger", "js_distance")  # these halve the relative error of what is below the root
BOUNDS = {"float16": 2.0**-21, "bfloat16": 2.0**-21, "float32": 2.0**-21, "float64": 2.0**-49, "int64": 2.0**-49}
# Where the exact answer is 0 for rows that are not equal but proportional: what may be left of it, below the root.
NEXT_TO_NOTHING = 2.0**-90

# Long rows cost the oracle seconds, hence few of them.
LONG = (
    ("uniform", 49152),
    ("ratio 1 +- 1e-5", 49152),
    ("blocks of zeros", 20011),
    ("one ulp", 20011),
    ("counts", 20011),
    ("every exponent", 5000),
)

# The raw sums of these (for hellinger: what is below the root) exceed the largest double, as their definition says.
OVERFLOWING = ("near overflow", "near overflow, near equal", "huge and tiny", "every exponent", "every exponent, near")
RAW = [(name, dtype) for name in PAIRS for dtype in DTYPES if dtype == "float32" or name not in OVERFLOWING]

NARROW_NAMES = (
    "uniform",
    "Dirichlet 1",
    "peaked",
    "confident and confident",
    "zeros in both",
    "blocks of zeros",
    "ratio 1 +- 1e-1",
    "ratio 1 +- 1e-3",
    "small counts",
    "long tail",
)
COUNTS = ("counts", "small counts", "resampled counts")


@functools.cache
def exact_value(operation, name, length, dtype, normalize=True):
    """The oracle's answer for a named pair, worked out once for all levels."""
    rows = [row.astype(np.float64) for row in pair(name, length, dtype)]
    return getattr(oracles_divergences, operation)(*rows, normalize)


def bound_of(operation, dtype):
    return BOUNDS[dtype] / 2 if operation in ROOTS else BOUNDS[dtype]


def units_of_error(operation, result, exact, bound):
    """The error in units of the bound."""
    if exact == 0:
        limit = np.sqrt(NEXT_TO_NOTHING) if operation in ROOTS else NEXT_TO_NOTHING
        return 0.0 if 0.0 <= result <= limit else np.inf
    if mpmath.isfinite(exact) and exact >= mpmath.ldexp(1, 1024):  # beyond the largest double
        return 0.0 if result == np.inf else np.inf
    units = oracles.relative_error(result, exact) / bound
    if operation in ROOTS and not units <= 1.0 and np.isfinite(result):
        with mpmath.workprec(256):  # a double cannot be right about less than 2**-1022, not below the root either
            units = 0.0 if abs(mpmath.mpf(float(result)) ** 2 - exact**2) <= mpmath.ldexp(1, -1022) else units
    return units


def wrong(operation, results, exact_values, bound):
    """What is beyond the bound, as readable as can be; results and exact values go by the same names."""
    return {
        key: f"got {float(result)!r}, exact {float(exact_values[key])!r}: {units:.3g} times the bound"
        for key, result in results.items()
        if not (units := units_of_error(operation, result, exact_values[key], bound)) <= 1.0
    }


def within_limits(operation, results):
    return all(0.0 <= result <= LARGEST.get(operation, np.inf) for result in results.values())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", (*OPERATIONS, "js_distance"))
def test_accurate_for_every_distribution(operation, dtype, name, level):
    lengths = (2, 65) if operation == "js_distance" else SHORT_LENGTHS
    results = {length: call(level, operation, *pair(name, length, dtype)) for length in lengths}
    exact = {length: exact_value(operation, name, length, dtype) for length in lengths}
    assert not wrong(operation, results, exact, bound_of(operation, dtype))
    assert within_limits(operation, results)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name, length", LONG)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_accurate_for_long_rows(operation, dtype, name, length, level):
    results = {length: call(level, operation, *pair(name, length, dtype))}
    exact = {length: exact_value(operation, name, length, dtype)}
    assert not wrong(operation, results, exact, bound_of(operation, dtype))
    assert within_limits(operation, results)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name, dtype", RAW)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_raw_sums_are_as_accurate(operation, name, dtype, level):
    lengths = (1, 2, 65, 1000)
    results = {length: call(level, operation, *pair(name, length, dtype), normalize=False) for length in lengths}
    exact = {length: exact_value(operation, name, length, dtype, False) for length in lengths}
    assert not wrong(operation, results, exact, bound_of(operation, dtype))
    assert all(results[length] == 0.0 for length in lengths if exact[length] == 0)


# Many rows at once ---------------------------------------------------------------------------------------------------


@functools.cache
def table(length, dtype):
    """500 rows that come ever closer: q is p up to factors within 1 +- 1, ..., 1 +- 1e-12."""
    random = np.random.default_rng(length)
    p = random.uniform(0.1, 1.0, (500, length)).astype(dtype)
    distance = np.logspace(0.0, -12.0 if dtype == "float64" else -6.0, 500)[:, np.newaxis]
    return p, (p * (1.0 + distance * random.uniform(-0.99, 1.0, (500, length)))).astype(dtype)


@functools.cache
def exact_values_of_table(operation, length, dtype):
    """Of every 25th row."""
    p, q = (rows.astype(np.float64) for rows in table(length, dtype))
    return {row: getattr(oracles_divergences, operation)(p[row], q[row]) for row in range(0, 500, 25)}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (2, 3, 7, 10, 33, 100, 512, 513))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_many_rows_are_accurate_each(operation, dtype, length, level):
    results = dict(enumerate(call(level, operation, *table(length, dtype))))
    exact = exact_values_of_table(operation, length, dtype)
    assert not wrong(operation, {row: results[row] for row in exact}, exact, bound_of(operation, dtype))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 3, 5, 8, 10, 16, 17, 31, 33, 100))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_rows_of_all_kinds_side_by_side_are_accurate_each(operation, dtype, length, level):
    """One row's numbers must not touch another's."""
    p, q = (np.stack(side) for side in zip(*(pair(name, length, dtype) for name in PAIRS), strict=True))
    results = dict(zip(PAIRS, call(level, operation, p, q), strict=True))
    exact = {name: exact_value(operation, name, length, dtype) for name in PAIRS}
    assert not wrong(operation, results, exact, bound_of(operation, dtype))


# Exact answers, limits and symmetry ----------------------------------------------------------------------------------

ALPHAS = (0, 0.3, 0.5, 0.999, 1.001, 1.5, 2, 2.7, 3, 10, 31.5, 32, np.inf)
CALLS = [(operation, {}) for operation in (*OPERATIONS, "js_distance")]
CALLS += [("renyi_divergence", {"alpha": alpha}) for alpha in (*ALPHAS, 1)]
CALLS += [("js_divergence", {"weights": (1.0, 2.0)}), ("js_distance", {"weights": (0.3, 0.7)})]
CALL_NAMES = ["-".join([operation, *map(str, keywords.values())]) for operation, keywords in CALLS]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation, keywords", CALLS, ids=CALL_NAMES)
def test_identical_rows_are_exactly_zero_apart(operation, keywords, dtype, level):
    not_zero = {}
    for length in (1, 2, 64, 65, 1000, 20011):
        rows = np.stack([row for name in PAIRS for row in pair(name, length, dtype)])
        results = call(level, operation, rows, rows.copy(), **keywords)
        alone = call(level, operation, rows[0], rows[0].copy(), **keywords)
        not_zero |= {(length, row): value for row, value in enumerate([*results, alone]) if not value == 0.0}
    assert not not_zero


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_stack_of_identical_rows_is_exactly_zero_apart(dtype, level):
    for length in (1, 2, 65, 1000):
        rows = np.stack([row for name in PAIRS for row in pair(name, length, dtype)])
        assert not np.any(call(level, "js_divergence", np.stack([rows] * 3), weights=(0.1, 0.2, 0.4)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation, keywords", CALLS, ids=CALL_NAMES)
def test_proportional_rows_are_next_to_nothing_apart(operation, keywords, dtype, level):
    """Small whole numbers, so that the multiple is exact and so is the answer 0."""
    results = {}
    for length in (1, 2, 64, 1000, 49152):
        p = np.random.default_rng(length).integers(0, 1000, length).astype(dtype)
        p[0] = 7
        for factor in (2.0**-60, 0.5, 3.0, 1024.0, 1e4):
            results[length, factor] = call(level, operation, p, (p * factor).astype(dtype), **keywords)
    assert not wrong(operation, results, dict.fromkeys(results, 0), None)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (2, 3, 10, 64, 65, 1000, 49152))
def test_rows_without_a_common_event_are_as_far_apart_as_can_be(length, dtype, level):
    p, q = (row.copy() for row in pair("uniform", length, dtype))
    halves = np.arange(length) < length // 2
    in_turn = np.arange(length) % 2 == 0
    for chosen in (halves, in_turn):
        rows = np.where(chosen, p, 0).astype(dtype), np.where(chosen, 0, q).astype(dtype)
        for function in ("js_divergence", "js_distance"):
            assert call(level, function, *rows) == LARGEST[function], function
        for function in ("total_variation", "hellinger"):
            assert 1.0 - bound_of(function, dtype) <= call(level, function, *rows) <= 1.0, function
        assert call(level, "renyi_divergence", *rows, 0.5) == np.inf


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (2, 3, 10, 64, 65, 1000))
def test_nothing_is_further_apart_than_can_be(length, dtype, level):
    """Rows with next to nothing in common, for which rounding could do it."""
    random = np.random.default_rng(length)
    tiny = random.uniform(0.0, np.finfo(dtype).eps, (200, 1))
    p, q = random.uniform(0.1, 1.0, (2, 200, length))
    mine = np.arange(length) < max(1, length // 3)
    p, q = (np.where(chosen, row, row * tiny).astype(dtype) for chosen, row in ((mine, p), (~mine, q)))
    for function, largest in LARGEST.items():
        results = call(level, function, p, q)
        assert np.all(results <= largest), function
        assert np.all(results >= 0.999 * largest), function


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 33, 65, 1000))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", SYMMETRIC)
def test_symmetric_within_the_bound(operation, dtype, length, level):
    """Rows of one number or two may be proportional: then the answer is 0, up to next to nothing."""
    p, q = (np.stack(side) for side in zip(*(pair(name, length, dtype) for name in PAIRS), strict=True))
    results = dict(zip(PAIRS, call(level, operation, p, q), strict=True))
    mirrored = dict(zip(PAIRS, map(mpmath.mpf, call(level, operation, q, p).tolist()), strict=True))
    if length <= 2:
        mirrored |= {name: 0 for name in PAIRS if exact_value("total_variation", name, length, dtype) == 0}
    assert not wrong(operation, results, mirrored, bound_of(operation, dtype))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (3, 129, 1000))
def test_an_impossible_event_that_happened_is_infinite_wherever_it_stands(length, dtype, level):
    p, q = pair("uniform", length, dtype)
    for position in {0, 1, 63, 64, length // 2, length - 2, length - 1} & set(range(length)):
        with_zero = q.copy()
        with_zero[position] = 0.0
        assert call(level, "chi2_divergence", p, with_zero) == np.inf
        assert call(level, "chi2_divergence", with_zero, p) < np.inf
        assert call(level, "jeffreys", p, with_zero) == np.inf
        assert call(level, "jeffreys", with_zero, p) == np.inf
        for alpha in ALPHAS:
            assert (call(level, "renyi_divergence", p, with_zero, alpha) == np.inf) == (alpha > 1)
            assert call(level, "renyi_divergence", with_zero, p, alpha) < np.inf
        with_zeros = p.copy()
        with_zeros[position] = 0.0
        for operation in OPERATIONS:
            assert call(level, operation, with_zeros, with_zero) < np.inf, operation


# Other types ---------------------------------------------------------------------------------------------------------


def typed_pair(name, length, dtype):
    """The named rows rounded to that type, as klfast takes them and as the numbers they are."""
    if dtype == "bfloat16":
        bits = [to_bfloat16_bits(row) for row in pair(name, length, "float32")]
        return bits, [from_bfloat16_bits(row).astype(np.float64) for row in bits]
    rows = [row.astype(dtype) for row in pair(name, length, "float64")]
    return rows, [row.astype(np.float64) for row in rows]


@functools.cache
def exact_value_typed(operation, name, length, dtype):
    return getattr(oracles_divergences, operation)(*typed_pair(name, length, dtype)[1])


TYPED = [(name, dtype) for dtype in ("float16", "bfloat16") for name in NARROW_NAMES]
TYPED += [(name, "int64") for name in COUNTS]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name, dtype", TYPED)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_narrow_floats_and_counts_are_taken_as_the_numbers_they_are(operation, name, dtype, level):
    keywords = {"dtype": "bfloat16"} if dtype == "bfloat16" else {}
    lengths = (1, 2, 65, 1000)
    results = {length: call(level, operation, *typed_pair(name, length, dtype)[0], **keywords) for length in lengths}
    exact = {length: exact_value_typed(operation, name, length, dtype) for length in lengths}
    assert not wrong(operation, results, exact, bound_of(operation, dtype))
