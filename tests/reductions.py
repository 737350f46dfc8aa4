"""What the tests of inputs and masks share: the functions that make one number of a distribution, and tables for them."""

import functools

import numpy as np

import klfast

TWO = (
    "kl_divergence",
    "cross_entropy",
    "js_divergence",
    "total_variation",
    "hellinger",
    "chi2_divergence",
    "jeffreys",
    "renyi_divergence",
)
FUNCTIONS = (*TWO, "entropy")
WITHOUT_NORMALIZE = ("renyi_divergence",)
ALPHA = 0.7

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
KINDS = (*FLOATS, *INTEGERS, "bool")


def arguments(function, p, q):
    return {"entropy": (p,), "renyi_divergence": (p, q, ALPHA)}.get(function, (p, q))


def run(function, p, q, **keywords):
    return getattr(klfast, function)(*arguments(function, p, q), **keywords)


def run_on(kind, function, p, q, **keywords):
    """The same for arrays of a kind; those of bfloat16 hold its bits, and klfast has to be told."""
    return run(function, p, q, **keywords, **({"dtype": "bfloat16"} if kind == "bfloat16" else {}))


@functools.lru_cache(maxsize=8)
def tables(kind, count, length):
    """p and q, each `count` rows of that length, with a zero in both here and there; read-only, for they are kept."""
    random = np.random.default_rng([KINDS.index(kind), count, length])
    if kind == "bool":
        q = random.random((count, length)) < 0.8
        p = q & (random.random((count, length)) < 0.5)
        p[:, 0] = q[:, 0] = True
    elif kind in INTEGERS:
        p, q = random.integers(1, 127, (2, count, length)).astype(kind)
    else:
        p, q = np.square(np.square(random.random((2, count, length)))) + 2.0**-10
    p[:, 3::7] = q[:, 3::7] = 0
    p, q = (to_bfloat16_bits(rows) if kind == "bfloat16" else rows.astype(kind) for rows in (p, q))
    p.flags.writeable = q.flags.writeable = False
    return p, q


def to_bfloat16_bits(array):
    """The upper half of float32: rounded towards zero, which is as good as any for a test."""
    return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def from_bfloat16_bits(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def assert_same_bits(result, expected, message=""):
    assert np.shape(result) == np.shape(expected), message
    result, expected = (np.asarray(value, np.float64).view(np.int64) for value in (result, expected))
    np.testing.assert_array_equal(result, expected, err_msg=message)
