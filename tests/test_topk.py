"""The likeliest classes: which they are, in which order, and what the others have; for every type, layout and row of ties."""

import mpmath
import numpy as np
import oracles_distill
import pytest
from cpu_levels import LEVELS, call
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from logit_calls import of_kind
from logit_rows import COMPUTED_IN, FLOATS, as_numbers, told
from reductions import assert_same_bits

from klfast import distill
from klfast._reference import distill as twin

NAN, INF = np.nan, np.inf
LOGPROB = {"float32": 2.0**-22, "float64": 2.0**-49}
TAIL = {"float32": 2.0**-21, "float64": 2.0**-48}
RANDOM = np.random.default_rng(3)


def order_of(rows):
    """The classes of every row as numpy sorts them: the largest first, of equal ones the first first."""
    return np.argsort(-np.asarray(rows, np.float64), axis=-1, kind="stable")


def scores(count, length, kind):
    """Rows of scores of that type; those of bfloat16 as bits."""
    rows = np.random.default_rng([count, length]).normal(0.0, 3.0, (count, length))
    return of_kind(kind, rows)


def assert_top(found, rows, k, dtype="float64"):
    """The classes of a stable sort, and log-probabilities and tails as the twin has them."""
    expected = order_of(rows)[..., :k]
    assert found.ids.dtype == np.int64 and found.logprobs.dtype == np.float64 and found.tail.dtype == np.float64
    np.testing.assert_array_equal(found.ids, expected)
    logprobs, _, tail = twin.topk(rows, k)
    rtol = 2.0**-20 if COMPUTED_IN.get(dtype) == "float32" else 1e-12
    np.testing.assert_allclose(found.logprobs, logprobs, rtol=rtol, atol=1e-15)
    np.testing.assert_allclose(found.tail, tail, rtol=rtol, atol=0.0)
    assert np.all(np.diff(found.logprobs, axis=-1) <= 0.0)


def long_rows(dtype):
    """Rows of several blocks that are each of a kind: of likely, of excluded, of next to impossible and of unlikely classes;
    with classes that are as likely as each other in several of them, and, in the last row, one far above all."""
    random = np.random.default_rng(11)
    rows = random.normal(0.0, 3.0, (4, 4 * 4096 + 700))
    rows[:, 4096 : 2 * 4096] = -INF
    rows[:, 2 * 4096 : 3 * 4096] = -1e30
    rows[:, 3 * 4096 : 4 * 4096] -= 40.0
    rows[1, ::511] = 12.5
    rows[2] -= 3000.0
    rows[3, 3 * 4096 + 100] = 50.0
    return rows.astype(dtype)


# Which classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", [*FLOATS, "int16"])
def test_the_classes_of_a_sort_for_every_type(kind, level):
    for count, length in ((1, 1), (3, 2), (5, 17), (4, 128), (4, 129), (3, 1000)):
        rows = scores(count, length, kind)
        for k in sorted({1, 2, min(length, 16), length // 2, length} & set(range(1, length + 1))):
            found = call(level, "distill.topk", rows, k, **told(kind))
            assert_top(found, as_numbers(rows, kind), k, kind)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("length", [2047, 2048, 2049, 4096, 4097, 128256])
def test_rows_of_several_blocks(length, kind, level):
    """float16 and bfloat16 have few values: rows are full of ties, also across blocks."""
    rows = scores(2, length, kind)
    for k in (1, 7, 128):
        assert_top(call(level, "distill.topk", rows, k, **told(kind)), as_numbers(rows, kind), k, kind)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", [3, 64, 129, 2048, 2049, 5000])
def test_of_equal_logits_the_first_comes_first(length, level):
    random = np.random.default_rng(length)
    few = random.integers(0, 3, length).astype(np.float32)
    rows = {
        "all equal": np.full(length, 1.5, np.float32),
        "few values": few,
        "two zeros": np.where(few > 0, np.float32(0.0), np.float32(-0.0)),
        "ascending": np.arange(length, dtype=np.float32) / length,
        "descending": -np.arange(length, dtype=np.float32) / length,
        "the largest last": np.where(np.arange(length) == length - 1, np.float32(3.0), few),
    }
    for name, row in rows.items():
        for k in sorted({1, 2, 3, min(length, 100), length}):
            ids = call(level, "distill.topk", row, k).ids
            np.testing.assert_array_equal(ids, order_of(row)[:k], err_msg=f"{name}, k = {k}")


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 300)),
        elements=st.one_of(st.sampled_from([-INF, -1.0, 0.0, 2.0]), st.floats(-50, 50, width=32)),
    ),
    st.data(),
)
def test_any_row_at_any_k(rows, data):
    k = data.draw(st.integers(1, rows.shape[1]))
    found = distill.topk(rows, k)
    possible = np.any(rows > -INF, axis=-1)
    np.testing.assert_array_equal(found.ids[possible], order_of(rows[possible])[:, :k])
    np.testing.assert_array_equal(found.ids[~possible], np.tile(np.arange(k), (np.sum(~possible), 1)))
    assert np.all(np.isnan(found.logprobs[~possible])) and np.all(np.isnan(found.tail[~possible]))
    total = np.sum(np.exp(found.logprobs[possible]), axis=-1) + found.tail[possible]
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)


# How likely ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_log_probabilities_and_tails_are_as_accurate_as_promised(temperature, kind, level):
    real = COMPUTED_IN[kind]
    for length, k in ((3, 1), (17, 5), (129, 20), (1000, 100)):
        rows = scores(3, length, kind)
        found = call(level, "distill.topk", rows, k, temperature=temperature, **told(kind))
        for row, logprobs, ids, tail in zip(as_numbers(rows, kind), *found, strict=True):
            exact, exact_tail = oracles_distill.top_of(row, ids, temperature)
            with mpmath.workprec(128):
                errors = [abs((float(one) - other) / other) for one, other in zip(logprobs, exact, strict=True)]
                assert max(errors) <= LOGPROB[real]
                assert abs(float(tail) - exact_tail) <= TAIL[real] * exact_tail


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tails_of_rows_of_many_groups(dtype, level):
    rows = long_rows(dtype)
    wide = rows.astype(np.longdouble)
    for k in (1, 5, 20):
        found = call(level, "distill.topk", rows, k)
        np.testing.assert_array_equal(found.ids, order_of(rows)[:, :k])
        shares = np.exp(wide - np.max(wide, axis=-1, keepdims=True))
        total = np.sum(shares, axis=-1)
        np.put_along_axis(shares, found.ids, 0.0, axis=-1)
        tail = np.sum(shares, axis=-1) / total
        assert np.max(np.abs(found.tail / tail - 1.0)) <= TAIL[dtype]
        assert_same_bits(found.tail, call(level, "distill.topk", np.asfortranarray(rows), k).tail)
    for block in range(5):
        broken = rows.copy()
        broken[:, block * 4096 + 300] = NAN
        assert np.all(np.isnan(call(level, "distill.topk", broken, 5).tail))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nats", [1e-3, 1e-12, 1e-25, 1e-280])
def test_a_tail_keeps_its_digits_however_small_it_is(nats, dtype, level):
    for length in (2, 100, 3000):
        row = np.random.default_rng(length).normal(0.0, 1.0, length)
        row[length // 2] = np.log(np.sum(np.exp(np.delete(row, length // 2)))) - np.log(nats)
        row = row.astype(dtype)
        found = call(level, "distill.topk", row, 1)
        (logprob,), tail = oracles_distill.top_of(row.astype(np.float64), found.ids)
        with mpmath.workprec(128):
            assert abs(float(found.tail) - tail) <= TAIL[dtype] * tail
            assert abs(float(found.logprobs[0]) - logprob) <= LOGPROB[dtype] * abs(logprob)
    assert found.tail == pytest.approx(nats, rel=2e-3 + nats)


def test_of_all_classes_nothing_is_left():
    for length in (1, 5, 129, 3000):
        found = distill.topk(scores(4, length, "float32"), length)
        np.testing.assert_array_equal(found.tail, np.zeros(4))


def test_one_row_gives_numbers_and_vectors():
    found = distill.topk([0.0, np.log(3.0)], 1)
    assert type(found.tail) is np.float64
    assert (found.logprobs.shape, found.ids.tolist(), found.tail.round(12)) == ((1,), [1], 0.25)
    assert distill.topk(np.zeros((0, 4)), 2).ids.shape == (0, 2)
    assert distill.topk(np.zeros((3, 0, 4)), 2, axis=0).logprobs.shape == (2, 0, 4)


# Rows that are no distributions, classes that are impossible -----------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", [4, 129, 3000])
def test_special_values(length, level):
    rows = np.random.default_rng(0).normal(0.0, 1.0, (5, length))
    rows[0, 2] = NAN
    rows[1, length - 1] = INF
    rows[2] = -INF
    rows[3, 1:] = -INF
    rows[3, 2] = 1.0
    found = call(level, "distill.topk", rows, 3)
    assert np.all(np.isnan(found.logprobs[:3])) and np.all(np.isnan(found.tail[:3]))
    np.testing.assert_array_equal(found.ids[:3], np.tile([0, 1, 2], (3, 1)))
    np.testing.assert_array_equal(found.ids[3], order_of(rows[3])[:3])
    assert found.logprobs[3, 2] == -INF and found.tail[3] == 0.0
    assert_top(distill.TopK(*(one[4:] for one in found)), rows[4:], 3)


def test_where_leaves_classes_out_whatever_they_hold():
    rows = np.random.default_rng(1).normal(0.0, 1.0, (20, 33)).astype(np.float32)
    where = np.random.default_rng(2).random(rows.shape) < 0.6
    where[:, 4] = True
    held = np.where(where, rows, np.float32(NAN))
    expected = np.where(where, rows, -INF)
    count = int(np.min(np.sum(where, axis=-1)))
    found = distill.topk(held, count, where=where)
    assert_top(found, expected, count, "float32")
    hidden = distill.topk(np.ma.masked_array(held, ~where), count)
    for one, other in zip(found, hidden, strict=True):
        np.testing.assert_array_equal(one, other)
    more = distill.topk(held, 33, where=where)  # those that are left out come last, as impossible
    np.testing.assert_array_equal(np.sort(more.ids, axis=-1), np.tile(np.arange(33), (20, 1)))
    np.testing.assert_array_equal(np.sum(more.logprobs > -INF, axis=-1), np.sum(where, axis=-1))


# Layouts and threads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("length, k", [(10, 3), (129, 20), (5000, 130)])
def test_the_same_bits_for_any_layout(length, k, kind):
    rows = scores(6, length, kind)
    expected = distill.topk(rows, k, **told(kind))

    def assert_same(found, message):
        np.testing.assert_array_equal(found.ids, expected.ids, err_msg=message)
        assert_same_bits(found.logprobs, expected.logprobs, message)
        assert_same_bits(found.tail, expected.tail, message)

    wide = np.zeros((6, 2 * length), rows.dtype)
    wide[:, ::2] = rows
    swapped = rows.astype(rows.dtype.newbyteorder())
    layouts = {
        "Fortran": np.asfortranarray(rows),
        "strided": wide[:, ::2],
        "reversed": np.ascontiguousarray(rows[:, ::-1])[:, ::-1],
        "bytes swapped": swapped,
        "every other row": np.repeat(rows, 2, axis=0)[::2],
    }
    for name, laid_out in layouts.items():
        assert_same(distill.topk(laid_out, k, **told(kind)), name)
    upright = distill.topk(np.ascontiguousarray(rows.T), k, axis=0, **told(kind))
    assert upright.logprobs.shape == upright.ids.shape == (k, 6)
    assert_same(distill.TopK(upright.logprobs.T, upright.ids.T, upright.tail), "axis 0")
    cube = np.stack([rows, rows]).transpose(0, 2, 1)
    middle = distill.topk(cube, k, axis=1, **told(kind))
    assert middle.ids.shape == (2, k, 6)
    assert_same(distill.TopK(middle.logprobs[1].T, middle.ids[1].T, middle.tail[1]), "axis 1 of 3")
    same = distill.topk(np.broadcast_to(rows[0], (3, length)), k, **told(kind))
    np.testing.assert_array_equal(same.ids, np.tile(expected.ids[0], (3, 1)))


@pytest.mark.parametrize("length, k", [(17, 4), (5000, 64), (128256, 128)])
def test_the_same_bits_for_any_number_of_threads(length, k):
    rows = scores(9, length, "float32")
    one, many = (distill.topk(rows, k, n_threads=count) for count in (1, 4))
    np.testing.assert_array_equal(one.ids, many.ids)
    assert_same_bits(one.logprobs, many.logprobs)
    assert_same_bits(one.tail, many.tail)
