"""Any array will do: each layout, byte order and container gives the very bits of a plain contiguous array."""

import itertools

import numpy as np
import pytest
from cpu_levels import LEVELS, call
from reductions import (
    FUNCTIONS,
    INTEGERS,
    KINDS,
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

LENGTHS = (2, 3, 10, 64, 65, 100, 256, 257, 513, 1000, 5000, 20_000)
COUNTS = (1, 7, 16, 17, 100)  # below, at and above the number of rows that are taken together

# Layouts -------------------------------------------------------------------------------------------------------------


def field_of_a_record(rows):
    """Five other bytes between any two entries, so that most lie across their natural boundaries."""
    records = np.zeros(rows.shape, [("before", "u1"), ("entry", rows.dtype), ("after", "u4")])
    records["entry"] = rows
    return records["entry"]


def in_foreign_byte_order(rows):
    return rows.astype(rows.dtype.newbyteorder("S"))


def misaligned(rows):
    return np.frombuffer(b"x" + rows.tobytes(), rows.dtype, offset=1).reshape(rows.shape)


LAYOUTS = {
    "every third column": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "part of a larger table": lambda a: np.pad(a, ((1, 1), (3, 5)))[1:-1, 3:-5],
    "columns reversed": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "all reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "Fortran, reversed": lambda a: np.asfortranarray(a[::-1, ::-1])[::-1, ::-1],
    "foreign byte order": in_foreign_byte_order,
    "foreign byte order, Fortran": lambda a: np.asfortranarray(in_foreign_byte_order(a)),
    "foreign byte order, every second column": lambda a: np.repeat(in_foreign_byte_order(a), 2, axis=1)[:, ::2],
    "misaligned": misaligned,
    "misaligned, transposed": lambda a: misaligned(np.ascontiguousarray(a.T)).T,
    "misaligned, foreign byte order": lambda a: misaligned(in_foreign_byte_order(a)),
    "field of a record": field_of_a_record,
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_does_not_change_a_bit(function, layout):
    for kind, length in itertools.product(KINDS, (3, 100, 5000)):
        p, q = tables(kind, 7, length)
        other_p, other_q = LAYOUTS[layout](p), LAYOUTS[layout](q)
        expected = run_on(kind, function, p, q)
        assert_same_bits(run_on(kind, function, other_p, other_q), expected, f"both, {kind}, {length}")
        if function in TWO:
            assert_same_bits(run_on(kind, function, other_p, q), expected, f"p only, {kind}, {length}")
            assert_same_bits(run_on(kind, function, p, other_q), expected, f"q only, {kind}, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "row" not in name])
def test_a_single_vector_may_lie_in_any_way(function, layout):
    """A contiguous vector has a shorter way; what is none must not take it, or come out the same."""
    for kind, length in itertools.product(KINDS, (3, 5000)):
        p, q = tables(kind, 1, length)
        others = LAYOUTS[layout](p)[0], LAYOUTS[layout](q)[0]
        expected = run_on(kind, function, p[0], q[0])
        assert_same_bits(run_on(kind, function, *others), expected, f"{kind}, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_distributions_down_an_axis_are_those_of_contiguous_rows(function, kind, length):
    for count in COUNTS:
        p, q = tables(kind, count, length)
        expected = run(function, p, q)
        assert np.all(np.isfinite(expected))
        columns = [np.ascontiguousarray(rows.T) for rows in (p, q)]
        assert_same_bits(run(function, *columns, axis=0), expected, f"axis 0, {count} rows")
        images = [channels_second(rows) for rows in (p, q)]
        assert_same_bits(run(function, *images, axis=1).ravel(), expected, f"channels, {count} rows")


def channels_second(rows):
    """Rows as the channels of (N, C, H, W)."""
    count, length = rows.shape
    height, width = {1: (1, 1), 7: (7, 1), 16: (2, 4), 17: (1, 17), 100: (5, 10)}[count]
    return np.ascontiguousarray(np.moveaxis(rows.reshape(-1, height, width, length), -1, 1))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("float16", "float32", "float64")])
def test_an_axis_of_any_type_gives_the_bits_of_contiguous_rows(function, kind):
    for count, length in itertools.product((1, 17), (3, 129, 2000)):
        p, q = tables(kind, count, length)
        columns = [np.ascontiguousarray(rows.T) for rows in (p, q)]
        expected = run_on(kind, function, p, q)
        assert_same_bits(run_on(kind, function, *columns, axis=0), expected, f"{count} rows of {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [(0, 1), (1, 3), (3, 1), (0, 2), (-1, 0), (0, 2, 3), None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_several_axes_are_one_long_row(function, dtype, axis):
    """In the order in which a C loop over these axes would meet its entries."""
    shape = (3, 40, 5, 30)
    p, q = (rows.reshape(shape) for rows in tables(dtype, 15, 1200))
    axes = range(4) if axis is None else sorted(number % 4 for number in axis)
    kept = [number for number in range(4) if number not in axes]
    result_shape = [shape[number] for number in kept]
    plain = [np.ascontiguousarray(a.transpose(*kept, *axes)).reshape(*result_shape, -1) for a in (p, q)]
    expected = run(function, *plain)
    for order in "CF":
        arrays = [a.copy(order=order) for a in (p, q)]
        assert_same_bits(run(function, *arrays, axis=axis), expected, order)


@pytest.mark.parametrize("function", TWO)
@pytest.mark.parametrize("length", [2, 10, 100, 1000, 20_000])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16"])
def test_one_reference_row_for_many(function, kind, length):
    for count in (1, 16, 33):
        p, q = tables(kind, count, length)
        same_p, same_q = (np.broadcast_to(rows[0], rows.shape) for rows in (p, q))
        against_one = run(function, p, same_q.copy())
        one_against = run(function, same_p.copy(), q)
        assert_same_bits(run(function, p, q[0]), against_one, f"q, {count}")
        assert_same_bits(run(function, p, same_q), against_one, f"q with stride 0, {count}")
        assert_same_bits(run(function, p[0], q), one_against, f"p, {count}")
        columns = np.ascontiguousarray(p.T), np.ascontiguousarray(q.T)
        assert_same_bits(run(function, columns[0], q[0][:, np.newaxis], axis=0), against_one, f"q, axis 0, {count}")
        assert_same_bits(run(function, p[0][:, np.newaxis], columns[1], axis=0), one_against, f"p, axis 0, {count}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_repeated_along_the_distribution(function, dtype):
    p, q = tables(dtype, 5, 1000)
    level = np.broadcast_to(q[:, :1], q.shape)
    assert_same_bits(run(function, p, q[:, :1]), run(function, p, level.copy()))
    assert_same_bits(run(function, level, level[::-1]), run(function, level.copy(), level[::-1].copy()))


@pytest.mark.parametrize("function", TWO)
def test_all_pairs_by_broadcasting(function):
    p, q = tables("float64", 7, 100)
    expected = [[run(function, one, other) for other in q] for one in p]
    assert_same_bits(run(function, p[:, np.newaxis], q[np.newaxis]), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_files_mapped_into_memory(function, tmp_path):
    p, q = tables("float32", 7, 1000)
    expected = run(function, p, q)
    np.save(tmp_path / "p.npy", p)
    (tmp_path / "q.bin").write_bytes(b"12345" + q.tobytes())
    mapped_p = np.load(tmp_path / "p.npy", mmap_mode="r")
    mapped_q = np.memmap(tmp_path / "q.bin", np.float32, mode="r", offset=5, shape=q.shape)
    result = run(function, mapped_p, mapped_q)
    assert type(result) is np.ndarray
    assert_same_bits(result, expected)


def test_more_elements_than_32_bits_can_count():
    """By stride 0, so that it takes no memory."""
    p = np.broadcast_to(np.float32(0.25), 2**31 + 10)
    assert klfast.entropy(p, n_threads=2) == pytest.approx(np.log(2**31 + 10), rel=2.0**-22, abs=0.0)


# Types ---------------------------------------------------------------------------------------------------------------


WITH_A_TYPE_OF_THEIR_OWN = [kind for kind in KINDS if kind != "bfloat16"]


def computed_as(*kinds):
    return np.float32 if all(kind in ("float16", "bfloat16", "float32") for kind in kinds) else np.float64


@pytest.mark.parametrize("kinds", list(itertools.product(WITH_A_TYPE_OF_THEIR_OWN, repeat=2)), ids=str)
def test_mixed_types_are_those_of_their_common_type(kinds):
    p, q = tables(kinds[0], 3, 129)[0], tables(kinds[1], 3, 129)[1]
    common = computed_as(*kinds)
    for function in FUNCTIONS:
        wide = computed_as(kinds[0]) if function == "entropy" else common
        assert_same_bits(run(function, p, q), run(function, p.astype(wide), q.astype(wide)), function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bfloat16_given_as_bits(function):
    for length in (3, 129, 2000):
        p, q = tables("bfloat16", 7, length)
        expected = run(function, from_bfloat16_bits(p), from_bfloat16_bits(q))
        assert_same_bits(run(function, p, q, dtype="bfloat16"), expected, f"{length}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bool"])
def test_bfloat16_of_ml_dtypes(function, kind):
    """Alone it says what it is, so it may meet any other type."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes, which gives numpy a bfloat16, is not installed")
    p, q = tables("bfloat16", 7, 129)[0], tables(kind, 7, 129)[1]
    numbers = from_bfloat16_bits(p), from_bfloat16_bits(q) if kind == "bfloat16" else q
    if kind == "bfloat16":
        q = q.view(ml_dtypes.bfloat16)
    p = p.view(ml_dtypes.bfloat16)
    assert_same_bits(run(function, p, q), run(function, *numbers))
    assert_same_bits(run(function, p.T, q.T, axis=0), run(function, *numbers))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_every_number_that_two_bytes_can_hold(function, kind):
    """Subnormal, negative, infinite and NaN ones as well."""
    bits = np.arange(2**16, dtype=np.uint16)
    one = np.uint16(0x3C00 if kind == "float16" else 0x3F80)
    p = np.stack([bits, np.full_like(bits, one)], axis=-1)
    q = np.ascontiguousarray(p[:, ::-1])
    narrow = (p, q) if kind == "bfloat16" else (p.view(np.float16), q.view(np.float16))
    wide = [from_bfloat16_bits(a) if kind == "bfloat16" else a.view(np.float16).astype(np.float32) for a in (p, q)]
    expected = run(function, *wide)
    assert np.isnan(expected).sum() > 2**15 - 2  # the negative ones, but for -0.0
    np.testing.assert_array_equal(run_on(kind, function, *narrow), expected)
    np.testing.assert_array_equal(run_on(kind, function, *(in_foreign_byte_order(a) for a in narrow)), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_largest_integers_are_rounded_as_numpy_rounds(function, dtype):
    largest = np.iinfo(dtype).max
    p = np.array([[largest, 1, largest - 1, 5, largest // 3]], dtype)
    q = np.array([[3, largest - 2, largest // 7, largest, 1]], dtype)
    expected = run(function, p.astype(np.float64), q.astype(np.float64))
    assert np.isfinite(expected).all()
    assert_same_bits(run(function, p, q), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [dtype for dtype in INTEGERS if dtype[0] == "i"])
def test_negative_integers_make_their_row_undefined(function, dtype):
    p = np.array([[1, 2, 3], [4, -1, 5], [np.iinfo(dtype).min, 1, 1]], dtype)
    assert np.isnan(run(function, p, p)).tolist() == [False, True, True]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_halves_are_read_alike_at_every_level(function, kind, level):
    keywords = {"dtype": "bfloat16"} if kind == "bfloat16" else {}
    for length in (10, 129, 5000):
        narrow = tables(kind, 7, length)
        wide = [from_bfloat16_bits(a) if kind == "bfloat16" else a.astype(np.float32) for a in narrow]
        expected = call(level, function, *arguments(function, *wide))
        assert_same_bits(call(level, function, *arguments(function, *narrow), **keywords), expected, f"{length}")
        columns = [np.ascontiguousarray(a.T) for a in narrow]
        result = call(level, function, *arguments(function, *columns), axis=0, **keywords)
        assert_same_bits(result, expected, f"{length}, axis 0")


# Shapes at the edge --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [None, ()])
@pytest.mark.parametrize("number", [0.5, np.float32(2.0), 3, True, np.array(7, np.uint8), np.float16(0.25)])
def test_a_single_number_is_a_sure_event(function, number, axis):
    result = run(function, number, 0.125, axis=axis)
    assert type(result) is np.float64
    assert result == 0.0
    assert np.isnan(run(function, number, 0.0, axis=axis)) == (function in TWO)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_no_distribution(function, kind):
    for shape, axis in itertools.product([(0,), (3, 0), (0, 3), (0, 0), (2, 0, 3)], (-1, 0)):
        empty = np.zeros(shape, np.uint16 if kind == "bfloat16" else kind)
        expected = np.full(np.delete(shape, axis), np.nan)
        result = run_on(kind, function, empty, empty, axis=axis)
        np.testing.assert_array_equal(result, expected, strict=True)
        if function not in WITHOUT_NORMALIZE:
            raw = run_on(kind, function, empty, empty, axis=axis, normalize=False)
            assert_same_bits(raw, np.zeros(expected.shape))


# Where the result goes -----------------------------------------------------------------------------------------------

OUTPUTS = {
    "plain": lambda shape: np.full(shape, 9.0),
    "Fortran": lambda shape: np.full(shape, 9.0, order="F"),
    "every second": lambda shape: np.full((*shape, 2), 9.0)[..., 1],
    "reversed": lambda shape: np.full(shape, 9.0)[::-1, ::-1],
    "misaligned": lambda shape: np.frombuffer(bytearray(1 + 8 * np.prod(shape)), offset=1).reshape(shape),
    "field of a record": lambda shape: np.zeros(shape, [("before", "u1"), ("entry", "f8")])["entry"],
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("layout", OUTPUTS)
def test_out_may_lie_in_any_way(function, layout):
    p, q = (rows.reshape(4, 30, 5) for rows in tables("float64", 20, 30))
    for keywords in ({"axis": 1}, {"axis": 1, "keepdims": True}, {"axis": 0}):
        expected = run(function, p, q, **keywords)
        out = OUTPUTS[layout](expected.shape)
        assert run(function, p, q, **keywords, out=out) is out
        assert_same_bits(out, expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_of_no_dimension(function):
    p, q = tables("float32", 1, 5000)
    out = np.zeros(())
    assert run(function, p, q, axis=None, out=out) is out
    assert out == run(function, p, q)[0]
