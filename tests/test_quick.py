"""Contiguous arrays reduced along their last axis take a shorter way to the kernels: it must not be seen in any result."""

import numpy as np
import pytest

import klfast

PAIRS = {
    "kl_divergence": klfast.kl_divergence,
    "cross_entropy": klfast.cross_entropy,
    "js_divergence": klfast.js_divergence,
    "hellinger": klfast.hellinger,
    "renyi_divergence": lambda p, q, **options: klfast.renyi_divergence(p, q, 0.7, **options),
    "logits.kl_divergence": klfast.logits.kl_divergence,
    "logits.js_divergence": klfast.logits.js_divergence,
}
SINGLE = {
    "entropy": klfast.entropy,
    "logits.entropy": klfast.logits.entropy,
    "logits.logsumexp": klfast.logits.logsumexp,
}
SHAPES = (1,), (7,), (1, 1), (3, 5), (2, 3, 4), (17, 129), (2, 1, 3, 33), (5, 9000), (70000, 2)


def arguments(name, shape, dtype):
    random = np.random.default_rng(4)
    drawn = random.normal if name.startswith("logits") else random.uniform
    return [drawn(size=shape).astype(dtype) for _ in range(2 if name in PAIRS else 1)]


@pytest.mark.parametrize("name", PAIRS | SINGLE)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_as_the_long_way(name, dtype, shape):
    function, given = (PAIRS | SINGLE)[name], arguments(name, shape, dtype)
    expected = function(*given, n_threads=2)  # which the short way does not know
    for axis in (-1, len(shape) - 1):
        result = function(*given, axis=axis)
        assert type(result) is type(expected) and result.dtype == np.float64 and result.shape == shape[:-1]
        np.testing.assert_array_equal(result, expected, strict=True)


@pytest.mark.parametrize("axis", (2, -3, 63, 64, 10**30, -(10**30)))
def test_an_axis_out_of_range(axis):
    p = np.ones((3, 5))
    with pytest.raises(ValueError, match="axis"):
        klfast.kl_divergence(p, p, axis=axis)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (np.ones((3, 5)), np.ones(5)),
        (np.ones((3, 5)), np.ones((1, 5))),
        (np.ones((3, 5)), np.ones((3, 5), np.float32)),
        (np.ones((3, 5)), np.ones((3, 5), int)),
        (np.ones((3, 10))[:, ::2], np.ones((3, 5))),
        (np.ones((3, 5)), np.ones((3, 5), order="F")),
        (np.ones((3, 5), ">f8"), np.ones((3, 5), ">f8")),
        (np.ma.ones((3, 5)), np.ones((3, 5))),
    ],
)
def test_what_is_not_for_it_gets_its_answer_too(p, q):
    assert klfast.kl_divergence(p, q).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", ((0,), (3, 0), (0, 3), (2, 0, 3)))
def test_nothing(shape):
    p = np.ones(shape)
    result = klfast.kl_divergence(p, p)
    assert np.shape(result) == shape[:-1] and np.all(np.isnan(result))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="do not broadcast"):
        klfast.kl_divergence(np.ones((3, 5)), np.ones((3, 4)))


def test_arrays_that_may_not_be_written():
    p, q = np.full((4, 6), 0.5), np.full((4, 6), 0.25)
    for one in (p, q):
        one.flags.writeable = False
    assert klfast.kl_divergence(p, q).tolist() == [0.0] * 4
