"""Closed forms of KL: as exact as promised also where distributions are close, special values, shapes and identities."""

import functools
import itertools
import zlib

import mpmath
import numpy as np
import oracles
import oracles_families
import pytest
from cpu_levels import LEVELS, call

from klfast import families
from klfast._reference import families as reference

INF, NAN = np.inf, np.nan

# Accuracy ------------------------------------------------------------------------------------------------------------

BOUNDS = {"gamma": 1e-13, "beta": 1e-13, "dirichlet": 1e-13, "poisson": 2.0**-51}  # for all others:
BOUND = 1e-14
COUNT = 60


def logs(low, high):
    """A maker of positive numbers of every size between powers of ten."""
    return lambda random: 10.0 ** random.uniform(low, high)


def gap(random):
    """The factor to a number close by, or not so close."""
    return 1.0 + random.choice([-1.0, 1.0]) * 10.0 ** random.uniform(-16, -0.5)


def apart(*makers):
    """Parameters of two distributions that have nothing to do with each other."""
    return lambda random: [make(random) for make in (*makers, *makers)]


def close(*makers):
    """Parameters of two distributions that are close, each by as much or little as it comes."""

    def make(random):
        first = [make(random) for make in makers]
        return [*first, *(one * gap(random) for one in first)]

    return make


def proportional(*makers):
    """Parameters multiplied by one factor: the direction in which gammas of one mean, and Dirichlets of one, differ."""

    def make(random):
        first, factor = [make(random) for make in makers], gap(random)
        return [*first, *(one * factor * (1.0 + random.choice([0.0, 1e-14, 1e-9])) for one in first)]

    return make


def probabilities(random):
    return random.choice([random.uniform(0, 1), 10.0 ** random.uniform(-30, 0), 1.0 - 2.0 ** random.integers(-53, 0)])


def close_probabilities(random):
    p = probabilities(random)
    return [p, min(p * gap(random), 1.0 - 2.0**-53)]


def small_failures(random):
    """Both near 1: failures are what counts, and known exactly."""
    failures = random.choice([2.0**-52, 2.0**-40, 2.0**-20]) * random.integers(1, 9, 2)
    return list(1.0 - failures)


def logits_of(size):
    return lambda random: random.normal(0.0, size)


def dirichlets(how, maker, length=5):
    def make(random):
        both = how(*[maker] * length)(random)
        return [both[:length], both[length:]]

    return make


def one_apart(maker, others):
    """Concentrations of which one is nearly all, in the first distribution, or in both, or only in the second."""

    def make(random):
        first = [maker(random), *(others(random) for _ in range(random.integers(1, 3)))]
        factors = [gap(random) if random.random() < 0.7 else 1.0 for _ in first]
        near = [one * factor for one, factor in zip(first, factors)]
        far = [maker(random), *(others(random) for _ in first[1:])]
        order = random.permutation(2)
        return [[first, [near, far][random.integers(2)]][i] for i in order]

    return make


ANY, HUGE, SMALL, MIDDLE, USUAL = logs(-20, 20), logs(5, 10), logs(-6, 0), logs(0, 1.5), logs(-3, 3)
WIDE = logs(-10, 10)
CASES = {
    "bernoulli": [apart(probabilities), close_probabilities, small_failures],
    "bernoulli_logits": [make(logits_of(size)) for make in (apart, close) for size in (1.0, 30.0, 300.0)],
    "poisson": [make(size) for make in (apart, close) for size in (ANY, USUAL, logs(-100, 100))],
    "exponential": [make(size) for make in (apart, close) for size in (ANY, USUAL, logs(-150, 150))],
    "laplace": [make(logits_of(10.0), size) for make in (apart, close) for size in (USUAL, ANY)],
    "gamma": [make(a, USUAL) for make in (apart, close, proportional) for a in (USUAL, ANY, HUGE, SMALL, MIDDLE)],
    "beta": [make(a, a) for make in (apart, close, proportional) for a in (WIDE, USUAL, HUGE, MIDDLE)],
    "dirichlet": [dirichlets(make, a) for make in (apart, close, proportional) for a in (WIDE, USUAL, HUGE, MIDDLE)],
}


@functools.cache
def parameters(name, case):
    random = np.random.default_rng([zlib.crc32(name.encode()), case])
    return [CASES[name][case](random) for _ in range(COUNT)]


def assert_right(name, rows, bound):
    """The errors of one call for all rows of parameters, in units of the bound; at every CPU level."""
    if name == "dirichlet":
        arguments = [np.array([row[i] for row in rows]) for i in range(2)]
    else:
        arguments = np.array(rows).T
    wrong = []
    for row, *results in zip(rows, *(call(level, f"families.kl_{name}", *arguments) for level in LEVELS), strict=True):
        exact = oracles_families.exact(name, *row)
        for level, result in zip(LEVELS, results):
            error = oracles.relative_error(result, exact) / bound
            if not error <= 1.0 or result < 0.0:
                found = f"got {float(result)!r}, exact {mpmath.nstr(exact, 20)}, {error:.3g} times the bound"
                wrong.append(f"{level}: {row}: {found}")
    assert not wrong, "\n".join(wrong[:5])


@pytest.mark.parametrize("name, case", [(name, case) for name in CASES for case in range(len(CASES[name]))])
def test_relative_error(name, case):
    assert_right(name, parameters(name, case), BOUNDS.get(name, BOUND))


@pytest.mark.parametrize("others", [(-10, -1), (-4, 0), (-8, 3)])
@pytest.mark.parametrize("largest", [(-2, 2), (0, 6), (-5, 10)])
def test_dirichlets_of_which_one_concentration_is_nearly_all(largest, others):
    """There the remainders of log gamma at that concentration and at the sum are nearly the same."""
    random = np.random.default_rng([abs(number) for number in (*largest, *others)])
    make = one_apart(logs(*largest), logs(*others))
    for _ in range(COUNT):
        assert_right("dirichlet", [make(random)], 1e-13)
    assert_right("dirichlet", [[[36154.5, 0.009], [7.8e-8, 3.1e-15]], [[1e9, 0.2], [1e-7, 1e-10]]], 1e-13)


def test_numbers_around_the_places_where_formulas_change():
    random = np.random.default_rng(5)
    edges = [0.5, 2.0, 1.0, 7.999999, 8.0, 8.000001, 16.0]
    shapes = [(a, a * t * gap(random)) for a, t in itertools.product(edges, [0.5, 0.499999, 1.5, 2.0, 2.0000001, 1.0])]
    assert_right("gamma", [[a, 1.0, b, b / a] for a, b in shapes], 1e-13)
    assert_right("exponential", shapes, 1e-14)
    assert_right("laplace", [[0.0, 1.0, d, s] for d in (39.9, 40.0, 1.0, 0.999, 41.0) for s in (1.0, 0.5, 2.1)], 1e-14)
    pairs = [[x, x + d] for x in (-3.0, 0.0, 0.1, 5.0) for d in (-1.0, -0.9999, 0.9999, 1.0, 1.0001)]
    assert_right("bernoulli_logits", pairs, 1e-14)
    assert_right("bernoulli", [[0.5, 0.75], [0.5, 0.7500001], [0.2, 0.6], [0.2, 0.59], [0.2, 0.61], [0.9, 0.95]], 1e-14)


def test_very_large_logits():
    pairs = [(-700.0, 700.0), (700.0, -700.0), (-700.0, -1.0), (-700.0, -699.0), (740.0, 745.0), (-745.5, -1e300)]
    assert_right("bernoulli_logits", pairs, 1e-14)


def test_very_far_apart():
    assert_right("exponential", [[1e308, 1e-308], [1e-300, 1e5], [5e-324, 1e-300], [1e-300, 5e-324]], 1e-14)
    assert_right(
        "laplace", [[0.0, 1e-200, 1.0, 1e200], [1e308, 1.0, -1e308, 1e10], [0.0, 1e200, 1e-300, 1e-100]], 1e-14
    )
    assert_right("gamma", [[1e6, 1.0, 1e-3, 1e-9], [1e-3, 1.0, 1e6, 1e9], [1e-30, 1e-150, 1e30, 1e150]], 1e-13)
    assert_right("gamma", [[1e47, 1e-102, 1e-146, 1e135], [1e100, 1e-60, 1e-140, 1e145]], 1e-13)
    assert_right("gamma", [[7.738129999673499e107, 7.62028e-84, 5.2038e-128, 4.28534e70]], 1e-13)
    assert_right("poisson", [[1e200, 1e-200], [1e-200, 1e200], [1e305, 1e-305], [3.0, 5e-324]], 1e-14)
    assert_right("bernoulli", [[1e-182, 3e-185], [3e-185, 1e-182], [6e-179, 6.0000000001e-179], [1e-300, 0.5]], 1e-14)
    assert_right("dirichlet", [[[1e-3, 1e6, 2.0], [1e6, 1e-3, 2.0]], [[1e-20, 1e20, 1.0], [1e20, 3.0, 1e-20]]], 1e-13)


@pytest.mark.parametrize("ends", [(-62, 62), (-95, 95), (58, 62), (-62, -58), (74, 88), (-88, -74)])
@pytest.mark.parametrize("name", ["poisson", "exponential", "laplace", "gamma"])
def test_sizes_around_those_that_are_usual(name, ends):
    random = np.random.default_rng(abs(sum(ends)) + len(name))
    size = logs(*ends)
    makers = {"laplace": (logits_of(1e60), size), "gamma": (size, size)}.get(name, (size,))
    rows = [make(*makers)(random) for make in (apart, close) for _ in range(COUNT)]
    assert_right(name, rows, BOUNDS.get(name, BOUND))


ALL_SIZES = [5e-324, 1e-310, 1e-300, 1e-160, 1e-60, 0.1, 1.0, 20.0, 1e60, 1e160, 1e300, 1.7e308]


@pytest.mark.parametrize("name", ["poisson", "exponential", "gamma", "beta"])
def test_numbers_of_all_sizes_together(name):
    """No result is NaN, and none is negative; none is 0 but that of equals, and of what is as good as equal."""
    given = np.array(list(itertools.product(ALL_SIZES, repeat=COUNTS.get(f"kl_{name}", 2)))).T
    result = getattr(families, f"kl_{name}")(*given)
    half = len(given) // 2
    assert np.all(result >= 0.0)
    are_equal = np.all(given[:half] == given[half:], axis=0)
    assert np.all(result[are_equal] == 0.0)
    at_most = np.max(given, axis=0)
    is_usual = ~are_equal & (np.min(given, axis=0) > 1e-200) & (at_most < 1e200)
    assert np.all(result[is_usual] > 0.0)


def test_concentrations_of_all_sizes_together():
    random = np.random.default_rng(7)
    for length in (2, 3, 5):
        first, second = random.choice(ALL_SIZES, (2, 20000, length))
        result = families.kl_dirichlet(first, second)
        assert np.all(result >= 0.0)
        assert np.all(result[np.all(first == second, axis=-1)] == 0.0)


def test_gammas_of_which_only_the_quotient_of_the_means_is_beyond_the_range():
    """As long as its product with the shape is in it."""
    random, rows = np.random.default_rng(12), []
    while len(rows) < 200:
        a, b, c, d = (10.0 ** random.uniform(*ends) for ends in ((20, 150), (-150, -20), (-150, -20), (20, 150)))
        if np.log10(a / b) + np.log10(d / c) > 309 and np.log10(a / b) + np.log10(d) < 307:
            rows.append([a, b, c, d])
    assert_right("gamma", rows, 1e-13)
    assert families.kl_gamma(1e150, 1e-150, 1e-10, 1e150) == np.inf


def test_many_components():
    random = np.random.default_rng(6)
    first = np.exp(random.normal(0.0, 2.0, (3, 1000)))
    second = first * (1.0 + random.normal(size=first.shape) * np.array([[1.0], [1e-5], [1e-12]]) * 0.1)
    assert_right("dirichlet", [[a.tolist(), b.tolist()] for a, b in zip(first, second)], 1e-13)


# Meaning -------------------------------------------------------------------------------------------------------------

NAMES = sorted(families.__all__)
COUNTS = {"kl_laplace": 4, "kl_gamma": 4, "kl_beta": 4}
OF_AXES = ("kl_dirichlet", "kl_categorical", "kl_categorical_logits")


def examples(name, shape=(4, 5)):
    """Parameters in (0, 1), which every family has."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return [random.uniform(0.05, 0.95, shape) for _ in range(COUNTS.get(name, 2))]


SPECIAL = [0.0, -0.0, 1.0, 0.5, 2.0, -1.0, 5e-324, INF, -INF, NAN]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_AXES])
def test_special_values_are_those_of_the_twin(name):
    arguments = np.array(list(itertools.product(SPECIAL, repeat=COUNTS.get(name, 2)))).T
    result = getattr(families, name)(*arguments)
    with np.errstate(all="ignore"):
        expected = twin(name)(*arguments)
    # Of the smallest number there is, the textbook has infinities and differences of them, but none where all is usual.
    usual = ~np.any(np.abs(arguments) == 5e-324, axis=0)
    np.testing.assert_allclose(result[usual], expected[usual], rtol=1e-12, atol=1e-15)
    is_valid = np.all([_is_valid(name, place, one) for place, one in enumerate(arguments)], axis=0)
    np.testing.assert_array_equal(np.isnan(result), ~is_valid)
    assert not np.any(result < 0.0)
    assert not np.any(np.signbit(result[result == 0.0]))


def twin(name):
    pytest.importorskip("scipy", reason="scipy, which the twins need, is not installed")
    return getattr(reference, name)


def _is_valid(name, place, numbers):
    if name == "kl_bernoulli":
        return (numbers >= 0) & (numbers <= 1)
    if name == "kl_bernoulli_logits":
        return ~np.isnan(numbers)
    if name == "kl_laplace" and place % 2 == 0:
        return np.isfinite(numbers)
    return np.isfinite(numbers) & ((numbers >= 0) if name == "kl_poisson" else (numbers > 0))


@pytest.mark.parametrize("name", NAMES)
def test_usual_values_are_those_of_the_twin(name):
    for shape in ((4, 5), (3, 2, 2)):
        arguments = examples(name, shape)
        for keywords in ({}, {"axis": 0}) if name in OF_AXES else ({},):
            result = getattr(families, name)(*arguments, **keywords)
            expected = twin(name)(*arguments, **keywords)
            np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-14)


def test_bernoulli_at_the_ends():
    result = families.kl_bernoulli(
        [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.25, 0.25], [0.0, 0.25, 1.0, 0.25, 1.0, 0.0, 0.0, 1.0]
    )
    expected = [0.0, -np.log(0.75), 0.0, -np.log(0.25), INF, INF, INF, INF]
    np.testing.assert_allclose(result, expected, rtol=1e-15)
    logits = families.kl_bernoulli_logits([-INF, -INF, INF, INF, -INF, INF, 1.0], [-INF, 0.0, INF, 0.0, INF, -INF, INF])
    np.testing.assert_allclose(logits, [0.0, np.log(2), 0.0, np.log(2), INF, INF, INF], rtol=1e-15)


def test_a_poisson_distribution_that_never_counts():
    np.testing.assert_array_equal(families.kl_poisson([0.0, 0.0, 2.0], [0.0, 3.5, 0.0]), [0.0, 3.5, INF])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_between_equal_distributions(name):
    count = COUNTS.get(name, 2) // 2
    first = [np.concatenate([one, one * 1e-9]) for one in examples(name)[:count]]
    result = getattr(families, name)(*first, *first)
    np.testing.assert_array_equal(result, np.zeros_like(result))


@pytest.mark.parametrize("bad", [0.0, -1.0, NAN, INF])
def test_one_bad_concentration_makes_its_own_row_nan(bad):
    first, second = np.full((3, 4), 2.0), np.full((3, 4), 3.0)
    first[1, 2] = bad
    for pair in ((first, second), (second, first)):
        result = families.kl_dirichlet(*pair)
        np.testing.assert_array_equal(np.isnan(result), [False, True, False])
    assert result[0] == families.kl_dirichlet(second[0], first[0])


def test_a_dirichlet_of_few_components():
    assert np.isnan(families.kl_dirichlet([], []))
    np.testing.assert_array_equal(families.kl_dirichlet(np.ones((0, 3)), np.ones((0, 3))), np.empty(0))
    np.testing.assert_array_equal(families.kl_dirichlet([[1.5], [5e-324]], [[3.0], [1e9]]), [0.0, 0.0])


# Shapes and types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_broadcast_and_results_are_float64(name):
    function, arguments = getattr(families, name), examples(name)
    result = function(*arguments)
    assert type(result) is np.ndarray and result.dtype == np.float64
    assert result.shape == ((4,) if name in OF_AXES else (4, 5))
    rows = [one[0] for one in arguments[1:]]
    np.testing.assert_array_equal(function(arguments[0], *rows), function(*np.broadcast_arrays(arguments[0], *rows)))
    single = function(*(one[0] if name in OF_AXES else float(one[0, 0]) for one in arguments))
    assert type(single) is np.float64
    assert single == (result[0] if name in OF_AXES else result[0, 0])


@pytest.mark.parametrize("name", NAMES)
def test_out_is_filled_whatever_its_strides(name):
    function, arguments = getattr(families, name), examples(name)
    expected = function(*arguments)
    for out in (np.empty(expected.shape), np.empty(expected.shape[::-1]).T, np.empty((*expected.shape, 2))[..., 1]):
        assert function(*arguments, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if "categorical" not in name])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint64", "bool", ">f8"])
def test_other_types_are_read_as_float64(name, dtype):
    arguments = [np.ceil(one * 3).astype(dtype) if dtype[0] in "iu" else one.astype(dtype) for one in examples(name)]
    if name == "kl_bernoulli" and dtype[0] in "iu":
        arguments = [one % 2 for one in arguments]
    expected = getattr(families, name)(*(one.astype(np.float64) for one in arguments))
    np.testing.assert_array_equal(getattr(families, name)(*arguments), expected)


def test_the_axis_of_a_dirichlet():
    first, second = np.random.default_rng(2).uniform(0.5, 3.0, (2, 3, 4, 5))
    for axis in (0, 1, 2, -1, -2, -3):
        moved = [np.moveaxis(one, axis, -1) for one in (first, second)]
        result = families.kl_dirichlet(first, second, axis=axis)
        np.testing.assert_array_equal(result, families.kl_dirichlet(*moved))
        np.testing.assert_allclose(result, families.kl_dirichlet(*(one.copy() for one in moved)), rtol=1e-14)
