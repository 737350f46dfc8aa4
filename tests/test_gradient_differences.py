"""Every gradient, with every option, is the gradient of klfast's own value: what differences of values say it is.

Central differences of sixth order in double: they know nothing of how a gradient is worked out, and agree with a right one
to nine digits or more.
"""

import numpy as np
import pytest

from klfast import logits

ROWS, CLASSES = 3, 6
# f(x + k*step) - f(x - k*step) times these, for k = 1, 2, 3, is the derivative times the step.
STENCIL = ((1, 3.0 / 4.0), (2, -3.0 / 20.0), (3, 1.0 / 60.0))
AGREEMENT = 1e-9

RANDOM = np.random.default_rng(11)
X, Y = RANDOM.normal(0.0, 1.5, (2, ROWS, CLASSES))
X.flags.writeable = Y.flags.writeable = False
FACTORS = np.array([0.3, -2.0, 1.7])
IDS = np.array([1, 5, 0])
WITH_IGNORED = np.array([1, -100, 4])
WEIGHT = np.array([0.2, 1.0, 0.0, 3.0, 0.7, 1.1])
TARGETS = RANDOM.uniform(0.0, 1.0, (ROWS, CLASSES))
WHERE = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 1], [1, 0, 1, 1, 1, 1]], bool)

PAIRS = {
    "plain": {},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 3": {"temperature": 3.0},
    "base": {"base": 2},
    "where": {"where": WHERE},
    "everything": {"temperature": 0.7, "base": 10, "where": WHERE},
}
SHARES = {
    "share 0.1": {"beta": 0.1},
    "share 0.99": {"beta": 0.99, "temperature": 2.0},
}
LOSSES = {
    "plain": {},
    "temperature": {"temperature": 0.5},
    "base": {"base": 2},
    "where": {"where": WHERE},
    "smoothing": {"label_smoothing": 0.2},
    "nothing but smoothing": {"label_smoothing": 1.0},
    "smoothing where": {"label_smoothing": 0.2, "where": WHERE},
    "weight": {"weight": WEIGHT},
    "weight, smoothing": {"weight": WEIGHT, "label_smoothing": 0.2},
    "weight, smoothing, where": {"weight": WEIGHT, "label_smoothing": 0.2, "smooth_over": "finite", "where": WHERE},
    "z loss": {"z_loss": 0.1},
    "z loss, temperature": {"z_loss": 0.1, "temperature": 0.5},
    "cap": {"softcap": 2.0},
    "cap, temperature, z loss": {"softcap": 3.0, "temperature": 0.5, "z_loss": 0.1},
    "everything": {
        "temperature": 2.0,
        "weight": WEIGHT,
        "label_smoothing": 0.1,
        "z_loss": 0.05,
        "softcap": 4.0,
        "base": 2,
        "where": WHERE,
    },
}
TARGET_KINDS = {
    "class ids": (IDS, {}),
    "class ids, one ignored": (WITH_IGNORED, {}),
    "another id ignored": (IDS, {"ignore_index": 5}),
    "probabilities": (TARGETS, {}),
    "raw weights": (TARGETS, {"normalize": False}),
    "one-hot": (np.eye(CLASSES)[IDS], {}),
}


def differences(function, x):
    """The gradient of a function of a table, one entry after the other."""
    gradient = np.empty_like(x)
    step = 2.0**-7
    for place in np.ndindex(x.shape):
        total = 0.0
        for steps, factor in STENCIL:
            for sign in (1.0, -1.0):
                moved = x.copy()
                moved[place] += sign * steps * step
                total += sign * factor * function(moved)
        gradient[place] = total / step
    return gradient


def assert_agrees(gradient, function, x):
    expected = differences(function, x)
    assert gradient.shape == x.shape
    error = np.max(np.abs(gradient - expected))
    assert error <= AGREEMENT * max(1.0, np.max(np.abs(expected))), f"{error:.3g} apart\n{gradient}\n{expected}"


def summed(values, factors=FACTORS):
    return float(np.sum(factors * values))


@pytest.mark.parametrize(
    "operation, case",
    [("kl_divergence", case) for case in PAIRS] + [("js_divergence", case) for case in PAIRS | SHARES],
)
def test_gradients_of_divergences(operation, case):
    options = (PAIRS | SHARES)[case]
    value, gradient = getattr(logits, operation), getattr(logits, f"{operation}_grad")
    by_x, by_y = gradient(X, Y, wrt="both", grad_output=FACTORS, **options)
    assert_agrees(by_x, lambda x: summed(value(x, Y, **options)), X)
    assert_agrees(by_y, lambda y: summed(value(X, y, **options)), Y)
    if "where" in options:
        assert not np.any(by_x[~WHERE]) and not np.any(by_y[~WHERE])


@pytest.mark.parametrize("case", PAIRS)
def test_gradients_of_entropy(case):
    options = PAIRS[case]
    gradient = logits.entropy_grad(X, grad_output=FACTORS, **options)
    assert_agrees(gradient, lambda x: summed(logits.entropy(x, **options)), X)


@pytest.mark.parametrize("kind", TARGET_KINDS)
@pytest.mark.parametrize("case", LOSSES)
def test_gradients_of_losses(case, kind):
    target, more = TARGET_KINDS[kind]
    options = LOSSES[case] | more
    if target.ndim == 1 and "where" in options:  # a class that is left out would make the loss infinite
        options = options | {"where": WHERE | (np.arange(CLASSES) == np.reshape(target, (ROWS, 1)))}
    elif "where" in options:
        target = np.where(WHERE, target, 0.0) + 0.1 * WHERE
    gradient = logits.cross_entropy_grad(X, target, grad_output=FACTORS, **options)
    assert_agrees(gradient, lambda x: summed(logits.cross_entropy(x, target, **options)), X)


@pytest.mark.parametrize("reduction", ("sum", "mean"))
@pytest.mark.parametrize("kind", TARGET_KINDS)
@pytest.mark.parametrize("case", ("plain", "weight, smoothing", "cap, temperature, z loss"))
def test_gradients_of_sums_and_means(case, kind, reduction):
    target, more = TARGET_KINDS[kind]
    options = LOSSES[case] | more | {"reduction": reduction}
    gradient = logits.cross_entropy_grad(X, target, grad_output=-1.5, **options)
    assert_agrees(gradient, lambda x: -1.5 * logits.cross_entropy(x, target, **options), X)
    without = logits.cross_entropy_grad(X, target, **options)
    assert_agrees(without, lambda x: logits.cross_entropy(x, target, **options), X)


def test_gradients_along_another_axis():
    x, y = np.asfortranarray(X), Y.copy()
    columns = np.arange(CLASSES, dtype=np.float64)
    by_x, by_y = logits.kl_divergence_grad(x, y, axis=0, wrt="both", grad_output=columns)
    assert_agrees(by_x, lambda one: summed(logits.kl_divergence(one, y, axis=0), columns), X)
    assert_agrees(by_y, lambda one: summed(logits.kl_divergence(x, one, axis=0), columns), Y)
    ids = np.arange(CLASSES) % ROWS
    gradient = logits.cross_entropy_grad(x, ids, axis=0, grad_output=columns)
    assert_agrees(gradient, lambda one: summed(logits.cross_entropy(one, ids, axis=0), columns), X)


def test_gradients_over_several_axes():
    by_x = logits.js_divergence_grad(X, Y, axis=None, wrt="x", beta=0.2)
    assert_agrees(by_x, lambda one: float(logits.js_divergence(one, Y, axis=None, beta=0.2)), X)


def test_the_gradient_by_a_row_that_was_broadcast_has_the_shape_of_the_table():
    """Row by row; whoever wants one row of it adds them up."""
    by_x, by_y = logits.kl_divergence_grad(X, Y[0], wrt="both", grad_output=FACTORS)
    assert by_x.shape == by_y.shape == X.shape
    expected = differences(lambda y: summed(logits.kl_divergence(X, y)), Y[0])
    np.testing.assert_allclose(by_y.sum(axis=0), expected, rtol=0.0, atol=AGREEMENT * max(1.0, np.abs(expected).max()))
