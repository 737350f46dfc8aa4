"""Distillation losses of two arrays of logits: arguments in, kernels, and what the rows come down to."""

import math

import numpy as np

from klfast import _checks, _checks_distill, _kernels, _layout, _threads
from klfast._dispatch import run, safe_type
from klfast._total import add_up


class Rows:
    """Which rows count, and what becomes of their numbers: nothing, their sum, or their mean."""

    def __init__(self, shape, mask, reduction, scale):
        self.reduction = _checks.choice("reduction", reduction, ("none", "sum", "mean"))
        self.shape = shape
        self.mask = mask
        self.counted = _checks_distill.counted_rows(mask, shape)
        self.scale = scale  # what every number is multiplied by
        self.count = math.prod(shape) if self.counted is None else int(np.count_nonzero(self.counted))

    def factors(self, grad_output):
        """What the gradient of each row is multiplied by, in their shape."""
        shape = self.shape if self.reduction == "none" else ()
        given = _checks.gradients(grad_output, shape, None)
        whole = self.scaled(np.float64(1.0) if given is None else given.reshape(shape))
        return np.array(np.broadcast_to(whole, self.shape), order="C")

    def scaled(self, factors):
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return factors * self.scale / (np.float64(self.count) if self.reduction == "mean" else 1.0)

    def value(self, numbers):
        """What the numbers of the rows come down to; those that do not count are made 0."""
        if self.counted is not None:
            numbers[~self.counted] = 0.0
        if self.reduction != "none":
            return add_up(numbers, self.count if self.reduction == "mean" else 1.0, self.scale)
        with np.errstate(over="ignore", invalid="ignore"):
            return numbers[()] if self.scale == 1.0 else numbers[()] * self.scale

    def answer(self, wanted, numbers, gradient, return_count):
        """What a public function returns."""
        if wanted == "grad":
            return gradient
        parts = [self.value(numbers)]
        parts += [gradient] if wanted == "both" else []
        parts += [self.count] if return_count else []
        return parts[0] if len(parts) == 1 else tuple(parts)

    def included(self, chosen, axes, shape):
        """The entries of an array of that shape which count, as bools: those that are `chosen`, in the rows that count."""
        if self.counted is None:
            return chosen
        of_rows = np.broadcast_to(np.expand_dims(self.counted, axes), shape)
        return of_rows if chosen is None else of_rows & chosen


def scale_of(temperature, scale_by_t2):
    return temperature**2 if scale_by_t2 else 1.0


def arrays_in_use(inputs, chosen, rows, grad_output):
    """Every array that an output must not overlap, by its name."""
    named = {one.name: one.array for one in inputs}
    named |= {} if rows.mask is None else {"mask": np.asarray(rows.mask)}
    named |= {} if grad_output is None else {"grad_output": np.asarray(grad_output)}
    return named if chosen is None else named | {"the mask of a masked array": chosen}


def kl(
    teacher_logits,
    student_logits,
    *,
    wanted,
    temperature,
    direction,
    beta,
    scale_by_t2,
    mask,
    reduction,
    axis,
    n_threads,
    dtype,
    check,
    return_count=False,
    grad_output=None,
    out=None,
):
    """The loss, its gradient, or ("both") first the one, then the other."""
    inputs = _checks.inputs({"teacher_logits": teacher_logits, "student_logits": student_logits}, dtype)
    shape = inputs[0].array.shape
    axes = _checks.axes(axis, len(shape))
    _checks.choice("direction", direction, _checks_distill.DIRECTIONS)
    parameters = {"temperature": _checks.temperature(temperature), "beta": _checks.beta(beta)}
    rows = Rows(
        _layout.result_shape(shape, axes, False), mask, reduction, scale_of(parameters["temperature"], scale_by_t2)
    )
    operation = "logits_js_divergence" if direction == "jsd" else "logits_kl_divergence"
    order = -1 if direction == "reverse" else 1
    if mask is dtype is None and not check and _checks.is_plain(grad_output):
        both = (teacher_logits, student_logits)[::order]
        written = (None, _kernels.NEW_MEMORY if out is None else out)[::order]
        factor = np.float64(1.0 if grad_output is None else grad_output)
        more = () if wanted == "value" else (None, written, rows.scaled(factor))
        how = n_threads, _threads.resolve, parameters, safe_type(parameters)
        found = _kernels.quick(operation, both, axis, *how, *more)
        if found is not None:
            numbers, gradient = (found[0], found[1:][::order][1]) if more else (found, None)
            return rows.answer(wanted, numbers, gradient, return_count)
    chosen = _checks.included(None, inputs)
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    if check:
        for one in inputs:
            _checks.scores(one, rows.included(chosen, axes, shape))
    outputs, gradients = [], None
    if wanted != "value":
        gradients = rows.factors(grad_output).reshape(-1)
        in_use = arrays_in_use(inputs, chosen, rows, grad_output)
        outputs = _checks.outputs(out, inputs, ["student_logits"], in_use)
    numbers = np.zeros(rows.shape)
    run(
        operation,
        inputs[::order],
        chosen,
        axes,
        numbers,
        n_threads,
        parameters,
        outputs=outputs[::order],
        gradients=gradients,
        compute=safe_type(parameters),
        counted=rows.counted,
    )
    gradient = outputs[1] if outputs else None
    if gradient is not None and rows.counted is not None:
        kept = tuple(one for one in range(len(shape)) if one not in axes)
        gradient.transpose(kept + axes)[~rows.counted] = 0
    return rows.answer(wanted, numbers, gradient, return_count)
