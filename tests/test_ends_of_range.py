"""The family keeps its promises at the ends of the range too: smallest and largest numbers, sums out of proportion, NaN."""

import functools

import mpmath
import numpy as np
import oracles
import oracles_divergences
import pytest
from cpu_levels import LEVELS, call

SMALLEST = 5e-324
NAN, INF = np.nan, np.inf
BOUND = 2.0**-49


def assert_exact(level, operation, p, q, *arguments, bound=BOUND, **keywords):
    module = oracles if operation == "kl_divergence" else oracles_divergences
    rows = [np.asarray(row, np.float64) for row in (p, q)]
    exact = getattr(module, operation)(*rows, *arguments, *keywords.values())
    result = call(level, operation, p, q, *arguments, **keywords)
    if exact >= 2**1024:
        assert result == INF
    elif exact == 0:
        assert 0.0 <= result <= 2.0**-45
    else:
        error = oracles.relative_error(result, exact)
        assert error <= bound, f"got {result!r}, exact {float(exact)!r}: {error / bound:.3g} times the bound"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("normalize", (True, False))
@pytest.mark.parametrize("p, q", [([0.5, SMALLEST], [0.5, 0.0]), ([0.5, 0.0], [0.5, SMALLEST])])
def test_js_of_the_smallest_number_beside_nothing(p, q, normalize, level):
    assert_exact(level, "js_divergence", np.array(p), np.array(q), normalize=normalize)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("weights", ((1.0, 1.0), (0.3, 0.7)))
def test_weighted_js_of_the_smallest_number(weights, level):
    assert (
        0.0 <= call(level, "js_divergence", np.array([SMALLEST, 1.0]), np.array([0.0, 7.0]), weights=weights) < 1e-300
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "p, q", [([7.05, 1.0007], [7.05, 1.0]), ([1.0, 0.1009], [1.0, 0.1]), ([7.05, 1.01], [7.05, 1.0])]
)
@pytest.mark.parametrize("weights", ((1.0, 1.0), (0.3, 0.7)))
def test_weighted_js_of_ordinary_rows_that_are_near(weights, p, q, level):
    p, q = np.array(p), np.array(q)
    exact = oracles_divergences.mixture_divergence([p, q], weights)
    assert oracles.relative_error(call(level, "js_divergence", p, q, weights=weights), exact) <= BOUND


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("q", ([1e-320, 1e6], [1e-310, 1e16], [1e-300, 1e30], [SMALLEST, 2.0]))
@pytest.mark.parametrize("operation", ("kl_divergence", "jeffreys", "chi2_divergence"))
def test_no_possible_event_is_lost_in_scaling(operation, q, level):
    assert_exact(level, operation, np.array([0.5, 0.5]), np.array(q))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence", "total_variation", "hellinger", "jeffreys"))
def test_lone_events_are_the_same_at_any_scale(operation, level):
    for p, q in (([1.3407807929942596e154], [1.9391685901120538e-154]), ([1.1 * 2.0**515] * 2, [1.3 * 2.0**-515] * 2)):
        assert 0.0 <= call(level, operation, np.array(p), np.array(q)) <= 2.0**-45


@pytest.mark.parametrize("level", LEVELS)
def test_renyi_of_ratios_at_the_end_of_the_range(level):
    assert_exact(level, "renyi_divergence", np.array([1.0, 1e154]), np.array([1e154, 1e-154]), INF, bound=2.0**-45)
    assert_exact(
        level, "renyi_divergence", np.array([0.0, 1.35e154]), np.array([1.34e154, 1.94e-154]), 0, bound=2.0**-45
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence", "total_variation", "hellinger", "jeffreys"))
def test_equal_huge_numbers_have_no_raw_divergence(operation, level):
    for value in (1e302, 1e303, 1e305, 4e307):
        assert call(level, operation, np.array([value]), np.array([value]), normalize=False) == 0.0


# Sums that leave the range on their way to a number, or whose terms are halved, or a root is taken of them, at the end.
HUGE = {
    "beside nothing": ([1.7e308, 1.7e308], [0.0, 0.0]),
    "beside little": ([1.7e308, 1.7e308, 1e-300], [1e307, 1.0, 5e-324]),
    "there and back": ([1.7e308] * 3 + [6e307] * 6, [9e307] * 3 + [1.797e308] * 6),
    "near": ([1.7e308, 1.1e308, 3.0], [1.6e308, 1.2e308, 3e-320]),
    "one ulp": ([1.7e308, 1e300], [np.nextafter(1.7e308, 0), 1e300]),
    "opposite": ([1.0] * 64 + [6.8e306] * 65, [6.8e306] * 64 + [1.0] * 65),
    "tiny and huge": ([5e-324, 1e-310, 1.0], [1.7e308, 1.7e308, 1e300]),
}
COMPARISONS = ("js_divergence", "total_variation", "hellinger", "jeffreys", "chi2_divergence")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("times", (1, 70))
@pytest.mark.parametrize("rows", HUGE)
@pytest.mark.parametrize("operation", COMPARISONS)
@pytest.mark.parametrize("normalize", (True, False))
def test_comparisons_of_huge_numbers(normalize, operation, rows, times, level):
    p, q = (np.tile(row, times) for row in HUGE[rows])
    if not (normalize and not q.any()):
        assert_exact(level, operation, p, q, normalize=normalize)


def assert_raw_sum(level, operation, *rows):
    rows = [np.asarray(row) for row in rows]
    exact = getattr(oracles, operation)(*(row.astype(np.float64) for row in rows), normalize=False)
    result = call(level, operation, *rows, normalize=False)
    if abs(exact) >= 2**1024:
        assert result == (INF if exact > 0 else -INF)
        return
    size = oracles.size_of_raw_terms(operation, *(row.astype(np.float64) for row in rows))
    bound = BOUND if rows[0].dtype == np.float64 else 2.0**-21
    with mpmath.workprec(256):  # to the last bit of the smallest numbers, too
        assert abs(mpmath.mpf(float(result)) - exact) <= bound * size + SMALLEST, (
            f"got {result!r}, exact {float(exact)!r}"
        )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("times", (1, 70))
@pytest.mark.parametrize("rows", [rows for rows in HUGE if rows != "beside nothing"])
def test_raw_sums_of_huge_numbers(rows, times, level):
    p, q = (np.tile(row, times) for row in HUGE[rows])
    assert_raw_sum(level, "kl_divergence", p, q)
    assert_raw_sum(level, "cross_entropy", p, q)
    assert_raw_sum(level, "cross_entropy", p, np.resize([0.5, 2.0], len(p)))
    assert_raw_sum(level, "entropy", p)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 9, 200, 5000))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("share", (0.5, 0.6, 0.99, 2.0**-20, 2.0**-27, 2.0**-30))
def test_raw_kl_beside_huge_numbers(share, dtype, length, level):
    for place in (0, length - 1):
        p, q = np.full(length, 0.25, dtype), np.full(length, 0.5, dtype)
        q[place] = share * np.finfo(dtype).max
        assert_raw_sum(level, "kl_divergence", p, q)


# The only difference, or everything, is among the smallest numbers.
SMALL = {
    "the smallest": ([1, 0], [1, SMALLEST]),
    "some small number": ([1, 0], [1, 1e-310]),
    "two": ([3, 4, SMALLEST, 1e-322], [3, 4, 2e-323, 0]),
    "beside little": ([1e-139, 0], [1e-139, SMALLEST]),
    "beside much": ([1e200, 0], [1e200, 1e-320]),
    "beside the most": ([1e308, 1e308, 0], [1e308, 1e308, 1e-300]),
    "nothing else": (np.arange(5) * SMALLEST, np.arange(5)[::-1] * SMALLEST),
    "nothing else, near": ([3e-308, 2e-308], [3e-308, np.nextafter(2e-308, 1)]),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (0, 100, 5000))
@pytest.mark.parametrize("rows", SMALL)
@pytest.mark.parametrize("operation", COMPARISONS)
@pytest.mark.parametrize("normalize", (True, False))
def test_comparisons_of_what_is_next_to_nothing(normalize, operation, rows, length, level):
    p, q = (np.append(row, np.zeros(length)) for row in SMALL[rows])
    for pair in ((p, q), (q, p)):
        assert_exact(level, operation, *pair, normalize=normalize)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", ("js_divergence", "total_variation", "hellinger"))
def test_comparisons_of_sums_out_of_proportion(operation, level):
    assert_exact(level, operation, np.array([1.0, 1.7e-301]), np.array([1.1e-319, 0]))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 8, 130, 5000))
@pytest.mark.parametrize("smallest", (SMALLEST, 1e-310, 1e-300))
def test_raw_sums_of_nothing_but_small_numbers(smallest, length, level):
    p, q = (np.resize(row, length) * smallest for row in ([1.0, 2, 3, 4, 5, 6, 7, 8], [3.0, 3, 1, 9, 5]))
    assert_raw_sum(level, "entropy", p)
    assert_raw_sum(level, "cross_entropy", p, q)
    assert_raw_sum(level, "cross_entropy", p, q / smallest)
    assert_raw_sum(level, "kl_divergence", p, q)
    assert_raw_sum(level, "kl_divergence", p, q / smallest * 1e300)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("p, q", [([0, 0.5, 0], [0, 0, NAN]), ([0, 0.5, 1], [NAN, 0, 1]), ([1, 0.5], [INF, 0])])
@pytest.mark.parametrize("normalize", (True, False))
def test_nan_wins_over_infinity(normalize, p, q, dtype, level):
    for operation in ("kl_divergence", "cross_entropy", "chi2_divergence", "jeffreys"):
        for times in (1, 60, 700):
            rows = (np.tile(np.array(row, dtype), times) for row in (p, q))
            assert np.isnan(call(level, operation, *rows, normalize=normalize)), (operation, times)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("rest", (1e-15, 1e-20, 1e-25, 1e-30, 1e-35))
def test_total_variation_next_to_a_sure_event(rest, dtype, level):
    bound = BOUND if dtype == "float64" else 2.0**-21
    for scale in (1, 3, 7):
        p, q = np.array([0, 1], dtype), np.array([rest * scale, scale], dtype)
        assert_exact(level, "total_variation", p, q, bound=bound)


SCALED = ("kl_divergence", "js_divergence", "jeffreys", "chi2_divergence", "hellinger", "total_variation")


@functools.cache
def small_beside_large(exponent, length, closeness):
    """p of next to nothing beside an ordinary q, and close to it in proportion."""
    random = np.random.default_rng([length, -exponent])
    q = np.exp(-random.uniform(0.0, 6.0, length)).astype(np.float32)
    p = (q * np.exp2(exponent) * (1.0 + closeness * random.normal(size=length))).astype(np.float32)
    return p, q, {name: exact_of(name, p.astype(np.float64), q.astype(np.float64)) for name in SCALED}


def exact_of(name, p, q):
    return getattr(oracles if name == "kl_divergence" else oracles_divergences, name)(p, q)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (2, 16, 600))
@pytest.mark.parametrize("exponent", (-80, -86, -89, -90, -91, -93, -95, -100))
@pytest.mark.parametrize("closeness", (1e-2, 1e-5, 3e-7))
def test_float_terms_do_not_sink_below_the_normal_numbers(closeness, exponent, length, level):
    p, q, exact = small_beside_large(exponent, length, closeness)
    for name in SCALED:
        result = float(call(level, name, p, q))
        assert abs(result - exact[name]) <= 2.0**-21 * exact[name], (name, result, float(exact[name]))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("score, count", [(-709.0, 130), (-709.5, 200), (-715.0, 20_000), (-719.0, 100_000)])
def test_probabilities_below_the_normal_numbers_count_where_their_sum_is_one(score, count, level):
    x = np.full(count, score)
    x[0] = 0.0
    with mpmath.workdps(40):
        others = (count - 1) * mpmath.exp(mpmath.mpf(score))
        loss = mpmath.log1p(others)
        entropy = loss - others * score / (1 + others)
    assert call(level, "logits.cross_entropy", x, 0) == pytest.approx(float(loss), rel=2.0**-49, abs=0)
    assert call(level, "logits.entropy", x) == pytest.approx(float(entropy), rel=2.0**-49, abs=0)
    assert -call(level, "logits.log_softmax", x)[0] == pytest.approx(float(loss), rel=2.0**-49, abs=0)


@pytest.mark.parametrize("level", LEVELS)
def test_logits_of_classes_next_to_impossible(level):
    """What rounding takes of a distance of hundreds is more than a divergence of 1e-290 may be off by."""
    random = np.random.default_rng(0)
    for depth in (300.0, 600.0, 680.0, 700.0):
        x = np.sort(random.normal(0.0, 100.0, (40, 2)) - (0.0, depth), axis=-1)
        y = x + random.normal(0.0, 1.0, x.shape)
        for function in ("logits.kl_divergence", "logits.js_divergence"):
            exact = [getattr(oracles, function.replace(".", "_"))(*rows) for rows in zip(x, y, strict=True)]
            for result, value in zip(call(level, function, x, y), exact, strict=True):
                assert value < 2.0**-1020 or oracles.relative_error(result, value) <= 2.0**-49
