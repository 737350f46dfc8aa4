"""Exact values of the operations on logits, and of their gradients, in the precision of mpmath that the caller has set."""

import mpmath
import numpy as np
from _workloads import SMOOTHING

SMALLEST_NORMAL = mpmath.mpf(float(np.finfo(np.float32).tiny))


def exact_logits(operation, rows, normalised):
    """Pairs (number, floor) part by part (value, gradient), and in each part row by row."""
    if operation == "logits.cross_entropy soft targets" and normalised:
        rows = [(x, _divided_by(target, mpmath.fsum(target))) for x, target in rows]
    results = [ROWS[operation](*row) for row in rows]
    if operation == "logits.cross_entropy_value_and_grad":  # of the mean over the rows
        mean = mpmath.fsum(value for (value,), _ in results) / len(results)
        gradients = [_held_to_the_largest(_divided_by(gradient, len(results))) for _, gradient in results]
        return [(mean, 0), *(pair for gradient in gradients for pair in gradient)]
    if operation in ("logits.kl_divergence_grad", "logits.js_divergence_grad"):
        return [pair for part in zip(*results, strict=True) for row in part for pair in _held_to_the_largest(row)]
    floor = SMALLEST_NORMAL if operation == "logits.softmax" else 0
    return [(number, floor) for row in results for number in row]


def _held_to_the_largest(numbers):
    floor = max(map(abs, numbers))
    return [(number, floor) for number in numbers]


def _divided_by(numbers, divisor):
    return [number / divisor for number in numbers]


def _logsumexp(x):
    return mpmath.log(mpmath.fsum(mpmath.exp(value) for value in x))


def _log_softmax(x):
    lse = _logsumexp(x)
    return [value - lse for value in x]


def _softmax(x):
    return [mpmath.exp(value) for value in _log_softmax(x)]


def _entropy(x):
    return -mpmath.fsum(mpmath.exp(value) * value for value in _log_softmax(x))


def _cross_entropy(x, target):
    return _logsumexp(x) - x[target]


def _smoothed_cross_entropy(x, target):
    smoothing = mpmath.mpf(SMOOTHING)
    mean = mpmath.fsum(x) / len(x)
    return _logsumexp(x) - (1 - smoothing) * x[target] - smoothing * mean


def _soft_cross_entropy(x, target):
    return mpmath.fsum(-weight * value for weight, value in zip(target, _log_softmax(x), strict=True))


def _kl_terms(log_p, log_q):
    return mpmath.fsum(mpmath.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True))


def _with_middle(x, y):
    log_p, log_q = _log_softmax(x), _log_softmax(y)
    return log_p, log_q, [mpmath.log((mpmath.exp(a) + mpmath.exp(b)) / 2) for a, b in zip(log_p, log_q, strict=True)]


def _js_divergence(x, y):
    log_p, log_q, log_middle = _with_middle(x, y)
    return (_kl_terms(log_p, log_middle) + _kl_terms(log_q, log_middle)) / 2


def _js_gradients(x, y):
    log_p, log_q, log_middle = _with_middle(x, y)
    return tuple(_divided_by(_by_scores(log, log_middle), 2) for log in (log_p, log_q))


def _cross_entropy_gradient(x, target):
    gradient = _softmax(x)
    gradient[target] -= 1
    return gradient


def _kl_gradients(x, y):
    log_p, log_q = _log_softmax(x), _log_softmax(y)
    by_y = [mpmath.exp(b) - mpmath.exp(a) for a, b in zip(log_p, log_q, strict=True)]
    return _by_scores(log_p, log_q), by_y


def _by_scores(log_p, log_q):
    """The derivatives of KL by the scores of p."""
    divergence = _kl_terms(log_p, log_q)
    return [mpmath.exp(a) * (a - b - divergence) for a, b in zip(log_p, log_q, strict=True)]


# From the rows that an operation takes to the list of its results; of gradients, one list for each part.
ROWS = {
    "logits.cross_entropy": lambda x, target: [_cross_entropy(x, target)],
    "logits.cross_entropy label_smoothing": lambda x, target: [_smoothed_cross_entropy(x, target)],
    "logits.cross_entropy weight": lambda x, target, weight: [weight[target] * _cross_entropy(x, target)],
    "logits.cross_entropy soft targets": lambda x, target: [_soft_cross_entropy(x, target)],
    "logits.cross_entropy_value_and_grad": lambda x, target: (
        [_cross_entropy(x, target)],
        _cross_entropy_gradient(x, target),
    ),
    "logits.token_logprobs": lambda x, target: [-_cross_entropy(x, target)],
    "logits.entropy": lambda x: [_entropy(x)],
    "logits.logsumexp": lambda x: [_logsumexp(x)],
    "logits.softmax": _softmax,
    "logits.log_softmax": _log_softmax,
    "logits.kl_divergence": lambda x, y: [_kl_terms(_log_softmax(x), _log_softmax(y))],
    "logits.js_divergence": lambda x, y: [_js_divergence(x, y)],
    "logits.kl_divergence_grad": _kl_gradients,
    "logits.js_divergence_grad": _js_gradients,
}
