"""Estimators of KL from the log-probabilities of tokens, in plain NumPy."""

import numpy as np

from klfast._reference.logits import kl_divergence


def _tokens(logp, ref_logp, mask, lengths):
    """Rows of tokens (as lists, for they may be of different lengths): log-probabilities, and whether they count."""
    logp, ref_logp = np.broadcast_arrays(np.asarray(logp, np.float64), np.asarray(ref_logp, np.float64))
    counts = np.broadcast_to(True if mask is None else mask, logp.shape)
    if lengths is not None:
        ends = np.cumsum(lengths)
        cut = [slice(end - length, end) for end, length in zip(ends, lengths)]
        return [logp[one] for one in cut], [ref_logp[one] for one in cut], [counts[one] for one in cut]
    rows = (-1, logp.shape[-1] if logp.ndim else 1)
    return [list(array.reshape(rows)) for array in (logp, ref_logp, counts)]


def _estimates(logp, ref_logp, kind, clip, of_slope):
    with np.errstate(invalid="ignore", over="ignore"):
        r = ref_logp - logp
        held = r if clip is None else np.clip(r, -clip, clip)
        values = {"k1": -held, "k2": held**2 / 2, "k3": np.expm1(held) - held, "abs": np.abs(held)}[kind]
        slopes = {
            "k1": np.ones_like(r) + 0 * np.where(np.isnan(r), r, 0),
            "k2": -held,
            "k3": -np.expm1(held),
            "abs": -np.sign(held),
        }
        return (
            np.where((held == r) | np.isnan(r), slopes[kind], 0.0)
            if of_slope
            else np.where((held == np.inf) & (kind == "k3"), np.inf, values)
        )


def _rows(logp, ref_logp, kind, mask, lengths, clip, of_slope=False):
    """One array of numbers for each sequence, 0 where a token does not count; and how many do."""
    rows = [
        np.where(counts, _estimates(x, y, kind, clip, of_slope), 0.0)
        for x, y, counts in zip(*_tokens(logp, ref_logp, mask, lengths))
    ]
    return rows, [int(np.sum(counts)) for counts in _tokens(logp, ref_logp, mask, lengths)[2]]


def _shares(counts, reduction):
    """What a token of each sequence counts in the reduced value."""
    some = sum(count > 0 for count in counts)
    shares = {
        "none": [1.0 for _ in counts],
        "sum": [1.0 for _ in counts],
        "token_mean": [1 / sum(counts) if sum(counts) else np.nan for _ in counts],
        "sequence_mean": [1 / count / some if count else np.nan for count in counts],
    }
    return shares[reduction]


def _together(rows, logp, ref_logp):
    shape = np.broadcast_shapes(np.shape(logp), np.shape(ref_logp))
    return np.concatenate([*rows, np.zeros(0)]).reshape(shape)


def kl_estimate(logp, ref_logp, kind="k1", mask=None, *, lengths=None, reduction="none", clip=None, return_count=False):
    rows, counts = _rows(logp, ref_logp, kind, mask, lengths, clip)
    count = sum(count > 0 for count in counts) if reduction == "sequence_mean" else sum(counts)
    if reduction == "none":
        value = _together(rows, logp, ref_logp)[()]
    elif reduction == "sum":
        value = sum(np.sum(row) for row in rows)
    else:
        shares = _shares(counts, reduction)
        value = (
            sum(np.sum(row) * share for row, share, number in zip(rows, shares, counts) if number) if count else np.nan
        )
    return (value, count) if return_count else value


def kl_estimate_grad(
    logp, ref_logp, kind="k1", mask=None, *, lengths=None, reduction="none", clip=None, grad_output=None
):
    rows, counts = _rows(logp, ref_logp, kind, mask, lengths, clip, True)
    factor = 1.0 if grad_output is None else np.asarray(grad_output, np.float64)
    scaled = [row * share if count else row for row, share, count in zip(rows, _shares(counts, reduction), counts)]
    counted = np.concatenate([*_tokens(logp, ref_logp, mask, lengths)[2], np.zeros(0, bool)])
    gradient = _together(scaled, logp, ref_logp)
    return np.where(counted.reshape(gradient.shape), gradient * factor, 0.0)


def kl_penalty(logits, ref_logits, mask=None, *, axis=-1, temperature=1.0):
    values = kl_divergence(logits, ref_logits, axis=axis, temperature=temperature)
    return np.where(np.broadcast_to(True if mask is None else mask, np.shape(values)), values, 0.0)[()]


def shaped_rewards(scores, logp, ref_logp, beta, mask=None, kind="k1", *, lengths=None, clip=None):
    rows, numbers = _rows(logp, ref_logp, kind, mask, lengths, clip)
    rewards, means = [], []
    for row, counts, score, number in zip(rows, _tokens(logp, ref_logp, mask, lengths)[2], np.ravel(scores), numbers):
        reward = np.where(counts, -beta * row, 0.0)
        if number:
            reward[np.flatnonzero(counts)[-1]] += score
        rewards.append(reward)
        means.append(np.sum(row) / number if number else np.nan)
    return _together(rewards, logp, ref_logp), np.reshape(means, np.shape(scores))[()]


def importance_ratio_stats(logp, behaviour_logp, mask=None):
    logp, other = np.broadcast_arrays(np.asarray(logp, np.float64), np.asarray(behaviour_logp, np.float64))
    counts = np.broadcast_to(True if mask is None else mask, logp.shape)
    r = logp[counts] - other[counts]
    if not r.size:
        return (0, *[np.nan] * 6)
    w, relative = np.exp(r), np.exp(r - np.max(r))
    size = np.sum(relative) ** 2 / np.sum(relative**2)
    gaps = np.where(r == np.inf, np.inf, w - 1 - r)
    return r.size, np.mean(w), size, np.mean((w - 1) ** 2), np.mean(-r), np.mean(gaps), np.max(w)
