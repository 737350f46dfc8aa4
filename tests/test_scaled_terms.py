"""Terms times what comes after: in the range of their type, and rounded to it once, whatever they are before."""

import mpmath
import numpy as np
import oracles_rlhf
import pytest
from cpu_levels import LEVELS, LEVELS_WITH_FMA, call
from elements import assert_same_bits

from klfast import gaussian, rlhf

TYPES = ("float64", "float32", "float16", "bfloat16")
# What a result may be off by before it is rounded, and the last place that its type has: relative, and below its range.
BEFORE = {"float64": 2.0**-49, "float32": 2.0**-21, "float16": 2.0**-21, "bfloat16": 2.0**-21}
LAST = {"float64": (0.0, 5e-324), "float32": (0.0, 1.5e-45), "float16": (2.0**-11, 3e-8), "bfloat16": (2.0**-8, 5e-41)}
LARGEST = {"float64": 1e308, "float32": 3.4028234e38, "float16": 65504.0, "bfloat16": 3.3895e38}


def as_type(values, dtype):
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)


def tokens(dtype, size=400):
    """Log-probabilities whose log-ratios are tiny, usual and so large that e^r leaves the range of their type."""
    random = np.random.default_rng(7)
    highest = {"float64": 600.0, "float32": 160.0, "float16": 80.0, "bfloat16": 160.0}[dtype]
    r = np.concatenate([random.normal(0, 1, size // 2), random.uniform(8, highest, size // 2)])
    return as_type(-np.abs(r) - random.uniform(0, 1, size) * (r > 0), dtype), as_type(np.minimum(r, 0) * 0.5, dtype)


def assert_rounded_once(results, exact, dtype):
    place, least = LAST[dtype]
    for result, value in zip(np.asarray(results, np.float64).ravel().tolist(), exact, strict=True):
        room = (place + BEFORE[dtype]) * abs(value) + least
        if abs(value) > LARGEST[dtype]:
            assert abs(result) >= LARGEST[dtype] and (result > 0) == (value > 0)
        else:
            assert abs(mpmath.mpf(result) - value) <= room, (result, float(value))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ("k1", "k2", "k3", "abs"))
def test_gradients_of_tokens_times_what_comes_after(kind, dtype):
    x, y = tokens(dtype)
    outer = np.exp(np.random.default_rng(8).uniform(-60, 5, x.size)) * np.where(np.arange(x.size) % 3, 1, -1)
    with mpmath.workdps(60):
        exact = [oracles_rlhf.slope(kind, *pair) * mpmath.mpf(factor) for *pair, factor in zip(x, y, outer)]
    found = {level: call(level, "rlhf.kl_estimate_grad", x, y, kind, grad_output=outer) for level in LEVELS}
    for result in found.values():
        assert result.dtype == x.dtype
        assert_rounded_once(result, exact, dtype)
    for level in LEVELS_WITH_FMA:
        assert_same_bits(found[level], found[LEVELS_WITH_FMA[0]])


@pytest.mark.parametrize("factor", (1e-30, -1 / 64, 1.0, 3.0))
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ("k2", "k3"))
def test_gradients_of_sums_and_means(kind, dtype, factor):
    x, y = tokens(dtype)
    for reduction, share in (("sum", 1.0), ("token_mean", 1.0 / x.size)):
        with mpmath.workdps(60):
            exact = [oracles_rlhf.slope(kind, *pair) * mpmath.mpf(factor * share) for pair in zip(x, y)]
        for level in LEVELS:
            result = call(level, "rlhf.kl_estimate_grad", x, y, kind, reduction=reduction, grad_output=factor)
            assert_rounded_once(result, exact, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ("k2", "k3"))
@pytest.mark.parametrize("beta, size", ((1e-30, None), (0.1, None), (1e20, 1e-25), (1e25, 3e-22), (-2.0, 1e-10)))
def test_rewards(kind, dtype, beta, size):
    """Also where the penalty is far below the range of floats, and the coefficient brings it back."""
    x, y = tokens(dtype)
    if size:
        if dtype == "float16":
            pytest.skip("has no numbers so small")
        x, y = as_type(-size * np.random.default_rng(9).uniform(1, 3, x.size), dtype), as_type(np.zeros(x.size), dtype)
    with mpmath.workdps(60):
        exact = [-mpmath.mpf(beta) * oracles_rlhf.estimate(kind, *pair) for pair in zip(x, y)]
    found = {level: call(level, "rlhf.shaped_rewards", 0.0, x, y, beta, kind=kind)[0] for level in LEVELS}
    for result in found.values():
        assert_rounded_once(result, exact, dtype)
    for level in LEVELS_WITH_FMA:
        assert_same_bits(found[level], found[LEVELS_WITH_FMA[0]])
    equal = rlhf.shaped_rewards([0.0, 0.0], np.tile(x, (2, 1)), np.tile(y, (2, 1)), beta, kind=kind)[0]
    assert_same_bits(equal[0], found[LEVELS[-1]])
    assert_same_bits(equal[1], equal[0])


@pytest.mark.parametrize("dtype", ("float32", "float16", "bfloat16"))
def test_no_token_depends_on_its_neighbours_or_the_layout(dtype):
    x, y = tokens(dtype, 2000)
    order = np.random.default_rng(1).permutation(2000)
    x, y = x[order].reshape(40, 50), y[order].reshape(40, 50)
    mask = np.random.default_rng(2).random(x.shape) < 0.8
    outer = np.exp(np.random.default_rng(3).uniform(-60, 5, x.shape))
    expected = rlhf.kl_estimate_grad(x, y, "k3", mask, grad_output=outer)
    assert not np.any(expected[~mask])
    turned = [np.asfortranarray(one) for one in (x, y, mask, outer)]
    for a, b, m, g in (turned, (x[::-1, ::-1], y[::-1, ::-1], mask[::-1, ::-1], outer[::-1, ::-1])):
        for n_threads in (1, 3):
            result = rlhf.kl_estimate_grad(a, b, "k3", m, grad_output=g, n_threads=n_threads)
            assert_same_bits(result if a is x or a is turned[0] else result[::-1, ::-1], expected)
    flat = rlhf.kl_estimate_grad(x[mask], y[mask], "k3", lengths=mask.sum(axis=1), grad_output=outer[mask])
    assert_same_bits(flat, expected[mask])
    for kind in ("k2", "k3"):
        for factor in (1e-20, 1e20):
            whole = rlhf.kl_estimate_grad(x, y, kind, mask, reduction="sum", grad_output=factor)
            rewards = rlhf.shaped_rewards(np.zeros(40), x, y, factor, mask, kind)[0]
            for row, place in ((3, slice(0, 1)), (5, slice(7, 19)), (39, slice(10, 50))):
                a, b, m = x[row, place], y[row, place], mask[row, place]
                part = rlhf.kl_estimate_grad(a, b, kind, m, reduction="sum", grad_output=factor)
                assert_same_bits(part, whole[row, place])
                part = rlhf.shaped_rewards(0.0, a, b, factor, m, kind)[0]
                before = np.flatnonzero(m)[:-1]  # the last is added to the score, in double
                assert_same_bits(part[before], rewards[row, place][before])


@pytest.mark.parametrize("dtype", TYPES)
def test_in_place(dtype):
    x, y = tokens(dtype)
    for more in ({"grad_output": np.linspace(1e-30, 2, x.size)}, {"reduction": "sum", "grad_output": 1e-30}):
        memory = x.copy()
        assert rlhf.kl_estimate_grad(memory, y, "k3", out=memory, **more) is memory
        assert_same_bits(memory, rlhf.kl_estimate_grad(x, y, "k3", **more))


def test_what_does_not_count_is_0_also_beside_an_infinite_factor():
    x, y, mask = np.float32([-1, -100, np.nan]), np.float32([0, 0, np.nan]), [True, True, False]
    for outer in ([np.inf] * 3, [1e-30, 1e-30, np.nan]):
        assert rlhf.kl_estimate_grad(x, y, "k3", mask, grad_output=outer)[2] == 0
    assert rlhf.kl_estimate_grad(x, y, "k3", mask, reduction="sum", grad_output=np.inf).tolist() == [
        -np.inf,
        -np.inf,
        0,
    ]


@pytest.mark.parametrize("dtype", ("float32", "bfloat16"))
def test_gradients_of_gaussians(dtype):
    random = np.random.default_rng(4)
    mu, logvar = as_type(random.normal(0, 3, (5, 40)), dtype), as_type(random.uniform(-5, 120, (5, 40)), dtype)
    factors = np.array([1e-30, 1e-12, -1e-20, 1.0, 1e-3])
    expected = gaussian.kl_standard_normal_value_and_grad(
        mu.astype(float), logvar.astype(float), free_bits=1.0, grad_output=factors
    )[1]
    memory = mu.copy(), logvar.copy()
    for level in LEVELS:
        arguments = {"free_bits": 1.0, "grad_output": factors}
        found = call(level, "gaussian.kl_standard_normal_value_and_grad", mu, logvar, **arguments)[1]
        for one, exact in zip(found, expected, strict=True):
            assert_rounded_once(one, map(mpmath.mpf, exact.ravel().tolist()), dtype)
    gaussian.kl_standard_normal_value_and_grad(*memory, free_bits=1.0, grad_output=factors, out=memory)
    for one, other in zip(memory, found, strict=True):
        assert_same_bits(one, other)
