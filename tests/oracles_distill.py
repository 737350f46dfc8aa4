"""Exact divergences of a student's logits from a teacher's list, and their gradients, for one row, on the bits of the input.

Textbook formulas in ball arithmetic, as in `oracles`, which has the machinery. The teacher's tail is a difference, 1 less
what is listed; what is lost in it is made up for by more digits.
"""

from fractions import Fraction
from typing import NamedTuple

import oracles
import oracles_gradients
import oracles_logits
from flint import arb, ctx


class Outcomes(NamedTuple):
    """Probabilities: of the listed classes and, last, of all others, if these are one outcome."""

    teacher: list
    student: list
    tail: arb  # of the teacher; 0 if nothing is missing
    student_tail: arb
    shares: list  # for every class that is not listed, what the student gives it of its tail; None for those that are
    all_listed: list  # what the student gives each listed class, of all classes
    given: list  # the teacher's listed probabilities as they are


def outcomes(logprobs, ids, x, tail, temperature=1.0):
    """What is compared, at the precision at work."""
    weights = oracles_logits.row(x, temperature).weights
    listed = [weights[place] for place in ids.tolist()]
    others = set(range(len(x))) - set(ids.tolist())
    rest = sum((weights[place] for place in others), arb(0))
    total = rest + sum(listed)
    given = [value.exp() for value in oracles.numbers(logprobs)]
    missing = 1 - sum(given) if others else arb(0)
    missing = arb(0) if missing < 0 else missing
    teacher, student = list(given), list(listed)
    if tail != "renormalize":
        teacher, student = [*teacher, missing], [*student, rest]
    sums = sum(teacher), sum(student)
    return Outcomes(
        [value / sums[0] for value in teacher],
        [value / sums[1] for value in student],
        missing / sums[0],
        rest / total,
        [weight / rest if place in others and rest > 0 else None for place, weight in enumerate(weights)],
        [value / total for value in listed],
        given,
    )


def divergence(p, q):
    """sum p*log(p/q), and the sum of what its terms are made of."""
    pairs = [(one, one.log(), other.log()) for one, other in zip(p, q, strict=True) if one > 0]
    value = sum((one * (log_p - log_q) for one, log_p, log_q in pairs), arb(0))
    return value, sum((one * (abs(log_p) + abs(log_q)) for one, log_p, log_q in pairs), arb(0))


def within_tail(found):
    """The divergence of even shares from those that the student gives the classes that are not listed."""
    shares = [share for share in found.shares if share is not None]
    return divergence([arb(1) / len(shares)] * len(shares), shares)


def topk_kl(logprobs, ids, x, tail="bucket", direction="forward", temperature=1.0):
    """The divergence. The row may hold any finite scores."""
    if tail == "bucket" and direction == "reverse" and len(ids) < len(x) and tail_of(logprobs) <= 0:
        return oracles.INFINITY

    def evaluate():
        found = outcomes(logprobs, ids, x, tail, temperature)
        if tail == "none":
            value, _ = divergence(found.given, found.all_listed)
        elif direction == "reverse":
            value, _ = divergence(found.student, found.teacher)
        else:
            value, _ = divergence(found.teacher, found.student)
        if tail == "uniform" and found.tail > 0:
            value += found.tail * within_tail(found)[0]
        return value

    return oracles.certain(evaluate, lambda: _is_zero(logprobs, ids, x, tail, temperature))


def topk_kl_grad(logprobs, ids, x, tail="bucket", direction="forward", temperature=1.0):
    """Its derivatives by x: the exact entries cut off to doubles, and what that left."""

    def evaluate():
        found = outcomes(logprobs, ids, x, tail, temperature)
        if tail == "none":
            mass = sum(found.given)
            slopes = [mass * q - p for p, q in zip(found.given, found.all_listed, strict=True)]
            others = mass * found.student_tail
        elif direction == "reverse":
            value, _ = divergence(found.student, found.teacher)
            pairs = zip(found.teacher, found.student, strict=True)
            slopes = [q * ((q / p).log() - value) if q > 0 else arb(0) for p, q in pairs]
            others = slopes[-1]
        else:
            slopes = [q - p for p, q in zip(found.teacher, found.student, strict=True)]
            others = found.student_tail if tail == "uniform" else slopes[-1]
        is_other = [share is not None for share in found.shares]
        even = found.tail / max(1, sum(is_other)) if tail == "uniform" else 0
        if tail == "renormalize":
            others = arb(0)
        entries = [others * share - even if share is not None else arb(0) for share in found.shares]
        for place, slope in zip(ids.tolist(), slopes):
            entries[place] = slope
        return [entry / temperature for entry in entries]

    return oracles_gradients.certain(evaluate, lambda: _is_zero(logprobs, ids, x, tail, temperature))


def tail_of(logprobs):
    """1 - sum exp(logprobs), which is far from as exact as it is small: next to 0 it may be of either sign."""
    with ctx.workprec(256):
        return float(1 - sum(value.exp() for value in oracles.numbers(logprobs)))


def top_of(x, ids, temperature=1.0):
    """The log-probabilities of these classes, and the probability of all others together: mpmath numbers."""
    with ctx.workprec(256):
        row = oracles_logits.row(x, temperature)
        others = set(range(len(x))) - set(ids.tolist())
        tail = sum((row.weights[place] for place in others), arb(0)) / row.total
        logs = [row.centered[place] - row.log_total for place in ids.tolist()]
        return [oracles.as_number(log) for log in logs], oracles.as_number(tail)


def _is_zero(logprobs, ids, x, tail, temperature):
    """Whether what is listed is all, and the same on both sides but for a factor."""
    if tail != "renormalize" and len(ids) < len(x):
        return False
    scores = [Fraction(x[place]) for place in ids.tolist()]
    return len({Fraction(one) * Fraction(temperature) - other for one, other in zip(logprobs.tolist(), scores)}) == 1
