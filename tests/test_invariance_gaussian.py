"""Divergences of Gaussians do not depend on layout, threads and neighbours; gradients may overwrite their inputs; properties.

What mathematics says is held against whatever hypothesis comes up with.
"""

import numpy as np
import pytest
from cpu_levels import LEVELS_WITH_FMA, call
from elements import assert_same_bits, told
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from reductions import FLOATS
from test_semantics_gaussian import (
    DIAGONAL,
    assert_all_same_bits,
    covariances,
    gradients,
    parameters,
    run,
    some_mask,
)

from klfast import gaussian

THREADS = (1, 2, 3, 7)
LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every third column": lambda rows: np.repeat(rows, 3, axis=1)[:, ::3],
    "every second row": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "reversed": lambda rows: np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1],
    "read-only": lambda rows: np.frombuffer(rows.tobytes(), rows.dtype).reshape(rows.shape),
    "Fortran, big-endian": lambda rows: np.asfortranarray(rows.astype(rows.dtype.newbyteorder(">"))),
    "big-endian": lambda rows: rows.astype(rows.dtype.newbyteorder(">")),
}
# Far from the usual in one place each, so that something has to be computed with more care there.
UNUSUAL = {(0, 0): (0.0, -90.0), (1, 1): (0.0, 60.0), (2, 2): (1e15, 0.0), (3, 0): (0.0, 1e-30), (4, 1): (np.nan, 1.0)}


def unusual_parameters(dtype, shape):
    rows = parameters(dtype, shape)
    for (row, place), (mu, logvar) in UNUSUAL.items():
        rows[0][row, place % shape[1]], rows[1][row, place % shape[1]] = mu, logvar
    return rows


# Layouts, threads, neighbours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", FLOATS)
def test_any_layout_has_the_same_bits(kind, layout):
    change = LAYOUTS[layout]
    for count, length in ((17, 3), (70, 5), (200, 40), (17, 129), (40, 2049), (3, 5000)):
        rows = parameters(kind, (count, length))
        where = some_mask((count, length))
        for more in ({}, {"where": where}):
            laid = {name: change(mask) for name, mask in more.items()}
            for name in DIAGONAL:
                expected = run(name, rows, **more, **told(kind))
                assert_same_bits(run(name, [change(row) for row in rows], **laid, **told(kind)), expected)
                mixed = [rows[0], change(rows[1]), change(rows[2]), rows[3]]
                assert_same_bits(run(name, mixed, **laid, **told(kind)), expected)
            expected = gradients(rows, **more, **told(kind))
            factors = {"grad_output": np.ones(count)}
            for of_factors in ({}, factors):
                found = gradients([change(row) for row in rows], **laid, **of_factors, **told(kind))
                assert_all_same_bits(found, expected)


@pytest.mark.parametrize("kind", (*FLOATS, "int32"))
def test_any_axis_has_the_same_bits(kind):
    for length in (3, 40, 129, 3000):
        rows = parameters(kind, (160, length))
        expected = [run(name, rows, free_bits=0.1, **told(kind)) for name in DIAGONAL]
        slopes = gradients(rows, **told(kind))
        columns = [np.ascontiguousarray(row.T) for row in rows]
        images = [np.ascontiguousarray(np.moveaxis(row.reshape(2, 16, 5, length), -1, 1)) for row in rows]
        for laid, axis in ((columns, 0), ([row.T for row in rows], 0), (images, 1)):
            for name, wanted in zip(DIAGONAL, expected):
                assert_same_bits(run(name, laid, axis=axis, free_bits=0.1, **told(kind)).reshape(-1), wanted)
            value, *found = gradients(laid, axis=axis, **told(kind))
            assert_same_bits(value.reshape(-1), slopes[0])
            back = [np.ascontiguousarray(np.moveaxis(one, axis, -1)).reshape(160, length) for one in found]
            assert_all_same_bits(back, slopes[1:])


@pytest.mark.parametrize("name", DIAGONAL)
def test_several_axes_and_broadcast_arrays(name):
    rows = parameters("float32", (4, 6, 5, 7))
    expected = run(name, [row.transpose(1, 2, 0, 3).reshape(6, 5, 28) for row in rows])
    assert_same_bits(run(name, rows, axis=(0, 3)), expected)
    assert_same_bits(
        run(name, [row.transpose(3, 2, 1, 0) for row in rows], axis=(0, 3)).T, run(name, rows, axis=(0, 3))
    )
    expected = run(name, [np.ascontiguousarray(np.broadcast_to(row[:1], row.shape)) for row in rows], axis=(1, 2))
    assert_same_bits(run(name, [np.broadcast_to(row[:1], row.shape) for row in rows], axis=(1, 2)), expected)
    one = [rows[0], rows[1][0, :, :1], rows[2][..., :1], np.float32(0.5)]
    full = [np.ascontiguousarray(np.broadcast_to(row, (4, 6, 5, 7))) for row in one]
    assert_same_bits(run(name, one, axis=(1, 3)), run(name, full, axis=(1, 3)))


@pytest.mark.parametrize("kind", ("float16", "float32", "float64"))
@pytest.mark.parametrize("shape", ((1, 200_003), (3, 70_001), (40, 3_001), (3000, 65)))
def test_threads_do_not_change_a_bit(shape, kind):
    rows = parameters(kind, shape)
    for laid, axis in ((rows, -1), ([np.ascontiguousarray(row.T) for row in rows], 0)):
        for where in (None, some_mask(laid[0].shape)):
            keywords = {"axis": axis, "where": where}
            for name in DIAGONAL:
                one = run(name, laid, n_threads=1, **keywords)
                for n_threads in THREADS:
                    assert_same_bits(run(name, laid, n_threads=n_threads, **keywords), one)
            one = gradients(laid, n_threads=1, **keywords)
            for n_threads in THREADS:
                assert_all_same_bits(gradients(laid, n_threads=n_threads, **keywords), one)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("length", (2, 9, 64, 65, 129, 1000, 2049))
def test_rows_do_not_know_of_each_other(length, dtype):
    rows = unusual_parameters(dtype, (70, length))
    for name in DIAGONAL:
        together = run(name, rows)
        for i in (0, 1, 2, 3, 4, 5, 63, 64, 69):
            assert_same_bits(run(name, [row[i] for row in rows]), together[i])
    value, *found = gradients(rows)
    for i in (0, 1, 2, 3, 4, 69):
        alone = gradients([row[i] for row in rows])
        assert_all_same_bits(alone, [value[i], *(one[i] for one in found)])


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_levels_with_fma_agree(dtype):
    for length in (2, 64, 129, 2049):
        rows = unusual_parameters(dtype, (9, length))
        for name, count in DIAGONAL.items():
            results = [call(level, f"gaussian.{name}", *rows[:count]) for level in LEVELS_WITH_FMA]
            for result in results[1:]:
                assert_same_bits(result, results[0])
        results = [call(level, "gaussian.kl_standard_normal_value_and_grad", *rows[:2])[1] for level in LEVELS_WITH_FMA]
        for result in results[1:]:
            assert_all_same_bits(result, results[0])


# Results in their place ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("length", (2, 40, 129, 2049, 70_001))
def test_gradients_may_overwrite_their_inputs(length, kind):
    """Each its own, or the other's; also where floats do not do and the inputs are looked at twice."""
    count = 5 if length > 3000 else 19
    original = (unusual_parameters if kind in ("float32", "float64") else parameters)(kind, (count, length))
    for more in ({}, {"where": some_mask((count, length))}, {"grad_output": np.linspace(-2, 2, count), "base": 2}):
        expected = gradients(original, **more, **told(kind))
        for swapped in (False, True):
            mu, logvar = (row.copy() for row in original[:2])
            out = (logvar, mu) if swapped else (mu, logvar)
            value, *found = gradients([mu, logvar], out=out, **more, **told(kind))
            assert found[0] is out[0] and found[1] is out[1]
            assert_all_same_bits([value, *found], expected, f"{list(more)}, swapped: {swapped}")
        mu = original[0].copy()
        both = gradients([mu, original[1]], out=(mu, np.empty_like(original[1])), **more, **told(kind))
        assert_all_same_bits(both, expected)


@pytest.mark.parametrize("axis", (0, 1, (0, 2), (1, 2), None))
def test_gradients_in_place_along_any_axis(axis):
    original = [row.transpose(2, 0, 1) for row in parameters("float32", (7, 6, 40), 2)]
    expected = gradients(original, axis=axis)
    mu, logvar = (row.copy(order="K") for row in original)
    assert_all_same_bits(gradients([mu, logvar], axis=axis, out=(mu, logvar)), expected)
    out = tuple(np.full((14, 40, 12), 7.0, "f4").transpose(1, 0, 2)[:, ::2, ::2] for _ in range(2))
    assert_all_same_bits(gradients(original, axis=axis, out=out), expected)


@pytest.mark.parametrize("name", DIAGONAL)
def test_values_go_where_they_are_told(name):
    rows = parameters("float64", (4, 5, 6))
    expected = run(name, rows, axis=1, base=2)
    for out in (np.empty((4, 6)), np.empty((6, 4)).T, np.empty((4, 12))[:, ::2], np.empty((4, 6), order="F")):
        assert run(name, rows, axis=1, base=2, out=out) is out
        assert_same_bits(out, expected)
    out = np.empty((4, 1, 6))
    run(name, rows, axis=1, base=2, out=out, keepdims=True)
    assert_same_bits(out[:, 0], expected)


# Properties ----------------------------------------------------------------------------------------------------------

SETTINGS = settings(max_examples=60, deadline=None)
numbers = st.floats(-50.0, 50.0) | st.integers(-5, 5).map(float) | st.floats(-1e-6, 1e-6)

lengths = st.integers(1, 40) | st.integers(1, 300)


@st.composite
def gaussians(draw, count=2, sizes=lengths):
    size = draw(sizes)
    return [
        draw(arrays.arrays(draw(st.sampled_from(["f4", "f8"])), size, elements=numbers.map(np.float32)))
        for _ in range(2 * count)
    ]


@SETTINGS
@given(gaussians())
def test_never_negative_and_nothing_between_equals(rows):
    assert gaussian.kl_standard_normal(*rows[:2]) >= 0.0
    assert gaussian.kl_divergence(*rows) >= 0.0
    nothing = gaussian.kl_divergence(*rows[:2], *rows[:2])
    assert nothing == 0.0 and not np.signbit(nothing)
    if any(np.any(one != other) for one, other in zip(rows[:2], rows[2:])):
        distance = max(np.max(np.abs(one.astype(float) - other)) for one, other in zip(rows[:2], rows[2:]))
        assert gaussian.kl_divergence(*rows) > 0.0 or distance < 1e-150


@SETTINGS
@given(gaussians(), st.integers(-8, 8))
def test_shifts_and_scales_change_nothing(rows, shift):
    """Moved by a number that is added exactly; measured in another unit, which is twice or half as large."""
    mu1, logvar1, mu2, logvar2 = (np.rint(row.astype(float) * 64) / 64 for row in rows)
    expected = gaussian.kl_divergence(mu1, logvar1, mu2, logvar2)
    assert gaussian.kl_divergence(mu1 + shift, logvar1, mu2 + shift, logvar2) == expected
    unit, logarithm = 2.0**shift, 2.0 * shift * np.log(2.0)
    scaled = gaussian.kl_divergence(unit * mu1, logvar1 + logarithm, unit * mu2, logvar2 + logarithm)
    np.testing.assert_allclose(scaled, expected, rtol=1e-10, atol=1e-25)


@SETTINGS
@given(gaussians(), st.floats(0.0, 5.0))
def test_free_bits_are_a_floor(rows, free_bits):
    value, floored = gaussian.kl_divergence(*rows), gaussian.kl_divergence(*rows, free_bits=free_bits)
    count = len(rows[0])
    assert max(value, free_bits * count) * (1 - 2.0**-20) <= floored <= (value + free_bits * count) * (1 + 2.0**-20)


@SETTINGS
@given(gaussians(), st.integers(1, 299))
def test_dimensions_add_up(rows, cut):
    parts = [gaussian.kl_divergence(*(row[part] for row in rows)) for part in (slice(cut), slice(cut, None))]
    np.testing.assert_allclose(sum(parts), gaussian.kl_divergence(*rows), rtol=2.0**-20)


@SETTINGS
@given(gaussians(sizes=st.integers(1, 8)))
def test_diagonal_covariances_are_independent_dimensions(rows):
    mu1, logvar1, mu2, logvar2 = (row.astype(float) / 4 for row in rows)
    full = gaussian.kl_divergence_full(mu1, np.diag(np.exp(logvar1)), mu2, np.diag(np.exp(logvar2)))
    assert full >= 0.0
    # exp rounds the variances, which by itself is worth so much
    size = 2.0**-50 * np.sum(np.abs(np.expm1(logvar1 - logvar2)) * (1.0 + np.abs(logvar1) + np.abs(logvar2)))
    np.testing.assert_allclose(full, gaussian.kl_divergence(mu1, logvar1, mu2, logvar2), rtol=1e-12, atol=size + 1e-30)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_full_covariances_in_other_coordinates(seed, count):
    """An invertible map of both changes nothing; equal Gaussians are no distance apart, to the last bit."""
    random = np.random.default_rng(seed)
    cov1, cov2 = (covariances((count,), seed + i) for i in (1, 2))
    mean1, mean2 = random.normal(size=(2, count))
    value = gaussian.kl_divergence_full(mean1, cov1, mean2, cov2)
    assert value >= 0.0
    change = np.linalg.qr(random.normal(size=(count, count)))[0] * random.uniform(0.5, 2.0, count)
    changed = [change @ mean1, change @ cov1 @ change.T, change @ mean2, change @ cov2 @ change.T]
    assert gaussian.kl_divergence_full(*changed) == pytest.approx(value, rel=1e-8)
    assert gaussian.kl_divergence_full(mean1, cov1, mean1, cov1) == 0.0
