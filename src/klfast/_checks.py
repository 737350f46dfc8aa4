"""What users pass -> what the rest can rely on, or an error that names the argument, the place and the value.

The only module that raises on user input. Everything here happens before any work is done.
"""

import math
import operator

import numpy as np


def as_array(name, value):
    """The array behind `value`: real numbers of any layout."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: not an array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: dtype {array.dtype} is not one of float16, float32, float64, integer, bool")
    if array.dtype.itemsize > 8:
        raise TypeError(
            f"{name}: dtype {array.dtype} has more digits than the results would keep; convert it to float64"
        )
    return array


def broadcast(names, arrays):
    """The arrays as views of one shape; the same objects where they have it already."""
    if all(array.shape == arrays[0].shape for array in arrays):
        return arrays
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError as error:
        shapes = " and ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise ValueError(f"shapes do not broadcast: {shapes}") from error
    return [array if array.shape == shape else np.broadcast_to(array, shape) for array in arrays]


def axes(axis, n_dimensions):
    """The axes to reduce, as a sorted tuple of non-negative integers."""
    if axis is None:
        return tuple(range(n_dimensions))
    chosen = []
    for one in axis if isinstance(axis, tuple) else (axis,):
        number = _integer("axis", one)
        if not -n_dimensions <= number < n_dimensions:
            raise ValueError(f"axis: {number} is out of range for an array of {n_dimensions} dimensions")
        chosen.append(number % n_dimensions)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"axis: {axis} names an axis twice")
    return tuple(sorted(chosen))


def single_axis(axis, n_dimensions):
    if axis is None or isinstance(axis, tuple):
        raise ValueError(f"axis: {axis} is not one integer, but class ids lie along one axis")
    return axes(axis, n_dimensions)


def log_base(base):
    """What to divide nats by; None for nothing."""
    if base is None:
        return None
    if isinstance(base, bool) or not isinstance(base, (int, float, np.integer, np.floating)):
        raise TypeError(f"base: {base!r} is not a number")
    if not 0 < base < math.inf or base == 1:
        raise ValueError(f"base: {base!r} is not a positive number other than 1")
    return math.log(base)


def thread_count(name, value):
    number = _integer(name, value)
    if number < 1:
        raise ValueError(f"{name}: {number} is less than 1")
    return min(number, 2**16)


def output(out, shape, inputs):
    """`out` itself, if a result of that shape can be written into it."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: {type(out).__name__} is not a numpy array")
    if out.dtype != np.float64:
        raise ValueError(f"out: dtype {out.dtype} is not float64, the type of every result")
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape} is not the result's shape {shape}")
    if not out.flags.writeable:
        raise ValueError("out: is read-only")
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out: overlaps {name} in memory")
    return out


def weights(name, array):
    """check=True: no entry of a distribution may be negative, NaN or infinite."""
    _first_offence(name, array, ~((array >= 0) & (array < np.inf)), "is not a finite non-negative number")


def scores(name, array):
    """check=True: no logit may be NaN or +inf."""
    _first_offence(name, array, ~(array < np.inf), "is no logit: NaN and +inf are not allowed")


def labels(target, shape, n_classes):
    """Class ids as int64, one for each distribution."""
    array = np.asarray(target)
    if array.dtype.kind not in "iu":
        raise TypeError(f"target: dtype {array.dtype} is not an integer type; class ids are integers")
    if array.shape != shape:
        raise ValueError(f"target: shape {array.shape} is not {shape}, the shape of x without its class axis")
    what = f"is outside 0 to {n_classes - 1}" if n_classes else "cannot be, for there is no class"
    _first_offence("target", array, (array < 0) | (array >= n_classes), what, IndexError)
    return array.astype(np.int64, copy=False)


def _first_offence(name, array, offends, what, kind=ValueError):
    if not offends.any():
        return
    position = tuple(int(i) for i in np.unravel_index(np.argmax(offends), array.shape))
    where = f"[{', '.join(map(str, position))}]" if position else ""
    raise kind(f"{name}{where}: {array[position]} {what}")


def _integer(name, value):
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value!r} is not an integer")
    try:
        return operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name}: {value!r} is not an integer") from error
