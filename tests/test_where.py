"""where= and masked arrays: what is left out is as if it were not there, whatever it holds."""

import numpy as np
import pytest
from cpu_levels import LEVELS, call
from reductions import (
    FUNCTIONS,
    TWO,
    WITHOUT_NORMALIZE,
    arguments,
    assert_same_bits,
    from_bfloat16_bits,
    run,
    run_on,
    tables,
)

import klfast

KINDS = ("float16", "bfloat16", "float32", "float64", "int16")
LENGTHS = (1, 3, 64, 100, 129, 1000, 5000)
COUNT = 17  # rows that are taken together, and one more
ROUNDING = {"float64": 2.0**-44, "int16": 2.0**-44}  # or else 2**-20


def random_mask(shape):
    return np.random.default_rng(shape).random(shape) < 0.6


def blocks(shape):
    """Whole stretches at either end and in the middle left out."""
    position = np.arange(shape[-1]) / shape[-1]
    return np.broadcast_to(((position > 0.3) & (position < 0.5)) | ((position > 0.6) & (position < 0.61)), shape)


MASKS = {
    "random": random_mask,
    "stretches": blocks,
    "every second": lambda shape: (np.indices(shape).sum(axis=0) % 2).astype(bool),
    "one entry in each row": lambda shape: np.arange(shape[1]) == (np.arange(shape[0]) % shape[1])[:, np.newaxis],
    "one row for all": lambda shape: random_mask(shape)[0],
    "whole rows": lambda shape: np.arange(shape[0])[:, np.newaxis] % 3 > 0,
    "everything": lambda shape: np.ones(shape, bool),
    "nothing": lambda shape: np.zeros(shape, bool),
    "one True": lambda shape: True,
    "one False": lambda shape: np.False_,
    "list": lambda shape: random_mask(shape)[0].tolist(),
}


def with_entries_removed(function, p, q, where, kind="", **keywords):
    """One row after the other, each without the entries that are left out."""
    chosen = np.broadcast_to(where, p.shape)
    rows = [(one[use], other[use]) for one, other, use in zip(p, np.broadcast_to(q, p.shape), chosen)]
    return np.array([run_on(kind, function, *row, **keywords) for row in rows])


# What may be left of 0 where rows are proportional, but not equal: one number in each row, for example.
NEXT_TO_NOTHING = 2.0**-90


def assert_close(result, expected, kind, size=0.0):
    rounding = ROUNDING.get(kind, 2.0**-20)
    np.testing.assert_allclose(result, expected, rtol=rounding, atol=rounding * size + NEXT_TO_NOTHING)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_is_as_if_removed(function, mask, kind):
    for length in LENGTHS:
        p, q = tables(kind, COUNT, length)
        where = MASKS[mask](p.shape)
        result = run_on(kind, function, p, q, where=where)
        assert_close(result, with_entries_removed(function, p, q, where, kind), kind)


@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function not in WITHOUT_NORMALIZE])
@pytest.mark.parametrize("mask", MASKS)
def test_raw_sums_leave_out_what_is_left_out(function, mask):
    for length in LENGTHS:
        p, q = tables("float64", COUNT, length)
        where = MASKS[mask](p.shape)
        expected = with_entries_removed(function, p, q, where, normalize=False)
        assert_close(run(function, p, q, where=where, normalize=False), expected, "float64", length)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf, -1.0, 0.0, 60000.0])
def test_what_is_hidden_changes_no_bit(function, kind, hidden):
    for length in (3, 129, 5000):
        p, q = tables(kind, COUNT, length)
        where = random_mask(p.shape)
        expected = run(function, p, q, where=where)
        other_p, other_q = (np.where(where, rows, np.asarray(hidden, rows.dtype)) for rows in (p, q))
        assert_same_bits(run(function, other_p, q, where=where), expected, f"in p, {length}")
        assert_same_bits(run(function, p, other_q, where=where), expected, f"in q, {length}")
        assert_same_bits(run(function, other_p, other_q, where=where), expected, f"in both, {length}")


def rows_of_every_kind(shape):
    """Rows that count as a whole, in part and not at all; the first that are taken together are whole."""
    where = random_mask(shape)
    kind = np.arange(shape[0]) % 7
    where[(kind < 4) | (np.arange(shape[0]) < COUNT)] = True
    where[COUNT:][kind[COUNT:] == 5] = False
    return where


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_that_counts_as_a_whole_has_the_bits_it_has_without_a_mask(function, dtype):
    for length in LENGTHS:
        p, q = tables(dtype, 3 * COUNT, length)
        where = rows_of_every_kind(p.shape)
        whole = where.all(axis=1)
        expected = run(function, p, q)[whole]
        for name, mask in {"where": where, "Fortran": np.asfortranarray(where), "rows": whole[:, np.newaxis]}.items():
            assert_same_bits(run(function, p, q, where=mask)[whole], expected, f"{name}, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_hidden_still_counts(function, dtype):
    p, q = (rows.copy() for rows in tables(dtype, 3, 1000))
    where = np.ones(1000, bool)
    where[500] = False
    p[:, 500] = q[:, 500] = np.nan
    p[1, 501] = -1.0
    q[2, 499] = np.nan
    expected = [False, True, function in TWO]
    assert np.isnan(run(function, p, q, where=where)).tolist() == expected


@pytest.mark.parametrize("function", ["kl_divergence", "cross_entropy", "chi2_divergence", "jeffreys"])
def test_an_impossible_event_is_infinite_only_where_it_counts(function):
    p, q = (rows.copy() for rows in tables("float64", 1, 1000))
    q[0, 700] = 0.0
    where = np.ones(1000, bool)
    assert run(function, p[0], q[0], where=where) == np.inf
    where[700] = False
    assert run(function, p[0], q[0], where=where) < np.inf


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_with_nothing_left_is_an_empty_one(function, dtype):
    p, q = tables(dtype, 5, 129)
    where = random_mask(p.shape)
    where[2] = False
    assert np.isnan(run(function, p, q, where=where)).tolist() == [False, False, True, False, False]
    assert np.isnan(run(function, p[0], q[0], where=where[2]))
    assert np.isnan(run(function, 0.5, 0.5, axis=None, where=False))
    assert run(function, 0.5, 0.5, axis=None, where=True) == 0.0
    if function not in WITHOUT_NORMALIZE:
        assert run(function, p, q, where=where, normalize=False)[2] == 0.0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rows_without_weight_where_it_counts_are_undefined(function):
    p, q = np.array([[1.0, 0.0, 0.0], [1.0, 2.0, 3.0]]), np.ones((2, 3))
    assert np.isnan(run(function, p, q, where=[False, True, True])).tolist() == [True, False]


# Shapes and layouts --------------------------------------------------------------------------------------------------

LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every third column": lambda mask: np.repeat(mask, 3, axis=1)[:, ::3],
    "every second row": lambda mask: np.repeat(mask, 2, axis=0)[::2],
    "reversed": lambda mask: np.ascontiguousarray(mask[::-1, ::-1])[::-1, ::-1],
    "read-only": lambda mask: np.frombuffer(mask.tobytes(), bool).reshape(mask.shape),
    "list": lambda mask: mask.tolist(),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mask_may_lie_in_any_way(function, layout, dtype):
    for length in (3, 100, 5000):
        p, q = tables(dtype, COUNT, length)
        where = random_mask(p.shape)
        expected = run(function, p, q, where=where)
        assert_same_bits(run(function, p, q, where=LAYOUTS[layout](where)), expected, f"{length}")
        apart = [np.repeat(rows, 2, axis=1)[:, ::2] for rows in (p, q)]
        assert_same_bits(run(function, *apart, where=LAYOUTS[layout](where)), expected, f"strided, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_down_an_axis(function, kind):
    for length in (3, 100, 129, 5000):
        p, q = tables(kind, 16, length)
        where = random_mask(p.shape)
        expected = run_on(kind, function, p, q, where=where)
        columns = [np.ascontiguousarray(rows.T) for rows in (p, q, where)]
        result = run_on(kind, function, *columns[:2], axis=0, where=columns[2])
        assert_same_bits(result, expected, f"axis 0, {length}")
        result = run_on(kind, function, *columns[:2], axis=0, where=where.T)
        assert_same_bits(result, expected, f"axis 0, the mask in rows, {length}")
        images = [np.ascontiguousarray(np.moveaxis(a.reshape(2, 4, 2, length), -1, 1)) for a in (p, q, where)]
        result = run_on(kind, function, *images[:2], axis=1, where=images[2])
        assert_same_bits(result.ravel(), expected, f"channels, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, (0, 2), (1, 2), (2, 0), -1, 0])
def test_a_mask_for_several_axes(function, axis, keepdims):
    p, q = (rows.reshape(6, 7, 40) for rows in tables("float64", 42, 40))
    for where in (random_mask(p.shape), random_mask((7, 40)), random_mask((6, 1, 40)), random_mask((7, 1))):
        result = run(function, p, q, where=where, axis=axis, keepdims=keepdims)
        axes = range(3) if axis is None else sorted(number % 3 for number in np.atleast_1d(axis))
        kept = [number for number in range(3) if number not in axes]
        length = np.prod([p.shape[number] for number in axes])
        rows = [np.broadcast_to(a, p.shape).transpose(*kept, *axes).reshape(-1, length) for a in (p, q, where)]
        assert result.shape == np.sum(p, axis=axis, keepdims=keepdims).shape
        assert_close(np.ravel(result), with_entries_removed(function, *rows), "float64")


@pytest.mark.parametrize("function", TWO)
def test_a_mask_and_one_reference_row(function):
    p, q = tables("float64", COUNT, 1000)
    where = random_mask(p.shape)
    expected = run(function, p, np.tile(q[0], (COUNT, 1)), where=where)
    assert_same_bits(run(function, p, q[0], where=where), expected)
    assert_close(expected, with_entries_removed(function, p, q[0], where), "float64")
    expected = run(function, np.tile(p[0], (COUNT, 1)), q, where=where[0])
    assert_same_bits(run(function, p[0], q, where=where[0]), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", [(1, 200_003), (40, 3_001)])
def test_threads_do_not_change_a_bit_under_a_mask(function, shape):
    p, q = tables("float32", *shape)
    where = random_mask(shape)
    one = run(function, p, q, where=where, n_threads=1)
    for n_threads in (2, 3):
        assert_same_bits(run(function, p, q, where=where, n_threads=n_threads), one)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS)
def test_masks_mean_the_same_at_every_level(function, kind, level):
    keywords = {"dtype": "bfloat16"} if kind == "bfloat16" else {}
    for length in (3, 129, 5000):
        p, q = tables(kind, 7, length)
        where = random_mask(p.shape)
        result = call(level, function, *arguments(function, p, q), where=where, **keywords)
        assert_close(result, with_entries_removed(function, p, q, where, kind), kind)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_and_check_under_a_mask(function):
    p, q = (rows.copy() for rows in tables("float64", 5, 129))
    where = random_mask(p.shape)
    expected = run(function, p, q, where=where)
    p[~where] = q[~where] = np.nan
    out = np.zeros((5, 2))[:, 1]
    assert run(function, p, q, where=where, out=out, check=True) is out
    assert_same_bits(out, expected)


# Masked arrays -------------------------------------------------------------------------------------------------------


def assert_plain(result):
    assert type(result) in (np.ndarray, np.float64)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_masked_entries_are_left_out(function, kind):
    for length in (3, 129, 5000):
        p, q = tables(kind, COUNT, length)
        hidden_p, hidden_q = ~random_mask(p.shape), ~random_mask((*p.shape, 1))[..., 0]
        masked_p, masked_q = np.ma.array(p, mask=hidden_p), np.ma.array(q, mask=hidden_q)
        result = run_on(kind, function, masked_p, q)
        assert_plain(result)
        assert_same_bits(result, run_on(kind, function, p, q, where=~hidden_p), f"p, {length}")
        if function in TWO:
            result = run_on(kind, function, p, masked_q)
            assert_plain(result)
            assert_same_bits(result, run_on(kind, function, p, q, where=~hidden_q), f"q, {length}")
            expected = run_on(kind, function, p, q, where=~(hidden_p | hidden_q))
            assert_same_bits(run_on(kind, function, masked_p, masked_q), expected, f"both, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_masked_arrays_and_where(function):
    p, q = tables("float64", 5, 129)
    hidden, where = ~random_mask(p.shape), random_mask((129,))
    result = run(function, np.ma.array(p, mask=hidden), q, where=where)
    assert_same_bits(result, run(function, p, q, where=~hidden & where))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_masked_arrays_that_mask_nothing(function):
    p, q = tables("float64", 5, 129)
    for mask in (np.ma.nomask, False, np.zeros(p.shape, bool)):
        result = run(function, np.ma.array(p, mask=mask), np.ma.array(q))
        assert_plain(result)
        assert_close(result, run(function, p, q), "float64")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("length", [3, 5000])
def test_a_single_masked_vector(function, length):
    p, q = (rows[0] for rows in tables("float64", 1, length))
    masked = np.ma.array(np.where(p == p[1], np.nan, p), mask=p == p[1])
    result = run(function, masked, q)
    assert_plain(result)
    assert_same_bits(result, run(function, p, q, where=p != p[1]))
    assert np.isnan(run(function, np.ma.array(p, mask=True), q))


@pytest.mark.parametrize("function", TWO)
def test_a_masked_reference_row_hides_its_entries_from_all(function):
    p, q = tables("float64", COUNT, 129)
    hidden = ~random_mask((129,))
    masked = np.ma.array(q[0], mask=hidden)
    assert_same_bits(run(function, p, masked), run(function, p, q[0], where=~hidden))
    columns = np.ascontiguousarray(p.T)
    assert_same_bits(run(function, columns, masked[:, np.newaxis], axis=0), run(function, p, q[0], where=~hidden))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_masked_rows_keepdims_and_axes(function):
    p, q = (rows.reshape(3, 5, 129) for rows in tables("float64", 15, 129))
    hidden = ~random_mask(p.shape)
    masked = np.ma.array(p, mask=hidden)
    for keywords in ({"axis": 1}, {"axis": (0, 2), "keepdims": True}, {"axis": None}):
        result = run(function, masked, q, **keywords)
        assert_plain(result)
        assert_same_bits(result, run(function, p, q, where=~hidden, **keywords))


def test_a_missing_value_is_left_out_of_an_entropy():
    assert klfast.entropy(np.ma.masked_invalid([1.0, np.nan, 2.0, 1.0]), base=2) == pytest.approx(
        1.5, rel=2.0**-49, abs=0.0
    )
    assert klfast.entropy(np.ma.masked_equal([1, 99, 2, 1], 99), base=2) == pytest.approx(1.5, rel=2.0**-49, abs=0.0)


def test_bfloat16_bits_in_a_masked_array():
    p, _ = tables("bfloat16", 5, 129)
    hidden = ~random_mask(p.shape)
    result = klfast.entropy(np.ma.array(p, mask=hidden), dtype="bfloat16")
    assert_same_bits(result, klfast.entropy(from_bfloat16_bits(p), where=~hidden))
