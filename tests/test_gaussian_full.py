"""Gaussians with full covariances of any number of dimensions: right where rows are taken in blocks, and with the same bits."""

import numpy as np
import pytest
from cpu_levels import LEVELS, LEVELS_WITH_FMA, call
from test_accuracy_gaussian import covariance

from klfast import gaussian
from klfast._reference import gaussian as twins

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64, 65, 66, 129, 200)


def pair(size, change, seed=0):
    """Two Gaussians, and how far the first covariance is from the second."""
    random = np.random.default_rng([seed, size])
    mean1, mean2 = random.normal(size=(2, size))
    cov2 = covariance(random, size, 1.0)
    return mean1, cov2 + change * covariance(random, size, 1.0), mean2, cov2


@pytest.mark.parametrize("change", (0.001, 0.05, 2.0))
@pytest.mark.parametrize("size", SIZES)
def test_any_number_of_dimensions(size, change):
    given = pair(size, change)
    expected = twins.kl_divergence_full(*given)
    for level in LEVELS:
        assert call(level, "gaussian.kl_divergence_full", *given) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_independent_dimensions_are_those_of_diagonal_gaussians(size):
    """Whose logarithms of variances are exact here."""
    random = np.random.default_rng(size)
    logs = random.integers(-20, 20, (2, size))
    mu1, mu2 = random.normal(size=(2, size))
    expected = gaussian.kl_divergence(mu1, logs[0] * np.log(2.0), mu2, logs[1] * np.log(2.0))
    result = gaussian.kl_divergence_full(mu1, np.diag(2.0 ** logs[0]), mu2, np.diag(2.0 ** logs[1]))
    assert result == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("size", (1, 5, 16, 65))
def test_the_same_bits_for_every_number_of_threads_and_by_themselves(size):
    pairs = [pair(size, change, seed) for seed, change in enumerate([0.01, 1.0, 0.1] * 30)]
    given = [np.stack(parts) for parts in zip(*pairs)]
    expected = gaussian.kl_divergence_full(*given, n_threads=1)
    for n_threads in (None, 2, 3, 7):
        np.testing.assert_array_equal(gaussian.kl_divergence_full(*given, n_threads=n_threads), expected)
    np.testing.assert_array_equal([gaussian.kl_divergence_full(*one) for one in pairs], expected)
    for level in LEVELS_WITH_FMA:
        np.testing.assert_array_equal(call(level, "gaussian.kl_divergence_full", *given), expected)


def test_one_gaussian_against_a_table_of_others():
    """In every way that a batch can be broadcast, nothing is written down twice."""
    mean1, cov1, mean2, cov2 = (np.stack(parts) for parts in zip(*(pair(3, 0.5, seed) for seed in range(4))))
    table = gaussian.kl_divergence_full(mean1[:, None], cov1[:, None], mean2, cov2)
    assert table.shape == (4, 4)
    for i in range(4):
        row = gaussian.kl_divergence_full(mean1[i], cov1[i], mean2, cov2)
        np.testing.assert_array_equal(table[i], row)
        column = gaussian.kl_divergence_full(mean1, cov1, mean2[i], cov2[i])
        np.testing.assert_array_equal(table[:, i], column)
    shared = gaussian.kl_divergence_full(mean1, cov1[0], mean2[:, None], cov2[1])
    expected = [[gaussian.kl_divergence_full(one, cov1[0], other, cov2[1]) for one in mean1] for other in mean2]
    np.testing.assert_array_equal(shared, expected)


@pytest.mark.parametrize("size", (2, 5, 70))
def test_the_first_matrix_that_is_not_positive_definite_is_named(size):
    covs = np.broadcast_to(np.eye(size), (40, 3, size, size)).copy()
    covs[17, 2, -1, -1] = -1e-3
    covs[31, 0, 0, 0] = 0.0
    means, out = np.zeros((40, 3, size)), np.full((40, 3), 7.0)
    for n_threads in (1, 3):
        with pytest.raises(np.linalg.LinAlgError, match=r"^cov1\[17, 2\]: is not positive definite: .* -0\.001$"):
            gaussian.kl_divergence_full(means, covs, means, covs, out=out, n_threads=n_threads)
        with pytest.raises(np.linalg.LinAlgError, match=r"^cov2\[17, 2\]: "):
            gaussian.kl_divergence_full(means, np.eye(size), means, covs, out=out, n_threads=n_threads)
    assert np.all(out == 7.0)


def test_means_so_far_apart_that_only_half_the_square_is_a_number():
    far = gaussian.kl_divergence_full([1.8e154, 0.0], np.eye(2), [0.0, 0.0], np.eye(2))
    assert far == pytest.approx(0.5 * 1.8e154 * 1.8e154, rel=1e-14)
    assert gaussian.kl_divergence_full([2e154], [[1.0]], [0.0], [[1.0]]) == np.inf


@pytest.mark.parametrize("size", (1, 3, 20))
def test_any_layout(size):
    given = [np.stack(parts) for parts in zip(*(pair(size, 0.3, seed) for seed in range(5)))]
    expected = gaussian.kl_divergence_full(*given)
    for laid_out in (np.asfortranarray, backwards, apart, misaligned, lambda array: array.astype(">f8"), read_only):
        np.testing.assert_array_equal(gaussian.kl_divergence_full(*map(laid_out, given)), expected)


def backwards(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def apart(array):
    room = np.ones((*array.shape, 2))[..., 0]
    room[...] = array
    return room


def misaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(array.shape)
    memory[...] = array
    return memory


def read_only(array):
    copied = array.copy()
    copied.flags.writeable = False
    return copied


def test_what_is_given_is_not_changed():
    given = pair(20, 0.5)
    kept = [one.copy() for one in given]
    gaussian.kl_divergence_full(*given)
    for one, before in zip(given, kept):
        np.testing.assert_array_equal(one, before)
