"""What users pass as targets of a loss: class ids, which of them do not count, or target probabilities."""

import numpy as np

from klfast import _checks

# What class ids of any integer type may be.
IDS = -(2**63), 2**64 - 1


def ignored(value):
    """The class id of rows that do not count, or None."""
    number = None if value is None else _checks._integer("ignore_index", value)
    if number is not None and not IDS[0] <= number <= IDS[1]:
        raise ValueError("ignore_index: needs more than the 64 bits that class ids may have")
    return number


# What class ids that a masked array hides become where the one to be ignored may be that of a class.
HIDDEN = -1


def class_ids(name, value, shape, n_classes, ignored):
    """`labels`, and which id is ignored; those that a masked array hides are, too."""
    array = _checks._as_array(name, value)
    hidden = _checks.hidden(array)
    array, are_classes = labels(name, array, shape, n_classes, ignored, hidden)
    if hidden is None:
        return array, are_classes, ignored
    if ignored is not None:
        hidden = hidden | (array == ignored)
    no_class = ignored if ignored is not None and ignored < 0 else HIDDEN
    return np.where(hidden, no_class, array.astype(np.int64)), False, no_class


def labels(name, target, shape, n_classes, ignored, hidden=None):
    """Class ids as they are, one for each place of `shape`; and whether each is that of a class."""
    array = np.asarray(target)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: dtype {array.dtype} is not an integer type; class ids are integers")
    if array.shape != shape:
        raise ValueError(f"{name}: shape {array.shape} is not {shape}, the shape of x without its class axis")
    if array.size and hidden is None and _are_below(n_classes, array):  # nearly always, and soon seen
        return array, True
    what = f"is outside 0 to {n_classes - 1}" if n_classes else "cannot be, for there is no class"
    offends = (array < 0) | (array >= n_classes)
    if ignored is not None:
        offends &= array != ignored
    if hidden is not None:
        offends &= ~hidden
    _checks._first_offence(name, array, offends, what, IndexError)
    return array, False


def _are_below(limit, array):
    """Whether no integer is negative or reaches `limit`. Taken for unsigned ones, negative numbers come after all others."""
    first_negative = 2 ** (8 * array.dtype.itemsize - 1)
    if array.dtype.isnative and array.dtype.kind == "i":
        return array.view(f"u{array.dtype.itemsize}").max() < min(limit, first_negative)
    return array.min() >= 0 and array.max() < limit


def target_probabilities(target, x):
    """Targets that are no integers: probabilities, one for each class."""
    if target.array.dtype.kind == "b":
        raise TypeError(
            f"target: dtype {target.array.dtype} is neither an integer type, for class ids, nor a floating one"
        )
    if target.array.ndim != x.array.ndim:
        raise TypeError(
            f"target: dtype {target.dtype} is not an integer type; class ids are integers, and probabilities have the "
            f"{x.array.ndim} dimensions of x, not {target.array.ndim}"
        )
