"""Exact values of the losses and divergences of logits with all their options, for one row, on the very bits of the input.

Textbook formulas in mpmath arithmetic, as in `oracles`, which has the machinery and holds results to be certain to 70 bits.
Scores are always taken relative to the largest, which changes no softmax; x - max(x) is exact, its quotient by the
temperature is not, nor is a soft cap, so both are done with as many digits as everything else.

Rows of results come as two arrays of doubles: the exact values rounded, and what the rounding left.
"""

import functools
import typing

import mpmath
import numpy as np
import oracles
from mpmath import libmp
from oracles_divergences import _log, root

ROUNDINGS = oracles.ROUNDINGS


class Row(typing.NamedTuple):
    """What everything is made of, as raw numbers of one precision: of s = z/temperature, z the scores, capped or not."""

    centered: list  # s - max(s)
    weights: list  # their exponentials
    total: tuple  # sum of the weights
    log_total: tuple
    largest: tuple  # max(s)


def row(x, temperature, softcap, precision):
    return _row(np.asarray(x, np.float64).tobytes(), temperature, softcap, precision)


@functools.lru_cache(maxsize=512)
def _row(content, temperature, softcap, precision):
    scores = oracles._raw_numbers(np.frombuffer(content))
    if softcap is not None:
        scores = [_capped(score, libmp.from_float(softcap), precision) for score in scores]
    largest = functools.reduce(lambda one, other: other if libmp.mpf_gt(other, one) else one, scores)
    divisor = libmp.from_float(temperature)
    centered = [libmp.mpf_sub(score, largest) for score in scores]
    if temperature != 1.0:
        centered = [libmp.mpf_div(score, divisor, precision) for score in centered]
    weights = oracles._exponentials(centered, precision)
    total = libmp.mpf_sum(weights, precision)
    return Row(centered, weights, total, _log(total, precision), libmp.mpf_div(largest, divisor, precision))


def _capped(score, cap, precision):
    """cap*tanh(score/cap). An impossible class stays impossible."""
    if score == libmp.fninf:
        return score
    return libmp.mpf_mul(cap, libmp.mpf_tanh(libmp.mpf_div(score, cap, precision + 20), precision), precision)


def split(entries):
    """Raw numbers as two arrays of doubles."""
    rounded = [libmp.to_float(entry) for entry in entries]
    rest = [
        0.0 if np.isinf(value) else libmp.to_float(libmp.mpf_sub(entry, libmp.from_float(value)))
        for entry, value in zip(entries, rounded, strict=True)
    ]
    return np.array(rounded), np.array(rest)


# Divergences ---------------------------------------------------------------------------------------------------------


def kl_divergence(x, y, temperature=1.0):
    """sum p*(log p - log q) with p = softmax(x/temperature), q = softmax(y/temperature)."""
    if oracles._no_softmax(x) or oracles._no_softmax(y):
        return oracles.NAN
    if np.any((x > -np.inf) & (y == -np.inf)):
        return oracles.INFINITY

    def evaluate(precision):
        p, q = (row(scores, temperature, None, precision) for scores in (x, y))
        terms = [
            libmp.mpf_mul(weight, libmp.mpf_sub(one, other, precision), precision)
            for weight, one, other in zip(p.weights, p.centered, q.centered, strict=True)
            if one != libmp.fninf
        ]
        total = mpmath.make_mpf(p.total)
        value = oracles._sum(terms, precision) / total - mpmath.make_mpf(p.log_total) + mpmath.make_mpf(q.log_total)
        return value, ROUNDINGS * (1 + oracles._sum(terms, precision, absolute=True) / total)

    return oracles._certain(evaluate, lambda: same_softmax(x, y))


def js_divergence(x, y, beta=0.5, temperature=1.0):
    """beta*KL(p, m) + (1 - beta)*KL(q, m) with m = beta*p + (1 - beta)*q."""
    if oracles._no_softmax(x) or oracles._no_softmax(y):
        return oracles.NAN

    def evaluate(precision):
        shares = libmp.from_float(beta), libmp.mpf_sub(libmp.fone, libmp.from_float(beta))
        logs, parts = [], []
        for scores, share in zip((x, y), shares, strict=True):
            one = row(scores, temperature, None, precision)
            logs.append([libmp.mpf_sub(score, one.log_total, precision) for score in one.centered])
            scale = libmp.mpf_div(share, one.total, precision)
            parts.append([libmp.mpf_mul(weight, scale, precision) for weight in one.weights])
        terms = []
        for log_p, log_q, of_p, of_q in zip(*logs, *parts, strict=True):
            log_middle = _log_sum(of_p, of_q, precision)
            for log, part in ((log_p, of_p), (log_q, of_q)):
                if part != libmp.fzero:
                    terms.append(libmp.mpf_mul(part, libmp.mpf_sub(log, log_middle, precision), precision))
        # Weights far below exp(-100000) have longer logarithms, but nothing left to multiply them with.
        return oracles._sum(terms, precision), ROUNDINGS * 200

    return oracles._certain(evaluate, lambda: same_softmax(x, y))


def js_distance(x, y, beta=0.5, temperature=1.0):
    """The square root of the Jensen-Shannon divergence."""
    return root(js_divergence(x, y, beta, temperature))


def entropy(x, temperature=1.0):
    """-sum p*log p with p = softmax(x/temperature)."""
    return mean_score_loss(x, x, temperature)


def mean_score_loss(x, y, temperature=1.0):
    """-sum p*log q with p = softmax(x/temperature), q = softmax(y/temperature): the cross-entropy of log-probabilities."""
    if oracles._no_softmax(x) or oracles._no_softmax(y):
        return oracles.NAN
    if np.any((x > -np.inf) & (y == -np.inf)):
        return oracles.INFINITY

    def evaluate(precision):
        p, q = (row(scores, temperature, None, precision) for scores in (x, y))
        terms = [
            libmp.mpf_mul(weight, score, precision)
            for weight, score in zip(p.weights, q.centered, strict=True)
            if weight != libmp.fzero
        ]
        mean = oracles._sum(terms, precision) / mpmath.make_mpf(p.total)
        return mpmath.make_mpf(q.log_total) - mean, ROUNDINGS * (1 - mean)

    return oracles._certain(evaluate, lambda: np.count_nonzero(y > -np.inf) == 1)


def logsumexp(x, temperature=1.0, softcap=None):
    """log sum exp(x/temperature)."""
    if np.any(np.isnan(x)) or np.any(x == np.inf):
        return oracles.NAN
    if not np.any(x > -np.inf):
        return -oracles.INFINITY

    def evaluate(precision):
        one = row(x, temperature, softcap, precision)
        value = mpmath.make_mpf(one.largest) + mpmath.make_mpf(one.log_total)
        return value, ROUNDINGS * (1 + abs(mpmath.make_mpf(one.largest)) + _of_cap(softcap, temperature))

    return oracles._certain(evaluate, lambda: x.max() == 0 and np.count_nonzero(x > -np.inf) == 1)


def size_of_logsumexp(x, temperature=1.0):
    """What the error of a logsumexp is measured against: the largest of |max/temperature|, log n and the result."""
    largest = abs(mpmath.mpf(float(x.max()))) / temperature
    return max(largest, mpmath.log(len(x)), abs(logsumexp(x, temperature)))


def same_softmax(x, y):
    return oracles._centered(x) == oracles._centered(y)


def _log_sum(one, other, precision):
    both = libmp.mpf_add(one, other, precision)
    return None if both == libmp.fzero else _log(both, precision)


def _of_cap(softcap, temperature):
    """The size of capped scores: tanh is rounded relative to it."""
    return 0 if softcap is None else mpmath.mpf(softcap) / temperature


# Losses --------------------------------------------------------------------------------------------------------------


def shares(x, target, normalize=True, weight=None, label_smoothing=0.0, smooth_over="all"):
    """b in the loss sum b*(logsumexp - x), as mpmath numbers of the precision at work; 0 is exactly 0.

    b = weight*((1 - label_smoothing)*t + label_smoothing/C) with the target's probabilities t, which are 1 and 0 for a
    class id. With smooth_over="finite" only classes that are possible get the second part, and C is their number.
    """
    counted = x > -np.inf if smooth_over == "finite" else np.full(len(x), True)
    smoothing = mpmath.mpf(label_smoothing)
    each = smoothing / int(np.count_nonzero(counted))
    if np.ndim(target) == 0:
        targets = [mpmath.mpf(int(position == target)) for position in range(len(x))]
    else:
        targets = [mpmath.mpf(value) for value in target.tolist()]
        total = mpmath.fsum(targets) if normalize else mpmath.mpf(1)
        targets = [value / total for value in targets]
    factors = np.ones(len(x)) if weight is None else weight
    return [
        factor * ((1 - smoothing) * value + (each if use else 0))
        for factor, value, use in zip(factors.tolist(), targets, counted.tolist(), strict=True)
    ]


def cross_entropy(x, target, *, temperature=1.0, z_loss=0.0, softcap=None, **options):
    """sum b*(logsumexp(s) - s) + z_loss*logsumexp(s)**2 with s = z/temperature, z the scores; options are those of `shares`.

    `target` is a class id, or the row of the probabilities.
    """
    if oracles._no_softmax(x):
        return oracles.NAN
    if any(share > 0 and score == -np.inf for share, score in zip(shares(x, target, **options), x, strict=True)):
        return oracles.INFINITY

    def evaluate(precision):
        one = row(x, temperature, softcap, precision)
        log_total, largest = mpmath.make_mpf(one.log_total), mpmath.make_mpf(one.largest)
        used = [(b, score) for b, score in zip(shares(x, target, **options), one.centered, strict=True) if b > 0]
        loss = mpmath.fsum(b * (log_total - mpmath.make_mpf(score)) for b, score in used)
        error = (mpmath.fsum(b for b, _ in used) + loss) * (1 + _of_cap(softcap, temperature))
        if z_loss:
            loss += mpmath.mpf(z_loss) * (largest + log_total) ** 2
            error += mpmath.mpf(z_loss) * (1 + abs(largest) + log_total + _of_cap(softcap, temperature)) ** 2
        return loss, ROUNDINGS * error

    return oracles._certain(evaluate, lambda: np.count_nonzero(x > -np.inf) == 1)


def log_total(x, temperature=1.0, softcap=None):
    """log sum exp(s - max(s)), which is how far the likeliest class is from certain."""

    def evaluate(precision):
        one = row(x, temperature, softcap, precision)
        return mpmath.make_mpf(one.log_total), ROUNDINGS * (1 + _of_cap(softcap, temperature))

    return oracles._certain(evaluate, lambda: np.count_nonzero(x > -np.inf) == 1)


def log_softmax(x, temperature=1.0):
    """log softmax(x/temperature), entry by entry. Both parts of each have one sign, so nothing cancels."""
    total = log_total(x, temperature)._mpf_
    scores = row(x, temperature, None, oracles.PRECISIONS[0]).centered
    return split([libmp.mpf_sub(score, total, oracles.PRECISIONS[0]) for score in scores])


def softmax(x, temperature=1.0):
    """softmax(x/temperature), entry by entry."""
    precision = oracles.PRECISIONS[0]
    one = row(x, temperature, None, precision)
    return split([libmp.mpf_div(weight, one.total, precision) for weight in one.weights])


def token_logprobs(x, ids, temperature=1.0, softcap=None):
    """log softmax(s) at the ids, as mpmath numbers."""
    return [-cross_entropy(x, int(position), temperature=temperature, softcap=softcap) for position in ids]
