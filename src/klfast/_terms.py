"""Terms: one number for each element, added up along rows; and results of the inputs' size, in the same reading."""

import math

import numpy as np

from klfast import _kernels, _layout, _threads

# How many numbers a row has.
FIELDS = {
    **dict.fromkeys(("k1", "k2", "k3", "abs", "k1_grad", "k2_grad", "k3_grad", "abs_grad"), 3),
    "ratio_stats": 9,
    **dict.fromkeys(("gaussian", "gaussian_grad", "gaussian_pair"), 1),
}


def terms(
    operation, inputs, chosen, axes, n_threads, parameters=None, *, outputs=(), factors=None, factor=None, lengths=None
):
    """The numbers of every row, in the last axis of the result: see the operations in core/terms.h.

    Everything is checked. `axes` are added up along. `outputs` take the terms themselves (or derivatives), times the row's
    entry in `factors`, or times `factor`, doubles of the inputs' shape; 0 where `chosen` is False. With `lengths`, the inputs
    are vectors, and rows of these lengths lie in them one behind the other.
    """
    shape = inputs[0].array.shape
    fields = FIELDS[operation]
    kept = _layout.result_shape(shape, axes, False) if lengths is None else lengths.shape
    arrays, elements, compute = _layout.readable(inputs)
    written, output_elements = zip(*map(_layout.writable, outputs)) if outputs else ((), ())
    results = _of_nothing(operation, math.prod(kept))
    if 0 in shape or not results.size:
        return _in_order(operation, results.reshape((*kept, fields)))
    more = () if lengths is None else _pieces(lengths)
    done = 0
    scaled = arrays if factor is None else [*arrays, factor]
    for task in _layout.tasks(scaled, chosen, axes, results, written):
        count = len(results) if lengths is not None else task.shape[0] * task.shape[1]
        _kernels.terms(
            _kernels.TERMS[operation],
            compute,
            task.shape,
            task.arrays[: len(arrays)],
            elements,
            task.mask,
            task.outputs,
            output_elements,
            results[done : done + count],
            n_threads,
            {} if parameters is None else parameters,
            None if factors is None else factors[done : done + count],
            None if factor is None else task.arrays[-1],
            *more,
        )
        done += count
    return _in_order(operation, results.reshape((*kept, fields)))


# Elements that lie one stride apart, and elements of a call, from which on the kernels read them faster than numpy's iterator.
LEAST_ROW, LEAST_TASK = 32, 2**14


def each(operation, inputs, chosen, result, n_threads):
    """Writes one result for each element, where `chosen` is True; False, and nothing is written, where the arrays would come
    to too many small calls. Everything is checked.
    """
    if result.size < LEAST_TASK:
        return False
    arrays, elements, compute = _layout.readable(inputs)
    written, element = _layout.writable(result)
    given = [*arrays, written] if chosen is None else [*arrays, written, chosen]
    moved = _layout.by_stride(given)
    arrays, written, mask = moved[: len(arrays)], moved[len(arrays)], None if chosen is None else moved[-1]
    axes, count = _layout.tail(moved)
    kept = _layout.result_shape(written.shape, axes, False)
    if result.size < LEAST_ROW * math.prod(kept) or result.size < LEAST_TASK * count:
        return False
    nothing = np.empty((1, 1))  # no sums are wanted
    for task in _layout.tasks(arrays, mask, axes, np.empty((*kept, 0)), [written]):
        how = task.shape, task.arrays, elements, task.mask, task.outputs, (element,)
        _kernels.terms(_kernels.TERMS[operation], compute, *how, nothing, n_threads, {})
    return True


def quick_terms(operation, arrays, mask, n_threads, parameters, written=(), factor=None):
    """(the numbers of every row, the arrays that the terms went to) of contiguous arrays along their last axis; None if
    something is out of the ordinary: see `_kernels.quick_terms`.
    """
    first = arrays[0]
    if type(first) is not np.ndarray or not first.size or not first.ndim:
        return None
    kept = first.shape[:-1]
    results = _of_nothing(operation, math.prod(kept))
    how = n_threads, _threads.resolve, parameters
    found = _kernels.quick_terms(_kernels.TERMS[operation], arrays, mask, results, *how, written, factor)
    return None if found is None else (results.reshape((*kept, FIELDS[operation])), found)


def _of_nothing(operation, count):
    """The numbers of rows without any element."""
    results = np.zeros((count, FIELDS[operation]))
    if operation == "ratio_stats":
        results[:, -4:] = -np.inf, -np.inf, 0.0, -1.0
    elif not operation.startswith("gaussian"):
        results[:, -1] = -1.0
    return results


def _in_order(operation, table):
    """For the ratios the count comes first, and what nobody asks for is left out."""
    if operation != "ratio_stats":
        return table
    count, sums, squares, weights, largest = (
        table[..., 7:8],
        table[..., :3],
        table[..., 3:4],
        table[..., 4:5],
        table[..., 5:7],
    )
    return np.concatenate([count, sums, weights, squares, largest[..., 1:], largest[..., :1]], axis=-1)


def _pieces(lengths):
    """Where rows begin, and the pieces that they are shared out in: a part of a long row, or several short rows."""
    offsets = np.zeros(len(lengths) + 1, np.intp)
    np.cumsum(lengths, out=offsets[1:])
    is_long = lengths > _kernels.PIECE
    block = offsets[:-1] // _kernels.BLOCK
    begins = np.ones(len(lengths), bool)
    begins[1:] = (block[1:] != block[:-1]) | is_long[1:] | is_long[:-1]
    rows = np.flatnonzero(begins)
    counts = np.where(is_long[rows], -(-lengths[rows] // _kernels.PIECE), 1)
    firsts = np.cumsum(counts) - counts
    starts = (np.arange(counts.sum()) - np.repeat(firsts, counts)) * _kernels.PIECE
    return offsets, np.repeat(rows, counts).astype(np.intp), starts.astype(np.intp)
