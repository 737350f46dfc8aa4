"""Exact values of what KL is used for, in the precision of mpmath that the caller has set."""

import mpmath
from _workloads import ESTIMATES, TOP


def exact_uses(operation, rows):
    """Pairs (number, floor), part by part as a contestant returns them, and in each part row by row."""
    if operation in ESTIMATES:
        return _estimates(rows, *operation.split()[1:])
    return OPERATIONS[operation](rows)


def _estimates(rows, kind, reduction="token_mean"):
    """k1 has both signs, so its mean is held to the mean of its sizes."""
    tokens = [token for row in rows for token in zip(*row, strict=True)]
    values = [ESTIMATORS[kind](ref - logp) if counts else mpmath.mpf(0) for logp, ref, counts in tokens]
    if reduction == "none":
        return [(value, 0) for value in values]
    n_counted = sum(counts for _, _, counts in tokens)
    return [(mpmath.fsum(values) / n_counted, mpmath.fsum(map(abs, values)) / n_counted)]


ESTIMATORS = {
    "k1": lambda r: -r,
    "k2": lambda r: r**2 / 2,
    "k3": lambda r: mpmath.expm1(r) - r,
}


def _gaussian(rows):
    def divergence(mu, logvar):
        return mpmath.fsum(mpmath.expm1(v) - v + m**2 for m, v in zip(mu, logvar, strict=True)) / 2

    return [(divergence(mu, logvar), 0) for mu, logvar in rows]


def _gaussian_value_and_gradients(rows):
    """The values, and the gradients of their mean, held to the largest entry of their row."""
    by_mu = [[m / len(rows) for m in mu] for mu, _ in rows]
    by_logvar = [[mpmath.expm1(v) / 2 / len(rows) for v in logvar] for _, logvar in rows]
    return _gaussian(rows) + [(value, max(map(abs, row))) for row in by_mu + by_logvar for value in row]


def _topk(rows):
    """Log-probabilities, largest first and of equal ones the first; their ids; the mass of all others."""
    parts = [], [], []
    for (x,) in rows:
        ids = sorted(range(len(x)), key=lambda i: (-x[i], i))
        lse = _logsumexp(x)
        parts[0].extend(x[i] - lse for i in ids[:TOP])
        parts[1].extend(ids[:TOP])
        parts[2].append(mpmath.fsum(mpmath.exp(x[i] - lse) for i in ids[TOP:]))
    return [(number, 0) for part in parts for number in part]


def _topk_kl(rows):
    """What the teacher did not keep is one more class of both, if the teacher's probabilities leave anything to it."""

    def divergence(x, logprobs, ids):
        lse, ids = _logsumexp(x), list(map(int, ids))
        kept = mpmath.fsum(map(mpmath.exp, logprobs))
        terms = [mpmath.exp(t) * (t - (x[i] - lse)) for t, i in zip(logprobs, ids, strict=True)]
        if kept >= 1:
            return mpmath.fsum(terms) / kept - mpmath.log(kept)
        others = mpmath.fsum(mpmath.exp(x[i] - lse) for i in set(range(len(x))) - set(ids))
        return mpmath.fsum(terms) + (1 - kept) * mpmath.log((1 - kept) / others)

    return [(divergence(*row), 0) for row in rows]


def _logsumexp(x):
    return mpmath.log(mpmath.fsum(map(mpmath.exp, x)))


OPERATIONS = {
    "gaussian.kl_standard_normal": _gaussian,
    "gaussian.kl_standard_normal_value_and_grad": _gaussian_value_and_gradients,
    "distill.topk": _topk,
    "distill.topk_kl": _topk_kl,
}
