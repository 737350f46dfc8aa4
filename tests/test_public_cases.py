"""What users of other libraries reported as wrong, and what is right.

Known from other libraries: divergences below zero or NaN for rows that are nearly equal, arguments swapped, sums divided by
the wrong number, NaN for 0*log 0, masks that multiply, arrays refused or misread. Every value was worked out anew, in 60
digits, for the very numbers given.
"""

import numpy as np
import pytest
from reductions import to_bfloat16_bits

import klfast
from klfast import logits

INFINITE = -np.inf  # the logit of what is impossible
HALF_LESS = np.nextafter(0.5, 0.0)
SKEWED, EVEN = [0.7, 0.3], [0.5, 0.5]
MEASURED, MODELLED = [0.1541, 0.0511, 0.0947], [0.1132, 0.5477, 0.3390]  # neither has the sum 1


def single(*numbers):
    return np.array(numbers, np.float32)


def rounded_to_bfloat16():
    """Five logits, and the same rounded to bfloat16."""
    return single(2.3, -1.7, 0.45, 3.1, -0.2), single(2.296875, -1.703125, 0.44921875, 3.09375, -0.20019531)


NEARLY_EQUAL = {
    "JS distance, NaN in float32": (
        lambda: klfast.js_distance(single(0.027501475, 0.055202297), single(0.027537677, 0.055334348)),
        1.7883362019890852e-4,
    ),
    "JS distance, NaN for the last bit of float64": (
        lambda: klfast.js_distance([HALF_LESS, 1 - HALF_LESS], [1 - HALF_LESS, HALF_LESS]),
        3.9252311467094379e-17,
    ),
    "JS distance, 2e-4 for a rounded multiple": (
        lambda: klfast.js_distance(single(1, 2, 3), single(0.1, 0.2, 0.3)),
        4.3902965999471800e-9,
    ),
    "KL of a rounded multiple": (
        lambda: klfast.kl_divergence(single(1, 2, 3), single(0.1, 0.2, 0.3)),
        7.7098816942031078e-17,
    ),
    "JS below zero when one model is rounded": (
        lambda: logits.js_divergence(*rounded_to_bfloat16()),
        4.2171738513342828e-7,
    ),
    "cross-entropy of a sure float32 row is -0": (
        lambda: logits.cross_entropy(single(16.942385, 0), 0),
        4.3854664851156855e-8,
    ),
}

NUMBERS = {
    # which argument is which
    "KL is that of the first from the second": (lambda: klfast.kl_divergence(SKEWED, EVEN), 0.08228287850505184),
    "KL the other way round": (lambda: klfast.kl_divergence(EVEN, SKEWED), 0.08717669357238887),
    "KL of logits with negative terms": (lambda: logits.kl_divergence([8, 10, 6], [1, 2, 3]), 1.0679827082359486),
    "KL of logits at temperature 2": (
        lambda: logits.kl_divergence(np.array([2, 0, 0]) / 2, np.array([0, 2, 0]) / 2),
        0.36417532714874366,
    ),
    "saturated logit, true": (lambda: logits.kl_divergence([30, 0], [0, 0]), 0.6931471805570445),
    "saturated logit, reference": (lambda: logits.kl_divergence([0, 0], [30, 0]), 14.306852819440148),
    # normalised, plain, generalised: three quantities
    "KL of what has not the sum 1": (lambda: klfast.kl_divergence(MEASURED, MODELLED), 0.5558419726671529),
    "the plain sum of the same": (
        lambda: klfast.kl_divergence(MEASURED, MODELLED, normalize=False),
        -0.19444442824635026,
    ),
    "the generalised KL of the same": (lambda: klfast.kl_div(MEASURED, MODELLED).sum(), 0.5055555717536497),
    "KL from sigmoid outputs": (lambda: klfast.kl_divergence([0.2, 0.8, 0, 0], [0.999] * 4), 0.8858919375817027),
    "the plain sum is below zero": (
        lambda: klfast.kl_divergence([0.2, 0.8, 0, 0], [0.999] * 4, normalize=False),
        -0.4994019232046043,
    ),
    "JS of what has not the sum 1": (lambda: klfast.js_divergence([1] * 5, [1, 1, 1, 1, 0.9]), 2.149682654945808e-4),
    "JS distance of the same": (lambda: klfast.js_distance([1] * 5, [1, 1, 1, 1, 0.9]), 0.014661796121027628),
    "JS of the same as it is": (
        lambda: klfast.js_divergence([1] * 5, [1, 1, 1, 1, 0.9], normalize=False),
        0.0013163976221511706,
    ),
    "rel_entr of multiples": (lambda: klfast.rel_entr(EVEN, [0.3, 0.3]).sum(), 0.5108256237659907),
    "kl_div of multiples": (lambda: klfast.kl_div(EVEN, [0.3, 0.3]).sum(), 0.1108256237659907),
    "plain KL of multiples": (
        lambda: klfast.kl_divergence(EVEN, [0.3, 0.3], normalize=False),
        0.5108256237659907,
    ),
    "KL of counts": (lambda: klfast.kl_divergence([2, 8], [1, 9]), 0.0444030075868823),
    "plain KL of counts": (lambda: klfast.kl_divergence([2, 8], [1, 9], normalize=False), 0.444030075868823),
    "entropy of ones": (lambda: klfast.entropy([1, 1, 1, 1]), 1.3862943611198906),
    "entropy relative to its maximum": (lambda: klfast.entropy(EVEN, base=2), 1.0),
    # divergence and distance
    "JS of disjoint rows": (lambda: klfast.js_divergence([1, 0], [0, 1]), 0.6931471805599453),
    "JS distance of disjoint rows": (lambda: klfast.js_distance([1, 0], [0, 1]), 0.8325546111576978),
    "JS of half disjoint rows": (lambda: klfast.js_divergence([0.5, 0.5, 0], [0.5, 0, 0.5]), 0.34657359027997265),
    "JS distance in bits": (lambda: klfast.js_distance([1, 0], [0, 1], base=2), 1.0),
    "JS in bits, a zero in q": (
        lambda: klfast.js_divergence([0.3, 0.3, 0.4], [0.5, 0.5, 0], base=2),
        0.23645279766002804,
    ),
    "JS in bits, a zero in p": (lambda: klfast.js_divergence([1, 0], EVEN, base=2), 0.31127812445913286),
    "JS of equal weights": (lambda: klfast.js_divergence(SKEWED, EVEN, weights=[1, 1]), 0.02100592570183705),
    "JS of unequal weights": (lambda: klfast.js_divergence(SKEWED, EVEN, weights=[9, 1]), 0.00777686766702767),
    "JS with the weights swapped": (lambda: klfast.js_divergence(SKEWED, EVEN, weights=[1, 9]), 0.007428074380521372),
    # zeros
    "KL with a zero in p": (lambda: klfast.kl_divergence([0, 0.1, 0.9], [0.1, 0.1, 0.8]), 0.10600473209074511),
    "KL with a zero in p, again": (lambda: klfast.kl_divergence([0, 0.3, 0.7], [0.1, 0.3, 0.6]), 0.10790547587908082),
    "entropy with a zero": (lambda: klfast.entropy([0, 0.5, 0.5]), 0.6931471805599453),
    "cross-entropy with a zero in both": (
        lambda: klfast.cross_entropy([0, 0.2, 0.7, 0.1, 0], [0, 0.2, 0.7, 0.1, 0]),
        0.8018185525433373,
    ),
    "an impossible class beside the label": (
        lambda: klfast.cross_entropy([1, 0, 0], [0.5, 0, 0.5]),
        0.6931471805599453,
    ),
    "KL of logits, one class impossible in both": (
        lambda: logits.kl_divergence([INFINITE, -0.5, -0.93], [INFINITE, -0.7, -0.69]),
        0.023660312038165663,
    ),
    "KL of logits, near, one class impossible in both": (
        lambda: logits.kl_divergence([INFINITE, np.log(0.4), np.log(0.6)], [INFINITE, -0.9, -0.52]),
        7.7946856680982253e-05,
    ),
    # masks
    "KL with a NaN that is masked": (
        lambda: klfast.kl_divergence([np.nan, 0.4, 0.6], [1, 0.5, 0.5], where=[False, True, True]),
        0.020135513550688864,
    ),
    "entropy of a masked array": (
        lambda: klfast.entropy(np.ma.masked_invalid([1, 2, np.nan, 5])),
        0.9002560512685369,
    ),
    "entropy of truths": (lambda: klfast.entropy(np.ones(3, bool)), 1.0986122886681098),
}

EXACT = {
    "KL of a row with itself": (lambda: klfast.kl_divergence(EVEN, EVEN), 0.0),
    "KL of a multiple": (lambda: klfast.kl_divergence(EVEN, [0.3, 0.3]), 0.0),
    "plain entropy of ones": (lambda: klfast.entropy([1, 1, 1, 1], normalize=False), 0.0),
    "rel_entr of nothing": (lambda: klfast.rel_entr(0.0, 1.0), 0.0),
    "cross-entropy of logits, the other class impossible": (lambda: logits.cross_entropy([INFINITE, 0.0], 1), 0.0),
    "JS with all weight on one row": (lambda: klfast.js_divergence(SKEWED, EVEN, weights=[1, 0]), 0.0),
    "KL where q is zero": (lambda: klfast.kl_divergence([0.5, 0.5, 0], [0.5, 0, 0.5]), np.inf),
    "KL where q is zero, in a table": (lambda: klfast.kl_divergence([EVEN], [[1.0, 0.0]], axis=1)[0], np.inf),
    "an infinite KL beside a masked entry": (
        lambda: klfast.kl_divergence([np.nan, 0.4, 0.6], [1, 0, 1], where=[False, True, True]),
        np.inf,
    ),
    "logsumexp of nothing possible": (lambda: logits.logsumexp(single(INFINITE, INFINITE)), -np.inf),
    "KL of a row of zeros": (lambda: klfast.kl_divergence([0, 0], [1, 1]), np.nan),
    "JS distance of a row of zeros": (lambda: klfast.js_distance([0, 0], [1, 1]), np.nan),
    "entropy of logits, nothing possible": (lambda: logits.entropy([INFINITE] * 3), np.nan),
    "cross-entropy of logits, nothing possible": (lambda: logits.cross_entropy([INFINITE] * 3, 0), np.nan),
    "everything masked": (lambda: klfast.entropy([1, 2, 3, 4], where=np.zeros(4, bool)), np.nan),
    "everything masked, plain": (lambda: klfast.entropy([1, 2], where=[False, False], normalize=False), 0.0),
    "negative p clipped": (lambda: klfast.kl_divergence([-0.4], [0.3]), np.nan),
    "negative p taken for zero": (lambda: klfast.kl_divergence([-1, 2], [1, 1], normalize=False), np.nan),
    "log-probabilities in place of probabilities": (lambda: klfast.kl_divergence(SKEWED, np.log(SKEWED)), np.nan),
    "entropy of nothing": (lambda: klfast.entropy([]), np.nan),
    "entropy of nothing in two dimensions": (lambda: klfast.entropy(np.zeros((0, 1)), axis=0)[0], np.nan),
    "plain entropy of nothing": (lambda: klfast.entropy([], normalize=False), 0.0),
    "plain entropy of nothing in two dimensions": (
        lambda: klfast.entropy(np.zeros((0, 1)), axis=0, normalize=False)[0],
        0.0,
    ),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_the_number_is_right(case):
    call, expected = NUMBERS[case]
    assert call() == pytest.approx(expected, rel=1e-14, abs=0.0)


@pytest.mark.parametrize("case", NEARLY_EQUAL)
def test_nearly_equal_rows_are_neither_equal_nor_negative(case):
    call, expected = NEARLY_EQUAL[case]
    assert call() == pytest.approx(expected, rel=2.0**-21, abs=0.0)


@pytest.mark.parametrize("case", EXACT)
def test_zero_infinity_and_nan_are_exact(case):
    call, expected = EXACT[case]
    np.testing.assert_array_equal(call(), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_disjoint_rows_are_as_far_apart_in_every_type(dtype):
    """Some processors' kernels masked one side only and found them equal."""
    for length in (2, 10, 64, 1000):
        p = np.zeros(length, dtype)
        p[::2] = 1
        assert klfast.js_divergence(p, 1 - p) == np.log(2.0)
        assert klfast.js_distance(p, 1 - p, base=2) == 1.0
        assert klfast.total_variation(p, 1 - p) == pytest.approx(1.0, rel=2.0**-21, abs=0.0)
        assert klfast.kl_divergence(p, 1 - p) == np.inf


def test_two_thousand_nearly_equal_rows_of_float32_and_none_is_negative():
    random = np.random.default_rng(10)
    x = random.normal(0.0, 3.0, (2000, 100)).astype(np.float32)
    y = x + (1e-4 * random.normal(size=x.shape)).astype(np.float32)
    log_p, log_q = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)) for z in (x.astype(float), y.astype(float)))
    difference = log_q - log_p
    expected = (np.exp(log_p) * (np.expm1(difference) - difference)).sum(axis=1)  # the same sum, but each term positive
    np.testing.assert_allclose(logits.kl_divergence(x, y), expected, rtol=2.0**-20)


def test_one_number_for_each_row_and_never_a_mean():
    x, y = np.random.default_rng(22).normal(size=(2, 2, 5, 7))
    result = logits.kl_divergence(x, y)
    assert result.shape == (2, 5)
    assert result[1, 3] == logits.kl_divergence(x[1, 3], y[1, 3])


@pytest.mark.parametrize("bad", [-0.3, np.log(0.3), np.nan])
def test_what_is_no_probability_is_named_on_demand(bad):
    with pytest.raises(ValueError, match=r"q\[1\]: \S+ is not a finite non-negative number"):
        klfast.kl_divergence(SKEWED, [0.7, bad], check=True)


def test_all_pairs_of_two_tables():
    """Axes of length 1 on either side, as the pairs of rows are written for scipy."""
    rows = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    result = klfast.kl_divergence(rows[:, np.newaxis], rows[np.newaxis])
    np.testing.assert_allclose(result, [[0.0, 0.8570437705935049], [0.8382304687856914, 0.0]], rtol=1e-14)
    columns = rows.T
    transposed = klfast.kl_divergence(columns[:, :, np.newaxis], columns[:, np.newaxis], axis=0)
    np.testing.assert_array_equal(transposed, result)


def read_only(values):
    values.flags.writeable = False
    return values


ONE_TWO_FIVE = {
    "read-only": lambda: read_only(np.array([1.0, 2.0, 5.0])),
    "big-endian": lambda: np.array([1, 2, 5], ">f8"),
    "big-endian integers": lambda: np.array([1, 2, 5], ">i4"),
    "every second": lambda: np.array([1.0, 9, 2, 9, 5, 9])[::2],
    "backwards": lambda: np.array([5.0, 2, 1])[::-1],
    "a column": lambda: np.array([[1.0, 9], [2, 9], [5, 9]])[:, 0],
    "a row of a transposed table": lambda: np.array([[1.0, 9], [2, 9], [5, 9]]).T[0],
    "a field": lambda: np.array([(1, 7), (2, 7), (5, 7)], [("count", "i8"), ("other", "i1")])["count"],
}
SHORT = {
    "float16": lambda: klfast.entropy(np.array([1, 2, 5], np.float16)),
    "bfloat16": lambda: klfast.entropy(to_bfloat16_bits(np.array([1, 2, 5])), dtype="bfloat16"),
    "float32": lambda: klfast.entropy(np.array([1, 2, 5], np.float32)),
}


@pytest.mark.parametrize("case", ONE_TWO_FIVE)
def test_arrays_that_were_refused_or_misread(case):
    assert klfast.entropy(ONE_TWO_FIVE[case]()) == pytest.approx(0.9002560512685369, rel=2.0**-49, abs=0.0)


@pytest.mark.parametrize("case", SHORT)
def test_short_types_give_a_float64(case):
    """And not one that is rounded to the few digits of the input."""
    result = SHORT[case]()
    assert type(result) is np.float64
    assert result == pytest.approx(0.9002560512685369, rel=2.0**-22, abs=0.0)


def test_a_window_of_a_table():
    window = np.arange(1.0, 101.0).reshape(10, 10)[4:8, 5:9]
    rows = [1.3860173108453777, 1.386105305662902, 1.3861571766201342, 1.386190296927006]
    columns = [1.3693397590834806, 1.3698872843550205, 1.3704086289041435, 1.370905440729704]
    np.testing.assert_allclose(klfast.entropy(window), rows, rtol=2.0**-49)
    np.testing.assert_allclose(klfast.entropy(window, axis=0), columns, rtol=2.0**-49)
    np.testing.assert_allclose(klfast.entropy(window.T), columns, rtol=2.0**-49)
