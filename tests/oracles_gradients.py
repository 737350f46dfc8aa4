"""Exact gradients by the scores, for one row, on the very bits of the input.

The formulas of calculus in mpmath arithmetic, as in `oracles_logits`. A gradient is certain when its largest entry is, to
70 bits; the others are then known as well as that one. It comes as two arrays of doubles: the exact entries rounded, and
what the rounding left.
"""

import mpmath
import numpy as np
import oracles
import oracles_logits
from mpmath import libmp
from oracles_divergences import _log
from oracles_logits import ROUNDINGS, row


def cross_entropy(x, target, *, temperature=1.0, z_loss=0.0, softcap=None, **options):
    """((sum b + 2*z_loss*logsumexp)*p - b)/temperature, times 1 - tanh(x/softcap)**2 where a cap is."""

    def evaluate(precision):
        one = row(x, temperature, softcap, precision)
        log_total, largest = mpmath.make_mpf(one.log_total), mpmath.make_mpf(one.largest)
        shares = oracles_logits.shares(x, target, **options)
        factor = mpmath.fsum(shares) + 2 * mpmath.mpf(z_loss) * (largest + log_total)
        size = mpmath.fsum(shares) + 2 * mpmath.mpf(z_loss) * (abs(largest) + log_total)
        scale = libmp.mpf_div(factor._mpf_, one.total, precision)
        entries = [
            libmp.mpf_sub(libmp.mpf_mul(weight, scale, precision), share._mpf_, precision)
            for weight, share in zip(one.weights, map(mpmath.mpf, shares), strict=True)
        ]
        if softcap is not None:
            cap = libmp.from_float(softcap)
            entries = [
                libmp.mpf_mul(entry, _slope(score, cap, precision), precision)
                for entry, score in zip(entries, oracles._raw_numbers(x), strict=True)
            ]
        return _over(entries, temperature, precision), ROUNDINGS * size * (1 + oracles_logits._of_cap(softcap, 1))

    def is_zero():
        """One class, or all the same to the scores and the target."""
        shares = oracles_logits.shares(x, target, **options)
        return np.count_nonzero(x > -np.inf) == 1 or (z_loss == 0 and np.ptp(x) == 0 and len(set(shares)) == 1)

    return _certain(evaluate, is_zero, temperature)


def kl_divergence(x, y, temperature=1.0):
    """p*(log(p/q) - KL)/temperature by x, and (q - p)/temperature by y.

    None for the first where the divergence is infinite.
    """

    def evaluate_x(precision):
        p, q = (row(scores, temperature, None, precision) for scores in (x, y))
        return _about_the_mean(p, [_difference(*pair, precision) for pair in zip(p.centered, q.centered)], precision)

    def evaluate_y(precision):
        p, q = (_probabilities(scores, temperature, precision) for scores in (x, y))
        return [libmp.mpf_sub(other, one, precision) for one, other in zip(p, q, strict=True)], ROUNDINGS

    infinite = np.any((x > -np.inf) & (y == -np.inf))
    by_x = None if infinite else _certain(_divided(evaluate_x, temperature), lambda: _proportional(x, y), temperature)
    by_y = _certain(_divided(evaluate_y, temperature), lambda: oracles_logits.same_softmax(x, y), temperature)
    return by_x, by_y


def js_divergence(x, y, beta=0.5, temperature=1.0):
    """beta*p*(log(p/m) - KL(p, m))/temperature by x, and the same by y for q and 1 - beta; m = beta*p + (1 - beta)*q."""
    return _js_by_first(x, y, mpmath.mpf(beta), temperature), _js_by_first(y, x, 1 - mpmath.mpf(beta), temperature)


def _js_by_first(x, y, share, temperature):
    def evaluate(precision):
        p = row(x, temperature, None, precision)
        members = _probabilities(x, temperature, precision), _probabilities(y, temperature, precision)
        logs = []
        for score, one, other in zip(p.centered, *members, strict=True):
            part, rest = (share * mpmath.make_mpf(one))._mpf_, ((1 - share) * mpmath.make_mpf(other))._mpf_
            # log(p/m), up to what p's sum and share add to all of them alike.
            log = _log(libmp.mpf_add(part, rest, precision), precision) if one != libmp.fzero else libmp.fzero
            logs.append(libmp.mpf_sub(score, log, precision) if one != libmp.fzero else libmp.fninf)
        entries, units = _about_the_mean(p, logs, precision)
        return [libmp.mpf_mul(entry, share._mpf_, precision) for entry in entries], units * 200

    return _certain(_divided(evaluate, temperature), lambda: _proportional(x, y), temperature)


def entropy(x, temperature=1.0):
    """-p*(log p + H)/temperature."""

    def evaluate(precision):
        p = row(x, temperature, None, precision)
        entries, units = _about_the_mean(p, p.centered, precision)
        return [libmp.mpf_neg(entry) for entry in entries], units

    return _certain(_divided(evaluate, temperature), lambda: np.ptp(x[x > -np.inf]) == 0, temperature)


def _about_the_mean(p, numbers, precision):
    """p*(number - mean of the numbers under p), entry by entry; 0 where p is 0."""
    terms = [
        libmp.mpf_mul(weight, number, precision) if weight != libmp.fzero else libmp.fzero
        for weight, number in zip(p.weights, numbers, strict=True)
    ]
    total = mpmath.make_mpf(p.total)
    mean = (oracles._sum(terms, precision) / total)._mpf_
    entries = [
        libmp.mpf_div(libmp.mpf_mul(weight, libmp.mpf_sub(number, mean, precision), precision), p.total, precision)
        if weight != libmp.fzero
        else libmp.fzero
        for weight, number in zip(p.weights, numbers, strict=True)
    ]
    return entries, ROUNDINGS * (1 + oracles._sum(terms, precision, absolute=True) / total)


def _probabilities(x, temperature, precision):
    one = row(x, temperature, None, precision)
    return [libmp.mpf_div(weight, one.total, precision) for weight in one.weights]


def _difference(one, other, precision):
    return libmp.fninf if one == libmp.fninf else libmp.mpf_sub(one, other, precision)


def _slope(score, cap, precision):
    """1 - tanh(score/cap)**2, without the subtraction."""
    cosh = libmp.mpf_cosh(libmp.mpf_div(score, cap, precision + 20), precision)
    return libmp.mpf_div(libmp.fone, libmp.mpf_mul(cosh, cosh, precision), precision)


def _proportional(x, y):
    """True if q is p times one number wherever p is not 0."""
    possible = x > -np.inf
    differences = {
        libmp.mpf_sub(one, other)
        for one, other in zip(oracles._raw_numbers(x[possible]), oracles._raw_numbers(y[possible]), strict=True)
    }
    return len(differences) == 1


def _divided(evaluate, temperature):
    def divided(precision):
        entries, units = evaluate(precision)
        return _over(entries, temperature, precision), units

    return divided


def _over(entries, temperature, precision):
    return [libmp.mpf_div(entry, libmp.from_float(temperature), precision) for entry in entries]


def _certain(evaluate, is_zero, temperature):
    """As `oracles._certain`, for a row: evaluate(precision) -> entries, units of error before the temperature divides."""
    for precision in oracles.PRECISIONS:
        with mpmath.workprec(precision):
            entries, units = evaluate(precision)
            largest = max(abs(mpmath.make_mpf(entry)) for entry in entries)
            error = mpmath.ldexp(units, -precision) / temperature
            wanted = max(oracles.CORRECT * largest, oracles.NOTHING)
        if error <= wanted:
            return oracles_logits.split(entries)
        if largest <= error and is_zero():
            return np.zeros(len(entries)), np.zeros(len(entries))
    raise ArithmeticError(f"not certain after {oracles.PRECISIONS[-1]} bits: {largest} with an error up to {error}")
