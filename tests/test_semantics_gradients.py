"""What softmax, log_softmax and the gradients are: their formulas, their slopes, and what special values do to them."""

import math

import numpy as np
import pytest
from logit_calls import ANY_AXES, CALLS, MAPS, OF_ENTRIES, random_mask, tables
from reductions import assert_same_bits

from klfast import _reference, logits

INF, NAN = np.inf, np.nan
RANDOM = np.random.default_rng(12)
X, Y = RANDOM.normal(0.0, 2.0, (2, 4, 6))
IDS = np.array([0, 5, 2, 3])
SHARES = RANDOM.dirichlet(np.ones(6), 4)
WEIGHT = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.1])
STEP = 1e-5


def slopes(function, x):
    """d function / d x by central differences, for one number from each row."""
    found = np.zeros(x.shape)
    for c in range(x.shape[-1]):
        change = STEP * (np.arange(x.shape[-1]) == c)
        found[..., c] = (function(x + change) - function(x - change)) / (2 * STEP)
    return found


def assert_slopes(result, function, x):
    np.testing.assert_allclose(result, slopes(function, x), rtol=1e-7, atol=1e-8)


def assert_entries(result, expected):
    """The same numbers, NaN where NaN is due, and 0 where it is exactly 0."""
    expected = np.asarray(expected)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-14, atol=0.0)


# Formulas and slopes -------------------------------------------------------------------------------------------------

CROSS_ENTROPY = {
    "plain": {},
    "weight": {"weight": WEIGHT},
    "smoothing": {"label_smoothing": 0.2},
    "nothing but smoothing": {"label_smoothing": 1},
    "weight and smoothing": {"weight": WEIGHT, "label_smoothing": 0.2},
    "z-loss": {"z_loss": 0.05},
    "cap": {"softcap": 3.0},
    "temperature": {"temperature": 0.5},
    "base": {"base": 2},
    "where": {"where": random_mask(X.shape) | (np.arange(6) == IDS[:, np.newaxis])},
    "raw": {"normalize": False},
    "ignored": {"ignore_index": 2},
}
CROSS_ENTROPY["everything"] = {name: value for one in CROSS_ENTROPY.values() for name, value in one.items()}


@pytest.mark.parametrize("options", CROSS_ENTROPY)
@pytest.mark.parametrize("target", [IDS, SHARES * 2], ids=["ids", "probabilities"])
def test_the_gradient_of_cross_entropy_is_its_slope(target, options):
    keywords = CROSS_ENTROPY[options]
    result = logits.cross_entropy_grad(X, target, **keywords)
    assert_slopes(result, lambda x: logits.cross_entropy(x, target, **keywords), X)
    np.testing.assert_allclose(
        result, _reference.logits_cross_entropy_grad(X, target, **keywords), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("options", CROSS_ENTROPY)
@pytest.mark.parametrize("target", [IDS, SHARES * 2], ids=["ids", "probabilities"])
def test_the_gradient_of_a_reduction_is_its_share_of_the_rows(target, options, reduction):
    keywords = CROSS_ENTROPY[options]
    rows = logits.cross_entropy_grad(X, target, **keywords)
    count = 4
    if target is IDS:
        counted = IDS[IDS != keywords.get("ignore_index")]
        count = WEIGHT[counted].sum() if "weight" in keywords else len(counted)
    expected = rows if reduction == "sum" else rows / count
    result = logits.cross_entropy_grad(X, target, reduction=reduction, **keywords)
    np.testing.assert_allclose(result, expected, rtol=1e-13)
    result = logits.cross_entropy_grad(X, target, reduction=reduction, grad_output=-3.0, **keywords)
    np.testing.assert_allclose(result, -3.0 * expected, rtol=1e-13)


DIVERGENCES = {
    "kl_divergence": {},
    "kl_divergence at a temperature": {"temperature": 0.5},
    "kl_divergence in bits": {"base": 2, "where": random_mask(X.shape)},
    "js_divergence": {},
    "js_divergence, skewed": {"beta": 0.1},
    "js_divergence at a temperature": {"beta": 0.75, "temperature": 2.0},
    "js_divergence in bits": {"base": 2, "where": random_mask(X.shape)},
}


@pytest.mark.parametrize("case", DIVERGENCES)
def test_the_gradients_of_divergences_are_their_slopes(case):
    name, keywords = case.split()[0].strip(","), DIVERGENCES[case]
    value, gradient = getattr(logits, name), getattr(logits, f"{name}_grad")
    of_x, of_y = (gradient(X, Y, wrt=wrt, **keywords) for wrt in "xy")
    assert_slopes(of_x, lambda x: value(x, Y, **keywords), X)
    assert_slopes(of_y, lambda y: value(X, y, **keywords), Y)
    both = gradient(X, Y, wrt="both", **keywords)
    assert type(both) is tuple
    np.testing.assert_array_equal(both, [of_x, of_y])
    twin = getattr(_reference, f"logits_{name}_grad")
    np.testing.assert_allclose(of_x, twin(X, Y, wrt="x", **keywords), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(of_y, twin(X, Y, wrt="y", **keywords), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("keywords", [{}, {"temperature": 0.5}, {"base": 2, "where": random_mask(X.shape)}])
def test_the_gradient_of_entropy_is_its_slope(keywords):
    result = logits.entropy_grad(X, **keywords)
    assert_slopes(result, lambda x: logits.entropy(x, **keywords), X)
    np.testing.assert_allclose(result, _reference.logits_entropy_grad(X, **keywords), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 2), (2, 1), (0, 1, 2), None])
@pytest.mark.parametrize("name", MAPS)
def test_every_axis_is_that_of_the_twin(name, axis):
    call = MAPS[name]
    x, y = RANDOM.normal(0.0, 2.0, (2, 3, 4, 5))
    arrays = (x, y)[: len(call.takes)]
    twin = getattr(_reference, call.function.replace(".", "_"))
    for where in (None, random_mask(x.shape), random_mask((4, 1))):
        keywords = call.fixed | {"axis": axis, "where": where}
        result = call(tables("float64", 1, 1)._replace(x=x, y=y), axis=axis, where=where)
        assert result.shape == x.shape and result.dtype == np.float64
        np.testing.assert_allclose(result, twin(*arrays, **keywords), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("name", OF_ENTRIES)
def test_every_length_up_to_300_and_around_blocks(name):
    call = OF_ENTRIES[name]
    twin = getattr(_reference, call.function.replace(".", "_"))
    for length in (*range(1, 301), 2047, 2048, 2049, 8193):
        arrays = tables("float64", 3, length)
        expected = twin(*(getattr(arrays, one) for one in call.takes), **call.fixed)
        size = np.max(np.abs(expected), axis=-1, keepdims=True)
        result = call(arrays)
        if name == "log_softmax":
            np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-13, err_msg=f"{length}")
        else:  # relative to the largest of the row, and what cancels in the twin is left over
            assert np.all(np.abs(result - expected) <= 1e-11 * size + 1e-15), length


# Softmax -------------------------------------------------------------------------------------------------------------

SOFTMAX = {
    "ordinary": ([0.0, math.log(3.0)], [0.25, 0.75]),
    "two impossible": ([-INF, -INF, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]),
    "nothing possible": ([-INF, -INF], [NAN, NAN]),
    "NaN": ([0.0, NAN], [NAN, NAN]),
    "infinite": ([1.0, 1.0, INF], [NAN, NAN, NAN]),
    "one class": ([-5.0], [1.0]),
    "sure": ([0.0, 2000.0], [0.0, 1.0]),
    "huge": ([3e38, 3e38], [0.5, 0.5]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SOFTMAX)
def test_special_values_of_softmax(case, dtype):
    x, expected = SOFTMAX[case]
    for length in (0, 70, 3000):
        row = np.array(x + [-INF] * length, dtype)
        nothing = np.full(length, NAN if np.isnan(expected[0]) else 0.0)
        result, logs = logits.softmax(row), logits.log_softmax(row)
        assert result.dtype == logs.dtype == dtype
        whole = np.concatenate([expected, nothing])
        np.testing.assert_allclose(result, whole, rtol=2.0**-21)
        if case == "sure":
            whole = np.concatenate([[-2000.0, 0.0], np.full(length, -INF)])
        else:
            with np.errstate(divide="ignore"):
                whole = np.log(whole)
        np.testing.assert_allclose(logs, whole, rtol=2.0**-21)


def test_entries_left_out_of_softmax_are_0_whatever_their_row_holds():
    x = np.array([[5.0, 0.0, 0.0], [NAN, 0.0, 0.0], [5.0, NAN, 0.0], [5.0, -INF, -INF], [0.0, 0.0, INF]])
    where = [False, True, True]
    half, undefined = [0.0, 0.5, 0.5], [0.0, NAN, NAN]
    np.testing.assert_array_equal(logits.softmax(x, where=where), [half, half, undefined, undefined, undefined])
    logs = logits.log_softmax(x, where=where)
    assert np.all(logs[:, 0] == -INF)
    np.testing.assert_allclose(logs[:2, 1:], math.log(0.5), rtol=2.0**-49)
    assert np.all(np.isnan(logs[2:, 1:]))
    assert np.all(logits.softmax(x, where=False) == 0.0)
    assert np.all(logits.log_softmax(x, where=False) == -INF)


def test_masks_of_a_half():
    x = np.full((1, 1000), -20000.0, np.float16)
    x[0, 3] = 30016.0
    result, logs = logits.softmax(x), logits.log_softmax(x)
    assert result.dtype == logs.dtype == np.float16
    assert result[0, 3] == 1.0 and np.count_nonzero(result) == 1
    assert logs[0, 3] == 0.0 and logs[0, 0] == -50016.0


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3)])
@pytest.mark.parametrize("name", MAPS)
def test_what_is_empty_stays_empty(name, shape):
    empty = np.zeros(shape)
    arrays = tables("float64", 1, 1)._replace(x=empty, y=empty)
    for axis in (-1, 0, None):
        assert MAPS[name](arrays, axis=axis).shape == shape


# Special values of gradients -----------------------------------------------------------------------------------------


def test_an_impossible_label_has_a_finite_gradient():
    x = np.array([-INF, 0.0, 0.0])
    gradient = logits.cross_entropy_grad
    assert_entries(gradient(x, 0), [-1.0, 0.5, 0.5])
    assert_entries(gradient(x, 0, temperature=2), [-0.5, 0.25, 0.25])
    assert_entries(gradient(x, 1), [0.0, -0.5, 0.5])
    assert_entries(gradient(x, 0, weight=[0, 1, 1]), [0.0, 0.0, 0.0])
    assert_entries(gradient(x, 1, label_smoothing=0.3), [-0.1, 0.5 - 0.7 - 0.1, 0.5 - 0.1])
    assert_entries(gradient(x, 1, label_smoothing=0.5, smooth_over="finite"), [0.0, 0.5 - 0.75, 0.25])
    assert_entries(gradient(x, [0.5, 0.5, 0.0]), [-0.5, 0.0, 0.5])
    assert_entries(gradient(x, 0, where=[False, True, True]), [0.0, 0.5, 0.5])


def test_an_infinite_kl_has_a_gradient_for_y_only():
    x, y = np.array([0.0, 0.0, -INF]), np.array([0.0, -INF, 0.0])
    of_x, of_y = logits.kl_divergence_grad(x, y, wrt="both")
    np.testing.assert_array_equal(of_x, [NAN, NAN, 0.0])
    np.testing.assert_array_equal(of_y, [0.0, -0.5, 0.5])


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
@pytest.mark.parametrize("length", (8, 5000))
def test_where_a_kl_is_infinite_no_class_is_too_unlikely_to_have_no_gradient(length, dtype):
    """Shares that their type rounds to 0 are none."""
    x = np.resize(np.array([0.0, -5.0, -INF, -20.0, -200.0, -800.0, -60000.0, -INF], dtype), length)
    y = np.zeros(length, dtype)
    y[0] = -INF
    np.testing.assert_array_equal(logits.kl_divergence_grad(x, y, wrt="x"), np.where(x == -INF, 0.0, NAN))


def test_classes_that_are_impossible_have_no_slope():
    x, y = np.array([-INF, 1.0, 2.0]), np.array([-INF, 0.0, 5.0])
    kl = logits.kl_divergence_grad(x, y, wrt="both")
    js = logits.js_divergence_grad(x, y, wrt="both")
    shorter = logits.kl_divergence_grad(x[1:], y[1:], wrt="both"), logits.js_divergence_grad(x[1:], y[1:], wrt="both")
    for long, short in zip((*kl, *js, logits.entropy_grad(x)), (*shorter[0], *shorter[1], logits.entropy_grad(x[1:]))):
        assert long[0] == 0.0
        np.testing.assert_allclose(long[1:], short, rtol=1e-13)


def test_disjoint_rows_are_as_far_apart_as_can_be():
    of_x, of_y = logits.js_divergence_grad([0.0, -INF], [-INF, 0.0], wrt="both", beta=0.25)
    assert np.all(np.abs([of_x, of_y]) < 1e-15)


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_a_bad_score_spoils_its_row_only(name, bad):
    arrays = tables("float64", 5, 300)
    x = arrays.x.copy()
    expected = CALLS[name](arrays)
    x[2, 123] = bad
    result = CALLS[name](arrays._replace(x=x))
    assert np.all(np.isnan(result[2]))
    np.testing.assert_array_equal(np.delete(result, 2, axis=0), np.delete(expected, 2, axis=0))


@pytest.mark.parametrize("options", CROSS_ENTROPY)
def test_an_ignored_row_has_exactly_no_gradient(options):
    x, target = X.copy(), IDS.copy()
    x[1, 2], x[3], target[[1, 3]] = NAN, INF, -100
    for reduction in ("none", "sum", "mean"):
        keywords = CROSS_ENTROPY[options] | {"ignore_index": -100, "reduction": reduction}
        value, gradient = logits.cross_entropy_value_and_grad(x, target, **keywords)
        assert np.all(gradient[[1, 3]] == 0.0)
        assert np.all(np.isfinite(gradient)) and np.all(np.isfinite(value))
        assert np.all(logits.cross_entropy_grad(x, np.full(4, -100), **keywords) == 0.0)


@pytest.mark.parametrize("name", OF_ENTRIES)
def test_entries_left_out_have_exactly_no_gradient(name):
    arrays = tables("float64", 5, 300)
    where = random_mask(arrays.x.shape)
    where[3] = False
    x = np.where(where, arrays.x, NAN)
    x[1, 0] = NAN  # so that one row is spoilt
    result = CALLS[name](arrays._replace(x=x), where=where)
    assert np.all(result[~where] == (-INF if name == "log_softmax" else 0.0))
    assert np.all(np.isnan(result[1][where[1]]))
    assert np.all(np.isfinite(result[[0, 2, 4]][where[[0, 2, 4]]]))


# grad_output, and values with gradients ------------------------------------------------------------------------------

GRADIENTS = [name for name in OF_ENTRIES if "grad" in name]


@pytest.mark.parametrize("name", GRADIENTS)
def test_grad_output_multiplies(name):
    arrays = tables("float64", 5, 300)
    plain = CALLS[name](arrays)
    for factors in (2.5, np.float32(0.5), -3, RANDOM.normal(size=5), np.float32([1, 2, 3, 0, -1])):
        expected = plain * (factors if np.ndim(factors) == 0 else factors[:, np.newaxis])
        size = np.max(np.abs(expected), axis=-1, keepdims=True)  # what cancels is rounded as the rest of its row is
        assert np.all(np.abs(CALLS[name](arrays, grad_output=factors) - expected) <= 2.0**-48 * size)
    upright = CALLS[name](arrays.columns(), axis=0, grad_output=np.repeat(factors, 2)[::2])
    np.testing.assert_array_equal(upright.T, CALLS[name](arrays, grad_output=factors))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", GRADIENTS)
def test_value_and_gradient_are_those_of_the_two_functions(name, kind):
    call, arrays = CALLS[name], tables(kind, 5, 300)
    both = call._replace(function=call.function.replace("_grad", "_value_and_grad"))
    alone = call._replace(function=call.function.removesuffix("_grad"))
    fixed = {key: value for key, value in call.fixed.items() if key != "wrt"}
    for keywords in ({}, {"base": 2}, {"where": random_mask(arrays.x.shape)}):
        value, gradient = both(arrays, **keywords)
        assert value.dtype == np.float64 and gradient.dtype == kind
        np.testing.assert_array_equal(value, alone._replace(fixed=fixed)(arrays, **keywords))
        np.testing.assert_array_equal(gradient, call(arrays, **keywords))
        out = np.zeros_like(arrays.x)
        result = both(arrays, out=out, grad_output=2.0, **keywords)
        assert result[1] is out
        np.testing.assert_array_equal(result[0], value)  # which grad_output does not touch
        np.testing.assert_array_equal(out, call(arrays, grad_output=2.0, **keywords))


@pytest.mark.parametrize("function", ["kl_divergence", "js_divergence"])
def test_value_and_both_gradients(function):
    x, y = tables("float32", 5, 300)[:2]
    value, gradients = getattr(logits, f"{function}_value_and_grad")(x, y.astype("float64"), wrt="both")
    assert type(gradients) is tuple
    assert [one.dtype for one in gradients] == [np.float32, np.float64]
    np.testing.assert_array_equal(value, getattr(logits, function)(x, y.astype("float64")))
    out = np.zeros_like(x), np.zeros_like(y)
    result = getattr(logits, f"{function}_grad")(x, y, wrt="both", out=out)
    assert result[0] is out[0] and result[1] is out[1]
    for wrt, one in zip("xy", out):
        np.testing.assert_array_equal(getattr(logits, f"{function}_grad")(x, y, wrt=wrt), one)


@pytest.mark.parametrize("name", [name for name in GRADIENTS if name in ANY_AXES and name != "entropy_grad"])
def test_gradients_of_broadcast_inputs_have_the_broadcast_shape(name):
    x, y = X, Y[0]
    whole = tables("float64", 1, 1)._replace(x=x, y=np.tile(y, (4, 1)))
    expected = CALLS[name](whole)
    np.testing.assert_array_equal(CALLS[name](whole._replace(y=y)), expected)
    np.testing.assert_array_equal(CALLS[name](whole._replace(y=y[np.newaxis])), expected)


@pytest.mark.parametrize("dtype", ("float16", "float32", "float64"))
@pytest.mark.parametrize("length", (1, 2, 10, 256, 257, 3000))
def test_in_place_neither_value_nor_gradient_sees_what_is_written(length, dtype):
    random = np.random.default_rng(length)
    x, y = (random.normal(0.0, 2.0, (5, length)).astype(dtype) for _ in range(2))
    ids = random.integers(0, length, 5)
    pairs = (logits.kl_divergence_value_and_grad, logits.js_divergence_value_and_grad)
    for function in pairs:
        for wrt in ("x", "y", "both"):
            value, gradient = function(x, y, wrt=wrt)
            memory = {"x": x.copy(), "y": y.copy()}
            out = tuple(memory.values()) if wrt == "both" else memory[wrt]
            assert_same_bits(function(memory["x"], memory["y"], wrt=wrt, out=out)[0], value)
            for mine, expected in zip(*(one if wrt == "both" else (one,) for one in (out, gradient)), strict=True):
                assert_same_bits(mine, expected)
    for function, more in ((logits.entropy_value_and_grad, ()), (logits.cross_entropy_value_and_grad, (ids,))):
        memory = x.copy()
        value, gradient = function(x, *more)
        assert_same_bits(function(memory, *more, out=memory)[0], value)
        assert_same_bits(memory, gradient)
