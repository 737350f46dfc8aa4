"""Bernoulli, categorical and Poisson distributions."""

from klfast import _families
from klfast import logits as of_logits
from klfast._checks_families import LOGIT, NON_NEGATIVE, PROBABILITY
from klfast.probs import kl_divergence


def kl_bernoulli(p1, p2, *, out=None, check=False, n_threads=None):
    """KL divergence of Bernoulli distributions from their probabilities, p1*log(p1/p2) + (1 - p1)*log((1 - p1)/(1 - p2)).

    p1 belongs to the true distribution and comes first.

    Parameters
    ----------
    p1, p2 : array_like
        Probabilities of a success, from 0 to 1, broadcast against each other.
    out : ndarray of float64, optional
        Where to write the result: of its shape, any strides, not overlapping the input.
    check : bool
        Raise ValueError for parameters that no such distribution has; without it their elements are NaN.
    n_threads : int, optional
        How many threads this call may use.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for p1 = p2; -log(1 - p2) for p1 = 0 and -log(p2) for p1 = 1;
        +inf where p2 rules out what p1 does not. NaN where a parameter is NaN or not from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, masked arrays, and an `out` that does not fit;
        before any work.

    Notes
    -----
    Any real dtype, read as float64. Relative error at most 1e-14, however close p1 and p2 are, to each other and to 0 or
    1. Close to 1, what counts is 1 - p, of which p keeps few digits: there, `kl_bernoulli_logits` can be told more, and so
    can this function, of failures in place of successes. Definition: Kullback, Information Theory and Statistics (1959).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_bernoulli(1e-8, 2e-8):.12e}")
    3.068528244401e-09
    """
    return _families.each("bernoulli", {"p1": p1, "p2": p2}, (PROBABILITY, PROBABILITY), out, check, n_threads)


def kl_bernoulli_logits(x1, x2, *, out=None, check=False, n_threads=None):
    """KL divergence of Bernoulli distributions from their logits x = log(p/(1 - p)).

    It is p1*(x1 - x2) + softplus(x2) - softplus(x1), with softplus(x) = log(1 + exp(x)) and p1 = 1/(1 + exp(-x1)). x1 belongs
    to the true distribution and comes first.

    Parameters
    ----------
    x1, x2 : array_like
        Logits, any real numbers or -inf (never) and inf (always), broadcast against each other.
    out, check, n_threads
        As for `kl_bernoulli`.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for x1 = x2; +inf where x2 is infinite and x1 is not the same.
        NaN where one is NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl_bernoulli`.

    Notes
    -----
    Any real dtype, read as float64. Relative error at most 1e-14, however close x1 and x2 are, and however large.
    Definition: as `kl_bernoulli`.

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_bernoulli_logits(30.0, 31.0):.12e}")
    3.442477108469e-14
    """
    return _families.each("bernoulli_logits", {"x1": x1, "x2": x2}, (LOGIT, LOGIT), out, check, n_threads)


def kl_categorical(p, q, *, axis=-1, out=None, check=False, n_threads=None):
    """KL divergence of categorical distributions from their probabilities, sum p*log(p/q): `klfast.kl_divergence`.

    p belongs to the true distribution and comes first.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights, broadcast against each other. Each row is divided by its sum.
    axis : int, tuple of int, or None
        The axis, or axes, along which one distribution lies; None for all of them.
    out : ndarray of float64, optional
        Where to write the result.
    check : bool
        Raise ValueError for negative, NaN or infinite entries; without it their rows are NaN.
    n_threads : int, optional
        How many threads this call may use.

    Returns
    -------
    float64 or ndarray of float64
        As `klfast.kl_divergence`: nats, +inf where q = 0 < p.

    Raises
    ------
    TypeError, ValueError
        As `klfast.kl_divergence`.

    Notes
    -----
    Dtypes and accuracy as `klfast.kl_divergence`, which has more options. Definition: Kullback and Leibler, On Information
    and Sufficiency (1951).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_categorical([0.5, 0.5], [0.25, 0.75]):.12f}")
    0.143841036226
    """
    return kl_divergence(p, q, axis=axis, out=out, check=check, n_threads=n_threads)


def kl_categorical_logits(x, y, *, axis=-1, out=None, check=False, n_threads=None):
    """KL divergence of categorical distributions softmax(x) and softmax(y): `klfast.logits.kl_divergence`.

    x belongs to the true distribution and comes first.

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other; -inf for what cannot be.
    axis, out, n_threads
        As for `kl_categorical`.
    check : bool
        Raise ValueError for NaN and +inf; without it their rows are NaN.

    Returns
    -------
    float64 or ndarray of float64
        As `klfast.logits.kl_divergence`: nats, +inf where y alone is -inf.

    Raises
    ------
    TypeError, ValueError
        As `klfast.logits.kl_divergence`.

    Notes
    -----
    Dtypes and accuracy as `klfast.logits.kl_divergence`, which has more options. Definition: as `kl_categorical`.

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_categorical_logits([0.0, 0.0], [0.0, 1.0]):.12f}")
    0.120114506958
    """
    return of_logits.kl_divergence(x, y, axis=axis, out=out, check=check, n_threads=n_threads)


def kl_poisson(rate1, rate2, *, out=None, check=False, n_threads=None):
    """KL divergence of Poisson distributions, rate1*log(rate1/rate2) - rate1 + rate2.

    rate1 belongs to the true distribution and comes first.

    Parameters
    ----------
    rate1, rate2 : array_like
        Expected counts, 0 or larger, broadcast against each other. With 0 nothing is ever counted.
    out, check, n_threads
        As for `kl_bernoulli`.

    Returns
    -------
    float64 or ndarray of float64
        Nats, one for each pair. Never negative, exactly 0 for rate1 = rate2; rate2 where rate1 = 0; +inf where
        rate2 = 0 < rate1. NaN where a rate is negative, infinite or NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl_bernoulli`.

    Notes
    -----
    Any real dtype, read as float64. Within 2 units in the last place of the exact value, however close the rates are.
    Definition: Kullback, Information Theory and Statistics (1959).

    Examples
    --------
    >>> import klfast.families
    >>> print(f"{klfast.families.kl_poisson(1000.0, 1000.001):.12e}")
    4.999996666433e-10
    """
    return _families.each(
        "poisson", {"rate1": rate1, "rate2": rate2}, (NON_NEGATIVE, NON_NEGATIVE), out, check, n_threads
    )
