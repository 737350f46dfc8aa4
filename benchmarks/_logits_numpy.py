"""What numpy and scipy users write for logits: the same lines over numpy's own or over scipy's softmax and logsumexp.

Both widen float16 and bfloat16 to float32 first, as numpy would add up in the short type itself.
"""

import numpy as np
from _workloads import SMOOTHING


def numpy_logits():
    def logsumexp(x, axis):
        maximum = x.max(axis=axis, keepdims=True)
        return np.log(np.exp(x - maximum).sum(axis=axis)) + maximum.squeeze(axis)

    def log_softmax(x, axis):
        shifted = x - x.max(axis=axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))

    def softmax(x, axis):
        weights = np.exp(x - x.max(axis=axis, keepdims=True))
        return weights / weights.sum(axis=axis, keepdims=True)

    def js_divergence(x, y, axis):
        log_p, log_q = log_softmax(x, axis), log_softmax(y, axis)
        log_middle = np.logaddexp(log_p, log_q) - np.log(2).astype(log_p.dtype)
        return (np.exp(log_p) * (log_p - log_middle) + np.exp(log_q) * (log_q - log_middle)).sum(axis=axis) / 2

    return _functions(logsumexp, log_softmax, softmax) | {"logits.js_divergence": _widening(js_divergence)}


def scipy_logits():
    from scipy import spatial, special

    def entropy(x, axis):
        return special.entr(special.softmax(x, axis=axis)).sum(axis=axis)

    def js_divergence(x, y, axis):
        p, q = special.softmax(x, axis=axis), special.softmax(y, axis=axis)
        return spatial.distance.jensenshannon(p, q, axis=axis) ** 2

    return _functions(special.logsumexp, special.log_softmax, special.softmax) | {
        "logits.entropy": _widening(entropy),
        "logits.js_divergence": _widening(js_divergence),
    }


def _functions(logsumexp, log_softmax, softmax):
    def cross_entropy(x, target, axis):
        return logsumexp(x, axis=axis) - _at(x, target, axis)

    def smoothed(x, target, axis):
        likelihood = (1 - SMOOTHING) * _at(x, target, axis) + SMOOTHING * x.mean(axis=axis)
        return logsumexp(x, axis=axis) - likelihood

    def weighted(x, target, weight, axis):
        return weight[target] * cross_entropy(x, target, axis)

    def soft(x, target, axis):
        return -(target * log_softmax(x, axis=axis)).sum(axis=axis)

    def value_and_gradient(x, target, axis):
        rows = np.arange(len(x))
        log_p = log_softmax(x, axis=axis)
        gradient = np.exp(log_p)
        gradient[rows, target] -= 1
        gradient /= len(x)
        return -log_p[rows, target].mean(), gradient

    def entropy(x, axis):
        log_p = log_softmax(x, axis=axis)
        return -(np.exp(log_p) * log_p).sum(axis=axis)

    def kl_divergence(x, y, axis):
        log_p, log_q = log_softmax(x, axis=axis), log_softmax(y, axis=axis)
        return (np.exp(log_p) * (log_p - log_q)).sum(axis=axis)

    def kl_gradients(x, y, axis):
        log_p, log_q = log_softmax(x, axis=axis), log_softmax(y, axis=axis)
        p = np.exp(log_p)
        return _by_scores(p, log_p - log_q, axis), np.exp(log_q) - p

    def js_gradients(x, y, axis):
        log_p, log_q = log_softmax(x, axis=axis), log_softmax(y, axis=axis)
        log_middle = np.logaddexp(log_p, log_q) - np.log(2, dtype=x.dtype)
        return tuple(_by_scores(np.exp(log), log - log_middle, axis) / 2 for log in (log_p, log_q))

    functions = {
        "logits.cross_entropy": cross_entropy,
        "logits.cross_entropy label_smoothing": smoothed,
        "logits.cross_entropy weight": weighted,
        "logits.cross_entropy soft targets": soft,
        "logits.cross_entropy_value_and_grad": value_and_gradient,
        "logits.token_logprobs": lambda x, target, axis: _at(x, target, axis) - logsumexp(x, axis=axis),
        "logits.entropy": entropy,
        "logits.logsumexp": logsumexp,
        "logits.softmax": softmax,
        "logits.log_softmax": log_softmax,
        "logits.kl_divergence": kl_divergence,
        "logits.kl_divergence_grad": kl_gradients,
        "logits.js_divergence_grad": js_gradients,
    }
    return {name: _widening(function) for name, function in functions.items()}


def _by_scores(p, log_ratio, axis):
    """The derivatives of KL by the scores of p."""
    return p * (log_ratio - (p * log_ratio).sum(axis=axis, keepdims=True))


def _at(x, target, axis):
    return np.take_along_axis(x, np.expand_dims(target, axis), axis).squeeze(axis)


def _widening(function):
    def widened(*arrays, axis=-1):
        return function(*(array.astype(np.float32) if array.itemsize == 2 else array for array in arrays), axis=axis)

    return widened
