"""(operation, arrays, keywords) -> one compiled function, and its results in the shape that was asked for."""

import numpy as np

from klfast import _checks, _kernels, _layout, _threads

OPERATIONS = _kernels.OPERATIONS


def reduce(operation, inputs, *, axis, keepdims, base, out, n_threads, check=None, empty=np.nan):
    """One number for every distribution along `axis`.

    `inputs` names the arguments, in the operation's order; `check` is the function of _checks that looks at the values
    first; `empty` is the result where the axis has no elements.
    """
    if type(axis) is int and axis == -1 and not keepdims and base is out is n_threads is check is None:
        values = tuple(inputs.values())
        result = _kernels.quick(OPERATIONS[operation], values[0], values[-1], _threads.get_num_threads)
        if result is not None:
            return np.float64(result)
    arrays = [_checks.as_array(name, value) for name, value in inputs.items()]
    arrays = _checks.broadcast(inputs, arrays)
    axes = _checks.axes(axis, arrays[0].ndim)
    if check is not None:
        for name, array in zip(inputs, arrays, strict=True):
            check(name, array)

    def compute(arrays, results, n_threads):
        _kernels.reduce(OPERATIONS[operation], arrays[0], arrays[-1], results, n_threads)

    return _run(compute, inputs, arrays, axes, keepdims, base, out, n_threads, empty)


def reduce_labels(x, target, *, axis, keepdims, base, out, n_threads, check):
    """The cross-entropy of a class id for every row of logits along `axis`."""
    x = _checks.as_array("x", x)
    axes = _checks.single_axis(axis, x.ndim)
    labels = _checks.labels(target, _layout.result_shape(x.shape, axes, False), x.shape[axes[0]])
    if check:
        _checks.scores("x", x)
    remaining = np.ascontiguousarray(labels).reshape(-1)

    def compute(arrays, results, n_threads):
        nonlocal remaining
        _kernels.reduce_labels(arrays[0], remaining[: len(results)], results, n_threads)
        remaining = remaining[len(results) :]

    return _run(compute, {"x": x, "target": labels}, [x], axes, keepdims, base, out, n_threads, np.nan)


def _run(compute, inputs, arrays, axes, keepdims, base, out, n_threads, empty):
    """Check what is left to check, let `compute` fill in the results task by task, and hand them over."""
    shape = _layout.result_shape(arrays[0].shape, axes, keepdims)
    log_base = _checks.log_base(base)
    n_threads = _threads.resolve(n_threads)
    if out is not None:
        named = dict(zip(inputs, map(np.asarray, inputs.values()), strict=True))
        _checks.output(out, shape, named)
    in_place = out is not None and out.flags.c_contiguous and out.flags.aligned
    results = out if in_place else np.empty(shape)
    if 0 in (arrays[0].shape[axis] for axis in axes):
        results[...] = empty
    elif results.size:
        for views, rows in _layout.tasks(_layout.readable(arrays), axes, results):
            compute(views, rows, n_threads)
    if log_base is not None:
        results /= log_base
    if out is None:
        return results if shape else results[()]
    if not in_place:
        out[...] = results
    return out
