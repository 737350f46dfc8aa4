"""What closed forms of KL have in common: families that are special cases of others, units and orders that do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import examples

import klfast
from klfast import families

NUMBERS = st.floats(-6.0, 6.0).map(lambda exponent: 10.0**exponent)
REALS = st.floats(-50.0, 50.0)


def same(one, other, rel=1e-12):
    return one == pytest.approx(other, rel=rel, abs=1e-300)


@given(NUMBERS, NUMBERS)
def test_an_exponential_is_a_gamma_of_shape_1(rate1, rate2):
    assert same(families.kl_gamma(1.0, rate1, 1.0, rate2), families.kl_exponential(rate1, rate2))


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(-30, 30))
def test_the_unit_of_a_scale_does_not_matter(a, b, c, d, power):
    unit = 2.0**power
    assert families.kl_gamma(a, b * unit, c, d * unit) == families.kl_gamma(a, b, c, d)
    assert families.kl_laplace(a * unit, b * unit, c * unit, d * unit) == families.kl_laplace(a, b, c, d)
    assert families.kl_exponential(a * unit, b * unit) == families.kl_exponential(a, b)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_a_beta_is_a_dirichlet_of_two_components(a1, b1, a2, b2):
    beta = families.kl_beta(a1, b1, a2, b2)
    assert beta == families.kl_dirichlet([a1, b1], [a2, b2])
    assert beta >= 0.0


@given(st.floats(0.5, 20.0), st.floats(0.5, 20.0))
def test_a_beta_with_one_parameter_1_is_an_exponential(a1, a2):
    """Of -log x, which changes no divergence."""
    assert same(families.kl_beta(a1, 1.0, a2, 1.0), families.kl_exponential(a1, a2), rel=1e-10) or abs(a1 - a2) < 1e-12


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=6), st.randoms())
def test_the_order_of_components_does_not_matter(pairs, random):
    first, second = np.array(pairs).T
    order = list(range(len(pairs)))
    random.shuffle(order)
    one, other = families.kl_dirichlet(first, second), families.kl_dirichlet(first[order], second[order])
    assert same(one, other) or np.allclose(first, second, rtol=1e-9)


@given(REALS, REALS)
def test_bernoulli_is_a_categorical_of_two(x1, x2):
    value = families.kl_bernoulli_logits(x1, x2)
    assert same(value, families.kl_categorical_logits([0.0, x1], [0.0, x2]))
    assert same(families.kl_bernoulli_logits(-x1, -x2), value, rel=1e-14)
    assert value >= 0.0


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_bernoulli_from_probabilities_and_from_logits(p1, p2):
    value = families.kl_bernoulli(p1, p2)
    assert value >= 0.0 and (value > 0.0 or abs(p1 - p2) < 1e-150)
    if 0.001 < p1 < 0.999 and 0.001 < p2 < 0.999:
        x1, x2 = (np.log(p) - np.log1p(-p) for p in (p1, p2))
        assert value == pytest.approx(families.kl_bernoulli_logits(x1, x2), rel=1e-6, abs=1e-14)


@settings(max_examples=50)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_what_surrounds_an_element_does_not_matter(pairs):
    first, second = np.array(pairs).T
    for name in ("kl_poisson", "kl_exponential"):
        function = getattr(families, name)
        np.testing.assert_array_equal(function(first, second), [function(a, b) for a, b in pairs])
    together = families.kl_gamma(first, second, second, first)
    np.testing.assert_array_equal(together, [families.kl_gamma(a, b, b, a) for a, b in pairs])


def test_categoricals_are_the_library_s_own():
    p, q = examples("kl_categorical")
    for axis in (0, 1, None):
        np.testing.assert_array_equal(families.kl_categorical(p, q, axis=axis), klfast.kl_divergence(p, q, axis=axis))
        expected = klfast.logits.kl_divergence(p, q, axis=axis)
        np.testing.assert_array_equal(families.kl_categorical_logits(p, q, axis=axis), expected)
