"""Rows of scores for the accuracy tests of losses, gradients and softmax: few, but each with something to go wrong.

Besides those of `distributions.LOGIT_PAIRS` there are pairs that come ever closer, rows that are all but certain, and rows
far beyond what exp can take. All rows are arrays that klfast takes: for bfloat16 the bits, with the keyword that says so.
"""

import functools

import numpy as np
from logit_distributions import LOGIT_PAIRS, logit_pair, near_equal
from reductions import from_bfloat16_bits, to_bfloat16_bits

FLOATS = ("float16", "bfloat16", "float32", "float64")
REAL = ("float32", "float64")
HALVES = ("float16", "bfloat16")
EPSILON = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}  # half an ulp of 1
SMALLEST = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}  # normal number
# What is promised for a type; halves are computed in float.
COMPUTED_IN = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}


def certain_of(nats):
    """One class is likely, and lacks that much of certainty: a loss as small as that."""

    def make(random, length, dtype):
        x, y = random.normal(0.0, 1.0, (2, length))
        for one in (x, y):
            rest = np.delete(one, length // 3)
            one[length // 3] = np.log(np.sum(np.exp(rest))) - np.log(nats) if length > 1 else 0.0
        return x, y

    return make


def certain_and_next_to_zero(random, length, dtype):
    """logsumexp is -1e-4 or 1e-4, and next to nothing of it comes from other classes: it must not be rounded to log n."""
    x, y = random.normal(-20.0, 1.0, (2, length))
    x[length // 3], y[length // 3] = -1e-4, 1e-4
    return x, y


def beyond_exp(random, length, dtype):
    """Up to 1e6 in double, 1e4 in float: more than exp can take, in both directions."""
    x = random.uniform(-1.0, 1.0, length) * (1e6 if dtype is np.float64 else 1e4)
    return x, x * random.uniform(0.9, 1.1, length)


def one_possible_class(random, length, dtype):
    x, y = np.full((2, length), -np.inf)
    x[length // 2] = y[length // 2] = -3.7
    return x, y


def shifted_by_1000(random, length, dtype):
    x = np.round(random.normal(0.0, 3.0, length) * 64.0) / 64.0
    return x, x + 1000.0


def spread_and_shifted(random, length, dtype):
    x, y = random.normal(0.0, 3.0, (2, length))
    return x + 1000.0, y - 500.0


CLOSER = {f"closer {distance:g}": near_equal(distance) for distance in (4.5, 0.5, 1e-1, 1e-2, 1e-4, 1e-5, 4.5e-7)}
MORE = CLOSER | {
    "certain of 4.4e-8": certain_of(4.4e-8),
    "certain of 1e-3": certain_of(1e-3),
    "certain, next to zero": certain_and_next_to_zero,
    "beyond exp": beyond_exp,
    "one possible class": one_possible_class,
    "shifted by 1000": shifted_by_1000,
    "spread and shifted": spread_and_shifted,
}
LOGIT_ROWS = LOGIT_PAIRS | MORE

# The last two are the shortest that are not laid side by side: of pairs, and of one array.
LENGTHS = (1, 2, 3, 10, 100, 257, 513)
# For functions of one row, and for pairs.
SINGLE = (
    "normal",
    "normal, very wide",
    "certain of 4.4e-8",
    "certain, next to zero",
    "confident",
    "masked in x",
    "one possible class",
    "spread and shifted",
    "equal scores",
    "deep tail",
    "beyond exp",
)
PAIRED = (
    *CLOSER,
    "normal",
    "normal, very wide",
    "certain of 4.4e-8",
    "confident and near",
    "confident in different classes",
    "masked alike and near",
    "masked in x",
    "one possible class",
    "near and shifted",
    "shifted by 1000",
    "beyond exp",
)
LONG_SINGLE = (("certain of 4.4e-8", 1000), ("normal", 1000), ("ascending", 1000), ("blocks masked in x", 5000))
LONG_PAIRED = (("closer 1e-05", 1000), ("certain of 4.4e-8", 1000), ("closer 0.01", 5000), ("blocks masked in x", 5000))


@functools.cache
def logit_rows(name, length, dtype):
    """x and y of LOGIT_ROWS[name] as klfast takes them; read-only, for they are kept."""
    if dtype in HALVES:
        rows = logit_rows(name, length, "float32")
        with np.errstate(over="ignore"):
            rows = [to_bfloat16_bits(row) if dtype == "bfloat16" else row.astype(dtype) for row in rows]
    elif name in LOGIT_PAIRS:
        rows = logit_pair(name, length, dtype)
    else:
        kind = np.dtype(dtype).type
        random = np.random.default_rng([*name.encode(), length])
        rows = [np.ascontiguousarray(row, dtype) for row in MORE[name](random, length, kind)]
    for row in rows:
        row.flags.writeable = False
    return tuple(rows)


@functools.cache
def numbers(name, length, dtype):
    """The same two rows as the doubles they are."""
    rows = logit_rows(name, length, dtype)
    return tuple(as_numbers(row, dtype) for row in rows)


def as_numbers(array, dtype):
    return np.asarray(from_bfloat16_bits(array) if dtype == "bfloat16" else array, np.float64)


def tables(names, length, dtype):
    """The named rows one below the other: x and y."""
    return tuple(np.stack(side) for side in zip(*(logit_rows(name, length, dtype) for name in names), strict=True))


def told(dtype):
    """The keyword that klfast has to be told for arrays of this type."""
    return {"dtype": "bfloat16"} if dtype == "bfloat16" else {}


def target_of(x, choice):
    """A class that is worth asking for: the likeliest, the least likely that is possible, or the last that is possible."""
    possible = np.flatnonzero(x > -np.inf)
    if choice == "last":
        return int(possible[-1])
    return int(possible[np.argmax(x[possible]) if choice == "likeliest" else np.argmin(x[possible])])


def half_ulp(values, dtype):
    """Half the distance of the numbers of that type, at each of the values."""
    exponents = np.frexp(np.maximum(np.abs(values), SMALLEST[dtype]))[1]
    return np.ldexp(EPSILON[dtype], exponents - 1)


# Losses --------------------------------------------------------------------------------------------------------------

# Every row of these has classes that are all possible: label smoothing over all of them is finite.
POSSIBLE = tuple(name for name in SINGLE if name not in ("masked in x", "one possible class"))

CASES = {
    "plain": {},
    "temperature 0.1": {"temperature": 0.1},
    "temperature 0.7": {"temperature": 0.7},
    "temperature 3": {"temperature": 3.0},
    "temperature 1/3": {"temperature": 1.0 / 3.0},
    "smoothing": {"label_smoothing": 0.1},
    "smoothing by next to nothing": {"label_smoothing": 1e-9},
    "nothing but smoothing": {"label_smoothing": 1.0, "temperature": 0.7},
    "smoothing over finite": {"label_smoothing": 0.1, "smooth_over": "finite"},
    "weight": {"weight": True},
    "weight, smoothing": {"weight": True, "label_smoothing": 0.2, "temperature": 3.0},
    "weight, smoothing over finite": {"weight": True, "label_smoothing": 0.2, "smooth_over": "finite"},
    "z loss": {"z_loss": 1e-4},
    "z loss, temperature": {"z_loss": 0.01, "temperature": 0.7},
    "z loss, weight, smoothing": {"z_loss": 1e-3, "weight": True, "label_smoothing": 0.05},
    "cap": {"softcap": 30.0},
    "low cap, temperature": {"softcap": 5.0, "temperature": 0.7},
    "cap, z loss, smoothing": {"softcap": 50.0, "z_loss": 1e-4, "label_smoothing": 0.1},
}


def weights_of(length):
    """Class weights that differ, and one that is 0."""
    weight = np.random.default_rng(length).uniform(0.1, 3.0, length)
    if length > 2:
        weight[1] = 0.0
    return weight


def soft_targets(length):
    """Probabilities that do not sum to 1; some are 0, one is large."""
    random = np.random.default_rng([1, length])
    targets = random.uniform(0.0, 1.0, length)
    targets[random.random(length) < 0.3] = 0.0
    targets[-1] = 4.0
    return targets


def keywords_of(options, length):
    return {name: weights_of(length) if name == "weight" else value for name, value in options.items()}


def names_for(options):
    smoothing_over_all = "label_smoothing" in options and options.get("smooth_over") != "finite"
    return POSSIBLE if smoothing_over_all else SINGLE
