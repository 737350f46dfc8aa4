"""Log-probabilities: what log_softmax gives. -inf says that a class is impossible.

They are logits of which the softmax is known. What rounding left of their normalisation is divided out, so every result is
what the function of the same name in `klfast.logits` gives: never negative, and right however small it is.
"""

import numpy as np

from klfast import _checks, _layout
from klfast._dispatch import reduce


def kl_divergence(
    lp,
    lq,
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
    """Kullback-Leibler divergence D(p || q) of p = exp(lp) and q = exp(lq), sum p*(lp - lq).

    lp belongs to the true distribution and comes first (torch and optax take lq first).

    Parameters
    ----------
    lp, lq : array_like
        Log-probabilities, broadcast against each other.
    axis : int, tuple of int, or None
        The axis, or axes, along which the classes lie; None for all of them.
    keepdims : bool
        Keep the reduced axes with length 1.
    where : array_like of bool, optional
        Which classes count, broadcast to the shape of the inputs. The others are skipped, whatever they hold, and the
        probabilities of the rest are divided by their sum. Entries that a masked array hides are left out in the same way.
    base : float, optional
        Base of the logarithm of the result; nats by default, 2 gives bits. The inputs are natural logarithms.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for NaN and +inf, and for rows whose probabilities (those that count) do not add up to 1 as closely
        as their type allows: within 2**-20 for float64, 2**-10 for float32, 2**-5 for float16 and 2**-3 for bfloat16.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution. Never negative, exactly 0 for identical rows. Classes that are -inf in both add
        nothing; one that is -inf in lq alone makes the result +inf. NaN for rows with NaN or +inf, and for those that are
        all -inf or empty.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, and bad keywords; before any work.

    Notes
    -----
    Relative error at most 2**-21 for float32, float16 and bfloat16 input and 2**-49 for all other, however close lp and lq
    are. The same bits for any number of threads and any memory layout. Definition: Kullback and Leibler, On Information and
    Sufficiency (1951).

    Examples
    --------
    >>> import klfast, numpy
    >>> lp, lq = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> print(f"{klfast.logprobs.kl_divergence(lp, lq, base=2):.12f}")
    0.207518749639
    """
    return _reduce("kl_divergence", {"lp": lp, "lq": lq}, axis, keepdims, where, base, out, n_threads, check, dtype)


def cross_entropy(
    lp,
    lq,
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
    """Cross-entropy of q = exp(lq) relative to p = exp(lp), -sum p*lq.

    lp belongs to the true distribution and comes first. For class ids see `klfast.logits.cross_entropy`.

    Parameters
    ----------
    lp, lq : array_like
        Log-probabilities, broadcast against each other.
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution, never negative. +inf where a class is -inf in lq alone; one that is -inf in lp adds
        nothing. NaN for rows with NaN or +inf, and for those that are all -inf or empty.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    Notes
    -----
    The sum of `entropy` of lp and `kl_divergence`, neither of which is negative: accuracy as `kl_divergence`.

    Examples
    --------
    >>> import klfast, numpy
    >>> lp, lq = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> print(f"{klfast.logprobs.cross_entropy(lp, lq, base=2):.12f}")
    1.207518749639
    """
    options = axis, keepdims, where, base
    divergence = _reduce("kl_divergence", {"lp": lp, "lq": lq}, *options, out, n_threads, check, dtype)
    first, second = _checks.inputs({"lp": lp, "lq": lq}, dtype)
    # Of the shape that both have together, and without what a mask hides in lq.
    options = axis, keepdims, _checks.included(where, [first, second]), base
    dtype = "bfloat16" if first.is_bfloat16 else None
    # In the type that both are computed in.
    compute = None if _layout.is_narrow(first) and _layout.is_narrow(second) else "float64"
    own = _reduce("entropy", {"lp": first.array}, *options, None, n_threads, False, dtype, None, compute)
    return np.add(divergence, own, out=out)


def entropy(
    lp,
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
    """Shannon entropy of p = exp(lp), -sum p*lp.

    Parameters
    ----------
    lp : array_like
        Log-probabilities.
    axis, keepdims, where, base, out, n_threads, check, dtype
        As for `kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each distribution; exactly 0 if only one class is possible. NaN for rows with NaN or +inf, and for
        those that are all -inf or empty.

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
    >>> import klfast, numpy
    >>> print(f"{klfast.logprobs.entropy(numpy.log([0.25, 0.25, 0.5]), base=2):.12f}")
    1.500000000000
    """
    return _reduce("entropy", {"lp": lp}, axis, keepdims, where, base, out, n_threads, check, dtype)


def js_divergence(
    lp,
    lq,
    *,
    beta=0.5,
    axis=-1,
    keepdims=False,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Jensen-Shannon divergence of p = exp(lp) and q = exp(lq), (D(p || m) + D(q || m))/2 with m = (p + q)/2.

    With another `beta` it is the skewed one, beta*D(p || m) + (1 - beta)*D(q || m) with m = beta*p + (1 - beta)*q.

    Parameters
    ----------
    lp, lq : array_like
        Log-probabilities, broadcast against each other.
    beta : float
        The share of p in the mixture, between 0 and 1 and neither of them.
    axis, keepdims, where, base, out, n_threads, check, dtype
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
    Accuracy as `kl_divergence`. Definition: Lin, Divergence Measures Based on the Shannon Entropy (1991).

    Examples
    --------
    >>> import klfast, numpy
    >>> lp, lq = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> print(f"{klfast.logprobs.js_divergence(lp, lq, base=2):.12f}")
    0.048794940695
    """
    parameters = {"beta": _checks.beta(beta)}
    return _reduce(
        "js_divergence", {"lp": lp, "lq": lq}, axis, keepdims, where, base, out, n_threads, check, dtype, parameters
    )


def js_distance(
    lp,
    lq,
    *,
    beta=0.5,
    axis=-1,
    keepdims=False,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Jensen-Shannon distance of p = exp(lp) and q = exp(lq), the square root of `js_divergence`.

    Parameters
    ----------
    lp, lq, beta, axis, keepdims, where, base, out, n_threads, check, dtype
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
    >>> import klfast, numpy
    >>> lp, lq = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> print(f"{klfast.logprobs.js_distance(lp, lq, base=2):.12f}")
    0.220895768849
    """
    options = {"axis": axis, "keepdims": keepdims, "where": where, "base": base, "check": check, "dtype": dtype}
    value = js_divergence(lp, lq, beta=beta, **options, out=out, n_threads=n_threads)
    with np.errstate(invalid="ignore"):  # to a base below 1 the divergence is negative
        return np.sqrt(value, out=out)


# By how much the probabilities of a row, each rounded to its type as a logarithm, may miss a sum of 1.
TOLERANCES = {"float16": 2.0**-5, "float32": 2.0**-10}
BFLOAT16_TOLERANCE = 2.0**-3
TOLERANCE = 2.0**-20


def _reduce(operation, named, axis, keepdims, where, base, out, n_threads, check, dtype, parameters=None, compute=None):
    """The same of logits."""
    if check:
        _check_sums(named, axis, where, n_threads, dtype)
    return reduce(
        f"logits_{operation}",
        named,
        axis,
        keepdims,
        where,
        base,
        out,
        n_threads,
        dtype=dtype,
        compute=compute,
        parameters={} if parameters is None else parameters,
    )


def _check_sums(named, axis, where, n_threads, dtype):
    """All entries must be log-probabilities, and those of a row together the whole."""
    inputs = _checks.inputs(named, dtype)
    chosen = _checks.included(where, inputs)
    for one in inputs:
        _checks.scores(one, chosen)
        of_type = "bfloat16" if one.is_bfloat16 else None
        logarithms = reduce(
            "logits_logsumexp",
            {one.name: one.array},
            axis,
            False,
            chosen,
            None,
            None,
            n_threads,
            None,
            of_type,
            -np.inf,
        )
        with np.errstate(over="ignore"):
            sums = np.exp(logarithms)
        tolerance = BFLOAT16_TOLERANCE if one.is_bfloat16 else TOLERANCES.get(one.array.dtype.name, TOLERANCE)
        _checks.add_up(one.name, sums, tolerance)
