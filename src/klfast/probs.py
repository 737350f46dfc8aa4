"""Probabilities or counts: non-negative weights, which every function divides by their sum unless told not to."""

import numpy as np

from klfast import _checks
from klfast._dispatch import reduce


def kl_divergence(p, q, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, normalize=True, check=False):
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

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution. Never negative if normalised, exactly 0 for identical rows; +inf where p > 0 and
        q = 0; p = 0 adds nothing. NaN for rows without any weight, and for empty ones (0 if not normalised).

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, and bad keywords; before any work.

    Notes
    -----
    Relative error at most 2**-21 for float32 input and 2**-49 for float64, however close p and q are. The plain sum is as
    accurate relative to the sum of the absolute terms. The same bits for any number of threads and any memory layout.
    Definition: Kullback and Leibler, On Information and Sufficiency (1951).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.kl_divergence([0.5, 0.5], [0.25, 0.75], base=2))
    0.2075187496394219
    """
    return _weights("kl_divergence", {"p": p, "q": q}, axis, keepdims, base, out, n_threads, normalize, check)


def cross_entropy(p, q, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, normalize=True, check=False):
    """Cross-entropy of q relative to p, -sum p*log q.

    p is the true distribution and comes first.

    Parameters
    ----------
    p, q : array_like
        Non-negative weights: probabilities or counts. They are broadcast against each other, and each row is divided by
        its sum.
    axis, keepdims, base, out, n_threads, check
        As for `kl_divergence`.
    normalize : bool
        False gives the plain sum of -p*log q of the numbers as they are.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution; +inf where p > 0 and q = 0; p = 0 adds nothing. NaN for rows without any weight,
        and for empty ones (0 if not normalised).

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
    return _weights("cross_entropy", {"p": p, "q": q}, axis, keepdims, base, out, n_threads, normalize, check)


def entropy(p, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, normalize=True, check=False):
    """Shannon entropy, -sum p*log p.

    Parameters
    ----------
    p : array_like
        Non-negative weights: probabilities or counts. Each row is divided by its sum.
    axis, keepdims, base, out, n_threads, check
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
    return _weights("entropy", {"p": p}, axis, keepdims, base, out, n_threads, normalize, check)


def _weights(operation, inputs, axis, keepdims, base, out, n_threads, normalize, check):
    return reduce(
        operation if normalize else f"raw_{operation}",
        inputs,
        axis=axis,
        keepdims=keepdims,
        base=base,
        out=out,
        n_threads=n_threads,
        check=_checks.weights if check else None,
        empty=np.nan if normalize else 0.0,
    )
