"""Compute exact.json: every figure that `klfast compare` gives for these rows, in 40-digit arithmetic.

Run it with `python examples/make_exact.py`; it needs numpy and mpmath and takes about a minute.
"""

import json
from pathlib import Path

import mpmath
import numpy as np

FOLDER = Path(__file__).parent
MODELS = ("base", "test_q8", "test_q4")


def log_softmax(row):
    """The log-probabilities of one row of logits, as a list of mpmath numbers."""
    values = [mpmath.mpf(float(value)) for value in row]
    maximum = max(values)
    log_sum = maximum + mpmath.log(mpmath.fsum(mpmath.exp(value - maximum) for value in values))
    return [value - log_sum for value in values]


def kl_divergence(log_p, log_q):
    return mpmath.fsum(mpmath.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True))


def js_divergence(log_p, log_q):
    total = mpmath.mpf(0)
    for a, b in zip(log_p, log_q, strict=True):
        p, q = mpmath.exp(a), mpmath.exp(b)
        log_middle = mpmath.log((p + q) / 2)
        total += (p * (a - log_middle) + q * (b - log_middle)) / 2
    return total


def entropy(log_p):
    return -mpmath.fsum(mpmath.exp(a) * a for a in log_p)


def main():
    mpmath.mp.dps = 40
    targets = np.load(FOLDER / "targets.npy")
    log_probabilities = {
        model: [log_softmax(row) for row in np.load(FOLDER / f"{model}.npy", mmap_mode="r")] for model in MODELS
    }
    base = log_probabilities["base"]
    exact = {"unit": "nats", "models": {}, "against_base": {}}
    for model, rows in log_probabilities.items():
        exact["models"][model] = {
            "entropy": [float(entropy(row)) for row in rows],
            "cross_entropy": [float(-row[target]) for row, target in zip(rows, targets, strict=True)],
            "target_probability": [float(mpmath.exp(row[target])) for row, target in zip(rows, targets, strict=True)],
            "top_token": [max(range(len(row)), key=row.__getitem__) for row in rows],
        }
    for model in MODELS[1:]:
        pairs = list(zip(base, log_probabilities[model], strict=True))
        exact["against_base"][model] = {
            "kl": [float(kl_divergence(p, q)) for p, q in pairs],
            "reverse_kl": [float(kl_divergence(q, p)) for p, q in pairs],
            "js": [float(js_divergence(p, q)) for p, q in pairs],
        }
    (FOLDER / "exact.json").write_text(json.dumps(exact, indent=2) + "\n")


if __name__ == "__main__":
    main()
