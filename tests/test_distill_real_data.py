"""Lists of a real language model's likeliest classes: never further from its quantised versions than the whole rows are."""

from pathlib import Path

import numpy as np
import pytest
from cpu_levels import LEVELS, call

EXAMPLES = Path(__file__).parents[1] / "examples"
MODELS = ("test_q8", "test_q4")
# What rounding may add to a divergence that is as good as the whole: that of float32.
ROUNDING = 1.0 + 2.0**-20


def load(name):
    return np.load(EXAMPLES / f"{name}.npy")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("model", MODELS)
def test_merging_the_other_classes_lowers_the_divergence_and_less_so_the_fewer_they_are(model, direction, level):
    teacher, student = load("base"), load(model)
    whole = call(level, "distill.kl", teacher, student, direction=direction)
    below = np.zeros(len(teacher))
    for k in (1, 8, 128, 2048, 16384):
        top = call(level, "distill.topk", teacher, k)
        value = call(level, "distill.topk_kl", top.logprobs, top.ids, student, direction=direction)
        assert np.all(value >= below / ROUNDING) and np.all(value <= whole * ROUNDING)
        below = value
    assert np.all(below >= 0.97 * whole)


@pytest.mark.parametrize("model", MODELS)
def test_the_whole_list_is_the_whole_row(model):
    from klfast import distill

    teacher, student = load("base"), load(model)
    top = distill.topk(teacher, teacher.shape[-1])
    whole = distill.kl(teacher, student)
    for tail in ("bucket", "renormalize", "none", "uniform"):
        value = distill.topk_kl(top.logprobs, top.ids, student, tail=tail)
        np.testing.assert_allclose(value, whole, rtol=1e-4 if tail == "none" else 1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_top_classes_are_those_of_a_sort_and_add_up_with_the_tail(temperature):
    from klfast import distill

    teacher = load("base")
    top = distill.topk(teacher, 128, temperature=temperature)
    np.testing.assert_array_equal(top.ids, np.argsort(-teacher, axis=-1, kind="stable")[:, :128])
    np.testing.assert_allclose(np.sum(np.exp(top.logprobs), axis=-1) + top.tail, 1.0, rtol=2.0**-20)


@pytest.mark.parametrize("model", MODELS)
def test_steps_against_the_gradient_bring_the_student_closer(model):
    from klfast import distill

    teacher, student = load("base"), load(model).astype(np.float64)
    top = distill.topk(teacher, 64)
    for tail in ("bucket", "renormalize", "uniform"):
        value, gradient = distill.topk_kl_value_and_grad(top.logprobs, top.ids, student, tail=tail)
        closer = distill.topk_kl(top.logprobs, top.ids, student - 0.5 * gradient, tail=tail)
        assert np.all(closer < value)
