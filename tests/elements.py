"""What the tests of entr, rel_entr and kl_div share: exact values, numbers of every size, and arrays of every kind.

Exact values are worked out for the very numbers given. An ulp is that of the result's type at the exact value, no smaller
than the smallest subnormal; infinity counts as the power of two that follows the largest number.
"""

import functools
import math

import mpmath
import numpy as np
from mpmath import libmp
from reductions import FLOATS, from_bfloat16_bits, to_bfloat16_bits

import klfast

FUNCTIONS = ("entr", "rel_entr", "kl_div")
DTYPES = ("float32", "float64")
# Significant bits, the exponent of the smallest normal number, the exponent that is too large.
FORMATS = {
    "float16": (11, -14, 16),
    "bfloat16": (8, -126, 128),
    "float32": (24, -126, 128),
    "float64": (53, -1022, 1024),
}
INF, NAN = math.inf, math.nan


def arguments(function, p, q):
    return (p,) if function == "entr" else (p, q)


def run(function, p, q, **keywords):
    return getattr(klfast, function)(*arguments(function, p, q), **keywords)


# Exact values ----------------------------------------------------------------------------------------------------------

# Numbers differ by 2**-53 of themselves or more, so kl_div is at least about 2**-107 of p; 150 bits are left.
PRECISION = 260


def exact_value(function, p, q):
    """One value as mpmath's raw number, or a float where the answer is 0, nan or inf."""
    if function == "entr":
        q = 1.0
    if math.isnan(p) or math.isnan(q):
        return NAN
    if p < 0 or q < 0 or (q == 0 and p != 0):
        return -INF if function == "entr" else INF
    if p == 0:
        return q if function == "kl_div" else 0.0
    if p == INF or q == INF:
        if p == q:
            return NAN
        return INF if p == INF and function != "entr" or function == "kl_div" else -INF
    a, b = libmp.from_float(p), libmp.from_float(q)
    value = libmp.mpf_mul(a, libmp.mpf_log(libmp.mpf_div(a, b, PRECISION), PRECISION), PRECISION)
    if function == "kl_div":
        value = libmp.mpf_add(value, libmp.mpf_sub(b, a), PRECISION)
    return libmp.mpf_neg(value) if function == "entr" else value


def interval(value, kind, ulps):
    """The smallest and the largest number that are at most so many ulps away from the value."""
    if isinstance(value, float):
        if not 0 < abs(value) < INF:
            return value, value
        value = libmp.from_float(value)
    if value == libmp.fzero:
        return 0.0, 0.0
    digits, smallest, largest = FORMATS[kind]
    ulp = max(value[2] + value[3] - 1, smallest) - digits + 1
    units = mpmath.mp.make_mpf(libmp.mpf_shift(value, -ulp))
    with mpmath.workprec(PRECISION):
        ends = int(mpmath.ceil(units - ulps)), int(mpmath.floor(units + ulps))
    return tuple(
        math.copysign(INF, end) if abs(end) >= 1 << max(largest - ulp, 0) else math.ldexp(end, ulp) for end in ends
    )


def intervals(function, kind, p, q, ulps=2):
    p, q = np.broadcast_arrays(*(as_double(kind, one) for one in (p, q)))
    ends = [interval(exact_value(function, *pair), kind, ulps) for pair in zip(p.ravel().tolist(), q.ravel().tolist())]
    return np.array(ends).reshape(*p.shape, 2)


def as_double(kind, array):
    return np.asarray(from_bfloat16_bits(array) if kind == "bfloat16" else array, np.float64)


def assert_within(result, ends, function, kind, p, q):
    assert result.shape == ends.shape[:-1]
    values, low, high = as_double(kind, result), ends[..., 0], ends[..., 1]
    wrong = ~np.where(np.isnan(low), np.isnan(values), (low <= values) & (values <= high))
    for place in np.argwhere(wrong)[:5]:
        one, other, got = (float(as_double(kind, array)[tuple(place)]) for array in (p, q, result))
        exact = exact_value(function, one, other)
        exact = exact if isinstance(exact, float) else mpmath.nstr(mpmath.mp.make_mpf(exact), 25)
        print(f"{function} {kind} p {one.hex()} q {other.hex()} gave {got.hex()} = {got!r}, exact {exact}")
    assert not wrong.any(), f"{np.count_nonzero(wrong)} of {wrong.size} are too far off"


def of_kind(kind, values):
    """An array of the kind; one of bfloat16 holds its bits, and klfast has to be told."""
    return to_bfloat16_bits(np.array(values)) if kind == "bfloat16" else np.array(values, kind)


def told(kind):
    return {"dtype": "bfloat16"} if kind == "bfloat16" else {}


def as_bits(array):
    return np.array(array, order="C").view(f"u{array.itemsize}")


def assert_same_bits(result, expected, message=""):
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(as_bits(result), as_bits(expected), message)


# Numbers ---------------------------------------------------------------------------------------------------------------

COUNT = 601
MIXED = 1009  # a prime, so that copies of them meet every place of a block


def of_bits(random, dtype, low, high):
    """Numbers whose bits, as integers, lie in a range."""
    bits = np.array([low, high], dtype).view(f"i{np.dtype(dtype).itemsize}")
    return random.integers(bits[0], bits[1], COUNT, endpoint=True).astype(bits.dtype).view(dtype)


def binades(random, dtype, low, high):
    return np.exp2(random.uniform(low, high, COUNT)).astype(dtype)


def stepped(random, numbers, steps):
    """Each number moved by a few units in the last place."""
    bits = numbers.view(f"i{numbers.itemsize}")
    return (bits + random.integers(-steps, steps, numbers.shape, endpoint=True).astype(bits.dtype)).view(numbers.dtype)


def near(random, dtype):
    q = binades(random, dtype, -30, 30)
    gaps = random.choice([-1.0, 1.0], COUNT) * 10.0 ** random.uniform(-16, -1, COUNT)
    return (q * (1 + gaps)).astype(dtype), q


def a_few_ulps_apart(random, dtype):
    q = binades(random, dtype, -30, 30)
    q[::5] = np.exp2(np.round(np.log2(q[::5])))
    return stepped(random, q, 4), q


def around_simple_ratios(random, dtype):
    q = binades(random, dtype, -30, 30)
    ratios = random.choice([0.25, 0.5, 0.75, math.sqrt(0.5), 1 / math.e, 1.5, math.sqrt(2), 2, math.e, 4, 8], COUNT)
    return stepped(random, (q * ratios).astype(dtype), 4), q


def zeros_mixed_in(random, dtype):
    p, q = random.random((2, COUNT)).astype(dtype)
    p[random.random(COUNT) < 0.3] = 0
    q[random.random(COUNT) < 0.3] = 0
    return p, q


def near_one(random, dtype):
    return near(random, dtype)[0] / near(random, dtype)[1], stepped(random, np.ones(COUNT, dtype), 4)


def subnormals(random, dtype):
    limits = np.finfo(dtype)
    return of_bits(random, dtype, 0, limits.tiny), of_bits(random, dtype, 0, limits.tiny)


def subnormals_beside_others(random, dtype):
    limits = np.finfo(dtype)
    p, q = of_bits(random, dtype, 0, limits.tiny), binades(random, dtype, limits.minexp, limits.minexp + 60)
    swapped = random.random(COUNT) < 0.5
    return np.where(swapped, q, p), np.where(swapped, p, q)


def subnormals_that_are_near(random, dtype):
    p = of_bits(random, dtype, np.finfo(dtype).smallest_subnormal * 8, np.finfo(dtype).tiny * 4)
    return p, stepped(random, p, 7)


def subnormal_results(random, dtype):
    p = binades(random, dtype, np.finfo(dtype).minexp, np.finfo(dtype).minexp + 30)
    return p, (p * (1 + random.choice([-1, 1], COUNT) * np.exp2(random.uniform(-20, -1, COUNT)))).astype(dtype)


def huge(random, dtype):
    limits = np.finfo(dtype)
    return tuple(of_bits(random, dtype, limits.max / 2.0**20, limits.max) for _ in range(2))


def almost_too_large(random, dtype):
    """p*log(p/q) about the largest number."""
    limits = np.finfo(dtype)
    logs = random.uniform(1, limits.maxexp, COUNT)
    p = limits.max / logs * random.uniform(0.99, 1.01, COUNT)
    return p.astype(dtype), (p * np.exp(-logs)).astype(dtype)


def every_number(random, dtype):
    limits = np.finfo(dtype)
    return tuple(of_bits(random, dtype, limits.smallest_subnormal, limits.max) for _ in range(2))


def every_number_near(random, dtype):
    p = of_bits(random, dtype, np.finfo(dtype).tiny, np.finfo(dtype).max / 16)
    return p, (p * np.exp2(random.uniform(-4, 4, COUNT))).astype(dtype)


def where_numbers_may_be_scaled(random, dtype):
    """Ratios up to 16 around powers of two at which a computation may begin to scale its numbers."""
    largest = np.finfo(dtype).maxexp
    places = random.choice([-largest + 28, -900, -600, -400, -largest // 2, 300, 400, 600, 900, largest - 4], COUNT)
    p, q = np.exp2(np.clip(places, -largest + 28, largest - 4) + random.uniform(-2, 2, (2, COUNT)))
    return p.astype(dtype), q.astype(dtype)


CASES = {
    "60 binades": lambda random, dtype: (binades(random, dtype, -30, 30), binades(random, dtype, -30, 30)),
    "ratio 1 +- 1e-1 ... 1e-16": near,
    "a few ulps apart": a_few_ulps_apart,
    "around simple ratios": around_simple_ratios,
    "zeros mixed in": zeros_mixed_in,
    "near one": near_one,
    "subnormals": subnormals,
    "subnormals beside others": subnormals_beside_others,
    "subnormals that are near": subnormals_that_are_near,
    "subnormal results": subnormal_results,
    "huge": huge,
    "almost too large": almost_too_large,
    "every number": every_number,
    "every number, near": every_number_near,
    "where numbers may be scaled": where_numbers_may_be_scaled,
}


@functools.cache
def numbers(name, dtype):
    """p and q of a case; or all cases mixed, with special values between them."""
    random = np.random.default_rng([len(name), DTYPES.index(dtype)])
    if name == "mixed":
        special = np.array([0.0, -0.0, -1.0, INF, -INF, NAN, 0.5, 1.0], dtype)
        cases = [*(numbers(case, dtype) for case in CASES), np.meshgrid(special, special)]
        p, q = (np.concatenate([case[i].ravel() for case in cases]) for i in range(2))
        chosen = random.permutation(len(p))[:MIXED]
        p, q = p[chosen], q[chosen]
    else:
        p, q = CASES[name](random, np.dtype(dtype))
    p.flags.writeable = q.flags.writeable = False
    return p, q


@functools.cache
def known_intervals(function, name, dtype):
    return intervals(function, dtype, *numbers(name, dtype))


def half_bits(kind):
    """Bits of numbers of two bytes: apart, close to each other, close to one; here and there a zero, or any bits."""
    random = np.random.default_rng(FLOATS.index(kind))
    p, q = random.integers(0, {"float16": 0x7C00, "bfloat16": 0x7F80}[kind], (2, MIXED))
    q[::3] = np.maximum(p[::3] + random.integers(-6, 7, len(p[::3])), 0)
    one = {"float16": 0x3C00, "bfloat16": 0x3F80}[kind]
    p[::4] = one + random.integers(-200, 100, len(p[::4]))
    q[::8] = p[::8] + random.integers(-3, 4, len(p[::8]))
    p[::31], q[::37] = 0, 0
    p[::41], q[::43] = (random.integers(0, 2**16, len(some)) for some in (p[::41], q[::43]))  # NaN, negative numbers
    return p.astype(np.uint16), q.astype(np.uint16)


@functools.cache
def pool(kind):
    """Pairs of everything that a kind can hold."""
    if kind in DTYPES:
        return numbers("mixed", kind)
    if kind in FLOATS:
        return tuple(bits.view(np.float16 if kind == "float16" else np.uint16) for bits in half_bits(kind))
    random = np.random.default_rng(9)
    if kind == "bool":
        return tuple(random.random((2, MIXED)) < 0.5)
    p, q = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, (2, MIXED), kind, endpoint=True)
    p[::9] = q[::7] = 0
    return p, q
