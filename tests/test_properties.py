"""What mathematics says of these quantities, held against whatever hypothesis comes up with."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import klfast
from klfast import logits

SETTINGS = settings(max_examples=150, deadline=None)
ROUNDING = 2.0**-45

sizes = st.integers(1, 40) | st.integers(1, 700)
weights = st.floats(2.0**-60, 2.0**60) | st.just(0.0)
scores = st.floats(-200.0, 200.0)
seeds = st.integers(0, 2**32 - 1)  # of a random order: to draw that takes longer than all else


@st.composite
def rows(draw, elements, count, dtype=np.float64):
    size = draw(sizes)
    found = tuple(draw(arrays.arrays(dtype, size, elements=elements)) for _ in range(count))
    return found[0] if count == 1 else found


def with_weight(*found):
    for row in found:
        row[0] += 1.0
    return found


@SETTINGS
@given(rows(weights, 2))
def test_kl_is_never_negative_and_infinite_only_without_support(pair):
    p, q = with_weight(*pair)
    result = klfast.kl_divergence(p, q)
    assert result >= 0.0
    assert np.isinf(result) == bool(np.any((p > 0) & (q == 0)))


@SETTINGS
@given(rows(weights, 1), st.integers(-30, 30))
def test_kl_of_a_multiple_is_zero(p, exponent):
    (p,) = with_weight(p)
    assert klfast.kl_divergence(p, p * 2.0**exponent) == 0.0


@SETTINGS
@given(rows(weights, 2))
def test_cross_entropy_is_entropy_and_kl(pair):
    p, q = with_weight(*pair)
    whole = klfast.cross_entropy(p, q)
    parts = klfast.entropy(p) + klfast.kl_divergence(p, q)
    assert whole == parts or abs(whole - parts) <= ROUNDING * whole


@SETTINGS
@given(rows(weights, 2), seeds)
def test_the_order_of_events_does_not_matter(pair, seed):
    p, q = with_weight(*pair)
    order = np.random.default_rng(seed).permutation(len(p))
    for function, arguments in ((klfast.kl_divergence, (p, q)), (klfast.entropy, (p,)), (klfast.cross_entropy, (p, q))):
        first, second = function(*arguments), function(*(row[order] for row in arguments))
        assert first == second or abs(first - second) <= ROUNDING * first


@SETTINGS
@given(rows(weights, 2), st.integers(1, 299))
def test_merging_events_never_makes_kl_larger(pair, cut):
    p, q = with_weight(*pair)
    cut = min(cut, len(p) - 1)
    merged = [np.append(row[:cut], row[cut:].sum()) for row in (p, q)]
    assert klfast.kl_divergence(*merged) <= klfast.kl_divergence(p, q) * (1 + ROUNDING) + 2.0**-100


@SETTINGS
@given(rows(weights, 2))
def test_pinsker(pair):
    p, q = with_weight(*pair)
    exact_p, exact_q = ([Fraction(float(one)) for one in row] for row in (p, q))
    p_sum, q_sum = sum(exact_p), sum(exact_q)
    distance = float(sum(abs(a / p_sum - b / q_sum) for a, b in zip(exact_p, exact_q, strict=True)))
    assert klfast.kl_divergence(p, q) >= distance**2 / 2 * (1 - 1e-9)


@SETTINGS
@given(rows(weights, 1))
def test_entropy_is_at_most_that_of_equal_chances(p):
    (p,) = with_weight(p)
    assert 0.0 <= klfast.entropy(p) <= np.log(len(p)) * (1 + ROUNDING)


@SETTINGS
@given(rows(scores, 2), st.integers(-100, 100))
def test_a_constant_added_to_logits_changes_nothing(pair, shift):
    x, y = (np.rint(row * 64) / 64 for row in pair)  # so that the shift is exact
    first, second = logits.kl_divergence(x, y), logits.kl_divergence(x + shift, y)
    assert abs(first - second) <= ROUNDING * first + 2.0**-90
    assert abs(logits.entropy(x) - logits.entropy(x + shift)) <= ROUNDING * logits.entropy(x)


@SETTINGS
@given(rows(scores, 2))
def test_js_is_symmetric_and_at_most_log_two(pair):
    x, y = pair
    first, second = logits.js_divergence(x, y), logits.js_divergence(y, x)
    assert 0.0 <= first <= np.log(2.0) * (1 + ROUNDING)
    assert abs(first - second) <= ROUNDING * first
    assert logits.js_divergence(x, x) == 0.0


@SETTINGS
@given(rows(scores, 1), st.integers(0, 299))
def test_cross_entropy_of_a_label_is_logsumexp_minus_its_logit(x, label):
    label = min(label, len(x) - 1)
    expected = logits.logsumexp(x) - x[label]
    size = max(abs(expected), abs(x).max(), 1.0)
    assert abs(logits.cross_entropy(x, label) - expected) <= ROUNDING * size


@SETTINGS
@given(rows(scores, 1))
def test_logits_and_probabilities_agree(x):
    x = x / 10  # all probabilities of a size that float64 tells apart
    p = np.exp(x - logits.logsumexp(x))
    assert abs(klfast.entropy(p) - logits.entropy(x)) <= 1e-12 * max(1.0, logits.entropy(x))
