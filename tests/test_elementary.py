"""The functions of one number that the kernels are made of keep the largest error that their comments state.

They are compiled here once more, without and with FMA, into a library that lets Python call them on arrays.
"""

import ctypes
import functools
import math
import platform
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from flint import arb, ctx

CORE = Path(__file__).parents[1] / "src" / "klfast" / "core"
FLAGS = ["-O2", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv", "-shared", "-fPIC"]
UNIT = {"f32": 2.0**-24, "f64": 2.0**-53}
TYPE = {"f32": np.float32, "f64": np.float64}
COUNT = 3000
PRECISION = 300  # in bits, of exact values: balls, which say whether it was enough


def is_x86():
    return platform.machine().lower() in ("x86_64", "amd64")


def has_fma():
    from klfast import _kernels

    return not is_x86() or "x86-64-v3" in _kernels.cpu_targets()


BUILDS = [pytest.param(0, id="without FMA")] if is_x86() else []
BUILDS += [pytest.param(1, id="with FMA")] if has_fma() else []


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    folder = tmp_path_factory.mktemp("elementary")

    @functools.cache
    def build(fma):
        target = folder / f"fma{fma}.so"
        march = [f"-march=x86-64-v{3 if fma else 2}"] if is_x86() else []
        source = Path(__file__).parent / "elementary.c"
        subprocess.run(
            [*compiler, *FLAGS, *march, f"-DKLFAST_FMA={fma}", f"-I{CORE}", source, "-o", target, "-lm"], check=True
        )
        return ctypes.CDLL(str(target))

    return build


def call(library, name, kind, a, b=None):
    a = np.ascontiguousarray(a, TYPE[kind])
    b = np.ascontiguousarray(a if b is None else b, TYPE[kind])
    result = np.empty_like(a)
    function = getattr(library, f"test_{name}_{kind}")
    function.restype = None
    function(*(ctypes.c_void_p(array.ctypes.data) for array in (result, a, b)), ctypes.c_ssize_t(len(a)))
    return result


def assert_within(units, kind, results, exact, arguments, size=None):
    """Each result within so many u of the exact value, relative to this, or to what `size` says."""
    worst, where = 0.0, None
    with ctx.workprec(PRECISION):
        for result, *numbers in zip(results.tolist(), *(argument.tolist() for argument in arguments), strict=True):
            value = exact(*map(arb, numbers))
            assert value == 0 or value.rel_accuracy_bits() > 70, f"{value} at {numbers}"
            beside = abs(value) if size is None else size(*map(arb, numbers))
            error = float(abs(arb(result) - value) / beside) if beside != 0 else (0 if result == 0 else math.inf)
            if error / UNIT[kind] > worst:
                worst, where = error / UNIT[kind], numbers
    assert worst <= units, f"{worst:.2f} u at {where}"


def pairs(kind, span):
    """Numbers up to 2^span apart, some of them close; the first above or below the second."""
    random = np.random.default_rng(3)
    b = np.exp2(random.uniform(-20, 20, COUNT))
    ratio = np.exp2(random.uniform(-span, span, COUNT))
    ratio[::3] = 1 + random.uniform(-1, 1, len(ratio[::3])) * 10.0 ** random.uniform(-12, 0, len(ratio[::3])) * 0.9
    b = b.astype(TYPE[kind])
    return (b * ratio).astype(TYPE[kind]), b


def border_pairs(kind):
    """Numbers about a power of two apart, where a function goes from one formula to another."""
    random = np.random.default_rng(4)
    b = np.exp2(random.uniform(-20, 20, 2 * COUNT)).astype(TYPE[kind])
    near = random.uniform(-1, 1, len(b)) * 10.0 ** random.uniform(-4, -1, len(b))
    return (b * np.exp2(random.integers(-3, 4, len(b))) * (1 + near)).astype(TYPE[kind]), b


def gap(a, b):
    return a * (a / b).log() - a + b if a != 0 else b


def exp_gap(d):
    return d + (-d).exp() - 1


@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_log_ratio(library, fma, kind):
    a, b = pairs(kind, 30)
    assert_within(3, kind, call(library(fma), "log_ratio", kind, a, b), lambda a, b: (a / b).log(), (a, b))


@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_log_ratio_from(library, fma, kind):
    for a, b in (pairs(kind, 30), border_pairs(kind)):
        results = call(library(fma), "log_ratio_from", kind, a, b)
        assert_within(4, kind, results, lambda a, b: (a / b).log(), (a, b))


@pytest.mark.parametrize("name", ["gap", "careful_gap", "gap_from"])
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_gap(library, fma, kind, name):
    a, b = pairs(kind, 30)
    results = call(library(fma), name, kind, a, b)
    assert np.all(results >= 0)
    assert_within(6, kind, results, gap, (a, b))


@pytest.mark.parametrize("name", ["gap", "careful_gap", "gap_from", "scaled_gap"])
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_gap_about_powers_of_two(library, fma, kind, name):
    a, b = border_pairs(kind)
    constant = float(TYPE[kind](0.7)) if name == "scaled_gap" else 1
    if name == "scaled_gap":
        a = (a.astype(np.float64) * 0.7).astype(TYPE[kind])
    results = call(library(fma), name, kind, a, b)
    assert np.all(results >= 0)
    assert_within(7.5 if fma else 9.5, kind, results, lambda a, b: gap(a, constant * b), (a, b))


COMPARISONS = {
    "jensen_shannon": (7.5, lambda p, q: p * (2 * p / (p + q)).log() + q * (2 * q / (p + q)).log()),
    "total_variation": (1, lambda p, q: abs(p - q)),
    "hellinger": (7, lambda p, q: (p.sqrt() - q.sqrt()) ** 2),
    "jeffreys": (6, lambda p, q: (p - q) * (p / q).log()),
    "chi_squared": (6, lambda p, q: (p - q) ** 2 / q),
}


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_terms_of_comparisons(library, fma, kind, name):
    units, exact = COMPARISONS[name]
    units = 2 if name == "total_variation" and not fma else units
    constant = float(TYPE[kind](0.7))
    random = np.random.default_rng(6)
    q = np.exp2(random.uniform(-20, 20, COUNT)).astype(TYPE[kind])
    close = (q * np.exp2(random.uniform(-3.5, 3.5, len(q)))).astype(TYPE[kind])  # all formulas, and where they meet
    for a, b in ((close, q), border_pairs(kind)):
        a = (a * TYPE[kind](0.7)).astype(TYPE[kind])
        assert_within(units, kind, call(library(fma), name, kind, a, b), lambda a, b: exact(a, constant * b), (a, b))


@pytest.mark.parametrize("fma", BUILDS)
def test_js_of_a_step_does_not_tell_how_it_was_walked(library, fma):
    """Steps that are near throughout have the bits of their elements elsewhere, and so has the one element that is not."""
    random = np.random.default_rng(8)
    q = np.exp2(random.uniform(-20, 20, 64 * 40)).astype(np.float32)
    p = (0.7 * q * np.exp2(random.uniform(-1.5, 1.5, len(q)))).astype(np.float32)
    p[64 * 10 : 64 * 20 : 64] *= 100
    p[64 * 20 + 13 : 64 * 30 : 64] = 0
    q[64 * 30 + 63 :: 64] = 0
    alone = call(library(fma), "jensen_shannon", "f32", p, q)
    for name in ("js_watched", "js_unwatched"):
        np.testing.assert_array_equal(call(library(fma), name, "f32", p, q), alone)


@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_gap_of_zero_and_of_equals(library, fma, kind):
    assert call(library(fma), "careful_gap", kind, [0, 0, 3], [0, 5, 3]).tolist() == [0, 5, 0]


def exp_of_quotient(x, temperature):
    return (x / temperature).exp()


@pytest.mark.parametrize("temperature", (1.0, 0.75, 0.1, 3.0, 1000.0))
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_scaled_exp(library, fma, kind, temperature):
    limit = {"f32": 86.0, "f64": 700.0}[kind] * temperature
    x = np.random.default_rng(5).uniform(-limit, limit, COUNT).astype(TYPE[kind])
    t = np.full(COUNT, temperature, TYPE[kind])
    assert_within(2, kind, call(library(fma), "scaled_exp", kind, x, t), exp_of_quotient, (x, t))
    special = call(library(fma), "scaled_exp", kind, [-np.inf, np.nan, 0.0, -1e4 * temperature], t[:4])
    np.testing.assert_array_equal(special, np.array([0.0, np.nan, 1.0, 0.0], TYPE[kind]))
    if kind == "f64":
        assert_within(2, kind, call(library(fma), "exp_over", kind, x, t), exp_of_quotient, (x, t))
        special = call(library(fma), "exp_over", kind, [-np.inf, np.inf, 0.0, -1e4 * temperature], t[:4])
        assert special.tolist() == [0.0, np.inf, 1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "low", "high", "units"),
    [("near", -2, 2, 8), ("apart", -1, 1, 5), ("apart", -3, 3, 5), ("apart", 1, 80, 5), ("apart", -30, -1, 5)],
)
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_logits_gap(library, fma, kind, name, low, high, units):
    d = np.random.default_rng(6).uniform(low, high, COUNT)
    d[::4] *= 10.0 ** np.random.default_rng(7).uniform(-6, 0, len(d[::4])) if low < 0 < high else 1.0
    d = d.astype(TYPE[kind])
    assert_within(units, kind, call(library(fma), f"logits_gap_{name}", kind, d), exp_gap, (d,))


@pytest.mark.parametrize(("low", "high"), [(1, 80), (-3, 3), (-30, -1)])
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_logits_gap_of_more_than_the_rounded_difference(library, fma, kind, low, high):
    """What rounding took off, half a unit at most, would be 15 u of the result where d is -30."""
    random = np.random.default_rng(6)
    d = random.uniform(low, high, COUNT).astype(TYPE[kind])
    lost = (np.spacing(np.abs(d)) * random.uniform(-0.5, 0.5, COUNT)).astype(TYPE[kind])
    results = call(library(fma), "logits_gap_deep", kind, d, lost)
    assert_within(5, kind, results, lambda rounded, rest: exp_gap(rounded + rest), (d, lost))


JS_NEAR = {"f32": 2, "f64": 1.5}


def half_of_both(d, q):
    """Jensen-Shannon's term of 1 and q, which is exp(-d)."""
    middle = (1 + q) / 2
    return -middle * middle.log() - q * d / 2


def ratios(kind):
    """d = log(p/q) of all sizes, many near the end of the series, and the q beside p = 1."""
    random = np.random.default_rng(6)
    near = JS_NEAR[kind]
    d = random.uniform(-6, 6, COUNT)
    d[::4] *= 10.0 ** random.uniform(-6, 0, len(d[::4]))
    d[1::4] = random.choice([-near, near], len(d[1::4])) * (1 + random.uniform(-0.01, 0.01, len(d[1::4])))
    d[2::8] = random.choice([-1, 1], len(d[2::8])) * random.uniform(6, 85, len(d[2::8]))
    d = d.astype(TYPE[kind])
    return d, np.exp(-d.astype(np.float64)).astype(TYPE[kind])


def other_of_ratio(kind, d, q):
    """The q that is asked for: what is given only where d is not near."""
    return (-d).exp() if abs(d) <= JS_NEAR[kind] else q


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("fma", BUILDS)
def test_js_of_ratio(library, fma, kind):
    d, q = ratios(kind)

    def exact(d, q):
        return half_of_both(d, other_of_ratio(kind, d, q))

    assert_within(8, kind, call(library(fma), "js_of_ratio", kind, d, q), exact, (d, q))


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("fma", BUILDS)
def test_js_skew(library, fma, kind):
    """Relative to the sum of both divergences, of which it is the difference."""
    d, q = ratios(kind)

    def exact(d, q):
        q = other_of_ratio(kind, d, q)
        log_middle = ((1 + q) / 2).log()
        return -log_middle + q * (d + log_middle) - (1 - q)

    def both(d, q):
        return 2 * half_of_both(d, other_of_ratio(kind, d, q))

    assert_within(8, kind, call(library(fma), "js_skew", kind, d, q), exact, (d, q), both)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("fma", BUILDS)
def test_logs_to_middle(library, fma, kind):
    """The rounding of d counts up to one unit more in that of the smaller of p = 1 and q."""
    difference = -np.expm1(-ratios(kind)[0].astype(np.float64)).astype(TYPE[kind])
    difference = difference[(difference < 1) & (difference != 0)]
    d = -np.log1p(-difference.astype(np.float64)).astype(TYPE[kind])

    def log_p(difference, _):
        return -(-difference / 2).log1p()

    def log_q(difference, _):
        return (-difference).log1p() + log_p(difference, _)

    def of_larger(difference, _):
        return (log_p if difference > 0 else log_q)(difference, _)

    def of_smaller(difference, _):
        return (log_q if difference > 0 else log_p)(difference, _)

    assert_within(3, kind, call(library(fma), "log_of_larger", kind, difference, d), of_larger, (difference, d))
    assert_within(6, kind, call(library(fma), "log_of_smaller", kind, difference, d), of_smaller, (difference, d))


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("fma", BUILDS)
def test_difference_near(library, fma, kind):
    random = np.random.default_rng(7)
    d = random.uniform(-JS_NEAR[kind], JS_NEAR[kind], COUNT)
    d[::2] *= 10.0 ** random.uniform(-10, 0, len(d[::2]))
    d = d.astype(TYPE[kind])
    assert_within(4, kind, call(library(fma), "difference_near", kind, d), lambda d: -(-d).expm1(), (d,))


@pytest.mark.parametrize("fma", BUILDS)
def test_scalar_functions(library, fma):
    random = np.random.default_rng(8)
    x = np.concatenate(
        [random.uniform(-0.99, 10, 1000), 10.0 ** random.uniform(-20, 0, 1000), 10.0 ** random.uniform(0, 200, 500)]
    )
    assert_within(3, "f64", call(library(fma), "log1p_any", "f64", x), arb.log1p, (x,))
    x = random.uniform(-700, 700, COUNT)
    assert_within(2, "f64", call(library(fma), "exp_any", "f64", x), arb.exp, (x,))
    d = np.concatenate(
        [random.uniform(-30, 30, 1000), random.uniform(-1, 1, 1000) * 10.0 ** random.uniform(-9, 0, 1000)]
    )
    assert_within(4, "f64", call(library(fma), "exp_gap", "f64", d), exp_gap, (d,))
    assert call(library(fma), "exp_any", "f64", [-np.inf, np.inf, 0.0, -1000.0]).tolist() == [0.0, np.inf, 1.0, 0.0]


EXP_TERMS = {"gap": lambda d: d.expm1() - d, "expm1": arb.expm1, "exp": arb.exp}
LOWEST = {"f32": -64.0, "f64": -700.0}


@pytest.mark.parametrize("field", EXP_TERMS)
@pytest.mark.parametrize("kind", UNIT)
@pytest.mark.parametrize("fma", BUILDS)
def test_exp_terms(library, fma, kind, field):
    random = np.random.default_rng(9)
    near = random.uniform(-0.519, 0.519, COUNT) * 10.0 ** random.choice([0.0, 0.0, -2.0, -6.0], COUNT)
    for d in (near, random.uniform(-3, 3, COUNT), random.uniform(LOWEST[kind], -LOWEST[kind], COUNT)):
        d = d.astype(TYPE[kind])
        results = call(library(fma), f"exp_{field}_terms", kind, d)
        assert_within(4, kind, results, EXP_TERMS[field], (d,))
        if field == "gap":
            assert np.all(results >= 0)
        if d.max() < 0.52:  # what saves half the work returns the same bits
            np.testing.assert_array_equal(call(library(fma), f"near_exp_{field}_terms", kind, d), results)
    assert call(library(fma), f"exp_{field}_terms", kind, [0.0]) == [1.0 if field == "exp" else 0.0]


@pytest.mark.parametrize("fma", BUILDS)
def test_exp_of_exact_differences(library, fma):
    random = np.random.default_rng(10)
    x = random.uniform(-700, 700, COUNT)
    d = random.uniform(-700, 709, COUNT) * 10.0 ** random.choice([0.0, 0.0, -2.0, -6.0], COUNT)
    y = x - d
    for name, exact in (("exp_gap_any", "gap"), ("expm1_any", "expm1"), ("exp_any_difference", "exp")):
        results = call(library(fma), name, "f64", x, y)
        assert_within(8, "f64", results, lambda x, y, field=exact: EXP_TERMS[field](x - y), (x, y))
    x = random.uniform(600, 709.78, COUNT)
    assert_within(6, "f64", call(library(fma), "exp_to_the_end", "f64", x), arb.exp, (x,))
    assert call(library(fma), "exp_to_the_end", "f64", [710.0, np.inf, -np.inf, 0.0]).tolist() == [np.inf, np.inf, 0, 1]
    special = call(library(fma), "exp_gap_any", "f64", [-np.inf, np.inf, np.nan, 800.0], [0.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(special, [np.inf, np.inf, np.nan, np.inf])
