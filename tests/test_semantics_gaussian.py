"""What divergences of Gaussians mean: special values, free bits, masks and types, and whole covariance matrices.

Held against the plain twins.
"""

import ml_dtypes
import numpy as np
import pytest
from elements import as_bits, assert_same_bits, told
from reductions import FLOATS, INTEGERS, to_bfloat16_bits

from klfast import gaussian
from klfast._reference import gaussian as twins

INF, NAN = np.inf, np.nan
DIAGONAL = {"kl_standard_normal": 2, "kl_divergence": 4}
RANDOM = np.random.default_rng(23)


def parameters(kind, shape, count=4, seed=0):
    """Means and log-variances in turn, of a kind."""
    random = np.random.default_rng([seed, *shape])
    found = [random.normal(0.0, 1.0 + i % 2, shape) for i in range(count)]
    return [of_kind(kind, np.rint(rows) if kind in INTEGERS else rows) for rows in found]


def of_kind(kind, rows):
    return to_bfloat16_bits(rows) if kind == "bfloat16" else rows.astype(kind)


def some_mask(shape):
    return np.random.default_rng(shape).random(shape) < 0.6


def run(name, rows, **keywords):
    return getattr(gaussian, name)(*rows[: DIAGONAL[name]], **keywords)


def gradients(rows, **keywords):
    """The value and both gradients, one behind the other."""
    value, found = gaussian.kl_standard_normal_value_and_grad(*rows[:2], **keywords)
    assert type(found) is tuple and len(found) == 2
    return [value, *found]


def assert_all_same_bits(found, expected, message=""):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(as_bits(np.asarray(one)), as_bits(np.asarray(other)), err_msg=message)


# The twins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [-1, 0, 1, -3, (0, 2), (3, 1), None, ()])
@pytest.mark.parametrize("name", DIAGONAL)
def test_every_axis_is_that_of_the_twin(name, axis, keepdims):
    rows = parameters("float64", (2, 3, 4, 5))
    for more in ({}, {"where": some_mask((2, 3, 4, 5))}, {"where": some_mask((4, 1))}, {"base": 2, "free_bits": 0.5}):
        keywords = {"axis": axis, "keepdims": keepdims} | more
        result = run(name, rows, **keywords)
        expected = getattr(twins, name)(*rows[: DIAGONAL[name]], **keywords)
        assert np.shape(result) == np.shape(expected)
        np.testing.assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 2), None])
def test_gradients_are_those_of_the_twin(axis):
    mu, logvar = parameters("float64", (3, 4, 5), 2)
    shape = np.shape(gaussian.kl_standard_normal(mu, logvar, axis=axis))
    for more in (
        {},
        {"where": some_mask((3, 4, 5)), "base": 2},
        {"free_bits": 0.7, "grad_output": RANDOM.normal(size=shape)},
        {"grad_output": -2.0},
    ):
        value, found = gaussian.kl_standard_normal_value_and_grad(mu, logvar, axis=axis, **more)
        expected_value, expected = twins.kl_standard_normal_value_and_grad(mu, logvar, axis=axis, **more)
        np.testing.assert_allclose(value, expected_value, rtol=1e-12)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("name", DIAGONAL)
def test_every_length_up_to_300_and_around_blocks(name):
    for length in (*range(301), 2047, 2048, 2049, 65_535, 65_537):
        rows = parameters("float64", (3 if length < 1000 else 1, length))
        expected = getattr(twins, name)(*rows[: DIAGONAL[name]])
        np.testing.assert_allclose(run(name, rows), expected, rtol=1e-12, err_msg=f"{length}")


def test_a_gaussian_and_the_standard_normal_are_two_gaussians():
    mu, logvar = parameters("float64", (50, 20), 2)
    one, other = gaussian.kl_standard_normal(mu, logvar), gaussian.kl_divergence(mu, logvar, 0, 0)
    np.testing.assert_allclose(one, other, rtol=2.0**-48)


# Special values ------------------------------------------------------------------------------------------------------

STANDARD = {
    (0.0, 0.0): 0.0,
    (2.0, 0.0): 2.0,
    (0.0, -INF): INF,
    (0.0, INF): INF,
    (INF, 0.0): INF,
    (-INF, 0.0): INF,
    (INF, -INF): INF,
    (1.0, 1e30): INF,
    (0.0, -1e30): 5e29,
    (1e30, 0.0): 5e59,
    (NAN, 0.0): NAN,
    (0.0, NAN): NAN,
    (NAN, INF): NAN,
    (INF, NAN): NAN,
}
PAIRS = {
    (1.0, 2.0, 1.0, 2.0): 0.0,
    (1.0, 100.0, 1.0, 100.0): 0.0,
    (1.0, -1000.0, 1.0, -1000.0): 0.0,
    (1.0, 1000.0, 1.0, 1000.0): 0.0,
    (3.0, 1.0, 1.0, 0.0): (np.e - 2.0 + 4.0) / 2,
    (1.0, 0.0, 1.0, -INF): INF,
    (1.0, -INF, 1.0, 0.0): INF,
    (1.0, INF, 1.0, 0.0): INF,
    (2.0, 0.0, 1.0, INF): INF,
    (1.0, -INF, 1.0, -INF): NAN,
    (1.0, -INF, 2.0, -INF): NAN,
    (INF, 0.0, 1.0, 0.0): INF,
    (1.0, 0.0, -INF, 0.0): INF,
    (INF, 0.0, INF, 0.0): NAN,
    (1.0, 0.0, 0.0, -2000.0): INF,
    (0.0, 0.0, 0.0, -800.0): INF,
    (1.0, -2000.0, 0.0, -2000.0): INF,
    (1e-200, -900.0, 0.0, -900.0): 0.5 * np.exp(900.0 - 400.0 * np.log(10.0)),
    (1.0, 0.0, 0.0, 900.0): (900.0 - 1.0) / 2,
    (NAN, 0.0, 0.0, 0.0): NAN,
    (0.0, NAN, 0.0, 0.0): NAN,
    (0.0, 0.0, NAN, 0.0): NAN,
    (0.0, 0.0, 0.0, NAN): NAN,
    (NAN, 0.0, 0.0, -INF): NAN,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("numbers, expected", [*STANDARD.items(), *PAIRS.items()], ids=str)
def test_special_values(numbers, expected, dtype):
    """Alone, and among dimensions that are as usual, at the beginning, in the middle and at the end of a row."""
    if dtype == "float32" and 1e-200 in numbers:
        return
    name = "kl_standard_normal" if len(numbers) == 2 else "kl_divergence"
    for length, place in ((1, 0), (9, 4), (300, 299), (3000, 0)):
        rows = [np.zeros((3, length), dtype) for _ in numbers]
        for row, number in zip(rows, numbers):
            row[1, place] = number
        for results in (run(name, rows), run(name, [row.T for row in rows], axis=0)):
            assert results[0] == results[2] == 0.0
            assert results[1] == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-12, nan_ok=True)
            assert not np.any(np.signbit(results[~np.isnan(results)]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "numbers, expected",
    [
        ((0.0, -INF), (0.0, -0.5)),
        ((3.0, INF), (3.0, INF)),
        ((INF, 0.0), (INF, 0.0)),
        ((-INF, -1e30), (-INF, -0.5)),
        ((NAN, 0.0), (NAN, NAN)),
        ((2.0, NAN), (NAN, NAN)),
    ],
    ids=str,
)
def test_special_gradients(numbers, expected, dtype):
    """Of the dimension alone: the others of its row have theirs all the same."""
    for length, place in ((1, 0), (9, 4), (3000, 2999)):
        mu, logvar = np.full((2, length), 0.25, dtype)
        mu[place], logvar[place] = numbers
        _, found = gaussian.kl_standard_normal_value_and_grad(mu, logvar)
        for entries, wanted, usual in zip(found, expected, (0.25, np.expm1(0.25) / 2), strict=True):
            np.testing.assert_array_equal(entries[place], wanted)
            np.testing.assert_allclose(np.delete(entries, place), usual, rtol=1e-6)


@pytest.mark.parametrize("name", DIAGONAL)
def test_no_dimensions_are_no_distance(name):
    for free_bits in (0.0, 1.0):
        for rows, shape in ((np.zeros((4, 3, 0)), (3,)), (np.zeros((4, 0)), ()), (np.zeros((4, 0, 3)), (0,))):
            result = run(name, list(rows), free_bits=free_bits)
            assert result.shape == shape and result.dtype == np.float64 and np.all(result == 0.0)
    value, found = gaussian.kl_standard_normal_value_and_grad(np.zeros((3, 0)), np.zeros((3, 0), "f4"))
    assert value.tolist() == [0.0] * 3
    assert [(one.shape, one.dtype.name) for one in found] == [((3, 0), "float64"), ((3, 0), "float32")]


def test_a_single_dimension_without_an_axis():
    assert type(gaussian.kl_standard_normal(2.0, 0.0, axis=None)) is np.float64
    assert gaussian.kl_standard_normal(2.0, 0.0, axis=None) == 2.0
    value, (by_mu, by_logvar) = gaussian.kl_standard_normal_value_and_grad(2.0, 0.0, axis=None)
    assert (value, by_mu, by_logvar) == (2.0, 2.0, 0.0)


# Free bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_free_bits_are_for_each_dimension_and_in_nats(dtype):
    mu, logvar = np.array([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]], dtype), np.zeros((2, 3), dtype)
    for base in (None, 2):
        unit = 1.0 if base is None else np.log(2.0)
        for name, more in (("kl_standard_normal", ()), ("kl_divergence", (0, 0))):
            result = getattr(gaussian, name)(mu, logvar, *more, free_bits=1.5, base=base)
            np.testing.assert_allclose(result, np.array([5.0, 4.5]) / unit, rtol=1e-15)
        _, (by_mu, by_logvar) = gaussian.kl_standard_normal_value_and_grad(mu, logvar, free_bits=1.5, base=base)
        np.testing.assert_allclose(by_mu, np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]) / unit, rtol=1e-6)
        assert not np.any(by_logvar)


def test_a_term_that_is_just_its_free_bits_has_its_slope():
    _, (by_mu, _) = gaussian.kl_standard_normal_value_and_grad([2.0, 2.0], [0.0, 0.0], free_bits=2.0)
    assert by_mu.tolist() == [2.0, 2.0]
    _, (by_mu, _) = gaussian.kl_standard_normal_value_and_grad([2.0], [0.0], free_bits=np.nextafter(2.0, 3.0))
    assert by_mu.tolist() == [0.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_free_bits_of_any_size(dtype):
    """Also those that a float cannot hold."""
    mu, logvar = np.full((2, 5), 0.5, dtype)
    terms = twins.terms_of(0.5, 0.5, 0.0, 0.0)
    for free_bits in (1e-300, 1e-60, 1e-46, 1e30, 1e60, 1e300):
        value, (by_mu, _) = gaussian.kl_standard_normal_value_and_grad(mu, logvar, free_bits=free_bits)
        assert value == pytest.approx(5 * max(terms, free_bits), rel=1e-6)
        assert np.all(by_mu == (0.5 if terms > free_bits else 0.0))
        nothing = gaussian.kl_standard_normal(mu * 0, logvar * 0, free_bits=free_bits)
        assert nothing == pytest.approx(5 * free_bits, rel=1e-6)


def test_free_bits_do_not_hide_nan_and_count_only_what_counts():
    assert np.isnan(gaussian.kl_standard_normal([NAN, 0.0], [0.0, 0.0], free_bits=3.0))
    assert np.isnan(gaussian.kl_divergence([1.0], [-INF], [1.0], [-INF], free_bits=3.0))
    where = np.array([True, False, True])
    assert gaussian.kl_standard_normal(np.zeros(3), np.zeros(3), free_bits=3.0, where=where) == 6.0


# Masks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [NAN, INF, -INF, 1e30, 0.0])
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("length", (3, 129, 5000))
def test_what_is_hidden_changes_no_bit(length, kind, hidden):
    rows = parameters(kind, (7, length))
    where = some_mask((7, length))
    where[2] = False
    with np.errstate(over="ignore"):
        hidden = of_kind(kind, np.array(hidden))
    changed = [np.where(where, row, hidden) for row in rows]
    for more in ({}, {"free_bits": 0.3}):
        keywords = {"where": where} | told(kind) | more
        for name in DIAGONAL:
            expected = run(name, rows, **keywords)
            assert expected[2] == 0.0
            assert_same_bits(run(name, changed, **keywords), expected)
        for factors in ({}, {"grad_output": np.array([1.0, -2.0, NAN, 0.5, 3.0, 1e-3, INF])}):
            expected = gradients(rows, **keywords, **factors)
            assert_all_same_bits(gradients(changed, **keywords, **factors), expected)
            for entries in expected[1:]:
                assert not np.any(as_bits(entries)[~where])


@pytest.mark.parametrize("name", DIAGONAL)
def test_what_is_left_out_is_as_if_removed(name):
    for length in (3, 129, 3000):
        rows = parameters("float64", (7, length))
        where = some_mask((7, length))
        expected = [run(name, [row[i, where[i]] for row in rows], free_bits=0.1) for i in range(7)]
        np.testing.assert_allclose(run(name, rows, where=where, free_bits=0.1), expected, rtol=2.0**-46)


def test_masked_arrays_leave_out_what_either_hides():
    rows = parameters("float32", (7, 129))
    hidden = [~some_mask((7, 129)), np.zeros((7, 129), bool), ~some_mask((129,))[None] | np.zeros((7, 1), bool)]
    masked = [np.ma.array(row, mask=mask) for row, mask in zip(rows, [*hidden, hidden[1]])]
    where = some_mask((7, 1))
    expected = run("kl_divergence", rows, where=where & ~hidden[0] & ~hidden[2])
    assert_same_bits(run("kl_divergence", masked, where=where), expected)
    expected = gradients(rows, where=~hidden[0])
    assert_all_same_bits(gradients(masked), expected)


# Types ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIAGONAL)
def test_types_are_read_as_they_are(name):
    for kind in (*FLOATS, *INTEGERS, "bool"):
        rows = parameters(kind, (5, 40)) if kind != "bool" else [some_mask((5, 40, i + 1))[..., i] for i in range(4)]
        result = run(name, rows, **told(kind))
        as_floats = [row.view(ml_dtypes.bfloat16) if kind == "bfloat16" else row for row in rows]
        as_floats = [row.astype("float32" if kind in FLOATS[:3] else "float64") for row in as_floats]
        assert result.dtype == np.float64
        assert_same_bits(result, run(name, as_floats), kind)
        for change in (lambda row: row.astype(row.dtype.newbyteorder(">")), lambda row: np.repeat(row, 2, 1)[:, ::2]):
            assert_same_bits(run(name, [change(row) for row in rows], **told(kind)), result, kind)
    bits = parameters("bfloat16", (5, 40))
    brains = [row.view(ml_dtypes.bfloat16) for row in bits]
    assert_same_bits(run(name, brains), run(name, bits, dtype="bfloat16"))


@pytest.mark.parametrize("kind", (*FLOATS, *INTEGERS))
def test_gradients_have_the_types_of_their_inputs(kind):
    rows = parameters(kind, (5, 40), 2)
    _, by_mu, by_logvar = gradients(rows, **told(kind))
    expected = np.dtype(np.float64) if kind in INTEGERS else rows[0].dtype
    assert by_mu.dtype == by_logvar.dtype == expected
    other = np.zeros((5, 40))
    if kind in FLOATS and kind != "bfloat16":
        _, by_mu, by_logvar = gradients([rows[0], other])
        assert (by_mu.dtype, by_logvar.dtype) == (expected, np.float64)
        assert_same_bits(by_mu, rows[0])
    if kind == "bfloat16":
        brains = [row.view(ml_dtypes.bfloat16) for row in rows]
        _, *found = gradients(brains)
        assert all(one.dtype == ml_dtypes.bfloat16 for one in found)
        assert_all_same_bits([one.view(np.uint16) for one in found], [by_mu, by_logvar])


@pytest.mark.parametrize("name", DIAGONAL)
def test_lists_and_numbers_broadcast(name):
    mu, logvar = [[1.0, 2.0]], [[0.5], [0.25], [0.0]]
    rows = [mu, logvar, 0.0, [[0.0]]]
    result = run(name, rows)
    assert result.shape == (3,)
    full = [np.ascontiguousarray(np.broadcast_to(row, (3, 2))) for row in rows]
    assert_same_bits(result, run(name, full))


# Full covariances ----------------------------------------------------------------------------------------------------


def covariances(shape, seed=0):
    roots = np.random.default_rng([seed, *shape]).normal(size=(*shape, shape[-1]))
    return roots @ np.swapaxes(roots, -1, -2) + 0.1 * np.eye(shape[-1])


@pytest.mark.parametrize("count", (1, 2, 3, 10, 64))
def test_full_covariances_are_those_of_the_twin(count):
    means, covs = RANDOM.normal(size=(2, 6, count)), [covariances((6, count), seed) for seed in (1, 2)]
    for base in (None, 2):
        result = gaussian.kl_divergence_full(means[0], covs[0], means[1], covs[1], base=base)
        expected = twins.kl_divergence_full(means[0], covs[0], means[1], covs[1], base=base)
        assert result.shape == (6,) and result.dtype == np.float64
        np.testing.assert_allclose(result, expected, rtol=1e-9)
        out = np.empty(12)[::2]
        assert gaussian.kl_divergence_full(means[0], covs[0], means[1], covs[1], base=base, out=out) is out
        assert_same_bits(out, result)


def test_means_and_covariances_are_broadcast():
    mean1, cov1, mean2, cov2 = RANDOM.normal(size=(4, 1, 3)), covariances((5, 3)), np.zeros(3), np.eye(3)
    result = gaussian.kl_divergence_full(mean1, cov1, mean2, cov2)
    assert result.shape == (4, 5)
    for i, j in np.ndindex(4, 5):
        alone = gaussian.kl_divergence_full(mean1[i, 0], cov1[j], mean2, cov2)
        assert type(alone) is np.float64
        assert result[i, j] == pytest.approx(alone, rel=1e-13)
    close = np.eye(3) + 1e-9 * np.diag([1.0, -1.0, 0.0])  # beside those that are far
    both = gaussian.kl_divergence_full(mean2, np.stack([close, cov1[0]]), mean2, cov2)
    assert both[0] == pytest.approx(0.5e-18, rel=1e-6)
    assert both[1] == pytest.approx(twins.kl_divergence_full(mean2, cov1[0], mean2, cov2), rel=1e-12)


def test_pairs_with_numbers_that_are_none_are_nan():
    for bad in (NAN, INF, -INF):
        for which in range(4):
            given = [np.zeros((3, 2)), np.tile(np.eye(2), (3, 1, 1)), np.ones((3, 2)), np.tile(np.eye(2), (3, 1, 1))]
            given[which][(1, 0) if which % 2 == 0 else (1, 1, 0)] = bad
            for expected in (gaussian.kl_divergence_full(*given), twins.kl_divergence_full(*given)):
                np.testing.assert_allclose(expected, [1.0, NAN, 1.0])
    masked = np.ma.array(np.ones((3, 2)), mask=[[0, 0], [0, 1], [0, 0]])
    np.testing.assert_allclose(gaussian.kl_divergence_full(masked, np.eye(2), np.zeros(2), np.eye(2)), [1.0, NAN, 1.0])


def test_no_dimensions_and_no_pairs_in_full():
    nothing = np.zeros((3, 0)), np.zeros((3, 0, 0))
    assert gaussian.kl_divergence_full(*nothing, *nothing).tolist() == [0.0] * 3
    empty = np.zeros((0, 2)), np.zeros((0, 2, 2))
    assert gaussian.kl_divergence_full(*empty, np.zeros(2), np.eye(2)).shape == (0,)


@pytest.mark.parametrize("kind", ["float16", "float32", "int32", "bfloat16"])
def test_full_covariances_of_any_type(kind):
    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else kind
    given = [np.array(one).astype(dtype) for one in ([1, 2], [[3, 1], [1, 2]], [0, 0], [[2, 1], [1, 4]])]
    expected = gaussian.kl_divergence_full(*(one.astype(float) for one in given))
    assert_same_bits(gaussian.kl_divergence_full(*given), expected)


def test_the_lower_triangle_counts():
    """Matrices of floats are symmetric but for their rounding."""
    cov = covariances((4,)).astype("float32")
    rounded = np.tril(cov) + np.triu(cov, 1) * np.float32(1.0 + 2.0**-20)
    symmetric = np.tril(cov) + np.tril(cov, -1).T
    expected = gaussian.kl_divergence_full(np.ones(4), symmetric, np.zeros(4), symmetric * 2)
    assert_same_bits(gaussian.kl_divergence_full(np.ones(4), rounded, np.zeros(4), symmetric * 2), expected)
