"""(operation, arrays, keywords) -> one compiled function, and its results in the shape that was asked for."""

import numpy as np

from klfast import _checks, _kernels, _layout, _threads

OPERATIONS = _kernels.OPERATIONS


def reduce(
    operation,
    named,
    axis,
    keepdims,
    where=None,
    base=None,
    out=None,
    n_threads=None,
    check=None,
    dtype=None,
    empty=np.nan,
    compute=None,
    parameter=0.0,
):
    """One number for every distribution along `axis`.

    `named` holds the arguments in the operation's order; `check` is the function of _checks that looks at the values
    first; `empty` is the result where the axis has no elements; `compute` is the type to compute with, if it is not the
    inputs' own; `parameter` belongs to the operation.
    """
    if (
        type(axis) is int
        and axis == -1
        and not keepdims
        and base is out is n_threads is check is where is dtype is compute is None
    ):
        values = tuple(named.values())
        result = _kernels.quick(OPERATIONS[operation], values[0], values[-1], parameter, _threads.get_num_threads)
        if result is not None:
            return np.float64(result)
    inputs = _checks.inputs(named, dtype)
    axes = _checks.axes(axis, inputs[0].array.ndim)
    chosen = _checks.included(where, inputs)
    if check is not None:
        for one in inputs:
            check(one, chosen)
    return _run(operation, inputs, chosen, None, axes, keepdims, base, out, n_threads, empty, parameter, compute)


def reduce_weights(operation, named, axis, keepdims, where, base, out, n_threads, normalize, check, dtype):
    """`reduce` for probabilities or counts, normalised or as they are."""
    if not normalize:
        operation = f"raw_{operation}"
    check = _checks.weights if check else None
    empty = np.nan if normalize else 0.0
    return reduce(operation, named, axis, keepdims, where, base, out, n_threads, check, dtype, empty)


def reduce_labels(x, target, *, axis, keepdims, base, out, n_threads, check):
    """The cross-entropy of a class id for every row of logits along `axis`."""
    inputs = _checks.inputs({"x": x})
    shape = inputs[0].array.shape
    axes = _checks.single_axis(axis, len(shape))
    labels = _checks.labels(target, _layout.result_shape(shape, axes, False), shape[axes[0]])
    chosen = _checks.included(None, inputs)
    if check:
        _checks.scores(inputs[0], chosen)
    operation = "logits_cross_entropy"
    return _run(operation, inputs, chosen, labels.reshape(-1), axes, keepdims, base, out, n_threads, np.nan, 0.0, None)


def _run(operation, inputs, chosen, labels, axes, keepdims, base, out, n_threads, empty, parameter, wanted):
    """Check what is left to check, let the kernels fill in the results task by task, and hand them over."""
    shape = _layout.result_shape(inputs[0].array.shape, axes, keepdims)
    log_base = _checks.log_base(base)
    n_threads = _threads.resolve(n_threads)
    if out is not None:
        _checks.output(out, shape, _named(inputs, chosen))
    in_place = out is not None and out.flags.c_contiguous and out.flags.aligned
    results = out if in_place else np.empty(shape)
    if 0 in (inputs[0].array.shape[axis] for axis in axes):
        results[...] = empty
    elif results.size:
        arrays, elements, compute = _layout.readable(inputs)
        compute = compute if wanted is None else _kernels.COMPUTE[wanted]
        done = 0
        for views, mask, rows in _layout.tasks(arrays, chosen, axes, results):
            mine = None if labels is None else labels[done : done + rows.size]
            _kernels.reduce(OPERATIONS[operation], compute, views, elements, mask, mine, rows, n_threads, parameter)
            done += rows.size
    if log_base is not None:
        results /= log_base
    if out is None:
        return results if shape else results[()]
    if not in_place:
        out[...] = results
    return out


# How many elements go through a buffer at a time, where an array cannot be read or written as it is.
BUFFERED = 2**17


def each(operation, named, out, where, n_threads, dtype):
    """One number for every element (or pair of elements) of the inputs, in their common type."""
    inputs = _checks.inputs(named, dtype)
    chosen = _checks.included(where, inputs)
    n_threads = _threads.resolve(n_threads)
    shape = inputs[0].array.shape
    result_type, compute = _layout.common_type(inputs)
    if out is not None:
        _checks.output(out, shape, _named(inputs, chosen), result_type)
    result = np.zeros(shape, result_type) if out is None else out
    if result.size:
        for p, q, mask, target in _layout.chunks(inputs, chosen, result, compute, BUFFERED):
            _kernels.elementwise(_kernels.ELEMENTWISE[operation], p, q, mask, target, n_threads)
    return result if out is not None or shape else result[()]


def _named(inputs, chosen):
    """Every array that an output must not overlap, by its name."""
    named = {one.name: one.array for one in inputs}
    return named if chosen is None else named | {"where": chosen}
