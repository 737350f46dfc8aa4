"""Gradients of entropy and divergences by the logits. That of the loss is in `_cross_entropy`."""

from klfast import _checks
from klfast._dispatch import transform


def kl_divergence_grad(
    x,
    y,
    *,
    wrt="x",
    axis=-1,
    where=None,
    temperature=1.0,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Gradient of `kl_divergence`, D(p || q) of p = softmax(x/T) and q = softmax(y/T): by x it is p*(log(p/q) - D)/T, by y
    it is (q - p)/T.

    x holds the logits of the true distribution and comes first.

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other.
    wrt : "x", "y" or "both"
        By whose logits to differentiate.
    axis : int, tuple of int, or None
        The axis, or axes, along which the classes lie; None for all of them.
    where : array_like of bool, optional
        Which classes count, broadcast to the shape of the logits. The others are skipped, whatever they hold, and get 0.
        Entries that a masked array hides are left out in the same way.
    temperature : float
        T, which divides all logits: a number above 0, from 1e-15 to 1e15.
    base : float, optional
        The base of the divergence; nats by default.
    grad_output : float or array_like, optional
        What to multiply with: a number, or an array of one number for each distribution. 1 by default.
    out : ndarray, or two of them for "both"
        Where to write the result: arrays of its shape and type. They may be the logits themselves.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for NaN and +inf; without it their rows are NaN.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers; so do then the results.

    Returns
    -------
    ndarray, or a tuple of two for "both"
        In the shape that x and y have together; by x of the type of x, by y of the type of y, float64 for integers. By x, a
        class of -inf gets 0, and every other of a row whose divergence is +inf NaN. NaN for rows whose divergence is NaN.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not fit, and bad keywords; before any work.

    Notes
    -----
    Error at most 2**-20 for float32 and 2**-47 for float64, relative to the largest entry of the row's gradient or, where
    entries are differences of larger terms, to the largest of these (p*(abs(log(p/q)) + KL); for Jensen-Shannon with the
    mixture in place of q). Of a class that has most of p, whose entry is minus the sum of all others, relative to the root
    of the sum of their squares, if that is larger; of several that have nearly all of p together and differ alike in x and
    y, to p*sqrt(KL). For float16 and bfloat16 that of float32 before the one rounding to their type. The same bits for any
    number of threads and any memory layout. A probability below the smallest normal number counts as 0, and so does one
    below 2**-100 (float64: 2**-960) unless one class has all but 2**-25 or the divergence is below 2**-50. Where an input
    was broadcast, its own gradient is the sum of these over what it was broadcast to.

    Examples
    --------
    >>> import klfast, numpy
    >>> x, y = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> klfast.logits.kl_divergence_grad(x, y, wrt="y").round(12).tolist()
    [-0.25, 0.25]
    """
    named, parameters = {"x": x, "y": y}, {"temperature": _checks.temperature(temperature)}
    return _transform(
        "kl_divergence", named, axis, where, base, grad_output, out, n_threads, check, dtype, parameters, wrt
    )


def kl_divergence_value_and_grad(
    x,
    y,
    *,
    wrt="x",
    axis=-1,
    where=None,
    temperature=1.0,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """The divergence of `kl_divergence` and its gradient, as `kl_divergence_grad`, in the fewest sweeps over the logits.

    Parameters
    ----------
    x, y, wrt, axis, where, temperature, base, n_threads, check, dtype
        As for `kl_divergence_grad`.
    grad_output, out
        As for `kl_divergence_grad`; both concern the gradient alone.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `kl_divergence`.
    grad : ndarray, or a tuple of two for "both"
        As that of `kl_divergence_grad`.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence_grad`.

    Notes
    -----
    The same bits as those of `kl_divergence` and `kl_divergence_grad`.

    Examples
    --------
    >>> import klfast, numpy
    >>> x, y = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> value, (by_x, by_y) = klfast.logits.kl_divergence_value_and_grad(x, y, wrt="both")
    >>> print(f"{value:.12f}", by_x.round(12).tolist(), by_y.round(12).tolist())
    0.143841036226 [0.274653072167, -0.274653072167] [-0.25, 0.25]
    """
    named, parameters = {"x": x, "y": y}, {"temperature": _checks.temperature(temperature)}
    return _transform(
        "kl_divergence", named, axis, where, base, grad_output, out, n_threads, check, dtype, parameters, wrt, True
    )


def js_divergence_grad(
    x,
    y,
    *,
    beta=0.5,
    wrt="x",
    axis=-1,
    where=None,
    temperature=1.0,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Gradient of `js_divergence`, of p = softmax(x/T) and q = softmax(y/T) with m = beta*p + (1 - beta)*q: by x it is
    beta*p*(log(p/m) - D(p || m))/T, by y it is (1 - beta)*q*(log(q/m) - D(q || m))/T.

    Parameters
    ----------
    x, y : array_like
        Logits, broadcast against each other.
    beta : float
        The share of p in the mixture, between 0 and 1 and neither of them.
    wrt, axis, where, temperature, base, grad_output, out, n_threads, check, dtype
        As for `kl_divergence_grad`.

    Returns
    -------
    ndarray, or a tuple of two for "both"
        As `kl_divergence_grad`; finite wherever -inf stands.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence_grad`, and for a beta that is not between 0 and 1.

    Notes
    -----
    Accuracy as `kl_divergence_grad`, but that a probability below 2**-100 (float64: 2**-960) always counts as 0: where all
    classes but one are so unlikely, the gradient is 0. By x it is that of `js_divergence` of (y, x) by y, with 1 - beta.

    Examples
    --------
    >>> import klfast, numpy
    >>> x, y = numpy.log([0.5, 0.5]), numpy.log([0.25, 0.75])
    >>> klfast.logits.js_divergence_grad(x, y).round(12).tolist()
    [0.063853202971, -0.063853202971]
    """
    named = {"x": x, "y": y}
    parameters = {"temperature": _checks.temperature(temperature), "beta": _checks.beta(beta)}
    return _transform(
        "js_divergence", named, axis, where, base, grad_output, out, n_threads, check, dtype, parameters, wrt
    )


def js_divergence_value_and_grad(
    x,
    y,
    *,
    beta=0.5,
    wrt="x",
    axis=-1,
    where=None,
    temperature=1.0,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """The divergence of `js_divergence` and its gradient, as `js_divergence_grad`, in the fewest sweeps over the logits.

    Parameters
    ----------
    x, y, beta, wrt, axis, where, temperature, base, n_threads, check, dtype
        As for `js_divergence_grad`.
    grad_output, out
        As for `js_divergence_grad`; both concern the gradient alone.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `js_divergence`.
    grad : ndarray, or a tuple of two for "both"
        As that of `js_divergence_grad`.

    Raises
    ------
    TypeError, ValueError
        As `js_divergence_grad`.

    Notes
    -----
    The same bits as those of `js_divergence` and `js_divergence_grad`.

    Examples
    --------
    >>> import klfast
    >>> value, grad = klfast.logits.js_divergence_value_and_grad([1.0, 2.0], [1.0, 2.0])
    >>> float(value), abs(grad).tolist()
    (0.0, [0.0, 0.0])
    """
    named = {"x": x, "y": y}
    parameters = {"temperature": _checks.temperature(temperature), "beta": _checks.beta(beta)}
    return _transform(
        "js_divergence", named, axis, where, base, grad_output, out, n_threads, check, dtype, parameters, wrt, True
    )


def entropy_grad(
    x,
    *,
    axis=-1,
    where=None,
    temperature=1.0,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Gradient of `entropy`, H of p = softmax(x/T): -p*(log p + H)/T.

    Parameters
    ----------
    x : array_like
        Logits.
    axis, where, temperature, base, grad_output, out, n_threads, check, dtype
        As for `kl_divergence_grad`.

    Returns
    -------
    ndarray
        Of the shape and type of x; float64 for integers. A class of probability 0 gets 0. NaN for rows whose entropy is NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence_grad`.

    Notes
    -----
    Accuracy as `kl_divergence_grad`.

    Examples
    --------
    >>> import klfast, numpy
    >>> klfast.logits.entropy_grad(numpy.log([0.25, 0.75])).round(12).tolist()
    [0.205989804125, -0.205989804125]
    """
    parameters = {"temperature": _checks.temperature(temperature)}
    return _transform("entropy", {"x": x}, axis, where, base, grad_output, out, n_threads, check, dtype, parameters)


def entropy_value_and_grad(
    x,
    *,
    axis=-1,
    where=None,
    temperature=1.0,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """The entropy of `entropy` and its gradient, as `entropy_grad`, in the fewest sweeps over the logits.

    Parameters
    ----------
    x, axis, where, temperature, base, n_threads, check, dtype
        As for `entropy_grad`.
    grad_output, out
        As for `entropy_grad`; both concern the gradient alone.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `entropy`.
    grad : ndarray
        As that of `entropy_grad`.

    Raises
    ------
    TypeError, ValueError
        As `entropy_grad`.

    Notes
    -----
    The same bits as those of `entropy` and `entropy_grad`.

    Examples
    --------
    >>> import klfast
    >>> value, grad = klfast.logits.entropy_value_and_grad([0.0, 0.0], base=2)
    >>> float(value), abs(grad).tolist()
    (1.0, [0.0, 0.0])
    """
    parameters = {"temperature": _checks.temperature(temperature)}
    named = {"x": x}
    return _transform(
        "entropy", named, axis, where, base, grad_output, out, n_threads, check, dtype, parameters, with_value=True
    )


def _transform(
    name, named, axis, where, base, grad_output, out, n_threads, check, dtype, parameters, wrt=None, with_value=False
):
    return transform(
        f"{name}_grad",
        named,
        axis=axis,
        where=where,
        out=out,
        n_threads=n_threads,
        check=_checks.scores if check else None,
        dtype=dtype,
        parameters=parameters,
        base=base,
        grad_output=grad_output,
        wrt=wrt,
        with_value=with_value,
    )
