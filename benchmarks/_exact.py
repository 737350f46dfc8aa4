"""Exact values: every sum in 40-digit arithmetic over the very numbers that the contestants are given.

A contestant is compared with the exact value of what it is asked to compute: one that normalises its input with the value
for the normalised input, one that takes p and q as they are with the plain sum. Otherwise a plain sum would be blamed
for the rounding of its input.
"""

import math

import mpmath
import numpy as np

DIGITS = 40


def relative_errors(exact, result):
    """The largest relative error over the rows; 0 where infinity was expected and given, NaN where the result is NaN."""
    errors = []
    for expected, value in zip(exact, np.asarray(result, dtype=np.float64).ravel(), strict=True):
        if math.isnan(value):
            return math.nan
        if mpmath.isinf(expected) or math.isinf(value):
            errors.append(0.0 if expected == value else math.inf)
        else:
            with mpmath.workdps(DIGITS):
                errors.append(float(abs((mpmath.mpf(float(value)) - expected) / expected)))
    return max(errors)


def exact_rows(operation, arrays, normalised):
    """The exact result of an operation for every row of its input, as a list of mpmath numbers."""
    rows = zip(*(_as_rows(array) for array in arrays), strict=True)
    with mpmath.workdps(DIGITS):
        if operation.startswith("logits."):
            return [LOGITS[operation](*row) for row in rows]
        return [_probability_row(operation, row, normalised) for row in rows]


def _as_rows(array):
    if array.dtype.kind in "iu":
        return array.tolist()
    return [[mpmath.mpf(value) for value in row] for row in np.atleast_2d(array).tolist()]


def _probability_row(operation, row, normalised):
    if normalised:
        sums = [mpmath.fsum(values) for values in row]
        row = [[value / total for value in values] for values, total in zip(row, sums, strict=True)]
    return PROBABILITIES[operation](*row)


def _kl_divergence(p, q):
    return mpmath.fsum(a * mpmath.log(a / b) if b else mpmath.inf for a, b in zip(p, q, strict=True) if a)


def _cross_entropy(p, q):
    return mpmath.fsum(-a * mpmath.log(b) if b else mpmath.inf for a, b in zip(p, q, strict=True) if a)


def _entropy(p):
    return mpmath.fsum(-a * mpmath.log(a) for a in p if a)


def _logsumexp(x):
    return mpmath.log(mpmath.fsum(mpmath.exp(value) for value in x))


def _logits_cross_entropy(x, target):
    return _logsumexp(x) - x[target]


def _logits_kl_divergence(x, y):
    lse_x, lse_y = _logsumexp(x), _logsumexp(y)
    return mpmath.fsum(mpmath.exp(a - lse_x) * ((a - lse_x) - (b - lse_y)) for a, b in zip(x, y, strict=True))


PROBABILITIES = {"kl_divergence": _kl_divergence, "cross_entropy": _cross_entropy, "entropy": _entropy}
LOGITS = {"logits.cross_entropy": _logits_cross_entropy, "logits.kl_divergence": _logits_kl_divergence}
