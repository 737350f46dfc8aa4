"""Exact values of every operation for one row, on the very bits of the input.

Textbook formulas in ball arithmetic (FLINT's `arb`): every number carries a bound on its error, through every operation. A
formula is evaluated again with more digits until that bound cannot matter (at least 70 correct bits), so cancellation,
however bad, costs time but no truth.

Results are mpmath numbers, or the floats nan and inf where that is the answer. Raw sums, which may cancel to nothing, also
have a size: the sum of the absolute values of their terms.
"""

import functools
import math

import mpmath
import numpy as np
from flint import arb, ctx
from mpmath import libmp

NAN = mpmath.mpf("nan")
INFINITY = mpmath.mpf("inf")
ZERO = mpmath.mpf(0)

PRECISIONS = (128, 256, 640, 1400, 2800)  # in bits
EXACT = 6000  # in bits, at which sums of doubles, differences of two and products of three round nothing
CORRECT = arb(2) ** -70
# Its square root is far below the smallest double: what is known this well needs no relative accuracy.
NOTHING = arb(2) ** -2280


# Probabilities or counts ---------------------------------------------------------------------------------------------


def kl_divergence(p, q, normalize=True):
    """sum p*log(p/q) of the rows divided by their sums, or of the numbers as they are."""
    if (special := special_value(p, q, normalize)) is not None:
        return special
    if not normalize:
        return _raw(p, q, include_p=True)[0]

    def evaluate():
        terms, total_p, total_q = _weighted_logs(p, q, include_p=True)
        return sum(terms) / total_p + (total_q / total_p).log()

    return certain(evaluate, lambda: proportional(p, q))


def cross_entropy(p, q, normalize=True):
    """-sum p*log q of the rows divided by their sums, or of the numbers as they are."""
    if (special := special_value(p, q, normalize)) is not None:
        return special
    if not normalize:
        return _raw(p, q, include_p=False)[0]

    def evaluate():
        terms, total_p, total_q = _weighted_logs(p, q, include_p=False)
        return total_q.log() - sum(terms) / total_p

    return certain(evaluate, lambda: np.count_nonzero(q) == 1)


def entropy(p, normalize=True):
    """-sum p*log p of the row divided by its sum, or of the numbers as they are."""
    return cross_entropy(p, p, normalize)


def size_of_raw_terms(operation, p, q=None):
    """The sum of |terms| of a raw sum: what the error of a sum that cancels is measured against."""
    if operation == "entropy":
        q = p
    return _raw(p, q, include_p=operation == "kl_divergence")[1]


def special_value(p, q, normalize):
    """The answer if it is nan or inf, else None."""
    for weights in (p, q):
        if np.any(~(weights >= 0)) or np.any(np.isinf(weights)) or (normalize and not np.any(weights)):
            return NAN
    return INFINITY if np.any((p > 0) & (q == 0)) else None


def _raw(p, q, include_p):
    """The raw sum, negated unless it is a KL, and its size, against which it is certain: that is the promise for raw sums."""
    sizes = [ZERO]

    def evaluate():
        terms, _, _ = _weighted_logs(p, q, include_p)
        sizes.append(sum((abs(term) for term in terms), arb(0)))
        return sum(terms, arb(0))

    total = certain(evaluate, lambda: not np.any(p), lambda: sizes[-1])
    return (total if include_p else -total), as_number(sizes[-1])


def _weighted_logs(p, q, include_p):
    """The terms p*(log p - log q), or p*log q without `include_p`; sum p; sum q."""
    used = p > 0
    weights, logs = numbers(p[used]), _logs(as_bytes(q[used]), ctx.prec)
    if include_p:
        logs = [log_p - log_q for log_p, log_q in zip(_logs(as_bytes(p[used]), ctx.prec), logs, strict=True)]
    terms = [weight * log for weight, log in zip(weights, logs, strict=True)]
    return terms, sum(weights), sum(numbers(q))


# One operation after the other asks for the logarithms or exponentials of the same long row, which is told by its bytes.


def as_bytes(row):
    return np.asarray(row, np.float64).tobytes()


@functools.lru_cache(maxsize=4)
def _logs(row, precision):
    del precision  # that at work
    return [value.log() for value in numbers(np.frombuffer(row))]


def proportional(p, q):
    """True if p/sum(p) and q/sum(q) are the same distribution, exactly."""
    with ctx.workprec(EXACT):
        p, q = numbers(p), numbers(q)
        total_p, total_q = sum(p), sum(q)
        return all(a * total_q == b * total_p for a, b in zip(p, q, strict=True))


# Logits --------------------------------------------------------------------------------------------------------------


def logits_kl_divergence(x, y):
    """sum p*(log p - log q) with p = softmax(x), q = softmax(y)."""
    if no_softmax(x) or no_softmax(y):
        return NAN
    if np.any((x > -np.inf) & (y == -np.inf)):
        return INFINITY
    possible = x > -np.inf

    def evaluate():
        weights, total_y = _only(_weights(as_bytes(x), ctx.prec), possible), sum(_weights(as_bytes(y), ctx.prec))
        total_x = sum(weights)
        pairs = zip(_only(centered(x), possible), _only(centered(y), possible), strict=True)
        terms = [weight * (one - other) for weight, (one, other) in zip(weights, pairs, strict=True)]
        return sum(terms) / total_x + (total_y / total_x).log()

    return certain(evaluate, lambda: same_softmax(x, y))


def logits_js_divergence(x, y):
    """Half of KL(p, m) + KL(q, m) with m = (p + q)/2, which is log 2 + half of sum p*log(p/(p+q)) + q*log(q/(p+q))."""
    if no_softmax(x) or no_softmax(y):
        return NAN

    def evaluate():
        terms = []
        for one, other in zip(_log_softmax(x), _log_softmax(y), strict=True):
            p, q = one.exp(), other.exp()
            if one.is_finite() or other.is_finite():
                log_both = (p + q).log()
                terms += [weight * (log - log_both) for weight, log in ((p, one), (q, other)) if log.is_finite()]
        return arb(2).log() + sum(terms) / 2

    return certain(evaluate, lambda: same_softmax(x, y))


def logits_entropy(x):
    """log sum exp(x) minus the mean of x under softmax(x)."""
    if no_softmax(x):
        return NAN
    possible = x > -np.inf

    def evaluate():
        weights = _only(_weights(as_bytes(x), ctx.prec), possible)
        total = sum(weights)
        return total.log() - sum(a * b for a, b in zip(weights, _only(centered(x), possible), strict=True)) / total

    return certain(evaluate, lambda: np.count_nonzero(possible) == 1)


def logits_cross_entropy(x, target):
    """log sum exp(x) - x[target]."""
    if no_softmax(x):
        return NAN
    if x[target] == -np.inf:
        return INFINITY

    def evaluate():
        return sum(_weights(as_bytes(x), ctx.prec)).log() - centered(x)[target]

    return certain(evaluate, lambda: np.count_nonzero(x > -np.inf) == 1)


def logits_logsumexp(x):
    """log sum exp(x)."""
    if np.any(np.isnan(x)) or np.any(x == np.inf):
        return NAN
    if not np.any(x > -np.inf):
        return -INFINITY

    def evaluate():
        return arb(float(x.max())) + sum(_weights(as_bytes(x), ctx.prec)).log()

    # log 1 + ... = 0 would need exp(largest) and a rational to be equal; only one lone class scored 0 gives it.
    return certain(evaluate, lambda: x.max() == 0 and np.count_nonzero(x > -np.inf) == 1)


def size_of_logsumexp(x):
    """What the error of a logsumexp is measured against: the largest of |max|, log n and the result."""
    return max(abs(mpmath.mpf(float(x.max()))), mpmath.log(len(x)), abs(logits_logsumexp(x)))


def no_softmax(x):
    return np.any(np.isnan(x)) or np.any(x == np.inf) or not np.any(x > -np.inf)


def centered(x):
    """x - max(x); -inf stays."""
    largest = arb(float(np.max(x)))
    return [value - largest for value in numbers(x)]


def same_softmax(x, y):
    with ctx.workprec(EXACT):
        return centered(x) == centered(y)


@functools.lru_cache(maxsize=4)
def _weights(row, precision):
    """exp(x - max(x)), told as above."""
    del precision  # that at work
    return [value.exp() for value in centered(np.frombuffer(row))]


def _log_softmax(x):
    log_total = sum(_weights(as_bytes(x), ctx.prec)).log()
    return [value - log_total for value in centered(x)]


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


def certain(evaluate, is_zero, size=None):
    """The value of evaluate(), a ball, with growing precision until it is certain.

    No precision can tell 0 from nearly 0, so `is_zero` answers that exactly, and is asked as soon as it is in doubt.
    """
    for precision in PRECISIONS:
        with ctx.workprec(precision):
            value = evaluate()
            wanted = CORRECT * (abs(value.mid()) if size is None else size()).mid()
            if value.rad() <= max(wanted, NOTHING):
                return as_number(value)
        if value.contains(0) and is_zero():
            return ZERO
    raise ArithmeticError(f"not certain after {PRECISIONS[-1]} bits: {value}")


def as_number(value):
    """The middle of a ball as an mpmath number, whatever the precision of either library."""
    if not value.is_finite():
        return mpmath.mpf(float(value))
    return mpmath.make_mpf(libmp.from_man_exp(*map(int, value.mid().man_exp())))


def numbers(array):
    return [arb(value) for value in np.asarray(array, np.float64).tolist()]


def square(ball):
    """Not by `**`, which makes nan of a ball that holds 0."""
    return ball * ball


def _only(values, mask):
    return [value for value, use in zip(values, mask.tolist(), strict=True) if use]
