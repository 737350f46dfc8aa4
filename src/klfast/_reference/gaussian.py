"""The twins of the divergences of Gaussians: closed forms, one term for each dimension.

With d = logvar1 - logvar2, the variance of the first in units of that of the second is exp(d), and a dimension counts

    (exp(d) - 1 - d + (mu1 - mu2)^2/exp(logvar2))/2,

or `free_bits`, if that is more. A dimension that is left out counts nothing, not even free bits. A variance of 0 is infinitely
far from any other; NaN is NaN.
"""

import numpy as np

from klfast._reference.shared import in_base, times, total_of


def kl_standard_normal(mu, logvar, *, axis=-1, keepdims=False, free_bits=0.0, where=None, base=None):
    """KL(N(mu, exp(logvar)) || N(0, 1)): the other Gaussian has mean 0 and log-variance 0."""
    return kl_divergence(
        mu, logvar, 0.0, 0.0, axis=axis, keepdims=keepdims, free_bits=free_bits, where=where, base=base
    )


def kl_standard_normal_value_and_grad(mu, logvar, *, axis=-1, free_bits=0.0, where=None, base=None, grad_output=None):
    """The divergence, and its derivatives: mu by mu, and (exp(logvar) - 1)/2 by logvar.

    Both are 0 in a dimension that counts as its free bits, and NaN in one whose term is NaN.
    """
    value = kl_standard_normal(mu, logvar, axis=axis, free_bits=free_bits, where=where, base=base)
    mu, logvar = as_numbers(mu, logvar)
    terms = terms_of(mu, logvar, 0.0, 0.0)
    with np.errstate(over="ignore"):
        slopes = mu, 0.5 * np.expm1(logvar)
    gradients = []
    for slope in slopes:
        slope = np.where(terms < free_bits, 0.0, np.where(np.isnan(terms), np.nan, slope))
        if grad_output is not None:
            per_row = np.asarray(grad_output, dtype=np.float64)
            axes = tuple(range(mu.ndim)) if axis is None else axis
            slope = slope * (np.expand_dims(per_row, axes) if per_row.ndim else per_row)
        slope = in_base(slope, base)
        gradients.append(slope if where is None else np.where(where, slope, 0.0))
    return value, tuple(gradients)


def kl_divergence(mu1, logvar1, mu2, logvar2, *, axis=-1, keepdims=False, free_bits=0.0, where=None, base=None):
    """KL(N(mu1, exp(logvar1)) || N(mu2, exp(logvar2))), the dimensions independent of each other."""
    terms = terms_of(*as_numbers(mu1, logvar1, mu2, logvar2))
    terms = np.where(terms < free_bits, free_bits, terms)
    if where is not None:
        terms = np.where(where, terms, 0.0)
    return in_base(total_of(terms, axis, keepdims, False), base)


def kl_divergence_full(mean1, cov1, mean2, cov2, *, base=None):
    """(trace(C2^-1 C1) - d + log(det C2/det C1) + (m1 - m2)^T C2^-1 (m1 - m2))/2; NaN where a number is NaN or infinite."""
    mean1, cov1, mean2, cov2 = as_separate(mean1, cov1, mean2, cov2)
    n_dimensions = mean1.shape[-1]
    is_known = np.isfinite(np.sum(mean1 + mean2, axis=-1) + np.sum(cov1 + cov2, axis=(-2, -1)))
    cov1, cov2 = (np.where(is_known[..., None, None], cov, np.eye(n_dimensions)) for cov in (cov1, cov2))
    with np.errstate(invalid="ignore"):
        difference = (mean1 - mean2)[..., None]
    trace = np.trace(np.linalg.solve(cov2, cov1), axis1=-2, axis2=-1)
    log_ratio = np.linalg.slogdet(cov2)[1] - np.linalg.slogdet(cov1)[1]
    distance = np.sum(difference * np.linalg.solve(cov2, difference), axis=(-2, -1))
    return in_base(np.where(is_known, 0.5 * (trace - n_dimensions + log_ratio + distance), np.nan), base)


def as_numbers(*arrays):
    return np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))


def as_separate(mean1, cov1, mean2, cov2):
    """Means and covariances of one batch shape."""
    arrays = [np.asarray(array, dtype=np.float64) for array in (mean1, cov1, mean2, cov2)]
    own = [1, 2, 1, 2]  # axes of one mean, of one covariance
    batch = np.broadcast_shapes(*(array.shape[:-count] for array, count in zip(arrays, own)))
    return [np.broadcast_to(array, batch + array.shape[-count:]) for array, count in zip(arrays, own)]


def terms_of(mu1, logvar1, mu2, logvar2):
    """One number for each dimension; equal means are no distance apart, however small the variance."""
    with np.errstate(over="ignore", invalid="ignore"):
        d = logvar1 - logvar2
        gap = np.where(np.isinf(d), np.inf, np.expm1(d) - d)
        distance = times(np.square(mu1 - mu2), np.exp(-logvar2))
        return 0.5 * (np.where(np.isnan(d), np.nan, gap) + distance)
