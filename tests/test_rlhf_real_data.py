"""Tokens drawn from a real language model: estimates come near its exact divergence from two quantised versions of it."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from klfast import logits, rlhf

EXAMPLES = Path(__file__).parents[1] / "examples"
EXACT = json.loads((EXAMPLES / "exact.json").read_text())
MODELS = tuple(EXACT["against_base"])
DRAWN = 20_000
# How far a mean may be from what it estimates: so many standard errors.
ERRORS = 5.0


def load(name):
    return np.load(EXAMPLES / f"{name}.npy")


@functools.cache
def drawn():
    """Tokens of every row of the base model, by its own probabilities: (rows, tokens)."""
    random = np.random.default_rng(2020)
    chances = np.exp(logits.log_softmax(load("base").astype(np.float64)))
    return np.stack([random.choice(len(row), DRAWN, p=row / row.sum()) for row in chances])


def logprobs_of(name):
    return np.take_along_axis(logits.log_softmax(load(name).astype(np.float64)), drawn(), axis=-1)


@pytest.mark.parametrize("kind", ["k1", "k3"])
@pytest.mark.parametrize("model", MODELS)
def test_means_over_many_tokens_come_near_the_exact_divergence(model, kind):
    estimates = rlhf.kl_estimate(logprobs_of("base"), logprobs_of(model), kind)
    errors = estimates.std(axis=-1) / np.sqrt(DRAWN)
    distance = np.abs(estimates.mean(axis=-1) - EXACT["against_base"][model]["kl"])
    assert np.all(distance <= ERRORS * errors)
    assert np.all(errors > 0.0)


def test_k3_varies_less_than_k1_where_models_are_close():
    """Not where they are apart: then a few tokens that the other model makes likelier have nearly all of k3."""
    model = "test_q8"
    spread = {
        kind: rlhf.kl_estimate(logprobs_of("base"), logprobs_of(model), kind).std(axis=-1) for kind in ("k1", "k3")
    }
    assert np.all(spread["k3"] < 0.5 * spread["k1"])


@pytest.mark.parametrize("model", MODELS)
def test_ratios_of_a_model_to_its_quantised_version_average_to_1(model):
    for base, test in zip(logprobs_of("base"), logprobs_of(model)):
        stats = rlhf.importance_ratio_stats(test, base)
        assert stats.count == DRAWN
        assert abs(stats.mean_ratio - 1.0) <= ERRORS * np.sqrt(stats.chi_square / DRAWN)
        assert 1.0 <= stats.effective_sample_size <= DRAWN


@pytest.mark.parametrize("model", MODELS)
def test_penalties_are_the_exact_divergences(model):
    counted = np.arange(len(load("base"))) % 2 == 0
    exact = np.array(EXACT["against_base"][model]["kl"])
    penalties = rlhf.kl_penalty(load("base"), load(model), counted)
    np.testing.assert_allclose(penalties, np.where(counted, exact, 0.0), rtol=2.0**-21, atol=0.0)
