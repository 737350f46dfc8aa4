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
    """The largest relative error over the results; 0 where 0 or infinity was expected and given, NaN where there is a NaN."""
    errors = []
    for expected, value in zip(exact, np.asarray(result, dtype=np.float64).ravel(), strict=True):
        if math.isnan(value):
            return math.nan
        if expected == 0 or mpmath.isinf(expected) or math.isinf(value):
            errors.append(0.0 if expected == value else math.inf)
        else:
            with mpmath.workdps(DIGITS):
                errors.append(float(abs((mpmath.mpf(float(value)) - expected) / expected)))
    return max(errors)


def exact_results(operation, arrays, normalised, axis=-1):
    """The exact results of an operation, for every row of its input or for every element, as a list of mpmath numbers."""
    with mpmath.workdps(DIGITS):
        if operation in ELEMENTWISE:
            return [ELEMENTWISE[operation](*numbers) for numbers in zip(*map(_as_numbers, arrays), strict=True)]
        rows = zip(*(_as_rows(array, axis) for array in arrays), strict=True)
        if operation.endswith(" where"):
            operation, rows = operation.removesuffix(" where"), map(_included, rows)
        if operation.startswith("logits."):
            return [LOGITS[operation](*row) for row in rows]
        return [_probability_row(operation, row, normalised) for row in rows]


def _as_numbers(array):
    return [mpmath.mpf(value) for value in array.astype(np.float64).ravel().tolist()]


def _as_rows(array, axis):
    """Lists of numbers; labels and masks as they are."""
    if array.dtype.kind == "b" or (array.dtype.kind in "iu" and array.ndim == 1):
        return array.tolist()
    return [_as_numbers(row) for row in np.moveaxis(np.atleast_2d(array), axis, -1).reshape(-1, array.shape[axis])]


def _included(row):
    """The weights of a row without those that its mask, which comes last, leaves out."""
    *weights, mask = row
    return tuple([value for value, use in zip(values, mask, strict=True) if use] for values in weights)


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


def _js_divergence(p, q):
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return (_kl_divergence(p, middle) + _kl_divergence(q, middle)) / 2


def _rel_entr(p, q):
    if p == 0 or q == 0:
        return mpmath.inf if p else mpmath.mpf(0)
    return p * mpmath.log(p / q)


def _logsumexp(x):
    return mpmath.log(mpmath.fsum(mpmath.exp(value) for value in x))


def _logits_cross_entropy(x, target):
    return _logsumexp(x) - x[target]


def _logits_kl_divergence(x, y):
    lse_x, lse_y = _logsumexp(x), _logsumexp(y)
    return mpmath.fsum(mpmath.exp(a - lse_x) * ((a - lse_x) - (b - lse_y)) for a, b in zip(x, y, strict=True))


PROBABILITIES = {
    "kl_divergence": _kl_divergence,
    "cross_entropy": _cross_entropy,
    "entropy": _entropy,
    "js_divergence": _js_divergence,
}
ELEMENTWISE = {
    "entr": lambda p: -p * mpmath.log(p) if p else mpmath.mpf(0),
    "rel_entr": _rel_entr,
    "kl_div": lambda p, q: _rel_entr(p, q) - p + q,
}
LOGITS = {"logits.cross_entropy": _logits_cross_entropy, "logits.kl_divergence": _logits_kl_divergence}
