"""Divergences of Gaussians and their gradients are as accurate as promised, at every CPU level.

The promise is a bound on the relative error of every value, and of every entry of a gradient, against the exact one for the
very numbers given (see `oracles_gaussian`).
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_gaussian
import pytest
from cpu_levels import LEVELS, call
from elements import told
from reductions import FLOATS, assert_same_bits, from_bfloat16_bits, to_bfloat16_bits

from klfast import gaussian

BOUNDS = {"float64": 2.0**-49, "float32": 2.0**-21, "float16": 2.0**-21, "bfloat16": 2.0**-21}
REAL = ("float32", "float64")
# Half a unit in the last place of a number, relative to it, and the smallest number whose units are all there.
STORED = {"float16": (2.0**-11, 2.0**-14), "bfloat16": (2.0**-8, 2.0**-126)}
SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}
LENGTHS = (1, 2, 7, 8, 9, 33, 129, 2049)
FREE_BITS = (0.0, 0.1, 5.0)


def usual(random, count):
    return random.normal(0.0, 1.0, count), random.normal(-1.0, 1.5, count)


def near_the_prior(random, count):
    """sigma = 1 +- 1e-7."""
    sigma = 1.0 + random.choice([-1e-7, 1e-7], count)
    return random.choice([-1e-8, 0.0, 1e-8], count), 2.0 * np.log(sigma)


def nearer_than_that(random, count):
    return random.choice([-1e-30, 1e-20, 0.0], count), random.choice([1e-25, -1e-25, 1e-12, 0.0], count)


def of_all_sizes(random, count):
    signs = random.choice([-1.0, 1.0], (2, count))
    return signs[0] * 2.0 ** random.uniform(-40, 5, count), signs[1] * 2.0 ** random.uniform(-40, 4, count)


def wide(random, count):
    """Log-variances up to +-1000, where that is no infinite variance in doubles."""
    return random.normal(0.0, 1.0, count), random.choice([-1000.0, -700.5, -64.5, -100.0, 88.5, 700.0, 709.0], count)


def at_the_ends_of_the_series(random, count):
    ends = [-700.0, -64.0, -1.0, -0.5, 0.5, 0.52, 1.0, 8.0, 64.0, 80.0]
    return random.normal(0.0, 1.0, count), random.choice(ends, count) * (1.0 + random.normal(0.0, 1e-3, count))


def far_away(random, count):
    return random.choice([-1.0, 1.0], count) * 2.0 ** random.uniform(-20, 15, count), random.normal(0.0, 20.0, count)


def mixed(random, count):
    parts = [usual, near_the_prior, of_all_sizes, at_the_ends_of_the_series, far_away]
    found = np.stack([part(random, count) for part in parts])
    return tuple(found[random.integers(0, len(parts), count), :, np.arange(count)].T)


CASES = {
    case.__name__.replace("_", " "): case
    for case in (
        usual,
        near_the_prior,
        nearer_than_that,
        of_all_sizes,
        wide,
        at_the_ends_of_the_series,
        far_away,
        mixed,
    )
}


@functools.cache
def gaussians(case, length, dtype):
    """Two of them: mu1, logvar1, mu2, logvar2 of a type; of some dimensions the second is the first, or nearly so."""
    random = np.random.default_rng([list(CASES).index(case), length])
    mu1, logvar1 = CASES[case](random, length)
    mu2, logvar2 = CASES[case](random, length)
    kind = random.integers(0, 3, length)
    mu2, logvar2 = (np.where(kind == 0, one, other) for one, other in ((mu1, mu2), (logvar1, logvar2)))
    mu2, logvar2 = (np.where(kind == 1, one * (1.0 + 1e-6), other) for one, other in ((mu1, mu2), (logvar1, logvar2)))
    rows = [to_bfloat16_bits(row) if dtype == "bfloat16" else row.astype(dtype) for row in (mu1, logvar1, mu2, logvar2)]
    for row in rows:
        row.flags.writeable = False
    return rows


def numbers(row):
    return (from_bfloat16_bits(row) if row.dtype == np.uint16 else row).astype(np.float64)


@functools.cache
def exact(function, case, length, dtype, free_bits):
    count = 2 if function == "kl_standard_normal" else 4
    rows = [numbers(row) for row in gaussians(case, length, dtype)[:count]]
    return getattr(oracles_gaussian, function)(*rows, free_bits)


@functools.cache
def exact_slopes(case, length, dtype, free_bits):
    """By mu and by logvar, as mpmath numbers; None where the term is too near to its free bits to tell."""
    by_mu, by_logvar = [], []
    for mu, logvar in zip(*(numbers(row).tolist() for row in gaussians(case, length, dtype)[:2]), strict=True):
        term = oracles_gaussian.term(mu, logvar)
        is_near = free_bits > 0 and abs(term / free_bits - 1) < 2.0**-20
        counts = 1 if term >= free_bits else 0
        by_mu.append(None if is_near else counts * mpmath.mpf(mu))
        by_logvar.append(None if is_near else counts * oracles_gaussian.slope_of_logvar(logvar))
    return by_mu, by_logvar


def is_beyond(dtype, exact_value):
    """Whether a number rounds to infinity in its type: the last one that does not, and half a unit."""
    largest = {"float16": 65520.0, "bfloat16": 2.0**128 * (1 - 2.0**-9), "float32": 2.0**128 * (1 - 2.0**-25)}
    return abs(exact_value) >= largest.get(dtype, oracles_gaussian.TOO_LARGE)


def is_right_entry(result, exact_value, dtype, factor=1.0):
    """Within the bound; halves besides within half a unit of what they can hold."""
    with mpmath.workprec(200):
        exact_value = exact_value * mpmath.mpf(factor)
        bound = mpmath.mpf(BOUNDS[dtype]) * abs(exact_value)
        if is_beyond(dtype, exact_value * (1 + BOUNDS[dtype])):
            return abs(result) == np.inf and (result > 0) == (exact_value > 0)
        if dtype in STORED:
            half_unit, smallest = STORED[dtype]
            bound += half_unit * (1 + BOUNDS[dtype]) * max(abs(exact_value), smallest)
        else:
            bound += SMALLEST[dtype]
        return abs(mpmath.mpf(float(result)) - exact_value) <= bound


def wrong(results, exact_values, dtype):
    found = {}
    for key, result in results.items():
        units = oracles.relative_error(result, exact_values[key]) / BOUNDS[dtype]
        if not units <= 1.0 or result < 0.0:
            found[key] = (
                f"got {float(result)!r}, exact {mpmath.nstr(exact_values[key], 17)}: {units:.3g} times the bound"
            )
    return found


# Values --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("function, count", [("kl_standard_normal", 2), ("kl_divergence", 4)])
def test_divergences(function, count, case, dtype, level):
    results, exact_values = {}, {}
    for length in LENGTHS:
        rows = gaussians(case, length, dtype)[:count]
        for free_bits in FREE_BITS if length < 2049 else (0.0,):
            key = length, free_bits
            results[key] = call(level, f"gaussian.{function}", *rows, free_bits=free_bits, **told(dtype))
            exact_values[key] = exact(function, case, length, dtype, free_bits)
    assert not wrong(results, exact_values, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("count", (2, 4))
def test_every_single_dimension(count, dtype, level):
    """Sums forgive: here every term stands alone."""
    function = "kl_standard_normal" if count == 2 else "kl_divergence"
    for case in CASES:
        rows = gaussians(case, 2049, dtype)[:count]
        results = call(level, f"gaussian.{function}", *(row[:400, None] for row in rows))
        columns = [numbers(row[:400, None]) for row in rows]
        terms = [getattr(oracles_gaussian, function)(*ones) for ones in zip(*columns)]
        assert not wrong(dict(enumerate(results)), dict(enumerate(terms)), dtype), case


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_one_standard_deviation_next_to_1(dtype, level):
    """Where e^logvar - 1 - logvar has no digits left in any type."""
    for sigma in (1 + 1e-7, 1 - 1e-7, 1 + 1e-3, 1 - 1e-3):
        mu, logvar = np.zeros(1, dtype), np.array([2 * np.log(sigma)], dtype)
        result = call(level, "gaussian.kl_standard_normal", mu, logvar)
        value = oracles_gaussian.kl_standard_normal(numbers(mu), numbers(logvar))
        assert oracles.relative_error(result, value) <= BOUNDS[dtype]
        assert result == pytest.approx((sigma - 1) ** 2, rel=1e-2)


@pytest.mark.parametrize("dtype", REAL)
def test_a_base_divides(dtype):
    mu, logvar, *_ = gaussians("mixed", 129, dtype)
    for base in (2, 10, 0.5):
        with mpmath.workprec(128):
            value = exact("kl_standard_normal", "mixed", 129, dtype, 0.1) / mpmath.log(base)
        result = gaussian.kl_standard_normal(mu, logvar, base=base, free_bits=0.1)
        assert oracles.relative_error(result, value) <= BOUNDS[dtype]


@pytest.mark.parametrize("dtype", REAL)
def test_long_rows(dtype):
    """Longer than what one thread takes at a time."""
    count = 70_001
    mu, logvar = (np.resize(row, count) for row in gaussians("mixed", 2049, dtype)[:2])
    times, rest = divmod(count, 2049)
    with mpmath.workprec(200):
        terms = [oracles_gaussian.term(*ones) for ones in zip(numbers(mu)[:2049], numbers(logvar)[:2049])]
        value = times * mpmath.fsum(terms) + mpmath.fsum(terms[:rest])
    for n_threads in (1, 2):
        result = gaussian.kl_standard_normal(mu, logvar, n_threads=n_threads)
        assert oracles.relative_error(result, value) <= BOUNDS[dtype]


# Gradients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES)
def test_gradients(case, dtype, level):
    for length in (1, 9, 129):
        mu, logvar, *_ = gaussians(case, length, dtype)
        for free_bits in FREE_BITS:
            value, found = call(
                level,
                "gaussian.kl_standard_normal_value_and_grad",
                mu,
                logvar,
                free_bits=free_bits,
                **told(dtype),
            )
            assert_same_bits(
                value, call(level, "gaussian.kl_standard_normal", mu, logvar, free_bits=free_bits, **told(dtype))
            )
            for entries, exact_entries in zip(found, exact_slopes(case, length, dtype, free_bits), strict=True):
                assert entries.dtype == mu.dtype
                for i, entry in enumerate(numbers(entries)):
                    right = exact_entries[i]
                    assert right is None or is_right_entry(entry, right, dtype), (length, free_bits, i, entry, right)


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_times_a_factor(dtype):
    mu, logvar, *_ = (np.tile(row, (3, 1)) for row in gaussians("mixed", 33, dtype))
    factors = np.array([0.5, -3.0, 1e-3])
    for base in (None, 2):
        _, found = gaussian.kl_standard_normal_value_and_grad(mu, logvar, grad_output=factors, base=base, **told(dtype))
        for entries, exact_entries in zip(found, exact_slopes("mixed", 33, dtype, 0.0), strict=True):
            for row, factor in zip(numbers(entries), factors / (1.0 if base is None else np.log(base))):
                for entry, right in zip(row, exact_entries):
                    assert is_right_entry(entry, right, dtype, factor), (entry, float(right), factor)


def test_gradients_are_slopes_of_the_value():
    """Central differences of the library's own values; exact terms are smooth, so h^2 of relative error is left."""
    h = 1e-5
    random = np.random.default_rng(3)
    mu, logvar = random.normal(0.0, 1.0, 50), random.normal(0.0, 1.0, 50)
    _, (by_mu, by_logvar) = gaussian.kl_standard_normal_value_and_grad(mu, logvar)

    def values(mu, logvar):
        return gaussian.kl_standard_normal(mu[:, None], logvar[:, None])

    np.testing.assert_allclose((values(mu + h, logvar) - values(mu - h, logvar)) / (2 * h), by_mu, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        (values(mu, logvar + h) - values(mu, logvar - h)) / (2 * h), by_logvar, rtol=1e-8, atol=1e-9
    )


# Full covariances ----------------------------------------------------------------------------------------------------


def covariance(random, count, spread):
    """Of condition number e^(2*spread) at most."""
    basis = np.linalg.qr(random.normal(size=(count, count)))[0]
    matrix = (basis * np.exp(random.uniform(-spread, spread, count))) @ basis.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("count", (1, 2, 5, 9))
@pytest.mark.parametrize("change", (1e-14, 1e-10, 1e-7, 1e-3, 0.1, 1.0, 30.0))
def test_full_covariances_as_close_as_can_be(change, count):
    """Also where the textbook formula, whose terms are of the size of `count`, has no digits left."""
    random = np.random.default_rng(count)
    for _ in range(5):
        cov2 = covariance(random, count, 1.0)
        mean2 = random.normal(size=count)
        root = np.linalg.cholesky(cov2)
        other = root @ covariance(random, count, 1.0) @ root.T
        cov1 = cov2 + change * (other + other.T)
        mean1 = mean2 + change * random.normal(size=count)
        value = oracles_gaussian.kl_divergence_full(mean1, cov1, mean2, cov2)
        result = gaussian.kl_divergence_full(mean1, cov1, mean2, cov2)
        assert oracles.relative_error(result, value) <= 2.0**-43


def test_one_covariance_may_be_much_smaller_than_the_other():
    random = np.random.default_rng(7)
    for scale in (1e-200, 1e-30, 1e-3, 1e3, 1e100):
        cov1, cov2 = scale * covariance(random, 5, 2.0), covariance(random, 5, 2.0)
        mean1, mean2 = random.normal(size=(2, 5))
        value = oracles_gaussian.kl_divergence_full(mean1, cov1, mean2, cov2)
        result = gaussian.kl_divergence_full(mean1, cov1, mean2, cov2)
        assert oracles.relative_error(result, value) <= 2.0**-43


@pytest.mark.parametrize("scale", (1e-300, 1e-150, 1e150, 1e300))
def test_full_covariances_of_any_scale(scale):
    """Only the quotients of variances count, and logarithms of large numbers are larger than their difference."""
    random = np.random.default_rng(11)
    for size in (1, 2, 5):
        for quotient in (0.5, 2.0, 5.0):
            factor = np.tril(random.normal(0.0, 0.2, (size, size)), -1) + np.eye(size)
            cov1 = scale * (factor @ factor.T)
            cov2 = quotient * scale * np.eye(size)
            mean = np.zeros(size)
            value = oracles_gaussian.kl_divergence_full(mean, cov1, mean, cov2)
            result = gaussian.kl_divergence_full(mean, cov1, mean, cov2)
            assert oracles.relative_error(result, value) <= 1e-14
    far = gaussian.kl_divergence_full([0.0], [[1e300]], [0.0], [[1e-300]])
    assert far == np.inf
    assert gaussian.kl_divergence_full([0.0], [[1e-300]], [0.0], [[1e300]]) == pytest.approx(300 * np.log(10.0) - 0.5)
