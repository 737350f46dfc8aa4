"""The same bits for every number of threads, for rows apart or together, and on every CPU level that has FMA."""

import operator

import numpy as np
import pytest
from cpu_levels import LEVELS, LEVELS_WITH_FMA, call
from distributions import PAIRS, pair
from logit_distributions import LOGIT_PAIRS, logit_pair

import klfast

DTYPES = ("float32", "float64")
FUNCTIONS = (
    "kl_divergence",
    "cross_entropy",
    "entropy",
    "logits.kl_divergence",
    "logits.js_divergence",
    "logits.entropy",
    "logits.cross_entropy",
    "logits.logsumexp",
)
THREADS = (1, 2, 3, 7)
# One long row; a few; so many that not all of their blocks are shared out at once; many; many short ones. All above the size
# from which a call uses threads.
SHAPES = ((1, 200_003), (3, 50_001), (27, 75_001), (40, 3_001), (700, 129))


def arguments(function, shape, dtype):
    random = np.random.default_rng([len(function), *shape])
    if not function.startswith("logits."):
        arrays = [random.gamma(0.3, size=shape).astype(dtype) + np.finfo(dtype).tiny for _ in range(2)]
        return arrays[:1] if function == "entropy" else arrays
    x = random.normal(0.0, 4.0, shape).astype(dtype)
    if function.endswith("cross_entropy"):
        return [x, random.integers(0, shape[-1], shape[:-1])]
    return [x, (x + random.normal(0.0, 0.1, shape)).astype(dtype)] if function.endswith("divergence") else [x]


def run(function, arrays, **keywords):
    return np.asarray(operator.attrgetter(function)(klfast)(*arrays, **keywords))


def assert_same_bits(a, b):
    np.testing.assert_array_equal(np.asarray(a).view(np.int64), np.asarray(b).view(np.int64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_threads_do_not_change_a_bit(function, shape, dtype):
    arrays = arguments(function, shape, dtype)
    one = run(function, arrays, n_threads=1)
    for n_threads in THREADS:
        assert_same_bits(run(function, arrays, n_threads=n_threads), one)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_rows_do_not_know_of_each_other(function, shape, dtype):
    arrays = arguments(function, shape, dtype)
    together = run(function, arrays)
    rows = range(0, shape[0], max(1, shape[0] // 20))
    apart = [run(function, [array[row] for array in arrays]) for row in rows]
    assert_same_bits(together[list(rows)], np.stack(apart))
    half = shape[0] // 2
    slices = [run(function, [array[part] for array in arrays]) for part in (slice(0, half), slice(half, None))]
    assert_same_bits(together, np.concatenate(slices))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_strides_do_not_change_a_bit(function, shape, dtype):
    arrays = arguments(function, shape, dtype)
    apart = [np.repeat(array, 2, axis=-1)[..., ::2] for array in arrays]
    assert_same_bits(run(function, apart), run(function, arrays))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (1, 5, 64, 1000, 20_011))
@pytest.mark.parametrize("name", PAIRS)
def test_levels_with_fma_agree_on_probabilities(name, length, dtype):
    p, q = pair(name, length, dtype)
    for function, arrays in (("kl_divergence", (p, q)), ("cross_entropy", (p, q)), ("entropy", (p,))):
        for keywords in ({}, {"normalize": False}):
            results = [call(level, function, *arrays, **keywords) for level in LEVELS_WITH_FMA]
            for result in results[1:]:
                assert_same_bits(result, results[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (1, 5, 64, 1000, 20_011))
@pytest.mark.parametrize("name", LOGIT_PAIRS)
def test_levels_with_fma_agree_on_logits(name, length, dtype):
    x, y = logit_pair(name, length, dtype)
    calls = (
        ("kl_divergence", (x, y)),
        ("js_divergence", (x, y)),
        ("entropy", (x,)),
        ("cross_entropy", (x, 0)),
        ("logsumexp", (y,)),
    )
    for function, arrays in calls:
        results = [call(level, f"logits.{function}", *arrays) for level in LEVELS_WITH_FMA]
        for result in results[1:]:
            assert_same_bits(result, results[0])


def test_the_levels_are_the_ones_that_were_asked_for():
    assert LEVELS[0] == "baseline"
    assert [call(level, "_kernels.cpu_target") for level in LEVELS] == list(LEVELS)
