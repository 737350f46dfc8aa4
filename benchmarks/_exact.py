"""Exact values: every sum in 40-digit arithmetic over the very numbers that the contestants are given.

A contestant is compared with the exact value of what it is asked to compute: one that normalises its input with the value
for the normalised input, one that takes p and q as they are with the plain sum. Otherwise a plain sum would be blamed
for the rounding of its input.
"""

import math

import mpmath
import numpy as np
from _exact_logits import exact_logits
from _exact_uses import exact_uses
from _families import exact_families
from _full_gaussians import exact_full_gaussians
from _workloads import FAMILIES, FULL_GAUSSIANS, LOGITS, ORDERS, USES

DIGITS = 40


def largest_error(exact, result):
    """The largest error over the results; 0 where 0 or infinity was expected and given, NaN where there is a NaN.

    Errors are relative to the exact number, or to its floor where it is smaller than that.
    """
    errors = []
    for (expected, floor), value in zip(exact, result.tolist(), strict=True):
        if math.isnan(value):
            return math.nan
        scale = max(abs(expected), floor)
        if scale == 0 or mpmath.isinf(scale) or math.isinf(value):
            errors.append(0.0 if expected == value else math.inf)
        else:
            with mpmath.workdps(DIGITS):
                errors.append(float(abs(value - expected) / scale))
    return max(errors)


def exact_results(operation, arrays, normalised, axis=-1):
    """The exact results of an operation, in the order of `flattened`: a list of pairs (number, floor).

    The floor of most is 0. An entry of a gradient is held to the largest entry of its row, a tiny probability to the
    smallest normal number of float32, a mean of numbers of both signs to the mean of their sizes.
    """
    with mpmath.workdps(DIGITS):
        if operation in LOGITS:
            return exact_logits(operation, _logits_rows(operation, arrays, axis), normalised)
        if operation in USES:
            return exact_uses(operation, list(zip(*(_as_rows(array, axis) for array in arrays), strict=True)))
        if operation in FAMILIES:
            return exact_families(operation, list(zip(*(_as_rows(array, axis) for array in arrays), strict=True)))
        if operation == FULL_GAUSSIANS:
            return exact_full_gaussians(arrays)
        if operation in ELEMENTWISE:
            numbers = [ELEMENTWISE[operation](*numbers) for numbers in zip(*map(_as_numbers, arrays), strict=True)]
        else:
            rows = zip(*(_as_rows(array, axis) for array in arrays), strict=True)
            if operation.endswith(" where"):
                operation, rows = operation.removesuffix(" where"), map(_included, rows)
            numbers = [_probability_row(operation, row, normalised) for row in rows]
    return [(number, 0) for number in numbers]


def flattened(result, to_numpy, n_dimensions, axis=-1):
    """All numbers of a result, or of its parts one after the other, as float64; a row's own together."""
    parts = result if isinstance(result, tuple | list) else [result]
    numbers = []
    for part in parts:
        part = np.asarray(to_numpy(part), dtype=np.float64)
        numbers.append((np.moveaxis(part, axis, -1) if part.ndim == n_dimensions else part).ravel())
    return np.concatenate(numbers)


def _as_numbers(array):
    return [mpmath.mpf(value) for value in array.astype(np.float64).ravel().tolist()]


def _as_rows(array, axis):
    """Lists of numbers; masks as they are."""
    if array.dtype.kind == "b":
        return array.tolist()
    return [_as_numbers(row) for row in np.moveaxis(np.atleast_2d(array), axis, -1).reshape(-1, array.shape[axis])]


def _logits_rows(operation, arrays, axis):
    """For every row what the operation takes: lists of numbers, and one label."""
    columns = []
    for what, array in zip(LOGITS[operation], arrays, strict=True):
        if what == "labels":
            columns.append(array.ravel().tolist())
        elif what == "class weights":
            columns.append([_as_numbers(array)] * len(columns[0]))
        else:
            columns.append(_as_rows(array, axis))
    return list(zip(*columns, strict=True))


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


def _renyi_divergence(order):
    def renyi_divergence(p, q):
        terms = [(a**order * b ** (1 - order) if b or order < 1 else mpmath.inf) for a, b in zip(p, q, strict=True) if a]
        return mpmath.log(mpmath.fsum(terms)) / (order - 1)

    return renyi_divergence


def _sum(term):
    def of_rows(p, q):
        return mpmath.fsum(term(a, b) for a, b in zip(p, q, strict=True))

    return of_rows


def _rel_entr(p, q):
    if p == 0 or q == 0:
        return mpmath.inf if p else mpmath.mpf(0)
    return p * mpmath.log(p / q)


PROBABILITIES = {
    "kl_divergence": _kl_divergence,
    "cross_entropy": _cross_entropy,
    "entropy": _entropy,
    "js_divergence": _js_divergence,
    "total_variation": _sum(lambda p, q: abs(p - q) / 2),
    "hellinger": lambda p, q: mpmath.sqrt(_sum(lambda a, b: (mpmath.sqrt(a) - mpmath.sqrt(b)) ** 2 / 2)(p, q)),
    "jeffreys": lambda p, q: _kl_divergence(p, q) + _kl_divergence(q, p),
    "chi2_divergence": _sum(lambda p, q: (p - q) ** 2 / q if q else mpmath.inf if p else 0),
} | {f"renyi_divergence {name}": _renyi_divergence(order) for name, order in ORDERS.items()}
ELEMENTWISE = {
    "entr": lambda p: -p * mpmath.log(p) if p else mpmath.mpf(0),
    "rel_entr": _rel_entr,
    "kl_div": lambda p, q: _rel_entr(p, q) - p + q,
}
