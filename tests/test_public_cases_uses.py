"""What users of other libraries reported as wrong in estimators of KL and in distillation, and what is right."""

from pathlib import Path

import numpy as np
import pytest

from klfast import distill, rlhf

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_lower_limit_of_k3_has_no_meaning():
    """Some clamp k3 at -10: it is never negative, whatever the log-ratio."""
    r = np.concatenate([np.linspace(-800, 800, 4001), np.array([1e-300, -1e-300, 5e-324])])
    assert np.all(rlhf.kl_estimate(0 * r, r, "k3") >= 0)
    assert np.all(rlhf.kl_estimate(0 * r.astype("f4"), r.astype("f4"), "k3") >= 0)


def test_k3_of_close_policies_keeps_its_digits():
    """exp(r) - 1 - r is 0 in float32 for r = 1e-4, and expm1(r) - r has four digits."""
    found = rlhf.kl_estimate(np.float32(0), np.float32(1e-4), "k3")
    assert found == pytest.approx(5.00016662e-9, rel=2.0**-21)


def test_the_four_estimators_of_one_token():
    """logp = -1 and ref_logp = -1.5."""
    found = {kind: float(rlhf.kl_estimate(-1.0, -1.5, kind)) for kind in ("k1", "k2", "k3", "abs")}
    assert found["k1"] == 0.5 and found["k2"] == 0.125 and found["abs"] == 0.5
    assert found["k3"] == pytest.approx(0.106530659712633424, rel=2.0**-49)


def test_the_mean_kl_is_that_of_the_estimator_in_use():
    """A negative k1 was logged though another estimator was the penalty."""
    x, y = np.array([[-2.0, -1.0]]), np.array([[-1.0, -1.5]])
    for kind in ("k1", "k2", "k3", "abs"):
        rewards, mean = rlhf.shaped_rewards([0.0], x, y, 1.0, kind=kind)
        assert mean[0] == pytest.approx(-np.mean(rewards), rel=1e-15)


def test_the_sign_is_that_of_samples_of_the_policy():
    """k1 = logp - ref_logp: positive on average where the tokens are likelier under the policy that sampled them."""
    assert rlhf.kl_estimate(np.log(0.9), np.log(0.5)) > 0
    assert rlhf.kl_estimate_grad(np.log(0.9), np.log(0.5)) == 1.0


def test_parts_of_a_batch_can_be_put_together():
    """Means of micro-batches of 3 tokens and 1 are not the mean of the batch; sums and counts are."""
    x, y = np.array([-1.0, -2.0, -3.0, -0.5]), np.array([-1.5, -2.1, -2.0, -4.0])
    parts = [
        rlhf.kl_estimate(x[one], y[one], "k3", reduction="sum", return_count=True) for one in (slice(3), slice(3, 4))
    ]
    together = sum(value for value, _ in parts) / sum(count for _, count in parts)
    assert together == pytest.approx(rlhf.kl_estimate(x, y, "k3", reduction="token_mean"), rel=1e-14)
    rows = np.array([[1.0, 2.0, 0.0]] * 4), np.array([[0.5, 2.5, x] for x in (0.0, 1.0, 2.0, -1.0)])
    parts = [
        distill.kl(rows[0][one], rows[1][one], direction="jsd", reduction="sum", return_count=True)
        for one in (slice(3), slice(3, 4))
    ]
    together = sum(value for value, _ in parts) / sum(count for _, count in parts)
    assert together == pytest.approx(distill.kl(*rows, direction="jsd", reduction="mean"), rel=1e-14)


def test_samples_of_real_rows_estimate_their_kl():
    """k1 and k3 of tokens drawn from the base model tend to the KL of its rows to those of a quantised model."""
    base, test = (np.load(EXAMPLES / f"{name}.npy").astype(float) for name in ("base", "test_q4"))
    logp, ref = (x - np.logaddexp.reduce(x, axis=-1, keepdims=True) for x in (base, test))
    random = np.random.default_rng(11)
    samples = 4000
    ids = np.stack([random.choice(len(row), samples, p=np.exp(row)) for row in logp])
    x, y = np.take_along_axis(logp, ids, -1), np.take_along_axis(ref, ids, -1)
    exact = rlhf.kl_penalty(base, test)
    for kind in ("k1", "k3"):
        tokens = rlhf.kl_estimate(x, y, kind)
        error = np.sqrt(np.mean(np.var(tokens, axis=-1)) / tokens.size)
        assert abs(np.mean(tokens) - np.mean(exact)) <= 5 * error
        assert error < 0.05 * np.mean(exact)
