"""What mathematics says of softmax, losses and gradients, held against whatever hypothesis comes up with."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_properties import seeds

from klfast import logits, logprobs

SETTINGS = settings(max_examples=50, deadline=None)
ROUNDING = 2.0**-45
NOTHING = 2.0**-90  # what may be left of 0

sizes = st.integers(1, 40) | st.integers(1, 700)
scores = st.floats(-200.0, 200.0) | st.integers(-5, 5).map(float)
shares = st.floats(2.0**-60, 1.0) | st.just(0.0)
betas = st.integers(1, 63).map(lambda count: count / 64)  # so that 1 - beta is exact
temperatures = st.integers(-3, 3).map(lambda exponent: 2.0**exponent)


@st.composite
def rows(draw, count=1, more=None):
    """Rows of scores of one length; with `more`, a row of shares, or the place of a class, as well."""
    size = draw(sizes)
    found = [draw(arrays.arrays(np.float64, size, elements=scores)) for _ in range(count)]
    if more == "target":
        target = draw(arrays.arrays(np.float64, size, elements=shares))
        target[0] += 1.0
        found.append(target)
    elif more == "label":
        found.append(draw(st.integers(0, size - 1)))
    return found if len(found) > 1 else found[0]


def assert_close(first, second, limit=ROUNDING):
    first, second = np.asarray(first), np.asarray(second)
    size = np.maximum(np.abs(first), np.abs(second))
    assert np.all((np.abs(first - second) <= limit * size + NOTHING) | (first == second)), (first, second)


def assert_same_gradient(first, second, size=0.0):
    """Relative to the largest entry, or to the size of the terms that it is a difference of."""
    assert np.max(np.abs(first - second)) <= ROUNDING * (np.max(np.abs(first)) + size) + NOTHING


# Softmax -------------------------------------------------------------------------------------------------------------


@SETTINGS
@given(rows(), temperatures)
def test_softmax_adds_up_to_one(x, temperature):
    p = logits.softmax(x, temperature=temperature)
    assert np.all((p >= 0.0) & (p <= 1.0))
    assert abs(math.fsum(p) - 1.0) <= 2.0**-49
    logs = logits.log_softmax(x, temperature=temperature)
    assert np.all(logs <= 0.0)
    normal = p > 1e-300
    np.testing.assert_allclose(p[normal], np.exp(logs[normal]), rtol=1e-12)


@SETTINGS
@given(rows(), st.integers(-1000, 1000))
def test_a_constant_added_changes_nothing(x, shift):
    x = np.rint(x * 64) / 64  # so that the shift is exact
    np.testing.assert_allclose(logits.softmax(x + shift), logits.softmax(x), rtol=2.0**-48, atol=1e-300)
    np.testing.assert_allclose(logits.log_softmax(x + shift), logits.log_softmax(x), rtol=2.0**-48)
    assert_close(logits.cross_entropy(x + shift, 0), logits.cross_entropy(x, 0))
    assert_same_gradient(logits.entropy_grad(x + shift), logits.entropy_grad(x))


@SETTINGS
@given(rows(more="label"), seeds)
def test_the_order_of_classes_does_not_matter(found, seed):
    x, label = found
    order = np.random.default_rng(seed).permutation(len(x))
    moved, place = x[order], int(np.flatnonzero(order == label)[0])
    np.testing.assert_allclose(logits.softmax(moved), logits.softmax(x)[order], rtol=2.0**-48, atol=1e-300)
    np.testing.assert_allclose(logits.log_softmax(moved), logits.log_softmax(x)[order], rtol=2.0**-48)
    for keywords in ({}, {"label_smoothing": 0.25}, {"z_loss": 0.5}, {"temperature": 0.5}):
        assert_close(logits.cross_entropy(moved, place, **keywords), logits.cross_entropy(x, label, **keywords))
        first, second = (logits.cross_entropy_grad(*one, **keywords) for one in ((moved, place), (x, label)))
        assert_same_gradient(first, second[order])


@SETTINGS
@given(rows())
def test_temperature_divides(x):
    for function in (logits.softmax, logits.log_softmax, logits.logsumexp, logits.entropy):
        np.testing.assert_array_equal(function(x, temperature=0.5), function(x * 2))
        np.testing.assert_array_equal(function(x, temperature=4), function(x / 4))


# Losses --------------------------------------------------------------------------------------------------------------


@SETTINGS
@given(rows(more="target"))
def test_cross_entropy_is_at_least_the_entropy_of_the_target(found):
    x, target = found
    share = target / target.sum()
    entropy = -math.fsum(t * math.log(t) for t in share if t > 0)
    assert logits.cross_entropy(x, target) >= entropy * (1 - ROUNDING) - ROUNDING


@SETTINGS
@given(rows(more="label"), st.floats(0.0, 1.0))
def test_a_loss_is_never_negative_and_smoothing_is_a_soft_target(found, epsilon):
    x, label = found
    plain = logits.cross_entropy(x, label)
    assert plain >= 0.0 and not np.signbit(plain)
    target = np.full(len(x), epsilon / len(x))
    target[label] += 1 - epsilon
    smoothed = logits.cross_entropy(x, label, label_smoothing=epsilon)
    assert smoothed >= 0.0
    assert abs(smoothed - logits.cross_entropy(x, target)) <= 2.0**-40 * max(1.0, smoothed)
    assert_close(logits.cross_entropy(x, np.eye(len(x))[label]), plain)


@SETTINGS
@given(rows(more="label"), temperatures)
def test_token_logprobs_are_losses_to_the_last_bit(found, temperature):
    x, label = found
    keywords = {"temperature": temperature}
    one = logits.token_logprobs(x, label, **keywords)
    np.testing.assert_array_equal(-one, logits.cross_entropy(x, label, **keywords))
    several = logits.token_logprobs(x, [label, 0, label], **keywords)
    assert several.shape == (3,)
    assert_close(several[[0, 2]], [one, one])
    single = x.astype(np.float32)
    np.testing.assert_array_equal(-logits.token_logprobs(single, label), logits.cross_entropy(single, label))


@SETTINGS
@given(rows(more="label"))
def test_weights_scale_a_loss(found):
    x, label = found
    weight = np.linspace(0.0, 3.0, len(x))
    weighted = logits.cross_entropy(x, label, weight=weight)
    assert_close(weighted, weight[label] * logits.cross_entropy(x, label))
    mean = logits.cross_entropy(np.tile(x, (3, 1)), [label] * 3, weight=weight, reduction="mean")
    if weight[label] > 0:
        assert_close(mean, logits.cross_entropy(x, label))


# Divergences ---------------------------------------------------------------------------------------------------------


@SETTINGS
@given(rows(2), betas, temperatures)
def test_js_may_be_read_from_either_side(pair, beta, temperature):
    x, y = pair
    keywords = {"temperature": temperature}
    first = logits.js_divergence(x, y, beta=beta, **keywords)
    assert_close(first, logits.js_divergence(y, x, beta=1 - beta, **keywords))
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    assert 0.0 <= first <= bound * (1 + ROUNDING)
    even = logits.js_divergence(x, y, **keywords)
    assert_close(even, logits.js_divergence(y, x, **keywords))
    assert_close(logits.js_distance(x, y, **keywords) ** 2, even)
    assert logits.js_divergence(x, x, beta=beta) == 0.0
    of_x, of_y = logits.js_divergence_grad(x, y, beta=beta, wrt="both", **keywords)
    other_y, other_x = logits.js_divergence_grad(y, x, beta=1 - beta, wrt="both", **keywords)
    # Entries are differences of terms as large as the divergence.
    assert_same_gradient(of_x, other_x, first / temperature)
    assert_same_gradient(of_y, other_y, first / temperature)


@SETTINGS
@given(rows(2), betas)
def test_js_is_no_more_than_its_share_of_kl(pair, beta):
    x, y = pair
    skewed = logits.js_divergence(x, y, beta=beta)
    assert (
        skewed <= beta * (1 - beta) * (logits.kl_divergence(x, y) + logits.kl_divergence(y, x)) * (1 + 1e-9) + NOTHING
    )


@SETTINGS
@given(rows(2))
def test_kl_is_never_negative_and_what_is_lost_by_the_wrong_model(pair):
    x, y = pair
    divergence = logits.kl_divergence(x, y)
    assert divergence >= 0.0
    assert logits.kl_divergence(x, x) == 0.0
    p = logits.softmax(x)
    lost = logits.cross_entropy(y, p) - logits.entropy(x)
    assert abs(divergence - lost) <= 1e-12 * max(1.0, logits.cross_entropy(y, p))


@SETTINGS
@given(rows(2, more="target"), temperatures)
def test_gradients_add_up_to_zero(found, temperature):
    x, y, target = found
    keywords = {"temperature": temperature}
    entropy, kl = logits.entropy_value_and_grad(x, **keywords), logits.kl_divergence_value_and_grad(x, y, **keywords)
    js, of_both = logits.js_divergence_value_and_grad(x, y, wrt="both", beta=0.25, **keywords)
    gradients = [(0.0, logits.cross_entropy_grad(x, 0, **keywords)), entropy, kl, *((js, one) for one in of_both)]
    gradients.append((0.0, logits.kl_divergence_grad(x, y, wrt="y", **keywords)))
    for value, gradient in gradients:
        # Entries are differences of terms as large as the value.
        size = np.max(np.abs(gradient)) + value / temperature
        assert abs(math.fsum(gradient)) <= len(x) * 2.0**-46 * size + NOTHING
    # The difference of two distributions that may be as good as equal.
    smoothed = logits.cross_entropy_grad(x, len(x) - 1, label_smoothing=0.1, **keywords)
    soft = logits.cross_entropy_grad(x, target, **keywords)
    assert max(abs(math.fsum(smoothed)), abs(math.fsum(soft))) <= len(x) * 2.0**-47 / temperature


@SETTINGS
@given(rows(2))
def test_gradients_vanish_where_there_is_nothing_to_gain(pair):
    x, _ = pair
    for gradient in (*logits.kl_divergence_grad(x, x, wrt="both"), *logits.js_divergence_grad(x, x, wrt="both")):
        assert np.all(gradient == 0.0)
    assert np.max(np.abs(logits.cross_entropy_grad(x, logits.softmax(x)))) <= 2.0**-46
    assert np.all(np.abs(logits.entropy_grad(np.zeros(len(x)))) <= 2.0**-46)


# Log-probabilities ---------------------------------------------------------------------------------------------------


@SETTINGS
@given(rows(2))
def test_log_probabilities_are_logits_that_add_up_to_one(pair):
    x, y = (row / 10 for row in pair)  # so that no logarithm is rounded to more than the results tell apart
    lp, lq = logits.log_softmax(x), logits.log_softmax(y)
    assert_close(logprobs.entropy(lp, check=True), logits.entropy(lp))
    assert_close(logprobs.kl_divergence(lp, lq, check=True), logits.kl_divergence(lp, lq))
    assert_close(logprobs.js_divergence(lp, lq, beta=0.25, check=True), logits.js_divergence(lp, lq, beta=0.25))
    assert_close(logprobs.js_distance(lp, lq, check=True), logits.js_distance(lp, lq))
    whole = logprobs.cross_entropy(lp, lq, check=True)
    assert_close(whole, logprobs.entropy(lp) + logprobs.kl_divergence(lp, lq))
    assert logprobs.kl_divergence(lp, lp) == 0.0


@SETTINGS
@given(rows(2), st.integers(-8, 8))
def test_what_is_left_of_the_normalisation_is_divided_out(pair, shift):
    lp, lq = (np.rint(row * 64) / 64 for row in pair)
    for function in (logprobs.kl_divergence, logprobs.js_divergence, logprobs.cross_entropy):
        assert_close(function(lp + shift, lq - shift), function(lp, lq))
    assert_close(logprobs.entropy(lp + shift), logprobs.entropy(lp))


@SETTINGS
@given(rows(2, more="label"))
def test_a_comparison_holds_what_its_parts_say(found):
    x, y, label = found
    row = logits.compare_rows(x, y, label)
    parts = {
        "kl": logits.kl_divergence(x, y),
        "reverse_kl": logits.kl_divergence(y, x),
        "js": logits.js_divergence(x, y),
        "entropy_x": logits.entropy(x),
        "entropy_y": logits.entropy(y),
        "cross_entropy_x": logits.cross_entropy(x, label),
        "cross_entropy_y": logits.cross_entropy(y, label),
    }
    for field, value in parts.items():
        assert_close(row[field], value)
    assert (row["top_x"], row["top_y"]) == (np.argmax(x), np.argmax(y))
