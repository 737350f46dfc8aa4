"""Closed forms give the same bits whatever the threads, the layout, the type that holds the numbers, and the way taken."""

import numpy as np
import pytest
from cpu_levels import LEVELS_WITH_FMA, call
from short_way import SHAPES, assert_same, strided
from test_families import COUNTS

from klfast import families

NAMES = sorted(name for name in families.__all__ if "categorical" not in name)
EACH = [name for name in NAMES if name != "kl_dirichlet"]


def parameters(name, shape, seed=3):
    """Parameters of all sizes, some of them close, some outside of their domain."""
    random = np.random.default_rng(seed)
    if name == "kl_bernoulli":
        given = list(random.uniform(-0.01, 1.01, (2, *shape)))
    elif name == "kl_bernoulli_logits":
        given = list(random.normal(0.0, 20.0, (2, *shape)))
    else:
        given = list(10.0 ** random.normal(0.0, 1.5, (COUNTS.get(name, 2), *shape)))
    half = len(given) // 2
    for first, second in zip(given[:half], given[half:]):
        close = random.uniform(size=shape) < 0.3
        second[close] = first[close] * (1 + random.normal(0.0, 1e-6, close.sum()))
        far = random.uniform(size=shape) < 0.02
        second[far] *= random.choice([1e200, 1e-200, 0.0, -1.0], far.sum())
    return given


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_as_the_long_way(name, shape):
    function, given = getattr(families, name), parameters(name, shape)
    expected = function(*map(strided, given))
    for n_threads in (None, 1, 2, 3):
        assert_same(function(*given, n_threads=n_threads), expected)
        assert_same(function(*map(strided, given), n_threads=n_threads), expected)
    out = np.empty_like(expected)
    if isinstance(expected, np.ndarray):
        assert function(*given, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", EACH)
def test_every_element_is_by_itself(name):
    given = parameters(name, (1000,))
    together = getattr(families, name)(*given)
    for start in (0, 1, 63, 64, 257, 999):
        alone = getattr(families, name)(*(one[start : start + 1] for one in given))
        np.testing.assert_array_equal(together[start : start + 1], alone)
        np.testing.assert_array_equal(together[start:], getattr(families, name)(*(one[start:] for one in given)))


@pytest.mark.parametrize("name", EACH)
def test_a_single_parameter_goes_with_all(name):
    given = parameters(name, (3, 400))
    for place in range(len(given)):
        one = [array if k != place else array[1, 7] for k, array in enumerate(given)]
        expected = getattr(families, name)(*np.broadcast_arrays(*one))
        np.testing.assert_array_equal(getattr(families, name)(*one), expected)


def layouts(array):
    """The same numbers, lying in other ways."""
    shape = array.shape
    backwards = np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    apart = np.ones((*shape[:-1], 3 * shape[-1]))[..., ::3]
    apart[...] = array
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    misaligned = memory.view(np.float64).reshape(shape)
    misaligned[...] = array
    return [np.asfortranarray(array), backwards, apart, misaligned, array.astype(">f8")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ((300,), (40, 7), (3, 700), (2, 5, 20)))
def test_any_layout(name, shape):
    given = parameters(name, shape)
    expected = getattr(families, name)(*given)
    for others in zip(*map(layouts, given)):
        np.testing.assert_array_equal(getattr(families, name)(*others), expected)


@pytest.mark.parametrize("length", (1, 2, 3, 7, 8, 9, 64, 255, 256, 257, 700, 5000))
def test_rows_of_concentrations_by_themselves_and_along_any_axis(length):
    first, second = parameters("kl_dirichlet", (70, length))
    expected = families.kl_dirichlet(first, second)
    alone = [families.kl_dirichlet(a, b) for a, b in zip(first, second)]
    np.testing.assert_array_equal(alone, expected)
    moved = [np.ascontiguousarray(one.T) for one in (first, second)]
    np.testing.assert_array_equal(families.kl_dirichlet(*moved, axis=0), expected)
    one_against_all = families.kl_dirichlet(first[3], second)
    np.testing.assert_array_equal(one_against_all, [families.kl_dirichlet(first[3], b) for b in second])


def test_a_beta_is_a_dirichlet_of_two_components():
    """Also where one of them is nearly all, and where one is out of the usual."""
    given = [np.concatenate([one, np.sign(one) * np.abs(one) ** 1.5]) for one in parameters("kl_beta", (2000,))]
    as_rows = families.kl_dirichlet(np.stack(given[:2], axis=-1), np.stack(given[2:], axis=-1))
    np.testing.assert_array_equal(families.kl_beta(*given), as_rows)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", LEVELS_WITH_FMA)
def test_every_level_with_fma(name, level):
    given = parameters(name, (300, 5))
    expected = getattr(families, name)(*given)
    np.testing.assert_array_equal(call(level, f"families.{name}", *given), expected)


@pytest.mark.parametrize("wrong", (0, -1, 1.5, "two", True))
@pytest.mark.parametrize("name", families.__all__)
def test_a_wrong_number_of_threads(name, wrong):
    given = [np.full((2, 3), 0.5) for _ in range(COUNTS.get(name, 2))]
    out = np.full(2 if name in ("kl_dirichlet", "kl_categorical", "kl_categorical_logits") else (2, 3), 7.0)
    with pytest.raises((ValueError, TypeError), match="^n_threads: "):
        getattr(families, name)(*given, n_threads=wrong, out=out)
    with pytest.raises((ValueError, TypeError), match="^n_threads: "):
        getattr(families, name)(*given, n_threads=wrong)
    assert np.all(out == 7.0)
