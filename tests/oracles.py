"""Exact values of every operation for one row, on the very bits of the input.

Textbook formulas in mpmath arithmetic. Each is evaluated together with a bound on its rounding error, and again with more
digits until that error cannot matter (at least 70 correct bits), so cancellation, however bad, costs time but no truth.
The loops over elements use mpmath's raw numbers (`libmp`), which makes rows of 100,000 elements a matter of a second.

Results are mpmath numbers, or the floats nan and inf where that is the answer. Raw sums, which may cancel to nothing, also
have a size: the sum of the absolute values of their terms.
"""

import functools
import math

import mpmath
import numpy as np
from mpmath import libmp

NAN = mpmath.mpf("nan")
INFINITY = mpmath.mpf("inf")
ZERO = mpmath.mpf(0)

PRECISIONS = (128, 256, 640, 1400, 2800)  # in bits
CORRECT = mpmath.ldexp(1, -70)
# Far below the smallest double: what is known this well needs no relative accuracy.
NOTHING = mpmath.ldexp(1, -1140)
# |log| of any positive double is below 745; with a handful of roundings per term every sum below stays within this many
# units of the last place of the total weight.
ROUNDINGS = 2**14


# Probabilities or counts ---------------------------------------------------------------------------------------------


def kl_divergence(p, q, normalize=True):
    """sum p*log(p/q) of the rows divided by their sums, or of the numbers as they are."""
    if (special := _special(p, q, normalize)) is not None:
        return special
    if not normalize:
        return _raw(p, q, include_p=True)[0]

    def evaluate(precision):
        total, total_p, total_q, _ = _weighted_logs(p, q, precision, include_p=True)
        return total / total_p + mpmath.log(total_q / total_p), ROUNDINGS

    return _certain(evaluate, lambda: _proportional(p, q))


def cross_entropy(p, q, normalize=True):
    """-sum p*log q of the rows divided by their sums, or of the numbers as they are."""
    if (special := _special(p, q, normalize)) is not None:
        return special
    if not normalize:
        return _raw(p, q, include_p=False)[0]

    def evaluate(precision):
        total, total_p, total_q, _ = _weighted_logs(p, q, precision, include_p=False)
        return mpmath.log(total_q) - total / total_p, ROUNDINGS

    return _certain(evaluate, lambda: np.count_nonzero(q) == 1)


def entropy(p, normalize=True):
    """-sum p*log p of the row divided by its sum, or of the numbers as they are."""
    return cross_entropy(p, p, normalize)


def size_of_raw_terms(operation, p, q=None):
    """The sum of |terms| of a raw sum: what the error of a sum that cancels is measured against."""
    if operation == "entropy":
        q = p
    return _raw(p, q, include_p=operation == "kl_divergence")[1]


def _special(p, q, normalize):
    """The answer if it is nan or inf, else None."""
    for weights in (p, q):
        if np.any(~(weights >= 0)) or np.any(np.isinf(weights)) or (normalize and not np.any(weights)):
            return NAN
    return INFINITY if np.any((p > 0) & (q == 0)) else None


def _raw(p, q, include_p):
    """The raw sum, negated unless it is a KL, and its size."""

    def evaluate(precision):
        total, total_p, _, size = _weighted_logs(p, q, precision, include_p)
        sizes.append(size)
        # Measured against its size, which is what the promise for raw sums is about.
        return (total, ROUNDINGS * total_p) if size else (ZERO, 0)

    sizes = []
    total = _certain(evaluate, lambda: False, lambda: sizes[-1])
    return (total if include_p else -total), sizes[-1]


def _weighted_logs(p, q, precision, include_p):
    """sum p*(log p - log q), or sum p*log q without `include_p`; sum p; sum q; the sum of the absolute terms."""
    used = p > 0
    weights, logs = _raw_numbers(p[used]), _logs(_as_bytes(q[used]), precision)
    if include_p:
        of_p = _logs(_as_bytes(p[used]), precision)
        logs = [libmp.mpf_sub(log_p, log_q, precision) for log_p, log_q in zip(of_p, logs, strict=True)]
    terms = [libmp.mpf_mul(a, log, precision) for a, log in zip(weights, logs, strict=True)]
    sums = _sum(terms, precision), _sum(weights, precision), _sum(_raw_numbers(q), precision)
    return *sums, _sum(terms, precision, absolute=True)


# One operation after the other asks for the numbers, logarithms or exponentials of the same long row, which is told by its
# bytes.


def _as_bytes(row):
    return np.asarray(row, np.float64).tobytes()


@functools.lru_cache(maxsize=4)
def _logs(row, precision):
    return [libmp.mpf_log(value, precision) for value in _raw_numbers(np.frombuffer(row))]


def _proportional(p, q):
    """True if p/sum(p) and q/sum(q) are the same distribution, exactly."""
    p, q = _raw_numbers(p), _raw_numbers(q)
    total_p, total_q = libmp.mpf_sum(p, 0), libmp.mpf_sum(q, 0)
    return all(libmp.mpf_mul(a, total_q) == libmp.mpf_mul(b, total_p) for a, b in zip(p, q, strict=True))


# Logits --------------------------------------------------------------------------------------------------------------


def logits_kl_divergence(x, y):
    """sum p*(log p - log q) with p = softmax(x), q = softmax(y)."""
    if _no_softmax(x) or _no_softmax(y):
        return NAN
    if np.any((x > -np.inf) & (y == -np.inf)):
        return INFINITY
    possible = x > -np.inf
    centered_x, centered_y = _centered(x), _centered(y)
    differences = [
        libmp.mpf_sub(a, b) for a, b, use in zip(centered_x, centered_y, possible.tolist(), strict=True) if use
    ]

    def evaluate(precision):
        weights = _only(_weights(_as_bytes(x), precision), possible)
        total_x, total_y = _sum(weights, precision), _sum(_weights(_as_bytes(y), precision), precision)
        terms = [libmp.mpf_mul(weight, d, precision) for weight, d in zip(weights, differences, strict=True)]
        value = _sum(terms, precision) / total_x - mpmath.log(total_x) + mpmath.log(total_y)
        return value, ROUNDINGS * (1 + _sum(terms, precision, absolute=True) / total_x)

    return _certain(evaluate, lambda: centered_x == centered_y)


def logits_js_divergence(x, y):
    """Half of KL(p, m) + KL(q, m) with m = (p + q)/2, which is log 2 + half of sum p*log(p/(p+q)) + q*log(q/(p+q))."""
    if _no_softmax(x) or _no_softmax(y):
        return NAN
    possible = (x > -np.inf) | (y > -np.inf)
    centered_x, centered_y = _only(_centered(x), possible), _only(_centered(y), possible)

    def evaluate(precision):
        p, q = (_probabilities(centered, precision) for centered in (centered_x, centered_y))
        terms = []
        for a, b in zip(p, q, strict=True):
            log_both = libmp.mpf_log(libmp.mpf_add(a, b, precision), precision)
            for one in (a, b):
                if one != libmp.fzero:
                    log_ratio = libmp.mpf_sub(libmp.mpf_log(one, precision), log_both, precision)
                    terms.append(libmp.mpf_mul(one, log_ratio, precision))
        # Weights far below exp(-100000) have longer logarithms, but nothing left to multiply them with.
        return mpmath.log(2) + _sum(terms, precision) / 2, ROUNDINGS * 200

    return _certain(evaluate, lambda: centered_x == centered_y)


def logits_entropy(x):
    """log sum exp(x) minus the mean of x under softmax(x)."""
    if _no_softmax(x):
        return NAN
    possible = x > -np.inf
    centered = _only(_centered(x), possible)

    def evaluate(precision):
        weights = _only(_weights(_as_bytes(x), precision), possible)
        total = _sum(weights, precision)
        terms = [libmp.mpf_mul(weight, value, precision) for weight, value in zip(weights, centered, strict=True)]
        mean = _sum(terms, precision) / total
        return mpmath.log(total) - mean, ROUNDINGS * (1 - mean)

    return _certain(evaluate, lambda: len(centered) == 1)


def logits_cross_entropy(x, target):
    """log sum exp(x) - x[target]."""
    if _no_softmax(x):
        return NAN
    if x[target] == -np.inf:
        return INFINITY
    of_target = mpmath.make_mpf(_centered(x)[target])

    def evaluate(precision):
        return mpmath.log(_sum(_weights(_as_bytes(x), precision), precision)) - of_target, ROUNDINGS

    return _certain(evaluate, lambda: np.count_nonzero(x > -np.inf) == 1)


def logits_logsumexp(x):
    """log sum exp(x)."""
    if np.any(np.isnan(x)) or np.any(x == np.inf):
        return NAN
    if not np.any(x > -np.inf):
        return -INFINITY
    largest = mpmath.mpf(float(x.max()))

    def evaluate(precision):
        log_total = mpmath.log(_sum(_weights(_as_bytes(x), precision), precision))
        return largest + log_total, ROUNDINGS * (1 + abs(largest))

    # log 1 + ... = 0 would need exp(largest) and a rational to be equal; only one lone class scored 0 gives it.
    return _certain(evaluate, lambda: largest == 0 and np.count_nonzero(x > -np.inf) == 1)


def size_of_logsumexp(x):
    """What the error of a logsumexp is measured against: the largest of |max|, log n and the result."""
    return max(abs(mpmath.mpf(float(x.max()))), mpmath.log(len(x)), abs(logits_logsumexp(x)))


def _no_softmax(x):
    return np.any(np.isnan(x)) or np.any(x == np.inf) or not np.any(x > -np.inf)


def _centered(x):
    """x - max(x) without rounding; -inf stays."""
    largest = libmp.from_float(float(x.max()))
    return [libmp.mpf_sub(value, largest) for value in _raw_numbers(x)]


# exp of less is nothing at any of the PRECISIONS, even multiplied by the largest double; and takes long, since the logarithm
# of 2 is needed to as many digits as the number has before its point.
LOWEST_EXPONENT = libmp.from_int(-(2**20))


@functools.lru_cache(maxsize=4)
def _weights(row, precision):
    """exp(x - max(x)), told as above."""
    return _exponentials(_centered(np.frombuffer(row)), precision)


def _exponentials(centered, precision):
    return [
        libmp.fzero if libmp.mpf_lt(value, LOWEST_EXPONENT) else libmp.mpf_exp(value, precision) for value in centered
    ]


def _probabilities(centered, precision):
    """The softmax. The precision is raised by 20 bits, as the logarithm of the total is rounded once for all of them."""
    log_total = libmp.mpf_log(libmp.mpf_sum(_exponentials(centered, precision + 20), precision + 20), precision + 20)
    return [libmp.mpf_exp(libmp.mpf_sub(value, log_total, precision + 20), precision) for value in centered]


# Both ----------------------------------------------------------------------------------------------------------------


def relative_error(result, exact, size=None):
    """|result - exact| / |exact|, or over `size` if given; 0.0 if both are the same nan or inf; inf if only one is.

    A double cannot be right about less than its smallest normal number, 2**-1022: that much is taken off first.
    """
    with mpmath.workprec(256):
        result = mpmath.mpf(float(result))
        if not mpmath.isfinite(exact) or not mpmath.isfinite(result):
            same = result == exact or (mpmath.isnan(exact) and mpmath.isnan(result))
            return 0.0 if same else math.inf
        excess = abs(result - exact) - mpmath.ldexp(1, -1022)
        if excess <= 0:
            return 0.0
        size = abs(exact) if size is None else size
        return float(excess / size) if size else math.inf


def _certain(evaluate, is_zero, size=None):
    """evaluate(precision) -> value, units of error; with growing precision until the value is certain.

    No precision can tell 0 from nearly 0, so `is_zero` answers that exactly, and is asked as soon as it is in doubt.
    """
    for precision in PRECISIONS:
        with mpmath.workprec(precision):
            value, units = evaluate(precision)
            error = mpmath.ldexp(units, -precision)
            wanted = max(CORRECT * (abs(value) if size is None else size()), NOTHING)
        if error <= wanted:
            return value
        if abs(value) <= error and is_zero():
            return ZERO
    raise ArithmeticError(f"not certain after {PRECISIONS[-1]} bits: {value} with an error up to {error}")


def _raw_numbers(array):
    return _numbers(_as_bytes(array))


@functools.lru_cache(maxsize=4)
def _numbers(row):
    return [libmp.from_float(value) for value in np.frombuffer(row).tolist()]


def _only(values, mask):
    return [value for value, use in zip(values, mask.tolist(), strict=True) if use]


def _sum(values, precision, absolute=False):
    return mpmath.make_mpf(libmp.mpf_sum(values, precision, absolute=absolute))
