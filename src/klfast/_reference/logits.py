"""The twins of logits: one number for each row, softmax and its logarithm, and all that a comparison shows.

Scores may be any numbers; -inf says that a class is impossible. A class that `where` leaves out is impossible too, as far
as the numbers here go. A row with NaN or +inf is no distribution, and neither is one without any possible class: NaN.
"""

import numpy as np

from klfast._reference.shared import in_base, total_of


def logsumexp(x, *, axis=-1, keepdims=False, where=None, temperature=1.0):
    """log sum exp(x/temperature). No class at all, or none that is possible, gives -inf."""
    scores = as_scores(x, where)
    largest = np.max(scores, axis=axis, keepdims=True, initial=-np.inf)
    # Where everything is -inf there is nothing to shift by, and -inf - -inf would be NaN.
    shift = np.where(largest == -np.inf, 0.0, largest)
    with np.errstate(divide="ignore", over="ignore"):
        exponentials = np.exp((scores - shift) / temperature)
        result = shift / temperature + np.log(np.sum(exponentials, axis=axis, keepdims=True))
    return result if keepdims else np.squeeze(result, axis)


def softmax(x, *, axis=-1, where=None, temperature=1.0):
    """exp(x/temperature)/sum exp(x/temperature); 0 where a class is left out, whatever else its row holds."""
    probabilities = np.exp(log_probabilities(as_scores(x, where), axis, temperature))
    return probabilities if where is None else np.where(where, probabilities, 0.0)


def log_softmax(x, *, axis=-1, where=None, temperature=1.0):
    """The logarithm of softmax; -inf where a class is left out, whatever else its row holds."""
    logarithms = log_probabilities(as_scores(x, where), axis, temperature)
    return logarithms if where is None else np.where(where, logarithms, -np.inf)


def entropy(x, *, axis=-1, keepdims=False, where=None, temperature=1.0, base=None):
    """The entropy of softmax(x/temperature)."""
    log_p = log_probabilities(as_scores(x, where), axis, temperature)
    return in_base(total_of(-expectation(log_p, log_p), axis, keepdims, True), base)


def kl_divergence(x, y, *, axis=-1, keepdims=False, where=None, temperature=1.0, base=None):
    """D(p || q) of p = softmax(x/temperature) and q = softmax(y/temperature)."""
    log_p, log_q = pair(x, y, axis, where, temperature)
    return in_base(divergence(log_p, log_q, axis, keepdims), base)


def js_divergence(x, y, *, beta=0.5, axis=-1, keepdims=False, where=None, temperature=1.0, base=None):
    """beta*D(p || m) + (1 - beta)*D(q || m) with m = beta*p + (1 - beta)*q; p and q as for `kl_divergence`."""
    log_p, log_q = pair(x, y, axis, where, temperature)
    log_m = log_mixture(log_p, log_q, beta)
    of_p, of_q = (divergence(log_one, log_m, axis, keepdims) for log_one in (log_p, log_q))
    return in_base(beta * of_p + (1.0 - beta) * of_q, base)


def js_distance(x, y, *, beta=0.5, axis=-1, keepdims=False, where=None, temperature=1.0, base=None):
    """The square root of `js_divergence`, taken in that base."""
    keywords = {"keepdims": keepdims, "where": where, "temperature": temperature, "base": base}
    with np.errstate(invalid="ignore"):  # to a base below 1 the divergence is negative
        return np.sqrt(js_divergence(x, y, beta=beta, axis=axis, **keywords))


# What they are made of ------------------------------------------------------------------------------------------------


def as_scores(x, where):
    """Scores as float64; +inf is no score and becomes NaN. -inf is, and so is what `where` leaves out."""
    x = np.asarray(x, dtype=np.float64)
    x = np.where(x < np.inf, x, np.nan)
    return x if where is None else np.where(where, x, -np.inf)


def log_probabilities(scores, axis, temperature):
    """log softmax(scores/temperature). A row without any possible class is no distribution: -inf - -inf makes it NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        # The maximum goes first, else adding log(sum) to a huge maximum would round it away.
        centered = (scores - np.max(scores, axis=axis, keepdims=True, initial=-np.inf)) / temperature
        return centered - logsumexp(centered, axis=axis, keepdims=True)


def pair(x, y, axis, where, temperature):
    """The log-probabilities of two arrays of scores, of one shape."""
    scores = np.broadcast_arrays(as_scores(x, None), as_scores(y, None))
    return [log_probabilities(as_scores(one, where), axis, temperature) for one in scores]


def log_mixture(log_p, log_q, beta):
    """log(beta*p + (1 - beta)*q)."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp(log_p + np.log(beta), log_q + np.log1p(-beta))


def divergence(log_p, log_q, axis, keepdims):
    """sum p*(log p - log q), which rounding may have made negative."""
    total = total_of(expectation(log_p, log_p) - expectation(log_p, log_q), axis, keepdims, True)
    return np.maximum(total, 0.0)


def expectation(log_p, values):
    """exp(log_p)*values with 0*inf = 0; NaN if either is NaN. A probability too small for a number still is none of 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        products = np.where(np.isinf(values) & (log_p > -np.inf), values, np.exp(log_p) * values)
        return np.where((log_p == -np.inf) & ~np.isnan(values), 0.0, products)
