"""What distillation has to ask of its arguments besides what `_checks` does; the same rules hold here."""

import numpy as np

from klfast import _checks

DIRECTIONS = ("forward", "reverse", "jsd")
TAILS = ("bucket", "renormalize", "none", "uniform")


def counted_rows(mask, rows):
    """Which rows count, as bools of their shape; None if all do."""
    if mask is None:
        return None
    array = _checks.as_input("mask", mask).array
    if array.dtype != np.bool_:
        raise TypeError(f"mask: dtype {array.dtype} is not bool")
    try:
        return np.array(np.broadcast_to(array, rows), order="C")
    except ValueError as error:
        raise ValueError(
            f"mask: shape {array.shape} does not broadcast to {rows}, one for each distribution"
        ) from error


def top_count(k, n_classes):
    number = _checks._integer("k", k)
    if not 1 <= number <= n_classes:
        raise ValueError(f"k: {number} is not from 1 to {n_classes}, the number of classes")
    return number


def tail_direction(tail, direction):
    """What becomes of the classes that are not listed, and which divergence is meant."""
    _checks.choice("tail", tail, TAILS)
    _checks.choice("direction", direction, ("forward", "reverse"))
    if direction == "reverse" and tail in ("none", "uniform"):
        raise ValueError(f"direction: 'reverse' has no meaning for tail={tail!r}, which is forward only")


def beside_logits(name, value, dtype):
    """Numbers beside the logits, which need not be bfloat16 because those are: log-probabilities, scores."""
    is_of_bits = dtype is not None and getattr(value, "dtype", None) == np.uint16
    return _checks.as_input(name, value, dtype if is_of_bits else None)


def list_shapes(logprobs, ids, student):
    """Log-probabilities and class ids of one shape, (..., K), for logits of shape (..., V)."""
    shape = student.array.shape
    if not shape:
        raise ValueError(f"{student.name}: shape () has no axis along which the classes lie")
    for one in (logprobs, ids):
        if one.masked is not None:
            raise ValueError(f"{one.name}: is a masked array, but every entry of a list counts; give the others -inf")
    if ids.array.dtype.kind not in "iu" or ids.is_bfloat16:
        raise TypeError(f"{ids.name}: dtype {ids.dtype} is not an integer type; class ids are integers")
    if logprobs.array.shape[:-1] != shape[:-1] or logprobs.array.ndim != len(shape):
        raise ValueError(
            f"{logprobs.name}: shape {logprobs.array.shape} is not that of {student.name}, {shape}, but for the last axis"
        )
    if ids.array.shape != logprobs.array.shape:
        raise ValueError(f"{ids.name}: shape {ids.array.shape} is not {logprobs.array.shape}, that of {logprobs.name}")


def listed_classes(ids, student, counted):
    """Classes that there are, each once in its row; of rows that do not count, anything."""
    n_classes = student.array.shape[-1]
    array = ids.array
    if array.size == 0:
        return
    of_rows = np.True_ if counted is None else counted[..., None]
    if not (array.min() >= 0 and array.max() < n_classes):
        what = f"is outside 0 to {n_classes - 1}" if n_classes else "cannot be, for there is no class"
        offends = ((array < 0) | (array >= n_classes)) & of_rows
        _checks._first_offence(ids.name, array, offends, what, IndexError)
    ordered = np.sort(array, axis=-1)
    if np.any((ordered[..., 1:] == ordered[..., :-1]) & of_rows):
        order = np.argsort(array, axis=-1, kind="stable")
        ordered = np.take_along_axis(array, order, axis=-1)
        offends = np.zeros(array.shape, bool)
        np.put_along_axis(offends, order[..., 1:], ordered[..., 1:] == ordered[..., :-1], axis=-1)
        _checks._first_offence(ids.name, array, offends & of_rows, "is listed twice in its row")
