"""Exact values of the closed forms, on the very bits of the parameters: textbook formulas in mpmath arithmetic.

Each is worked out with more and more digits until two results agree to 70 bits, so cancellation costs time but no truth.
Parameters are floats, or sequences of them for Dirichlet distributions, and belong to a distribution each.
"""

import mpmath

DIGITS = (60, 180, 400, 900, 2000)
CORRECT = mpmath.mpf(2) ** -70


def exact(name, *parameters):
    """The divergence of the family, as an mpmath number."""
    formula = FORMULAS[name]
    half = len(parameters) // 2
    if name != "laplace" and parameters[:half] == parameters[half:]:
        return mpmath.mpf(0)
    previous = None
    for digits in DIGITS:
        with mpmath.workdps(digits):
            value = formula(*(_number(one) for one in parameters))
            if previous is not None and value > 0 and abs(value - previous) <= CORRECT * value:
                return value
            previous = value
    raise ArithmeticError(f"{name}{parameters}: not certain after {DIGITS[-1]} digits")


def _number(parameter):
    if isinstance(parameter, (list, tuple)):
        return [mpmath.mpf(float(one)) for one in parameter]
    return mpmath.mpf(float(parameter))


def bernoulli(p1, p2):
    """With log(1 - p) from p itself: of a tiny one 1 - p is 1 to any number of digits, and two results that lack it agree."""
    of_successes = p1 * mpmath.log(p1 / p2) if p1 else 0
    return of_successes + ((1 - p1) * (mpmath.log1p(-p1) - mpmath.log1p(-p2)) if p1 < 1 else 0)


def bernoulli_logits(x1, x2):
    p1 = 1 / (1 + mpmath.exp(-x1))
    return p1 * (x1 - x2) + mpmath.log1p(mpmath.exp(x2)) - mpmath.log1p(mpmath.exp(x1))


def poisson(rate1, rate2):
    return rate1 * mpmath.log(rate1 / rate2) - rate1 + rate2


def exponential(rate1, rate2):
    return mpmath.log(rate1 / rate2) + rate2 / rate1 - 1


def laplace(loc1, scale1, loc2, scale2):
    d = abs(loc1 - loc2)
    return mpmath.log(scale2 / scale1) + (d + scale1 * mpmath.exp(-d / scale1)) / scale2 - 1


def gamma(shape1, rate1, shape2, rate2):
    of_shapes = (shape1 - shape2) * mpmath.digamma(shape1) - mpmath.loggamma(shape1) + mpmath.loggamma(shape2)
    return of_shapes + shape2 * mpmath.log(rate1 / rate2) + shape1 * (rate2 - rate1) / rate1


def beta(a1, b1, a2, b2):
    return dirichlet([a1, b1], [a2, b2])


def dirichlet(concentration1, concentration2):
    total1, total2 = mpmath.fsum(concentration1), mpmath.fsum(concentration2)
    value = mpmath.loggamma(total1) - mpmath.loggamma(total2)
    for a, b in zip(concentration1, concentration2, strict=True):
        value += mpmath.loggamma(b) - mpmath.loggamma(a)
        value += (a - b) * (mpmath.digamma(a) - mpmath.digamma(total1))
    return value


FORMULAS = {
    "bernoulli": bernoulli,
    "bernoulli_logits": bernoulli_logits,
    "beta": beta,
    "dirichlet": dirichlet,
    "exponential": exponential,
    "gamma": gamma,
    "laplace": laplace,
    "poisson": poisson,
}
