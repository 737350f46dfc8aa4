"""The twins of gradients by the scores: the derivative of each row's number, times `grad_output`.

In all of them a class of probability 0 gets 0, what `where` leaves out exactly 0, and so does a row that is ignored; a row
whose number is NaN gets NaN.
"""

import numpy as np

from klfast._reference import logits, losses
from klfast._reference.shared import in_base, times


def entropy_grad(x, *, axis=-1, where=None, temperature=1.0, base=None, grad_output=None):
    """-p*(log p + H)/temperature."""
    log_p = logits.log_probabilities(logits.as_scores(x, where), axis, temperature)
    value = logits.entropy(x, axis=axis, keepdims=True, where=where, temperature=temperature)
    return finished(-above_mean(log_p, log_p, -value) / temperature, value, axis, where, base, grad_output)


def kl_divergence_grad(x, y, *, wrt="x", axis=-1, where=None, temperature=1.0, base=None, grad_output=None):
    """By x: p*(log(p/q) - D)/temperature, NaN where D is infinite and x is not -inf. By y: (q - p)/temperature."""
    log_p, log_q = logits.pair(x, y, axis, where, temperature)
    value = logits.divergence(log_p, log_q, axis, True)
    with np.errstate(invalid="ignore"):
        by_x = above_mean(log_p, log_p - log_q, value)
    by_y = np.exp(log_q) - np.exp(log_p)
    gradients = [finished(gradient / temperature, value, axis, where, base, grad_output) for gradient in (by_x, by_y)]
    return chosen(wrt, gradients)


def js_divergence_grad(x, y, *, beta=0.5, wrt="x", axis=-1, where=None, temperature=1.0, base=None, grad_output=None):
    """By x: beta*p*(log(p/m) - D(p || m))/temperature. By y: the same of q, with 1 - beta."""
    log_p, log_q = logits.pair(x, y, axis, where, temperature)
    log_m = logits.log_mixture(log_p, log_q, beta)
    gradients = []
    for share, log_one in ((beta, log_p), (1.0 - beta, log_q)):
        value = logits.divergence(log_one, log_m, axis, True)
        with np.errstate(invalid="ignore"):
            gradient = share * above_mean(log_one, log_one - log_m, value) / temperature
        gradients.append(finished(gradient, value, axis, where, base, grad_output))
    return chosen(wrt, gradients)


def cross_entropy_grad(
    x,
    target,
    *,
    axis=-1,
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
    grad_output=None,
):
    """((sum b + 2*z_loss*lse)*p - b)/temperature with b and lse of `losses`, times 1 - tanh(x/softcap)^2 with a softcap."""
    rows = losses.read_rows(x, target, axis, where, normalize, ignore_index, weight, label_smoothing, smooth_over)
    value = losses.losses_of(rows, axis, temperature, z_loss, softcap)
    scores = losses.capped(rows.scores, softcap)
    p = np.exp(logits.log_probabilities(scores, axis, temperature))
    lse = logits.logsumexp(scores, axis=axis, keepdims=True, temperature=temperature)
    slope = 1.0
    if softcap is not None:
        with np.errstate(over="ignore"):
            slope = 1.0 / np.cosh(rows.scores / softcap) ** 2  # what 1 - tanh^2 is; 0 at an impossible class
    factor = np.sum(rows.coefficients, axis=axis, keepdims=True) + 2.0 * times(z_loss, lse)
    with np.errstate(invalid="ignore", divide="ignore"):
        gradient = (factor * p - rows.coefficients) * slope / temperature
        gradient = gradient / (rows.count if reduction == "mean" else 1.0)
    gradient = finished(gradient, value, axis, where, base, grad_output)
    return np.where(rows.ignored, 0.0, gradient)


def entropy_value_and_grad(x, *, axis=-1, where=None, temperature=1.0, base=None, grad_output=None):
    """The entropy and its gradient."""
    keywords = {"axis": axis, "where": where, "temperature": temperature, "base": base}
    return logits.entropy(x, **keywords), entropy_grad(x, **keywords, grad_output=grad_output)


def kl_divergence_value_and_grad(x, y, *, wrt="x", axis=-1, where=None, temperature=1.0, base=None, grad_output=None):
    """The divergence and its gradient or, with wrt="both", the pair of gradients."""
    keywords = {"axis": axis, "where": where, "temperature": temperature, "base": base}
    gradient = kl_divergence_grad(x, y, wrt=wrt, **keywords, grad_output=grad_output)
    return logits.kl_divergence(x, y, **keywords), gradient


def js_divergence_value_and_grad(
    x, y, *, beta=0.5, wrt="x", axis=-1, where=None, temperature=1.0, base=None, grad_output=None
):
    """The divergence and its gradient or, with wrt="both", the pair of gradients."""
    keywords = {"beta": beta, "axis": axis, "where": where, "temperature": temperature, "base": base}
    gradient = js_divergence_grad(x, y, wrt=wrt, **keywords, grad_output=grad_output)
    return logits.js_divergence(x, y, **keywords), gradient


def cross_entropy_value_and_grad(
    x,
    target,
    *,
    axis=-1,
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
    grad_output=None,
):
    """The loss and its gradient."""
    keywords = {
        "axis": axis,
        "where": where,
        "temperature": temperature,
        "normalize": normalize,
        "ignore_index": ignore_index,
        "weight": weight,
        "label_smoothing": label_smoothing,
        "smooth_over": smooth_over,
        "z_loss": z_loss,
        "softcap": softcap,
        "reduction": reduction,
        "base": base,
    }
    gradient = cross_entropy_grad(x, target, **keywords, grad_output=grad_output)
    return losses.cross_entropy(x, target, **keywords), gradient


def above_mean(log_p, numbers, mean):
    """p*(number - mean); 0 where p is 0. An infinite mean leaves nothing to say about classes that are possible."""
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        found = np.where(p == 0.0, 0.0, p * (numbers - mean))
    return np.where(np.isfinite(mean) | (log_p == -np.inf), found, np.nan)


def finished(gradient, value, axis, where, base, grad_output):
    """NaN for rows of NaN, times `grad_output` (which has the shape of the values), to that base, 0 where left out."""
    gradient = np.where(np.isnan(value), np.nan, gradient)
    if grad_output is not None:
        per_row = np.asarray(grad_output, dtype=np.float64)
        axes = tuple(range(gradient.ndim)) if axis is None else axis
        gradient = gradient * (np.expand_dims(per_row, axes) if per_row.ndim else per_row)
    gradient = in_base(gradient, base)
    return gradient if where is None else np.where(where, gradient, 0.0)


def chosen(wrt, gradients):
    return tuple(gradients) if wrt == "both" else gradients[("x", "y").index(wrt)]
