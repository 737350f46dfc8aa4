"""Every mistake in a call to klfast.rlhf is named, with its argument, its place and its value, before any work."""

import numpy as np
import pytest

from klfast import rlhf

X = np.full((2, 3), -1.0)
FLAT = X.reshape(-1)

WRONG = {
    "kind": (lambda: rlhf.kl_estimate(X, X, "k4"), ValueError, r"kind: 'k4' is none of 'k1', 'k2', 'k3', 'abs'"),
    "reduction": (lambda: rlhf.kl_estimate(X, X, reduction="mean"), ValueError, r"reduction: 'mean' is none of"),
    "reduction of a gradient": (lambda: rlhf.kl_estimate_grad(X, X, reduction="batchmean"), ValueError, "reduction: "),
    "shapes": (
        lambda: rlhf.kl_estimate(X, X[:, :2]),
        ValueError,
        r"shapes do not broadcast: logp \(2, 3\) and ref_logp \(2, 2\)",
    ),
    "numbers": (lambda: rlhf.kl_estimate(X, np.full((2, 3), "a")), TypeError, "ref_logp: dtype <U1"),
    "names": (lambda: rlhf.importance_ratio_stats(X, X[:1, :2]), ValueError, r"logp \(2, 3\) and behaviour_logp"),
    "mask of numbers": (lambda: rlhf.kl_estimate(X, X, mask=np.ones(3)), TypeError, "mask: dtype float64 is not bool"),
    "mask of another shape": (
        lambda: rlhf.kl_estimate(X, X, mask=[True] * 4),
        ValueError,
        r"mask: shape \(4,\) does not broadcast",
    ),
    "clip": (lambda: rlhf.kl_estimate(X, X, clip=0), ValueError, "clip: 0 is not a positive number"),
    "clip that is none": (
        lambda: rlhf.kl_estimate(X, X, clip=np.nan),
        ValueError,
        "clip: nan is not a positive number",
    ),
    "clip of text": (lambda: rlhf.kl_estimate(X, X, clip="5"), TypeError, "clip: '5' is not a number"),
    "lengths of a table": (
        lambda: rlhf.kl_estimate(X, X, lengths=[3, 3]),
        ValueError,
        r"lengths: logp has the shape \(2, 3\)",
    ),
    "lengths that are too few": (
        lambda: rlhf.kl_estimate(FLAT, FLAT, lengths=[3, 2]),
        ValueError,
        "lengths: they add up to 5, but logp has 6",
    ),
    "lengths below 0": (
        lambda: rlhf.kl_estimate(FLAT, FLAT, lengths=[7, -1]),
        ValueError,
        r"lengths\[1\]: -1 is less than 0",
    ),
    "lengths of a type": (
        lambda: rlhf.kl_estimate(FLAT, FLAT, lengths=[3.0, 3.0]),
        TypeError,
        "lengths: dtype float64",
    ),
    "lengths with axes": (lambda: rlhf.kl_estimate(FLAT, FLAT, lengths=[[6]]), ValueError, r"lengths: shape \(1, 1\)"),
    "lengths that overflow": (
        lambda: rlhf.kl_estimate(FLAT, FLAT, lengths=np.array([2**63 - 1, 2**63 - 1, 8], np.uint64)),
        ValueError,
        "lengths: they add up to 18446744073709551622",
    ),
    "out of a sum": (
        lambda: rlhf.kl_estimate(X, X, reduction="sum", out=np.empty((2, 3))),
        ValueError,
        "out: reduction='sum'",
    ),
    "out of another type": (
        lambda: rlhf.kl_estimate(X, X, out=np.empty((2, 3), "f4")),
        ValueError,
        "out: dtype float32 is not float64",
    ),
    "out of another shape": (lambda: rlhf.kl_estimate(X, X, out=np.empty(6)), ValueError, r"out: shape \(6,\)"),
    "out that is an input": (lambda: rlhf.kl_estimate(X, X.copy(), out=X), ValueError, "out: overlaps logp"),
    "out that is the other input": (
        lambda: rlhf.kl_estimate_grad(X.copy(), X, out=X),
        ValueError,
        "out: overlaps ref_logp",
    ),
    "grad_output": (
        lambda: rlhf.kl_estimate_grad(X, X, grad_output=np.ones(2)),
        ValueError,
        r"grad_output: shape \(2,\)",
    ),
    "grad_output of a sum": (
        lambda: rlhf.kl_estimate_grad(X, X, reduction="sum", grad_output=[1.0, 2.0]),
        ValueError,
        "grad_output: shape",
    ),
    "out that is grad_output": (
        lambda: (lambda g: rlhf.kl_estimate_grad(X, X, grad_output=g, out=g))(np.ones((2, 3))),
        ValueError,
        "out: overlaps grad_output",
    ),
    "steps without end": (lambda: rlhf.FixedKLController(0.1).update(1.0, 10**400), ValueError, "n_steps: 1000"),
    "scores": (lambda: rlhf.shaped_rewards(np.ones(3), X, X, 0.1), ValueError, r"scores: shape \(3,\) is not \(2,\)"),
    "beta": (lambda: rlhf.shaped_rewards(np.ones(2), X, X, np.nan), ValueError, "beta: nan is not finite"),
    "penalty's mask": (
        lambda: rlhf.kl_penalty(X, X, [True] * 3),
        ValueError,
        r"mask: shape \(3,\) does not broadcast to \(2,\)",
    ),
    "penalty's mask of numbers": (lambda: rlhf.kl_penalty(X, X, [1, 0]), TypeError, "mask: dtype int64 is not bool"),
    "penalty's axes": (lambda: rlhf.kl_penalty(X, X, axis=None), ValueError, "axis: None is not one integer"),
    "penalty's NaN": (lambda: rlhf.kl_penalty(X * np.nan, X, check=True), ValueError, r"logits\[0, 0\]: nan"),
    "threads": (lambda: rlhf.kl_estimate(X, X, n_threads=0), ValueError, "n_threads: 0 is less than 1"),
    "fixed": (lambda: rlhf.FixedKLController(-0.1), ValueError, "beta: -0.1 is less than 0"),
    "adaptive": (lambda: rlhf.AdaptiveKLController(0.1, 0.0, 10), ValueError, "target: 0.0 is not positive"),
    "horizon": (lambda: rlhf.AdaptiveKLController(0.1, 1.0, np.inf), ValueError, "horizon: inf is not finite"),
    "steps": (
        lambda: rlhf.AdaptiveKLController(0.1, 1.0, 10).update(1.0, -1),
        ValueError,
        "n_steps: -1 is less than 0",
    ),
    "steps in parts": (
        lambda: rlhf.FixedKLController(0.1).update(1.0, 1.5),
        TypeError,
        "n_steps: 1.5 is not an integer",
    ),
    "KL": (lambda: rlhf.FixedKLController(0.1).update(np.nan, 1), ValueError, "current_kl: nan is not finite"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_mistakes(mistake):
    attempt, error, message = WRONG[mistake]
    with pytest.raises(error, match=message):
        attempt()


def test_nothing_is_written_before_a_mistake_is_found():
    out = np.full((2, 3), 7.0)
    for mistake in ({"clip": -1.0}, {"mask": [True] * 4}, {"n_threads": 0}):
        with pytest.raises(ValueError):
            rlhf.kl_estimate(X, X, out=out, **mistake)
    assert np.all(out == 7.0)
    penalties = rlhf.kl_penalty(np.array([[np.nan, 1.0], [1.0, 2.0]]), np.zeros((2, 2)), [False, True], check=True)
    assert penalties[0] == 0.0 and penalties[1] > 0
