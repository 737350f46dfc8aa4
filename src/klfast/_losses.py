"""Cross-entropy of logits with all its options, and the log-probabilities of tokens: arguments in, kernels, reduction."""

import functools
import math

import numpy as np

from klfast import _checks, _checks_labels, _layout, _threads
from klfast._dispatch import Labels, is_in_place, run, safe_type
from klfast._quick_losses import loss_parameters, quick_loss, quick_tokens, reduced, token_parameters, weights_beside

# How many target probabilities are weighted or smoothed at a time.
SLAB = 2**18


def cross_entropy(x, target, wanted, weight, options, reduction, base, out, *, keepdims=False, grad_output=None):
    """The loss, its gradient, or ("both") first the one, then the other.

    `options` are all other arguments of the public functions, in one dict: small calls would feel them one by one.
    """
    _checks.choice("reduction", reduction, ("none", "mean", "sum"))
    log_base = _checks.log_base(base)
    if not keepdims and _checks.is_plain(grad_output):
        found = quick_loss(x, target, wanted, out, grad_output, log_base, reduction, weight, options)
        if found is not None:
            return found
    loss = _Loss(x, target, weight, **options)
    shape = _layout.result_shape(loss.x.array.shape, loss.axes, keepdims)
    if reduction != "none":
        shape = (1,) * loss.x.array.ndim if keepdims else ()
    count = loss.count() if reduction == "mean" else 1.0
    gradients, outputs = None, []
    if wanted != "value":
        gradients = loss.gradients(grad_output, reduction, count, log_base)
        factor = {} if grad_output is None else {"grad_output": np.asarray(grad_output)}
        outputs = _checks.outputs(out, [loss.x], ["x"], loss.arrays() | factor)
    elif out is not None:
        _checks.output(out, shape, loss.arrays())
    in_place = out is not None and wanted == "value" and reduction == "none" and is_in_place(out)
    losses = loss.compute(gradients, outputs, out.reshape(loss.rows) if in_place else np.empty(loss.rows))
    if wanted == "grad":
        return outputs[0]
    value = np.reshape(reduced(losses, reduction, count, log_base), shape)[()]
    if wanted == "both":
        return value, outputs[0]
    if out is None:
        return value
    if not in_place or log_base is not None:
        out[...] = value
    return out


class _Loss:
    """Logits and targets, checked; computes the loss of every row."""

    def __init__(
        self,
        x,
        target,
        weight,
        *,
        axis,
        where,
        ignore_index,
        dtype,
        n_threads,
        check,
        **options,
    ):
        self.x = _checks.inputs({"x": x}, dtype)[0]
        self.parameters = loss_parameters(options)
        self.smoothing = self.parameters["smoothing"]
        self.ignored = _checks_labels.ignored(ignore_index)
        self.n_threads = _threads.resolve(n_threads, self.x.array.size)
        given = _checks.as_input("target", target)
        self.has_labels = given.array.dtype.kind in "iu" and not given.is_bfloat16
        if not self.has_labels:
            _checks_labels.target_probabilities(given, self.x)
            self.x, self.target = _checks.broadcast([self.x, given])
        shape = self.x.array.shape
        self.axes = _checks.single_axis(axis, len(shape))
        self.weight = _checks.class_weights(weight, shape[self.axes[0]])
        self.given_weight = None if weight is None else np.asarray(weight)
        self.chosen = _checks.included(where, [self.x] if self.has_labels else [self.x, self.target])
        self.rows = _layout.result_shape(shape, self.axes, False)
        if self.has_labels:
            self.target = given
            n_classes = shape[self.axes[0]]
            ids = given.array if given.masked is None else target
            found = _checks_labels.class_ids("target", ids, self.rows, n_classes, self.ignored)
            self.ids, are_classes, self.ignored = found
            self.all_count = self.ignored is None or (are_classes and not 0 <= self.ignored < n_classes)
            self.parameters["ignored"] = np.nan if self.ignored is None else self.ignored
        self.smooths_finite = self.parameters["smooths_finite"]
        self.parameters["smooths_finite"] &= self.has_labels
        if check:
            _checks.scores(self.x, self.chosen)
            if not self.has_labels:
                _checks.weights(self.target, self.chosen)

    def arrays(self):
        """Every array that an output must not overlap, by its name."""
        named = {"x": self.x.array, "target": self.target.array, "weight": self.given_weight}
        named = {name: array for name, array in named.items() if array is not None}
        return named if self.chosen is None else named | {"where": self.chosen}

    @functools.cached_property
    def counts(self):
        """Which rows count: those whose class id is not the ignored one."""
        return np.ones(self.rows, bool) if self.all_count else self.ids != self.ignored

    def count(self):
        """What the mean divides by."""
        if not self.has_labels or (self.all_count and self.weight is None):
            return float(math.prod(self.rows))
        return float(np.sum(self.counts if self.weight is None else self._label_weights()))

    def gradients(self, grad_output, reduction, count, log_base):
        """What the gradient of each row is multiplied by."""
        shape = self.rows if reduction == "none" else ()
        factors = _checks.gradients(grad_output, shape, log_base)
        if reduction == "none":
            return factors
        whole = 1.0 if factors is None else factors[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.full(math.prod(self.rows), np.float64(whole) / count)

    def compute(self, gradients, outputs, losses):
        """The loss of every row goes to `losses`, the gradient to `outputs`."""
        if self.has_labels:
            self._compute_labels(losses, gradients, outputs)
        elif self.weight is None and self.smoothing == 0:
            self._run(
                "soft_cross_entropy", [self.x, self.target], self.chosen, losses, gradients, outputs, self.parameters
            )
        else:
            self._compute_slabs(losses, gradients, outputs)
        return losses

    def _run(self, operation, inputs, chosen, losses, gradients, outputs, parameters, labels=None):
        outputs = [*outputs, None][: len(inputs)] if outputs else []
        run(
            f"logits_{operation}",
            inputs,
            chosen,
            self.axes,
            losses,
            self.n_threads,
            parameters,
            outputs=outputs,
            labels=labels,
            gradients=gradients,
            compute=safe_type(parameters),
        )

    # Class ids

    def _label_weights(self):
        """The weight of the class of every row; 0 where the row does not count."""
        if not self.weight.size:
            return np.zeros(self.rows)
        weights = np.take(self.weight, np.where(self.counts, self.ids, 0).astype(np.intp), mode="clip")
        return np.where(self.counts, weights, 0.0)

    def _compute_labels(self, losses, gradients, outputs):
        weights = None if self.weight is None else self._label_weights().reshape(-1)
        labels = Labels(np.ascontiguousarray(self.ids).reshape(-1, 1), weights)
        inputs, operation = [self.x], "cross_entropy"
        if self.smoothing > 0:
            inputs, operation = [self.x, self._spread_weights()], "smoothed_cross_entropy"
        self._run(operation, inputs, self.chosen, losses, gradients, outputs, self.parameters, labels)
        if 0 in self.x.array.shape:
            losses[~self.counts] = 0.0

    def _spread_weights(self):
        """The class weights beside the logits."""
        weights = np.ones(self.x.array.shape[self.axes[0]]) if self.weight is None else self.weight
        axis = self.axes[0]
        beside = weights_beside(weights, _layout.is_narrow(self.x)).reshape(
            (-1,) + (1,) * (self.x.array.ndim - 1 - axis)
        )
        return _checks.Input("weight", np.broadcast_to(beside, self.x.array.shape))

    # Target probabilities

    def _compute_slabs(self, losses, gradients, outputs):
        """Weighted or smoothed: a slab of targets at a time is made what it counts, and taken as it is."""
        axis = self.axes[0]
        parameters = self.parameters | {"is_raw": True, "smoothing": 0.0}
        factors = None if gradients is None else gradients.reshape(self.rows)
        for place in _layout.slabs(self.rows, self.x.array.size, SLAB):
            whole = (slice(None),) * (1 if axis == 0 else 0) + place  # of an axis other than that of the classes
            x = self.x._replace(array=self.x.array[whole], masked=None)
            target = self.target._replace(array=self.target.array[whole], masked=None)
            chosen = None if self.chosen is None else self.chosen[whole]
            counted = _checks.Input("target", self._counted_targets(x, target, chosen))
            part = np.empty(losses[place].shape)
            mine = None if factors is None else np.ascontiguousarray(factors[place]).reshape(-1)
            written = [output[whole] for output in outputs]
            self._run("soft_cross_entropy", [x, counted], chosen, part, mine, written, parameters)
            losses[place] = part

    def _counted_targets(self, x, target, chosen):
        """weight*((1 - eps)*t + eps/C) for the entries that count, 0 for the others; NaN for what is no probability."""
        axis = self.axes[0]

        def classes_last(array):
            # always the same layout, so that no sum depends on that of the input
            return np.ascontiguousarray(np.moveaxis(array, axis, -1))

        probabilities = classes_last(target.numbers()).astype(np.float64)
        included = np.ones(probabilities.shape, bool) if chosen is None else classes_last(chosen)
        probabilities[~included] = 0.0
        probabilities[~(probabilities >= 0.0)] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            if not self.parameters["is_raw"]:
                largest = np.max(probabilities, axis=-1, keepdims=True, initial=0.0)
                probabilities *= np.where(largest > 2.0**900, 2.0**-100, 1.0)  # or their sum would be infinite
                probabilities /= np.sum(probabilities, axis=-1, keepdims=True)
            if self.smoothing > 0:
                spread = included & (classes_last(x.numbers()) > -np.inf) if self.smooths_finite else included
                share = self.smoothing / np.sum(spread, axis=-1, keepdims=True)
                probabilities = (1.0 - self.smoothing) * probabilities + np.where(spread, share, 0.0)
            if self.weight is not None:
                probabilities *= self.weight
        return np.moveaxis(probabilities, -1, axis)


def token_logprobs(x, ids, options, base, out):
    """log softmax(x)[id] for one id a row, or for several."""
    if base is None:
        result = quick_tokens(x, ids, out, options)
        if result is not None:
            return result
    return _token_logprobs(x, ids, base, out, **options)


def _token_logprobs(x, ids, base, out, *, axis, where, temperature, softcap, ignore_index, dtype, n_threads, check):
    (logits,) = inputs = _checks.inputs({"x": x}, dtype)
    shape = logits.array.shape
    axes = _checks.single_axis(axis, len(shape))
    ignored = _checks_labels.ignored(ignore_index)
    array = np.asanyarray(ids)
    has_many = array.ndim == len(shape)
    rows = _layout.result_shape(shape, axes, False)
    wanted = (*shape[: axes[0]], array.shape[axes[0]], *shape[axes[0] + 1 :]) if has_many else rows
    array, _, ignored = _checks_labels.class_ids("ids", array, wanted, shape[axes[0]], ignored)
    chosen = _checks.included(where, inputs)
    if check:
        _checks.scores(logits, chosen)
    parameters = token_parameters({"temperature": temperature, "softcap": softcap})
    parameters["ignored"] = np.nan if ignored is None else ignored
    log_base = _checks.log_base(base)
    n_threads = _threads.resolve(n_threads, logits.array.size)
    if out is not None:
        named = {"x": logits.array, "ids": array}
        _checks.output(out, array.shape, named if chosen is None else named | {"where": chosen})
    last = np.ascontiguousarray(np.moveaxis(array, axes[0], -1) if has_many else array[..., None])
    results = np.empty(last.shape)
    if results.size:
        labels = Labels(last.reshape(-1, last.shape[-1]))
        run(
            "logits_token_logprobs",
            inputs,
            chosen,
            axes,
            results,
            n_threads,
            parameters,
            labels=labels,
            compute=safe_type(parameters),
        )
    if 0 in shape:
        results[last == ignored] = 0.0
    if log_base is not None:
        results /= log_base
    results = np.moveaxis(results, -1, axes[0]) if has_many else results[..., 0]
    if out is None:
        return np.ascontiguousarray(results) if results.ndim else results[()]
    out[...] = results
    return out
