"""Arrays and axes -> rows of rows. Decides what the kernels read, and the one thing that is copied.

The kernels read every type, byte order and stride: what they cannot take in place they gather block by block. So nothing
is converted here, and transposed, reversed, strided and broadcast arrays are never copied.

What is copied, a slab at a time where there is an outer axis: several reduced axes that no single stride describes.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from klfast import _kernels


def widened(bits):
    """bfloat16 -> float: the bits are the upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def readable(inputs):
    """The arrays, the numbers of their element types, and the type to compute with: float for halves and floats."""
    types = [_element_type(one.array.dtype, one.is_bfloat16) for one in inputs]
    compute = "float32" if all([narrow for _, narrow in types]) else "float64"
    return [one.array for one in inputs], [element for element, _ in types], _kernels.COMPUTE[compute]


@functools.cache
def _element_type(dtype, is_bfloat16):
    """The number of the element type, and whether it is computed as float. Kept: numpy takes long to name a type."""
    numbers = _kernels.BFLOAT16_ELEMENTS if is_bfloat16 else _kernels.ELEMENTS
    return numbers[dtype.str], is_bfloat16 or (dtype.kind == "f" and dtype.itemsize <= 4)


def is_bfloat16(dtype):
    """Whether it is ml_dtypes' type. The name comes last: numpy takes microseconds to make it up."""
    return dtype.itemsize == 2 and dtype.isbuiltin != 1 and dtype.name == "bfloat16"


def is_narrow(one):
    """Whether an input is computed as float."""
    return _element_type(one.array.dtype, one.is_bfloat16)[1]


def result_shape(shape, axes, keepdims):
    if keepdims:
        return tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])


class Task(NamedTuple):
    """One call of the kernels: every array with its three strides, and where the numbers of its rows go."""

    shape: tuple  # of all of them: (outer, rows, length)
    arrays: list
    mask: tuple | None
    outputs: list
    rows: np.ndarray


def tasks(arrays, mask, axes, results, outputs=()):
    """Yield a Task for all rows; there is one unless the axes that stay need more than two strides.

    `results` is C-contiguous and holds one number (or several) a row, in the order of the axes that stay. `outputs` have the
    shape of the arrays; None where one is not wanted.
    """
    wanted = [output for output in outputs if output is not None]
    everything = [*arrays, *wanted] if mask is None else [*arrays, *wanted, mask]
    shape = arrays[0].shape
    if axes == (len(shape) - 1,) and all([array.flags.c_contiguous for array in everything]):
        # by far the most common, and small calls feel every step below
        whole = (1, math.prod(shape[:-1]), shape[-1])
        laid = [(array, (0, whole[2] * array.itemsize, array.itemsize)) for array in everything]
        yield _task(whole, laid, arrays, mask, outputs, results.reshape(-1))
        return
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    moved = [array.transpose(*kept, *axes) for array in everything]
    length = math.prod(shape[axis] for axis in axes)
    # From the right: as many axes as one stride describes are the rows, as many of the rest the outer rows. The axes that
    # are then left are walked here.
    rows_begin = _longest_tail(moved, len(kept))
    outer_begin = _longest_tail(moved, rows_begin)
    looped, stays = moved[0].shape[:outer_begin], moved[0].shape[outer_begin : len(kept)]
    split = rows_begin - outer_begin
    whole = (math.prod(stays[:split]), math.prod(stays[split:]), length)
    flat = results.reshape((*looped, -1))
    for index in itertools.product(*map(range, looped)):
        # arrays, not numbers, even without dimensions
        pieces = [array[(*index, ...)] for array in moved] if index else moved
        laid = [_laid(piece, split, len(stays)) for piece in pieces]
        yield _task(whole, laid, arrays, mask, outputs, flat[index])
        for piece, (array, _) in zip(pieces[len(arrays) : len(arrays) + len(wanted)], laid[len(arrays) :]):
            if array is not piece:
                piece[...] = array


def _task(shape, laid, arrays, mask, outputs, rows):
    """The arrays, the outputs that are wanted, and the mask if there is one, told apart."""
    rest = iter(laid[len(arrays) :])
    filled = [None if output is None else next(rest) for output in outputs] if outputs else ()
    return Task(shape, laid[: len(arrays)], None if mask is None else laid[-1], filled, rows)


def _longest_tail(arrays, end):
    """Where the longest run of axes before `end` begins that is one stride in every array."""
    begin = end
    while begin > 0 and None not in [_one_stride(array, begin - 1, end) for array in arrays]:
        begin -= 1
    return begin


def _one_stride(array, begin, end):
    """The stride that walks the axes from `begin` to `end`; 0 if there is nothing to walk, None if one is not enough."""
    shape, strides = array.shape, array.strides
    if end == begin + 1:
        return strides[begin] if shape[begin] != 1 else 0
    stride, next_stride = 0, None
    for axis in range(end - 1, begin - 1, -1):
        if shape[axis] == 1:
            continue
        if next_stride is None:
            stride = strides[axis]
        elif strides[axis] != next_stride:
            return None
        next_stride = strides[axis] * shape[axis]
    return stride


def _laid(array, rows_begin, rows_end):
    """The array with one stride each for the outer axes, the rows and the reduced axes; a copy if these have no such stride."""
    stride = _one_stride(array, rows_end, array.ndim)
    if stride is None:
        array, stride = np.ascontiguousarray(array), array.itemsize
    return array, (_one_stride(array, 0, rows_begin), _one_stride(array, rows_begin, rows_end), stride)


def slabs(kept_shape, size, slab_size):
    """Indices that cut the first axis that is not reduced into pieces of about `slab_size` of `size` elements."""
    if not kept_shape:
        yield ()
        return
    step = max(1, slab_size * kept_shape[0] // max(1, size))
    for start in range(0, kept_shape[0], step):
        yield (slice(start, start + step),)


def result_type(one):
    """The type of results of an input's size: its own, in native byte order; of integers, float64."""
    if one.is_bfloat16:
        return one.dtype.newbyteorder("=")
    return one.array.dtype.newbyteorder("=") if one.array.dtype.kind == "f" else np.dtype(np.float64)


def writable(array):
    """An output as the kernels write it, and the number of its element type: (None, 0) for none."""
    if array is None:
        return None, 0
    if array.dtype.kind == "f" and not is_bfloat16(array.dtype):
        return array, _element_type(array.dtype, False)[0]
    bits = array if array.dtype.kind == "u" else array.view(np.uint16)  # which would lose a foreign byte order
    return bits, _kernels.BFLOAT16_ELEMENTS[bits.dtype.str]


# Functions of elements ----------------------------------------------------------------------------------------------


def common_type(inputs):
    """(the type of the results, the type to compute with): halves and floats are computed as float."""
    if all([one.is_bfloat16 for one in inputs]):
        return inputs[0].dtype.newbyteorder("="), np.dtype(np.float32)
    return _common_type(*[np.dtype(np.float32) if one.is_bfloat16 else one.array.dtype for one in inputs])


@functools.cache
def _common_type(*types):
    result = np.result_type(*[own if own.kind == "f" else np.dtype(np.float64) for own in types])
    return result.newbyteorder("="), np.result_type(result, np.float32)


def by_stride(arrays):
    """The arrays, with their axes in the order in which most of them lie in memory, neighbours last."""
    axes = range(arrays[0].ndim)
    steps = [sum([abs(array.strides[axis]) for array in arrays]) for axis in axes]
    order = sorted(axes, key=steps.__getitem__, reverse=True)
    return [array.transpose(order) for array in arrays]


def tail(arrays):
    """(the last axes, as many as one stride describes in every array; how many tasks there are where these are the rows)"""
    begin = _longest_tail(arrays, arrays[0].ndim)
    outer_begin = _longest_tail(arrays, _longest_tail(arrays, begin))
    return tuple(range(begin, arrays[0].ndim)), math.prod(arrays[0].shape[:outer_begin])


def chunks(inputs, mask, result, compute, size):
    """Yield contiguous pieces (numbers, mask, out) of all arrays, in the type to compute with, and write `out` back.

    numpy's iterator finds the order that suits all of them. What does not lie as the kernels want it goes through its
    buffers, `size` elements at a time; bfloat16, which it does not know, through two more.
    """
    brain_result = is_bfloat16(result.dtype) or result.dtype == np.uint16
    operands = [one.array for one in inputs] + ([] if mask is None else [mask])
    types = [np.dtype(np.uint16) if one.is_bfloat16 else compute for one in inputs]
    types += [] if mask is None else [np.dtype(np.bool_)]
    flags = [["readonly", "contig", "aligned", "nbo"]] * len(operands)
    flags += [["writeonly" if mask is None else "readwrite", "contig", "aligned", "nbo"]]
    iterator = np.nditer(
        [*operands, result.view(np.uint16) if brain_result else result],
        flags=["external_loop", "buffered", "grow_inner", "delay_bufalloc"],
        op_flags=flags,
        op_dtypes=[*types, np.dtype(np.uint16) if brain_result else compute],
        casting="unsafe",
        buffersize=size,
    )
    with iterator:
        iterator.reset()
        for pieces in iterator:
            numbers = [
                one._replace(array=piece).numbers().astype(compute, copy=False) for one, piece in zip(inputs, pieces)
            ]
            chosen = None if mask is None else pieces[len(inputs)].view(np.uint8)
            target = widened(pieces[-1]) if brain_result else pieces[-1]
            yield numbers, chosen, target
            if brain_result:
                np.copyto(pieces[-1], rounded(target), where=True if mask is None else pieces[len(inputs)])


def rounded(values):
    """float -> bfloat16, to the nearest, ties to even; NaN stays NaN."""
    bits = values.view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, nearest).astype(np.uint16)


def rounded_once(values):
    """double -> bfloat16, to the nearest: on the way through float, what is lost leaves its mark in the last bit."""
    with np.errstate(over="ignore"):
        narrow = np.asarray(values).astype(np.float32)
    bits = narrow.view(np.uint32)
    below = (bits - (np.abs(narrow) > np.abs(values))) | np.uint32(1)
    return rounded(np.where(narrow == values, bits, below).astype(np.uint32).view(np.float32))
