"""Exact values of the divergences that compare two or more distributions, for one row, on the very bits of the input.

Textbook formulas in ball arithmetic, as in `oracles`, which has the machinery and holds results to be certain to 70 bits.
With P = p/sum(p) and Q = q/sum(q), everything is written with a = p*sum(q) and b = q*sum(p), which are P and Q times the
same number sum(p)*sum(q). Without normalisation both sums are replaced by 1.
"""

import mpmath
import numpy as np
import oracles
from flint import arb

PRECISION = 192  # in bits, of the root of what is known already


def js_divergence(p, q, normalize=True):
    """sum P*log(2P/(P + Q))/2 + sum Q*log(2Q/(P + Q))/2."""
    if not (_is_distribution(p, normalize) and _is_distribution(q, normalize)):
        return oracles.NAN

    def evaluate():
        pairs, scale = _scaled(p, q, normalize)
        terms = []
        for one, other in pairs:
            if one > 0 or other > 0:
                log_middle = ((one + other) / 2).log()
                terms += [weight * (weight.log() - log_middle) for weight in (one, other) if weight > 0]
        return sum(terms, arb(0)) / 2 / scale

    return oracles.certain(evaluate, lambda: _is_same(p, q, normalize))


def js_distance(p, q, normalize=True):
    """The square root of the Jensen-Shannon divergence."""
    return root(js_divergence(p, q, normalize))


def total_variation(p, q, normalize=True):
    """sum |P - Q|/2."""
    if not (_is_distribution(p, normalize) and _is_distribution(q, normalize)):
        return oracles.NAN

    def evaluate():
        pairs, scale = _scaled(p, q, normalize)
        return sum((abs(one - other) for one, other in pairs), arb(0)) / 2 / scale

    return oracles.certain(evaluate, lambda: _is_same(p, q, normalize))


def hellinger(p, q, normalize=True):
    """The square root of sum (sqrt P - sqrt Q)^2/2."""
    if not (_is_distribution(p, normalize) and _is_distribution(q, normalize)):
        return oracles.NAN

    def evaluate():
        pairs, scale = _scaled(p, q, normalize)
        return sum((oracles.square(one.sqrt() - other.sqrt()) for one, other in pairs), arb(0)) / 2 / scale

    return root(oracles.certain(evaluate, lambda: _is_same(p, q, normalize)))


def chi2_divergence(p, q, normalize=True):
    """sum (P - Q)^2/Q."""
    if (special := oracles.special_value(p, q, normalize)) is not None:
        return special

    def evaluate():
        pairs, scale = _scaled(p, q, normalize)
        return sum((oracles.square(one - other) / other for one, other in pairs if other > 0), arb(0)) / scale

    return oracles.certain(evaluate, lambda: _is_same(p, q, normalize))


def jeffreys(p, q, normalize=True):
    """sum (P - Q)*(log P - log Q)."""
    for rows in ((p, q), (q, p)):
        if (special := oracles.special_value(*rows, normalize)) is not None:
            return special

    def evaluate():
        pairs, scale = _scaled(p, q, normalize)
        return sum(((one - other) * (one.log() - other.log()) for one, other in pairs if one > 0), arb(0)) / scale

    return oracles.certain(evaluate, lambda: _is_same(p, q, normalize))


def renyi_divergence(p, q, alpha):
    """log(sum P^alpha*Q^(1-alpha))/(alpha - 1), and its limits at 0, 1 and infinity."""
    if alpha == 1:
        return oracles.kl_divergence(p, q)
    if not (_is_distribution(p, True) and _is_distribution(q, True)):
        return oracles.NAN
    both = (p > 0) & (q > 0)
    if not np.any(both) or (alpha > 1 and np.any((p > 0) & (q == 0))):
        return oracles.INFINITY

    def evaluate():
        if alpha == 0:
            return (sum(oracles.numbers(q)) / sum(oracles.numbers(q[p > 0]))).log()
        pairs, scale = _scaled(p, q, True)
        used = [pair for pair, use in zip(pairs, both.tolist(), strict=True) if use]
        if alpha == np.inf:
            return _largest([one / other for one, other in used]).log()
        order = arb(alpha)
        total = sum((order * one.log() + (1 - order) * other.log()).exp() for one, other in used)
        return (total / scale).log() / (order - 1)

    def is_zero():
        return not np.any(q[p == 0]) if alpha == 0 else _is_same(p, q, True)

    return oracles.certain(evaluate, is_zero)


def size_of_logarithms(p, q):
    """The largest |log| of any entry or sum: what errors are measured against where Renyi's divergence goes through them."""
    numbers = [*p[p > 0].tolist(), *q[q > 0].tolist(), mpmath.fsum(p.tolist()), mpmath.fsum(q.tolist())]
    return max(abs(mpmath.log(extreme)) for extreme in (min(numbers), max(numbers)))


def mixture_divergence(rows, weights):
    """sum w_i*sum P_i*log(P_i/M) with M = sum w_i*P_i, and weights divided by their sum."""
    if not all(_is_distribution(row, True) for row in rows):
        return oracles.NAN
    counted = [(row, float(weight)) for row, weight in zip(rows, weights, strict=True) if weight > 0]

    def evaluate():
        total_weight = sum(arb(weight) for _, weight in counted)
        members = []
        for row, weight in counted:
            numbers = oracles.numbers(row)
            total = sum(numbers)
            members.append((arb(weight) / total_weight, [number / total for number in numbers]))
        middle = [sum(share * member[place] for share, member in members) for place in range(len(rows[0]))]
        log_middle = [one.log() if one > 0 else None for one in middle]
        return sum(
            share * number * (number.log() - log)
            for share, member in members
            for number, log in zip(member, log_middle, strict=True)
            if number > 0
        )

    return oracles.certain(evaluate, lambda: all(oracles.proportional(counted[0][0], row) for row, _ in counted))


def _is_distribution(weights, normalize):
    return bool(np.all(weights >= 0) and not np.any(np.isinf(weights)) and (np.any(weights) or not normalize))


def _is_same(p, q, normalize):
    return oracles.proportional(p, q) if normalize else np.array_equal(p, q)


def _scaled(p, q, normalize):
    """The pairs (a, b), and the number they are to be divided by."""
    p, q = oracles.numbers(p), oracles.numbers(q)
    if not normalize:
        return list(zip(p, q, strict=True)), 1
    total_p, total_q = sum(p), sum(q)
    return [(one * total_q, other * total_p) for one, other in zip(p, q, strict=True)], total_p * total_q


def root(value):
    """The square root of a number that is not negative, but for what is left of it below `oracles.NOTHING`."""
    with mpmath.workprec(PRECISION):
        return mpmath.sqrt(abs(value))


def _largest(balls):
    """A ball that holds the largest."""
    largest = balls[0]
    for ball in balls[1:]:
        largest = largest.max(ball)
    return largest
