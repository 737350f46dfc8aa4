"""Exact divergences of Gaussians and their slopes, on the very bits of the input.

Textbook formulas in mpmath arithmetic, with so many digits that no cancellation matters: exp(d) - 1 - d cancels twice the
digits by which d is below 1.
"""

import math

import mpmath
import numpy as np

INFINITY = mpmath.mpf("inf")
NAN = mpmath.mpf("nan")
DIGITS = 160  # bits that are left
TOO_LARGE = mpmath.ldexp(1, 1024)  # for doubles: they call it infinite


def kl_divergence(mu1, logvar1, mu2, logvar2, free_bits=0.0):
    """The sum of the terms of all dimensions, each at least `free_bits`."""
    terms = [term(*numbers) for numbers in zip(*(row.tolist() for row in (mu1, logvar1, mu2, logvar2)), strict=True)]
    if any(mpmath.isnan(one) for one in terms):
        return NAN
    with mpmath.workprec(DIGITS):
        value = mpmath.fsum(max(one, mpmath.mpf(free_bits)) for one in terms)
        return value if value < TOO_LARGE else INFINITY


def kl_standard_normal(mu, logvar, free_bits=0.0):
    nothing = np.zeros(len(mu))
    return kl_divergence(mu, logvar, nothing, nothing, free_bits)


def term(mu1, logvar1, mu2=0.0, logvar2=0.0):
    """(exp(d) - 1 - d + (mu1 - mu2)^2*exp(-logvar2))/2 with d = logvar1 - logvar2."""
    if any(math.isnan(number) for number in (mu1, logvar1, mu2, logvar2)):
        return NAN
    with mpmath.workprec(2200):  # holds the difference of any two doubles
        d, distance = mpmath.mpf(logvar1) - mpmath.mpf(logvar2), mpmath.mpf(mu1) - mpmath.mpf(mu2)
    if not mpmath.isfinite(d) or not mpmath.isfinite(distance):
        return NAN if mpmath.isnan(d) or mpmath.isnan(distance) else INFINITY
    with mpmath.workprec(_bits_for(d)):
        return (mpmath.exp(d) - 1 - d + distance**2 * mpmath.exp(-mpmath.mpf(logvar2))) / 2


def slope_of_logvar(logvar):
    """(exp(logvar) - 1)/2."""
    if math.isnan(logvar) or math.isinf(logvar):
        return mpmath.mpf(logvar) if logvar != -math.inf else mpmath.mpf(-0.5)
    with mpmath.workprec(_bits_for(mpmath.mpf(logvar))):
        return (mpmath.exp(mpmath.mpf(logvar)) - 1) / 2


def _bits_for(d):
    return DIGITS + 2 * max(0, -int(mpmath.mag(d))) if d else DIGITS


def kl_divergence_full(mean1, cov1, mean2, cov2):
    """(trace(C2^-1 C1) - d + log(det C2/det C1) + (m1 - m2)^T C2^-1 (m1 - m2))/2."""
    with mpmath.workprec(800):
        mean1, cov1, mean2, cov2 = (mpmath.matrix(array.tolist()) for array in (mean1, cov1, mean2, cov2))
        inverse, difference = cov2**-1, mean1 - mean2
        product = inverse * cov1
        trace = mpmath.fsum(product[i, i] for i in range(cov1.rows))
        distance = (difference.T * inverse * difference)[0, 0]
        return (trace - cov1.rows + mpmath.log(mpmath.det(cov2) / mpmath.det(cov1)) + distance) / 2
