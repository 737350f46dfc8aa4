"""Exact gradients by the scores, for one row, on the very bits of the input.

The formulas of calculus in ball arithmetic, as in `oracles_logits`. A gradient is certain when its largest entry is, to
70 bits; the others are then known as well as that one. It comes as two arrays of doubles: the exact entries cut off, and
what that left.
"""

import numpy as np
import oracles
import oracles_logits
from flint import arb, ctx
from oracles_logits import row


def cross_entropy(x, target, *, temperature=1.0, z_loss=0.0, softcap=None, **options):
    """((sum b + 2*z_loss*logsumexp)*p - b)/temperature, times 1 - tanh(x/softcap)**2 where a cap is."""

    def evaluate():
        one = row(x, temperature, softcap)
        shares = oracles_logits.shares(x, target, **options)
        scale = (sum(shares) + 2 * arb(z_loss) * (one.largest + one.log_total)) / one.total
        entries = [(weight * scale - share) / temperature for weight, share in zip(one.weights, shares, strict=True)]
        if softcap is None:
            return entries
        slopes = [_slope(score, arb(softcap)) for score in oracles.numbers(x)]
        return [entry * slope for entry, slope in zip(entries, slopes, strict=True)]

    def is_zero():
        """One class, or all the same to the scores and the target."""
        shares = oracles_logits.shares(x, target, **options)
        is_alike = np.ptp(x) == 0 and all(share.overlaps(shares[0]) for share in shares)
        return z_loss == 0 and (np.count_nonzero(x > -np.inf) == 1 or is_alike)

    return certain(evaluate, is_zero)


def kl_divergence(x, y, temperature=1.0):
    """p*(log(p/q) - KL)/temperature by x, and (q - p)/temperature by y.

    None for the first where the divergence is infinite.
    """

    def by_x():
        p, q = row(x, temperature), row(y, temperature)
        differences = [
            one - other if one.is_finite() else one for one, other in zip(p.centered, q.centered, strict=True)
        ]
        return [entry / temperature for entry in _about_the_mean(p, differences)]

    def by_y():
        p, q = row(x, temperature), row(y, temperature)
        pairs = zip(p.weights, q.weights, strict=True)
        return [(other / q.total - one / p.total) / temperature for one, other in pairs]

    infinite = np.any((x > -np.inf) & (y == -np.inf))
    return (
        None if infinite else certain(by_x, lambda: _proportional(x, y)),
        certain(by_y, lambda: oracles.same_softmax(x, y)),
    )


def js_divergence(x, y, beta=0.5, temperature=1.0):
    """beta*p*(log(p/m) - KL(p, m))/temperature by x, and the same by y for q and 1 - beta; m = beta*p + (1 - beta)*q."""
    return _js_by_first(x, y, lambda: arb(beta), temperature), _js_by_first(y, x, lambda: 1 - arb(beta), temperature)


def _js_by_first(x, y, share_of_first, temperature):
    def evaluate():
        share = share_of_first()
        p, q = row(x, temperature), row(y, temperature)
        logs = []
        for score, one, other in zip(p.centered, p.weights, q.weights, strict=True):
            # log(p/m), up to what p's sum and share add to all of them alike.
            middle = share * (one / p.total) + (1 - share) * (other / q.total)
            logs.append(score - middle.log() if _is_possible(score, one) else score)
        return [entry * share / temperature for entry in _about_the_mean(p, logs)]

    return certain(evaluate, lambda: _proportional(x, y))


def entropy(x, temperature=1.0):
    """-p*(log p + H)/temperature."""

    def evaluate():
        p = row(x, temperature)
        return [-entry / temperature for entry in _about_the_mean(p, p.centered)]

    return certain(evaluate, lambda: np.ptp(x[x > -np.inf]) == 0)


def _about_the_mean(p, numbers):
    """p*(number - mean of the numbers under p), entry by entry; 0 where p is 0."""
    used = [_is_possible(score, weight) for score, weight in zip(p.centered, p.weights, strict=True)]
    triples = list(zip(p.weights, numbers, used, strict=True))
    mean = sum(weight * number for weight, number, use in triples if use) / p.total
    return [weight * (number - mean) / p.total if use else arb(0) for weight, number, use in triples]


def _is_possible(score, weight):
    """Whether a class counts: not if it is impossible, nor if exp of its score is nothing in any number of digits."""
    return score.is_finite() and not weight.contains(0)


def _slope(score, cap):
    """1 - tanh(score/cap)**2, without the subtraction."""
    return 1 / oracles.square((score / cap).cosh())


def _proportional(x, y):
    """True if q is p times one number wherever p is not 0."""
    possible = x > -np.inf
    with ctx.workprec(oracles.EXACT):
        differences = [one - other for one, other in zip(oracles.numbers(x[possible]), oracles.numbers(y[possible]))]
        return all(difference == differences[0] for difference in differences)


def certain(evaluate, is_zero):
    """As `oracles.certain`, for a row of entries."""
    for precision in oracles.PRECISIONS:
        with ctx.workprec(precision):
            entries = evaluate()
            largest = max(abs(entry.mid()) for entry in entries)
            error = max(entry.rad() for entry in entries)
            if error <= max((oracles.CORRECT * largest).mid(), oracles.NOTHING):
                return oracles_logits.split(entries)
        if largest <= error and is_zero():
            return np.zeros(len(entries)), np.zeros(len(entries))
    raise ArithmeticError(f"not certain after {oracles.PRECISIONS[-1]} bits: {largest} with an error up to {error}")
