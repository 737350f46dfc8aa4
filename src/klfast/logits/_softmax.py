"""Softmax itself and its logarithm: an array like the logits."""

from klfast import _checks
from klfast._dispatch import transform


def softmax(x, *, axis=-1, where=None, temperature=1.0, out=None, n_threads=None, check=False, dtype=None):
    """The probabilities that logits stand for, exp(x/T)/sum exp(x/T).

    Parameters
    ----------
    x : array_like
        Logits.
    axis : int, tuple of int, or None
        The axis, or axes, along which the classes lie; None for all of them.
    where : array_like of bool, optional
        Which classes count, broadcast to the shape of x. The others are skipped, whatever they hold, and get 0. Entries
        that a masked array hides are left out in the same way.
    temperature : float
        T, which divides all logits: a number above 0, from 1e-15 to 1e15.
    out : ndarray, optional
        Where to write the result: an array of its shape and type. It may be x itself.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for NaN and +inf; without it their rows are NaN.
    dtype : "bfloat16", optional
        Says that an array of uint16 holds the bits of bfloat16 numbers; so does then the result.

    Returns
    -------
    ndarray
        Of the shape and type of x; float64 for integers. A class that is -inf gets 0. The entries of a row that count are
        NaN if one of them is NaN or +inf, or if all are -inf.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not fit, and bad keywords; before any work.

    Notes
    -----
    Relative error of every entry at most 2**-22 for float32 and 2**-50 for float64, and for float16 and bfloat16 that of
    float32 before the one rounding to their type. Probabilities below the smallest normal number (of float32 for the
    halves) may come out as 0. The same bits for any number of threads and any memory layout.

    Examples
    --------
    >>> import klfast, numpy
    >>> klfast.logits.softmax(numpy.log([1.0, 2.0, 5.0])).round(12).tolist()
    [0.125, 0.25, 0.625]
    """
    return _transform("softmax", x, axis, where, temperature, out, n_threads, check, dtype)


def log_softmax(x, *, axis=-1, where=None, temperature=1.0, out=None, n_threads=None, check=False, dtype=None):
    """The logarithms of the probabilities that logits stand for, x/T - log sum exp(x/T).

    Parameters
    ----------
    x : array_like
        Logits.
    where : array_like of bool, optional
        As for `softmax`, but what is left out gets -inf.
    axis, temperature, out, n_threads, check, dtype
        As for `softmax`.

    Returns
    -------
    ndarray
        As `softmax`, but a class that is -inf stays so. Never above 0.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Notes
    -----
    Relative error of every entry at most 2**-22 for float32 and 2**-50 for float64, however near to 0 it is, and for
    float16 and bfloat16 that of float32 before the one rounding to their type. The same bits for any number of threads and
    any memory layout.

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.log_softmax([40.0, 0.0])[0]:.6e}")
    -4.248354e-18
    """
    return _transform("log_softmax", x, axis, where, temperature, out, n_threads, check, dtype)


def _transform(operation, x, axis, where, temperature, out, n_threads, check, dtype):
    return transform(
        operation,
        {"x": x},
        axis=axis,
        where=where,
        out=out,
        n_threads=n_threads,
        check=_checks.scores if check else None,
        dtype=dtype,
        parameters={"temperature": _checks.temperature(temperature)},
    )
