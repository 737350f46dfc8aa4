"""Losses of logits and targets at the ends of the range: what leaves a type on the way, but not in the result."""

import itertools

import numpy as np
import oracles
import oracles_gradients
import oracles_logits
import pytest
from cpu_levels import LEVELS, call

INF, NAN = np.inf, np.nan
BOUNDS = {"float32": 2.0**-22, "float64": 2.0**-49}
ENDS = {"float32": (1e-45, 1e-38, 1e30, 3e38), "float64": (5e-324, 1e-310, 1e270, 1.7e308)}


def rows_of(dtype):
    """Logits and targets of both ordinary and extreme sizes."""
    ends = ENDS[dtype]
    scores = [[1.5, 0.0], [0.0, 1.5], [1000.0, 0.0], [1e10, 0.0], [-3e5, 1e5], [0.0, 0.0], [1e-6, 0.0]]
    scores += [[ends[2], 0.0], [ends[3], -ends[3]], [-ends[3], -ends[3]]]
    targets = [[1.0, 2.0], [0.0, 1.0], [1.0, 0.0]]
    for end in ends:
        targets += [[0.0, end], [end, 0.0], [end, end / 2 if end > 1 else 2 * end], [1.0, end], [end, 1.0]]
    targets += [[ends[0], ends[3]], [ends[3], ends[0]]]
    for x, target in itertools.product(scores, targets):
        yield np.array(x, dtype), np.array(target, dtype)


def spread_out(pair, length, dtype, fill):
    """The two entries at the ends of a longer row."""
    row = np.full(length, fill, dtype)
    row[0], row[-1] = pair
    return row


def largest_of(exact):
    return float(np.max(np.abs(exact[0])))


def is_right(result, exact, dtype):
    """Results below the normal numbers have no digits to keep."""
    if abs(exact) >= 2**1024:
        return result == INF
    if exact < 2.0**-1000:
        return 0.0 <= result <= 2.0**-990
    return oracles.relative_error(result, exact) <= BOUNDS[dtype]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (2, 5000))
@pytest.mark.parametrize("normalize", (True, False))
@pytest.mark.parametrize("dtype", BOUNDS)
def test_target_probabilities(dtype, normalize, length, level):
    wrong = {}
    for temperature in (1.0, 10.0) if length == 2 else (1.0,):
        for x, target in rows_of(dtype):
            if not normalize and 700 < x[0] - x[1] and target[1] < 1e-300:
                continue  # p of the others is below the range, and only the target would bring it back
            options = {"temperature": temperature, "normalize": normalize}
            rows = spread_out(x, length, dtype, -INF), spread_out(target, length, dtype, 0.0)
            result = call(level, "logits.cross_entropy", *rows, **options)
            exact = oracles_logits.cross_entropy(*(row.astype(np.float64) for row in (x, target)), **options)
            if not is_right(result, exact, dtype):
                wrong[tuple(x), tuple(target), temperature] = result, float(exact)
    assert not wrong


@pytest.mark.filterwarnings("ignore:overflow")  # in the oracle
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_of_target_probabilities(dtype, level):
    wrong = {}
    for x, target in rows_of(dtype):
        result = call(level, "logits.cross_entropy_grad", x, target)
        exact = oracles_gradients.cross_entropy(x.astype(np.float64), target.astype(np.float64))
        bound = {"float32": 2.0**-20, "float64": 2.0**-47}[dtype]
        # an entry may be the difference of p and of what the target has in that class
        if not np.all(np.abs(result - exact[0]) <= bound * max(largest_of(exact), 0.5)):
            wrong[tuple(x), tuple(target)] = result, exact[0]
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_class_weights_that_smoothing_spreads(dtype, level):
    large = ENDS[dtype][2] * 1e6
    for x in ([1000.0, 0.0], [0.0, 1e3], [1e10, 0.0]):
        for weight in ([large, large], [1.0, large], [1e-30, 1e-30]):
            scores = np.array(x, dtype)
            options = {"weight": np.array(weight), "label_smoothing": 0.1}
            result = call(level, "logits.cross_entropy", scores, 0, **options)
            exact = oracles_logits.cross_entropy(scores.astype(np.float64), 0, **options)
            assert is_right(result, exact, dtype), (x, weight, result, float(exact))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 3000))
@pytest.mark.parametrize("largest", (1e308, 1e300, -1e300, -1e308))
def test_a_normalizer_beyond_the_range_is_no_penalty(largest, length, level):
    """log sum exp is infinite, but nothing asks for it."""
    x = np.full((2, length), -INF)
    x[:, 0] = largest
    x[1, -1] = largest
    sure, level_pair = 0.0, np.log(2.0) if length > 1 else 0.0
    soft = np.zeros((2, length))
    soft[:, 0] = 4.0  # whose share is exact
    for target, more in ((np.zeros(2, int), {}), (soft, {}), (np.zeros(2, int), {"weight": np.ones(length)})):
        losses = call(level, "logits.cross_entropy", x, target, temperature=1e-15, **more)
        np.testing.assert_allclose(losses, [sure, level_pair], rtol=1e-15)
        grads = call(level, "logits.cross_entropy_grad", x, target, temperature=1e-15, **more)
        assert np.all(grads[0] == 0.0) and not np.isnan(grads).any()
    smoothed = call(
        level, "logits.cross_entropy", x, [0, 0], temperature=1e-15, label_smoothing=0.1, smooth_over="finite"
    )
    np.testing.assert_allclose(smoothed, [sure, level_pair], rtol=1e-15)
    tokens = call(level, "logits.token_logprobs", x, [0, 0], temperature=1e-15)
    np.testing.assert_allclose(tokens, [-sure, -level_pair], rtol=1e-15)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (2, 100, 5000))
@pytest.mark.parametrize("dtype, end", (("float32", 3e38), ("float64", 1.7e308)))
def test_differences_that_leave_the_range_before_the_temperature_divides(dtype, end, length, level):
    x = spread_out((-end, end), length, dtype, 0.0)
    exact = x.astype(np.float64)[0] / 10.0 - x.astype(np.float64)[-1] / 10.0
    logs = call(level, "logits.log_softmax", x, temperature=10.0)
    np.testing.assert_allclose(logs[[0, -1]].astype(np.float64), [exact, 0.0], rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(logs[1:-1], x[-1] / dtype_of(dtype)(-10.0), rtol=4 * np.finfo(dtype).eps)
    soft = spread_out((0.5, 0.0), length, dtype, 0.0)
    for target in (0, soft):
        assert call(level, "logits.cross_entropy", x, target, temperature=10.0) == pytest.approx(-exact, rel=1e-6)
    assert call(level, "logits.token_logprobs", x, [0], temperature=10.0)[0] == pytest.approx(exact, rel=1e-15)
    assert call(level, "logits.entropy", x, temperature=10.0) == 0.0
    shares = call(level, "logits.softmax", x, temperature=10.0)
    assert shares[-1] == 1.0 and not shares[:-1].any()
    assert not call(level, "logits.entropy_grad", x, temperature=10.0).any()


def dtype_of(name):
    return np.dtype(name).type


# What a mask leaves of targets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("length", (2, 40, 200, 5000))
def test_a_target_of_minus_infinity_is_no_probability_whatever_is_masked(length, dtype, level):
    random = np.random.default_rng(length)
    x, target = random.normal(size=(2, length)).astype(dtype)
    target = np.abs(target)
    x[0], target[0] = -INF, -INF
    where = np.ones(length, bool)
    for one in (None, where):
        assert np.isnan(call(level, "logits.cross_entropy", x, target, where=one))
        assert np.isnan(call(level, "logits.cross_entropy_grad", x, target, where=one)).all()
    where[0] = False
    expected = call(level, "logits.cross_entropy", x[1:], target[1:])
    assert call(level, "logits.cross_entropy", x, target, where=where) == pytest.approx(expected, rel=1e-6)
    assert call(level, "logits.cross_entropy_grad", x, target, where=where)[0] == 0.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("length", (70, 300, 5000))
@pytest.mark.parametrize("largest", (20.0, 1e5))
def test_nan_is_found_wherever_it_stands(largest, length, dtype, level):
    """Also beside the largest logit, which it may hide from the search for it, and however large that is."""
    sound = np.random.default_rng(length).normal(size=(min(length, 140), length)).astype(dtype)
    sound[:, 67] = largest
    x = sound.copy()
    np.fill_diagonal(x, NAN)
    labels = np.full(len(x), length - 1)
    for name in ("logsumexp", "entropy", "softmax"):
        assert np.all(np.isnan(call(level, f"logits.{name}", x)))
    assert np.all(np.isnan(call(level, "logits.cross_entropy", x, labels)))
    assert np.all(np.isnan(call(level, "distill.topk", x, 3).tail))
    for name in ("kl_divergence", "js_divergence"):
        assert np.all(np.isnan(call(level, f"logits.{name}", x, sound)))
        assert np.all(np.isnan(call(level, f"logits.{name}", sound, x)))
