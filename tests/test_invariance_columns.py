"""The same bits along columns as along rows, whatever stands in the column beside.

Columns of a C-ordered array are walked side by side, some lines of memory wide, and in another loop than rows
(across.inc.h)."""

import functools

import numpy as np
import pytest
from cpu_levels import LEVELS, call
from test_invariance import assert_same_bits

# More than one strip of lines of memory, lines that fill none, and columns that fill no line, of both types.
COLUMNS = 107
# Around a step, a run and a block; beyond the rows that are laid out side by side anyway.
LENGTHS = (129, 255, 512, 577, 1000, 4096, 8193)
CALLS = [(name, keywords) for name in ("kl_divergence", "cross_entropy", "entropy") for keywords in ({}, {"normalize": False})]


def counts(random, shape):
    return random.gamma(0.5, size=shape), random.gamma(0.5, size=shape)


def normalised(random, shape):
    p, q = counts(random, shape)
    return p / p.sum(axis=0), q / q.sum(axis=0)


def nearly_equal(random, shape):
    p, _ = normalised(random, shape)
    return p, p * (1.0 + 1e-5 * random.standard_normal(shape))


def with_zeros(random, shape):
    p, q = normalised(random, shape)
    p[random.random(shape) < 0.02] = 0.0
    q[3, COLUMNS // 2] = 0.0
    return p, q


def with_unlike_columns(random, shape):
    """Every third column is like its neighbours; the others are each out of the ordinary in a way of their own."""
    p, q = normalised(random, shape)
    p[5, 1], q[shape[0] - 1, 2] = np.nan, -1.0
    p[:, 4] *= 1e-30
    q[:, 5] *= 1e30
    p[:, 7], q[:, 8] = 0.0, 0.0
    q[:, 10] = p[:, 10]
    p[0, 11] = 1e6
    q[7, 13] = 1e-300
    p[1, 14] = np.inf
    return p, q


def one_heavy_entry(random, shape):
    p, q = normalised(random, shape)
    heavy = random.integers(0, shape[0], shape[1])
    p[heavy, np.arange(shape[1])] += 300.0
    q[heavy, np.arange(shape[1])] += 300.0
    return p, q


def lowest_at_an_edge(random, shape):
    """The least weight that a loop still takes, 2^-96 of floats and 2^-900 of doubles, a few units to either side of it: the
    steps of a row, its last one, and strips of columns watch for it each in their own way."""
    p, q = counts(random, shape)
    columns = np.arange(shape[1])
    q *= 2.0 ** random.integers(-2, 3, shape[1])
    c = p.sum(axis=0) / q.sum(axis=0)
    bits = np.where(columns % 2, 24, 53)
    units = random.integers(-3, 4, shape[1]) * 2.0 ** (1 - bits)
    edge = np.where(columns % 2, 2.0**-96, 2.0**-900) / np.where(columns % 3, np.minimum(c, 1.0), 1.0) * (1.0 + units)
    place = random.choice([0, 1, shape[0] // 2, shape[0] - 2, shape[0] - 1], shape[1])
    p[place, columns] = np.where(columns % 5, p[place, columns], edge)
    q[place, columns] = edge
    return p, q


KINDS = (counts, normalised, nearly_equal, with_zeros, with_unlike_columns, one_heavy_entry, lowest_at_an_edge)


@functools.lru_cache(maxsize=1)
def made(kind, length):
    """The arrays of a kind, for all types and levels; read-only, for they are kept."""
    arrays = kind(np.random.default_rng(length), (length, COLUMNS))
    for array in arrays:
        array.flags.writeable = False
    return arrays


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_columns_have_the_bits_of_rows(kind, length, dtype, level):
    with np.errstate(over="ignore", under="ignore"):
        columns = [array.astype(dtype) for array in made(kind, length)]
    rows = [np.ascontiguousarray(array.T) for array in columns]
    for name, keywords in CALLS:
        inputs = 1 if name == "entropy" else 2
        # how many lines are walked together depends on the number of threads
        along_columns = call(level, name, *columns[:inputs], axis=0, n_threads=1, **keywords)
        assert_same_bits(along_columns, call(level, name, *rows[:inputs], axis=1, **keywords))
        assert_same_bits(along_columns, call(level, name, *columns[:inputs], axis=0, n_threads=7, **keywords))
        # lines that begin anywhere, and one array whose rows are not side by side
        shifted = [array[:, 1:] for array in columns[:inputs]]
        assert_same_bits(call(level, name, *shifted, axis=0, n_threads=2, **keywords), along_columns[1:])
        mixed = [columns[0], np.asfortranarray(columns[1])][:inputs]
        assert_same_bits(call(level, name, *mixed, axis=0, **keywords), along_columns)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_an_axis_in_the_middle_has_the_bits_of_rows(dtype, level):
    """Strips of several outer places, some lines apart by a power of two, and rows of one line alone."""
    random = np.random.default_rng(3)
    for shape in ((3, 140, 1024), (2, 300, 16), (5, 129, 40)):
        p, q = (array.astype(dtype) for array in random.gamma(0.5, size=(2, *shape)))
        rows = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (p, q)]
        for threads in (1, 3):
            found = call(level, "kl_divergence", p, q, axis=1, n_threads=threads)
            assert_same_bits(found, call(level, "kl_divergence", *rows, axis=-1))
