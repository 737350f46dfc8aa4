"""where= and masked arrays for logits: classes that are left out are as if they were not there, whatever they hold."""

import itertools

import numpy as np
import pytest
from cpu_levels import LEVELS, call
from logit_calls import (
    ANY_AXES,
    CALLS,
    KINDS,
    LOSSES,
    OF_ENTRIES,
    OF_ROWS,
    Tables,
    assert_same_bits,
    outcome,
    random_mask,
    tables,
    told,
)
from reductions import from_bfloat16_bits
from test_where import LAYOUTS, MASKS, rows_of_every_kind

from klfast import logits

COUNT = 17  # rows that are taken together, and one more
LENGTHS = (1, 3, 64, 100, 129, 1000, 5000)
# Rounding of results: of the computation, and of what an entry is stored in.
ROUNDING = {"float64": 2.0**-44, "int16": 2.0**-44, "float32": 2.0**-19, "float16": 2.0**-9, "bfloat16": 2.0**-6}


def rounding(name, kind):
    return ROUNDING[kind] if name in OF_ENTRIES else max(ROUNDING["float64"], min(ROUNDING[kind], 2.0**-19))


def remaining(arrays, where, i):
    """Row i without the classes that are left out, its label counted among the others; None if the label is not one."""
    chosen = where[i]
    label = arrays.ids[i]
    return Tables(arrays.x[i][chosen], arrays.y[i][chosen], int(chosen[:label].sum()), arrays.target[i][chosen])


def with_entries_removed(name, kind, arrays, where):
    """One row after the other, each without the entries that are left out."""
    nothing = -np.inf if name == "log_softmax" else 0.0
    result = np.full(arrays.x.shape if name in OF_ENTRIES else len(arrays.x), nothing)
    for i in range(len(arrays.x)):
        if where[i].any():
            found = numbers(CALLS[name](remaining(arrays, where, i), **told(kind)), kind)
            result[(i, where[i]) if name in OF_ENTRIES else i] = found
        elif name not in OF_ENTRIES:
            result[i] = -np.inf if name == "logsumexp" else np.nan
    return result


def numbers(result, kind):
    return from_bfloat16_bits(result) if result.dtype == np.uint16 else result


def with_labels_inside(arrays, where):
    """The first class of each row that counts as its label, so that no loss is infinite."""
    return arrays._replace(ids=np.argmax(where, axis=-1))


def assert_close(name, kind, result, expected):
    """Gradients relative to the largest of their row; all else relative to itself, or to what cancels in a logarithm."""
    limit = rounding(name, kind)
    size = np.abs(expected)
    if "grad" in name:
        size = np.max(size, axis=-1, keepdims=True, initial=0.0)
        if "soft" in name or "smoothed" in name:  # the difference of two distributions, which may be equal
            size = np.maximum(size, 1.0)
    elif name == "logsumexp":
        size = np.maximum(size, 20.0)
    with np.errstate(invalid="ignore"):
        distance = np.abs(result - expected)
        wrong = ~(
            (distance <= limit * size + 2.0**-90) | (result == expected) | (np.isnan(result) & np.isnan(expected))
        )
    if kind == "float16" and name in OF_ENTRIES:  # which holds small numbers as subnormal ones
        wrong &= ~(distance <= 2.0**-23)
    assert not wrong.any(), (result[wrong][:3], expected[wrong][:3])


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_left_out_is_as_if_removed(name, mask):
    for kind in KINDS:
        for length in LENGTHS if kind in ("float32", "float64") else (3, 129):
            arrays = tables(kind, COUNT, length)
            where = MASKS[mask](arrays.x.shape)
            chosen = np.broadcast_to(where, arrays.x.shape)
            arrays = with_labels_inside(arrays, chosen)
            result = numbers(outcome(name, kind, arrays, where=where), kind)
            assert_close(name, kind, result, with_entries_removed(name, kind, arrays, chosen))


@pytest.mark.parametrize("name", CALLS)
def test_a_row_that_counts_as_a_whole_has_the_bits_it_has_without_a_mask(name):
    for kind, length in itertools.product(("float16", "float32", "float64"), LENGTHS):
        arrays = tables(kind, 3 * COUNT, length)
        where = rows_of_every_kind(arrays.x.shape)
        whole = where.all(axis=1)
        expected = outcome(name, kind, arrays)[whole]
        for about, mask in {"where": where, "Fortran": np.asfortranarray(where), "rows": whole[:, np.newaxis]}.items():
            found = outcome(name, kind, arrays, where=mask)[whole]
            assert_same_bits(found, expected, f"{about}, {kind}, {length}")


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf, 0.0, 60000.0])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_hidden_changes_no_bit(name, hidden):
    for kind in ("float16", "float32", "float64"):
        for length in (3, 129, 5000):
            arrays = tables(kind, COUNT, length)
            where = random_mask(arrays.x.shape)
            expected = outcome(name, kind, arrays, where=where)
            changed = arrays.each(lambda rows, where=where: np.where(where, rows, np.asarray(hidden, rows.dtype)))
            for other in ({field: getattr(changed, field)} for field in ("x", "y", "target")):
                result = outcome(name, kind, arrays._replace(**other), where=where)
                assert_same_bits(result, expected, f"{kind}, {length}, {list(other)}")
            assert_same_bits(outcome(name, kind, changed, where=where), expected, f"{kind}, {length}, all")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_entries_left_out_are_exactly_nothing(name, kind):
    nothing = -np.inf if name == "log_softmax" else 0.0
    for length in (3, 129, 5000):
        arrays = tables(kind, COUNT, length)
        where = random_mask(arrays.x.shape)
        where[5] = False
        for out in (None, np.array(outcome(name, kind, arrays)), "in place"):
            x = arrays.x
            if isinstance(out, str):
                if kind == "int16":
                    continue
                x = out = arrays.x.copy()
            result = CALLS[name](arrays._replace(x=x), where=where, out=out, **told(kind))
            assert np.all(numbers(result, kind)[~where] == nothing)
            assert not np.any(np.signbit(numbers(result, kind)[~where]) & (nothing == 0.0))


@pytest.mark.parametrize("name", LOSSES)
def test_a_label_that_is_left_out_is_impossible(name):
    if "ids" in LOSSES[name].takes:
        arrays = tables("float64", COUNT, 129)
        where = random_mask(arrays.x.shape)
        where[np.arange(COUNT), arrays.ids] = np.arange(COUNT) % 2 == 0
        result = outcome(name, "float64", arrays, where=where)
        assert np.isinf(result).tolist() == [row % 2 == 1 for row in range(COUNT)]
        assert np.all(result[1::2] == (-np.inf if name == "token_logprobs" else np.inf))


def test_several_ids_some_of_which_are_left_out():
    arrays = tables("float64", 5, 129)
    where = random_mask(arrays.x.shape)
    ids = np.tile(np.arange(129), (5, 1))
    result = logits.token_logprobs(arrays.x, ids, where=where)
    np.testing.assert_allclose(result, logits.log_softmax(arrays.x, where=where), rtol=2.0**-48)
    assert np.all(np.isneginf(result) == ~where)


# Shapes and layouts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_the_mask_may_lie_in_any_way(name, dtype):
    for length in (3, 100, 5000):
        arrays = tables(dtype, COUNT, length)
        where = random_mask(arrays.x.shape)
        expected = outcome(name, dtype, arrays, where=where)
        apart = arrays.each(lambda rows: np.repeat(rows, 2, axis=1)[:, ::2])
        for layout, change in LAYOUTS.items():
            assert_same_bits(outcome(name, dtype, arrays, where=change(where)), expected, f"{layout}, {length}")
            assert_same_bits(outcome(name, dtype, apart, where=change(where)), expected, f"strided, {layout}, {length}")


@pytest.mark.parametrize("name", CALLS)
def test_a_mask_down_an_axis(name):
    for kind in KINDS:
        for length in (3, 100, 129, 3000):
            arrays = tables(kind, 16, length)
            where = random_mask(arrays.x.shape)
            expected = outcome(name, kind, arrays, where=where)
            for upright in (where.T, np.ascontiguousarray(where.T)):
                result = outcome(name, kind, arrays.columns(), axis=0, where=upright)
                assert_same_bits(result.T if name in OF_ENTRIES else result, expected, f"axis 0, {length}")
            images = arrays.each(
                lambda rows, n=length: np.ascontiguousarray(np.moveaxis(rows.reshape(2, 4, 2, n), -1, 1))
            )
            images = images._replace(ids=arrays.ids.reshape(2, 4, 2))
            chosen = np.moveaxis(where.reshape(2, 4, 2, length), -1, 1)
            result = outcome(name, kind, images, axis=1, where=chosen)
            result = np.moveaxis(result, 1, -1) if name in OF_ENTRIES else result
            assert_same_bits(result.reshape(expected.shape), expected, f"images, {length}")


@pytest.mark.parametrize("axis", [None, (0, 2), (2, 1), -1, 0])
@pytest.mark.parametrize("name", ANY_AXES)
def test_a_mask_for_several_axes(name, axis):
    arrays = tables("float64", 42, 40).each(lambda rows: rows.reshape(6, 7, 40))
    axes = range(3) if axis is None else sorted(number % 3 for number in np.atleast_1d(axis))
    kept = [number for number in range(3) if number not in axes]
    length = int(np.prod([arrays.x.shape[number] for number in axes]))
    for where in (random_mask((6, 7, 40)), random_mask((7, 40)), random_mask((6, 1, 40)), random_mask((7, 1))):
        result = outcome(name, "float64", arrays, where=where, axis=axis)

        def as_rows(a):
            return np.broadcast_to(a, (6, 7, 40)).transpose(*kept, *axes).reshape(-1, length)

        expected = with_entries_removed(
            name, "float64", arrays.each(as_rows)._replace(ids=np.zeros(280, int)), as_rows(where)
        )
        assert_close(name, "float64", as_rows(result) if name in OF_ENTRIES else np.ravel(result), expected)


@pytest.mark.parametrize("name", CALLS)
def test_threads_do_not_change_a_bit_under_a_mask(name):
    for shape in ((1, 100_003), (40, 3_001)):
        arrays = tables("float32", *shape)
        where = random_mask(shape)
        one = outcome(name, "float32", arrays, where=where, n_threads=1)
        for n_threads in (2, 3):
            assert_same_bits(outcome(name, "float32", arrays, where=where, n_threads=n_threads), one)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CALLS)
def test_masks_mean_the_same_at_every_level(name, level):
    function, takes, fixed = CALLS[name]
    for kind in ("float16", "bfloat16", "float32", "float64"):
        for length in (3, 129, 5000):
            arrays = tables(kind, 7, length)
            where = random_mask(arrays.x.shape)
            arrays = with_labels_inside(arrays, where)
            taken = (getattr(arrays, one) for one in takes)
            result = call(level, function, *taken, where=where, **fixed, **told(kind))
            assert_close(name, kind, numbers(result, kind), with_entries_removed(name, kind, arrays, where))


# Masked arrays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_masked_entries_are_left_out(name):
    for kind in KINDS:
        for length in (3, 129, 3000):
            arrays = tables(kind, COUNT, length)
            hidden, hidden_too = ~random_mask(arrays.x.shape), ~random_mask((COUNT, length, 1))[..., 0]
            masked = arrays._replace(x=np.ma.array(arrays.x, mask=hidden), y=np.ma.array(arrays.y, mask=hidden_too))
            chosen = ~(hidden | hidden_too) if "y" in CALLS[name].takes else ~hidden
            expected = outcome(name, kind, arrays, where=chosen)
            assert_same_bits(outcome(name, kind, masked), expected, f"{kind}, {length}")
            where = random_mask((length,))
            expected = outcome(name, kind, arrays, where=chosen & where)
            assert_same_bits(outcome(name, kind, masked, where=where), expected, f"{kind}, {length}, and where")


@pytest.mark.parametrize("name", CALLS)
def test_masked_arrays_that_mask_nothing(name):
    arrays = tables("float64", 5, 129)
    for mask in (np.ma.nomask, False, np.zeros(arrays.x.shape, bool)):
        result = outcome(name, "float64", arrays._replace(x=np.ma.array(arrays.x, mask=mask)))
        assert_close(name, "float64", result, outcome(name, "float64", arrays))


@pytest.mark.parametrize("name", CALLS)
def test_a_masked_row_hides_its_entries_from_all(name):
    if "y" in CALLS[name].takes:
        arrays = tables("float64", COUNT, 129)
        hidden = ~random_mask((129,))
        masked = arrays._replace(y=np.ma.array(arrays.y[0], mask=hidden))
        expected = outcome(name, "float64", arrays._replace(y=arrays.y[0]), where=~hidden)
        assert_same_bits(outcome(name, "float64", masked), expected)


@pytest.mark.parametrize("name", OF_ROWS)
def test_check_looks_only_at_what_counts(name):
    if not name.startswith("logprobs"):
        arrays = tables("float64", 5, 129)
        where = random_mask(arrays.x.shape)
        x = np.where(where, arrays.x, np.nan)
        expected = outcome(name, "float64", arrays, where=where)
        assert_same_bits(outcome(name, "float64", arrays._replace(x=x), where=where, check=True), expected)
        x[3, 0] = np.nan
        with pytest.raises(ValueError, match=r"^x\[3, 0\]: nan is no logit"):
            outcome(name, "float64", arrays._replace(x=x), where=where, check=True)
