"""Every public operation again, in plain NumPy: slow, simple, and the document of what klfast means.

The compiled kernels and this file are written independently of each other; the tests hold them together. What a special
value does can be read here. Nothing is blocked, threaded or rearranged for speed or for the last digit, so results agree
with the kernels to about twelve digits where nothing cancels; the exact values of the accuracy tests come from elsewhere.

The keywords `out`, `n_threads` and `check` change where a result goes, how it is computed and when an error is raised,
but not its value, so they have no twin here.

In all of them:

- inputs are read as float64 and broadcast against each other; results are float64;
- `axis` is the axis, or the tuple of axes, along which one distribution lies; None means all of them;
- an event of probability 0 adds nothing: 0*log 0 = 0, and 0*log(0/0) = 0;
- p > 0 where q = 0 gives +inf;
- NaN wins over everything else in its row;
- `base` divides the result, which is in nats, by log(base).
"""

import numpy as np

# Probabilities or counts ---------------------------------------------------------------------------------------------


def kl_divergence(p, q, *, axis=-1, keepdims=False, base=None, normalize=True):
    """D(p || q) = sum p*log(p/q), of the normalised rows or (normalize=False) of the numbers as they are."""
    p, q = _weights(axis, normalize, p, q)
    terms = _times_log(p, p) - _times_log(p, q)
    # inf - inf cannot arise: the first part of a term is finite. A raw sum may be negative, a divergence may not.
    total = _sum(terms, axis, keepdims, normalize)
    return _in_base(np.maximum(total, 0.0) if normalize else total, base)


def cross_entropy(p, q, *, axis=-1, keepdims=False, base=None, normalize=True):
    """-sum p*log q, of the normalised rows or (normalize=False) of the numbers as they are."""
    p, q = _weights(axis, normalize, p, q)
    return _in_base(_sum(-_times_log(p, q), axis, keepdims, normalize), base)


def entropy(p, *, axis=-1, keepdims=False, base=None, normalize=True):
    """-sum p*log p, of the normalised rows or (normalize=False) of the numbers as they are."""
    return cross_entropy(p, p, axis=axis, keepdims=keepdims, base=base, normalize=normalize)


def _weights(axis, normalize, *arrays):
    """The inputs as float64 of one shape; negative and infinite entries are no weights and become NaN."""
    arrays = np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))
    arrays = [np.where((array >= 0.0) & (array < np.inf), array, np.nan) for array in arrays]
    return [_normalized(array, axis) for array in arrays] if normalize else arrays


def _normalized(weights, axis):
    """Divide rows by their sums. A row of zeros is no distribution: 0/0 makes it NaN, as one NaN does with its row."""
    with np.errstate(invalid="ignore"):
        scaled = weights / np.max(weights, axis=axis, keepdims=True, initial=0.0)  # so that the sum cannot overflow
        return scaled / np.sum(scaled, axis=axis, keepdims=True)


def _times_log(a, b):
    """a*log(b) with 0*log 0 = 0; NaN if either is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a == 0.0) & (b >= 0.0), 0.0, a * np.log(b))


# Logits --------------------------------------------------------------------------------------------------------------


def logits_kl_divergence(x, y, *, axis=-1, keepdims=False, base=None):
    """D(softmax(x) || softmax(y))."""
    log_p, log_q = (log_softmax(scores, axis) for scores in np.broadcast_arrays(x, y))
    total = _sum(_expectation(log_p, log_p) - _expectation(log_p, log_q), axis, keepdims, True)
    return _in_base(np.maximum(total, 0.0), base)


def logits_js_divergence(x, y, *, axis=-1, keepdims=False, base=None):
    """Half of D(p || m) + D(q || m) with p = softmax(x), q = softmax(y), m = (p + q)/2."""
    log_p, log_q = (log_softmax(scores, axis) for scores in np.broadcast_arrays(x, y))
    with np.errstate(invalid="ignore"):
        log_middle = np.logaddexp(log_p, log_q) - np.log(2.0)
    from_p = _expectation(log_p, log_p) - _expectation(log_p, log_middle)
    from_q = _expectation(log_q, log_q) - _expectation(log_q, log_middle)
    total = _sum((from_p + from_q) / 2.0, axis, keepdims, True)
    return _in_base(np.maximum(total, 0.0), base)


def logits_entropy(x, *, axis=-1, keepdims=False, base=None):
    """The entropy of softmax(x)."""
    log_p = log_softmax(x, axis)
    return _in_base(_sum(-_expectation(log_p, log_p), axis, keepdims, True), base)


def logits_cross_entropy(x, target, *, axis=-1, keepdims=False, base=None):
    """-log softmax(x)[target]; `target` holds class ids and has the shape of x without `axis`."""
    picked = np.take_along_axis(log_softmax(x, axis), np.expand_dims(np.asarray(target), axis), axis)
    loss = 0.0 - picked  # and not -picked: certainty costs 0.0, not -0.0
    return _in_base(loss if keepdims else np.squeeze(loss, axis), base)


def logits_logsumexp(x, *, axis=-1, keepdims=False):
    """log sum exp(x). No class at all, or none that is possible, gives -inf."""
    x = _scores(x)
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    # Where everything is -inf there is nothing to shift by, and -inf - -inf would be NaN.
    shift = np.where(largest == -np.inf, 0.0, largest)
    with np.errstate(divide="ignore"):
        result = shift + np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True))
    return result if keepdims else np.squeeze(result, axis)


def log_softmax(x, axis):
    """x - log sum exp(x). A row without any possible class is no distribution: -inf - -inf makes it NaN."""
    x = _scores(x)
    with np.errstate(invalid="ignore"):
        # The maximum goes first, else adding log(sum) to a huge maximum would round it away.
        centered = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
        return centered - logits_logsumexp(centered, axis=axis, keepdims=True)


def _scores(x):
    """Scores as float64; +inf is no score and becomes NaN. -inf is: it says that a class is impossible."""
    x = np.asarray(x, dtype=np.float64)
    return np.where(x < np.inf, x, np.nan)


def _expectation(log_p, values):
    """exp(log_p)*values with 0*inf = 0; NaN if either is NaN. A probability too small for a number still is none of 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        products = np.where(np.isinf(values) & (log_p > -np.inf), values, np.exp(log_p) * values)
        return np.where((log_p == -np.inf) & ~np.isnan(values), 0.0, products)


# Both ----------------------------------------------------------------------------------------------------------------


def _sum(terms, axis, keepdims, normalize):
    """Add the terms up. An empty sum is 0; but no distribution can be made from no events, so normalised it is NaN."""
    total = np.sum(terms, axis=axis, keepdims=keepdims)
    no_events = np.sum(np.ones(terms.shape), axis=axis, keepdims=keepdims) == 0.0
    total = np.where(no_events & normalize, np.nan, total)
    return total + 0.0  # makes a result of -0.0 a 0.0


def _in_base(nats, base):
    return nats if base is None else nats / np.log(base)
