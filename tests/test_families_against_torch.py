"""torch.distributions agrees with the closed forms, where the distributions are not so close that its formulas cancel."""

import inspect

import numpy as np
import pytest

from klfast import families

torch = pytest.importorskip("torch", reason="torch is not installed")
distributions = torch.distributions

RTOL = 1e-10
SHAPE = (40, 6)
RANDOM = np.random.default_rng(17)


def positive():
    return RANDOM.uniform(0.2, 5.0, SHAPE)


def real():
    return RANDOM.normal(0.0, 2.0, SHAPE)


def probability():
    return RANDOM.uniform(0.02, 0.98, SHAPE)


def simplex():
    return RANDOM.dirichlet(np.ones(SHAPE[-1]), SHAPE[0])


FAMILIES = {
    "kl_bernoulli": (distributions.Bernoulli, [probability]),
    "kl_bernoulli_logits": (lambda logits: distributions.Bernoulli(logits=logits), [real]),
    "kl_beta": (distributions.Beta, [positive, positive]),
    "kl_categorical": (distributions.Categorical, [simplex]),
    "kl_categorical_logits": (lambda logits: distributions.Categorical(logits=logits), [real]),
    "kl_dirichlet": (distributions.Dirichlet, [positive]),
    "kl_exponential": (distributions.Exponential, [positive]),
    "kl_gamma": (distributions.Gamma, [positive, positive]),
    "kl_laplace": (distributions.Laplace, [real, positive]),
    "kl_poisson": (distributions.Poisson, [positive]),
}


def theirs(family, first, second):
    one, other = (family(*(torch.tensor(parameter) for parameter in parameters)) for parameters in (first, second))
    return distributions.kl_divergence(one, other).numpy()


def test_every_family_is_compared():
    assert sorted(FAMILIES) == sorted(families.__all__)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family(name):
    family, makers = FAMILIES[name]
    first, second = ([make() for make in makers] for _ in range(2))
    result = getattr(families, name)(*first, *second)
    np.testing.assert_allclose(result, theirs(family, first, second), rtol=RTOL, atol=1e-12)
    tensors = [torch.tensor(parameter) for parameter in (*first, *second)]
    np.testing.assert_array_equal(getattr(families, name)(*tensors), result)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_argument_that_comes_first_is_the_true_distribution(name):
    family, makers = FAMILIES[name]
    first, second = ([make() for make in makers] for _ in range(2))
    wrong = getattr(families, name)(*second, *first)
    assert not np.allclose(wrong, theirs(family, first, second), rtol=1e-3)


def test_bernoulli_where_one_is_impossible():
    """torch has the same answers at the ends, where its formulas have any."""
    p1, p2 = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.5]), np.array([0.5, 0.5, 1.0, 0.0, 0.0, 1.0])
    expected = theirs(distributions.Bernoulli, [p1], [p2])
    np.testing.assert_allclose(families.kl_bernoulli(p1, p2), expected, rtol=RTOL)


def test_a_poisson_that_is_not_to_count():
    """torch says NaN where rate1 is 0, so only rate2 = 0 can be compared."""
    rates = np.array([3.0, 0.5]), np.array([0.0, 0.0])
    expected = theirs(distributions.Poisson, *([one] for one in rates))
    np.testing.assert_array_equal(families.kl_poisson(*rates), expected)


# Gaussians -----------------------------------------------------------------------------------------------------------


def gaussians():
    return pytest.importorskip("klfast.gaussian", reason="klfast.gaussian is not there")


def test_normal():
    gaussian = gaussians()
    (mu1, logvar1), (mu2, logvar2) = ((real(), real()) for _ in range(2))
    first, second = [mu1, np.exp(0.5 * logvar1)], [mu2, np.exp(0.5 * logvar2)]
    expected = theirs(distributions.Normal, first, second).sum(axis=-1)
    np.testing.assert_allclose(gaussian.kl_divergence(mu1, logvar1, mu2, logvar2), expected, rtol=RTOL)


def test_standard_normal():
    gaussian = gaussians()
    mu, logvar = real(), real()
    expected = theirs(distributions.Normal, [mu, np.exp(0.5 * logvar)], [np.zeros(SHAPE), np.ones(SHAPE)]).sum(axis=-1)
    np.testing.assert_allclose(gaussian.kl_standard_normal(mu, logvar), expected, rtol=RTOL)


def test_independent_normals():
    """Independent of event dimension 1 adds up what lies along the last axis, as an axis does here."""
    gaussian = gaussians()

    def independent(loc, logvar):
        return distributions.Independent(distributions.Normal(loc, torch.exp(0.5 * logvar)), 1)

    first, second = ([real(), real()] for _ in range(2))
    np.testing.assert_allclose(gaussian.kl_divergence(*first, *second), theirs(independent, first, second), rtol=RTOL)


def test_independent_bernoullis():
    """A sum over the last axis is what Independent means for every other family."""

    def independent(p):
        return distributions.Independent(distributions.Bernoulli(p), 1)

    first, second = probability(), probability()
    expected = theirs(independent, [first], [second])
    np.testing.assert_allclose(families.kl_bernoulli(first, second).sum(axis=-1), expected, rtol=RTOL)


def test_multivariate_normal():
    gaussian = gaussians()
    means = RANDOM.normal(size=(2, 20, 4))
    roots = RANDOM.normal(size=(2, 20, 4, 6))
    covariances = roots @ np.swapaxes(roots, -1, -2)
    expected = theirs(distributions.MultivariateNormal, [means[0], covariances[0]], [means[1], covariances[1]])
    result = gaussian.kl_divergence_full(means[0], covariances[0], means[1], covariances[1])
    np.testing.assert_allclose(result, expected, rtol=1e-8)


def test_parameters_have_the_order_of_torch():
    """Names may differ, places may not: loc, scale; concentration, rate; concentration1, concentration0."""
    orders = {
        "kl_laplace": (distributions.Laplace, ["loc", "scale"]),
        "kl_gamma": (distributions.Gamma, ["concentration", "rate"]),
        "kl_beta": (distributions.Beta, ["concentration1", "concentration0"]),
    }
    for name, (family, order) in orders.items():
        assert list(inspect.signature(family.__init__).parameters)[1:3] == order, name
