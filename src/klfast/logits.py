"""Logits: any real scores, of which the softmax is meant. -inf says that a class is impossible.

Softmax is never stored. In all functions a row with NaN or +inf gives NaN, and so does one that is all -inf or empty.
"""

import numpy as np

from klfast import _checks
from klfast._dispatch import reduce, reduce_labels


def kl_divergence(x, y, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, check=False):
    """Kullback-Leibler divergence D(p || q) of p = softmax(x) and q = softmax(y), sum p*log(p/q).

    x holds the logits of the true distribution and comes first (torch and optax take log q first).

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other.
    axis : int, tuple of int, or None
        The axis, or axes, along which the classes lie; None for all of them.
    keepdims : bool
        Keep the reduced axes with length 1.
    base : float, optional
        Base of the logarithm; nats by default, 2 gives bits.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for NaN and +inf; without it their rows are NaN.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution. Never negative, exactly 0 for identical rows. Classes that are -inf in both add
        nothing; one that is -inf in y alone makes the result +inf.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, and bad keywords; before any work.

    Notes
    -----
    Relative error at most 2**-21 for float32 input and 2**-49 for float64, however close x and y are. The same bits for any
    number of threads and any memory layout.

    Examples
    --------
    >>> import klfast
    >>> x, y = [1.0, 2.0, 3.0], [1.0, 2.0, 3.0001]
    >>> print(f"{klfast.logits.kl_divergence(x, y):.12e}")
    1.113464866231e-09
    """
    return _scores("kl_divergence", {"x": x, "y": y}, axis, keepdims, base, out, n_threads, check)


def js_divergence(x, y, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, check=False):
    """Jensen-Shannon divergence of p = softmax(x) and q = softmax(y), (D(p || m) + D(q || m))/2 with m = (p + q)/2.

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other.
    axis, keepdims, base, out, n_threads, check
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value from 0 to log 2 for each distribution, exactly 0 for identical rows, and finite wherever -inf stands.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Accuracy as `kl_divergence`. Definition: Lin, Divergence Measures Based on the Shannon Entropy (1991).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.js_divergence([0.0, 1.0], [1.0, 0.0], base=2):.12f}")
    0.160058462017
    """
    return _scores("js_divergence", {"x": x, "y": y}, axis, keepdims, base, out, n_threads, check)


def entropy(x, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, check=False):
    """Shannon entropy of p = softmax(x), -sum p*log p.

    Parameters
    ----------
    x : array_like
        Logits.
    axis, keepdims, base, out, n_threads, check
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution; exactly 0 if only one class is possible.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Relative error at most 2**-22 for float32 input and 2**-49 for float64.

    Examples
    --------
    >>> import klfast
    >>> float(klfast.logits.entropy([0.0, 0.0, 0.0, 0.0], base=2))
    2.0
    """
    return _scores("entropy", {"x": x}, axis, keepdims, base, out, n_threads, check)


def cross_entropy(x, target, *, axis=-1, keepdims=False, base=None, out=None, n_threads=None, check=False):
    """Cross-entropy of logits and class ids, -log softmax(x)[target].

    Parameters
    ----------
    x : array_like
        Logits.
    target : array_like of int
        The class that is right, for each distribution: the shape of x without `axis`.
    axis : int
        The axis along which the classes lie.
    keepdims, base, out, n_threads, check
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, never negative; +inf if the class is impossible.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`, and for class ids that are no integers.
    IndexError
        For a class id out of range; it names the place and the id.

    Notes
    -----
    Relative error at most 2**-22 for float32 input and 2**-49 for float64, however sure the row is of its target.

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.cross_entropy([40.0, 0.0, 0.0], 0):.6e}")
    8.496709e-18
    """
    return reduce_labels(x, target, axis=axis, keepdims=keepdims, base=base, out=out, n_threads=n_threads, check=check)


def logsumexp(x, *, axis=-1, keepdims=False, out=None, n_threads=None, check=False):
    """The logarithm of the sum of the exponentials, log sum exp(x), without overflow.

    Parameters
    ----------
    x : array_like
        Logits.
    axis, keepdims, out, n_threads, check
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each row; -inf for an empty one and for one that is all -inf.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Error at most 2**-22 for float32 input and 2**-49 for float64, relative to the largest of the result, the largest
    logit and log n.

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.logsumexp([1000.0, 1000.0]):.12f}")
    1000.693147180560
    """
    return _scores("logsumexp", {"x": x}, axis, keepdims, None, out, n_threads, check, empty=-np.inf)


def _scores(operation, inputs, axis, keepdims, base, out, n_threads, check, empty=np.nan):
    return reduce(
        f"logits_{operation}",
        inputs,
        axis=axis,
        keepdims=keepdims,
        base=base,
        out=out,
        n_threads=n_threads,
        check=_checks.scores if check else None,
        empty=empty,
    )
