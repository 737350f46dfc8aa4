"""What users pass to klfast.rlhf -> what it can rely on. Like `_checks`, it raises before any work."""

import math

import numpy as np

from klfast import _checks, _checks_distill

KINDS = ("k1", "k2", "k3", "abs")
REDUCTIONS = ("none", "token_mean", "sequence_mean", "sum")


def tokens(named, dtype, mask, lengths):
    """The log-probabilities, which of them count, the lengths of ragged sequences, and the shape that the tokens were given in.

    A single number is a sequence of one.
    """
    inputs = _checks.inputs(named, dtype)
    shape = inputs[0].array.shape
    chosen = _checks.included(mask, inputs, "mask")
    if inputs[0].array.ndim == 0:
        inputs = [one._replace(array=one.array.reshape(1)) for one in inputs]
        chosen = None if chosen is None else chosen.reshape(1)
    return inputs, chosen, None if lengths is None else _lengths(lengths, inputs[0]), shape


def _lengths(lengths, one):
    array = np.asarray(lengths)
    shape = one.array.shape
    if len(shape) != 1:
        raise ValueError(
            f"lengths: {one.name} has the shape {shape}, but sequences of any lengths lie in one dimension"
        )
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"lengths: dtype {array.dtype} is not an integer type")
    if array.ndim != 1:
        raise ValueError(f"lengths: shape {array.shape} has not one dimension")
    offends = np.flatnonzero(array < 0)
    if offends.size:
        raise ValueError(f"lengths[{offends[0]}]: {array[offends[0]]} is less than 0")
    total = (
        sum(map(int, array)) if array.dtype.itemsize == 8 and array.size and array.max() > 2**40 else int(array.sum())
    )
    if total != shape[0]:
        raise ValueError(f"lengths: they add up to {total}, but {one.name} has {shape[0]} tokens")
    return np.ascontiguousarray(array, np.int64)


def clip(value):
    """How far log-ratios may be from 0; inf for as far as they are."""
    if value is None:
        return math.inf
    number = _checks._number("clip", value)
    if not number > 0:
        raise ValueError(f"clip: {value} is not a positive number")
    return number


def positive(name, value):
    number = _checks.finite(name, value)
    if not number > 0:
        raise ValueError(f"{name}: {value} is not positive")
    return number


def coefficient(value):
    number = _checks.finite("beta", value)
    if number < 0:
        raise ValueError(f"beta: {value} is less than 0")
    return number


def steps(value):
    number = _checks._integer("n_steps", value)
    if number < 0:
        raise ValueError(f"n_steps: {number} is less than 0")
    if number > 2**63:
        raise ValueError(f"n_steps: {number} is more than anyone can have taken")
    return number


def scores(value, shape, dtype):
    """The score of every sequence; NaN where a masked array hides it."""
    given = _checks_distill.beside_logits("scores", value, dtype)
    if given.array.shape != shape:
        raise ValueError(f"scores: shape {given.array.shape} is not {shape}, one for each sequence")
    numbers = given.numbers().astype(np.float64)
    return numbers if given.masked is None else np.where(given.masked, np.nan, numbers)


def no_output(out, reduction):
    if out is not None:
        raise ValueError(f"out: reduction={reduction!r} returns one number, which needs no array")
