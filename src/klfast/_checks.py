"""What users pass -> what the rest can rely on, or an error that names the argument, the place and the value.

With the `_checks_*` modules of the uses, the only one that raises on user input. Everything here happens before any work is
done.
"""

import math
import operator
from typing import NamedTuple

import numpy as np

from klfast import _kernels, _layout


class Input(NamedTuple):
    """One argument, looked at: its numbers, and what is known about them."""

    name: str
    array: np.ndarray  # bfloat16 as the unsigned integers that hold its bits
    is_bfloat16: bool = False
    masked: np.ndarray | None = None  # True where a masked array hides an entry
    dtype: np.dtype | None = None  # what the argument called itself

    def numbers(self):
        """The array as numpy knows it: bfloat16 as float."""
        return _layout.widened(self.array) if self.is_bfloat16 else self.array


def inputs(named, dtype=None):
    """The arrays behind the arguments: real numbers of any layout, of one shape."""
    if dtype is not None and dtype != "bfloat16":
        raise ValueError(f"dtype: {dtype!r} is not 'bfloat16'")
    return broadcast([as_input(name, value, dtype) for name, value in named.items()])


# The types of plain arrays that are read as they are, in either byte order.
PLAIN = "efd?bBhHiIlLqQ"


def as_input(name, value, dtype=None):
    if type(value) is np.ndarray and dtype is None and value.dtype.char in PLAIN:
        return Input(name, value, False, None, value.dtype)  # all that follows, and small calls feel every step
    array = _as_array(name, value)
    masked = hidden(array)
    array = np.asarray(array)
    given = array.dtype
    is_bfloat16 = _layout.is_bfloat16(given)
    if dtype is not None and not is_bfloat16 and (array.dtype.kind, array.dtype.itemsize) != ("u", 2):
        raise ValueError(f"{name}: dtype {array.dtype} cannot be read as bfloat16; only uint16 can")
    if is_bfloat16:
        array = array.view(np.uint16)
    elif array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: dtype {array.dtype} is not one of float16, float32, float64, bfloat16, integer, bool")
    elif array.dtype.itemsize > 8:
        raise TypeError(
            f"{name}: dtype {array.dtype} has more digits than the results would keep; convert it to float64"
        )
    return Input(name, array, is_bfloat16 or dtype is not None, masked, given)


def hidden(array):
    """Where a masked array hides entries; None if it is none, or hides nothing."""
    if type(array) is np.ndarray:  # numpy.ma, slow to import, is for those who use it
        return None
    mask = np.ma.getmask(array)
    return None if mask is np.ma.nomask else mask


def _as_array(name, value):
    """numpy's view of the value, a masked array as it is."""
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asanyarray(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise ValueError(f"{name}: not an array: {error}") from error


def broadcast(arguments):
    """The inputs with views of one shape; the same objects where they have it already."""
    shapes = [one.array.shape for one in arguments]
    if shapes.count(shapes[0]) == len(shapes):
        return arguments
    try:
        shape = np.broadcast(*[one.array for one in arguments]).shape
    except ValueError as error:
        named = " and ".join(f"{one.name} {one.array.shape}" for one in arguments)
        raise ValueError(f"shapes do not broadcast: {named}") from error
    return [one if one.array.shape == shape else _stretched(one, shape) for one in arguments]


def _stretched(one, shape):
    masked = one.masked if one.masked is None else np.broadcast_to(one.masked, shape)
    return one._replace(array=np.broadcast_to(one.array, shape), masked=masked)


def included(where, arguments, name="where"):
    """The entries that count, as bools of the inputs' shape; None if all do."""
    shape = arguments[0].array.shape
    chosen = None
    if where is not None:
        where = np.asarray(_as_array(name, where))
        if where.dtype != np.bool_:
            raise TypeError(f"{name}: dtype {where.dtype} is not bool")
        try:
            chosen = where if where.shape == shape else np.broadcast_to(where, shape)
        except ValueError as error:
            raise ValueError(f"{name}: shape {where.shape} does not broadcast to {shape}") from error
    for one in arguments:
        if one.masked is not None:
            chosen = ~one.masked if chosen is None else chosen & ~one.masked
    return chosen


def axes(axis, n_dimensions):
    """The axes to reduce, as a sorted tuple of non-negative integers."""
    if type(axis) is int and -n_dimensions <= axis < n_dimensions:
        return (axis % n_dimensions,)
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


def order(name, value):
    """The order of a divergence: a number from 0 to infinity."""
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name}: {value} is less than 0")
    if math.isnan(number):
        raise ValueError(f"{name}: {value} is not a number from 0 to inf")
    return number


def _number(name, value):
    if type(value) is float:
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: {value!r} is not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name}: an integer beyond the range of float64") from error


# Far beyond these, the constants of exp(x/T) leave the range of numbers.
TEMPERATURES = 1e-15, 1e15


def temperature(value):
    """What logits are divided by."""
    number = _number("temperature", value)
    if not TEMPERATURES[0] <= number <= TEMPERATURES[1]:
        raise ValueError(f"temperature: {value} is not a number from {TEMPERATURES[0]} to {TEMPERATURES[1]}")
    return number


def beta(value):
    """The share of the first distribution in a mixture."""
    number = _number("beta", value)
    if not 0 < number < 1:
        raise ValueError(f"beta: {value} is not between 0 and 1; at these ends, ask for kl_divergence")
    return number


def fraction(name, value):
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: {value} is not a number from 0 to 1")
    return number


def finite(name, value):
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: {value} is not finite")
    return number


def softcap(value):
    """The cap of scores; 0 for none."""
    if value is None:
        return 0.0
    number = _number("softcap", value)
    if not 1e-100 <= number <= 1e100:
        raise ValueError(f"softcap: {value} is not a positive number within 1e-100 to 1e100")
    return number


def choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(map(repr, choices))}")
    return value


def thread_count(name, value):
    number = _integer(name, value)
    if number < 1:
        raise ValueError(f"{name}: {number} is less than 1")
    return min(number, 2**16)


def output(out, shape, inputs, dtype=np.float64):
    """`out` itself, if a result of that shape and type can be written into it. `inputs`: all arrays it must not touch."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: {type(out).__name__} is not a numpy array")
    if out.dtype != dtype:
        raise ValueError(f"out: dtype {out.dtype} is not {np.dtype(dtype)}, the type of the result")
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape} is not the result's shape {shape}")
    if not out.flags.writeable:
        raise ValueError("out: is read-only")
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out: overlaps {name} in memory")
    return out


def with_respect_to(wrt, names):
    """The names of the arguments whose gradients are wanted."""
    if len(names) == 1 and wrt is None:
        return names
    choice("wrt", wrt, (*names, "both"))
    return names if wrt == "both" else [wrt]


def outputs(out, inputs, names, named):
    """For every input the array that takes its results of its size, or None where `names` has it not.

    An output may be exactly an input: then it is overwritten.
    """
    given = places(out, names)
    results, earlier = [], {}
    for one in inputs:
        result = given.get(one.name)
        dtype = _layout.result_type(one)
        if result is _kernels.NEW_MEMORY:
            result = np.empty(one.array.shape, dtype)
        elif result is not None:
            same = [other.name for other in inputs if _is_same(result, other.array)]
            others = {name: array for name, array in named.items() if name not in same} | earlier
            # in place also in a foreign byte order
            is_own_type = getattr(result, "dtype", None) == one.dtype and one.dtype.newbyteorder("=") == dtype
            output(result, one.array.shape, others, one.dtype if is_own_type else dtype)
            earlier[f"the output for {one.name}"] = result
        results.append(result)
    return results


def places(out, names):
    """What was given as `out` for every name; NEW_MEMORY for nothing."""
    if out is None:
        return dict.fromkeys(names, _kernels.NEW_MEMORY)
    if len(names) == 1:
        out = (out,)
    elif not isinstance(out, tuple) or len(out) != len(names):
        raise TypeError(f"out: {type(out).__name__} is not a tuple of {len(names)} arrays, for {' and '.join(names)}")
    return {name: _kernels.NEW_MEMORY if one is None else one for name, one in zip(names, out)}


def _is_same(out, array):
    """Whether the one is the other, element by element."""
    if not isinstance(out, np.ndarray) or out.shape != array.shape or out.strides != array.strides:
        return False
    return out.__array_interface__["data"][0] == array.__array_interface__["data"][0]


def is_plain(grad_output):
    """Whether it is nothing that would have to be looked at: one number for all rows, or None for 1."""
    return grad_output is None or type(grad_output) in (float, np.float64)


def plain_factor(grad_output, log_base):
    """What the gradients of all rows are multiplied by, for a plain `grad_output`; None for 1."""
    if grad_output is None and log_base is None:
        return None
    return (1.0 if grad_output is None else float(grad_output)) / (1.0 if log_base is None else log_base)


def gradients(grad_output, shape, log_base):
    """What the gradient of each row is multiplied by, one number a row; None for 1."""
    if grad_output is None and log_base is None:
        return None
    given = as_input("grad_output", 1.0 if grad_output is None else grad_output)
    try:
        factors = np.broadcast_to(given.numbers(), shape)
    except ValueError as error:
        raise ValueError(f"grad_output: shape {given.array.shape} does not broadcast to {shape}") from error
    factors = np.ascontiguousarray(factors, np.float64).reshape(-1)
    if log_base is None and factors.flags.aligned:
        return factors
    return factors / (1.0 if log_base is None else log_base)


def class_weights(value, n_classes):
    """What each class counts: finite numbers that are not negative; None for all alike."""
    if value is None:
        return None
    given = as_input("weight", value)
    if given.array.shape != (n_classes,):
        raise ValueError(f"weight: shape {given.array.shape} is not ({n_classes},), one for each class")
    weights(given, None)
    return given.numbers().astype(np.float64)


def weights(argument, chosen):
    """check=True: no entry of a distribution may be negative, NaN or infinite, where it counts."""
    _entries(argument, chosen, lambda values: (values >= 0) & (values < np.inf), "is not a finite non-negative number")


def scores(argument, chosen):
    """check=True: no logit may be NaN or +inf, where it counts."""
    _entries(argument, chosen, lambda values: values < np.inf, "is no logit: NaN and +inf are not allowed")


def add_up(name, sums, tolerance):
    """check=True: the probabilities of every row must add up to 1."""
    offends = np.asarray(~(np.abs(sums - 1.0) <= tolerance))
    _first_offence(name, np.asarray(sums), offends, "is what the probabilities of this row add up to, and not 1")


def _entries(argument, chosen, is_right, what):
    values = argument.numbers()
    offends = ~is_right(values)
    _first_offence(argument.name, values, offends if chosen is None else offends & chosen, what)


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
