"""The twins of probabilities or counts."""

import numpy as np

from klfast._reference.shared import as_weights, in_base, normalized, times_log, total_of


def kl_divergence(p, q, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """D(p || q) = sum p*log(p/q), of the normalised rows or (normalize=False) of the numbers as they are."""
    p, q = as_weights(axis, where, normalize, p, q)
    terms = times_log(p, p) - times_log(p, q)
    # inf - inf cannot arise: the first part of a term is finite. A raw sum may be negative, a divergence may not.
    total = total_of(terms, axis, keepdims, normalize)
    return in_base(np.maximum(total, 0.0) if normalize else total, base)


def cross_entropy(p, q, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """-sum p*log q, of the normalised rows or (normalize=False) of the numbers as they are."""
    p, q = as_weights(axis, where, normalize, p, q)
    return in_base(total_of(-times_log(p, q), axis, keepdims, normalize), base)


def entropy(p, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """-sum p*log p, of the normalised rows or (normalize=False) of the numbers as they are."""
    return cross_entropy(p, p, axis=axis, keepdims=keepdims, where=where, base=base, normalize=normalize)


def js_divergence(p, q=None, *, axis=-1, keepdims=False, where=None, base=None, normalize=True, weights=None):
    """sum w_i*D(p_i || m) with m = sum w_i*p_i; p_i are p and q, or the members of the stack p. Half each by default."""
    if q is None:
        where = None if where is None else np.broadcast_to(where, np.shape(p))
        axis = _within_stack(axis, np.ndim(p))
        members = [as_weights(axis, None if where is None else where[i], True, p[i])[0] for i in range(len(p))]
    else:
        members = as_weights(axis, where, normalize, p, q)
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares / np.sum(shares)
    middle = sum(share * member for share, member in zip(shares, members) if share > 0.0)
    terms = [times_log(member, member) - times_log(member, middle) for member in members]
    terms = [np.where(middle == 0.0, 0.0, term) for term in terms]  # half of the smallest number is 0
    total = sum(share * term for share, term in zip(shares, terms) if share > 0.0)
    return in_base(np.maximum(total_of(total, axis, keepdims, normalize), 0.0), base)


def js_distance(p, q=None, *, axis=-1, keepdims=False, where=None, base=None, normalize=True, weights=None):
    """The square root of `js_divergence`, taken in that base."""
    keywords = {"keepdims": keepdims, "where": where, "base": base, "normalize": normalize, "weights": weights}
    with np.errstate(invalid="ignore"):
        return np.sqrt(js_divergence(p, q, axis=axis, **keywords))


def total_variation(p, q, *, axis=-1, keepdims=False, where=None, normalize=True):
    """sum |p - q|/2."""
    p, q = as_weights(axis, where, normalize, p, q)
    return total_of(np.abs(p - q), axis, keepdims, normalize) / 2.0


def hellinger(p, q, *, axis=-1, keepdims=False, where=None, normalize=True):
    """sqrt(sum (sqrt p - sqrt q)^2/2)."""
    p, q = as_weights(axis, where, normalize, p, q)
    return np.sqrt(total_of((np.sqrt(p) - np.sqrt(q)) ** 2, axis, keepdims, normalize) / 2.0)


def chi2_divergence(p, q, *, axis=-1, keepdims=False, where=None, normalize=True):
    """sum (p - q)^2/q; an event impossible in both adds nothing."""
    p, q = as_weights(axis, where, normalize, p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p == 0.0) & (q == 0.0), 0.0, (p - q) / q * (p - q))  # a square might underflow
    return total_of(terms, axis, keepdims, normalize)


def jeffreys(p, q, *, axis=-1, keepdims=False, where=None, base=None, normalize=True):
    """sum (p - q)*log(p/q); an event impossible in both adds nothing, one impossible in one of them makes it inf."""
    p, q = as_weights(axis, where, normalize, p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p == 0.0) & (q == 0.0), 0.0, (p - q) * (np.log(p) - np.log(q)))
    return in_base(total_of(terms, axis, keepdims, normalize), base)


def renyi_divergence(p, q, alpha, *, axis=-1, keepdims=False, where=None, base=None):
    """log(sum p^alpha*q^(1-alpha))/(alpha - 1), with its limits at 0, 1 and infinity."""
    if alpha == 1.0:
        return kl_divergence(p, q, axis=axis, keepdims=keepdims, where=where, base=base)
    p, q = as_weights(axis, where, False, p, q)
    possible = p > 0.0
    p, q = normalized(p, axis), normalized(q, axis)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if alpha == np.inf:
            ratios = np.where(possible | np.isnan(p + q), p / q, 0.0)
            ratios = np.where(possible & (q == 0.0), np.inf, ratios)
            result = np.log(np.max(ratios, axis=axis, keepdims=keepdims, initial=0.0))
            result = np.where(total_of(ratios, axis, keepdims, True) > 0.0, result, np.nan)
        else:
            terms = np.where(possible | np.isnan(p + q), p**alpha * q ** (1.0 - alpha), 0.0)
            impossible = np.inf if alpha > 1.0 else 0.0  # said here, for p**alpha may underflow
            terms = np.where(possible & (q == 0.0), impossible, terms) + 0.0 * (p + q)  # NaN**0 is 1, and no weight
            result = np.log(total_of(terms, axis, keepdims, True)) / (alpha - 1.0)
    return in_base(np.maximum(result, 0.0), base)


def _within_stack(axis, n_dimensions):
    """The axes of a stack as axes of its members."""
    if axis is None:
        return tuple(range(n_dimensions - 1))
    return tuple(one % n_dimensions - 1 for one in (axis if isinstance(axis, tuple) else (axis,)))
