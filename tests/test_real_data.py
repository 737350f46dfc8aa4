"""The example rows, real logits of a language model and two quantised versions of it, give the exact values."""

import json
from pathlib import Path

import numpy as np
import pytest
from cpu_levels import LEVELS, call

EXAMPLES = Path(__file__).parents[1] / "examples"
EXACT = json.loads((EXAMPLES / "exact.json").read_text())
# What is promised of float32 input is twice as strict as the 1e-6 that a reader of the table would notice.
PROMISE = {"kl": 2.0**-21, "reverse_kl": 2.0**-21, "js": 2.0**-21, "entropy": 2.0**-22, "cross_entropy": 2.0**-22}


def load(name):
    return np.load(EXAMPLES / f"{name}.npy")


def assert_close(result, exact, figure):
    exact = np.array(exact)
    assert result.shape == exact.shape
    assert np.all(result >= 0.0)
    assert np.max(np.abs(result - exact) / exact) <= PROMISE[figure]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model", EXACT["models"])
def test_entropy_and_cross_entropy(model, level):
    exact = EXACT["models"][model]
    assert_close(call(level, "logits.entropy", load(model)), exact["entropy"], "entropy")
    result = call(level, "logits.cross_entropy", load(model), load("targets"))
    assert_close(result, exact["cross_entropy"], "cross_entropy")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model", EXACT["against_base"])
def test_divergences(model, level):
    base, test, exact = load("base"), load(model), EXACT["against_base"][model]
    assert_close(call(level, "logits.kl_divergence", base, test), exact["kl"], "kl")
    assert_close(call(level, "logits.kl_divergence", test, base), exact["reverse_kl"], "reverse_kl")
    assert_close(call(level, "logits.js_divergence", base, test), exact["js"], "js")


@pytest.mark.parametrize("model", EXACT["against_base"])
def test_probabilities_of_the_same_rows(model):
    """Through softmax in float64 first: the other family gives the same."""
    import klfast

    def softmax(x):
        weights = np.exp(x - x.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    p, q = (softmax(load(name).astype(np.float64)) for name in ("base", model))
    np.testing.assert_allclose(klfast.kl_divergence(p, q), EXACT["against_base"][model]["kl"], rtol=1e-9)
    np.testing.assert_allclose(klfast.entropy(p), EXACT["models"]["base"]["entropy"], rtol=1e-12)
