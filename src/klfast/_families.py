"""What closed forms of KL divergences are put together from: remainders of second order that lose nothing near 0.

Every divergence here is a sum of Bregman remainders, f(b) - f(a) - (b - a)*f'(a) of a convex f, which are never negative.
Written as in a textbook, their terms cancel the more the closer a and b are. Written as below, they are as exact as b - a,
which is exact for close numbers; and where a sum of remainders can be arranged so that all are positive, it is.

The remainders take and return float64 arrays of one shape. None of them is NaN within its domain.
"""

import numpy as np

from klfast import _checks, _checks_families

LOG_2 = np.log(2.0)
# From here on Stirling's series is used, which at 8 is as exact as a double with twelve terms.
LARGE = 8
# B(2k)/(2k*(2k - 1)) for k = 1, 2, ..., B being Bernoulli's numbers: log gamma(a) is (a - 1/2)*log(a) - a + log(2*pi)/2
# and the sum of these over a**(2k - 1).
STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
    43867 / 244188,
    -174611 / 125400,
    77683 / 5796,
    -236364091 / 1506960,
)


def log_gap(t):
    """t - log(1 + t) for t >= -1, to a few units in the last place; +inf for -1 and inf.

    With s = t/(2 + t), log(1 + t) is 2*(s + s**3/3 + s**5/5 + ...) and t - 2*s is s*t.
    """
    small = np.where((t > -0.5) & (t < 1.0), t, 0.0)
    s = small / (2.0 + small)
    square = s * s  # at most 1/9
    series = np.full_like(s, 1 / 37)
    for divisor in range(35, 1, -2):
        series = series * square + 1 / divisor
    near = s * (small - 2.0 * square * series)
    far = np.where(small == t, 1.0, t)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(small == t, near, np.where(far == np.inf, np.inf, far - np.log1p(far)))


def exp_gap(u):
    """exp(u) - 1 - u, to a few units in the last place; +inf for -inf and inf."""
    small = np.where(np.abs(u) < 1.0, u, 0.0)
    series = np.ones_like(small)
    for divisor in range(20, 2, -1):
        series = series * (small / divisor) + 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.where(np.isinf(u), np.inf, np.expm1(u) - u)
    return np.where(small == u, 0.5 * small * small * series, far)


def ratio_gap(top, bottom, difference, factor=1.0):
    """factor*(r - 1 - log(r)) for r = top/bottom, all positive; `difference` is top - bottom, as exact as can be."""
    (m_top, e_top), (m_bottom, e_bottom) = np.frexp(top), np.frexp(bottom)
    return _gap_of_scaled(difference / bottom, m_top / m_bottom, e_top - e_bottom, factor)


def product_ratio_gap(top, bottom, factor):
    """factor*(r - 1 - log(r)) for r = top[0]*top[1]/(bottom[0]*bottom[1]), all positive.

    The difference of the products is taken before they are rounded.
    """
    (high_top, low_top, e_top), (high_bottom, low_bottom, e_bottom) = _product(*top), _product(*bottom)
    exponent = e_top - e_bottom
    shift = np.clip(exponent, -9, 9)  # beyond, the difference is not looked at
    difference = (np.ldexp(high_top, shift) - high_bottom) + (np.ldexp(low_top, shift) - low_bottom)
    return _gap_of_scaled(difference / high_bottom, high_top / high_bottom, exponent, factor)


def _gap_of_scaled(t, mantissa, exponent, factor):
    """factor*(r - 1 - log(r)) for r = 1 + t = mantissa*2**exponent: from t if r is near 1, else from the others.

    These have any size: r alone may be beyond the range. Where it is so large, it is all that counts.
    """
    near = (t > -0.5) & (t < 1.0) & (np.abs(exponent) <= 3)
    ratio = np.ldexp(mantissa, np.clip(exponent, -2000, 2000))
    gap = np.where(near, log_gap(np.where(near, t, 0.0)), (ratio - 1.0) - (np.log(mantissa) + exponent * LOG_2))
    m_factor, e_factor = np.frexp(factor)
    return np.where(exponent > 1000, np.ldexp(m_factor * mantissa, exponent + e_factor), factor * gap)


def _product(a, b):
    """a*b as (high + low)*2**exponent, exactly; high is in [1/4, 1)."""
    (a, e_a), (b, e_b) = np.frexp(a), np.frexp(b)
    high = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    low = ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low
    return high, low, e_a + e_b


def _halves(a):
    """a as the sum of two numbers of 26 bits, whose products are exact."""
    scaled = a * (2.0**27 + 1.0)
    high = scaled - (scaled - a)
    return high, a - high


def of_x_log_x(a, b, difference):
    """The remainder of x*log(x), b*log(b/a) - b + a, with difference = b - a."""
    return ratio_gap(a, b, -difference, b)


def of_stirling_rest(a, b, difference):
    """The remainder of r(x) = log gamma(x) - (x - 1/2)*log(x) + x, from a to b, with difference = b - a.

    r is convex, so it is never negative: about half of `ratio_gap(b, a)` for small numbers, and 1/(3*a) of that for large
    ones. What is lost of it, is lost relative to `ratio_gap(b, a)`.
    """
    return np.where(np.minimum(a, b) < LARGE, _of_small(a, b, difference), _of_large(a, b, difference))


def _of_large(a, b, difference):
    """By Stirling's series, term by term.

    The remainder of x**-n is (difference/a)**2/b times Q(n) = the sum of (n - j)*(1/a)**(n - 1 - j)*(1/b)**j over j < n, and
    Q(n + 1) is Q(n)/a + H(n + 1), where H(n + 1) is H(n)/a + (1/b)**n.
    """
    large = np.minimum(a, b) >= LARGE
    u, v = 1.0 / np.where(large, a, LARGE), 1.0 / np.where(large, b, LARGE)
    factor = np.where(large, difference, 0.0) * u
    q, h, power, total = np.ones_like(u), np.ones_like(u), np.ones_like(u), STIRLING[0]
    for coefficient in STIRLING[1:]:
        for _ in range(2):
            power = power * v
            h = h * u + power
            q = q * u + h
        total = total + coefficient * q
    return factor * (factor * v) * total


def _of_small(a, b, difference):
    """From that of numbers larger by n = LARGE, since log gamma(x + 1) = log gamma(x) + log(x)."""
    small = np.minimum(a, b) < LARGE
    a, b, difference = (np.where(small, one, other) for one, other in ((a, 1.0), (b, 1.0), (difference, 0.0)))
    gap = ratio_gap(b, a, difference)
    total = 0.5 * gap
    for step in range(1, LARGE):
        total = total + ratio_gap(b + step, a + step, difference)
    far_a, far_b = a + LARGE, b + LARGE
    total = total + 0.5 * ratio_gap(far_b, far_a, difference) + _of_large(far_a, far_b, difference)
    # What the remainder of x*log(x) grows by: each remainder is small if a and b are close; else their logarithms are.
    t = difference / b
    grown = of_x_log_x(far_a, far_b, difference) - of_x_log_x(a, b, difference)
    logs = b * (_log_growth(b) - _log_growth(a)) + LARGE * _log_ratio(far_b, far_a, difference)
    return total + np.where((t > -1.0) & (t < 0.5), grown, logs)


def of_log_gamma(a, b, difference):
    """The remainder of log gamma."""
    halves = 0.5 * ratio_gap(b, a, difference) + of_stirling_rest(a, b, difference)
    return of_x_log_x(a, b, difference) + halves


def of_digamma(a, b, difference):
    """digamma(b) - digamma(a); what it would be by the slope at a; the second less the first, which is never negative."""
    is_small = np.minimum(a, b) < LARGE
    growth, linear, remainder = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a)
    for step in range(LARGE):  # digamma(x + 1) = digamma(x) + 1/x
        quotient = np.where(is_small, difference / (a + step), 0.0)
        growth += quotient / (b + step)
        linear += quotient / (a + step)
        remainder += quotient * (quotient / (b + step))
    a, b = (np.where(is_small, one + LARGE, one) for one in (a, b))
    u, v = 1.0 / a, 1.0 / b
    # Sums as in _of_large, of powers that are even
    q, h, power, power_u = v + 2.0 * u, v + u, v, u
    total_q, total_h, total_u = 0.5, 0.5, 0.5
    for place, coefficient in enumerate(STIRLING):
        factor = coefficient * (2 * place + 1)
        total_q = total_q + factor * q
        total_h = total_h + factor * h
        total_u = total_u + factor * (2 * place + 2) * power_u
        power_u = power_u * u * u
        for _ in range(2):
            power = power * v
            h = h * u + power
            q = q * u + h
    quotient = difference * u
    growth += _log_ratio(b, a, difference) + quotient * v * total_h
    linear += quotient + quotient * u * total_u
    remainder += ratio_gap(b, a, difference) + quotient * (quotient * v) * total_q
    return growth, linear, remainder


# Of Gauss and Legendre, for integrals from 0 to 1.
PLACES, WEIGHTS = np.polynomial.legendre.leggauss(6)
PLACES, WEIGHTS = 0.5 + 0.5 * PLACES, 0.5 * WEIGHTS


def of_log_gamma_beside(a, b, more_a, more_b, difference, more_difference):
    """The remainder of log gamma from a to b, less that from a + more_a to b + more_b, where more is next to nothing.

    It is the integral of how the remainder changes on the way, which is smooth. `more_difference` is more_b - more_a.
    """
    total = 0.0
    for place, weight in zip(PLACES, WEIGHTS):
        at_a, at_b = a + place * more_a, b + place * more_b
        growth, linear, remainder = of_digamma(at_a, at_b, difference + place * more_difference)
        # The same twice: the first has no large terms if b is far below a, the second none if they are close.
        change = np.where(
            at_b < 0.5 * at_a, more_a * linear - more_b * growth, more_a * remainder - more_difference * growth
        )
        total = total + weight * change
    return total


def _log_growth(a):
    """log((a + LARGE)/a)."""
    growth = LARGE / a
    return np.where(growth < np.inf, np.log1p(growth), np.log(LARGE) - np.log(a))


def _log_ratio(top, bottom, difference):
    t = difference / bottom
    near = np.abs(t) < 0.5
    return np.where(near, np.log1p(np.where(near, t, 0.0)), np.log(top) - np.log(bottom))


# Calls ---------------------------------------------------------------------------------------------------------------


def each(named, domains, function, out, check):
    """function(parameters) for each place of the broadcast parameters; NaN where one of them is outside its domain."""
    inputs = _checks_families.parameters(named, domains, check)
    if out is not None:
        _checks.output(out, inputs[0].array.shape, {one.name: one.array for one in inputs})
    numbers, is_valid = _valid(inputs, domains)
    with np.errstate(all="ignore"):
        result = function(*numbers) + 0.0  # makes a result of -0.0 a 0.0
        return _given(np.where(is_valid, result, np.nan), out)


def components(named, function, axis, out, check):
    """The same for distributions whose parameters, all positive, lie along an axis; the last one for `function`."""
    domains = [_checks_families.POSITIVE] * len(named)
    inputs = _checks_families.parameters(named, domains, check)
    shape = inputs[0].array.shape
    axis = _checks_families.component_axis(axis, len(shape))
    if out is not None:
        _checks.output(out, shape[:axis] + shape[axis + 1 :], {one.name: one.array for one in inputs})
    numbers, is_valid = _valid(inputs, domains)
    if shape[axis] == 0:
        return _given(np.full(shape[:axis] + shape[axis + 1 :], np.nan), out)
    rows = [np.ascontiguousarray(np.moveaxis(one, axis, -1)) for one in numbers]
    with np.errstate(all="ignore"):
        return _given(np.where(np.all(is_valid, axis=axis), function(*rows), np.nan), out)


def _valid(inputs, domains):
    """The numbers as float64, others put in for those outside their domain; and where all are inside."""
    numbers = [one.numbers().astype(np.float64) for one in inputs]
    inside = [domain.contains(number) for number, domain in zip(numbers, domains)]
    replaced = [np.where(yes, number, domain.inside) for yes, number, domain in zip(inside, numbers, domains)]
    return replaced, np.logical_and.reduce(inside)


def _given(result, out):
    if out is None:
        return result[()]
    out[...] = result
    return out
