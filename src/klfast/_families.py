"""Closed forms of KL: arguments in, kernels, and results in their shape. The formulas are in core/families.inc.h."""

import numpy as np

from klfast import _checks, _checks_families, _kernels, _layout, _threads
from klfast._dispatch import BUFFERED


def each(name, named, domains, out, check, n_threads):
    """One number for each place of the broadcast parameters; NaN where one of them is outside its domain."""
    if not check:
        result = _kernels.quick_family(name, named.values(), n_threads, _threads.resolve, out)
        if result is not None:
            return result
    inputs = _checks_families.parameters(named, domains, check)
    shape = inputs[0].array.shape
    n_threads = threads_for(n_threads, inputs)
    if out is not None:
        _checks.output(out, shape, {one.name: one.array for one in inputs})
    result = np.empty(shape) if out is None else out
    if result.size:
        for numbers, _, target in _layout.chunks(inputs, None, result, np.dtype(np.float64), BUFFERED):
            _kernels.family(_kernels.FAMILIES[name], numbers, target, n_threads)
    return result if out is not None or shape else result[()]


def dirichlet(named, axis, out, check, n_threads):
    """One number for each distribution, whose parameters, all positive, lie along an axis."""
    if not check:
        result = _kernels.quick_dirichlet(named.values(), axis, n_threads, _threads.resolve, out)
        if result is not None:
            return result
    inputs = _checks_families.parameters(named, [_checks_families.POSITIVE] * 2, check)
    whole = inputs[0].array.shape
    axis = _checks_families.component_axis(axis, len(whole))
    shape = _layout.result_shape(whole, (axis,), False)
    n_threads = threads_for(n_threads, inputs)
    if out is not None:
        _checks.output(out, shape, {one.name: one.array for one in inputs})
    results = np.full(shape, np.nan)
    if inputs[0].array.size:
        arrays, elements, _ = _layout.readable(inputs)
        for task in _layout.tasks(arrays, None, (axis,), results):
            _kernels.dirichlet(task.shape, task.arrays, elements, task.rows, n_threads)
    if out is None:
        return results if shape else results[()]
    out[...] = results
    return out


def threads_for(n_threads, inputs):
    """How many threads the call may use: fewer elements are worth waking them than of other functions."""
    return _threads.resolve(n_threads, _kernels.COST_OF_FAMILIES * inputs[0].array.size)
