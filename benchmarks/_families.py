"""Closed forms of KL between distributions of one family: inputs, exact values, and what users of other libraries write."""

import mpmath
import numpy as np
from _memory import aligned_copy

EXACT_ROWS = 60  # mpmath takes milliseconds for a digamma


def make_families(generator, operation, shape):
    """The parameters of two distributions for each number (or each row, of Dirichlet)."""
    first, second = (_parameters(generator, operation, shape) for _ in range(2))
    return tuple(map(aligned_copy, (*first, *second)))


def families_cases(generator, shape, operation):
    """A dictionary from the name of a case to its arrays."""
    shape = (EXACT_ROWS // 10, 10) if operation == "families.kl_dirichlet" else (EXACT_ROWS,)
    first, second = (_parameters(generator, operation, shape) for _ in range(2))
    near = [one * (1 + 1e-6 * generator.standard_normal(shape)) for one in first]
    if operation == "families.kl_bernoulli":
        near = [np.minimum(one, 1 - 1e-9) for one in near]
    return {"easy": (*first, *second), "near-equal": (*first, *near)}


def _parameters(generator, operation, shape):
    """Of one distribution. Positive ones are of the sizes that fitted models have."""
    if operation == "families.kl_bernoulli":
        return [generator.uniform(0.001, 0.999, shape)]
    if operation == "families.kl_bernoulli_logits":
        return [3 * generator.standard_normal(shape)]
    positive = [generator.gamma(2, 2, shape) + 0.01 for _ in range(2)]
    if operation == "families.kl_laplace":
        return [generator.standard_normal(shape), positive[0]]
    return positive if operation in ("families.kl_gamma", "families.kl_beta") else positive[:1]


# Formulas ------------------------------------------------------------------------------------------------------------


def textbook(array, special):
    """The textbook's formulas, in the terms of numpy and scipy.special, or of what looks like them."""
    log, exp, psi, gammaln = array.log, array.exp, special.digamma, special.gammaln

    def remainder(a, b):
        return gammaln(b) - gammaln(a) - (b - a) * psi(a)

    def laplace(loc1, scale1, loc2, scale2):
        d = abs(loc1 - loc2)
        return log(scale2 / scale1) + (d + scale1 * exp(-d / scale1)) / scale2 - 1

    def gamma(a, rate1, b, rate2):
        return remainder(a, b) + b * log(rate1 / rate2) + a * (rate2 - rate1) / rate1

    def logits(x, y):
        return (x - y) / (1 + exp(-x)) + array.logaddexp(0.0, y) - array.logaddexp(0.0, x)

    return {
        "families.kl_bernoulli": lambda p, q: p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)),
        "families.kl_bernoulli_logits": logits,
        "families.kl_poisson": lambda a, b: a * log(a / b) - a + b,
        "families.kl_exponential": lambda a, b: log(a / b) + b / a - 1,
        "families.kl_laplace": laplace,
        "families.kl_gamma": gamma,
        "families.kl_beta": lambda a, b, c, d: remainder(a, c) + remainder(b, d) - remainder(a + b, c + d),
        "families.kl_dirichlet": lambda a, b: remainder(a, b).sum(-1) - remainder(a.sum(-1), b.sum(-1)),
    }


class _Exact:
    """What the formulas ask of array libraries, for numbers of mpmath."""

    log, exp, digamma, gammaln = mpmath.log, mpmath.exp, mpmath.digamma, mpmath.loggamma

    @staticmethod
    def logaddexp(zero, x):
        return mpmath.log1p(mpmath.exp(x))


def exact_families(operation, rows):
    """Pairs (number, floor), as for other operations."""
    if operation == "families.kl_dirichlet":
        return [(_exact_dirichlet(*row), 0) for row in rows]
    formula = textbook(_Exact, _Exact)[operation]
    return [(formula(*numbers), 0) for row in rows for numbers in zip(*row, strict=True)]


def _exact_dirichlet(first, second):
    def remainder(a, b):
        return mpmath.loggamma(b) - mpmath.loggamma(a) - (b - a) * mpmath.digamma(a)

    return mpmath.fsum(map(remainder, first, second)) - remainder(mpmath.fsum(first), mpmath.fsum(second))


def torch_families():
    from torch import distributions

    def divergence(family, *names):
        def function(*parameters):
            half = len(parameters) // 2
            both = (
                family(**dict(zip(names, part)), validate_args=False) for part in (parameters[:half], parameters[half:])
            )
            return distributions.kl_divergence(*both)

        return function

    return {
        "families.kl_bernoulli": divergence(distributions.Bernoulli, "probs"),
        "families.kl_bernoulli_logits": divergence(distributions.Bernoulli, "logits"),
        "families.kl_poisson": divergence(distributions.Poisson, "rate"),
        "families.kl_exponential": divergence(distributions.Exponential, "rate"),
        "families.kl_laplace": divergence(distributions.Laplace, "loc", "scale"),
        "families.kl_gamma": divergence(distributions.Gamma, "concentration", "rate"),
        "families.kl_beta": divergence(distributions.Beta, "concentration1", "concentration0"),
        "families.kl_dirichlet": divergence(distributions.Dirichlet, "concentration"),
    }
