"""What users of other libraries reported as wrong in losses over logits, and what is right.

Known from other libraries: NaN for 0*log 0 and for classes that are masked in both models, means over the wrong number,
labels refused or out of range though ignored, losses below zero or rounded to the input's few digits, gradients that are
NaN where nothing is uncertain. Every value was worked out anew, in 60 digits, for the very numbers given.
"""

import math

import numpy as np
import pytest
from reductions import from_bfloat16_bits, to_bfloat16_bits

from klfast import logits, logprobs

INFINITE = -np.inf  # the logit of what is impossible
LOG2 = math.log(2.0)
SKEWED, EVEN = np.log([0.7, 0.3]), np.log([0.5, 0.5])
PADDED = np.array([INFINITE, *np.log([0.2, 0.7, 0.1]), INFINITE])
TEACHER, STUDENT = [2, 0, 0], [0, 2, 0]  # at temperature 2


def single(*numbers):
    return np.array(numbers, np.float32)


STORED = single(2.3, -1.7, 0.45, 3.1, -0.2)
ROUNDED = single(2.296875, -1.703125, 0.44921875, 3.09375, -0.2001953125)  # the same in bfloat16

NUMBERS = {
    # zeros and masks
    "KL of log-probabilities, one suppressed in both": (
        lambda: logprobs.kl_divergence([INFINITE, -0.5, -0.93], [INFINITE, -0.7, -0.69]),
        0.023660312038165663,
    ),
    "soft cross-entropy, no share of what is impossible": (
        lambda: logits.cross_entropy([INFINITE, -0.9, -0.52], [0, 0.4, 0.6]),
        0.67308961386593743,
    ),
    "its divergence": (
        lambda: logprobs.kl_divergence([INFINITE, np.log(0.4), np.log(0.6)], [INFINITE, -0.9, -0.52]),
        7.7946856680982253e-05,
    ),
    "log-probability beside a class without any": (lambda: logits.token_logprobs([-LOG2, INFINITE, -LOG2], 0), -LOG2),
    "entropy with a class without probability": (lambda: logprobs.entropy([INFINITE, -LOG2, -LOG2]), LOG2),
    "padding of probability 0": (
        lambda: logits.cross_entropy(PADDED, [0, 0.2, 0.7, 0.1, 0]),
        0.80181855254333735,
    ),
    # a class that is ignored as a label is none that is left out of the sums
    "ignored class, equal": (lambda: logits.cross_entropy([1.0, 1, 1], 1, ignore_index=0), 1.0986122886681098),
    "ignored class, lower": (lambda: logits.cross_entropy([0.0, 1, 1], 1, ignore_index=0), 0.86199480405825108),
    "forbidden class": (lambda: logits.cross_entropy([INFINITE, 1, 1], 1, ignore_index=0), 0.69314718055994531),
    # smoothing and weights
    "smoothing of two classes": (lambda: logits.cross_entropy([2.0, -1], 0, label_smoothing=0.1), 0.19858735157374207),
    "smoothing with weights": (
        lambda: logits.cross_entropy([1.0, 2, 3], 1, weight=[1, 2, 3], label_smoothing=0.1),
        2.7485452622220939,
    ),
    "its mean": (
        lambda: logits.cross_entropy([[1.0, 2, 3]], [1], weight=[1, 2, 3], label_smoothing=0.1, reduction="mean"),
        1.3742726311110470,
    ),
    "the mean of two labels": (
        lambda: logits.cross_entropy(
            [[1.0, 2, 3]] * 2, [1, 0], weight=[1, 2, 3], label_smoothing=0.1, reduction="mean"
        ),
        1.7100817188147485,
    ),
    "smoothing leaves ignored rows alone": (
        lambda: logits.cross_entropy([[0.5, 1.5, -1]] * 2, [1, -100], label_smoothing=0.2, reduction="sum"),
        0.60487236518601624,
    ),
    # mixtures
    "JS, even": (lambda: logits.js_divergence(SKEWED, EVEN), 0.021005925701837052),
    "JS, nine tenths of the first": (lambda: logits.js_divergence(SKEWED, EVEN, beta=0.9), 0.0077768676670276694),
    "JS, one tenth of the first": (lambda: logits.js_divergence(SKEWED, EVEN, beta=0.1), 0.0074280743805213407),
    "KL that is nearly their end": (lambda: logits.kl_divergence(SKEWED, EVEN), 0.082282878505051857),
    "KL that is nearly their other end": (lambda: logits.kl_divergence(EVEN, SKEWED), 0.087176693572388888),
    # temperature
    "KL at temperature 2": (
        lambda: logits.kl_divergence(TEACHER, STUDENT, temperature=2),
        0.36417532714874366,
    ),
    "KL with negative terms": (lambda: logprobs.kl_divergence([8, 10, 6], [1, 2, 3]), 1.0679827082359486),
    # sums of exponentials
    "logsumexp of truths": (lambda: logits.logsumexp(np.array([True, False, True])), 1.8619948040582511),
    "logsumexp of integers": (lambda: logits.logsumexp([1, 1, 1]), 2.0986122886681097),
}

IN_SINGLE_PRECISION = {
    "JS below zero when one model is rounded": (lambda: logits.js_divergence(STORED, ROUNDED), 4.2171738513342828e-7),
    "the same at temperature 2": (
        lambda: logits.js_divergence(STORED, ROUNDED, temperature=2),
        1.5746624315693090e-7,
    ),
    "log-probability of a sure row is -0": (
        lambda: logits.log_softmax(single(16.942385, 0))[0],
        -4.3854664851156855e-8,
    ),
    "the same by its id": (lambda: logits.token_logprobs(single(16.942385, 0), 0), -4.3854664851156855e-8),
    "a loss in bfloat16 of a quarter's steps": (
        lambda: logits.cross_entropy(to_bfloat16_bits(np.array([36, -0.125, 1.5])), 1, dtype="bfloat16"),
        36.125,
    ),
}

EXACT = {
    "the other class impossible": (lambda: logits.cross_entropy([INFINITE, 0.0], [0.0, 1.0]), 0.0),
    "its label": (lambda: logits.token_logprobs([INFINITE, 0.0], 1), 0.0),
    "its gradient": (lambda: logits.cross_entropy_grad([INFINITE, 0.0], [0.0, 1.0]), [0.0, 0.0]),
    "a row that is all masked, its sum": (lambda: logits.logsumexp([INFINITE] * 3), INFINITE),
    "a row that is all masked, its softmax": (lambda: logits.log_softmax([INFINITE] * 3), [np.nan] * 3),
    "one infinite logit": (lambda: logits.softmax([1.0, 1.0, np.inf]), [np.nan] * 3),
    "all labels ignored, mean": (lambda: logits.cross_entropy(np.ones((5, 3)), [-100] * 5, reduction="mean"), np.nan),
    "all labels ignored, sum": (lambda: logits.cross_entropy(np.ones((5, 3)), [-100] * 5, reduction="sum"), 0.0),
    "all labels ignored, rows": (lambda: logits.cross_entropy(np.ones((5, 3)), [-100] * 5), [0.0] * 5),
    "an ignored label that is out of range": (
        lambda: logits.cross_entropy(np.zeros((3, 3)), [0, 1, 255], ignore_index=255)[2],
        0.0,
    ),
    "a negative share": (lambda: logits.cross_entropy([-0.3, 0.5], [-1.0, 2.0]), np.nan),
    "entropy's gradient where nothing is uncertain": (lambda: logits.entropy_grad([0.0, INFINITE]), [0.0, 0.0]),
    "KL's gradient where nothing is uncertain": (
        lambda: logits.kl_divergence_grad([0.0, INFINITE], [0.0, 0.0], wrt="x"),
        [0.0, 0.0],
    ),
}

GRADIENTS = {
    "no share of what is impossible": (
        lambda: logits.cross_entropy_grad([INFINITE, -0.9, -0.52], [0, 0.4, 0.6]),
        [0.0, 0.0061268970658572729, -0.0061268970658572729],
    ),
    "smoothing of two classes": (
        lambda: logits.cross_entropy_grad([2.0, -1], 0, label_smoothing=0.1),
        [0.0025741268224332219, -0.0025741268224332219],
    ),
    "distillation at temperature 2": (
        lambda: logits.kl_divergence_grad(TEACHER, STUDENT, wrt="y", temperature=2),
        [-0.18208766357437183, 0.18208766357437183, 0.0],
    ),
    "a saturated logit, of itself": (
        lambda: logits.kl_divergence_grad([30, 0], [0, 0], wrt="x"),
        [2.8072868906515270e-12, -2.8072868906515270e-12],
    ),
    "a saturated logit, of the reference": (
        lambda: logits.kl_divergence_grad([30, 0], [0, 0], wrt="y"),
        [-0.49999999999990642, 0.49999999999990642],
    ),
    "a saturated logit, of the entropy": (
        lambda: logits.entropy_grad([30.0, 0.0]),
        [-2.8072868906515270e-12, 2.8072868906515270e-12],
    ),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_the_number_is_right(case):
    call, expected = NUMBERS[case]
    assert call() == pytest.approx(expected, rel=1e-14, abs=0.0)


@pytest.mark.parametrize("case", IN_SINGLE_PRECISION)
def test_the_number_is_right_in_single_precision(case):
    call, expected = IN_SINGLE_PRECISION[case]
    assert call() == pytest.approx(expected, rel=2.0**-21, abs=0.0)


@pytest.mark.parametrize("case", EXACT)
def test_zero_infinity_and_nan_are_exact(case):
    call, expected = EXACT[case]
    np.testing.assert_array_equal(call(), expected)


@pytest.mark.parametrize("case", GRADIENTS)
def test_the_gradient_is_right(case):
    call, expected = GRADIENTS[case]
    np.testing.assert_allclose(call(), expected, rtol=1e-12, atol=1e-17)


def test_a_mixture_with_all_weight_on_one_side_is_refused():
    """And not silently 0: its limits, divided by the weight that vanishes, are the two divergences."""
    for beta in (0, 1):
        with pytest.raises(ValueError, match="^beta: "):
            logits.js_divergence(SKEWED, EVEN, beta=beta)
    small = 2.0**-40
    forward = logits.js_divergence(EVEN, SKEWED, beta=small) / small
    assert forward == pytest.approx(logits.kl_divergence(EVEN, SKEWED), rel=1e-10)


def test_the_mean_is_over_rows_and_not_over_entries():
    """Also where rows have more than one axis."""
    x = np.random.default_rng(22).normal(size=(2, 5, 7))
    ids = np.arange(10).reshape(2, 5) % 7
    rows = logits.cross_entropy(x, ids)
    assert rows.shape == (2, 5)
    assert logits.cross_entropy(x, ids, reduction="mean") == pytest.approx(math.fsum(rows.ravel()) / 10, rel=1e-14)
    soft = logits.cross_entropy(x, logits.softmax(x), reduction="mean")
    assert soft == pytest.approx(math.fsum(logits.entropy(x).ravel()) / 10, rel=1e-13)


def test_a_masked_row_leaks_nothing_and_an_infinite_loss_stays():
    x = np.array([[np.nan, 0.0, 0.0], [0.1, 0.0, 0.0]])
    assert logits.cross_entropy(x, [-100, 0], reduction="mean") == pytest.approx(1.0330687599495758, rel=1e-14)
    x[1, 0] = INFINITE
    assert logits.cross_entropy(x, [-100, 0], reduction="mean") == np.inf
    assert logits.cross_entropy(x, [-100, 1], reduction="mean") == pytest.approx(LOG2, rel=1e-14)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_labels_of_every_width(dtype):
    x = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    result = logits.cross_entropy(x, np.array([0, 2], dtype))
    np.testing.assert_allclose(result, [0.40760596444438002] * 2, rtol=1e-14)


def test_probabilities_in_place_of_log_probabilities_are_named_on_demand():
    with pytest.raises(ValueError, match="^lq"):
        logprobs.kl_divergence(EVEN, [0.5, 0.5], check=True)
    with pytest.raises(ValueError, match="^lp"):
        logprobs.entropy([0.7, 0.3], check=True)
    assert logprobs.kl_divergence(EVEN, SKEWED, check=True) == pytest.approx(0.087176693572388888, rel=1e-14)


def test_a_negative_share_is_named_on_demand():
    with pytest.raises(ValueError, match=r"^target\[0\]: -1.0 "):
        logits.cross_entropy([-0.3, 0.5], [-1.0, 2.0], check=True)


def test_many_ids_of_each_row_in_one_call():
    x = np.random.default_rng(83).normal(0.0, 3.0, (16, 50, 300))
    ids = np.random.default_rng(84).integers(0, 300, (16, 50, 4))
    result = logits.token_logprobs(x, ids)
    assert result.shape == (16, 50, 4)
    expected = np.take_along_axis(x, ids, -1) - logits.logsumexp(x, keepdims=True)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [2049, 4097, 6000, 10_001, 32_003])
def test_a_vocabulary_that_is_no_multiple_of_a_block(length):
    """Each class is seen once, wherever blocks end."""
    x = np.zeros((2, length), np.float32)
    y = np.zeros((2, length), np.float32)
    x[0, -1], x[1, 0] = 1.0, 1.0
    heavy = math.e / (length - 1 + math.e)
    expected = math.log(length) - math.log(length - 1 + math.e) + heavy
    np.testing.assert_allclose(logits.kl_divergence(x, y), [expected] * 2, rtol=2.0**-20)
    np.testing.assert_allclose(logits.cross_entropy(x, [length - 1, 0]), [-math.log(heavy)] * 2, rtol=2.0**-22)
    np.testing.assert_allclose(logits.cross_entropy(x, [0, length - 1]), [1 - math.log(heavy)] * 2, rtol=2.0**-22)
    np.testing.assert_allclose(logits.softmax(x)[[0, 1], [-1, 0]], [heavy] * 2, rtol=2.0**-20)
    gradient = logits.cross_entropy_grad(x, [length - 1, 0])
    assert np.all(np.abs(gradient.astype(float).sum(axis=1)) < 1e-4)
    np.testing.assert_allclose(gradient[[0, 1], [-1, 0]], [heavy - 1] * 2, rtol=2.0**-20)


def test_half_precision_logits_are_read_without_a_copy_of_their_own_type():
    """-20000, which stands for minus infinity in float16, and 60000, of which the exponential is out of reach."""
    x = np.full((4, 50_257), -20000.0, np.float16)
    x[:, 17], x[3, 17] = 60000.0, -20000.0
    result = logits.cross_entropy(x, [17, 0, 17, 17])
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [0.0, 80000.0, 0.0, math.log(50_257)], rtol=2.0**-22)
    assert not np.signbit(result).any()


def test_wide_and_narrow_logits_of_the_same_model_are_nearly_the_same():
    """Rounding one side to bfloat16 must not turn the divergence negative, at any temperature."""
    x = np.random.default_rng(11).normal(0.0, 3.0, (500, 97)).astype(np.float32)
    y = from_bfloat16_bits(to_bfloat16_bits(x))
    for temperature in (0.5, 1.0, 4.0):
        for function in (logits.kl_divergence, logits.js_divergence):
            assert np.all(function(x, y, temperature=temperature) > 0.0)
    assert logits.kl_divergence(y, y).tolist() == [0.0] * 500
