"""Teachers and students that are ruled out the same classes, by a grammar or a mask: what rounding left of 1 is no tail."""

import numpy as np
import pytest
from cpu_levels import LEVELS, call

from klfast import distill
from klfast._reference import distill as twin

INF = np.inf
TYPES = ("float64", "float32", "float16", "bfloat16")
# Of every type about the least tail that rounding does not explain, where log p is about -0.7.
SUREST = {"float64": 4e-15, "float32": 1e-6, "float16": 2e-3, "bfloat16": 0.02}


def as_type(values, dtype):
    return values.astype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)


def forbidding(classes, allowed, rows, dtype="float64"):
    """Logits of both sides, of which only the first classes of every row, in some order, are possible."""
    random = np.random.default_rng(classes)
    pair = random.normal(0.0, 2.0, (2, rows, classes))
    pair[..., allowed:] = -INF
    return random.permuted(np.arange(classes)), *pair.astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("classes, allowed", ((50, 40), (1000, 64), (3, 2)))
def test_what_is_ruled_out_on_both_sides_adds_nothing(classes, allowed, dtype):
    order, teacher, student = forbidding(classes, allowed, 200, "float64" if dtype == "float64" else "float32")
    teacher, student = teacher[:, order], student[:, order]
    top = distill.topk(teacher, allowed)
    assert not np.any(top.tail)
    listed = as_type(top.logprobs, dtype), top.ids
    whole = distill.kl(teacher, student)
    for level in LEVELS:
        for tail in ("bucket", "uniform"):
            value, gradient = call(level, "distill.topk_kl_value_and_grad", *listed, student, tail=tail)
            expected = twin.topk_kl_value_and_grad(*listed, student, tail=tail)
            np.testing.assert_allclose(value, expected[0], rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(gradient, expected[1], rtol=2e-5, atol=1e-7)
            exactness = {"float64": 1e-12, "float32": 2.0**-20, "float16": 2.0**-7, "bfloat16": 2.0**-4}[dtype]
            np.testing.assert_allclose(value, whole, rtol=exactness, atol=exactness)
            assert not np.any(gradient[student == -INF])
            alone = distill.topk_kl(*listed, student, tail="renormalize")
            np.testing.assert_allclose(value, alone, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_tail_that_rounding_does_not_explain_is_infinitely_far_from_none(dtype):
    student = np.array([0.3, -0.2, -INF])
    for missing, is_real in ((0.0, False), (0.2, False), (1.0, True), (100.0 if "64" in dtype else 10.0, True)):
        p = 0.5 * (1.0 - missing * SUREST[dtype])
        listed = as_type(np.log([p, p]), dtype), [0, 1]
        for tail in ("bucket", "uniform"):
            value = distill.topk_kl(*listed, student, tail=tail)
            assert (value == INF) == is_real, missing
            assert (twin.topk_kl(*listed, student, tail=tail) == INF) == is_real
            assert distill.topk_kl(*listed, np.array([0.3, -0.2, -700.0]), tail=tail) < INF


def test_rounding_explains_the_less_the_likelier_one_class_is():
    """All but certain: what its logarithm, and the others, can be off by is far below 1e-13."""
    student = np.array([9.0, 0.0, -INF])
    for beside in (1e-3, 1e-9):
        exact = np.log1p(-beside), np.log(beside)
        assert distill.topk_kl(exact, [0, 1], student) < INF
        assert distill.topk_kl((np.log1p(-beside - 1e-13), exact[1]), [0, 1], student) == INF


def test_the_bits_of_bfloat16_are_rounded_as_such():
    brain = pytest.importorskip("ml_dtypes").bfloat16
    listed = np.log([0.3, 0.7]).astype(brain)
    student = np.array([1.0, 2.0, -INF], np.float32).astype(brain)
    value = distill.topk_kl(listed, [0, 1], student)
    assert 0.0 < value < INF
    assert distill.topk_kl(listed.view(np.uint16), [0, 1], student.view(np.uint16), dtype="bfloat16") == value
