"""Exact values of the losses and divergences of logits with all their options, for one row, on the very bits of the input.

Textbook formulas in ball arithmetic, as in `oracles`, which has the machinery and holds results to be certain to 70 bits.
Scores are always taken relative to the largest, which changes no softmax.

Rows of results come as two arrays of doubles: the exact values cut off, and what that left.
"""

import functools
import typing

import mpmath
import numpy as np
import oracles
from flint import arb, ctx
from oracles_divergences import root


class Row(typing.NamedTuple):
    """What everything is made of: of s = z/temperature, z the scores, capped or not."""

    centered: list  # s - max(s)
    weights: list  # their exponentials
    total: arb  # sum of the weights
    log_total: arb
    largest: arb  # max(s)


def row(x, temperature=1.0, softcap=None):
    """At the precision at work."""
    return _row(oracles.as_bytes(x), temperature, softcap, ctx.prec)


@functools.lru_cache(maxsize=512)
def _row(content, temperature, softcap, precision):
    del precision  # that at work
    x = np.frombuffer(content)
    scores, place = oracles.numbers(x), int(np.argmax(x))
    if softcap is not None:
        scores = [_capped(score, arb(softcap)) for score in scores]
    centered = [(score - scores[place]) / temperature for score in scores]
    weights = [score.exp() for score in centered]
    total = sum(weights)
    return Row(centered, weights, total, _log_total(weights, place), scores[place] / temperature)


def _log_total(weights, place):
    """The largest weight is 1."""
    return sum((weight for i, weight in enumerate(weights) if i != place), arb(0)).log1p()


def _capped(score, cap):
    """cap*tanh(score/cap). An impossible class stays impossible."""
    return cap * (score / cap).tanh() if score.is_finite() else score


def split(entries):
    """The middles of balls as two arrays of doubles: cut off to doubles, and what that left."""
    doubles = [float(entry.mid()) for entry in entries]
    rest = [0.0 if np.isinf(value) else float((entry.mid() - value).mid()) for entry, value in zip(entries, doubles)]
    return np.array(doubles), np.array(rest)


# Divergences ---------------------------------------------------------------------------------------------------------


def kl_divergence(x, y, temperature=1.0):
    """sum p*(log p - log q) with p = softmax(x/temperature), q = softmax(y/temperature)."""
    if oracles.no_softmax(x) or oracles.no_softmax(y):
        return oracles.NAN
    if np.any((x > -np.inf) & (y == -np.inf)):
        return oracles.INFINITY

    def evaluate():
        p, q = row(x, temperature), row(y, temperature)
        terms = (
            weight * (one - other)
            for weight, one, other in zip(p.weights, p.centered, q.centered, strict=True)
            if one.is_finite()
        )
        return sum(terms) / p.total - p.log_total + q.log_total

    return oracles.certain(evaluate, lambda: oracles.same_softmax(x, y))


def js_divergence(x, y, beta=0.5, temperature=1.0):
    """beta*KL(p, m) + (1 - beta)*KL(q, m) with m = beta*p + (1 - beta)*q."""
    if oracles.no_softmax(x) or oracles.no_softmax(y):
        return oracles.NAN

    def evaluate():
        logs, parts = [], []
        for scores, share in ((x, arb(beta)), (y, 1 - arb(beta))):
            one = row(scores, temperature)
            logs.append([score - one.log_total for score in one.centered])
            scale = share / one.total
            parts.append([weight * scale for weight in one.weights])
        terms = []
        for log_p, log_q, of_p, of_q in zip(*logs, *parts, strict=True):
            sides = [(log, part) for log, part in ((log_p, of_p), (log_q, of_q)) if log.is_finite() and part != 0]
            if sides:
                log_middle = (of_p + of_q).log()
                terms += [part * (log - log_middle) for log, part in sides]
        return sum(terms)

    return oracles.certain(evaluate, lambda: oracles.same_softmax(x, y))


def js_distance(x, y, beta=0.5, temperature=1.0):
    """The square root of the Jensen-Shannon divergence."""
    return root(js_divergence(x, y, beta, temperature))


def entropy(x, temperature=1.0):
    """-sum p*log p with p = softmax(x/temperature)."""
    return mean_score_loss(x, x, temperature)


def mean_score_loss(x, y, temperature=1.0):
    """-sum p*log q with p = softmax(x/temperature), q = softmax(y/temperature): the cross-entropy of log-probabilities."""
    if oracles.no_softmax(x) or oracles.no_softmax(y):
        return oracles.NAN
    if np.any((x > -np.inf) & (y == -np.inf)):
        return oracles.INFINITY

    def evaluate():
        p, q = row(x, temperature), row(y, temperature)
        terms = (
            weight * score
            for weight, one, score in zip(p.weights, p.centered, q.centered, strict=True)
            if one.is_finite()
        )
        return q.log_total - sum(terms) / p.total

    return oracles.certain(evaluate, lambda: np.count_nonzero(y > -np.inf) == 1)


def logsumexp(x, temperature=1.0, softcap=None):
    """log sum exp(x/temperature)."""
    if np.any(np.isnan(x)) or np.any(x == np.inf):
        return oracles.NAN
    if not np.any(x > -np.inf):
        return -oracles.INFINITY

    def evaluate():
        one = row(x, temperature, softcap)
        return one.largest + one.log_total

    return oracles.certain(evaluate, lambda: x.max() == 0 and np.count_nonzero(x > -np.inf) == 1)


def size_of_logsumexp(x, temperature=1.0):
    """What the error of a logsumexp is measured against: the largest of |max/temperature|, log n and the result."""
    largest = abs(mpmath.mpf(float(x.max()))) / temperature
    return max(largest, mpmath.log(len(x)), abs(logsumexp(x, temperature)))


# Losses --------------------------------------------------------------------------------------------------------------


def shares(x, target, normalize=True, weight=None, label_smoothing=0.0, smooth_over="all"):
    """b in the loss sum b*(logsumexp - x), at the precision at work; 0 is exactly 0.

    b = weight*((1 - label_smoothing)*t + label_smoothing/C) with the target's probabilities t, which are 1 and 0 for a
    class id. With smooth_over="finite" only classes that are possible get the second part, and C is their number.
    """
    counted = x > -np.inf if smooth_over == "finite" else np.full(len(x), True)
    smoothing = arb(label_smoothing)
    each = smoothing / int(np.count_nonzero(counted))
    if np.ndim(target) == 0:
        targets = [arb(int(position == target)) for position in range(len(x))]
    else:
        targets = oracles.numbers(target)
        total = sum(targets) if normalize else arb(1)
        targets = [value / total for value in targets]
    factors = np.ones(len(x)) if weight is None else weight
    return [
        arb(factor) * ((1 - smoothing) * value + (each if use else 0))
        for factor, value, use in zip(factors.tolist(), targets, counted.tolist(), strict=True)
    ]


def cross_entropy(x, target, *, temperature=1.0, z_loss=0.0, softcap=None, **options):
    """sum b*(logsumexp(s) - s) + z_loss*logsumexp(s)**2 with s = z/temperature, z the scores; options are those of `shares`.

    `target` is a class id, or the row of the probabilities.
    """
    if oracles.no_softmax(x):
        return oracles.NAN
    if any(share > 0 and score == -np.inf for share, score in zip(shares(x, target, **options), x, strict=True)):
        return oracles.INFINITY

    def evaluate():
        one = row(x, temperature, softcap)
        pairs = zip(shares(x, target, **options), one.centered, strict=True)
        loss = sum((share * (one.log_total - score) for share, score in pairs if share > 0), arb(0))
        return loss + arb(z_loss) * oracles.square(one.largest + one.log_total)

    return oracles.certain(evaluate, lambda: np.count_nonzero(x > -np.inf) == 1)


def log_total(x, temperature=1.0, softcap=None):
    """log sum exp(s - max(s)), which is how far the likeliest class is from certain."""
    return oracles.certain(lambda: row(x, temperature, softcap).log_total, lambda: np.count_nonzero(x > -np.inf) == 1)


def log_softmax(x, temperature=1.0):
    """log softmax(x/temperature), entry by entry. Both parts of each have one sign, so nothing cancels."""
    with ctx.workprec(oracles.PRECISIONS[0]):
        one = row(x, temperature)
        return split([score - one.log_total for score in one.centered])


def softmax(x, temperature=1.0):
    """softmax(x/temperature), entry by entry."""
    with ctx.workprec(oracles.PRECISIONS[0]):
        one = row(x, temperature)
        return split([weight / one.total for weight in one.weights])


def token_logprobs(x, ids, temperature=1.0, softcap=None):
    """log softmax(s) at the ids, as mpmath numbers."""
    return [-cross_entropy(x, int(position), temperature=temperature, softcap=softcap) for position in ids]
