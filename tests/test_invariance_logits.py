"""The same bits for every number of threads, for rows apart or together, and on every CPU level that has FMA."""

import logit_rows
import numpy as np
import pytest
from cpu_levels import LEVELS_WITH_FMA, call
from logit_calls import CALLS, OF_ROWS, Tables, assert_same_bits, outcome, tables
from logit_distributions import LOGIT_PAIRS, logit_pair

from klfast import logits

KINDS = ("float16", "float32", "float64")
THREADS = (1, 2, 3, 7)
# One long row; a few; so many that not all of their blocks are shared out at once; many; many short ones. All above the size
# from which a call uses threads.
SHAPES = ((1, 200_003), (3, 50_001), (27, 60_001), (40, 3_001), (700, 129))
BLOCKS = (1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 2047, 2048, 2049, 8193)


def some_rows(arrays, rows):
    return Tables(*(one[rows] for one in arrays))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CALLS)
def test_threads_do_not_change_a_bit(name, shape, kind):
    arrays = tables(kind, *shape)
    one = outcome(name, kind, arrays, n_threads=1)
    for n_threads in THREADS:
        assert_same_bits(outcome(name, kind, arrays, n_threads=n_threads), one, f"{n_threads} threads")


@pytest.mark.parametrize("name", CALLS)
def test_threads_do_not_change_a_bit_down_an_axis(name):
    for shape in ((3, 50_001), (700, 129)):
        arrays = tables("float32", *shape).columns()
        one = outcome(name, "float32", arrays, axis=0, n_threads=1)
        for n_threads in THREADS:
            assert_same_bits(outcome(name, "float32", arrays, axis=0, n_threads=n_threads), one, f"{n_threads} threads")


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("name", CALLS)
def test_a_whole_vocabulary_of_one_row(name, n_threads):
    """With the class that matters in the first block, in the last, and with a largest score that stands alone."""
    arrays = tables("float32", 1, 262_144)
    for label, top in ((0, 262_143), (262_143, 131_072), (100_000, 100_000)):
        x = arrays.x.copy()
        x[0, top] = 60.0
        changed = arrays._replace(x=x, ids=np.array([label]))
        assert_same_bits(
            outcome(name, "float32", changed, n_threads=n_threads), outcome(name, "float32", changed, n_threads=1)
        )


@pytest.mark.parametrize("name", CALLS)
def test_threads_do_not_change_a_reduction(name):
    if "cross_entropy" in name and "logprobs" not in name:
        for shape in SHAPES:
            arrays = tables("float32", *shape)
            for reduction in ("sum", "mean"):
                one = outcome(name, "float32", arrays, reduction=reduction, n_threads=1)
                for n_threads in THREADS:
                    other = outcome(name, "float32", arrays, reduction=reduction, n_threads=n_threads)
                    assert_same_bits(other, one, f"{n_threads} threads")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CALLS)
def test_rows_do_not_know_of_each_other(name, shape, kind):
    arrays = tables(kind, *shape)
    together = outcome(name, kind, arrays)
    rows = range(0, shape[0], max(1, shape[0] // 20))
    for row in rows:
        assert_same_bits(np.asarray(outcome(name, kind, some_rows(arrays, row))), np.asarray(together[row]))
    half = shape[0] // 2
    parts = [outcome(name, kind, some_rows(arrays, part)) for part in (slice(0, half), slice(half, None))]
    assert_same_bits(np.concatenate(parts), together)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_rows_of_every_length_are_the_same_alone_and_among_others(name, kind):
    """Short rows are taken side by side, long ones in blocks; neither may show."""
    for length in BLOCKS:
        arrays = tables(kind, 19, length)
        together = outcome(name, kind, arrays)
        for row in (0, 15, 18):
            alone = outcome(name, kind, some_rows(arrays, slice(row, row + 1)))
            assert_same_bits(alone, together[row : row + 1], f"{length}")
        assert_same_bits(outcome(name, kind, some_rows(arrays, np.s_[::-1])), np.ascontiguousarray(together[::-1]))


@pytest.mark.parametrize("others", (-1.0, -np.inf))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_rows_whose_largest_score_is_zero_of_either_sign_are_the_same_alone_and_among_others(name, kind, others):
    """Of 0.0 and -0.0 either may be found to be the largest."""
    for length in (2, 5, 100, 257, 2049):
        random = np.random.default_rng(length)
        plain = tables(kind, 19, length)
        x, y = random.choice([0.0, -0.0, others], (2, *plain.x.shape)).astype(kind)
        arrays = plain._replace(x=x, y=np.where(x == others, x, y))
        together = outcome(name, kind, arrays)
        for row in range(19):
            alone = outcome(name, kind, some_rows(arrays, slice(row, row + 1)))
            assert_same_bits(alone, together[row : row + 1], f"{length}")


@pytest.mark.parametrize("name", OF_ROWS)
def test_where_a_bad_row_stands_its_neighbours_keep_their_bits(name):
    for length in (10, 129, 3000):
        arrays = tables("float32", 19, length)
        expected = outcome(name, "float32", arrays)
        x = arrays.x.copy()
        x[7, length // 2] = np.nan
        x[11] = -np.inf
        result = outcome(name, "float32", arrays._replace(x=x))
        assert np.isnan(result[7])
        assert np.isnan(result[11]) or name == "logsumexp"
        assert_same_bits(np.delete(result, [7, 11]), np.delete(expected, [7, 11]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", (1, 5, 64, 1000, 20_011))
@pytest.mark.parametrize("name", CALLS)
def test_levels_with_fma_agree(name, length, dtype):
    function, takes, fixed = CALLS[name]
    random = np.random.default_rng(length)
    pairs = [logit_pair(case, length, dtype) for case in LOGIT_PAIRS]
    x, y = (np.stack(rows) for rows in zip(*pairs))
    target = random.random(x.shape)
    arrays = Tables(x, y, random.integers(0, length, len(x)), target)
    taken = [getattr(arrays, one) for one in takes]
    results = [call(level, function, *taken, **fixed) for level in LEVELS_WITH_FMA]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_comparison_does_not_depend_on_threads_or_layout():
    for kind in KINDS:
        for shape in ((1, 200_003), (40, 3_001), (700, 129)):
            x, y, ids, _ = tables(kind, *shape)
            for target in (None, ids):
                one = logits.compare_rows(x, y, target, n_threads=1)
                for n_threads in THREADS:
                    np.testing.assert_array_equal(logits.compare_rows(x, y, target, n_threads=n_threads), one)
                columns = np.ascontiguousarray(x.T), np.asfortranarray(y.T)
                np.testing.assert_array_equal(logits.compare_rows(*columns, target, axis=0), one)
                if shape[0] > 1:
                    part = slice(3, 5)
                    some = logits.compare_rows(x[part], y[part], None if target is None else target[part])
                    np.testing.assert_array_equal(some, one[part])


@pytest.mark.parametrize("kind", logit_rows.FLOATS)
@pytest.mark.parametrize("length", (1, 10, 256, 257, 3_000, 9_001))
def test_a_comparison_has_the_bits_of_the_functions(length, kind):
    """Of every kind of row, also those whose KL is infinite or is none, and with some of their classes left out."""
    x, y = logit_rows.tables(logit_rows.LOGIT_ROWS, length, kind)
    told = logit_rows.told(kind)
    nothing, some = np.zeros(x.shape, bool), np.random.default_rng(length).random(x.shape) < 0.3
    for mask in (None, nothing, some):
        one, two = (x, y) if mask is None else (np.ma.array(x, mask=mask), np.ma.array(y, mask=mask))
        rows = logits.compare_rows(one, two, **told)
        expected = {
            "kl": logits.kl_divergence(one, two, **told),
            "reverse_kl": logits.kl_divergence(two, one, **told),
            "js": logits.js_divergence(one, two, **told),
            "entropy_x": logits.entropy(one, **told),
            "entropy_y": logits.entropy(two, **told),
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(rows[name], values, name)
