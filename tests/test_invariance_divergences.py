"""The divergences that compare distributions, and the sums' terms one by one: the same bits however they are computed.

As in test_invariance.py: for every number of threads, for rows apart or together, and on every CPU level that has FMA.
"""

import functools

import numpy as np
import pytest
from cpu_levels import LEVELS_WITH_FMA, call
from distributions import PAIRS, pair
from test_invariance import DTYPES, SHAPES, THREADS, run

COMPARISONS = ("js_divergence", "js_distance", "total_variation", "hellinger", "chi2_divergence", "jeffreys")
ORDERS = (0, 0.3, 0.5, 0.999, 1, 1.5, 2, 2.7, 3, np.inf)
REDUCTIONS = {name: (name, {}) for name in COMPARISONS}
REDUCTIONS |= {f"raw {name}": (name, {"normalize": False}) for name in COMPARISONS}
REDUCTIONS |= {f"renyi {order}": ("renyi_divergence", {"alpha": order}) for order in ORDERS}
REDUCTIONS |= {"weighted js": ("js_divergence", {"weights": (0.3, 0.7)})}
ELEMENTWISE = {name: (name, {}) for name in ("entr", "rel_entr", "kl_div")}
OPERATIONS = REDUCTIONS | ELEMENTWISE


@functools.lru_cache(maxsize=2)
def tables(shape, dtype):
    """Two tables of that shape with zeros in both here and there."""
    random = np.random.default_rng(shape)
    p, q = (random.gamma(0.3, size=shape).astype(dtype) + np.finfo(dtype).tiny for _ in range(2))
    p[:, 5::11] = q[:, 5::11] = 0.0
    return p, q


def arguments(function, p, q):
    return [p] if function == "entr" else [p, q]


def run_on(operation, p, q, **keywords):
    function, own = OPERATIONS[operation]
    return run(function, arguments(function, p, q), **own, **keywords)


def assert_same_bits(one, other):
    """Of any float type: the sign of a zero counts, and so do the bits of a NaN."""
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    assert one.dtype == other.dtype and one.shape == other.shape
    np.testing.assert_array_equal(one.view(f"i{one.itemsize}"), other.view(f"i{one.itemsize}"))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_threads_do_not_change_a_bit(shape, dtype, operation):
    one = run_on(operation, *tables(shape, dtype), n_threads=1)
    for n_threads in THREADS:
        assert_same_bits(run_on(operation, *tables(shape, dtype), n_threads=n_threads), one)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_do_not_know_of_each_other(shape, dtype, operation):
    p, q = tables(shape, dtype)
    together = run_on(operation, p, q)
    rows = list(range(0, shape[0], max(1, shape[0] // 20)))
    assert_same_bits(together[rows], np.stack([run_on(operation, p[row], q[row]) for row in rows]))
    half = shape[0] // 2
    parts = [run_on(operation, p[part], q[part]) for part in (slice(0, half), slice(half, None))]
    assert_same_bits(together, np.concatenate(parts))


@pytest.mark.parametrize("operation", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (1, 2, 3, 7, 10, 33, 64, 100, 256, 257, 512, 513))
def test_short_rows_do_not_know_of_each_other(length, dtype, operation):
    """Short rows of a table are computed several at a time; among them are rows of every kind."""
    p, q = (np.stack(side) for side in zip(*(pair(name, length, dtype) for name in PAIRS), strict=True))
    with np.errstate(all="ignore"):
        together = run_on(operation, p, q)
        assert_same_bits(together, np.stack([run_on(operation, *rows) for rows in zip(p, q, strict=True)]))
        assert_same_bits(together[::-1], run_on(operation, p[::-1], q[::-1]))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_strides_do_not_change_a_bit(shape, dtype, operation):
    p, q = tables(shape, dtype)
    expected = run_on(operation, p, q)
    apart = [np.repeat(table, 2, axis=-1)[..., ::2] for table in (p, q)]
    assert_same_bits(run_on(operation, *apart), expected)
    upright = [np.asfortranarray(table) for table in (p, q)]
    assert_same_bits(run_on(operation, *upright), expected)
    assert_same_bits(run_on(operation, p, apart[1]), expected)
    if operation in REDUCTIONS:
        assert_same_bits(run_on(operation, p.T, q.T, axis=0), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stack_gives_the_same_bits_however_it_is_computed(shape, dtype):
    p, q = tables(shape, dtype)
    stack, keywords = np.stack([p, q, p + q]), {"weights": (0.2, 0.3, 0.5)}
    expected = run("js_divergence", [stack], n_threads=1, **keywords)
    for n_threads in THREADS:
        assert_same_bits(run("js_divergence", [stack], n_threads=n_threads, **keywords), expected)
    rows = list(range(0, shape[0], max(1, shape[0] // 20)))
    apart = [run("js_divergence", [stack[:, row]], **keywords) for row in rows]
    assert_same_bits(expected[rows], np.stack(apart))
    strided = np.repeat(stack, 2, axis=-1)[..., ::2]
    assert_same_bits(run("js_divergence", [strided], **keywords), expected)
    assert_same_bits(run("js_divergence", [stack.swapaxes(1, 2)], axis=1, **keywords), expected)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (1, 5, 64, 1000, 20_011))
def test_levels_with_fma_agree(length, dtype, operation):
    function, keywords = OPERATIONS[operation]
    for name in PAIRS:
        arrays = arguments(function, *pair(name, length, dtype))
        results = [call(level, function, *arrays, **keywords) for level in LEVELS_WITH_FMA]
        for result in results[1:]:
            assert_same_bits(result, results[0])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", (2, 10, 64, 100, 257))
def test_levels_with_fma_agree_on_tables(length, dtype, operation):
    function, keywords = OPERATIONS[operation]
    rows = (np.stack(side) for side in zip(*(pair(name, length, dtype) for name in PAIRS), strict=True))
    arrays = arguments(function, *rows)
    results = [call(level, function, *arrays, **keywords) for level in LEVELS_WITH_FMA]
    for result in results[1:]:
        assert_same_bits(result, results[0])
