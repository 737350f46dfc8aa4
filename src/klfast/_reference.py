"""Every public operation again, in plain NumPy: slow, simple, and the document of what klfast means.

The compiled kernels and this file are written independently of each other; the tests hold them together. What a special
value does can be read here. Nothing is blocked, threaded or rearranged for speed or for the last digit, so results agree
with the kernels to about twelve digits where nothing cancels; the exact values of the accuracy tests come from elsewhere.

The keywords `out`, `n_threads` and `check` change where a result goes, how it is computed and when an error is raised,
but not its value, and `dtype` says how bits are to be read; so they have no twin here.

In all of them:

- inputs are read as float64 and broadcast against each other; results are float64;
- `axis` is the axis, or the tuple of axes, along which one distribution lies; None means all of them;
- an event of probability 0 adds nothing: 0*log 0 = 0, and 0*log(0/0) = 0;
- p > 0 where q = 0 gives +inf;
- entries that `where` leaves out are as if they were not there;
- NaN wins over everything else in its row;
- `base` divides the result, which is in nats, by log(base).
"""

import numpy as np

# Probabilities or counts ---------------------------------------------------------------------------------------------


def kl_divergence(p, q, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """D(p || q) = sum p*log(p/q), of the normalised rows or (normalize=False) of the numbers as they are."""
    p, q = _weights(axis, where, normalize, p, q)
    terms = _times_log(p, p) - _times_log(p, q)
    # inf - inf cannot arise: the first part of a term is finite. A raw sum may be negative, a divergence may not.
    total = _sum(terms, axis, keepdims, normalize)
    return _in_base(np.maximum(total, 0.0) if normalize else total, base)


def cross_entropy(p, q, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """-sum p*log q, of the normalised rows or (normalize=False) of the numbers as they are."""
    p, q = _weights(axis, where, normalize, p, q)
    return _in_base(_sum(-_times_log(p, q), axis, keepdims, normalize), base)


def entropy(p, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """-sum p*log p, of the normalised rows or (normalize=False) of the numbers as they are."""
    return cross_entropy(p, p, axis=axis, keepdims=keepdims, where=where, base=base, normalize=normalize)


def js_divergence(p, q=None, *, axis=-1, keepdims=False, where=None, base=None, normalize=True, weights=None):
    """sum w_i*D(p_i || m) with m = sum w_i*p_i; p_i are p and q, or the members of the stack p. Half each by default."""
    if q is None:
        where = None if where is None else np.broadcast_to(where, np.shape(p))
        axis = _within_stack(axis, np.ndim(p))
        members = [_weights(axis, None if where is None else where[i], True, p[i])[0] for i in range(len(p))]
    else:
        members = _weights(axis, where, normalize, p, q)
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares / np.sum(shares)
    middle = sum(share * member for share, member in zip(shares, members) if share > 0.0)
    terms = [_times_log(member, member) - _times_log(member, middle) for member in members]
    terms = [np.where(middle == 0.0, 0.0, term) for term in terms]  # half of the smallest number is 0
    total = sum(share * term for share, term in zip(shares, terms) if share > 0.0)
    return _in_base(np.maximum(_sum(total, axis, keepdims, normalize), 0.0), base)


def js_distance(p, q=None, *, axis=-1, keepdims=False, where=None, base=None, normalize=True, weights=None):
    """The square root of `js_divergence`, taken in that base."""
    keywords = {"keepdims": keepdims, "where": where, "base": base, "normalize": normalize, "weights": weights}
    with np.errstate(invalid="ignore"):
        return np.sqrt(js_divergence(p, q, axis=axis, **keywords))


def total_variation(p, q, *, axis=-1, keepdims=False, where=None, normalize=True):
    """sum |p - q|/2."""
    p, q = _weights(axis, where, normalize, p, q)
    return _sum(np.abs(p - q), axis, keepdims, normalize) / 2.0


def hellinger(p, q, *, axis=-1, keepdims=False, where=None, normalize=True):
    """sqrt(sum (sqrt p - sqrt q)^2/2)."""
    p, q = _weights(axis, where, normalize, p, q)
    return np.sqrt(_sum((np.sqrt(p) - np.sqrt(q)) ** 2, axis, keepdims, normalize) / 2.0)


def chi2_divergence(p, q, *, axis=-1, keepdims=False, where=None, normalize=True):
    """sum (p - q)^2/q; an event impossible in both adds nothing."""
    p, q = _weights(axis, where, normalize, p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p == 0.0) & (q == 0.0), 0.0, (p - q) / q * (p - q))  # a square might underflow
    return _sum(terms, axis, keepdims, normalize)


def jeffreys(p, q, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """sum (p - q)*log(p/q); an event impossible in both adds nothing, one impossible in one of them makes it inf."""
    p, q = _weights(axis, where, normalize, p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p == 0.0) & (q == 0.0), 0.0, (p - q) * (np.log(p) - np.log(q)))
    return _in_base(_sum(terms, axis, keepdims, normalize), base)


def renyi_divergence(p, q, alpha, *, axis=-1, keepdims=False, where=None, base=None):
    """log(sum p^alpha*q^(1-alpha))/(alpha - 1), with its limits at 0, 1 and infinity."""
    if alpha == 1.0:
        return kl_divergence(p, q, axis=axis, keepdims=keepdims, where=where, base=base)
    p, q = _weights(axis, where, False, p, q)
    possible = p > 0.0
    p, q = _normalized(p, axis), _normalized(q, axis)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if alpha == np.inf:
            ratios = np.where(possible | np.isnan(p + q), p / q, 0.0)
            ratios = np.where(possible & (q == 0.0), np.inf, ratios)
            result = np.log(np.max(ratios, axis=axis, keepdims=keepdims, initial=0.0))
            result = np.where(_sum(ratios, axis, keepdims, True) > 0.0, result, np.nan)
        else:
            terms = np.where(possible | np.isnan(p + q), p**alpha * q ** (1.0 - alpha), 0.0)
            impossible = np.inf if alpha > 1.0 else 0.0  # said here, for p**alpha may underflow
            terms = np.where(possible & (q == 0.0), impossible, terms) + 0.0 * (p + q)  # NaN**0 is 1, and no weight
            result = np.log(_sum(terms, axis, keepdims, True)) / (alpha - 1.0)
    return _in_base(np.maximum(result, 0.0), base)


def _weights(axis, where, normalize, *arrays):
    """The inputs as float64 of one shape; negative and infinite entries are no weights and become NaN."""
    arrays = np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))
    arrays = [np.where((array >= 0.0) & (array < np.inf), array, np.nan) for array in arrays]
    if where is not None:  # an event without probability adds nothing, and no row without events is a distribution
        arrays = [np.where(where, array, 0.0) for array in arrays]
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


def _within_stack(axis, n_dimensions):
    """The axes of a stack as axes of its members."""
    if axis is None:
        return tuple(range(n_dimensions - 1))
    return tuple(one % n_dimensions - 1 for one in (axis if isinstance(axis, tuple) else (axis,)))


# Elements ------------------------------------------------------------------------------------------------------------


def entr(p, *, where=None):
    """-p*log p; -inf for negative p."""
    p = np.asarray(p, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _selected(where, np.where(p < 0.0, -np.inf, -_times_log(p, p)) + 0.0)


def rel_entr(p, q, *, where=None):
    """p*log(p/q); 0 where p = 0 <= q; +inf where q = 0 < p or one is negative."""
    p, q = np.broadcast_arrays(np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p == 0.0) & (q >= 0.0), 0.0, p * (np.log(p) - np.log(q)))
        terms = np.where((p < 0.0) | (q < 0.0), np.inf, terms)
    return _selected(where, np.where(np.isnan(p) | np.isnan(q), np.nan, terms))


def kl_div(p, q, *, where=None):
    """p*log(p/q) - p + q; q where p = 0 <= q; +inf where q = 0 < p or one is negative."""
    terms = rel_entr(p, q)
    with np.errstate(invalid="ignore"):
        limit = np.isinf(p) ^ np.isinf(q)  # of one of them alone: the other does not matter any more
        return _selected(where, np.where(np.isposinf(terms) | limit, np.abs(terms) + np.inf, terms - p + q))


def _selected(where, values):
    """Elements that are left out are 0."""
    return values if where is None else np.where(where, values, 0.0)


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
