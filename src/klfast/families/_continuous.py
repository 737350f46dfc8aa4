"""Exponential, Laplace, gamma, beta and Dirichlet distributions."""

import numpy as np

from klfast import _families
from klfast._checks_families import POSITIVE, REAL
from klfast.probs import kl_divergence


def kl_exponential(rate1, rate2, *, out=None, check=False):
    """KL divergence of exponential distributions, log(rate1/rate2) + rate2/rate1 - 1.

    rate1 belongs to the true distribution and comes first.

    Parameters
    ----------
    rate1, rate2 : array_like
        Rates, the inverses of the means: positive, broadcast against each other.
    out : ndarray of float64, optional
        Where to write the result: of its shape, any strides, not overlapping the input.
    check : bool
        Raise ValueError for parameters that no such distribution has; without it their elements are NaN.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for rate1 = rate2; +inf only where rate2/rate1 is. NaN where a rate
        is 0, negative, infinite or NaN.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, masked arrays, and an `out` that does not fit;
        before any work.

    Notes
    -----
    Any real dtype, read as float64. Relative error at most 1e-14, however close the rates are. Definition: Kullback,
    Information Theory and Statistics (1959).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_exponential(1.0, 1.000001):.12e}")
    4.999996665847e-13
    """
    return _families.each({"rate1": rate1, "rate2": rate2}, (POSITIVE, POSITIVE), _exponential, out, check)


def _exponential(rate1, rate2):
    return _families.ratio_gap(rate2, rate1, rate2 - rate1)


def kl_laplace(loc1, scale1, loc2, scale2, *, out=None, check=False):
    """KL divergence of Laplace distributions, log(scale2/scale1) + (d + scale1*exp(-d/scale1))/scale2 - 1, d = |loc1 - loc2|.

    loc1 and scale1 belong to the true distribution and come first.

    Parameters
    ----------
    loc1, loc2 : array_like
        Means.
    scale1, scale2 : array_like
        Mean distances from the mean: positive. All four are broadcast against each other.
    out, check
        As for `kl_exponential`.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for equal parameters. NaN where a scale is 0 or negative, and where
        anything is infinite or NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl_exponential`.

    Notes
    -----
    Any real dtype, read as float64. Relative error at most 1e-14, however close the distributions are. Definition: Gil,
    Alajaji and Linder, Rényi Divergence Measures for Commonly Used Univariate Continuous Distributions (2013).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_laplace(0.0, 1.0, 0.0001, 1.0):.12e}")
    4.999833337500e-09
    """
    named = {"loc1": loc1, "scale1": scale1, "loc2": loc2, "scale2": scale2}
    return _families.each(named, (REAL, POSITIVE, REAL, POSITIVE), _laplace, out, check)


def _laplace(loc1, scale1, loc2, scale2):
    """What the scales cost, and what the distance does: both are never negative."""
    distance = np.abs(loc1 - loc2)
    # of huge means of opposite signs, in halves
    in_units = [
        np.where(distance < np.inf, distance / b, np.abs(0.5 * loc1 - 0.5 * loc2) / (0.5 * b)) for b in (scale1, scale2)
    ]
    ratio, steps = scale1 / scale2, in_units[0]
    gap = _families.exp_gap(-np.minimum(steps, 40.0))
    near = np.where(gap == 0.0, 0.0, ratio * gap)
    # from 40 on, exp(-steps) is nothing beside 1
    of_distance = np.where(steps < 40.0, near, np.where(ratio < np.inf, in_units[1] - ratio, np.inf))
    return _families.ratio_gap(scale1, scale2, scale1 - scale2) + of_distance


def kl_gamma(shape1, rate1, shape2, rate2, *, out=None, check=False):
    """KL divergence of gamma distributions with shapes a and rates b.

    It is (a1 - a2)*digamma(a1) - log gamma(a1) + log gamma(a2) + a2*log(b1/b2) + a1*(b2 - b1)/b1. shape1 and rate1 belong to
    the true distribution and come first.

    Parameters
    ----------
    shape1, shape2 : array_like
        Shapes: positive.
    rate1, rate2 : array_like
        Rates, the inverses of the scales: positive. All four are broadcast against each other.
    out, check
        As for `kl_exponential`.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for equal parameters; +inf only beyond the range of doubles. NaN
        where a parameter is 0, negative, infinite or NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl_exponential`.

    Notes
    -----
    Any real dtype, read as float64. Relative error at most 1e-13, however close the distributions are, for parameters of
    any size from 1e-150 to 1e150: it is computed as the sum of three terms that are never negative, a2*(r - 1 - log r)
    with the quotient r of the means, (s - 1 - log s)/2 with the quotient s of the shapes, and what Stirling's formula leaves
    out. Definition: Penny, Kullback-Leibler Divergences of Normal, Gamma, Dirichlet and Wishart Densities (2001).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_gamma(1e6, 2.0, 1e6 + 1.0, 2.000002):.12e}")
    2.499999166667e-13
    """
    named = {"shape1": shape1, "rate1": rate1, "shape2": shape2, "rate2": rate2}
    return _families.each(named, (POSITIVE,) * 4, _gamma, out, check)


def _gamma(shape1, rate1, shape2, rate2):
    difference = shape2 - shape1
    of_means = _families.product_ratio_gap((shape1, rate2), (rate1, shape2), shape2)
    of_shapes = 0.5 * _families.ratio_gap(shape2, shape1, difference)
    return of_means + of_shapes + _families.of_stirling_rest(shape1, shape2, difference)


def kl_beta(a1, b1, a2, b2, *, out=None, check=False):
    """KL divergence of beta distributions.

    It is the remainder of log gamma at a, plus that at b, less that at a + b, where the remainder from x1 to x2 is
    log gamma(x2) - log gamma(x1) - (x2 - x1)*digamma(x1). a1 and b1 belong to the true distribution and come first.

    Parameters
    ----------
    a1, b1, a2, b2 : array_like
        The exponents of x and of 1 - x in the density, each plus 1: positive, broadcast against each other.
    out, check
        As for `kl_exponential`.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for equal parameters. NaN where a parameter is 0, negative, infinite
        or NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl_exponential`.

    Notes
    -----
    A Dirichlet distribution of two components: dtypes and accuracy as `kl_dirichlet`. Definition: Gil, Alajaji and Linder,
    Rényi Divergence Measures for Commonly Used Univariate Continuous Distributions (2013).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_beta(1e6, 1e6, 1e6 + 1.0, 1e6 + 1.0):.12e}")
    2.499999583333e-13
    """
    return _families.each({"a1": a1, "b1": b1, "a2": a2, "b2": b2}, (POSITIVE,) * 4, _beta, out, check)


def _beta(a1, b1, a2, b2):
    return _dirichlet(np.stack([a1, b1], axis=-1), np.stack([a2, b2], axis=-1))


def kl_dirichlet(concentration1, concentration2, *, axis=-1, out=None, check=False):
    """KL divergence of Dirichlet distributions.

    It is the sum of the remainders of log gamma at the concentrations, less that at their sum, where the remainder from x1
    to x2 is log gamma(x2) - log gamma(x1) - (x2 - x1)*digamma(x1). concentration1 belongs to the true distribution and
    comes first.

    Parameters
    ----------
    concentration1, concentration2 : array_like
        Concentrations: positive, broadcast against each other.
    axis : int
        The axis along which the concentrations of one distribution lie.
    out, check
        As for `kl_exponential`.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for equal parameters. NaN where a concentration is 0, negative,
        infinite or NaN, and for distributions of no components.

    Raises
    ------
    TypeError, ValueError
        As `kl_exponential`, and for an axis that is not one of the array.

    Notes
    -----
    Any real dtype, read as float64. Relative error at most 1e-13 for up to 1000 concentrations from 1e-10 to 1e10, however
    close the distributions are; 1e-12 where all concentrations are tiny but one, which only the first distribution has large
    (some 1e-9 beside 1e8 and beside 1e-9). Beyond, digits may be missing where concentrations of one distribution are so
    many powers of ten apart.

    Computed as s2*KL(m2, m1), with the sums s and the means m of the distributions, and terms that matter for small
    concentrations, of which only the last is subtracted; and, where one concentration is all but the sum, from what the
    others change of it. Definition: Penny, Kullback-Leibler Divergences of Normal, Gamma, Dirichlet and Wishart Densities
    (2001).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_dirichlet([0.5, 1.0, 2.0], [0.5, 1.0, 2.0001]):.12e}")
    1.572832237219e-09
    """
    named = {"concentration1": concentration1, "concentration2": concentration2}
    return _families.components(named, _dirichlet, axis, out, check)


def _dirichlet(a, b):
    """The remainders of log gamma at the components, less that at their sum."""
    if a.shape[-1] == 1:
        return np.zeros(a.shape[:-1])
    result = _all_alike(a, b)
    is_largest = np.arange(a.shape[-1]) == np.argmax(a, axis=-1)[..., None]
    (one_a, more_a), (one_b, more_b) = (
        (np.max(x * is_largest, axis=-1), np.sum(x * ~is_largest, axis=-1)) for x in (a, b)
    )
    # How small the others must be for the largest to be set apart; close to that, both ways are good.
    is_alone = (more_a < np.minimum(0.25, one_a / 8.0)) & (more_b < one_b / 8.0)
    if np.any(is_alone):
        result[is_alone] = _one_apart(a[is_alone], b[is_alone], is_largest[is_alone])
    return result


def _all_alike(a, b):
    """The remainder of log gamma is that of x*log(x), half of that of -log(x), and that of the rest of Stirling's formula.

    Of x*log(x), the remainders at the components less that at their sum are a KL divergence, which the library has; of
    -log(x), they are one and a sum that is never negative. The last is subtracted.
    """
    difference = b - a
    sum_a, sum_b, sum_difference = (np.sum(one, axis=-1) for one in (a, b, difference))
    gap = _families.ratio_gap(b, a, difference)
    of_shares = sum_b * kl_divergence(b, a) + 0.5 * kl_divergence(a, b)
    of_components = 0.5 * np.sum(_without(a) / sum_a[..., None] * gap, axis=-1)
    rest = np.sum(_families.of_stirling_rest(a, b, difference), axis=-1)
    rest_of_sum = _families.of_stirling_rest(sum_a, sum_b, sum_difference)
    positive = of_shares + of_components + rest
    return np.where(positive == np.inf, np.inf, np.maximum(positive - rest_of_sum, 0.0))


def _one_apart(a, b, is_largest):
    """If one component is nearly the sum: what the others cost, and the difference of the two, which is no difference."""
    difference = b - a
    others = ~is_largest
    of_others = np.sum(np.where(others, _families.of_log_gamma(a, b, difference), 0.0), axis=-1)
    more_a, more_b, more_difference = (np.sum(np.where(others, one, 0.0), axis=-1) for one in (a, b, difference))
    beside = _families.of_log_gamma_beside(
        a[is_largest], b[is_largest], more_a, more_b, difference[is_largest], more_difference
    )
    return np.maximum(of_others + beside, 0.0)


def _without(a):
    """The sum of all other components, which for the largest may be far less than the sum of all."""
    is_largest = np.arange(a.shape[-1]) == np.argmax(a, axis=-1)[..., None]
    others = np.sum(np.where(is_largest, 0.0, a), axis=-1, keepdims=True)
    return np.where(is_largest, others, np.sum(a, axis=-1, keepdims=True) - a)
