"""Arrays as a hostile caller has them: numbers of every kind, in every type and layout. Each can be written as Python source.

`random` is a random.Random throughout: hypothesis has one that it can shrink, the fuzzer takes the usual one.
"""

import ctypes
from typing import NamedTuple

import ml_dtypes
import numpy as np

INF, NAN = np.inf, np.nan
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = ["f8", "f8", "f4", "f2", BFLOAT16]
INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
# What is no array of real numbers: klfast must say so, whatever it holds.
REFUSED_TYPES = ["c8", "c16", "O", "U3", "S3", "M8[D]", "m8[s]", "V4", "f4,i4", "g"]
GARBAGE = 0xA5  # lies between the elements of an array, and must still be there after a call


class Role(NamedTuple):
    """What an argument means: usual numbers of it, and unusual ones that the plain twin can still judge."""

    usual: object  # (numpy's random generator, how many) -> numbers
    special: tuple
    smallest_integer: int = 0


ROLES = {
    "weight": Role(lambda numbers, count: numbers.gamma(0.7, 1.0, count), (0, -0.0, 1, 0.5, 3, 1, NAN, INF, -INF, -1)),
    # Of one event: behind a mask, -inf beside a class that is impossible passes for one that is left out.
    "target": Role(lambda numbers, count: numbers.gamma(0.7, 1.0, count), (0, -0.0, 1, 0.5, 3, 1, NAN, INF, -1)),
    # So far apart, also over the largest temperature, that one has no probability at all beside the other.
    "score": Role(
        lambda numbers, count: numbers.normal(0.0, 2.5, count), (0, -0.0, 1.5, -INF, -6e4, 6e4, 2, NAN, INF), -9
    ),
    # Of one probability: the twin works with the probability itself, which may not vanish.
    "logit": Role(lambda numbers, count: numbers.normal(0.0, 2.5, count), (0, -0.0, 1.5, -INF, -30, 30, NAN, INF), -9),
    "log-probability": Role(
        lambda numbers, count: -numbers.gamma(1.0, 2.0, count), (0, -0.0, -1, -20, -1, NAN, INF, -INF, 0.5), -9
    ),
    "real": Role(lambda numbers, count: numbers.normal(0.0, 1.5, count), (0, -0.0, 1, -2, NAN, INF, -INF), -3),
    "positive": Role(lambda numbers, count: 0.05 + numbers.gamma(1.5, 2.0, count), (0.5, 1, 7, 0, -1, NAN, INF), 1),
    "fraction": Role(lambda numbers, count: numbers.uniform(0.0, 1.0, count), (0, -0.0, 0.25, 1, NAN, 2, -1)),
}
# The ends of the range: here the twin's own arithmetic overflows, and only klfast itself can be asked twice.
EXTREME = (
    0.0,
    5e-324,
    -5e-324,
    1e-310,
    1e-45,
    6e-8,
    65504.0,
    3.4e38,
    1e300,
    1.7e308,
    -1.7e308,
    -3e38,
    1.0,
    NAN,
    INF,
    -INF,
)
STYLES = ("usual", "usual", "usual", "zeros", "special", "special", "extreme")


def numbers_of(random, role, style, shape, dtype):
    """An array in C order."""
    numbers, count = np.random.default_rng(random.getrandbits(32)), int(np.prod(shape))
    role = ROLES[role]
    if dtype != BFLOAT16 and np.dtype(dtype).kind in "iub":
        values = integers(numbers, role, style, count, np.dtype(dtype))
    elif style == "special":
        values = numbers.choice(role.special, count) if random.random() < 0.5 else _a_few(numbers, role, count)
    elif style == "extreme":
        values = numbers.choice(EXTREME, count)
    else:
        values = role.usual(numbers, count)
        if style == "zeros" and 0.0 in role.special:
            values[numbers.random(count) < 0.6] = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values).astype(dtype).reshape(shape)


def _a_few(numbers, role, count):
    """One unusual number among usual ones, or two."""
    values = role.usual(numbers, count)
    if count:
        places = numbers.integers(0, count, 2)
        values[places] = numbers.choice(role.special, 2)
    return values


def integers(numbers, role, style, count, dtype):
    if dtype.kind == "b":
        return numbers.random(count) < 0.7
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if style == "extreme":
        return numbers.choice(np.array([low, high, 0, 1, high // 2], dtype), count)
    low = max(low, -9 if style == "special" else role.smallest_integer)
    return numbers.integers(low, 9, count, endpoint=True)


# Layouts -------------------------------------------------------------------------------------------------------------


def laid_out(random, array, *, writable=False):
    """The same numbers elsewhere: axes in any order and direction, gaps between the elements, at any address."""
    if array.dtype.hasobject or random.random() < 0.25:
        return array
    order = list(range(array.ndim))
    random.shuffle(order)
    steps = [random.choice((1, 1, 1, -1, 2, -3)) for _ in order]
    offset = random.choice((0, 0, 0, 1, array.itemsize))
    strides, size = [0] * array.ndim, array.itemsize
    for axis in order:
        strides[axis] = size * abs(steps[axis])
        size = strides[axis] * max(1, array.shape[axis])
    memory = np.full(size + offset + 16, GARBAGE, np.uint8)
    for axis in order:
        if steps[axis] < 0:
            offset += strides[axis] * max(0, array.shape[axis] - 1)
            strides[axis] = -strides[axis]
    result = np.ndarray(array.shape, array.dtype, memory, offset, strides)
    result[...] = array
    if not writable and random.random() < 0.2:
        result.flags.writeable = False
    return result


def same_along(random, array):
    """The array, or one whose numbers do not change along an axis, and which therefore has a stride of 0 there."""
    if array.ndim == 0 or array.size == 0 or random.random() < 0.85:
        return array
    axis = random.randrange(array.ndim)
    return np.broadcast_to(array.take([0], axis), array.shape)


def swapped(random, array):
    """The same numbers, now and then in the foreign byte order."""
    if array.dtype == BFLOAT16 or array.itemsize == 1 or random.random() < 0.8:
        return array
    return array.astype(array.dtype.newbyteorder(">"))


def memory_around(array):
    """The bytes of the memory that the array is a view of, its elements included."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    return base.reshape(-1).view(np.uint8) if base.flags.c_contiguous else base


# Source --------------------------------------------------------------------------------------------------------------


def source(value):
    """Python source that makes the value again, an array down to its strides, its address and what lies between."""
    if isinstance(value, np.ma.MaskedArray):
        return f"np.ma.masked_array({source(value.data)}, {source(np.ma.getmaskarray(value))})"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return _source_of_array(value)
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r}, object)"
    if isinstance(value, tuple):
        return f"({', '.join(map(source, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, (float, np.generic)):
        return repr(value).replace("nan", "np.nan").replace("inf", "np.inf").replace("np.np.", "np.")
    return repr(value)


def _source_of_array(array):
    dtype = array.dtype.descr if array.dtype.names else array.dtype.str
    dtype = "ml_dtypes.bfloat16" if array.dtype == BFLOAT16 else repr(dtype)
    here = array.ctypes.data
    first, last = np.lib.array_utils.byte_bounds(array) if array.size else (here, here)
    # At an address that is as far from a round one as the array's.
    lead = first % 16
    content = bytes(lead) + ctypes.string_at(first, last - first)
    kind = "bytearray" if array.flags.writeable else "bytes"
    strides = array.strides if array.size else None
    return f"np.ndarray({array.shape}, {dtype}, {kind}.fromhex({content.hex()!r}), {lead + here - first}, {strides})"
