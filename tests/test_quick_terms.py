"""Estimates of tokens and Gaussians: the short way for contiguous arrays must not be seen in any result."""

import itertools

import numpy as np
import pytest
from short_way import SHAPES, assert_same, strided

from klfast import gaussian, rlhf


@pytest.mark.parametrize("kind", ("k1", "k2", "k3", "abs"))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
def test_estimates_are_the_same_as_by_the_long_way(kind, dtype, shape):
    random = np.random.default_rng(10)
    logp, ref_logp = random.normal(size=(2, *shape)).astype(dtype)
    masks = None, random.uniform(size=shape) < 0.7, np.zeros(shape, bool), np.ones(shape, bool)
    for mask, reduction in itertools.product(masks, ("none", "token_mean", "sequence_mean", "sum")):
        for options in ({}, {"clip": 0.5}, {"n_threads": 2}):
            options |= {"kind": kind, "mask": mask, "reduction": reduction, "return_count": True}
            expected = rlhf.kl_estimate(strided(logp), strided(ref_logp), **options)
            assert_same(rlhf.kl_estimate(logp, ref_logp, **options), expected)


@pytest.mark.parametrize("what", ("list", "column", "integers", "strided", "one number"))
def test_masks_that_are_not_for_it_get_their_answer_too(what):
    logp, ref_logp = np.random.default_rng(10).normal(size=(2, 4, 3))
    mask = np.array([[True], [False], [True], [True]])
    whole = np.broadcast_to(mask, (4, 3))
    expected = rlhf.kl_estimate(logp, ref_logp, mask=whole.copy())
    if what == "integers":
        with pytest.raises(TypeError, match="^mask: dtype int64 is not bool"):
            rlhf.kl_estimate(logp, ref_logp, mask=whole.astype(int))
    elif what == "one number":
        assert_same(rlhf.kl_estimate(logp, ref_logp, mask=True), rlhf.kl_estimate(logp, ref_logp))
    else:
        odd = {"list": mask.tolist(), "column": mask, "strided": strided(whole)}[what]
        assert_same(rlhf.kl_estimate(logp, ref_logp, mask=odd), expected)


def test_options_of_estimates_are_looked_at():
    logp, ref_logp = np.zeros((2, 3, 4))
    for option, value in {
        "kind": "k4",
        "clip": 0,
        "reduction": "mean",
        "n_threads": 0,
        "mask": np.ones(5, bool),
    }.items():
        with pytest.raises((TypeError, ValueError), match=f"^{option}: "):
            rlhf.kl_estimate(logp, ref_logp, **{option: value})
    for reduction in ("token_mean", "sequence_mean", "sum"):
        with pytest.raises(ValueError, match="^out: "):
            rlhf.kl_estimate(logp, ref_logp, reduction=reduction, out=np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
def test_gaussians_are_the_same_as_by_the_long_way(dtype, shape):
    arrays = np.random.default_rng(11).normal(size=(4, *shape)).astype(dtype)
    ways = list(arrays), [strided(array) for array in arrays]
    for options in ({}, {"axis": len(shape) - 1}, {"base": 2}, {"n_threads": 2}, {"keepdims": True}):
        quick, expected = (gaussian.kl_divergence(*way, **options) for way in ways)
        assert_same(quick, expected)
        for free in (0.0, 0.3):
            quick, expected = (gaussian.kl_standard_normal(*way[:2], free_bits=free, **options) for way in ways)
            assert_same(quick, expected)
            for grad_output in (None, 0.0, -2.5) if "keepdims" not in options else ():
                more = options | {"free_bits": free, "grad_output": grad_output}
                quick, expected = (gaussian.kl_standard_normal_value_and_grad(*way[:2], **more) for way in ways)
                assert_same(quick, expected)
    if len(shape) > 1:
        for axis in range(len(shape) - 1):
            quick, expected = (gaussian.kl_standard_normal(*way[:2], axis=axis) for way in ways)
            assert_same(quick, expected)
