"""Estimators of KL against exact values: from log-ratios of 1e-7 to 100, whatever the type."""

import functools

import mpmath
import numpy as np
import oracles_rlhf
import pytest
from cpu_levels import LEVELS, LEVELS_WITH_FMA, call

from klfast import rlhf

KINDS = ("k1", "k2", "k3", "abs")
BOUND = {"float64": 2.0**-49, "float32": 2.0**-21}
LARGEST = {"float64": 100.0, "float32": 80.0}  # of an estimate in the type of the tokens: e^100 is no float


@functools.cache
def pairs(dtype, largest=None):
    """Log-probabilities whose log-ratios span 1e-7 to 100, in both directions, and are 0."""
    random = np.random.default_rng(3)
    size = np.exp(random.uniform(np.log(1e-7), np.log(largest or LARGEST[dtype]), 600))
    near_limits = np.array([0.5199, 0.52, 0.5201, 0.7, 1.0, 7.99, 8.0, 8.01, 16.0, 63.9, 64.1])
    r = np.concatenate([size, near_limits, [0.0]])
    r = np.concatenate([r, -r])
    logp = np.where(np.abs(r) < 1e-3, -np.abs(r) * random.uniform(1, 3, r.size), -random.uniform(0, 3, r.size))
    logp = logp.astype(dtype)
    return logp, (logp.astype(float) + r).astype(dtype)


def assert_exact(results, exact, bound):
    with mpmath.workdps(30):
        for result, value in zip(results, exact, strict=True):
            assert abs(mpmath.mpf(float(result)) - value) <= bound * abs(value), (float(result), value)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_exact(kind, dtype):
    x, y = pairs(dtype)
    values = [oracles_rlhf.estimate(kind, a, b) for a, b in zip(x, y)]
    slopes = [oracles_rlhf.slope(kind, a, b) for a, b in zip(x, y)]
    for level in LEVELS:
        assert_exact(call(level, "rlhf.kl_estimate", x, y, kind), values, BOUND[dtype])
        assert_exact(call(level, "rlhf.kl_estimate_grad", x, y, kind), slopes, BOUND[dtype])


@pytest.mark.parametrize("clip", (0.3, 5.0, 20.0))
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("kind", KINDS)
def test_clipped_tokens_are_exact(kind, dtype, clip):
    x, y = pairs(dtype)
    beside = [i for i, (a, b) in enumerate(zip(x, y)) if abs(abs(float(b) - float(a)) / clip - 1) > 1e-6]
    exact = [oracles_rlhf.estimate(kind, x[i], y[i], clip) for i in beside]
    assert_exact(
        rlhf.kl_estimate(x, y, kind, clip=clip)[beside], exact, 8 * BOUND[dtype] if clip > 8 else 2 * BOUND[dtype]
    )
    exact = [oracles_rlhf.slope(kind, x[i], y[i], clip) for i in beside]
    assert_exact(rlhf.kl_estimate_grad(x, y, kind, clip=clip)[beside], exact, BOUND[dtype])


@pytest.mark.parametrize("dtype", ("float64", "float32", "float16", "bfloat16"))
@pytest.mark.parametrize("kind", ("k2", "k3", "abs"))
def test_sums_are_exact_also_beyond_the_range_of_floats(kind, dtype):
    """e^100 is no float, but the sum is a double; and a sum of tiny terms is none of zeros."""
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="numpy has no bfloat16 of its own").bfloat16
    x, y = (one.astype(dtype) for one in pairs("float64"))
    bound = BOUND["float64" if x.dtype == np.float64 else "float32"]
    for chosen in (slice(None), slice(0, 1), slice(5, 6), abs(y.astype(float) - x.astype(float)) < 1e-3):
        a, b = x[chosen], y[chosen]
        with mpmath.workdps(60):
            exact = mpmath.fsum(oracles_rlhf.estimate(kind, one, other) for one, other in zip(a, b))
        assert_exact(
            [call(level, "rlhf.kl_estimate", a, b, kind, reduction="sum") for level in LEVELS],
            [exact] * len(LEVELS),
            bound,
        )
        assert_exact([rlhf.kl_estimate(a, b, kind, reduction="token_mean")], [exact / len(a)], bound)
    tiny = np.array([-1e-30, -3e-30], np.float32)
    assert rlhf.kl_estimate(tiny, tiny[::-1], "k2", reduction="sum") == pytest.approx(4e-60, rel=1e-6)


@pytest.mark.parametrize("dtype", BOUND)
def test_sums_of_k1_are_exact_beside_those_of_its_size(dtype):
    x, y = pairs(dtype)
    with mpmath.workdps(60):
        exact = mpmath.fsum(oracles_rlhf.estimate("k1", a, b) for a, b in zip(x, y))
        size = mpmath.fsum(oracles_rlhf.estimate("abs", a, b) for a, b in zip(x, y))
        assert abs(mpmath.mpf(float(rlhf.kl_estimate(x, y, reduction="sum"))) - exact) <= BOUND[dtype] * size


@pytest.mark.parametrize("spread", (1e-4, 0.05, 3.0))
@pytest.mark.parametrize("dtype", BOUND)
def test_statistics_of_ratios_are_exact(dtype, spread):
    random = np.random.default_rng(4)
    x = -random.uniform(0, 3, 500)
    y = x + spread * random.standard_t(5, 500)
    x, y = x.astype(dtype), y.astype(dtype)
    stats = rlhf.importance_ratio_stats(x, y)
    exact = oracles_rlhf.ratio_stats(x, y)
    assert stats.count == 500
    for name, result, value in zip(stats._fields[1:], stats[1:], exact):
        beside = np.mean(np.abs(y.astype(float) - x.astype(float))) if name == "k1" else abs(value)
        assert abs(result - value) <= 2 * BOUND[dtype] * beside, name


FAR = ((-12, -4), (-30, -8), (-120, -20), (-340, -100), (-1000, -400), (-40, 5), (4, 12), (20, 80), (400, 1000))


@pytest.mark.parametrize("lowest, highest", FAR)
@pytest.mark.parametrize("dtype", BOUND)
def test_statistics_of_ratios_far_out_are_exact(dtype, lowest, highest):
    """All ratios of a set are far from 1: what log-ratios of that size lose in rounding would show in each of them."""
    random = np.random.default_rng(abs(lowest))
    for size in (1, 2, 7, 200):
        for _ in range(6):
            y = -random.uniform(0, 3, size) * random.choice([0.1, 1.0, 20.0])
            x = (y + random.uniform(lowest, highest, size)).astype(dtype)
            y = y.astype(dtype)
            exact = oracles_rlhf.ratio_stats(x, y)
            found = {level: call(level, "rlhf.importance_ratio_stats", x, y) for level in LEVELS}
            assert len({found[level] for level in LEVELS_WITH_FMA}) == 1
            for stats in found.values():
                for name, result, value in zip(stats._fields[1:], stats[1:], exact):
                    if 1e-300 < abs(value) < 1e300:
                        beside = np.mean(np.abs(y.astype(float) - x.astype(float))) if name == "k1" else abs(value)
                        assert abs(mpmath.mpf(result) - value) <= 2 * BOUND[dtype] * beside, name


def test_log_ratios_that_round_to_where_care_begins():
    """8 and a little more rounds to 8, and what that loses is nearly all of what is promised: a factor must not add to it."""
    x = np.float32(-2.1451845169067383) * np.ones(64, np.float32)
    y = (x.astype(np.float64) + 8.0 + np.arange(-32, 32) * 2.0**-23).astype(np.float32)
    factor = np.linspace(0.6, 1.4, 64)
    with mpmath.workdps(60):
        exact = [oracles_rlhf.estimate("k3", one, other) for one, other in zip(x, y)]
        slopes = [-mpmath.expm1(mpmath.mpf(float(b)) - mpmath.mpf(float(a))) for a, b in zip(x, y)]
        scaled = [slope * mpmath.mpf(one) for slope, one in zip(slopes, factor)]
        for level in LEVELS:
            assert_exact(call(level, "rlhf.kl_estimate", x, y, "k3"), exact, BOUND["float32"])
            found = call(level, "rlhf.kl_estimate_grad", x, y, "k3", grad_output=factor)
            assert_exact(found, scaled, BOUND["float32"])


def test_statistics_beyond_the_range():
    for shift in (-800.0, -400.0, 300.0, 400.0):
        stats = rlhf.importance_ratio_stats([shift, shift + 1.0], [0.0, 0.0])
        assert stats.effective_sample_size == pytest.approx((1 + np.e) ** 2 / (1 + np.e**2), rel=1e-12)
        assert stats.largest_ratio == pytest.approx(np.exp(shift + 1.0), rel=1e-12)
        assert stats.k1 == -shift - 0.5


def test_gradients_are_slopes():
    """The gradient is the slope of the value, reduced as it is."""
    random = np.random.default_rng(5)
    x = -random.uniform(0, 3, (3, 4))
    y = x + random.normal(0, 1, x.shape)
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    step = 1e-6
    for kind in KINDS:
        for reduction in ("sum", "token_mean", "sequence_mean"):
            for clip in (None, 0.5):
                found = rlhf.kl_estimate_grad(x, y, kind, mask, reduction=reduction, clip=clip)
                for place in np.ndindex(x.shape):
                    change = np.zeros(x.shape)
                    change[place] = step
                    high, low = (
                        rlhf.kl_estimate(one, y, kind, mask, reduction=reduction, clip=clip)
                        for one in (x + change, x - change)
                    )
                    assert found[place] == pytest.approx((high - low) / (2 * step), abs=1e-7)
