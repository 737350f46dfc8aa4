"""Renyi's divergence, and the Jensen-Shannon divergence of weighted distributions and stacks, are as accurate as promised.

As in test_accuracy_divergences.py, at every CPU level, against exact values for the very numbers given.
"""

import functools

import numpy as np
import oracles
import oracles_divergences
import pytest
from cpu_levels import LEVELS, call
from distributions import PAIRS, pair
from test_accuracy_divergences import ALPHAS, BOUNDS, DTYPES, wrong

# Renyi ---------------------------------------------------------------------------------------------------------------

RENYI_BOUND = 2.0**-45
RENYI_NAMES = (
    "uniform",
    "Dirichlet 0.1",
    "peaked",
    "one-hot",
    "confident and confident",
    "zeros in p",
    "zeros in both",
    "ratio 1 +- 1e-1",
    "ratio 1 +- 1e-5",
    "ratio 1 +- 1e-12",
    "one ulp",
    "counts",
    "small counts",
    "long tail",
)
# Numbers at the ends of the range: these go through their logarithms, and errors are relative to the largest of them.
THROUGH_LOGARITHMS = ("subnormal", "near overflow", "huge and tiny", "every exponent")


@functools.cache
def exact_renyi(alpha, name, length, dtype):
    rows = [row.astype(np.float64) for row in pair(name, length, dtype)]
    return oracles_divergences.renyi_divergence(*rows, alpha), oracles_divergences.size_of_logarithms(*rows)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", RENYI_NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_renyi_is_accurate(dtype, name, level):
    cases = [(alpha, length) for length in (1, 2, 65, 600) for alpha in ALPHAS]
    results, exact = {}, {}
    for alpha, length in cases:
        results[alpha, length] = call(level, "renyi_divergence", *pair(name, length, dtype), alpha)
        exact[alpha, length] = exact_renyi(alpha, name, length, dtype)[0]
    assert not wrong("renyi_divergence", results, exact, RENYI_BOUND)
    assert all(result >= 0.0 for result in results.values())


# Where an order, or what it lacks of 1 or of 1/2, is next to nothing.
EDGES = (1e-300, 1e-100, 1e-30, 1e-17, 1.1e-16, 2e-16, 1e-15, 1e-12, 1e-8, 1e-5)
EDGES += tuple(
    near + side * gap for near in (0.5, 1.0) for side in (-1, 1) for gap in (2.0**-52, 1e-15, 1e-12, 1e-8, 1e-5)
)
LONELY = {
    "in q": ([1, 1, 0], [1, 1, 1]),
    "in q, and others apart": ([1, 1, 0, 3], [1, 2, 1, 3]),
    "rarely in q": ([0.3, 0.7, 0], [0.3, 0.7, 1e-9]),
    "in p": ([1, 1, 1], [1, 1, 0]),
    "rarely in p": ([0.3, 0.7, 1e-9], [0.3, 0.7, 0]),
    "in both": ([1, 2, 0, 5], [1, 0, 3, 4]),
    "in none": ([1, 2, 3], [3, 2, 2]),
    "in none, all near": ([3, 5], [3 * (1 + 1e-9), 5]),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("times", (1, 50))
@pytest.mark.parametrize("events", LONELY)
def test_renyi_of_orders_next_to_an_edge(events, times, level):
    p, q = (np.tile(np.array(row, np.float64), times) for row in LONELY[events])
    orders = sorted(EDGES)
    results = {alpha: call(level, "renyi_divergence", p, q, alpha) for alpha in (0, *orders)}
    exact = {alpha: oracles_divergences.renyi_divergence(p, q, alpha) for alpha in results}
    assert not wrong("renyi_divergence", results, exact, RENYI_BOUND)
    found = list(results.values())
    assert all(lower <= higher * (1 + RENYI_BOUND) for lower, higher in zip(found, found[1:]))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (3, 65, 5000))
@pytest.mark.parametrize("alpha", (0, 1e-12, 0.3, 1 - 1e-9, 1.5, 2, 2.7, 3, np.inf))
def test_renyi_takes_a_negative_zero_for_zero(alpha, length, level):
    p = np.resize([0.0, 3.0, 5.0], length)
    pairs = [(p, np.where(p == 3, 3 * (1 + 1e-8), p)), (p, np.where(p == 3, 1.0, p)), (p, p + 1)]
    for p, q in pairs:
        expected = call(level, "renyi_divergence", p, q, alpha)
        for signs in ((-1, 1), (1, -1), (-1, -1)):
            signed = (np.where(row == 0, np.copysign(0.0, sign), row) for row, sign in zip((p, q), signs))
            assert call(level, "renyi_divergence", *signed, alpha) == expected


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", (0.5, 1.5, 2, 3))
def test_renyi_is_accurate_for_long_rows(alpha, dtype, level):
    case = "ratio 1 +- 1e-3", 20011, dtype
    results = {alpha: call(level, "renyi_divergence", *pair(*case), alpha)}
    assert not wrong("renyi_divergence", results, {alpha: exact_renyi(alpha, *case)[0]}, RENYI_BOUND)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", THROUGH_LOGARITHMS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_renyi_at_the_ends_of_the_range_is_accurate_relative_to_the_logarithms(alpha, name, level):
    beyond = {}
    for length in (1, 2, 65, 600):
        result = call(level, "renyi_divergence", *pair(name, length, "float64"), alpha)
        exact, size = exact_renyi(alpha, name, length, "float64")
        units = oracles.relative_error(result, exact, size) / RENYI_BOUND * min(1.0, abs(alpha - 1.0))
        if not (units <= 1.0 and result >= 0.0):
            beyond[length] = f"got {result!r}, exact {float(exact)!r}: {units:.3g} times the bound"
    assert not beyond


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 65, 1000, 20011))
@pytest.mark.parametrize("dtype", DTYPES)
def test_renyi_of_order_one_is_the_kl_divergence_to_the_bit(dtype, length, level):
    p, q = (np.stack(side) for side in zip(*(pair(name, length, dtype) for name in PAIRS), strict=True))
    assert np.array_equal(call(level, "renyi_divergence", p, q, 1), call(level, "kl_divergence", p, q))


# Weighted and stacked Jensen-Shannon ---------------------------------------------------------------------------------

WEIGHTS = {"equal": (1.0, 1.0, 1.0), "unequal": (0.1, 0.2, 0.7), "one left out": (3.0, 0.0, 1.0)}


@functools.cache
def members(name, length, dtype):
    """p and q, and p in the opposite order where they differ much, or else something between p and q."""
    p, q = pair(name, length, dtype)
    third = p[::-1] if name in ("uniform", "peaked") else ((p.astype(np.float64) + q) / 2).astype(dtype)
    return np.stack([p, q, third])


@functools.cache
def exact_mixture(name, length, dtype, weights):
    rows = list(members(name, length, dtype).astype(np.float64))
    return oracles_divergences.mixture_divergence(rows[: len(weights)], weights)


MIXED_NAMES = (
    "uniform",
    "Dirichlet 0.1",
    "peaked",
    "one-hot",
    "zeros in both",
    "blocks of zeros",
    "ratio 1 +- 1e-1",
    "ratio 1 +- 1e-5",
    "ratio 1 +- 1e-12",
    "one ulp",
    "counts",
    "small counts",
)


# The mixture itself is rounded, which shows below this.
ROUNDED_MIXTURE = 2.0**-100


def wrong_mixture(results, exact, dtype):
    beyond = wrong("js_divergence", results, exact, BOUNDS[dtype])
    return {key: what for key, what in beyond.items() if not abs(float(results[key] - exact[key])) <= ROUNDED_MIXTURE}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MIXED_NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_js_is_accurate(dtype, name, level):
    results, exact = {}, {}
    for length in (1, 2, 65, 1000):
        p, q = members(name, length, dtype)[:2]
        for weights in ((1.0, 1.0), (0.3, 0.7), (1e-3, 5.0)):
            results[length, weights] = call(level, "js_divergence", p, q, weights=weights)
            exact[length, weights] = exact_mixture(name, length, dtype, weights)
    assert not wrong_mixture(results, exact, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", MIXED_NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_stacked_js_is_accurate(dtype, name, weights, level):
    results, exact = {}, {}
    for length in (1, 2, 65, 600):
        rows = members(name, length, dtype)
        results[length] = call(level, "js_divergence", rows, weights=WEIGHTS[weights])
        exact[length] = exact_mixture(name, length, dtype, WEIGHTS[weights])
    assert not wrong_mixture(results, exact, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_stack_without_weights_counts_all_alike(dtype, level):
    rows = members("uniform", 65, dtype)
    exact = exact_mixture("uniform", 65, dtype, WEIGHTS["equal"])
    root = oracles_divergences.root(exact)
    for operation, value, bound in (
        ("js_divergence", exact, BOUNDS[dtype]),
        ("js_distance", root, BOUNDS[dtype] / 2),
    ):
        assert not wrong(operation, {dtype: call(level, operation, rows)}, {dtype: value}, bound)


def nearly_alike(random):
    p = random.random(100)
    return p, p * (1.0 + 1e-8 * random.normal(size=100))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("alpha", (200.0, 1e4, 1e6, 1e8))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_large_orders_of_near_rows(dtype, alpha, level):
    """What c = sum p / sum q is off by, the order multiplies."""
    for seed in range(5):
        p, q = (row.astype(dtype).astype(np.float64) for row in nearly_alike(np.random.default_rng(seed)))
        if np.array_equal(p, q):
            q[0] = np.nextafter(q[0], 1.0)
        exact = oracles_divergences.renyi_divergence(p, q, alpha)
        result = call(level, "renyi_divergence", p.astype(dtype), q.astype(dtype), alpha)
        if alpha * np.max(np.abs(np.log(p / q))) < 700:
            assert abs((float(result) - exact) / exact) <= 2.0**-45


FAR_ORDERS = (1e-3, 0.1, 0.3, 0.4999, 0.5, 0.51, 0.6, 0.75, 0.9, 0.99, 0.9999)
FAR_ORDERS += (1.01, 1.5, 1.9, 2.0, 2.1, 2.5, 3.0, 9.7, 10.0, 20.5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("nats", (1.0, 3.0, 10.0, 80.0, 200.0, 350.0, 525.0, 600.0))
def test_renyi_of_rows_far_apart(nats, level):
    """Where p is many times q, what makes up the divergence is next to nothing beside p*log(p/q)."""
    far = np.exp(-nats)
    rows = ([0.5, 0.5], [far, 1.0]), ([far, 1.0], [0.5, 0.5]), ([0.6, 0.4], [far, 0.7]), ([1.0, far], [far, 1.0])
    pairs = [(np.array(p), np.array(q)) for p, q in rows]
    keys = [(alpha, which) for alpha in FAR_ORDERS for which in range(len(pairs))]
    results = {(alpha, which): call(level, "renyi_divergence", *pairs[which], alpha) for alpha, which in keys}
    exact = {(alpha, which): oracles_divergences.renyi_divergence(*pairs[which], alpha) for alpha, which in keys}
    assert not wrong("renyi_divergence", results, exact, RENYI_BOUND)


@pytest.mark.parametrize("level", LEVELS)
def test_infinite_order_of_nearly_proportional_rows(level):
    """Every p/q may be below sum p / sum q as that is rounded."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        p = random.random(20) * np.r_[1000.0, np.ones(19)]
        q = p * (1.0 + 1e-6)
        exact = oracles_divergences.renyi_divergence(p, q, np.inf)
        result = call(level, "renyi_divergence", p, q, np.inf)
        assert abs((float(result) - exact) / exact) <= 2.0**-45


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("alpha", (0.3, 0.5, 2.0, np.inf))
@pytest.mark.parametrize("scale", (1e-100, 1e-136, 1e-200, 1e136))
def test_rows_of_very_different_sums_keep_their_digits(scale, alpha, level):
    random = np.random.default_rng(0)
    p = random.random(50)
    q = p * (1.0 + 1e-6 * random.normal(size=50))
    exact = oracles_divergences.renyi_divergence(p * scale, q, alpha)
    result = call(level, "renyi_divergence", p * scale, q, alpha)
    assert abs((float(result) - exact) / exact) <= 2.0**-45


def with_stretches_of_zeros(p, q):
    """The rows with more zeros than a block has before them, behind them, and both."""
    nothing = np.zeros(20_000, p.dtype)
    for before, after in ((nothing, []), ([], nothing), (nothing, nothing)):
        yield [np.concatenate([before, row, after]).astype(p.dtype) for row in (p, q)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_stretches_of_zeros_change_nothing(alpha, dtype, level):
    random = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e-30, 1e-200 if dtype == "float64" else 1e-20):
        p, q = random.random((2, 50)).astype(dtype)
        p *= np.asarray(scale, dtype)
        exact = oracles_divergences.renyi_divergence(p.astype(np.float64), q.astype(np.float64), alpha)
        for rows in with_stretches_of_zeros(p, q):
            assert oracles.relative_error(call(level, "renyi_divergence", *rows, alpha), exact) <= BOUNDS[dtype]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_stretches_of_zeros_change_nothing_where_logarithms_are_summed(alpha, level):
    """Every p/q is far below 1 there: less than the largest ratio of a piece of nothing."""
    p, q = np.random.default_rng(0).random((2, 50)) * np.array([[1e-290], [1.0]])
    exact, size = oracles_divergences.renyi_divergence(p, q, alpha), oracles_divergences.size_of_logarithms(p, q)
    for rows in with_stretches_of_zeros(p, q):
        units = oracles.relative_error(call(level, "renyi_divergence", *rows, alpha), exact, size) / RENYI_BOUND
        assert units * min(1.0, abs(alpha - 1.0)) <= 1.0  # as at the ends of the range
