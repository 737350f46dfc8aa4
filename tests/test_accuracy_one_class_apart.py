"""Logits of which one class differs, by any amount: there is no other class whose rounding errors would even out.

Where log(p/q) is about 1 or 2, what p*log(p/q) - p + q and the terms of Jensen-Shannon are made of cancels, and a series takes
over. And rows of several blocks whose log ratios are far apart: a sure class, and a tail in which the rows differ by a factor.
"""

import functools

import numpy as np
import oracles_logits
import pytest
from cpu_levels import LEVELS, call

REAL = ("float32", "float64")
BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
KL, JS = "logits.kl_divergence", "logits.js_divergence"
STEPS = (0.3, 0.51, 0.69, 0.72, 0.99, 1.01, 1.09, 1.13, 1.5, 1.98, 2.03, 2.5, 3.9, 4.1, 7.0)


def pairs_apart(length, gap, temperature, dtype):
    """Rows of zeros, but for one class that is `gap` lower, and in y as much more or less as each of the steps says."""
    random = np.random.default_rng([length, int(10 * gap)])
    steps = np.repeat(np.concatenate([STEPS, np.negative(STEPS)]), 5)
    x = np.zeros((len(steps), length))
    x[:, length // 2] = -gap + random.uniform(-0.3, 0.3, len(steps))
    y = x.copy()
    y[:, length // 2] += steps + random.uniform(-0.01, 0.01, len(steps))
    return (x * temperature).astype(dtype), (y * temperature).astype(dtype)


@functools.cache
def exact_values(operation, length, gap, temperature, dtype, beta=None):
    oracle = getattr(oracles_logits, operation.removeprefix("logits."))
    options = {} if beta is None else {"beta": beta}
    rows = zip(*pairs_apart(length, gap, temperature, dtype), strict=True)
    return [oracle(*(row.astype(np.float64) for row in pair), temperature=temperature, **options) for pair in rows]


def assert_close(results, exact, bound):
    errors = [abs((float(one) - other) / other) for one, other in zip(results, exact, strict=True)]
    assert max(errors) <= bound, (errors.index(max(errors)), float(max(errors)) / bound)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("temperature", (1.0, 0.7, 3.0))
@pytest.mark.parametrize(
    "length, gap", [(2, 0.0), (2, 2.5), (2, 6.5), (2, 17.0), (8, 2.5), (256, 4.5), (260, 4.5), (260, 16.0)]
)
def test_kl_of_one_class_apart(length, gap, temperature, dtype, level):
    results = call(level, KL, *pairs_apart(length, gap, temperature, dtype), temperature=temperature)
    assert_close(results, exact_values(KL, length, gap, temperature, dtype), BOUNDS[dtype])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("temperature", (1.0, 3.0))
@pytest.mark.parametrize("beta", (0.5, 0.9, 0.97, 0.001))
@pytest.mark.parametrize("length, gap", [(2, 0.0), (2, 2.5), (2, 17.0), (8, 2.5), (65, 4.5), (260, 4.5)])
def test_js_of_one_class_apart(length, gap, beta, temperature, dtype, level):
    arrays, keywords = pairs_apart(length, gap, temperature, dtype), {"temperature": temperature, "beta": beta}
    results = call(level, JS, *arrays, **keywords)
    assert_close(results, exact_values(JS, length, gap, temperature, dtype, beta), BOUNDS[dtype])
    together, _ = call(level, JS + "_value_and_grad", *arrays, **keywords)
    np.testing.assert_array_equal(np.asarray(together).view(np.int64), np.asarray(results).view(np.int64))


def far_tail(length, tail, factor, dtype):
    """A sure class, and a tail of equal or different scores that are a factor larger in y: also permuted and swapped."""
    random = np.random.default_rng([length, int(tail)])
    flat = np.full(length, -tail)
    spread = random.normal(0.0, 3.0, length) - random.uniform(tail / 2, tail, length)
    for x in (flat, spread):
        y = x * factor
        x[7] = y[7] = 0.0
        yield x.astype(dtype), y.astype(dtype)
        yield y.astype(dtype), x.astype(dtype)


@functools.cache
def exact_far_tail(length, tail, factor, dtype):
    pairs = far_tail(length, tail, factor, dtype)
    return [oracles_logits.kl_divergence(*(row.astype(np.float64) for row in pair)) for pair in pairs]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("tail, factor", [(20.0, 2.6), (80.0, 0.6), (40.0, 1.3), (60.0, 2.0)])
@pytest.mark.parametrize("length", (257, 1025, 2049, 5000))
def test_kl_of_a_sure_class_and_a_far_tail(length, tail, factor, dtype, level):
    """A block of the tail has a share of next to nothing, but all of the divergence."""
    results = [call(level, KL, *pair) for pair in far_tail(length, tail, factor, dtype)]
    assert_close(results, exact_far_tail(length, tail, factor, dtype), BOUNDS[dtype])
