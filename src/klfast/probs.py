"""Probabilities or counts: non-negative weights, which every function divides by their sum unless told not to."""

import numpy as np

from klfast._dispatch import reduce_weights
from klfast._mixture import mixture_divergence


def kl_divergence(
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
    """Kullback-Leibler divergence of q from p, D(p || q) = sum p*log(p/q).

    p is the true distribution and comes first (torch and optax take log q first).

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis : int, tuple of int, or None
        The axis, or axes, along which one distribution lies; None for all of them.
    keepdims : bool
        Keep the reduced axes with length 1.
    where : array_like of bool, optional
        Which entries count, broadcast to the shape of the inputs. The others are skipped, whatever they hold, as if they
        were not there. Entries that a masked array hides are left out in the same way.
    base : float, optional
        Base of the logarithm; nats by default, 2 gives bits.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    normalize : bool
        False gives the plain sum of p*log(p/q) of the numbers as they are.
    check : bool
        Raise ValueError for negative, NaN or infinite entries; without it their rows are NaN.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution. Never negative if normalised, exactly 0 for identical rows and where one is a
        multiple of the other (of numbers from 2**-400 to 2**400); +inf where p > 0 and q = 0; p = 0 adds nothing. NaN, and
        not +inf, where p or q has no weight at all, and for empty ones; not normalised, these are sums like any other.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, and bad keywords; before any work.

    Notes
    -----
    Relative error at most 2**-21 for float32, float16 and bfloat16 input and 2**-49 for all other, however close p and q
    are. The plain sum is as accurate relative to the sum of the absolute terms. The same bits for any number of threads and
    any memory layout. The generalised divergence of numbers that are not normalised is the sum of `klfast.kl_div`.
    Definition: Kullback and Leibler, On Information and Sufficiency (1951).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.kl_divergence([0.5, 0.5], [0.25, 0.75], base=2))
    0.2075187496394219
    """
    return reduce_weights(
        "kl_divergence", {"p": p, "q": q}, axis, keepdims, where, base, out, n_threads, normalize, check, dtype
    )


def cross_entropy(
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
    """Cross-entropy of q relative to p, -sum p*log q.

    p is the true distribution and comes first.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`.
    normalize : bool
        False gives the plain sum of -p*log q of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution; +inf where p > 0 and q = 0; p = 0 adds nothing. NaN, and not +inf, where p or q
        has no weight at all, and for empty ones; not normalised, these are sums like any other.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Relative error at most 2**-22 for float32 input and 2**-49 for float64. The same bits for any number of threads and any
    memory layout.

    Examples
    --------
    >>> import klfast
    >>> float(klfast.cross_entropy([0.5, 0.5], [0.25, 0.75], base=2))
    1.207518749639422
    """
    return reduce_weights(
        "cross_entropy", {"p": p, "q": q}, axis, keepdims, where, base, out, n_threads, normalize, check, dtype
    )


def entropy(
    p,
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
    """Shannon entropy, -sum p*log p.

    Parameters
    ----------
    p : array_like
        Non-negative weights: probabilities or counts. Each row is divided by its sum.
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`.
    normalize : bool
        False gives the plain sum of -p*log p of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, exactly 0 for a certain event; p = 0 adds nothing. NaN for rows without any
        weight, and for empty ones (0 if not normalised).

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Relative error at most 2**-22 for float32 input and 2**-49 for float64. The same bits for any number of threads and any
    memory layout. Definition: Shannon, A Mathematical Theory of Communication (1948).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.entropy([1, 1, 2], base=2))
    1.5
    """
    return reduce_weights("entropy", {"p": p}, axis, keepdims, where, base, out, n_threads, normalize, check, dtype)


def js_divergence(
    p,
    q=None,
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
    weights=None,
):
    """Jensen-Shannon divergence, (D(p || m) + D(q || m))/2 with m = (p + q)/2; or that of any number of distributions.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum. Without q, p is a stack of n distributions, of shape (n, ...).
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`. In a stack, `axis` and `where` refer to the whole stack, and None means all axes but the
        first, which is never reduced.
    normalize : bool
        False gives the plain sum of p*log(2p/(p+q))/2 + q*log(2q/(p+q))/2 of the numbers as they are.
    weights : array_like, optional
        How much each distribution counts: two numbers, or n for a stack; equal by default, and no masked array. They are
        divided by their sum. The divergence is then sum w_i*D(p_i || m) with m = sum w_i*p_i.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, from 0 (exactly so for identical rows) to log 2 (exactly so for rows without a
        common event); up to the entropy of the weights in general. NaN for rows without any weight, and for empty ones
        (0 if not normalised).

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`; for weights that do not fit, and for normalize=False with weights or a stack.

    Notes
    -----
    Accuracy as `kl_divergence`. Weighted and stacked divergences can be off by 2**-100 besides, and need memory for m, some
    float64 for each entry of one distribution. Definition: Lin, Divergence Measures Based on the Shannon Entropy (1991).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.js_divergence([1.0, 0.0], [0.0, 1.0], base=2))
    1.0
    >>> print(f"{klfast.js_divergence([[4, 0, 0], [0, 4, 0], [0, 0, 4]], base=3):.12f}")
    1.000000000000
    """
    if q is None or weights is not None:
        return mixture_divergence(p, q, axis, keepdims, where, base, out, n_threads, normalize, check, dtype, weights)
    return reduce_weights(
        "js_divergence", {"p": p, "q": q}, axis, keepdims, where, base, out, n_threads, normalize, check, dtype
    )


def js_distance(
    p,
    q=None,
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
    weights=None,
):
    """Jensen-Shannon distance, the square root of `js_divergence`: a metric.

    Parameters
    ----------
    p, q, axis, keepdims, where, base, out, n_threads, normalize, check, dtype, weights
        As for `js_divergence`. The divergence is taken to `base` before the root.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, from 0 to sqrt(log 2).

    Raises
    ------
    TypeError, ValueError
        As `js_divergence`.

    Notes
    -----
    Half the relative error of `js_divergence`. The same as scipy.spatial.distance.jensenshannon, wherever that is a number.
    Definition: Endres and Schindelin, A New Metric for Probability Distributions (2003).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.js_distance([1.0, 0.0], [0.5, 0.5]):.12f}")
    0.464501404022
    """
    value = js_divergence(
        p,
        q,
        axis=axis,
        keepdims=keepdims,
        where=where,
        base=base,
        out=out,
        n_threads=n_threads,
        normalize=normalize,
        check=check,
        dtype=dtype,
        weights=weights,
    )
    with np.errstate(invalid="ignore"):  # to a base below 1 the divergence is negative
        return np.sqrt(value, out=out)
