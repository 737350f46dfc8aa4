"""The twins of the losses: what class ids and target probabilities cost, by the logits.

    loss = sum b_c*(lse - z_c) + z_loss*lse^2,    b_c = weight_c*((1 - label_smoothing)*t_c + label_smoothing/C)

with z the scores, capped and divided by the temperature, lse = log sum exp(z), t the target (1 for the class that a class
id names and 0 for the others), and C the number of classes. So class ids are but targets that are written in short.
"""

from typing import NamedTuple

import numpy as np

from klfast._reference.logits import as_scores, log_probabilities, logsumexp
from klfast._reference.shared import as_weights, in_base, times, total_of


def cross_entropy(
    x,
    target,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    normalize=True,
    ignore_index=-100,
    weight=None,
    label_smoothing=0.0,
    smooth_over="all",
    z_loss=0.0,
    softcap=None,
    reduction="none",
    base=None,
):
    """The loss of every row, or their sum or mean. A row whose class id is `ignore_index`, or hidden, costs 0."""
    rows = read_rows(x, target, axis, where, normalize, ignore_index, weight, label_smoothing, smooth_over)
    losses = losses_of(rows, axis, temperature, z_loss, softcap)
    if reduction == "none":
        losses = losses if keepdims else np.squeeze(losses, axis)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            losses = np.sum(losses, keepdims=keepdims) / (rows.count if reduction == "mean" else 1.0)
    return in_base(losses, base)


def token_logprobs(x, ids, *, axis=-1, where=None, temperature=1.0, softcap=None, ignore_index=-100, base=None):
    """log p[id] for one id a row, or for as many as `ids` has along `axis`; 0 for those that are `ignore_index`."""
    log_p = log_probabilities(capped(as_scores(x, where), softcap), axis, temperature)
    hidden = np.ma.getmaskarray(ids)
    ids = np.asarray(ids)
    several, hidden = (one if ids.ndim == log_p.ndim else np.expand_dims(one, axis) for one in (ids, hidden))
    # Those that are ignored pick a class of probability 1 that is put behind the others.
    places = np.where(is_ignored(several, ignore_index) | hidden, log_p.shape[axis], several.astype(np.int64))
    one_more = np.zeros(np.sum(log_p, axis=axis, keepdims=True).shape)
    picked = np.take_along_axis(np.concatenate([log_p, one_more], axis), places, axis)
    return in_base(picked if several is ids else np.squeeze(picked, axis), base)


class Rows(NamedTuple):
    """Scores and what they are held against. All but `count` have as many dimensions as the scores."""

    scores: np.ndarray  # -inf for classes that are left out
    coefficients: np.ndarray  # b of the formula
    ignored: np.ndarray  # True for rows that cost nothing
    count: np.ndarray  # what a mean divides by


def read_rows(x, target, axis, where, normalize, ignore_index, weight, label_smoothing, smooth_over):
    """What the loss is made of, except for the options that are about the scores."""
    hidden = np.ma.getmaskarray(target)
    target = np.asarray(target)
    if target.dtype.kind in "iu":
        scores = as_scores(x, where)
        ids = np.expand_dims(target, axis)
        ignored = is_ignored(ids, ignore_index) | np.expand_dims(hidden, axis)
        classes = along(np.arange(scores.shape[axis]), scores.ndim, axis)
        shares = np.where((classes == ids) & ~ignored, 1.0, 0.0)
        counts = ~ignored if weight is None else shares * weights_of(weight, scores, axis)
    else:
        scores, target = np.broadcast_arrays(as_scores(x, None), target)
        scores = as_scores(scores, where)
        (shares,) = as_weights(axis, where, normalize, target)
        counts = np.ones(np.sum(scores, axis=axis, keepdims=True).shape)
        ignored = np.zeros(counts.shape, bool)
    is_smoothed = np.broadcast_to(True if where is None else where, scores.shape)
    if smooth_over == "finite":
        is_smoothed = is_smoothed & (scores > -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):  # a row without classes is NaN anyhow
        smoothing = label_smoothing / np.sum(is_smoothed, axis=axis, keepdims=True)
    coefficients = (1.0 - label_smoothing) * shares + np.where(is_smoothed, smoothing, 0.0)
    if weight is not None:
        coefficients = times(coefficients, weights_of(weight, scores, axis))
    return Rows(scores, coefficients, ignored, np.sum(counts, dtype=np.float64))


def losses_of(rows, axis, temperature, z_loss, softcap):
    """One loss a row, the class axis kept with length 1."""
    scores = capped(rows.scores, softcap)
    costs = times(rows.coefficients, 0.0 - log_probabilities(scores, axis, temperature))
    with np.errstate(over="ignore"):
        penalty = times(z_loss, logsumexp(scores, axis=axis, keepdims=True, temperature=temperature) ** 2)
    return np.where(rows.ignored, 0.0, total_of(costs, axis, True, True) + penalty)


def capped(scores, softcap):
    """softcap*tanh(scores/softcap); an impossible class stays one."""
    if softcap is None:
        return scores
    return np.where(scores == -np.inf, -np.inf, softcap * np.tanh(scores / softcap))


def weights_of(weight, scores, axis):
    return along(np.asarray(weight, dtype=np.float64), scores.ndim, axis)


def along(vector, n_dimensions, axis):
    """A vector that lies along that axis of an array of so many dimensions."""
    return np.expand_dims(vector, tuple(one for one in range(n_dimensions) if one != axis % n_dimensions))


def is_ignored(ids, ignore_index):
    return np.zeros(ids.shape, bool) if ignore_index is None else ids == ignore_index
