"""Pairs of rows of logits: ordinary ones, and those that break implementations."""

import numpy as np
from distributions import made, some_entries


def logit_pair(name, length, dtype):
    """The rows x, y of LOGIT_PAIRS[name]."""
    return made(LOGIT_PAIRS, name, length, dtype)


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
    mask = some_entries(random, length)
    x[mask] = y[mask] = -np.inf
    return x, y


def masked_alike_and_near(random, length, dtype):
    x, y = near_equal(1e-4)(random, length, dtype)
    mask = some_entries(random, length)
    x[mask] = y[mask] = -np.inf
    return x, y


def masked_in_x(random, length, dtype):
    x, y = random.normal(0.0, 3.0, (2, length))
    x[some_entries(random, length)] = -np.inf
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
    mask = some_entries(random, length)
    x[mask] = y[mask] = np.finfo(dtype).min
    return x, y


def lowest_masks_in_x(random, length, dtype):
    x, y = random.normal(0.0, 3.0, (2, length))
    x[some_entries(random, length)] = np.finfo(dtype).min
    return x, y


def lowest_masks_in_y(random, length, dtype):
    """An enormous, finite divergence."""
    x, y = random.normal(0.0, 3.0, (2, length))
    y[some_entries(random, length)] = np.finfo(dtype).min / 4
    return x, y


def large_masks_alike(random, length, dtype):
    x = random.normal(0.0, 3.0, length)
    y = x + random.normal(0.0, 0.01, length)
    mask = some_entries(random, length)
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
