"""(operation, arrays, keywords) -> one compiled function, and its results in the shape that was asked for."""

from typing import NamedTuple

import numpy as np

from klfast import _checks, _kernels, _layout, _terms, _threads

OPERATIONS, SHORT_ROW = _kernels.OPERATIONS, _kernels.SHORT_ROW
NO_PARAMETERS = {}


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
    parameters=NO_PARAMETERS,
):
    """One number for every distribution along `axis`.

    `named` holds the arguments in the operation's order; `check` is the function of _checks that looks at the values
    first; `empty` is the result where the axis has no elements; `compute` is the type to compute with, if it is not the
    inputs' own; `parameters` are what the operation is told besides.
    """
    log_base = None if base is None else _checks.log_base(base)  # plain calls feel every step
    compute = safe_type(parameters) if compute is None and parameters else compute
    if check is where is dtype is None and (out is None or not keepdims):
        result = _kernels.quick(operation, named.values(), axis, n_threads, _threads.resolve, parameters, compute, out)
        if result is not None:
            if log_base is not None:
                result /= log_base
            return result[..., np.newaxis] if keepdims else result
    inputs = _checks.inputs(named, dtype)
    axes = _checks.axes(axis, inputs[0].array.ndim)
    chosen = _checks.included(where, inputs)
    if check is not None:
        for one in inputs:
            check(one, chosen)
    shape = _layout.result_shape(inputs[0].array.shape, axes, keepdims)
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    if out is not None:
        _checks.output(out, shape, named_arrays(inputs, chosen))
    in_place = out is not None and is_in_place(out)
    results = out if in_place else np.empty(shape)
    run(operation, inputs, chosen, axes, results, n_threads, parameters, empty=empty, compute=compute)
    if log_base is not None:
        results /= log_base
    if out is None:
        return results if shape else results[()]
    if not in_place:
        out[...] = results
    return out


def is_in_place(out):
    """Whether the kernels can write results where the user wants them."""
    return out.flags.c_contiguous and out.flags.aligned


def reduce_weights(operation, named, axis, keepdims, where, base, out, n_threads, normalize, check, dtype):
    """`reduce` for probabilities or counts, normalised or as they are."""
    if not normalize:
        operation = f"raw_{operation}"
    check = _checks.weights if check else None
    empty = np.nan if normalize else 0.0
    return reduce(operation, named, axis, keepdims, where, base, out, n_threads, check, dtype, empty)


class Labels(NamedTuple):
    """Class ids of rows, in the order of the results: (rows, labels of a row); and what each row counts."""

    ids: np.ndarray
    weights: np.ndarray | None = None


def run(
    operation,
    inputs,
    chosen,
    axes,
    results,
    n_threads,
    parameters=NO_PARAMETERS,
    *,
    empty=np.nan,
    compute=None,
    outputs=(),
    labels=None,
    gradients=None,
    counted=None,
    excluded=None,
    left_out=None,
    kl=None,
):
    """Let the kernels fill in `results`, and `outputs` of the inputs' size, task by task. Everything is checked.

    `results` is C-contiguous; `gradients` holds what the gradient of each row is multiplied by. Where `counted` (bools of the
    shape of the results) is False, results and outputs may stay what they are. `excluded` are, for each row, places that are
    left out of it, as by a mask: (rows, places of a row), in order. `left_out`, doubles of the same shape, takes what stands
    there in a single input. `kl`, as many doubles as results, takes the KL of logits beside their Jensen-Shannon divergence,
    which is found from it; rows must be longer than SHORT_ROW.
    """
    shape = inputs[0].array.shape
    if 0 in (shape[axis] for axis in axes):
        results[...] = empty
    if not results.size or 0 in shape:
        return
    arrays, elements, own = _layout.readable(inputs)
    compute = own if compute is None else _kernels.COMPUTE[compute]
    written, output_elements = zip(*map(_layout.writable, outputs)) if outputs else ((), ())
    counted = None if counted is None else np.ascontiguousarray(counted).reshape(-1).view(np.uint8)
    done = 0
    for task in _layout.tasks(arrays, chosen, axes, results, written):
        more = {}
        if labels is not None:
            count = task.rows.size // labels.ids.shape[1]
            mine = slice(done, done + count)
            more["labels"] = labels.ids[mine]
            more["label_element"] = _kernels.ELEMENTS[labels.ids.dtype.str]
            more["label_weights"] = None if labels.weights is None else labels.weights[mine]
        else:
            count = task.rows.size
            mine = slice(done, done + count)
        if gradients is not None:
            more["gradients"] = gradients[mine]
        if counted is not None:
            more["counted"] = counted[mine]
        if excluded is not None:
            more["excluded"] = excluded[mine]
            more["left_out"] = None if left_out is None else left_out[mine]
        if kl is not None:
            more["kl"] = kl[mine]
        _kernels.reduce(
            OPERATIONS[operation],
            compute,
            task.shape,
            task.arrays,
            elements,
            task.mask,
            task.rows,
            n_threads,
            parameters,
            task.outputs,
            output_elements,
            **more,
        )
        done += count


def transform(
    operation,
    named,
    *,
    axis,
    where,
    out,
    n_threads,
    check,
    dtype,
    parameters,
    base=None,
    grad_output=None,
    wrt=None,
    with_value=False,
):
    """Results of the inputs' size: a softmax, or the gradient of the operation before `_grad`.

    `wrt` says with respect to which argument: one of their names, or "both". With `with_value`, the operation's own results
    come first.
    """
    names = _checks.with_respect_to(wrt, list(named))
    log_base = _checks.log_base(base)
    operation = f"logits_{operation.removesuffix('_grad')}"
    if where is dtype is None and not check and _checks.is_plain(grad_output):
        factor = _checks.plain_factor(grad_output, log_base)
        places = _checks.places(out, names)
        written = [places.get(name) for name in named]
        how = n_threads, _threads.resolve, parameters, safe_type(parameters)
        found = _kernels.quick(operation, named.values(), axis, *how, None, written, factor)
        if found is not None:
            return _transformed(np.asarray(found[0]), found[1:], log_base, wrt, with_value)
    inputs = _checks.inputs(named, dtype)
    axes = _checks.axes(axis, inputs[0].array.ndim)
    chosen = _checks.included(where, inputs)
    if check:
        for one in inputs:
            _checks.scores(one, chosen)
    shape = _layout.result_shape(inputs[0].array.shape, axes, False)
    gradients = _checks.gradients(grad_output, shape, log_base)
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    factor = {} if grad_output is None else {"grad_output": np.asarray(grad_output)}
    outputs = _checks.outputs(out, inputs, names, named_arrays(inputs, chosen) | factor)
    values = np.empty(shape)
    run(
        operation,
        inputs,
        chosen,
        axes,
        values,
        n_threads,
        parameters,
        outputs=outputs,
        gradients=gradients,
        compute=safe_type(parameters),
    )
    return _transformed(values, outputs, log_base, wrt, with_value)


def _transformed(values, outputs, log_base, wrt, with_value):
    """What `transform` returns."""
    written = tuple([array for array in outputs if array is not None])
    result = written if wrt == "both" else written[0]
    if not with_value:
        return result
    if log_base is not None:
        values /= log_base
    return values[()], result


def safe_type(parameters):
    """The type to compute with where floats would not do; None where they do."""
    temperature = parameters.get("temperature", 1.0)
    return None if 1e-4 <= temperature <= 1e4 and not parameters.get("softcap") else "float64"


# How many elements go through numpy's buffers at a time, where the kernels do not read and write an array themselves.
BUFFERED = 2**17


def each(operation, named, out, where, n_threads, dtype):
    """One number for every element (or pair of elements) of the inputs, in their common type."""
    if out is where is dtype is None:
        result = _kernels.quick_elementwise(operation, named.values(), n_threads, _threads.resolve)
        if result is not None:
            return result
    inputs = _checks.inputs(named, dtype)
    chosen = _checks.included(where, inputs)
    shape = inputs[0].array.shape
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    result_type, compute = _layout.common_type(inputs)
    if out is not None:
        _checks.output(out, shape, named_arrays(inputs, chosen), result_type)
    result = np.zeros(shape, result_type) if out is None else out
    if result.size and not _terms.each(operation, inputs, chosen, result, n_threads):
        for numbers, mask, target in _layout.chunks(inputs, chosen, result, compute, BUFFERED):
            _kernels.elementwise(_kernels.ELEMENTWISE[operation], numbers[0], numbers[-1], mask, target, n_threads)
    return result if out is not None or shape else result[()]


def named_arrays(inputs, chosen):
    """Every array that an output must not overlap, by its name."""
    named = {one.name: one.array for one in inputs}
    return named if chosen is None else named | {"where": chosen}
