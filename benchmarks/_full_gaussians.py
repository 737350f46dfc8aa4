"""KL between Gaussians with full covariances: inputs, exact values, and what users of other libraries write."""

import mpmath
import numpy as np
from _memory import aligned_copy

EXACT_ROWS, EXACT_SIZE = 4, 6  # mpmath inverts such matrices in milliseconds


def make_full_gaussians(generator, shape):
    """Means and covariances of two Gaussians a row, in the order in which functions take them."""
    return tuple(map(aligned_copy, (*_parameters(generator, shape), *_parameters(generator, shape))))


def full_gaussian_cases(generator, shape, operation):
    """A dictionary from the name of a case to its arrays."""
    shape = EXACT_ROWS, EXACT_SIZE
    first, second = (_parameters(generator, shape) for _ in range(2))
    mean, covariance = first
    near = mean + 1e-6 * generator.standard_normal(shape), covariance * (1 + 1e-6)
    return {"easy": (*first, *second), "near-equal": (*first, *near)}


def _parameters(generator, shape):
    """Covariances as those of fitted models: well away from singular, with eigenvalues of all sizes from 0.1 on."""
    rows, size = shape
    factor = generator.standard_normal((rows, size, size)) / np.sqrt(size)
    return generator.standard_normal(shape), factor @ factor.swapaxes(-1, -2) + 0.1 * np.eye(size)


def exact_full_gaussians(arrays):
    """Pairs (number, floor), as for other operations."""
    return [(_exact(*row), 0) for row in zip(*arrays, strict=True)]


def _exact(mean1, covariance1, mean2, covariance2):
    first, second = (mpmath.matrix(covariance.tolist()) for covariance in (covariance1, covariance2))
    inverse = second**-1
    product, size = inverse * first, len(mean1)
    d = mpmath.matrix(mean1.tolist()) - mpmath.matrix(mean2.tolist())
    trace = mpmath.fsum(product[k, k] for k in range(size))
    return (trace - size - mpmath.log(mpmath.det(product)) + (d.T * inverse * d)[0]) / 2


def numpy_full_gaussian(mean1, covariance1, mean2, covariance2):
    """The textbook's formula."""
    inverse = np.linalg.inv(covariance2)
    d = mean2 - mean1
    trace = (inverse * covariance1.swapaxes(-1, -2)).sum((-1, -2))
    distance = (d * (inverse @ d[..., None])[..., 0]).sum(-1)
    log_ratio = np.linalg.slogdet(covariance2)[1] - np.linalg.slogdet(covariance1)[1]
    return (trace + distance - mean1.shape[-1] + log_ratio) / 2


def torch_full_gaussian():
    from torch import distributions

    def divergence(mean1, covariance1, mean2, covariance2):
        first, second = (
            distributions.MultivariateNormal(*parameters, validate_args=False)
            for parameters in ((mean1, covariance1), (mean2, covariance2))
        )
        return distributions.kl_divergence(first, second)

    return divergence
