"""Arrays and axes -> rows. Decides what the kernels read in place, and the one thing that is copied.

The kernels read float32 and float64 with any strides: a row whose elements lie apart is gathered block by block inside
them. So transposed, reversed, strided and broadcast arrays are never copied.

What is converted, as a whole: other types (float16 to float32; integers and bool to float64), a foreign byte order,
misaligned data, and one of two arrays of different types (to float64). What is copied, a slab at a time where there is an
outer axis: several reduced axes that no single stride describes.
"""

import math

import numpy as np


def readable(arrays):
    """The arrays in the one type that the kernels will read; the same objects where nothing has to be converted."""
    narrow = all(array.dtype.kind == "f" and array.dtype.itemsize <= 4 for array in arrays)
    dtype = np.dtype(np.float32 if narrow else np.float64)
    return [_converted(array, dtype) for array in arrays]


def _converted(array, dtype):
    if array.dtype == dtype and array.dtype.isnative and array.flags.aligned:
        return array
    # Only what is there is converted: an axis of stride 0 keeps its one element.
    index = tuple(
        slice(0, 1) if stride == 0 and size > 1 else slice(None) for stride, size in zip(array.strides, array.shape)
    )
    return np.broadcast_to(array[index].astype(dtype), array.shape)


def result_shape(shape, axes, keepdims):
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def tasks(arrays, axes, results):
    """Yield (views of the arrays as (rows, length), view of the results as (rows,)) until all rows are named.

    `results` is C-contiguous and holds one number a row, in the order of the axes that stay.
    """
    if axes == (arrays[0].ndim - 1,) and all(array.flags.c_contiguous for array in arrays):
        # by far the most common, and small calls feel every step below
        yield [array.reshape(-1, array.shape[-1]) for array in arrays], results.reshape(-1)
        return
    kept = [axis for axis in range(arrays[0].ndim) if axis not in axes]
    rows_shape = tuple(arrays[0].shape[axis] for axis in kept)
    length = math.prod(arrays[0].shape[axis] for axis in axes)
    moved = [array.transpose(*kept, *axes) for array in arrays]
    count = len(kept)
    while count > 0 and not all(_mergeable(array.shape, array.strides, 0, count) for array in moved):
        # The outermost axis is walked here; what is left of the axes inside it may be one stride.
        inner = _longest_tail(moved, count)
        outer = rows_shape[: count - inner]
        flat = results.reshape(outer + (-1,))
        for index in np.ndindex(outer):
            yield [_rows(array[index], inner, length) for array in moved], flat[index]
        return
    yield [_rows(array, count, length) for array in moved], results.reshape(-1)


def _longest_tail(arrays, count):
    """How many of the first `count` axes, counted from the last of them, are one stride in every array."""
    inner = 1
    while all(_mergeable(array.shape, array.strides, count - inner - 1, count) for array in arrays):
        inner += 1
    return inner


def _mergeable(shape, strides, begin, end):
    """Whether the axes from `begin` to `end` can be walked with one stride."""
    pairs = [(size, stride) for size, stride in zip(shape[begin:end], strides[begin:end]) if size != 1]
    return all(outer == size * inner for (_, outer), (size, inner) in zip(pairs, pairs[1:]))


def _one_stride(shape, strides):
    used = [stride for size, stride in zip(shape, strides) if size != 1]
    return used[-1] if used else 0


def _rows(array, kept, length):
    """A view of shape (rows, length): the first `kept` axes are the rows. The rest is copied if no stride describes it."""
    rows = math.prod(array.shape[:kept])
    if array.flags.c_contiguous:
        return array.reshape(rows, length)
    if not _mergeable(array.shape, array.strides, kept, array.ndim):
        return np.ascontiguousarray(array).reshape(rows, length)
    stride = _one_stride(array.shape[kept:], array.strides[kept:])
    row_stride = _one_stride(array.shape[:kept], array.strides[:kept])
    return np.lib.stride_tricks.as_strided(array, (rows, length), (row_stride, stride), writeable=False)
