"""Any scores and any place for the result: each layout, type and byte order gives the bits of a plain contiguous array."""

import numpy as np
import pytest
from logit_calls import (
    ANY_AXES,
    CALLS,
    KINDS,
    LOSSES,
    OF_ENTRIES,
    OF_ROWS,
    VALUES,
    as_bits,
    assert_same_bits,
    outcome,
    result_type,
    tables,
    told,
)
from reductions import from_bfloat16_bits
from test_inputs import LAYOUTS, in_foreign_byte_order, misaligned

import klfast
from klfast import logits

IN_THEIR_PLACE = ("float16", "bfloat16", "float32", "float64")

# Layouts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_a_layout_does_not_change_a_bit(name, kind):
    for length in (3, 100, 2500):
        plain = tables(kind, 7, length)
        expected = outcome(name, kind, plain)
        for layout, change in LAYOUTS.items():
            assert_same_bits(outcome(name, kind, plain.each(change)), expected, f"{layout}, {length}")
        one_only = plain._replace(x=np.asfortranarray(plain.x), target=LAYOUTS["columns reversed"](plain.target))
        assert_same_bits(outcome(name, kind, one_only), expected, f"layouts mixed, {length}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_a_single_row_may_lie_in_any_way(name, kind):
    for length in (3, 5000):
        plain = tables(kind, 1, length)
        expected = outcome(name, kind, type(plain)(*(one[0] for one in plain)))
        for layout in ("every third column", "columns reversed", "foreign byte order", "misaligned"):
            arrays = type(plain)(*(one[0] for one in plain.each(LAYOUTS[layout])))
            assert_same_bits(outcome(name, kind, arrays), expected, f"{layout}, {length}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_distributions_down_an_axis_are_those_of_contiguous_rows(name, kind):
    for count, length in ((1, 100), (7, 3), (16, 64), (17, 129), (100, 10), (17, 3000)):
        plain = tables(kind, count, length)
        expected = outcome(name, kind, plain)
        result = outcome(name, kind, plain.columns(), axis=0)
        assert_same_bits(result.T if name in OF_ENTRIES else result, expected, f"{count} of {length}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_the_classes_of_images_are_their_second_axis(name, kind):
    for length in (3, 21, 150, 2100):
        plain = tables(kind, 24, length)
        expected = outcome(name, kind, plain)
        images = plain.each(lambda rows: np.ascontiguousarray(np.moveaxis(rows.reshape(2, 3, 4, -1), -1, 1)))
        images = images._replace(ids=plain.ids.reshape(2, 3, 4))
        result = outcome(name, kind, images, axis=1)
        if name in OF_ENTRIES:
            result = np.moveaxis(result, 1, -1)
        assert_same_bits(result.reshape(expected.shape), expected, length)


@pytest.mark.parametrize("axis", [(0, 1), (1, 3), (3, 1), (-1, 0), (0, 2, 3), None])
@pytest.mark.parametrize("name", ANY_AXES)
def test_several_axes_are_one_long_row(name, axis):
    shape = (3, 40, 5, 30)
    arrays = tables("float32", 15, 1200).each(lambda rows: rows.reshape(shape))
    axes = range(4) if axis is None else sorted(number % 4 for number in axis)
    kept = [number for number in range(4) if number not in axes]
    kept_shape = [shape[number] for number in kept]
    rows = arrays.each(lambda a: np.ascontiguousarray(a.transpose(*kept, *axes)).reshape(*kept_shape, -1))
    expected = CALLS[name](rows)
    for order in "CF":
        result = CALLS[name](arrays.each(lambda a, order=order: a.copy(order=order)), axis=axis)
        if name in OF_ENTRIES:
            assert result.shape == shape
            result = result.transpose(*kept, *axes).reshape(expected.shape)
        assert_same_bits(result, expected, order)


@pytest.mark.parametrize(
    "name", [name for name in CALLS if len(CALLS[name].takes) == 2 and "ids" not in CALLS[name].takes]
)
def test_arguments_broadcast(name):
    """One row for many on either side, all pairs, and one number for a whole row."""
    plain = tables("float64", 6, 100)
    second = CALLS[name].takes[1]
    other = getattr(plain, second)

    def result(x, y):
        return CALLS[name](plain._replace(x=x, **{second: y}))

    def tile(row):
        return np.tile(row, (6, 1))

    assert_same_bits(result(plain.x, other[0][np.newaxis]), result(plain.x, tile(other[0])))
    assert_same_bits(result(plain.x[:1], other), result(tile(plain.x[0]), other))
    assert_same_bits(result(plain.x, other[:, 1:2]), result(plain.x, np.repeat(other[:, 1:2], 100, axis=1)))
    pairs = result(plain.x[:, np.newaxis], other[np.newaxis])
    assert_same_bits(pairs[2], result(tile(plain.x[2]), other))
    if second == "y":
        assert_same_bits(result(plain.x, other[0]), result(plain.x, tile(other[0])))
    stretched = np.broadcast_to(plain.x[0], (6, 100))
    assert_same_bits(result(stretched, np.broadcast_to(other[1], (6, 100))), result(tile(plain.x[0]), tile(other[1])))


@pytest.mark.parametrize("name", CALLS)
def test_files_mapped_into_memory(name, tmp_path):
    plain = tables("float32", 7, 1000)
    np.save(tmp_path / "x.npy", plain.x)
    (tmp_path / "y.bin").write_bytes(b"12345" + plain.y.tobytes())
    mapped_y = np.memmap(tmp_path / "y.bin", np.float32, mode="r", offset=5, shape=plain.y.shape)
    result = outcome(name, "float32", plain._replace(x=np.load(tmp_path / "x.npy", mmap_mode="r"), y=mapped_y))
    assert_same_bits(result, outcome(name, "float32", plain))
    if name in OF_ENTRIES:
        out = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype="float32", shape=plain.x.shape)
        assert CALLS[name](plain, out=out) is out
        assert_same_bits(np.array(out), result)


@pytest.mark.parametrize("name", CALLS)
def test_what_becomes_an_array_will_do(name):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    plain = tables("float64", 4, 5)
    expected = outcome(name, "float64", plain)
    for make in (np.ndarray.tolist, pandas.DataFrame, memoryview):
        assert_same_bits(outcome(name, "float64", plain.each(make)), expected)
    assert_same_bits(
        outcome(name, "float64", plain._replace(ids=pandas.Series(plain.ids, index=[4, 3, 2, 1]))), expected
    )


def test_more_logits_than_32_bits_can_count():
    """14,242 positions of a vocabulary of 152,064: one row of them, by stride 0, so that it takes no memory."""
    row = np.random.default_rng(1).normal(0.0, 3.0, 152_064).astype(np.float16)
    x = np.broadcast_to(row, (14_242, len(row)))
    ids = np.arange(14_242) * 10
    result = logits.cross_entropy(x, ids)
    for place in (0, 7000, 14_241):
        assert result[place] == logits.cross_entropy(row, ids[place])


# Types ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int16"])
@pytest.mark.parametrize("name", OF_ROWS)
def test_short_types_are_read_as_the_type_that_holds_them(name, kind):
    wide = "float64" if kind == "int16" else "float32"
    for length in (3, 129, 3000):
        plain = tables(kind, 7, length)
        widen = from_bfloat16_bits if kind == "bfloat16" else (lambda rows: rows.astype(wide))
        as_wide = plain._replace(x=widen(plain.x), y=widen(plain.y))
        assert_same_bits(outcome(name, kind, plain), outcome(name, wide, as_wide), f"{length}")


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_short_results_are_those_of_float32_rounded(name, kind):
    for length in (3, 129, 3000):
        plain = tables(kind, 7, length)
        widen = from_bfloat16_bits if kind == "bfloat16" else (lambda rows: rows.astype("float32"))
        single = outcome(name, "float32", plain._replace(x=widen(plain.x), y=widen(plain.y)))
        if kind == "float16":
            expected = single.astype(kind)
        else:  # to nearest, ties to even, as ml_dtypes does
            bits = single.view(np.uint32)
            expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        result = outcome(name, kind, plain)
        if name.startswith("smoothed soft"):  # computed in double precision, so rounded once
            assert np.max(np.abs(as_bits(result).astype(int) - as_bits(expected).astype(int))) <= 1
        else:
            assert_same_bits(result, expected, f"{length}")


@pytest.mark.parametrize("name", CALLS)
def test_bfloat16_of_ml_dtypes(name):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes, which gives numpy a bfloat16, is not installed")
    plain = tables("bfloat16", 7, 129)
    named = plain._replace(x=plain.x.view(ml_dtypes.bfloat16), y=plain.y.view(ml_dtypes.bfloat16))
    result, expected = CALLS[name](named), outcome(name, "bfloat16", plain)
    assert result.dtype == (np.float64 if name in OF_ROWS else ml_dtypes.bfloat16)
    assert_same_bits(result.view(expected.dtype), expected)


def test_class_ids_of_two_bytes_stay_class_ids():
    """dtype="bfloat16" says what the logits are."""
    plain = tables("bfloat16", 7, 129)
    expected = logits.cross_entropy(plain.x, plain.ids, dtype="bfloat16")
    assert_same_bits(logits.cross_entropy(plain.x, plain.ids.astype(np.uint16), dtype="bfloat16"), expected)
    assert_same_bits(logits.token_logprobs(plain.x, plain.ids.astype(np.uint16), dtype="bfloat16"), 0.0 - expected)


@pytest.mark.parametrize("name", [name for name in CALLS if "y" in CALLS[name].takes])
def test_types_mix(name):
    single, double = tables("float32", 7, 129), tables("float64", 7, 129)
    mixed = single._replace(y=double.y)
    wide = mixed._replace(x=single.x.astype("float64"))
    result, expected = CALLS[name](mixed), CALLS[name](wide)
    if name in OF_ENTRIES and name.endswith("of x"):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=2.0**-23, atol=1e-30)
    else:
        assert_same_bits(result, expected)


@pytest.mark.parametrize("name", CALLS)
def test_a_foreign_byte_order_ends_at_the_door(name):
    plain = tables("float32", 7, 129)
    result = CALLS[name](plain.each(in_foreign_byte_order))
    assert result.dtype.isnative
    assert_same_bits(result, outcome(name, "float32", plain))


# Where the result goes -----------------------------------------------------------------------------------------------

PLACES = {
    "contiguous": lambda rows: rows.copy(),
    "Fortran": lambda rows: rows.copy(order="F"),
    "every third column": lambda rows: np.repeat(rows, 3, axis=1)[:, ::3],
    "every second row": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "columns reversed": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "all reversed": lambda rows: rows[::-1, ::-1].copy()[::-1, ::-1],
    "transposed and reversed": lambda rows: rows.T[::-1].copy()[::-1].T,
    "part of a larger table": lambda rows: np.pad(rows, ((1, 1), (3, 5)))[1:-1, 3:-5],
    "misaligned": lambda rows: np.frombuffer(bytearray(b"x" + rows.tobytes()), rows.dtype, offset=1).reshape(
        rows.shape
    ),
}


@pytest.mark.parametrize("kind", IN_THEIR_PLACE)
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_in_place_gives_the_bits_of_a_new_array(name, kind):
    for length in (1, 3, 100, 2500):
        plain = tables(kind, 7, length)
        expected = outcome(name, kind, plain)
        for place, change in PLACES.items():
            x = change(plain.x)
            result = CALLS[name](plain._replace(x=x), out=x, **told(kind))
            assert result is x
            assert_same_bits(x, expected, f"{place}, {length}")


@pytest.mark.parametrize("kind", IN_THEIR_PLACE)
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_in_place_down_an_axis(name, kind):
    for count, length in ((7, 100), (17, 2500)):
        plain = tables(kind, count, length)
        columns = plain.columns()
        x = columns.x.copy()
        CALLS[name](columns._replace(x=x), axis=0, out=x, **told(kind))
        assert_same_bits(x.T, outcome(name, kind, plain), f"{count} of {length}")
    if name in ANY_AXES:
        x = tables(kind, 7, 100).x.copy()
        CALLS[name](plain._replace(x=x, y=tables(kind, 7, 100).y), axis=None, out=x, **told(kind))
        assert_same_bits(x, outcome(name, kind, tables(kind, 7, 100), axis=None))


def test_the_same_view_is_the_same_place_however_it_was_made():
    memory = tables("float64", 7, 100).x.copy()
    expected = logits.softmax(memory[1:, ::2])
    x, out = memory[1:, ::2], memory[1:][:, 0:100:2]
    assert x is not out
    logits.softmax(x, out=out)
    assert_same_bits(x, expected)


@pytest.mark.parametrize("function", ["kl_divergence", "js_divergence"])
@pytest.mark.parametrize("place", PLACES)
def test_both_gradients_in_place(function, place):
    plain = tables("float32", 7, 300)
    gradient, both = getattr(logits, f"{function}_grad"), getattr(logits, f"{function}_value_and_grad")
    expected = gradient(plain.x, plain.y, wrt="both")
    x, y = PLACES[place](plain.x), PLACES[place](plain.y)
    gradient(x, y, wrt="both", out=(x, y))
    assert_same_bits(x, expected[0])
    assert_same_bits(y, expected[1])
    x, y = PLACES[place](plain.x), PLACES[place](plain.y)
    value, _ = both(x, y, wrt="both", out=(x, y))
    assert_same_bits(value, getattr(logits, function)(plain.x, plain.y))
    assert_same_bits(x, expected[0])
    assert_same_bits(y, expected[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_out_may_lie_in_any_way(name, kind):
    for length in (3, 2500):
        plain = tables(kind, 7, length)
        expected = outcome(name, kind, plain)
        for place, change in PLACES.items():
            out = change(np.full((7, length), 9, result_type(name, kind)))
            assert CALLS[name](plain, out=out, **told(kind)) is out
            assert_same_bits(out, expected, f"{place}, {length}")


@pytest.mark.parametrize("name", OF_ROWS)
def test_out_of_rows_may_lie_in_any_way(name):
    plain = tables("float32", 12, 30).each(lambda rows: rows.reshape(3, 4, 30))
    plain = plain._replace(ids=plain.ids.reshape(3, 4))
    expected = CALLS[name](plain)
    for place, change in PLACES.items():
        out = change(np.full((3, 4), 9.0))
        assert CALLS[name](plain, out=out) is out
        assert_same_bits(out, expected, place)
    if name in VALUES or name in LOSSES and "logprobs" not in name:
        out = np.full((3, 4, 1), 9.0)
        assert CALLS[name](plain, keepdims=True, out=out) is out
        assert_same_bits(out[..., 0], expected)


def test_nothing_but_the_place_of_the_result_is_written():
    memory = np.full((9, 30), 9.0)
    plain = tables("float64", 7, 10)
    klfast.logits.softmax(plain.x, out=memory[1:8, 2:22:2])
    untouched = np.ones(memory.shape, bool)
    untouched[1:8, 2:22:2] = False
    assert np.all(memory[untouched] == 9.0)


def test_weights_and_factors_may_lie_in_any_way():
    plain = tables("float64", 7, 10)
    weight, factors = np.linspace(0.0, 1.0, 10), np.linspace(-1.0, 1.0, 7)
    expected = logits.cross_entropy_grad(plain.x, plain.ids, weight=weight, grad_output=factors)
    for change in (in_foreign_byte_order, misaligned, lambda row: np.repeat(row, 2)[::2], np.ndarray.tolist):
        result = logits.cross_entropy_grad(plain.x, plain.ids, weight=change(weight), grad_output=change(factors))
        assert_same_bits(result, expected)
