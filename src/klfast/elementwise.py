"""Functions of elements, as scipy.special has them: one result for each pair of numbers."""

from klfast._dispatch import each


def entr(p, *, out=None, where=None, n_threads=None, dtype=None):
    """The term of an entropy, -p*log p, for every element.

    Parameters
    ----------
    p : array_like
        Any numbers. For p = 0 the result is 0, for p < 0 it is -inf, for NaN it is NaN.
    out : ndarray, optional
        Where to write the result: of its shape and type, any strides, not overlapping the input.
    where : array_like of bool, optional
        Which elements to compute, broadcast to the result's shape. The others keep what `out` holds; without `out` they
        are 0. Elements that a masked array hides are left out in the same way.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    ndarray or scalar
        Of the input's type; float64 for integers and bool, bfloat16 bits (uint16) for bfloat16 bits.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, masks or outputs that do not fit, and bad keywords; before any work.

    Notes
    -----
    Within 2 units in the last place of the exact value (float32: 0.53). Definition: scipy.special.entr.

    Examples
    --------
    >>> import klfast
    >>> klfast.entr([0.0, 0.5, 1.0]).tolist()
    [0.0, 0.34657359027997264, 0.0]
    """
    return each("entr", {"p": p}, out, where, n_threads, dtype)


def rel_entr(p, q, *, out=None, where=None, n_threads=None, dtype=None):
    """The term of a Kullback-Leibler divergence, p*log(p/q), for every pair of elements.

    Parameters
    ----------
    p, q : array_like
        Any numbers, broadcast against each other; p is the true distribution and comes first.
    out, where, n_threads, dtype
        As for `entr`.

    Returns
    -------
    ndarray or scalar
        Of the inputs' common type; float64 for integers and bool. 0 where p = 0 and q >= 0, NaN where one is NaN, +inf
        where q = 0 < p or one is negative.

    Raises
    ------
    TypeError, ValueError
        As `entr`, and for shapes that do not broadcast.

    Notes
    -----
    Within 2 units in the last place of the exact value (float32: 0.53), however close p and q are. The sum of the terms over
    a normalised row is `klfast.kl_divergence`, which is faster and more accurate than adding them up. Definition:
    scipy.special.rel_entr.

    Examples
    --------
    >>> import klfast
    >>> klfast.rel_entr([0.5, 0.5, 0.0], [0.5, 0.0, 0.5]).tolist()
    [0.0, inf, 0.0]
    """
    return each("rel_entr", {"p": p, "q": q}, out, where, n_threads, dtype)


def kl_div(p, q, *, out=None, where=None, n_threads=None, dtype=None):
    """The term of the generalised Kullback-Leibler divergence, p*log(p/q) - p + q, for every pair of elements.

    It is never negative, also for numbers that are not normalised, and 0 where p = q.

    Parameters
    ----------
    p, q : array_like
        Any numbers, broadcast against each other; p is the true distribution and comes first.
    out, where, n_threads, dtype
        As for `entr`.

    Returns
    -------
    ndarray or scalar
        Of the inputs' common type; float64 for integers and bool. q where p = 0 and q >= 0, NaN where one is NaN, +inf
        where q = 0 < p or one is negative.

    Raises
    ------
    TypeError, ValueError
        As `entr`, and for shapes that do not broadcast.

    Notes
    -----
    Within 2 units in the last place of the exact value (float32: 0.53), however close p and q are. Definition:
    scipy.special.kl_div.

    Examples
    --------
    >>> import klfast
    >>> klfast.kl_div([0.5, 0.5, 0.0], [0.5, 0.0, 0.25]).tolist()
    [0.0, inf, 0.25]
    """
    return each("kl_div", {"p": p, "q": q}, out, where, n_threads, dtype)
