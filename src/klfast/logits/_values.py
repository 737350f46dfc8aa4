"""One number for every row of logits."""

import numpy as np

from klfast import _checks
from klfast._dispatch import reduce


def kl_divergence(
    x,
    y,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Kullback-Leibler divergence D(p || q) of p = softmax(x/T) and q = softmax(y/T), sum p*log(p/q).

    x holds the logits of the true distribution and comes first (torch and optax take log q first).

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other.
    axis : int, tuple of int, or None
        The axis, or axes, along which the classes lie; None for all of them.
    keepdims : bool
        Keep the reduced axes with length 1.
    where : array_like of bool, optional
        Which classes count, broadcast to the shape of the logits. The others are skipped, whatever they hold, as if they
        were not there. Entries that a masked array hides are left out in the same way.
    temperature : float
        T, which divides all logits: a number above 0, from 1e-15 to 1e15. The result is not multiplied by T**2.
    base : float, optional
        Base of the logarithm; nats by default, 2 gives bits.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for NaN and +inf; without it their rows are NaN.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution. Never negative, exactly 0 for identical rows. Classes that are -inf in both add
        nothing; one that is -inf in y alone makes the result +inf. NaN for rows with NaN or +inf, and for those that are
        all -inf or empty.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, and bad keywords; before any work.

    Notes
    -----
    Logits are float64, float32, float16, bfloat16, integers or bools, the latter two read as float64. Relative error at
    most 2**-21 for float32, float16 and bfloat16 input and 2**-49 for all other, however close x and y are. The same bits
    for any number of threads and any memory layout. Definition: Kullback and Leibler, On Information and Sufficiency
    (1951); the temperature: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015).

    Examples
    --------
    >>> import klfast
    >>> x, y = [1.0, 2.0, 3.0], [1.0, 2.0, 3.0001]
    >>> print(f"{klfast.logits.kl_divergence(x, y):.12e}")
    1.113464866231e-09
    """
    parameters = {"temperature": _checks.temperature(temperature)}
    return _reduce(
        "kl_divergence", {"x": x, "y": y}, axis, keepdims, where, base, out, n_threads, check, dtype, parameters
    )


def js_divergence(
    x,
    y,
    *,
    beta=0.5,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Jensen-Shannon divergence of p = softmax(x/T) and q = softmax(y/T), (D(p || m) + D(q || m))/2 with m = (p + q)/2.

    With another `beta` it is the skewed one, beta*D(p || m) + (1 - beta)*D(q || m) with m = beta*p + (1 - beta)*q.

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other.
    beta : float
        The share of p in the mixture, between 0 and 1 and neither of them: there the divergence is 0, and what is meant
        is `kl_divergence` of (x, y) or (y, x), to which it comes down when divided by beta or 1 - beta.
    axis, keepdims, where, temperature, base, out, n_threads, check, dtype
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, from 0 (exactly so for identical rows) to log 2 (with beta, to the entropy of beta
        and 1 - beta), and finite wherever -inf stands.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`, and for a beta that is not between 0 and 1.

    Notes
    -----
    Accuracy as `kl_divergence`, but that probabilities below 2**-960 count as 0. Definition: Lin, Divergence Measures Based
    on the Shannon Entropy (1991).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.js_divergence([0.0, 1.0], [1.0, 0.0], base=2):.12f}")
    0.160058462017
    """
    parameters = {"temperature": _checks.temperature(temperature), "beta": _checks.beta(beta)}
    return _reduce(
        "js_divergence", {"x": x, "y": y}, axis, keepdims, where, base, out, n_threads, check, dtype, parameters
    )


def js_distance(
    x,
    y,
    *,
    beta=0.5,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Jensen-Shannon distance of p = softmax(x/T) and q = softmax(y/T), the square root of `js_divergence`.

    Parameters
    ----------
    x, y, beta, axis, keepdims, where, temperature, base, out, n_threads, check, dtype
        As for `js_divergence`. The divergence is taken to `base` before the root.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, from 0 to sqrt(log 2). For beta = 1/2 it is a metric.

    Raises
    ------
    TypeError, ValueError
        As `js_divergence`.

    Notes
    -----
    Half the relative error of `js_divergence`. Definition: Endres and Schindelin, A New Metric for Probability
    Distributions (2003).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.js_distance([0.0, 1.0], [1.0, 0.0], base=2):.12f}")
    0.400073070847
    """
    value = js_divergence(
        x,
        y,
        beta=beta,
        axis=axis,
        keepdims=keepdims,
        where=where,
        temperature=temperature,
        base=base,
        out=out,
        n_threads=n_threads,
        check=check,
        dtype=dtype,
    )
    with np.errstate(invalid="ignore"):  # to a base below 1 the divergence is negative
        return np.sqrt(value, out=out)


def entropy(
    x,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Shannon entropy of p = softmax(x/T), -sum p*log p.

    Parameters
    ----------
    x : array_like
        Logits.
    axis, keepdims, where, temperature, base, out, n_threads, check, dtype
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
    Relative error at most 2**-22 for float32, float16 and bfloat16 input and 2**-49 for all other. Definition: Shannon, A
    Mathematical Theory of Communication (1948).

    Examples
    --------
    >>> import klfast
    >>> float(klfast.logits.entropy([0.0, 0.0, 0.0, 0.0], base=2))
    2.0
    """
    parameters = {"temperature": _checks.temperature(temperature)}
    return _reduce("entropy", {"x": x}, axis, keepdims, where, base, out, n_threads, check, dtype, parameters)


def logsumexp(
    x,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """The logarithm of the sum of the exponentials, log sum exp(x/T), without overflow.

    Parameters
    ----------
    x : array_like
        Logits.
    axis, keepdims, where, temperature, out, n_threads, check, dtype
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each row; -inf for an empty one and for one that is all -inf, NaN for one with NaN or +inf.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    Error at most 2**-22 for float32, float16 and bfloat16 input and 2**-49 for all other, relative to the largest of
    |result|, |largest logit/T| and log n.

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.logsumexp([1000.0, 1000.0]):.12f}")
    1000.693147180560
    """
    parameters = {"temperature": _checks.temperature(temperature)}
    return _reduce(
        "logsumexp", {"x": x}, axis, keepdims, where, None, out, n_threads, check, dtype, parameters, empty=-np.inf
    )


def _reduce(operation, named, axis, keepdims, where, base, out, n_threads, check, dtype, parameters, empty=np.nan):
    check = _checks.scores if check else None
    return reduce(
        f"logits_{operation}",
        named,
        axis,
        keepdims,
        where,
        base,
        out,
        n_threads,
        check,
        dtype,
        empty,
        parameters=parameters,
    )
