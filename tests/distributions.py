"""Named makers of rows of probabilities or counts: what users have, and what breaks careless arithmetic.

A maker takes a random generator, a length and a dtype and returns two rows of that dtype, p and q. `pair` calls one by its
name, with a seed that depends on nothing but that name and the length, so every process and every run sees the same
numbers. Those of logits are in logit_distributions.py.
"""

import zlib

import numpy as np

SHORT_LENGTHS = (1, 2, 63, 64, 65, 1000)
LONG_LENGTHS = (49152, 100003)


def pair(name, length, dtype):
    """The rows p, q of PAIRS[name]."""
    return made(PAIRS, name, length, dtype)


def made(makers, name, length, dtype):
    """The rows of makers[name]."""
    dtype = np.dtype(dtype)
    random = np.random.default_rng([zlib.crc32(name.encode()), length])
    return tuple(np.ascontiguousarray(row, dtype=dtype) for row in makers[name](random, length, dtype.type))


def uniform(random, length, dtype):
    return random.uniform(0.1, 1.0, length), random.uniform(0.1, 1.0, length)


def dirichlet(concentration):
    """Symmetric Dirichlet rows. Small concentrations spread them over hundreds of orders of magnitude."""

    def make(random, length, dtype):
        p, q = random.standard_gamma(concentration, (2, length)) + np.finfo(dtype).tiny
        return p / p.sum(), np.maximum(q / q.sum(), np.finfo(dtype).tiny)

    return make


def peaked(random, length, dtype):
    """Two model outputs that agree on most of the mass."""
    scores = random.normal(0.0, 8.0, length)
    return _softmax(scores), _softmax(scores + random.normal(0.0, 0.5, length))


def one_hot(random, length, dtype):
    return _one_hot(length), random.uniform(0.1, 1.0, length)


def one_hot_and_confident(random, length, dtype):
    """Cross-entropy close to 0: everything rests on the sum of the small rest."""
    return _one_hot(length), _one_hot(length) + random.uniform(0.0, 1e-9, length)


def confident_and_confident(random, length, dtype):
    rest = random.uniform(1e-9, 1e-6, length) / length
    return _one_hot(length) + rest, _one_hot(length) + rest * random.uniform(0.5, 2.0, length)


def zeros_in_p(random, length, dtype):
    p, q = uniform(random, length, dtype)
    p[some_entries(random, length)] = 0.0
    return p, q


def zeros_in_both(random, length, dtype):
    p, q = uniform(random, length, dtype)
    p[some_entries(random, length)] = 0.0
    q[(p == 0.0) & (random.random(length) < 0.5)] = 0.0
    return p, q


def disjoint_blocks_of_zeros(random, length, dtype):
    """p is zero for a whole stretch, so that whole blocks of a long row hold nothing of it."""
    p, q = uniform(random, length, dtype)
    p[1 : length // 2 + 1] = 0.0
    q[1 : length // 4 + 1] = 0.0
    return p, q


def near_ratio(distance):
    """q is p up to factors within 1 +- distance."""

    def make(random, length, dtype):
        p = random.uniform(0.1, 1.0, length).astype(dtype)
        return p, p * (1.0 + random.uniform(-distance, distance, length))

    return make


def one_ulp(random, length, dtype):
    """As close as two rows can be without being equal."""
    p = random.uniform(0.1, 1.0, length).astype(dtype)
    up = random.random(length) < 0.5
    return p, np.where(up, np.nextafter(p, dtype(2)), np.nextafter(p, dtype(0)))


def one_entry_one_ulp(random, length, dtype):
    p = random.uniform(0.1, 1.0, length).astype(dtype)
    q = p.copy()
    q[length // 2] = np.nextafter(q[length // 2], dtype(2))
    return p, q


def rounded_multiple(random, length, dtype):
    """q is 0.3*p but for the rounding of each entry."""
    p = random.uniform(0.1, 1.0, length).astype(dtype)
    return p, p * dtype(0.3)


def counts(random, length, dtype):
    return random.integers(0, 10**9, length, endpoint=True), random.integers(1, 10**9, length, endpoint=True)


def small_counts(random, length, dtype):
    """Histograms: many equal values and zeros."""
    p = random.poisson(3.0, length)
    p[0] += 1
    return p, p + random.integers(0, 2, length)


def resampled_counts(random, length, dtype):
    p = random.integers(1, 10**6, length)
    return p, random.poisson(p) + 1


def subnormal(random, length, dtype):
    """Nothing but numbers below the smallest normal one."""
    return random.uniform(0.01, 1.0, (2, length)) * np.finfo(dtype).tiny


def subnormal_near(random, length, dtype):
    p = (random.uniform(0.1, 1.0, length) * np.finfo(dtype).tiny).astype(dtype)
    return p, p + np.finfo(dtype).smallest_subnormal * random.integers(0, 3, length).astype(dtype)


def subnormal_among_normal(random, length, dtype):
    p, q = random.uniform(0.1, 1.0, (2, length))
    p[::3] *= np.finfo(dtype).tiny
    q[::2] *= np.finfo(dtype).tiny
    return p, q


def near_overflow(random, length, dtype):
    """The sum of two entries is infinite; that of the normalised ones is not."""
    return random.uniform(0.25, 1.0, (2, length)) * np.finfo(dtype).max


def near_overflow_and_near_equal(random, length, dtype):
    p = (random.uniform(0.25, 0.9, length) * np.finfo(dtype).max).astype(dtype)
    return p, p * (1.0 + random.uniform(-1e-5, 1e-5, length))


def huge_and_tiny(random, length, dtype):
    """p near the overflow limit, q near the underflow limit: only their shapes count."""
    p, q = random.uniform(0.25, 1.0, (2, length))
    return p * np.finfo(dtype).max, q * 4 * np.finfo(dtype).tiny


def every_exponent(random, length, dtype):
    """Spread over all normal numbers of the type."""
    limits = np.log2(np.finfo(dtype).tiny), np.log2(np.finfo(dtype).max) - 1
    return np.exp2(random.uniform(*limits, (2, length)))


def every_exponent_near(random, length, dtype):
    p = every_exponent(random, length, dtype)[0].astype(dtype)
    return p, p * (1.0 + random.uniform(-1e-3, 1e-3, length))


def long_tail(random, length, dtype):
    """Zipf's law, in order."""
    rank = np.arange(1.0, length + 1.0)
    return rank**-1.1, rank**-1.0 * random.uniform(0.9, 1.1, length)


PAIRS = {
    "uniform": uniform,
    "Dirichlet 0.01": dirichlet(0.01),
    "Dirichlet 0.1": dirichlet(0.1),
    "Dirichlet 1": dirichlet(1.0),
    "peaked": peaked,
    "one-hot": one_hot,
    "one-hot and confident": one_hot_and_confident,
    "confident and confident": confident_and_confident,
    "zeros in p": zeros_in_p,
    "zeros in both": zeros_in_both,
    "blocks of zeros": disjoint_blocks_of_zeros,
    "ratio 1 +- 1e-1": near_ratio(1e-1),
    "ratio 1 +- 1e-3": near_ratio(1e-3),
    "ratio 1 +- 1e-5": near_ratio(1e-5),
    "ratio 1 +- 1e-7": near_ratio(1e-7),
    "ratio 1 +- 1e-12": near_ratio(1e-12),
    "one ulp": one_ulp,
    "one entry, one ulp": one_entry_one_ulp,
    "rounded multiple": rounded_multiple,
    "counts": counts,
    "small counts": small_counts,
    "resampled counts": resampled_counts,
    "subnormal": subnormal,
    "subnormal, near": subnormal_near,
    "subnormal among normal": subnormal_among_normal,
    "near overflow": near_overflow,
    "near overflow, near equal": near_overflow_and_near_equal,
    "huge and tiny": huge_and_tiny,
    "every exponent": every_exponent,
    "every exponent, near": every_exponent_near,
    "long tail": long_tail,
}


def _one_hot(length):
    row = np.zeros(length)
    row[length // 2] = 1.0
    return row


def some_entries(random, length):
    """About a third of all positions; never the first, so that a row is never all zeros."""
    chosen = random.random(length) < 0.3
    chosen[0] = False
    return chosen


def _softmax(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()
