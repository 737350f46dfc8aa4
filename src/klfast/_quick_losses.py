"""Losses of contiguous logits and of targets beside them: the short way to the kernels; and what the long way needs as well."""

import math
from typing import NamedTuple

import numpy as np

from klfast import _checks, _kernels, _threads
from klfast._dispatch import safe_type
from klfast._total import add_up

# With more class ids than this, it counts how fast they are looked at, and no more what a call costs.
MANY = 2**12


def quick_loss(x, target, wanted, out, grad_output, log_base, reduction, weight, options):
    """What `cross_entropy` returns when nothing is out of the ordinary; None if something is."""
    if not _is_plain(options):
        return None
    if out is not None and (weight is not None or (wanted == "value" and reduction != "none")):
        return None
    parameters = loss_parameters(options)
    ignore_index = options["ignore_index"]
    asked = _quick_targets(x, target, weight, options["axis"], ignore_index, parameters)
    if asked is None:
        return None
    count = 1
    if reduction == "mean":
        count = _count(asked, ignore_index)
    if count == 0:
        return None
    if wanted == "value":
        losses = _quick(asked, parameters, options, out)
        return None if losses is None else reduced(losses, reduction, count, log_base)
    written = (_kernels.NEW_MEMORY if out is None else out,)
    factor = _checks.plain_factor(grad_output, log_base)
    factor = (1.0 if factor is None else factor) / count
    found = _quick(asked, parameters, options, None, written, factor)
    if found is None or wanted == "grad":
        return found if found is None else found[1]
    return reduced(found[0], reduction, count, log_base), found[1]


def _is_plain(options):
    """Whether all entries count and none has to be looked at first. Asked before anything is made of the arguments."""
    return options["where"] is options["dtype"] is None and not options["check"]


class _Asked(NamedTuple):
    """What the kernels are asked: see `_kernels.quick`."""

    operation: str
    arrays: tuple
    ids: np.ndarray | None = None
    label_weights: np.ndarray | None = None


def _count(asked, ignore_index):
    """What a mean divides by."""
    if asked.label_weights is not None:
        return float(np.sum(asked.label_weights))
    if asked.ids is None or ignore_index is None:
        return math.prod(asked.arrays[0].shape[:-1])
    return int(np.count_nonzero(asked.ids != ignore_index))


def _quick_targets(x, target, weight, axis, ignore_index, parameters):
    """Logits and what they are compared with, if they may go the short way; None if not."""
    if type(x) is not np.ndarray or not x.size or x.ndim == 0 or type(target) is not np.ndarray:
        return None
    if type(axis) is not int or axis not in (-1, x.ndim - 1):
        return None
    if target.dtype.kind == "f":
        if weight is not None or parameters["smoothing"] > 0 or target.shape != x.shape:
            return None
        parameters["smooths_finite"] = False
        return _Asked("logits_soft_cross_entropy", (x, target))
    if target.dtype.kind != "i" or target.size > MANY or not _is_usual(ignore_index):
        return None
    weights, of_rows = None, None
    if weight is not None:
        weights = _checks.class_weights(weight, x.shape[-1])
        counts = 1.0 if ignore_index is None else target != ignore_index
        of_rows = np.asarray(np.take(weights, target, mode="clip") * counts)
    if parameters["smoothing"] == 0:
        return _Asked("logits_cross_entropy", (x,), target, of_rows)
    beside = np.ones(x.shape[-1], x.dtype) if weights is None else weights_beside(weights, x.dtype.itemsize <= 4)
    return _Asked("logits_smoothed_cross_entropy", (x, beside), target, of_rows)


def _is_usual(ignore_index):
    """Whether it is an id that no class has, and a number that doubles have, or None."""
    return ignore_index is None or (type(ignore_index) is int and -(2**53) < ignore_index < 0)


def weights_beside(weights, is_narrow):
    """The weights of classes in a type that does not widen what is computed."""
    is_float = (weights == 0) | ((weights >= np.finfo(np.float32).tiny) & (weights <= np.finfo(np.float32).max))
    return weights.astype(np.float32) if is_narrow and np.all(is_float) else weights


def _quick(asked, parameters, options, out=None, written=None, factor=None):
    """What the kernels make of it when nothing is out of the ordinary; None if something is."""
    if asked.ids is not None:
        ignored = options["ignore_index"]
        parameters["ignored"] = np.nan if ignored is None else ignored
    how = options["n_threads"], _threads.resolve, parameters, safe_type(parameters)
    places = out, written, factor
    return _kernels.quick(asked.operation, asked.arrays, options["axis"], *how, *places, asked.ids, asked.label_weights)


def loss_parameters(options):
    """What the kernels of losses are told."""
    return {
        "temperature": _checks.temperature(options["temperature"]),
        "z_loss": _checks.finite("z_loss", options["z_loss"]),
        "softcap": _checks.softcap(options["softcap"]),
        "smoothing": _checks.fraction("label_smoothing", options["label_smoothing"]),
        "smooths_finite": _checks.choice("smooth_over", options["smooth_over"], ("all", "finite")) == "finite",
        "is_raw": not options["normalize"],
    }


def reduced(losses, reduction, count, log_base):
    """The losses of all rows, or what they come down to: `count` is 1 but for a mean."""
    if reduction != "none":
        losses = add_up(losses, count)
    if log_base is not None:
        losses /= log_base
    return losses


def quick_tokens(x, ids, out, options):
    """What `token_logprobs` returns when nothing is out of the ordinary; None if something is."""
    if not _is_plain(options) or type(ids) is not np.ndarray or ids.size > MANY:
        return None
    if not _is_usual(options["ignore_index"]):
        return None
    return _quick(_Asked("logits_token_logprobs", (x,), ids), token_parameters(options), options, out)


def token_parameters(options):
    return {
        "temperature": _checks.temperature(options["temperature"]),
        "softcap": _checks.softcap(options["softcap"]),
    }
