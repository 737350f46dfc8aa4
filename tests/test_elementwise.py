"""entr, rel_entr and kl_div: each element within 2 units in the last place, of the right type, wherever the arrays lie."""

import functools
import math

import numpy as np
import pytest
from cpu_levels import LEVELS, LEVELS_WITH_FMA, call
from elements import (
    CASES,
    DTYPES,
    FORMATS,
    FUNCTIONS,
    INF,
    MIXED,
    NAN,
    arguments,
    as_bits,
    as_double,
    assert_same_bits,
    assert_within,
    half_bits,
    intervals,
    known_intervals,
    numbers,
    of_kind,
    pool,
    run,
    told,
)
from reductions import FLOATS, INTEGERS

import klfast
from klfast import _terms


@pytest.fixture(params=["the faster way", "kernels"])
def way(request, monkeypatch):
    """Arrays are read by numpy's iterator where the kernels would be called too often; here, by these as well."""
    if request.param == "kernels":
        monkeypatch.setattr(_terms, "LEAST_ROW", 0)
        monkeypatch.setattr(_terms, "LEAST_TASK", 0)


EITHER_WAY = pytest.mark.usefixtures("way")

# Right to the last bits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_element_is_right_to_two_ulps(function, dtype, name, level):
    p, q = numbers(name, dtype)
    result = call(level, function, *arguments(function, p, q))
    assert result.dtype == dtype
    assert_within(result, known_intervals(function, name, dtype), function, dtype, p, q)


# Ratios just above 4, which are the hardest for a kl_div that is put together in steps; and a result of 0, for its sign.
HARD = (
    ("0x1p+0", "0x1p+0"),
    ("0x1.6587a5a3c0f74p-399", "0x1.47ae2781fffc7p-401"),
    ("0x1.707c5f97fed94p-400", "0x1.5d258ce16e3a1p-402"),
    ("0x1.6f2e179368d49p-400", "0x1.661021fb1d2b7p-402"),
    ("0x1.76ac55709569ap+400", "0x1.7207f051986ffp+398"),
    ("0x1.7fced33f86a64p+401", "0x1.7a1d5c129be4dp+399"),
)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("other", [2.0**-1000, NAN, -1.0])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_element_is_as_right_beside_unusual_ones(function, other, level):
    """Ratios from 1/6 to 6 across powers of two, each pair with something else around it."""
    hard = np.array([[float.fromhex(number) for number in pair] for pair in HARD]).T
    random = np.random.default_rng(7)
    places = np.repeat([-900.0, -600.0, -400.0, -200.0, 200.0, 400.0, 600.0, 900.0], 50)
    steps = random.uniform(0, math.log2(6), places.shape)
    p, q = np.exp2(places + steps * random.random(places.shape)), np.exp2(-steps)
    p, q = np.concatenate([p, p * q, hard[0], hard[1]]), np.concatenate([p * q, p, hard[1], hard[0]])
    beside = [np.insert(one, np.arange(one.size), other) for one in (p, q)]
    result = call(level, function, *arguments(function, *beside))[1::2]
    assert_within(result, intervals(function, "float64", p, q), function, "float64", p, q)
    assert_same_bits(result, call(level, function, *arguments(function, p, q)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_floats_are_rounded_nearly_right(function, level):
    """Beside what doubles give, which other tests hold to the exact values."""
    random = np.random.default_rng(9)
    p = np.exp(random.uniform(-20.0, 20.0, 200_000)).astype("f4")
    for spread in (1e-6, 1e-3, 0.3, 2.0, 40.0):
        q = (p * np.exp(random.uniform(-spread, spread, p.size))).astype("f4")
        result = call(level, function, *arguments(function, p, q)).astype(np.float64)
        exact = call(level, function, *arguments(function, p.astype("f8"), q.astype("f8")))
        assert np.all(np.isfinite(result))
        unit = np.spacing(np.abs(exact).astype("f4")).astype(np.float64)
        assert np.max(np.abs(result - exact) / unit) <= 0.53


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_halves_are_right_to_one_ulp(function, kind, level):
    p, q = half_bits(kind)
    if kind == "float16":
        p, q = p.view(np.float16), q.view(np.float16)
    result = call(level, function, *arguments(function, p, q), **told(kind))
    assert result.dtype == p.dtype
    assert_within(result, intervals(function, kind, p, q, ulps=1), function, kind, p, q)


SPECIAL = (0.0, -0.0, -1.0, INF, -INF, NAN, 0.5)
EXPECTED = {
    # p in lines, q in columns, both in that order
    "rel_entr": [
        [0.0, 0.0, INF, 0.0, INF, NAN, 0.0],
        [0.0, 0.0, INF, 0.0, INF, NAN, 0.0],
        [INF, INF, INF, INF, INF, NAN, INF],
        [INF, INF, INF, NAN, INF, NAN, INF],
        [INF, INF, INF, INF, INF, NAN, INF],
        [NAN, NAN, NAN, NAN, NAN, NAN, NAN],
        [INF, INF, INF, -INF, INF, NAN, 0.0],
    ],
    "kl_div": [
        [0.0, 0.0, INF, INF, INF, NAN, 0.5],
        [0.0, 0.0, INF, INF, INF, NAN, 0.5],
        [INF, INF, INF, INF, INF, NAN, INF],
        [INF, INF, INF, NAN, INF, NAN, INF],
        [INF, INF, INF, INF, INF, NAN, INF],
        [NAN, NAN, NAN, NAN, NAN, NAN, NAN],
        [INF, INF, INF, INF, INF, NAN, 0.0],
    ],
    "entr": [[value] * len(SPECIAL) for value in (0.0, 0.0, -INF, -INF, -INF, NAN, math.log(2) / 2)],
}


@EITHER_WAY
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_special_values_are_as_defined(function, kind, level):
    p, q = np.meshgrid(SPECIAL, SPECIAL, indexing="ij")
    expected = as_double(kind, of_kind(kind, EXPECTED[function]))
    for among in (1, 2, 100):  # the special ones beside each other, and apart
        one, other = np.full((2, p.size * among), 0.25)
        one[::among], other[::among] = p.ravel(), q.ravel()
        result = call(level, function, *arguments(function, of_kind(kind, one), of_kind(kind, other)), **told(kind))
        found = as_double(kind, result[::among]).reshape(p.shape)
        np.testing.assert_allclose(found, expected, rtol=2.0 ** (1 - FORMATS[kind][0]), atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_numbers_have_no_divergence_and_others_never_a_negative_one(dtype):
    for name in CASES:
        p, q = numbers(name, dtype)
        assert not klfast.rel_entr(p, p).any()
        assert not klfast.kl_div(p, p).any()
        assert (klfast.kl_div(p, q) >= 0).all(), name


# Any length, place and company -----------------------------------------------------------------------------------------

AROUND = (4096, 2**17, 300_000)  # what a thread, a buffer takes at a time; several of them
LENGTHS = (*range(71), *(length + step for length in AROUND for step in (-1, 0, 1)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_elements_are_right_at_every_length(function, dtype, level):
    pool, ends = numbers("mixed", dtype), known_intervals(function, "mixed", dtype)
    for length in LENGTHS:
        places = (np.arange(length) + 7 * length) % MIXED
        p, q = pool[0][places], pool[1][places]
        assert_within(call(level, function, *arguments(function, p, q)), ends[places], function, dtype, p, q)


@functools.cache
def alone(kind, function):
    """The result of every pair of the pool, each from a call of its own."""
    p, q = pool(kind)
    results = [run(function, p[i : i + 1], q[i : i + 1], **told(kind)) for i in range(MIXED)]
    return np.concatenate(results)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_element_does_not_know_of_its_neighbours(function, kind):
    p, q = pool(kind)
    expected = alone(kind, function)
    assert_same_bits(run(function, p, q, **told(kind)), expected)
    for places in (np.arange(MIXED)[::-1], np.arange(MIXED) // 16, np.arange(100_003) % MIXED):
        assert_same_bits(run(function, p[places], q[places], **told(kind)), expected[places])


@EITHER_WAY
@pytest.mark.parametrize("kind", [*FLOATS, "int16"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_threads_do_not_change_a_bit(function, kind):
    p, q = (np.resize(one, 300_001) for one in pool(kind))
    one = run(function, p, q, n_threads=1, **told(kind))
    for n_threads in (None, 2, 3, 7):
        assert_same_bits(run(function, p, q, n_threads=n_threads, **told(kind)), one)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_levels_with_fma_agree(function, kind):
    results = [call(level, function, *arguments(function, *pool(kind)), **told(kind)) for level in LEVELS_WITH_FMA]
    for result in results[1:]:
        assert_same_bits(result, results[0])


def in_foreign_byte_order(array):
    return array.astype(array.dtype.newbyteorder("S"))


def misaligned(array):
    return np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)


LAYOUTS = {
    "every third column": lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "part of a larger table": lambda a: np.pad(a, ((1, 1), (3, 5)))[1:-1, 3:-5],
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "foreign byte order": in_foreign_byte_order,
    "foreign byte order, Fortran": lambda a: np.asfortranarray(in_foreign_byte_order(a)),
    "misaligned, read-only": misaligned,
    "misaligned, transposed, foreign byte order": lambda a: misaligned(in_foreign_byte_order(a.T)).T,
}


@EITHER_WAY
@pytest.mark.parametrize("shape", [(3, 70), (7, 311), (2, 66_001)])
@pytest.mark.parametrize("kind", [*FLOATS, "int16", "bool"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_layout_does_not_change_a_bit(function, kind, shape):
    p, q = (np.resize(one, shape) for one in pool(kind))
    expected = run(function, p, q, **told(kind))
    for name, layout in LAYOUTS.items():
        for one, other in ((layout(p), layout(q)), (layout(p), q), (p, layout(q))):
            assert_same_bits(run(function, one, other, **told(kind)), expected, name)


# Types and shapes ------------------------------------------------------------------------------------------------------

RANKS = {"float16": 1, "float32": 2, "float64": 3}  # all others count as float64


@EITHER_WAY
@pytest.mark.parametrize("kind", [*RANKS, *INTEGERS, "bool"])
def test_results_are_of_the_common_type(kind):
    values = of_kind(kind, [0, 1, 1, 0])
    for other in (*RANKS, *INTEGERS, "bool"):
        expected = max(kind, other, key=lambda one: RANKS.get(one, 3))
        expected = expected if expected in RANKS else "float64"
        for function in ("rel_entr", "kl_div"):
            result = run(function, values, of_kind(other, [1, 1, 0, 0]))
            assert result.dtype == expected
            assert result.tolist() == [1.0 if function == "kl_div" else 0.0, 0.0, INF, 0.0]
    assert klfast.entr(values).dtype == (kind if kind in RANKS else "float64")
    assert klfast.entr(in_foreign_byte_order(values)).dtype.isnative


@EITHER_WAY
@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_integers_count_as_doubles(function, kind):
    p, q = pool(kind)
    assert_same_bits(run(function, p, q), run(function, p.astype(float), q.astype(float)))
    assert_same_bits(run(function, p.tolist(), q.tolist()), run(function, p.astype(float), q.astype(float)))


@EITHER_WAY
def test_bfloat16_arrays_give_bfloat16_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="numpy has no bfloat16 of its own")
    bits = half_bits("bfloat16")
    p, q = (one.view(ml_dtypes.bfloat16) for one in bits)
    for function in FUNCTIONS:
        result = run(function, p, q)
        assert result.dtype == ml_dtypes.bfloat16
        assert_same_bits(result.view(np.uint16), run(function, *bits, dtype="bfloat16"))
        assert type(run(function, p[5], q[5])) is ml_dtypes.bfloat16
        out = np.zeros(MIXED, ml_dtypes.bfloat16)
        assert run(function, p, q, out=out) is out
        assert_same_bits(out, result)
    for kind, expected in {"float16": "f4", "float32": "f4", "float64": "f8", "int8": "f8", "bool": "f8"}.items():
        other = np.array([0, 1, 1, 0]).astype(kind)
        for first, second in ((p[:4], other), (other, p[:4])):
            result = klfast.rel_entr(first, second)
            assert_same_bits(result, klfast.rel_entr(first.astype(expected), second.astype(expected)))


@EITHER_WAY
@pytest.mark.parametrize("kind", [*FLOATS, "int16"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_shapes(function, kind):
    p, q = (np.resize(one, (3, 4, 5)) for one in pool(kind))
    for one, other in ((p, q[0]), (p[:, :1], q[:, :, :1]), (p[0, 0, 0], q), (p, q[1, 1, 1]), (p[0, :, :1], q[0, 0])):
        whole = (one,) if function == "entr" else np.broadcast_arrays(one, other)
        expected = run(function, whole[0].copy(), whole[-1].copy(), **told(kind))
        assert np.shape(expected) == np.shape(whole[0])
        assert_same_bits(np.asarray(run(function, one, other, **told(kind))), np.asarray(expected))
    expected = run(function, p, q, **told(kind))
    scalar = run(function, p[1, 2, 3], q[1, 2, 3], **told(kind))
    assert type(scalar) is expected.dtype.type
    assert_same_bits(np.asarray(scalar), expected[1, 2, 3])
    for shape in ((0,), (3, 0), (0, 5)):
        empty = run(function, np.resize(p, shape), np.resize(q, shape), **told(kind))
        assert (empty.shape, empty.dtype) == (shape, expected.dtype)


# where, out, masked arrays ---------------------------------------------------------------------------------------------

OUTS = {
    "contiguous": lambda shape, dtype: np.empty(shape, dtype),
    "every second": lambda shape, dtype: np.empty((shape[0], 2 * shape[1]), dtype)[:, ::2],
    "reversed": lambda shape, dtype: np.empty(shape, dtype)[::-1, ::-1],
    "Fortran": lambda shape, dtype: np.empty(shape, dtype, "F"),
    "misaligned": lambda shape, dtype: np.zeros(shape, [("before", "u1"), ("number", dtype)])["number"],
}


@EITHER_WAY
@pytest.mark.parametrize("shape", [(5, 70), (2, 66_001)])
@pytest.mark.parametrize("layout", OUTS)
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_keeps_what_is_not_selected(function, kind, layout, shape):
    p, q = (np.resize(one, shape) for one in pool(kind))
    expected = run(function, p, q, **told(kind))
    where = np.random.default_rng(3).random(shape) < 0.5
    held = np.random.default_rng(4).integers(0, 256, (*shape, expected.itemsize), np.uint8).view(expected.dtype)[..., 0]
    for mask in (None, where, where[0], where[:, :1], False):
        out = OUTS[layout](shape, expected.dtype)
        out[...] = held
        assert run(function, p, q, out=out, where=mask, **told(kind)) is out
        chosen = np.broadcast_to(True if mask is None else mask, shape)
        kept = as_bits(held).copy()
        kept[chosen] = as_bits(expected)[chosen]
        np.testing.assert_array_equal(as_bits(out), kept)
        kept[~chosen] = 0
        np.testing.assert_array_equal(as_bits(run(function, p, q, where=mask, **told(kind))), kept)


def test_a_single_element_may_be_left_out_or_written():
    assert klfast.rel_entr(2.0, 1.0, where=False) == 0.0
    assert math.isclose(klfast.rel_entr(2.0, 1.0, where=True), 2 * math.log(2), rel_tol=2.0**-51)
    out = np.array(7.0)
    assert klfast.entr(0.5, out=out, where=False) is out
    assert out == 7.0
    assert klfast.entr(0.5, out=out) is out
    assert math.isclose(out, math.log(2) / 2, rel_tol=2.0**-51)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_written_may_not_be_read(function):
    table = np.full((2, 4, 5), 0.5)
    for out in (table[0], table[0, ::-1], table[0].T.reshape(5, 4).T):
        with pytest.raises(ValueError, match="^out: overlaps p in memory"):
            run(function, table[0], table[1], out=out)
    assert (table == 0.5).all()
    for out in (table[1], table[1, ::-1]):
        run(function, table[0], np.ones(5), out=out)


@EITHER_WAY
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_masked_elements_are_left_out(function, kind):
    p, q = (np.resize(one, (3, 70)) for one in pool(kind))
    masks = np.random.default_rng(5).random((3, *p.shape)) < 0.3
    masked_p, masked_q = np.ma.masked_array(p, masks[0]), np.ma.masked_array(q, masks[1])
    chosen = ~masks[0] if function == "entr" else ~masks[0] & ~masks[1]
    for where in (None, masks[2]):
        both = chosen if where is None else chosen & where
        expected = run(function, p, q, where=both)
        result = run(function, masked_p, masked_q, where=where)
        assert type(result) is np.ndarray
        assert_same_bits(result, expected)
        out, kept = np.full((2, *p.shape), 7, expected.dtype)
        run(function, masked_p, masked_q, where=where, out=out)
        run(function, p, q, where=both, out=kept)
        assert_same_bits(out, kept)
    assert_same_bits(run(function, np.ma.masked_array(p), q), run(function, p, q))


@pytest.mark.parametrize("length", [1, 100, 5000, 300_000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_terms_add_up_to_the_divergence(dtype, length):
    p, q = np.random.default_rng(length).gamma(0.5, size=(2, length)).astype(dtype)
    p, q = p / p.sum(dtype=float), q / q.sum(dtype=float)
    assert math.isclose(math.fsum(klfast.rel_entr(p, q)), klfast.kl_divergence(p, q), rel_tol=1e-13, abs_tol=1e-15)
    assert math.isclose(math.fsum(klfast.kl_div(p, q)), klfast.kl_divergence(p, q), rel_tol=1e-13, abs_tol=1e-15)
    assert math.isclose(math.fsum(klfast.entr(p)), klfast.entropy(p), rel_tol=1e-13, abs_tol=1e-15)
