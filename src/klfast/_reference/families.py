"""The twins of the closed forms: the textbook formulas, with digamma and log gamma from scipy, which only these need.

A parameter that no distribution of the family has makes the result NaN. Where the two distributions are close, the terms
cancel, and no digit may be right.
"""

import numpy as np

from klfast._reference.elements import kl_div, rel_entr
from klfast._reference.logits import kl_divergence as kl_of_logits
from klfast._reference.probabilities import kl_divergence


def kl_bernoulli(p1, p2):
    p1, p2 = _inside(lambda p: (p >= 0.0) & (p <= 1.0), p1, p2)
    return rel_entr(p1, p2) + rel_entr(1.0 - p1, 1.0 - p2)


def kl_bernoulli_logits(x1, x2):
    """p1*log(p1/p2) + (1 - p1)*log((1 - p1)/(1 - p2)), from logits of successes; those of failures are -x."""
    x1, x2 = np.broadcast_arrays(np.asarray(x1, np.float64), np.asarray(x2, np.float64))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        terms = [
            (1.0 / (1.0 + np.exp(-a)), np.logaddexp(0.0, -b) - np.logaddexp(0.0, -a)) for a, b in ((x1, x2), (-x1, -x2))
        ]
        return sum(np.where(p == 0.0, 0.0, p * log_ratio) for p, log_ratio in terms)


def kl_categorical(p, q, *, axis=-1):
    return kl_divergence(p, q, axis=axis)


def kl_categorical_logits(x, y, *, axis=-1):
    return kl_of_logits(x, y, axis=axis)


def kl_poisson(rate1, rate2):
    return kl_div(*_inside(lambda rate: (rate >= 0.0) & (rate < np.inf), rate1, rate2))


def kl_exponential(rate1, rate2):
    rate1, rate2 = _positive(rate1, rate2)
    return np.log(rate1) - np.log(rate2) + rate2 / rate1 - 1.0


def kl_laplace(loc1, scale1, loc2, scale2):
    (loc1, loc2), (scale1, scale2) = _inside(np.isfinite, loc1, loc2), _positive(scale1, scale2)
    d = np.abs(loc1 - loc2)
    return np.log(scale2) - np.log(scale1) + (d + scale1 * np.exp(-d / scale1)) / scale2 - 1.0


def kl_gamma(shape1, rate1, shape2, rate2):
    shape1, rate1, shape2, rate2 = _positive(shape1, rate1, shape2, rate2)
    of_rates = shape2 * (np.log(rate1) - np.log(rate2)) + shape1 * (rate2 - rate1) / rate1
    return _remainder(shape1, shape2) + of_rates


def kl_beta(a1, b1, a2, b2):
    a1, b1, a2, b2 = _positive(a1, b1, a2, b2)
    return _remainder(a1, a2) + _remainder(b1, b2) - _remainder(a1 + b1, a2 + b2)


def kl_dirichlet(concentration1, concentration2, *, axis=-1):
    a, b = np.broadcast_arrays(*_positive(concentration1, concentration2))
    value = np.sum(_remainder(a, b), axis=axis) - _remainder(np.sum(a, axis=axis), np.sum(b, axis=axis))
    return np.where(a.shape[axis] == 0, np.nan, value)


def _remainder(a, b):
    """Of log gamma, from a to b."""
    from scipy import special

    return special.gammaln(b) - special.gammaln(a) - (b - a) * special.digamma(a)


def _positive(*parameters):
    return _inside(lambda x: (x > 0.0) & (x < np.inf), *parameters)


def _inside(contains, *parameters):
    """The parameters as float64, NaN where no distribution has them."""
    arrays = [np.asarray(parameter, np.float64) for parameter in parameters]
    return [np.where(contains(array), array, np.nan) for array in arrays]
