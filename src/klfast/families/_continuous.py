"""Exponential, Laplace, gamma, beta and Dirichlet distributions."""

from klfast import _families
from klfast._checks_families import POSITIVE, REAL


def kl_exponential(rate1, rate2, *, out=None, check=False, n_threads=None):
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
    n_threads : int, optional
        How many threads this call may use.

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
    return _families.each("exponential", {"rate1": rate1, "rate2": rate2}, (POSITIVE, POSITIVE), out, check, n_threads)


def kl_laplace(loc1, scale1, loc2, scale2, *, out=None, check=False, n_threads=None):
    """KL divergence of Laplace distributions, log(scale2/scale1) + (d + scale1*exp(-d/scale1))/scale2 - 1, d = |loc1 - loc2|.

    loc1 and scale1 belong to the true distribution and come first.

    Parameters
    ----------
    loc1, loc2 : array_like
        Means.
    scale1, scale2 : array_like
        Mean distances from the mean: positive. All four are broadcast against each other.
    out, check, n_threads
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
    return _families.each("laplace", named, (REAL, POSITIVE, REAL, POSITIVE), out, check, n_threads)


def kl_gamma(shape1, rate1, shape2, rate2, *, out=None, check=False, n_threads=None):
    """KL divergence of gamma distributions with shapes a and rates b.

    It is (a1 - a2)*digamma(a1) - log gamma(a1) + log gamma(a2) + a2*log(b1/b2) + a1*(b2 - b1)/b1. shape1 and rate1 belong to
    the true distribution and come first.

    Parameters
    ----------
    shape1, shape2 : array_like
        Shapes: positive.
    rate1, rate2 : array_like
        Rates, the inverses of the scales: positive. All four are broadcast against each other.
    out, check, n_threads
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
    return _families.each("gamma", named, (POSITIVE,) * 4, out, check, n_threads)


def kl_beta(a1, b1, a2, b2, *, out=None, check=False, n_threads=None):
    """KL divergence of beta distributions.

    It is the remainder of log gamma at a, plus that at b, less that at a + b, where the remainder from x1 to x2 is
    log gamma(x2) - log gamma(x1) - (x2 - x1)*digamma(x1). a1 and b1 belong to the true distribution and come first.

    Parameters
    ----------
    a1, b1, a2, b2 : array_like
        The exponents of x and of 1 - x in the density, each plus 1: positive, broadcast against each other.
    out, check, n_threads
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
    return _families.each("beta", {"a1": a1, "b1": b1, "a2": a2, "b2": b2}, (POSITIVE,) * 4, out, check, n_threads)


def kl_dirichlet(concentration1, concentration2, *, axis=-1, out=None, check=False, n_threads=None):
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
    out, check, n_threads
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
    return _families.dirichlet(named, axis, out, check, n_threads)
