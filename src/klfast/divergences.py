"""Further distances and divergences of two distributions, given as probabilities or counts."""

from klfast import _checks
from klfast._dispatch import reduce, reduce_weights


def total_variation(
    p,
    q,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    out=None,
    n_threads=None,
    normalize=True,
    check=False,
    dtype=None,
):
    """Total variation distance, sum |p - q|/2: the most by which the probability of any event can differ.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis, keepdims, where, out, n_threads, check, dtype
        As for `kl_divergence`.
    normalize : bool
        False gives sum |p - q|/2 of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value from 0 to 1 for each distribution, exactly 0 for identical rows, and 1 for rows without a common event.
        NaN for rows without any weight, and for empty ones (0 if not normalised).

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Accuracy as `kl_divergence`, however close p and q are.

    Examples
    --------
    >>> import klfast
    >>> float(klfast.total_variation([0.5, 0.5], [0.25, 0.75]))
    0.25
    """
    return reduce_weights(
        "total_variation", {"p": p, "q": q}, axis, keepdims, where, None, out, n_threads, normalize, check, dtype
    )


def hellinger(
    p,
    q,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    out=None,
    n_threads=None,
    normalize=True,
    check=False,
    dtype=None,
):
    """Hellinger distance, sqrt(sum (sqrt p - sqrt q)^2/2), which is sqrt(1 - sum sqrt(p*q)).

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis, keepdims, where, out, n_threads, check, dtype
        As for `kl_divergence`.
    normalize : bool
        False gives sqrt(sum (sqrt p - sqrt q)^2/2) of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value from 0 to 1 for each distribution, exactly 0 for identical rows, and 1 for rows without a common event.
        NaN for rows without any weight, and for empty ones (0 if not normalised).

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Accuracy as `kl_divergence`, however close p and q are. Definition: Hellinger (1909).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.hellinger([1.0, 0.0], [0.0, 1.0]))
    1.0
    """
    return reduce_weights(
        "hellinger", {"p": p, "q": q}, axis, keepdims, where, None, out, n_threads, normalize, check, dtype
    )


def chi2_divergence(
    p,
    q,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    out=None,
    n_threads=None,
    normalize=True,
    check=False,
    dtype=None,
):
    """Pearson's chi-squared divergence of q from p, sum (p - q)^2/q.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis, keepdims, where, out, n_threads, check, dtype
        As for `kl_divergence`.
    normalize : bool
        False gives sum (p - q)^2/q of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, exactly 0 for identical rows; +inf where p > 0 and q = 0; an event impossible in both
        adds nothing. NaN, and not +inf, where p or q has no weight at all, and for empty ones; not normalised, these are sums
        like any other.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Accuracy as `kl_divergence`, however close p and q are. Definition: Pearson (1900).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.chi2_divergence([0.5, 0.5], [0.25, 0.75]))
    0.3333333333333333
    """
    return reduce_weights(
        "chi2_divergence", {"p": p, "q": q}, axis, keepdims, where, None, out, n_threads, normalize, check, dtype
    )


def jeffreys(
    p,
    q,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    normalize=True,
    check=False,
    dtype=None,
):
    """Jeffreys divergence, D(p || q) + D(q || p) = sum (p - q)*log(p/q): the symmetric Kullback-Leibler divergence.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`.
    normalize : bool
        False gives sum (p - q)*log(p/q) of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, exactly 0 for identical rows; +inf where one of p and q is 0; an event impossible in
        both adds nothing. NaN, and not +inf, where p or q has no weight at all, and for empty ones; not normalised, these are
        sums like any other.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Accuracy as `kl_divergence`, however close p and q are. Definition: Jeffreys, An Invariant Form for the Prior
    Probability in Estimation Problems (1946).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.jeffreys([0.5, 0.5], [0.25, 0.75], base=4))
    0.1981203125901445
    """
    return reduce_weights(
        "jeffreys", {"p": p, "q": q}, axis, keepdims, where, base, out, n_threads, normalize, check, dtype
    )


def renyi_divergence(
    p,
    q,
    alpha,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Renyi divergence of order alpha of q from p, log(sum p^alpha*q^(1-alpha))/(alpha - 1).

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    alpha : float
        The order, from 0 to infinity. Order 1 is the Kullback-Leibler divergence, order 0 is -log of the sum of q where
        p > 0, infinite order is log of the largest p/q.
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, exactly 0 for identical rows, and never less for a higher order. From order 1 on
        +inf where p > 0 and q = 0; below only for rows without a common event. NaN, and not +inf, where p or q has no weight at
        all, and for empty ones.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`, and for an order that is no number from 0 to infinity.

    Notes
    -----
    Computed in double whatever the input; relative error at most 2**-45, however close p and q are and alpha is to 1 (order
    1 itself has the accuracy of `kl_divergence`). Rows that reach from one end of the range to the other, or whose sums are
    there, and rows that have almost no event in common go through their logarithms: the error is then
    2**-45/min(1, |alpha - 1|) relative to the largest of those.
    Definition: Renyi, On Measures of Entropy and Information (1961).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.renyi_divergence([0.5, 0.5], [0.25, 0.75], 2, base=2):.12f}")
    0.415037499279
    """
    alpha = _checks.order("alpha", alpha)
    named = {"p": p, "q": q}
    if alpha == 1.0:
        return reduce_weights("kl_divergence", named, axis, keepdims, where, base, out, n_threads, True, check, dtype)
    return reduce(
        "renyi_divergence",
        named,
        axis=axis,
        keepdims=keepdims,
        where=where,
        base=base,
        out=out,
        n_threads=n_threads,
        check=_checks.weights if check else None,
        dtype=dtype,
        compute="float64",
        parameters={"order": alpha},
    )
