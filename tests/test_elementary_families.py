"""What closed forms are put together from keeps the largest error that its comments state."""

import numpy as np
import pytest
from flint import arb, ctx
from test_elementary import BUILDS, COUNT, assert_within, border_pairs, call, library, pairs  # noqa: F401 (a fixture)

U = 2.0**-53


def ratio_gap(top, bottom):
    r = top / bottom
    return r - 1 - r.log()


def of_sizes(low, high, seed, count=COUNT):
    """Pairs of numbers of all sizes between powers of ten, a third of them close."""
    random = np.random.default_rng(seed)
    a, b = 10.0 ** random.uniform(low, high, (2, count))
    near = 1 + random.choice([-1, 1], count) * 10.0 ** random.uniform(-12, -0.5, count)
    return np.where(np.arange(count) % 3 == 0, b * near, a), b


@pytest.mark.parametrize("name", ["ratio_gap", "ratio_gap_any"])
@pytest.mark.parametrize("fma", BUILDS)
def test_ratio_gap(library, fma, name):  # noqa: F811
    for top, bottom in (pairs("f64", 30), border_pairs("f64"), of_sizes(-30, 30, 1)):
        results = call(library(fma), name, "f64", top, bottom)
        assert np.all(results >= 0)
        assert_within(11, "f64", results, ratio_gap, (top, bottom))
    assert call(library(fma), name, "f64", [3.0, 1e-30], [3.0, 1e-30]).tolist() == [0, 0]


@pytest.mark.parametrize("fma", BUILDS)
def test_log_gap_and_softplus(library, fma):  # noqa: F811
    random = np.random.default_rng(4)
    t = np.concatenate(
        [random.uniform(-0.5, 1, COUNT), random.uniform(-0.5, 0.5, COUNT) * 10.0 ** random.uniform(-12, 0, COUNT)]
    )
    assert_within(5, "f64", call(library(fma), "log_gap", "f64", t), lambda t: t - t.log1p(), (t,))
    x = np.concatenate([random.uniform(-700, 700, COUNT), random.uniform(-2, 2, COUNT)])
    assert_within(5, "f64", call(library(fma), "softplus_usual", "f64", x), lambda x: x.exp().log1p(), (x,))


def log_gamma_gap(b, a):
    return b.lgamma() - a.lgamma() - (b - a) * a.digamma()


def stirling_rest(b, a):
    """The remainder of log gamma(x) - (x - 1/2)*log(x) + x."""
    of_x_log_x = b * (b / a).log() - b + a
    return log_gamma_gap(b, a) - of_x_log_x - ratio_gap(b, a) / 2


def assert_within_of(units, results, exact, whole, arguments):
    """Each result within so many u of another value, of which the exact one is a part."""
    with ctx.workprec(400):
        for result, *numbers in zip(results.tolist(), *(argument.tolist() for argument in arguments), strict=True):
            value, size = exact(*map(arb, numbers)), whole(*map(arb, numbers))
            error = float(abs(arb(result) - value) / size) / U if size != 0 else abs(result)
            assert error <= units, f"{error:.2f} u at {numbers}"


@pytest.mark.parametrize("name", ["stirling_rest", "stirling_rest_any"])
@pytest.mark.parametrize("fma", BUILDS)
def test_rest_of_stirling_s_formula(library, fma, name):  # noqa: F811
    """What is lost is lost relative to the ratio gap."""
    sizes = [of_sizes(-10, 10, 5, 1000), of_sizes(-1, 1.5, 6, 1000), of_sizes(1, 8, 7, 1000), of_sizes(0.8, 1, 8, 1000)]
    for b, a in sizes:
        assert_within_of(30, call(library(fma), name, "f64", b, a), stirling_rest, ratio_gap, (b, a))


@pytest.mark.parametrize("fma", BUILDS)
def test_log_gamma_and_digamma_of_one_apart(library, fma):  # noqa: F811
    for b, a in (of_sizes(-10, 8, 9, 1000), of_sizes(-1, 1.5, 10, 1000)):
        assert_within(20, "f64", call(library(fma), "log_gamma_gap", "f64", b, a), log_gamma_gap, (b, a))
        growth = call(library(fma), "digamma_growth", "f64", b, a)
        assert_within(10, "f64", growth, lambda b, a: b.digamma() - a.digamma(), (b, a))
        linear = call(library(fma), "digamma_linear", "f64", b, a)
        assert_within(10, "f64", linear, lambda b, a: (b - a) * arb(2).zeta(a), (b, a))
        gap = call(library(fma), "digamma_gap", "f64", b, a)
        assert_within(20, "f64", gap, lambda b, a: (b - a) * arb(2).zeta(a) - (b.digamma() - a.digamma()), (b, a))
