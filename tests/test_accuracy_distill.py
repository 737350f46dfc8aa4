"""Divergences from a teacher's list, and their gradients, are as accurate as promised, at every CPU level.

The promise for a value is the one for the divergence of logits, on what is compared; and what is compared is exact but for
the tails, which are rounded. What a rounding may change is its size times the derivative by what is rounded.
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_distill
import pytest
from cpu_levels import LEVELS, call
from flint import arb, ctx
from logit_rows import COMPUTED_IN, FLOATS, HALVES, REAL, SMALLEST, as_numbers, half_ulp, logit_rows, numbers, told
from reductions import assert_same_bits

from klfast._reference.logits import log_softmax

VALUE = {"float32": 2.0**-21, "float64": 2.0**-49}
GRADIENT = {"float32": 2.0**-20, "float64": 2.0**-47}
# What is rounded before it is compared: each logit and log-probability by so much of the largest of the row,
SCORES = 2.0**-50
# the student's tail by so much of itself,
STUDENTS_TAIL = {"float32": 2.0**-22, "float64": 2.0**-50}
# and the teacher's by so much of the mass beside its likeliest class.
TEACHERS_TAIL = 2.0**-50

ROWS = (
    "closer 4.5",
    "closer 0.01",
    "closer 1e-05",
    "normal",
    "certain of 4.4e-8",
    "confident and near",
    "shifted by 1000",
)
WAYS = (
    ("bucket", "forward"),
    ("bucket", "reverse"),
    ("renormalize", "forward"),
    ("renormalize", "reverse"),
    ("none", "forward"),
    ("uniform", "forward"),
)


@functools.cache
def case(name, length, count, dtype, temperature):
    """A teacher's list in random order, as doubles; the student's row as klfast takes it; the same as doubles."""
    teacher, student = numbers(name, length, dtype)
    log_p = log_softmax(teacher, temperature=temperature)
    ids = np.random.default_rng([length, count]).permutation(np.argsort(-log_p, kind="stable")[:count])
    return log_p[ids], ids, logit_rows(name, length, dtype)[1], student


@functools.cache
def exact(function, name, length, count, dtype, temperature, tail, direction):
    logprobs, ids, _, student = case(name, length, count, dtype, temperature)
    return getattr(oracles_distill, function)(logprobs, ids, student, tail, direction, temperature)


def allowed_of_value(logprobs, ids, student, tail, direction, temperature, value, dtype):
    """How far a result may be from the exact value."""
    real = COMPUTED_IN[dtype]
    with ctx.workprec(128):
        found = oracles_distill.outcomes(logprobs, ids, student, tail, temperature)
        if tail == "none":
            terms = oracles_distill.divergence(found.given, found.all_listed)[1]
            return float(VALUE[real] * terms)
        allowed = VALUE[real] * abs(arb(float(value)))
        pairs = list(zip(found.teacher, found.student, strict=True))
        if direction == "reverse":
            by_teacher = [abs(p - q) for p, q in pairs]
            by_student = [q * (abs(_log_ratio(q, p)) + value) for p, q in pairs]
        else:
            by_teacher = [p * (abs(_log_ratio(p, q)) + value) for p, q in pairs]
            by_student = [abs(p - q) for p, q in pairs]
        rounding = SCORES * size_of_scores(logprobs, student, temperature)
        allowed += rounding * sum([*by_teacher, *by_student]) + rounding**2
        if tail != "renormalize" and found.tail > 0:
            beside = TEACHERS_TAIL * (1 - max(found.given))
            allowed += STUDENTS_TAIL[real] * by_student[-1] + STUDENTS_TAIL[real] ** 2 * found.student_tail
            allowed += beside / found.tail * by_teacher[-1]
            if tail == "uniform":
                allowed += beside * oracles_distill.within_tail(found)[0]
        return float(allowed) + 2.0**-1022


def size_of_scores(logprobs, student, temperature):
    """The largest of a row's log-probabilities and logits, as these are compared."""
    largest = max(float(np.max(np.abs(student))), float(np.max(student) - np.min(student)))
    return max(largest / temperature, float(np.max(np.abs(logprobs))), np.log(len(student)))


def _log_ratio(one, other):
    return (one / other).log() if one > 0 else arb(0)


def size_of_terms(logprobs, ids, student, tail, direction, temperature):
    """The largest of the terms whose differences the entries of a gradient are."""
    with ctx.workprec(128):
        found = oracles_distill.outcomes(logprobs, ids, student, tail, temperature)
        if tail == "none":
            return float(max(found.given + found.all_listed) / temperature)
        if direction == "reverse":
            value = oracles_distill.divergence(found.student, found.teacher)[0]
            pairs = zip(found.teacher, found.student, strict=True)
            return float(max(q * (abs(_log_ratio(q, p)) + value) for p, q in pairs) / temperature)
        return float(max(found.teacher + found.student) / temperature)


def what_rounding_may_change(logprobs, ids, student, tail, direction, temperature, real):
    """What the roundings of scores and tails may change of an entry of the gradient."""
    rounding = SCORES * size_of_scores(logprobs, student, temperature) * np.max(np.exp(logprobs))
    if (tail, direction) == ("bucket", "reverse"):  # by the logarithm of the tails' ratio, times the student's
        with ctx.workprec(128):
            found = oracles_distill.outcomes(logprobs, ids, student, tail, temperature)
            if found.tail > 0:
                of_teacher = TEACHERS_TAIL * (1 - max(found.given)) / found.tail
                rounding += float((STUDENTS_TAIL[real] + of_teacher) * found.student_tail)
    return rounding / temperature


def cases_of(dtype, temperature, tail, direction):
    """Rows, lengths, and numbers of listed classes. A list that adds up to 1 but for rounding has no certain tail."""
    lengths = ((2, 1), (10, 3), (10, 10), (129, 1), (129, 64), (1000, 20)) if dtype in REAL else ((129, 16),)
    if temperature != 1.0:
        lengths = lengths[-2:]
    if tail == "renormalize":  # where one class alone is always right, with a warning
        lengths = [(length, count) for length, count in lengths if count > 1]
    cases = [(name, length, count) for name in ROWS for length, count in lengths]
    if (tail, direction) == ("bucket", "reverse"):
        cases = [one for one in cases if one[1] == one[2] or _tail_is_certain(*one, dtype, temperature)]
        assert len(cases) >= 5
    return cases


def _tail_is_certain(name, length, count, dtype, temperature):
    return oracles_distill.tail_of(case(name, length, count, dtype, temperature)[0]) > 2.0**-40


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", (1.0, 0.7, 2.0))
@pytest.mark.parametrize("tail, direction", WAYS)
def test_values(tail, direction, temperature, dtype, level):
    wrong = {}
    keywords = {"tail": tail, "direction": direction, "temperature": temperature} | told(dtype)
    for name, length, count in cases_of(dtype, temperature, tail, direction):
        logprobs, ids, row, student = case(name, length, count, dtype, temperature)
        value = exact("topk_kl", name, length, count, dtype, temperature, tail, direction)
        result = call(level, "distill.topk_kl", logprobs, ids, row, **keywords)
        allowed = allowed_of_value(logprobs, ids, student, tail, direction, temperature, value, dtype)
        error = abs(float(mpmath.mpf(float(result)) - value))
        if not error <= allowed or (tail != "none" and result < 0.0):
            wrong[name, length, count] = f"{result} for {float(value)}: {error / allowed:.3g} times what is allowed"
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", (1.0, 0.7))
@pytest.mark.parametrize("tail, direction", WAYS)
def test_gradients(tail, direction, temperature, dtype, level):
    wrong = {}
    real = COMPUTED_IN[dtype]
    keywords = {"tail": tail, "direction": direction, "temperature": temperature} | told(dtype)
    for name, length, count in cases_of(dtype, temperature, tail, direction):
        logprobs, ids, row, student = case(name, length, count, dtype, temperature)
        rounded, rest = exact("topk_kl_grad", name, length, count, dtype, temperature, tail, direction)
        result = call(level, "distill.topk_kl_grad", logprobs, ids, row, **keywords)
        assert result.dtype == row.dtype and result.shape == row.shape
        size = max(np.max(np.abs(rounded)), size_of_terms(logprobs, ids, student, tail, direction, temperature))
        rounding = what_rounding_may_change(logprobs, ids, student, tail, direction, temperature, real)
        allowed = GRADIENT[real] * size + rounding + SMALLEST[real]
        if dtype in HALVES:
            allowed = allowed + half_ulp(rounded, dtype) * (1.0 + 2.0**-20)
        units = np.max(np.abs((as_numbers(result, dtype) - rounded) - rest) / allowed)
        if not units <= 1.0:
            wrong[name, length, count] = f"{units:.3g} times what is allowed"
    assert not wrong


# Tails that are next to nothing --------------------------------------------------------------------------------------


def certain_row(nats, length, dtype):
    """Scores whose first class lacks about that much of certainty."""
    row = np.zeros(length)
    row[0] = np.log(length - 1.0) - np.log(nats)
    return row.astype(dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("direction", ("forward", "reverse"))
@pytest.mark.parametrize("of_teacher, of_student", [(1e-12, 1e-12), (1e-12, 1e-3), (1e-3, 1e-12), (1e-12, 1.5e-12)])
def test_tails_of_next_to_nothing_on_either_side(of_teacher, of_student, direction, dtype, level):
    """One class has all but some 1e-12: the divergence is as small, and has its digits all the same."""
    length = 300
    student = certain_row(of_student, length, dtype)
    for logprobs, ids in (
        (np.array([-of_teacher]), np.array([0])),
        (np.array([np.log(of_teacher / 4), -of_teacher]), np.array([7, 0])),
    ):
        numbers_of = student.astype(np.float64)
        value = oracles_distill.topk_kl(logprobs, ids, numbers_of, direction=direction)
        result = call(level, "distill.topk_kl", logprobs, ids, student, direction=direction)
        allowed = allowed_of_value(logprobs, ids, numbers_of, "bucket", direction, 1.0, value, dtype)
        assert abs(float(mpmath.mpf(float(result)) - value)) <= allowed
        # and what is allowed is little, even so
        assert allowed <= (1e-4 if dtype == "float32" else 1e-12) * float(value) + 2.0**-40 * of_teacher
        rounded, rest = oracles_distill.topk_kl_grad(logprobs, ids, numbers_of, direction=direction)
        gradient = call(level, "distill.topk_kl_grad", logprobs, ids, student, direction=direction)
        # What differs from 1 on both sides is taken from what is missing, so that entries are of the size of the tails.
        size = max(of_teacher, of_student) * (40.0 if direction == "reverse" else 1.0)
        assert np.max(np.abs((gradient - rounded) - rest)) <= GRADIENT[dtype] * size


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_whole_list_has_the_divergence_of_logits(dtype, level):
    """K = V: the same as klfast.logits, on log-probabilities for the teacher's logits, in the order of the classes."""
    for name in ROWS:
        logprobs, ids, row, student = case(name, 129, 129, dtype, 1.0)
        expected = call(level, "logits.kl_divergence", logprobs[np.argsort(ids)], student)
        for tail in ("bucket", "renormalize", "uniform"):
            assert_same_bits(call(level, "distill.topk_kl", logprobs, ids, row, tail=tail, **told(dtype)), expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("direction", ("forward", "reverse", "jsd"))
def test_whole_rows_have_the_bits_of_the_divergences_of_logits(direction, dtype, level):
    """Their accuracy is held elsewhere."""
    teacher, student = (np.stack(side) for side in zip(*(logit_rows(name, 129, dtype) for name in ROWS), strict=True))
    keywords = {"temperature": 0.7} | ({"beta": 0.3} if direction == "jsd" else {})
    pair, wrt = ((student, teacher), "x") if direction == "reverse" else ((teacher, student), "y")
    function = "logits.js_divergence" if direction == "jsd" else "logits.kl_divergence"
    result = call(level, "distill.kl", teacher, student, direction=direction, **keywords)
    assert_same_bits(result, call(level, function, *pair, **keywords))
    gradient = call(level, "distill.kl_grad", teacher, student, direction=direction, **keywords)
    assert gradient.tobytes() == call(level, f"{function}_grad", *pair, wrt=wrt, **keywords).tobytes()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("tail, direction", WAYS)
def test_value_and_gradient_together_have_the_bits_they_have_apart(tail, direction, dtype, level):
    keywords = {"tail": tail, "direction": direction, "temperature": 0.7} | told(dtype)
    for name in ROWS:
        arguments = case(name, 129, 64, dtype, 0.7)[:3]
        value, gradient = call(level, "distill.topk_kl_value_and_grad", *arguments, **keywords)
        assert_same_bits(value, call(level, "distill.topk_kl", *arguments, **keywords))
        assert gradient.tobytes() == call(level, "distill.topk_kl_grad", *arguments, **keywords).tobytes()


def test_the_oracle_knows_two_outcomes():
    """K = 1 is the divergence of two coins, worked out by hand; its gradient, a difference of probabilities."""
    logprobs, x = np.array([np.log(0.75)]), np.log([0.5, 0.25, 0.25])
    value = oracles_distill.topk_kl(logprobs, np.array([0]), x)
    assert oracles.relative_error(0.75 * np.log(1.5) + 0.25 * np.log(0.5), value) <= 1e-15
    rounded, _ = oracles_distill.topk_kl_grad(logprobs, np.array([0]), x)
    np.testing.assert_allclose(rounded, [-0.25, 0.125, 0.125], rtol=1e-15)
