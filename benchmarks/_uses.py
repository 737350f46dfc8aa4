"""Arrays and small inputs for what KL is used for: tokens of two models, latents, the likeliest classes of a teacher."""

import numpy as np
from _memory import aligned_copy, aligned_empty
from _workloads import DISTILLATION, ESTIMATES, TOP

SLAB = 1000  # rows that are made at once, to save memory
MOVED = 0.05  # how far a policy's tokens have moved from the reference: the scale of their log-ratios


def make_uses(generator, operation, shape):
    """The inputs of a workload, in float32."""
    if operation in ESTIMATES:
        return _make_tokens(generator, shape)
    if operation in DISTILLATION:
        return tuple(map(aligned_copy, _make_student(generator, operation, shape)))
    return tuple(aligned_copy(array) for array in _latents(generator, shape))


def uses_cases(generator, shape, operation):
    """A dictionary from the name of a case to its arrays."""
    if operation in ESTIMATES:
        mask = _mask(generator, shape)
        scales = {"easy": MOVED, "far": 20 * MOVED, "near-equal": 1e-3}
        return {name: (*_tokens(generator, shape, scale), mask) for name, scale in scales.items()}
    if operation in DISTILLATION:
        return _student_cases(generator, shape, operation)
    near = tuple(1e-3 * generator.standard_normal(shape) for _ in range(2))  # all but the prior
    return {"easy": _latents(generator, shape), "near-equal": near}


# Tokens --------------------------------------------------------------------------------------------------------------


def _make_tokens(generator, shape):
    arrays = [aligned_empty(shape, "float32") for _ in range(2)]
    for start in range(0, shape[0], SLAB):
        parts = [array[start : start + SLAB] for array in arrays]
        for part, numbers in zip(parts, _tokens(generator, parts[0].shape, MOVED), strict=True):
            part[...] = numbers
    return *arrays, aligned_copy(_mask(generator, shape))


def _tokens(generator, shape, scale):
    """Log-probabilities of tokens by a policy and by its reference. Few log-ratios are large, and some very large."""
    logp = np.minimum(generator.normal(-3, 1.5, shape), 0)
    return logp, np.minimum(logp + scale * generator.standard_t(5, shape), 0)


def _mask(generator, shape):
    """Which tokens count: replies of different lengths, padded to one; 80 % of all."""
    n_rows, n_tokens = shape
    lengths = generator.integers(round(0.6 * n_tokens), n_tokens + 1, (n_rows, 1))
    return np.arange(n_tokens) < lengths


# Gaussians -----------------------------------------------------------------------------------------------------------


def _latents(generator, shape):
    """Means and log-variances as an encoder returns them: less sure in some dimensions than in others."""
    mu, logvar = (generator.standard_normal(shape, dtype=np.float32) for _ in range(2))
    return mu, logvar - 1


# Distillation --------------------------------------------------------------------------------------------------------


def _make_student(generator, operation, shape):
    x = generator.standard_normal(shape, dtype=np.float32)
    x *= 3
    if operation == "distill.topk":
        return (x,)
    teacher = generator.standard_normal(shape, dtype=np.float32)
    teacher += x
    logprobs, ids = _likeliest(teacher)
    return x, logprobs.astype(np.float32), ids


def _student_cases(generator, shape, operation):
    easy, sure, noise = (scale * generator.standard_normal(shape) for scale in (3, 3, 1))
    sure[..., shape[-1] // 2] = 25  # all but one-hot
    if operation == "distill.topk":
        return {"easy": (easy,), "peaked": (8 * generator.standard_normal(shape),), "sure": (sure,)}
    pairs = {"easy": (easy, easy + noise), "near-equal": (easy, easy + 1e-3 * noise), "sure": (sure, sure + noise)}
    return {name: (x, *_likeliest(teacher)) for name, (x, teacher) in pairs.items()}


def _likeliest(x):
    """The log-probabilities of the TOP likeliest classes of each row, and their ids, in no order."""
    ids = np.argpartition(x, -TOP, axis=-1)[..., -TOP:]
    logsumexp = [np.logaddexp.reduce(row, dtype=np.float64) for row in x]
    return np.take_along_axis(x, ids, axis=-1) - np.expand_dims(logsumexp, -1), ids.astype(np.int64)
