"""q that is p times a number: divergences (but for Renyi's) are exactly 0 then, and the least that differs is seen.
And q that is 0 where p is not: what is infinite is so whatever else is in the row, but for what makes it NaN."""

import numpy as np
import oracles
import oracles_divergences
import pytest
from cpu_levels import LEVELS, call, call_each

DTYPES = ("float32", "float64")
BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
OPERATIONS = ("kl_divergence", "js_divergence", "total_variation", "hellinger", "chi2_divergence", "jeffreys")
# Rows side by side and alone, of several blocks, and a little more or less than each.
LENGTHS = (1, 2, 3, 10, 64, 65, 129, 256, 511, 512, 513, 1000, 4095, 4097, 8193, 20000)
FACTORS = (2.0**-60, 0.5, 3.0, 7.0, 1e4)
# Counts beside a multiple of them are exact in float32.
MOST = 1000


def counts(length, kind, rows=5):
    random = np.random.default_rng(length)
    table = random.integers(1, MOST, (rows, length)).astype(np.float64)
    if kind == "with zeros":
        table *= random.random((rows, length)) < 0.4
    if kind == "one event":
        table *= np.arange(length) == random.integers(0, length, (rows, 1))
    table[:, -1] += table.sum(axis=-1) == 0
    return table


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ("positive", "with zeros", "one event"))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_multiples_are_exactly_zero_apart(operation, kind, dtype, level):
    not_zero = {}
    for length in LENGTHS:
        p = counts(length, kind)
        q = p * np.array(FACTORS)[:, None]
        p, q = p.astype(dtype), q.astype(dtype)
        one_for_all = (p[0], p[0] * np.array(FACTORS, dtype)[:, None])
        calls = [(p, q), (q, p), (p[1], q[1]), (np.asfortranarray(p), np.asfortranarray(q)), one_for_all]
        for number, result in enumerate(call_each(level, operation, calls)):
            if not np.all(result == 0.0):
                not_zero[length, number] = result
    assert not not_zero


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_so_they_are_in_other_types_and_behind_a_mask(operation, level):
    for length in (1, 2, 20, 100, 700, 10000):
        p = np.minimum(counts(length, "with zeros"), 40)
        q = 3 * p
        where = np.arange(length) % 4 != 1
        where[-1] = True
        p[:, -1], q[:, -1] = 1, 3
        masked = np.where(where, q, 1e3)
        for dtype in ("float16", "uint8", "int64"):
            assert not np.any(call(level, operation, p.astype(dtype), q.astype(dtype))), (length, dtype)
        assert not np.any(call(level, operation, p, masked, where=where)), length
        assert not np.any(call(level, operation, p.T, q.T, axis=0)), length
        assert not np.any(call(level, operation, np.repeat(p, 2, 1)[:, ::2], q)), length


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_least_that_is_no_multiple_is_seen(operation, dtype, level):
    """One entry that is off by one bit, wherever it is."""
    module = oracles if operation == "kl_divergence" else oracles_divergences
    wrong = {}
    for length in (2, 3, 20, 100, 129, 513, 4097, 9000):
        p = counts(length, "positive", rows=1)[0]
        for position in sorted({0, length // 2, length - 1}):
            q = (3 * p).astype(dtype)
            q[position] = np.nextafter(q[position], np.inf, dtype=dtype)
            exact = getattr(module, operation)(p, q.astype(np.float64))
            result = call(level, operation, p.astype(dtype), q)
            assert result > 0
            if not oracles.relative_error(result, exact) <= BOUNDS[dtype]:
                wrong[length, position] = (float(result), float(exact))
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_blocks_that_are_multiples_by_different_numbers(operation, level):
    """The last half of a row of several blocks by the next larger number than the first."""
    p = counts(30000, "positive", rows=1)[0]
    q = 3.0 * p
    q[15000:] = p[15000:] * np.nextafter(3.0, 4.0)
    assert call(level, operation, p, q) > 0
    assert call(level, operation, np.stack([p] * 3), np.stack([q, 3.0 * p, q]))[1] == 0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("scale", (2.0**-1060, 2.0**-1000, 2.0**-420, 2.0**420, 2.0**1000))
def test_at_the_ends_of_the_range_next_to_nothing_is_left(scale, operation, level):
    for length in (2, 20, 700, 5000):
        p = counts(length, "positive", rows=1)[0]
        result = call(level, operation, p * scale, 3 * p)
        assert 0.0 <= result <= 2.0**-45
        assert np.isnan(call(level, operation, np.zeros(length), 3 * p * scale))
        assert call(level, operation, np.where(np.arange(length) > 0, p, 0.0), p * scale) > 0.0


INFINITE = (("kl_divergence", ()), ("chi2_divergence", ()), ("jeffreys", ()), ("renyi_divergence", (2.0,)))


def one_event_in(length, dtype):
    p, q = np.random.default_rng(length).random((2, 40, length)).astype(dtype) + dtype(1e-3)
    q *= np.arange(length) == np.random.default_rng(1).integers(0, length, (40, 1))
    return p, q


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize(("operation", "more"), INFINITE)
def test_what_is_infinite_is_so_whatever_else_is_there(operation, more, dtype, level):
    for length in (2, 3, 9, 64, 128, 129, 512, 513, 1000, 5000, 20000):
        p, q = one_event_in(length, dtype)
        assert np.all(call(level, operation, p, q, *more) == np.inf), length
        p[:, ::2] *= dtype(2.0**-110)
        q *= dtype(2.0**-110)
        assert np.all(call(level, operation, p, q, *more) == np.inf), length


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize(("operation", "more"), INFINITE)
def test_but_for_what_is_no_distribution(operation, more, dtype, level):
    for length in (3, 9, 64, 129, 512, 513, 1000, 9000):
        for bad in (np.nan, np.inf, -1.0):
            for which in (0, 1):
                for position in (0, length // 2, length - 1):
                    pair = one_event_in(length, dtype)
                    pair[which][::2, position] = bad
                    result = call(level, operation, *pair, *more)
                    assert np.all(np.isnan(result[::2])), (length, bad, which, position)
                    assert np.all(result[1::2] == np.inf), (length, bad, which, position)
        p, q = one_event_in(length, dtype)
        assert np.all(np.isnan(call(level, operation, p, 0 * q, *more)))
        assert np.all(np.isnan(call(level, operation, 0 * p, q, *more)))
