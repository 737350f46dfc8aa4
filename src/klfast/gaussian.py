"""KL divergence of Gaussians: of a latent to its prior, as a loss with its gradient; of two, diagonal or in full."""

import math

import numpy as np

from klfast import _checks, _checks_gaussian, _kernels, _layout, _threads
from klfast._dispatch import named_arrays
from klfast._terms import quick_terms, terms


def kl_standard_normal(
    mu,
    logvar,
    *,
    axis=-1,
    keepdims=False,
    free_bits=0.0,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """Kullback-Leibler divergence D(N(mu, e^logvar) || N(0, 1)), sum (e^logvar - 1 - logvar + mu^2)/2 over the dimensions.

    The mean comes first, then the logarithm of the variance (not of the standard deviation), as encoders return them.

    Parameters
    ----------
    mu, logvar : array_like
        Mean and log-variance of every dimension, broadcast against each other.
    axis : int, tuple of int, or None
        The axis, or axes, along which the dimensions of one Gaussian lie; None for all of them.
    keepdims : bool
        Keep the reduced axes with length 1.
    free_bits : float
        What every dimension counts at least, in nats whatever the base: sum max(free_bits, term). Finite, not negative.
    where : array_like of bool, optional
        Which dimensions count, broadcast to the shape of the inputs. The others are skipped, whatever they hold, and count
        nothing, no free bits either. Entries that a masked array hides are left out in the same way.
    base : float, optional
        Base of the logarithm; nats by default, 2 gives bits.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.
    check : bool
        Raise ValueError for NaN, infinite means and log-variances of +inf.

    Returns
    -------
    float64 or ndarray of float64
        One value for each Gaussian. Never negative, exactly 0 for mu = logvar = 0, and 0 where there are no dimensions. +inf
        for a log-variance of -inf (the variance is 0) or one that is too large, and for an infinite mean; NaN for NaN.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, and bad keywords; before any work.

    Notes
    -----
    Inputs are float64, float32, float16, bfloat16, integers or bools, the latter two read as float64. Relative error at
    most 2**-21 for float32, float16 and bfloat16 input and 2**-49 for all other, however close to the prior. The same bits
    for any number of threads and any memory layout. Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014),
    appendix B; free bits: Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow (2016).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.gaussian.kl_standard_normal([0.0, 1.0], [2e-7, 0.0]):.12f}")
    0.500000000000
    >>> print(f"{klfast.gaussian.kl_standard_normal([0.0], [2e-7]):.12e}")
    1.000000066667e-14
    """
    named = {"mu": mu, "logvar": logvar}
    return _reduce("gaussian", named, axis, keepdims, free_bits, where, base, out, n_threads, dtype, check)


def kl_standard_normal_value_and_grad(
    mu,
    logvar,
    *,
    axis=-1,
    free_bits=0.0,
    where=None,
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """The divergence of `kl_standard_normal` and its gradients, mu by the mean and (e^logvar - 1)/2 by logvar, in one reading.

    The mean comes first, then the logarithm of the variance; so do the gradients.

    Parameters
    ----------
    mu, logvar, axis, free_bits, where, base, n_threads, dtype, check
        As for `kl_standard_normal`.
    grad_output : float or array_like, optional
        What to multiply the gradients with: a number, or an array of one number for each Gaussian. 1 by default.
    out : tuple of two ndarrays, optional
        Where to write the gradients: arrays of their shapes and types. They may be mu and logvar themselves.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `kl_standard_normal`, to the last bit.
    gradients : tuple of two ndarrays
        By mu and by logvar, in the shape that both have together; each of the type of its argument, float64 for integers. 0
        in dimensions that are left out or count less than `free_bits`, NaN in those whose mu or logvar is NaN. By a
        log-variance of -inf the limit, -1/2.

    Raises
    ------
    TypeError, ValueError
        As `kl_standard_normal`, and for a grad_output or out that does not fit.

    Notes
    -----
    Error of every entry at most 2**-21 of it for float32 and 2**-49 for float64; for float16 and bfloat16 that of float32
    before the one rounding to their type. Where an input was broadcast, its own gradient is the sum of these over what it was
    broadcast to. Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014).

    Examples
    --------
    >>> import klfast
    >>> value, (by_mu, by_logvar) = klfast.gaussian.kl_standard_normal_value_and_grad([0.5, -1.0], [0.0, 2e-7])
    >>> print(f"{value:.12f}", by_mu.tolist(), [f"{number:.12e}" for number in by_logvar])
    0.625000000000 [0.5, -1.0] ['0.000000000000e+00', '1.000000100000e-07']
    """
    parameters = {"free_bits": _checks_gaussian.free_bits(free_bits)}
    log_base = _checks.log_base(base)
    named = {"mu": mu, "logvar": logvar}
    if where is dtype is None and not check and _checks.is_plain(grad_output) and _is_last(axis, named):
        places = tuple(_checks.places(out, list(named)).values())
        factor = _checks.plain_factor(grad_output, log_base)
        found = quick_terms("gaussian_grad", (mu, logvar), None, n_threads, parameters, places, factor)
        if found is not None:
            values = found[0][..., 0] if log_base is None else found[0][..., 0] / log_base
            return values[()], tuple(found[1])
    inputs, axes, chosen = _read(named, axis, where, dtype, check)
    shape = _layout.result_shape(inputs[0].array.shape, axes, False)
    factors = _checks.gradients(grad_output, shape, log_base)
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    factor = {} if grad_output is None else {"grad_output": np.asarray(grad_output)}
    outputs = _checks.outputs(out, inputs, ["mu", "logvar"], named_arrays(inputs, chosen) | factor)
    sums = terms("gaussian_grad", inputs, chosen, axes, n_threads, parameters, outputs=tuple(outputs), factors=factors)
    values = sums[..., 0] if log_base is None else sums[..., 0] / log_base
    return values[()], tuple(outputs)


def kl_divergence(
    mu1,
    logvar1,
    mu2,
    logvar2,
    *,
    axis=-1,
    keepdims=False,
    free_bits=0.0,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """Kullback-Leibler divergence D(N(mu1, e^logvar1) || N(mu2, e^logvar2)) of Gaussians with independent dimensions.

    The sum of (e^d - 1 - d + (mu1 - mu2)^2/e^logvar2)/2 over the dimensions, with d = logvar1 - logvar2. The true distribution
    comes first, of each the mean before the log-variance.

    Parameters
    ----------
    mu1, logvar1, mu2, logvar2 : array_like
        Means and log-variances of every dimension, all four broadcast against each other.
    axis, keepdims, free_bits, where, base, out, n_threads, dtype, check
        As for `kl_standard_normal`.

    Returns
    -------
    float64 or ndarray of float64
        One value for each pair. Never negative, exactly 0 for equal Gaussians, and 0 where there are no dimensions. +inf if
        one variance alone is 0 (its logarithm -inf), or if means are infinitely far apart; NaN for NaN, for two variances of 0
        and wherever else infinite numbers of one sign are compared.

    Raises
    ------
    TypeError, ValueError
        As `kl_standard_normal`.

    Notes
    -----
    Accuracy as `kl_standard_normal`, however close the two are. Source: Kullback, Information Theory and Statistics (1959).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.gaussian.kl_divergence([1.0], [0.5], [1.0001], [0.5]):.12e}")
    3.032653298562e-09
    """
    named = {"mu1": mu1, "logvar1": logvar1, "mu2": mu2, "logvar2": logvar2}
    return _reduce("gaussian_pair", named, axis, keepdims, free_bits, where, base, out, n_threads, dtype, check)


def kl_divergence_full(mean1, cov1, mean2, cov2, *, base=None, out=None, n_threads=None):
    """Kullback-Leibler divergence D(N(mean1, cov1) || N(mean2, cov2)) of Gaussians with full covariance matrices.

    (trace(C2^-1 C1) - d + log(det C2/det C1) + (m1 - m2)^T C2^-1 (m1 - m2))/2 in d dimensions, without its cancellation. The
    true distribution comes first, of each the mean before the covariance.

    Parameters
    ----------
    mean1, mean2 : array_like
        Means, of shape (..., d).
    cov1, cov2 : array_like
        Covariance matrices, of shape (..., d, d), symmetric and positive definite. All leading axes are broadcast against
        each other. Their lower triangles are what counts; the upper ones must be the same but for rounding: up to the square
        root of the relative rounding error of their type, times both standard deviations.
    base : float, optional
        Base of the logarithm; nats by default, 2 gives bits.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.

    Returns
    -------
    float64 or ndarray of float64
        One value for each pair. Never negative, exactly 0 for equal Gaussians and for d = 0. NaN for pairs with a NaN or
        infinite number, or one that a masked array hides.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not fit, matrices that are not symmetric, and bad keywords.
    numpy.linalg.LinAlgError
        For a matrix that is not positive definite, zero variances among them; names the argument and its place in the batch.

    Notes
    -----
    Zeros in covariances are numbers like any other. All types are read and computed as float64. Where the covariances are
    close, the error is relative to the difference of what is given, not to what it is a difference of: it grows with the
    condition number of cov2 alone. Source: Kullback, Information Theory and Statistics (1959).

    Examples
    --------
    >>> import klfast
    >>> cov = [[2.0, 1.0], [1.0, 2.0]]
    >>> print(f"{klfast.gaussian.kl_divergence_full([0.0, 0.0], cov, [1.0, 0.0], cov):.12f}")
    0.333333333333
    """
    inputs, batch = _checks_gaussian.means_and_covariances(mean1, cov1, mean2, cov2)
    log_base = _checks.log_base(base)
    if out is not None:
        _checks.output(out, batch, named_arrays(inputs, None))
    numbers = [_numbers(one) for one in inputs]
    d, count = numbers[0].shape[-1], math.prod(batch)
    n_threads = _threads.resolve(n_threads, count * d**3)
    for one, matrices in zip(inputs[1::2], numbers[1::2]):
        _checks_gaussian.covariances(one, matrices, n_threads)
    values = np.zeros(batch)
    if count and d:
        shapes = ((-1, d), (-1, d, d), (-1, d), (-1, d, d))
        flat = [one.reshape(shape) for one, shape in zip(numbers, shapes)]
        places = [_places(one.shape[: 1 - len(shape)], batch) for one, shape in zip(numbers, shapes)]
        _kernels.gaussian_full(*flat, places, values.reshape(-1), n_threads)
    if log_base is not None:
        values = values / log_base
    if out is None:
        return values[()]
    out[...] = values
    return out


def _places(shape, batch):
    """For each element of the batch the number of the one that it is broadcast from."""
    if shape == batch:
        return np.arange(math.prod(batch))
    return np.ascontiguousarray(np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), batch)).reshape(-1)


def _numbers(one):
    """As float64, one behind the other and aligned; what a masked array hides is NaN."""
    if one.masked is not None:
        return np.where(one.masked, np.nan, one.numbers().astype(np.float64))
    numbers, flags = one.numbers(), one.array.flags
    if numbers.dtype == np.float64 and flags.c_contiguous and flags.aligned:
        return np.asarray(numbers)
    return np.require(numbers, np.float64, "CA")


def _read(named, axis, where, dtype, check):
    inputs = _checks.inputs(named, dtype)
    axes = _checks.axes(axis, inputs[0].array.ndim)
    chosen = _checks.included(where, inputs)
    if check:
        _checks_gaussian.parameters(inputs, chosen)
    return inputs, axes, chosen


def _is_last(axis, named):
    """Whether it is the last axis of arrays, so that they may go the short way."""
    first = next(iter(named.values()))
    return type(axis) is int and type(first) is np.ndarray and axis in (-1, first.ndim - 1)


def _reduce(operation, named, axis, keepdims, free_bits, where, base, out, n_threads, dtype, check):
    parameters = {"free_bits": _checks_gaussian.free_bits(free_bits)}
    log_base = _checks.log_base(base)
    if out is where is dtype is None and not (check or keepdims) and _is_last(axis, named):
        found = quick_terms(operation, tuple(named.values()), None, n_threads, parameters)
        if found is not None:
            values = found[0][..., 0]
            return (values if log_base is None else values / log_base)[()]
    inputs, axes, chosen = _read(named, axis, where, dtype, check)
    shape = _layout.result_shape(inputs[0].array.shape, axes, keepdims)
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    if out is not None:
        _checks.output(out, shape, named_arrays(inputs, chosen))
    values = terms(operation, inputs, chosen, axes, n_threads, parameters).reshape(shape)
    if log_base is not None:
        values = values / log_base
    if out is None:
        return values[()]
    out[...] = values
    return out
