"""Exact values of the divergences that compare two or more distributions, for one row, on the very bits of the input.

Textbook formulas in mpmath arithmetic, as in `oracles`, which has the machinery and holds results to be certain to 70 bits.
With P = p/sum(p) and Q = q/sum(q), everything is written with a = p*sum(q) and b = q*sum(p), which are P and Q times the
same number sum(p)*sum(q), and need no rounding at all; nor does a - b. Without normalisation both sums are replaced by 1.
"""

import mpmath
import numpy as np
import oracles
from mpmath import libmp

# Logarithms of a and b are twice as large as those of the doubles that `oracles.ROUNDINGS` is about.
ROUNDINGS = 4 * oracles.ROUNDINGS
PRECISION = 192  # in bits, where nothing cancels: sums of terms of one sign, each known to a few units of the last bit


def js_divergence(p, q, normalize=True):
    """sum P*log(2P/(P + Q))/2 + sum Q*log(2Q/(P + Q))/2."""
    if not (_is_distribution(p, normalize) and _is_distribution(q, normalize)):
        return oracles.NAN
    a, b, scale = _scaled(p, q, normalize)

    def evaluate(precision):
        terms = []
        for one, other in zip(a, b, strict=True):
            both = libmp.mpf_add(one, other, precision)
            log_middle = libmp.mpf_log(libmp.mpf_shift(both, -1), precision) if both != libmp.fzero else None
            for weight in (one, other):
                if weight != libmp.fzero:
                    log_ratio = libmp.mpf_sub(_log(weight, precision), log_middle, precision)
                    terms.append(libmp.mpf_mul(weight, log_ratio, precision))
        weight = (oracles._sum(a, precision) + oracles._sum(b, precision)) / 2
        return oracles._sum(terms, precision) / 2 / scale, ROUNDINGS * weight / scale

    return oracles._certain(evaluate, lambda: a == b)


def js_distance(p, q, normalize=True):
    """The square root of the Jensen-Shannon divergence."""
    return root(js_divergence(p, q, normalize))


def total_variation(p, q, normalize=True):
    """sum |P - Q|/2."""
    if not (_is_distribution(p, normalize) and _is_distribution(q, normalize)):
        return oracles.NAN
    a, b, scale = _scaled(p, q, normalize)
    with mpmath.workprec(PRECISION):
        return oracles._sum(_differences(a, b), PRECISION, absolute=True) / 2 / scale


def hellinger(p, q, normalize=True):
    """The square root of sum (sqrt P - sqrt Q)^2/2."""
    if not (_is_distribution(p, normalize) and _is_distribution(q, normalize)):
        return oracles.NAN
    a, b, scale = _scaled(p, q, normalize)
    squares = []
    for one, other, difference in zip(a, b, _differences(a, b), strict=True):
        if difference != libmp.fzero:
            roots = libmp.mpf_sqrt(one, PRECISION), libmp.mpf_sqrt(other, PRECISION)
            squares.append(_square(libmp.mpf_div(difference, libmp.mpf_add(*roots, PRECISION), PRECISION)))
    with mpmath.workprec(PRECISION):
        return root(oracles._sum(squares, PRECISION) / 2 / scale)


def chi2_divergence(p, q, normalize=True):
    """sum (P - Q)^2/Q."""
    if (special := oracles._special(p, q, normalize)) is not None:
        return special
    a, b, scale = _scaled(p, q, normalize)
    terms = [
        libmp.mpf_div(_square(difference), other, PRECISION)
        for other, difference in zip(b, _differences(a, b), strict=True)
        if difference != libmp.fzero
    ]
    with mpmath.workprec(PRECISION):
        return oracles._sum(terms, PRECISION) / scale


def jeffreys(p, q, normalize=True):
    """sum (P - Q)*(log P - log Q)."""
    for rows in ((p, q), (q, p)):
        if (special := oracles._special(*rows, normalize)) is not None:
            return special
    a, b, scale = _scaled(p, q, normalize)
    used = [(one, other) for one, other in zip(a, b, strict=True) if one != other]

    def evaluate(precision):
        terms = []
        for one, other in used:
            log_ratio = libmp.mpf_sub(_log(one, precision), _log(other, precision), precision)
            terms.append(libmp.mpf_mul(libmp.mpf_sub(one, other, precision), log_ratio, precision))
        weight = oracles._sum([libmp.mpf_sub(*pair, precision) for pair in used], precision, absolute=True)
        return oracles._sum(terms, precision) / scale, ROUNDINGS * weight / scale

    return oracles._certain(evaluate, lambda: not used)


def renyi_divergence(p, q, alpha):
    """log(sum P^alpha*Q^(1-alpha))/(alpha - 1), and its limits at 0, 1 and infinity."""
    if alpha == 1:
        return oracles.kl_divergence(p, q)
    if not (_is_distribution(p, True) and _is_distribution(q, True)):
        return oracles.NAN
    if not np.any((p > 0) & (q > 0)) or (alpha > 1 and np.any((p > 0) & (q == 0))):
        return oracles.INFINITY
    if alpha == 0:
        within = oracles._raw_numbers(q[p > 0])
        return _log_quotient(libmp.mpf_sum(oracles._raw_numbers(q)), libmp.mpf_sum(within))
    a, b, scale = _scaled(p, q, True)
    used = [(one, other) for one, other in zip(a, b, strict=True) if libmp.fzero not in (one, other)]
    if alpha == np.inf:
        return max(_log_quotient(*pair) for pair in _largest_quotients(used))

    def evaluate(precision):
        order, rest = libmp.from_float(alpha), libmp.mpf_sub(libmp.fone, libmp.from_float(alpha))
        terms = []
        for one, other in used:
            exponent = libmp.mpf_add(
                libmp.mpf_mul(order, _log(one, precision), precision),
                libmp.mpf_mul(rest, _log(other, precision), precision),
                precision,
            )
            terms.append(libmp.mpf_exp(exponent, precision))
        total = oracles._sum(terms, precision) / scale
        return mpmath.log(total) / (mpmath.mpf(alpha) - 1), ROUNDINGS * 2 * (1 + alpha) / abs(alpha - 1)

    return oracles._certain(evaluate, lambda: a == b)


def size_of_logarithms(p, q):
    """The largest |log| of any entry or sum: what errors are measured against where Renyi's divergence goes through them."""
    numbers = [*p[p > 0].tolist(), *q[q > 0].tolist(), mpmath.fsum(p.tolist()), mpmath.fsum(q.tolist())]
    return max(abs(mpmath.log(extreme)) for extreme in (min(numbers), max(numbers)))


def mixture_divergence(rows, weights):
    """sum w_i*sum P_i*log(P_i/M) with M = sum w_i*P_i, and weights divided by their sum."""
    counted = [(row, weight) for row, weight in zip(rows, weights, strict=True) if weight > 0]
    if not all(_is_distribution(row, True) for row in rows):
        return oracles.NAN

    def evaluate(precision):
        total_weight = mpmath.fsum(weight for _, weight in counted)
        middle = [libmp.fzero] * len(rows[0])
        members = []
        for row, weight in counted:
            numbers = oracles._raw_numbers(row)
            share = mpmath.mpf(float(weight)) / total_weight
            total = libmp.mpf_sum(numbers)
            member = [libmp.mpf_div(number, total, precision) for number in numbers]
            parts = [libmp.mpf_mul(number, share._mpf_, precision) for number in member]
            middle = [libmp.mpf_add(one, part, precision) for one, part in zip(middle, parts, strict=True)]
            members.append((member, parts))
        log_middle = [None if one == libmp.fzero else libmp.mpf_log(one, precision) for one in middle]
        terms = [
            libmp.mpf_mul(part, libmp.mpf_sub(libmp.mpf_log(number, precision), log, precision), precision)
            for member, parts in members
            for number, part, log in zip(member, parts, log_middle, strict=True)
            if number != libmp.fzero
        ]
        return oracles._sum(terms, precision), ROUNDINGS

    return oracles._certain(evaluate, lambda: all(oracles._proportional(counted[0][0], row) for row, _ in counted))


def _is_distribution(weights, normalize):
    return bool(np.all(weights >= 0) and not np.any(np.isinf(weights)) and (np.any(weights) or not normalize))


def _scaled(p, q, normalize):
    """a, b, and the number they are to be divided by. All exact."""
    p, q = oracles._raw_numbers(p), oracles._raw_numbers(q)
    if not normalize:
        return p, q, 1
    total_p, total_q = libmp.mpf_sum(p), libmp.mpf_sum(q)
    a, b = [libmp.mpf_mul(one, total_q) for one in p], [libmp.mpf_mul(one, total_p) for one in q]
    return a, b, mpmath.make_mpf(libmp.mpf_mul(total_p, total_q))


def _differences(a, b):
    return [libmp.mpf_sub(one, other, PRECISION) for one, other in zip(a, b, strict=True)]


def _log(value, precision):
    """Rounded first: mpmath is wrong about longer numbers just above 1/4, whose logarithm it takes for that of 4*value."""
    return libmp.mpf_log(libmp.mpf_pos(value, precision, libmp.round_nearest), precision)


def _square(value):
    return libmp.mpf_mul(value, value, PRECISION)


def root(value):
    with mpmath.workprec(PRECISION):
        return mpmath.sqrt(value)


def _log_quotient(one, other):
    """log(one/other), to more than 100 bits of itself even where the two are all but equal."""
    if one == other:
        return oracles.ZERO
    distance = mpmath.make_mpf(libmp.mpf_sub(one, other, PRECISION)) / mpmath.make_mpf(other)
    with mpmath.workprec(PRECISION + max(0, -int(mpmath.mag(distance)))):
        return mpmath.log(mpmath.make_mpf(one) / mpmath.make_mpf(other))


def _largest_quotients(pairs):
    """The pairs whose quotient is the largest, as far as 64 bits can tell."""
    values = [mpmath.make_mpf(libmp.mpf_div(*pair, 64)) for pair in pairs]
    with mpmath.workprec(64):
        limit = max(values) * (1 - mpmath.ldexp(1, -60))
    return [pair for pair, value in zip(pairs, values, strict=True) if value >= limit]
