"""Exact divergences of a student's logits from a teacher's list, and their gradients, for one row, on the bits of the input.

Textbook formulas in mpmath arithmetic, as in `oracles`, which has the machinery. The teacher's tail is a difference, 1 less
what is listed; what is lost in it is made up for by more digits.
"""

from fractions import Fraction
from typing import NamedTuple

import mpmath
import oracles
import oracles_gradients
from oracles import ROUNDINGS


class Outcomes(NamedTuple):
    """Probabilities as mpmath numbers: of the listed classes and, last, of all others, if these are one outcome."""

    teacher: list
    student: list
    tail: mpmath.mpf  # of the teacher; 0 if nothing is missing
    student_tail: mpmath.mpf
    shares: list  # for every class that is not listed, what the student gives it of its tail; None for those that are
    all_listed: list  # what the student gives each listed class, of all classes
    given: list  # the teacher's listed probabilities as they are
    lost: mpmath.mpf  # by how much what is rounded when the tail is taken counts for more


def outcomes(logprobs, ids, x, tail, temperature=1.0):
    """What is compared, at the precision at work."""
    scores = [mpmath.mpf(value) for value in x.tolist()]
    largest = max(scores)
    weights = [mpmath.exp((score - largest) / temperature) for score in scores]
    listed = [weights[place] for place in ids.tolist()]
    others = set(range(len(x))) - set(ids.tolist())
    rest = mpmath.fsum(weights[place] for place in others)
    total = rest + mpmath.fsum(listed)
    given = [mpmath.exp(mpmath.mpf(value)) for value in logprobs.tolist()]
    missing = 1 - mpmath.fsum(given) if others else mpmath.mpf(0)
    missing = max(missing, mpmath.mpf(0))
    teacher, student = list(given), list(listed)
    if tail != "renormalize":
        teacher, student = [*teacher, missing], [*student, rest]
    sums = mpmath.fsum(teacher), mpmath.fsum(student)
    return Outcomes(
        [value / sums[0] for value in teacher],
        [value / sums[1] for value in student],
        missing / sums[0],
        rest / total,
        [weight / rest if place in others and rest else None for place, weight in enumerate(weights)],
        [value / total for value in listed],
        given,
        1 + (1 / missing if missing and tail != "renormalize" else 0),
    )


def divergence(p, q):
    """sum p*log(p/q), and the sum of what its terms are made of."""
    pairs = [(one, other, mpmath.log(one), mpmath.log(other)) for one, other in zip(p, q, strict=True) if one > 0]
    value = mpmath.fsum(one * (log_p - log_q) for one, _, log_p, log_q in pairs)
    return value, mpmath.fsum(one * (abs(log_p) + abs(log_q)) for one, _, log_p, log_q in pairs)


def within_tail(found):
    """The divergence of even shares from those that the student gives the classes that are not listed."""
    shares = [share for share in found.shares if share is not None]
    return divergence([mpmath.mpf(1) / len(shares)] * len(shares), shares)


def topk_kl(logprobs, ids, x, tail="bucket", direction="forward", temperature=1.0):
    """The divergence, as an mpmath number. The row may hold any finite scores."""
    if tail == "bucket" and direction == "reverse" and len(ids) < len(x) and tail_of(logprobs) <= 0:
        return oracles.INFINITY

    def evaluate(precision):
        found = outcomes(logprobs, ids, x, tail, temperature)
        if tail == "none":
            value, size = divergence(found.given, found.all_listed)
        elif direction == "reverse":
            value, size = divergence(found.student, found.teacher)
        else:
            value, size = divergence(found.teacher, found.student)
        if tail == "uniform" and found.tail > 0:
            within, more = within_tail(found)
            value, size = value + found.tail * within, size + more
        return value, ROUNDINGS * (1 + size) * found.lost

    return oracles._certain(evaluate, lambda: _is_zero(logprobs, ids, x, tail, temperature))


def topk_kl_grad(logprobs, ids, x, tail="bucket", direction="forward", temperature=1.0):
    """Its derivatives by x: the exact entries rounded to doubles, and what the rounding left."""

    def evaluate(precision):
        found = outcomes(logprobs, ids, x, tail, temperature)
        if tail == "none":
            mass = mpmath.fsum(found.given)
            slopes = [mass * q - p for p, q in zip(found.given, found.all_listed, strict=True)]
            others = mass * found.student_tail
        elif direction == "reverse":
            value, _ = divergence(found.student, found.teacher)
            slopes = [
                q * (mpmath.log(q / p) - value) if q > 0 else mpmath.mpf(0)
                for p, q in zip(found.teacher, found.student, strict=True)
            ]
            others = slopes[-1]
        else:
            slopes = [q - p for p, q in zip(found.teacher, found.student, strict=True)]
            others = found.student_tail if tail == "uniform" else slopes[-1]
        is_other = [share is not None for share in found.shares]
        even = found.tail / max(1, sum(is_other)) if tail == "uniform" else 0
        if tail == "renormalize":
            others = mpmath.mpf(0)
        entries = [others * share - even if share is not None else mpmath.mpf(0) for share in found.shares]
        for place, slope in zip(ids.tolist(), slopes):
            entries[place] = slope
        entries = [(entry / temperature)._mpf_ for entry in entries]
        return entries, ROUNDINGS * 2**10 * found.lost

    def is_zero():
        return _is_zero(logprobs, ids, x, tail, temperature)

    return oracles_gradients._certain(evaluate, is_zero, temperature)


def tail_of(logprobs):
    """1 - sum exp(logprobs), which is far from as exact as it is small: next to 0 it may be of either sign."""
    with mpmath.workprec(256):
        return 1 - mpmath.fsum(mpmath.exp(mpmath.mpf(value)) for value in logprobs.tolist())


def top_of(x, ids, temperature=1.0):
    """The log-probabilities of these classes, and the probability of all others together: mpmath numbers."""
    with mpmath.workprec(256):
        scores = [mpmath.mpf(value) for value in x.tolist()]
        largest = max(scores)
        weights = [mpmath.exp((score - largest) / temperature) for score in scores]
        total = mpmath.fsum(weights)
        others = set(range(len(x))) - set(ids.tolist())
        tail = mpmath.fsum(weights[place] for place in others) / total
        beside = mpmath.fsum(weight for place, weight in enumerate(weights) if place != x.argmax())
        log_total = mpmath.log1p(beside)  # also where one class has nearly all
        return [(scores[place] - largest) / temperature - log_total for place in ids.tolist()], tail


def _is_zero(logprobs, ids, x, tail, temperature):
    """Whether what is listed is all, and the same on both sides but for a factor."""
    if tail != "renormalize" and len(ids) < len(x):
        return False
    scores = [Fraction(x[place]) for place in ids.tolist()]
    return len({Fraction(one) * Fraction(temperature) - other for one, other in zip(logprobs.tolist(), scores)}) == 1
