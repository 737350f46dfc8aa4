"""Exact divergences of Gaussians and their slopes, on the very bits of the input.

Textbook formulas: in ball arithmetic, as in `oracles`, or with so many digits that no cancellation matters.
"""

import math

import mpmath
import numpy as np
import oracles
from flint import arb

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
    if not all(map(math.isfinite, (mu1, logvar1, mu2, logvar2))):
        return NAN if math.isnan(logvar1 - logvar2) or math.isnan(mu1 - mu2) else INFINITY

    def evaluate():
        d, distance = arb(logvar1) - arb(logvar2), arb(mu1) - arb(mu2)
        return (d.expm1() - d + oracles.square(distance) * (-arb(logvar2)).exp()) / 2

    return oracles.certain(evaluate, lambda: logvar1 == logvar2 and mu1 == mu2)


def slope_of_logvar(logvar):
    """(exp(logvar) - 1)/2."""
    if math.isnan(logvar) or math.isinf(logvar):
        return mpmath.mpf(logvar) if logvar != -math.inf else mpmath.mpf(-0.5)
    return oracles.certain(lambda: arb(logvar).expm1() / 2, lambda: logvar == 0)


def kl_divergence_full(mean1, cov1, mean2, cov2):
    """(trace(C2^-1 C1) - d + log(det C2/det C1) + (m1 - m2)^T C2^-1 (m1 - m2))/2."""
    with mpmath.workprec(800):
        mean1, cov1, mean2, cov2 = (mpmath.matrix(array.tolist()) for array in (mean1, cov1, mean2, cov2))
        inverse, difference = cov2**-1, mean1 - mean2
        product = inverse * cov1
        trace = mpmath.fsum(product[i, i] for i in range(cov1.rows))
        distance = (difference.T * inverse * difference)[0, 0]
        return (trace - cov1.rows + mpmath.log(mpmath.det(cov2) / mpmath.det(cov1)) + distance) / 2
