"""Named makers of test rows: what users have, and what breaks careless arithmetic.

A maker takes a random generator, a length and a dtype and returns two rows of that dtype: p and q as probabilities or
counts (PAIRS), or x and y as logits (LOGIT_PAIRS). `pair` and `logit_pair` call one by its name, with a seed that depends
on nothing but that name and the length, so every process and every run sees the same numbers.
"""

import zlib

import numpy as np

SHORT_LENGTHS = (1, 2, 63, 64, 65, 1000)
LONG_LENGTHS = (49152, 100003)


def pair(name, length, dtype):
    """The rows p, q of PAIRS[name]."""
    return _call(PAIRS, name, length, dtype)


def logit_pair(name, length, dtype):
    """The rows x, y of LOGIT_PAIRS[name]."""
    return _call(LOGIT_PAIRS, name, length, dtype)


def _call(makers, name, length, dtype):
    dtype = np.dtype(dtype)
    random = np.random.default_rng([zlib.crc32(name.encode()), length])
    return tuple(np.ascontiguousarray(row, dtype=dtype) for row in makers[name](random, length, dtype.type))


# Probabilities or counts ---------------------------------------------------------------------------------------------


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
    p[_some(random, length)] = 0.0
    return p, q


def zeros_in_both(random, length, dtype):
    p, q = uniform(random, length, dtype)
    p[_some(random, length)] = 0.0
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


def _some(random, length):
    """About a third of all positions; never the first, so that a row is never all zeros."""
    chosen = random.random(length) < 0.3
    chosen[0] = False
    return chosen


def _softmax(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


# Logits --------------------------------------------------------------------------------------------------------------


def normal(scale):
    def make(random, length, dtype):
        return random.normal(0.0, scale, (2, length))

    return make


def near_equal(distance):
    """Logits of a model and of a close copy of it."""

    def make(random, length, dtype):
        x = random.normal(0.0, 3.0, length).astype(dtype)
        return x, x + random.normal(0.0, distance, length)

    return make


def logits_one_ulp(random, length, dtype):
    x = random.normal(0.0, 3.0, length).astype(dtype)
    return x, np.nextafter(x, np.where(random.random(length) < 0.5, dtype(np.inf), dtype(-np.inf)))


def logits_one_entry(random, length, dtype):
    x = random.normal(0.0, 1.0, length).astype(dtype)
    y = x.copy()
    y[length // 2] += dtype(1e-3)
    return x, y


def rounded_to_64ths(random, length, dtype):
    """What storing logits in few bits does to them."""
    x = random.normal(0.0, 3.0, length).astype(dtype)
    return x, np.round(x * 64.0) / 64.0


def shifted(amount):
    """The same distribution up to the rounding of the shift."""

    def make(random, length, dtype):
        x = random.normal(0.0, 3.0, length).astype(dtype)
        return x, x + dtype(amount)

    return make


def near_and_shifted(random, length, dtype):
    x = random.normal(0.0, 3.0, length).astype(dtype)
    return x, x + random.normal(0.0, 1e-2, length) - 40.0


def confident(random, length, dtype):
    """One class takes all but 1e-11 and less of the mass, in both rows."""
    x, y = random.normal(0.0, 1.0, (2, length))
    x[length // 3] += 40.0
    y[length // 3] += 45.0
    return x, y


def confident_and_near(random, length, dtype):
    x = random.normal(0.0, 1.0, length)
    x[length // 3] += 40.0
    x = x.astype(dtype)
    return x, x + random.normal(0.0, 1e-3, length)


def confident_in_different_classes(random, length, dtype):
    x, y = random.normal(0.0, 1.0, (2, length))
    x[length // 3] += 40.0
    y[-1] += 40.0
    return x, y


def deep_tail(random, length, dtype):
    """The mass of all but a few classes is far below the smallest number of the type."""
    x = -random.uniform(0.0, 2000.0, length)
    return x, x * random.uniform(0.9, 1.1, length)


def ascending(random, length, dtype):
    """Every block brings a new maximum."""
    x = np.linspace(-50.0, 50.0, length)
    return x, x + random.normal(0.0, 0.1, length)


def descending(random, length, dtype):
    x, y = ascending(random, length, dtype)
    return x[::-1], y[::-1]


def opposite_order(random, length, dtype):
    x = np.linspace(-30.0, 30.0, length)
    return x, x[::-1] + random.normal(0.0, 0.1, length)


def masked_alike(random, length, dtype):
    x, y = random.normal(0.0, 3.0, (2, length))
    mask = _some(random, length)
    x[mask] = y[mask] = -np.inf
    return x, y


def masked_alike_and_near(random, length, dtype):
    x, y = near_equal(1e-4)(random, length, dtype)
    mask = _some(random, length)
    x[mask] = y[mask] = -np.inf
    return x, y


def masked_in_x(random, length, dtype):
    x, y = random.normal(0.0, 3.0, (2, length))
    x[_some(random, length)] = -np.inf
    return x, y


def blocks_masked_in_x(random, length, dtype):
    """Whole blocks of a long row are possible in y only, some in neither."""
    x, y = random.normal(0.0, 3.0, (2, length))
    x[1 : length // 2 + 1] = -np.inf
    y[1 : length // 4 + 1] = -np.inf
    return x, y


def lowest_masks_alike(random, length, dtype):
    """Masks made of the lowest finite number, as frameworks do where -inf is unwelcome."""
    x, y = random.normal(0.0, 3.0, (2, length))
    mask = _some(random, length)
    x[mask] = y[mask] = np.finfo(dtype).min
    return x, y


def lowest_masks_in_x(random, length, dtype):
    x, y = random.normal(0.0, 3.0, (2, length))
    x[_some(random, length)] = np.finfo(dtype).min
    return x, y


def lowest_masks_in_y(random, length, dtype):
    """An enormous, finite divergence."""
    x, y = random.normal(0.0, 3.0, (2, length))
    y[_some(random, length)] = np.finfo(dtype).min / 4
    return x, y


def large_masks_alike(random, length, dtype):
    x = random.normal(0.0, 3.0, length)
    y = x + random.normal(0.0, 0.01, length)
    mask = _some(random, length)
    x[mask] = y[mask] = -1e9
    return x, y


def huge(random, length, dtype):
    """Up to a hundredth of the largest number: one class takes everything."""
    return random.normal(0.0, 0.002 * float(np.finfo(dtype).max), (2, length))


def far_from_zero(random, length, dtype):
    """The differences are what counts, and little is left of them."""
    x, y = random.normal(0.0, 3.0, (2, length))
    return x + 3e4, y - 3e4


def equal_scores(random, length, dtype):
    """The uniform distribution against a nearly uniform one."""
    return np.full(length, 0.1), 0.1 + random.normal(0.0, 1e-3, length)


LOGIT_PAIRS = {
    "normal": normal(1.0),
    "normal, wide": normal(10.0),
    "normal, very wide": normal(300.0),
    "near equal 1": near_equal(1.0),
    "near equal 1e-1": near_equal(1e-1),
    "near equal 1e-3": near_equal(1e-3),
    "near equal 1e-5": near_equal(1e-5),
    "near equal 1e-7": near_equal(1e-7),
    "near equal 1e-12": near_equal(1e-12),
    "one ulp": logits_one_ulp,
    "one entry": logits_one_entry,
    "rounded to 64ths": rounded_to_64ths,
    "shifted by 100": shifted(100.0),
    "shifted by -1e4": shifted(-1e4),
    "near and shifted": near_and_shifted,
    "confident": confident,
    "confident and near": confident_and_near,
    "confident in different classes": confident_in_different_classes,
    "deep tail": deep_tail,
    "ascending": ascending,
    "descending": descending,
    "opposite order": opposite_order,
    "masked alike": masked_alike,
    "masked alike and near": masked_alike_and_near,
    "masked in x": masked_in_x,
    "blocks masked in x": blocks_masked_in_x,
    "lowest masks alike": lowest_masks_alike,
    "lowest masks in x": lowest_masks_in_x,
    "lowest masks in y": lowest_masks_in_y,
    "large masks alike": large_masks_alike,
    "huge": huge,
    "far from zero": far_from_zero,
    "equal scores": equal_scores,
}
