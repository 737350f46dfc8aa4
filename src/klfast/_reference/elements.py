"""The twins of functions of single elements."""

import numpy as np

from klfast._reference.shared import times_log


def entr(p, *, where=None):
    """-p*log p; -inf for negative p."""
    p = np.asarray(p, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _selected(where, np.where(p < 0.0, -np.inf, -times_log(p, p)) + 0.0)


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
