"""Pairs of distributions from far apart to all but equal, whose sums are exactly 1.

Every weight is a whole number of steps, and the steps add up to a power of two that the type holds: so the plain sum and the
KL of the normalised distributions are the same number, nobody has to divide anything, and no error comes from the input.
"""

import mpmath
import numpy as np

DIGITS = 40
CLASSES = 1000
STEPS = {"float32": 2**24, "float64": 2**53}


def make_pair(generator, dtype, target):
    """A long-tailed distribution p, as words have, and a q at about that KL from it; as float arrays, with the exact KL."""
    whole = STEPS[dtype]
    p = in_steps(1 / np.arange(1, CLASSES + 1), whole)
    direction = generator.standard_normal(CLASSES)
    direction -= (p / whole * direction).sum()
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        if rough_kl(p, tilted(p, direction, middle, whole)) < target:
            low = middle
        else:
            high = middle
    q = tilted(p, direction, high, whole)
    order = generator.permutation(CLASSES)
    p, q = p[order], q[order]
    return (p / whole).astype(dtype), (q / whole).astype(dtype), exact_kl(p, q)


def in_steps(weights, whole):
    """Whole numbers, at least 1, in the proportion of the weights, which add up to `whole`."""
    steps = np.maximum(np.rint(weights / weights.sum() * whole), 1).astype(np.int64)
    steps[steps.argmax()] += whole - steps.sum()
    return steps


def tilted(p, direction, strength, whole):
    """q ~ p * exp(strength * direction). If that is little, in moves of whole steps, so that p is not rounded again."""
    if strength > 0.1:
        weights = np.log(p) + strength * direction
        return in_steps(np.exp(weights - weights.max()), whole)
    moves = np.rint(p * np.expm1(strength * direction)).astype(np.int64)
    q = np.maximum(p + moves, 1)
    left = int(whole - q.sum())
    heavy = np.argsort(-p, kind="stable")
    each, more = divmod(abs(left), CLASSES)  # what rounding has left over, shared out evenly, heavy ones first
    q += np.sign(left) * each
    q[heavy[:more]] += np.sign(left)
    return q


def rough_kl(p, q):
    """In float64, from the differences alone, so that it is right however small."""
    gap = (q - p) / p
    terms = np.where(np.abs(gap) < 1e-2, gap**2 / 2 - gap**3 / 3 + gap**4 / 4, gap - np.log1p(gap))
    return (p * terms).sum() / p.sum()


def exact_kl(p, q):
    with mpmath.workdps(DIGITS):
        terms = (a * mpmath.log(mpmath.mpf(a) / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
        return mpmath.fsum(terms) / int(p.sum())
