"""Divergences of two rows of logits where x and y differ by a constant that rounds, or by more than the range holds."""

import functools

import mpmath
import numpy as np
import oracles
import oracles_gradients
import oracles_logits
import pytest
from cpu_levels import LEVELS, call

BOUNDS = {"float32": 2.0**-20, "float64": 2.0**-47}  # of gradients, relative to the largest entry
VALUE_BOUND = 2.0**-49
REAL = ("float32", "float64")
INF = np.inf
KL, JS = "logits.kl_divergence", "logits.js_divergence"
LN2 = np.log(2.0)


@functools.cache
def shifted(length, likely, offset, dtype):
    """One class, or several alike, has all but next to nothing of p; x and y differ by a constant, but for rounding."""
    random = np.random.default_rng([length, likely, offset])
    x = random.uniform(-1.0, 1.0, length).astype(dtype)
    x[length // 2 : length // 2 + likely] = (22.1 if dtype == "float32" else 45.1) + np.log(length)
    y = x + np.dtype(dtype).type(offset)
    exact = oracles_gradients.kl_divergence(*(row.astype(np.float64) for row in (x, y)))
    return x, y, exact


def assert_entries(result, exact, bound):
    rounded, rest = exact
    error = np.abs((np.asarray(result, np.float64) - rounded) - rest)
    assert error.max() <= bound * np.abs(rounded).max(), (result, rounded)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("likely", (1, 2))
@pytest.mark.parametrize("offset", (389, 3000))
@pytest.mark.parametrize("length", (3, 17, 64, 65, 100, 257, 1000, 3000))
@pytest.mark.parametrize("level", LEVELS)
def test_gradients_of_a_constant_that_rounds(level, length, offset, likely, dtype):
    x, y, (by_x, by_y) = shifted(length, likely, offset, dtype)
    found = call(level, KL + "_grad", x, y, wrt="both")
    assert_entries(found[0], by_x, BOUNDS[dtype])
    assert_entries(found[1], by_y, BOUNDS[dtype])
    assert_entries(call(level, "distill.kl_grad", x, y, direction="forward"), by_y, BOUNDS[dtype])
    assert_entries(call(level, "distill.kl_grad", y, x, direction="reverse"), by_x_of(y, x), BOUNDS[dtype])


def by_x_of(teacher, student):
    """The reverse divergence is KL(student, teacher), by the student."""
    return oracles_gradients.kl_divergence(student.astype(np.float64), teacher.astype(np.float64))[0]


@pytest.mark.parametrize("temperature", (1e-3, 0.7, 1e3))
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("length", (3, 66, 257))
@pytest.mark.parametrize("level", LEVELS)
def test_gradients_of_a_constant_that_rounds_at_any_temperature(level, length, dtype, temperature):
    random = np.random.default_rng(length)
    x = (random.normal(0.0, 1.0, length) * temperature).astype(dtype)
    x[1] += (20.0 + np.log(length)) * temperature
    y = (x + np.dtype(dtype).type(389 * temperature)).astype(dtype)
    exact = oracles_gradients.kl_divergence(x.astype(np.float64), y.astype(np.float64), temperature)
    found = call(level, KL + "_grad", x, y, wrt="both", temperature=temperature)
    assert_entries(found[1], exact[1], BOUNDS[dtype])
    js = oracles_gradients.js_divergence(x.astype(np.float64), y.astype(np.float64), temperature=temperature)
    found = call(level, JS + "_grad", x, y, wrt="both", temperature=temperature)
    for one, wanted in zip(found, js, strict=True):
        assert_entries(one, wanted, BOUNDS[dtype])


def same_distributions(dtype):
    """Pairs whose scores differ by exactly one number, which no number of the type is."""
    kind = np.dtype(dtype).type
    random = np.random.default_rng(5)
    for _ in range(200):
        one, other = random.normal(0.0, 10.0 ** random.uniform(-3, 4), 2).astype(dtype)
        yield kind([one]), kind([other])
        yield kind([one, one]), kind([other, other])
        yield kind([one, -INF]), kind([other, -INF])
        yield np.full(70, one), np.full(70, other)
    for length in (300, 5000):
        x, y = np.full((2, length), -INF, dtype)
        x[7], y[7] = -3548.805, -1.4525175
        yield x, y
        yield np.full(length, -3548.805, dtype), np.full(length, -1.4525175, dtype)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("level", LEVELS)
def test_the_same_distribution_has_no_divergence(level, dtype):
    for x, y in same_distributions(dtype):
        assert call(level, KL, x, y) == 0.0, (x, y)
        assert call(level, JS, x, y) == 0.0, (x, y)
        for function in (KL, JS):
            for gradient in call(level, function + "_grad", x, y, wrt="both"):
                np.testing.assert_array_equal(gradient, 0.0)
        where = np.arange(len(x) + 1) < 1
        one, other = (np.append(row[np.isfinite(row)][:1], [1.0] * len(row)).astype(dtype) for row in (x, y))
        assert call(level, KL, one, other, where=where) == 0.0


# Scores at the end of the range ---------------------------------------------------------------------------------------


def at_the_end(size):
    """Rows of any number of blocks that are as different as scores can be; all of them of classes that are possible."""
    yield [-size, size], [size, -size]
    yield [0.0, 0.0], [-size, size]
    yield [0.0, 1.0], [size, -size]
    yield [size, size], [-size, size / 2]
    yield [0.0, -size], [-size, 0.0]
    yield [size, -size, -size], [-size, -size, -size]
    for length in (300, 1500, 3000):
        x, y = np.full((2, length), -size)
        x[0] = y[-1] = size
        yield x, y
        yield np.zeros(length), y
        yield x, np.linspace(-1.0, 1.0, length) * size
        yield np.append(x, -INF), np.append(y, 1.0)


@pytest.mark.parametrize("temperature", (1e-3, 1.0, 10.0, 1e6))
@pytest.mark.parametrize("size", (1e300, 1e304, 1e305, 5e307, 9e307, 1.7e308))
@pytest.mark.parametrize("level", LEVELS)
def test_scores_at_the_end_of_the_range(level, size, temperature):
    for x, y in at_the_end(size):
        x, y = np.array(x), np.array(y)
        assert_value(call(level, KL, x, y, temperature=temperature), exact_kl(x, y, temperature))
        if len(x) <= 150:
            exact = oracles_logits.js_divergence(x, y, temperature=temperature)
            assert_value(call(level, JS, x, y, temperature=temperature), exact)


@functools.cache
def _exact_kl(x, y, temperature):
    return oracles_logits.kl_divergence(np.frombuffer(x), np.frombuffer(y), temperature)


def exact_kl(x, y, temperature):
    return _exact_kl(x.tobytes(), y.tobytes(), temperature)


def assert_value(result, exact):
    if mpmath.isinf(exact) or exact >= 2**1024:
        assert result == INF
    else:
        assert oracles.relative_error(result, exact) <= VALUE_BOUND, (result, exact)


@pytest.mark.parametrize("size", (1e305, 9e307, 1.7e308))
@pytest.mark.parametrize("level", LEVELS)
def test_gradients_at_the_end_of_the_range(level, size):
    x = np.array([-size, size])
    np.testing.assert_array_equal(call(level, KL + "_grad", x, -x, wrt="y"), [1.0, -1.0])
    np.testing.assert_array_equal(call(level, JS + "_grad", x, -x, wrt="both"), [[0.0, 0.0], [0.0, 0.0]])
    x, y = np.array([size, size, -size]), np.array([size, -size, -size])
    np.testing.assert_allclose(call(level, KL + "_grad", x, y, wrt="y"), [0.5, -0.5, 0.0], rtol=1e-15)
    for row in (x, np.append(x, [-size] * 1500)):
        np.testing.assert_array_equal(call(level, KL + "_grad", row, row, wrt="both"), 0.0)


@pytest.mark.parametrize("level", LEVELS)
def test_other_functions_at_the_end_of_the_range(level):
    x = np.array([-1e308, 1e308])
    assert call(level, "logprobs.kl_divergence", x, -x) == INF
    assert call(level, "logprobs.js_divergence", x, -x) == LN2
    assert call(level, "logits.js_distance", x, -x) == np.sqrt(LN2)


# Impossible classes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("length", (2, 3000))
@pytest.mark.parametrize(
    "score, temperature", [(-28544.0, 1e-15), (-1e6, 1e-14), (-1e9, 1e-13), (-1e9, 1e-12), (3e9, 1e-15)]
)
@pytest.mark.parametrize("level", LEVELS)
def test_js_of_impossible_classes_at_low_temperatures(level, score, temperature, length, dtype):
    x, y = np.full((2, length), -INF, dtype)
    x[0] = score
    y[:2] = score, score + abs(score) / 2
    assert call(level, JS, x, y, temperature=temperature) == LN2
    assert call(level, JS, y, x, temperature=temperature) == LN2
    for pair in ((x, y), (y, x)):
        for gradient in call(level, JS + "_grad", *pair, wrt="both", temperature=temperature):
            np.testing.assert_array_equal(gradient, 0.0)


# Next to certain ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", (3, 257, 3000))
@pytest.mark.parametrize("dtype, far", [("float32", 75.0), ("float32", 84.0), ("float64", 680.0), ("float64", 700.0)])
@pytest.mark.parametrize("level", LEVELS)
def test_gradients_of_kl_where_all_but_one_class_are_next_to_impossible(level, dtype, far, length):
    x, y = np.full((2, length), 0.0, dtype)
    x[-3:], y[-3:] = [0.0, far, 1.0], [0.0, far + 0.5, 2.0]
    x[:-3] = y[:-3] = -INF
    by_x, by_y = oracles_gradients.kl_divergence(x.astype(np.float64), y.astype(np.float64))
    found = call(level, KL + "_grad", x, y, wrt="both")
    smallest = float(np.finfo(dtype).smallest_normal)
    for result, (rounded, rest) in zip(found, (by_x, by_y), strict=True):
        error = np.abs((np.asarray(result, np.float64) - rounded) - rest)
        assert error.max() <= max(BOUNDS[dtype] * np.abs(rounded).max(), smallest * BOUNDS[dtype] * 4), (
            result,
            rounded,
        )


@functools.cache
def alike_but_for_rounding(length, size, temperature):
    """Scores of that size, and the same plus a number that rounds: what is left of log(p/q) is a last bit over T."""
    random = np.random.default_rng([length, round(1e6 * size)])
    pairs = []
    while len(pairs) < 6:
        x = random.normal(size=length) * size
        y = x + size * random.uniform(0.3, 3.0)
        exact = oracles_logits.js_divergence(x, y, temperature=temperature)
        if exact > 0:
            pairs.append((x, y, exact))
    return pairs


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("temperature", (1.0, 2.5, 20.0, 1e3))
@pytest.mark.parametrize("size", (1e-6, 1e-3, 0.1, 10.0))
@pytest.mark.parametrize("length", (2, 5, 17, 200, 257))
def test_jensen_shannon_of_scores_alike_but_for_rounding(length, size, temperature, level):
    for x, y, exact in alike_but_for_rounding(length, size, temperature):
        assert oracles.relative_error(call(level, JS, x, y, temperature=temperature), exact) <= VALUE_BOUND


KINDS_OF_SURE = (
    "y elsewhere",
    "y elsewhere, where x is not",
    "y beside",
    "y shrunk",
    "y, too, and of one that x is not",
)


@functools.cache
def sure_of_one(length, gap, temperature, kind):
    """x is sure of a class; y has next to nothing there, or in the other blocks more than x."""
    random = np.random.default_rng([length, gap])
    x = random.normal(size=length) * 0.05
    y = random.normal(size=length) * 0.01
    x[length // 3] = gap
    if kind == "y elsewhere, where x is not":
        x[:5] = x[-5:] = -INF
    if kind == "y beside":
        y[length // 3] = gap
        y[[1, -2]] = 40.7
    if kind == "y shrunk":
        y = 0.74 * x
    if kind == "y, too, and of one that x is not":
        x[-9] = gap / 2
        y = x - 8.1
        x[-2], y[-2] = -INF, gap - 8.1
    return x, y, oracles_logits.kl_divergence(x, y, temperature)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("temperature", (0.3, 1.0))
@pytest.mark.parametrize("kind", KINDS_OF_SURE)
@pytest.mark.parametrize("gap", (50, 111, 431, 477, 485))
@pytest.mark.parametrize("length", (1100, 2500, 4097))
def test_kl_of_a_sure_row_of_several_blocks(length, gap, kind, temperature, level):
    x, y, exact = sure_of_one(length, gap, temperature, kind)
    if exact > 1e-280:
        assert oracles.relative_error(call(level, KL, x, y, temperature=temperature), exact) <= VALUE_BOUND
