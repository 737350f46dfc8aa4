"""Distillation from lists: of every row of the teacher, the log-probabilities of some classes. One sweep for the others.

What is listed, and all other classes as one, make a small problem of its own, whose logits are those of the listed classes
and the logsumexp of the others. A gradient of it is one of the student's logits: that of all others is shared out among
them by their softmax. For that a slab of rows is read again.
"""

import math
import warnings

import numpy as np

from klfast import _checks, _checks_distill, _layout, _threads, logits
from klfast._dispatch import Labels, run, safe_type
from klfast._distill import Rows, arrays_in_use, scale_of

# Rows are taken so many at a time that they list LISTED classes. With fewer, what is done once for each slab takes longer than
# its logits when there are many threads; with more, the logits of listed classes have left the cache when they are gathered.
# But never fewer than have SLAB logits, nor more than have LARGEST_SLAB: masks of a slab are inverted.
LISTED = 2**16
SLAB = 2**20
LARGEST_SLAB = 2**24

# How far a given log-probability, or the probability that it is the logarithm of, may be from the exact one, relative to it: of
# halves one rounding; of others what comes out of a softmax.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-22, "float64": 2.0**-50}


def topk_kl(teacher_logprobs, teacher_ids, student_logits, *, wanted, return_count=False, grad_output=None, **options):
    """The loss, its gradient, or ("both") first the one, then the other."""
    out = options.pop("out", None)
    lists = _Lists(teacher_logprobs, teacher_ids, student_logits, **options)
    gradient = factors = None
    if wanted != "value":
        factors = lists.rows.factors(grad_output)
        in_use = arrays_in_use([lists.student, *lists.given], lists.chosen, lists.rows, grad_output)
        gradient = _checks.outputs(out, [lists.student], ["student_logits"], in_use)[0]
    lists.warn_of_nothing()
    # Whatever is listed: it is NaN or inf in the result.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        numbers = lists.compute(factors, gradient, wanted != "grad")
        return lists.rows.answer(wanted, numbers, gradient, return_count)


class _Lists:
    """A teacher's lists and a student's logits, checked; computes the divergence of every row."""

    def __init__(
        self,
        teacher_logprobs,
        teacher_ids,
        student_logits,
        *,
        tail,
        direction,
        temperature,
        scale_by_t2,
        mask,
        reduction,
        n_threads,
        dtype,
        check,
    ):
        (self.student,) = _checks.inputs({"student_logits": student_logits}, dtype)
        listed = _checks_distill.beside_logits("teacher_logprobs", teacher_logprobs, dtype)
        ids = _checks.as_input("teacher_ids", teacher_ids)
        self.given = [listed, ids]
        self.rounding = _rounding_of(listed)
        _checks_distill.tail_direction(tail, direction)
        self.tail, self.is_reverse = tail, direction == "reverse"
        self.temperature = _checks.temperature(temperature)
        _checks_distill.list_shapes(listed, ids, self.student)
        scale = scale_of(self.temperature, scale_by_t2)
        self.rows = Rows(self.student.array.shape[:-1], mask, reduction, scale)
        self.n_threads = _threads.resolve(n_threads)
        self.chosen = _checks.included(None, [self.student])
        _checks_distill.listed_classes(ids, self.student, self.rows.counted)
        self.n_listed = ids.array.shape[-1]
        if check:
            axes, counted = (len(self.rows.shape),), self.rows.included
            _checks.scores(listed, counted(None, axes, listed.array.shape))
            _checks.scores(self.student, counted(self.chosen, axes, self.student.array.shape))

    def warn_of_nothing(self):
        if self.tail == "renormalize" and self.n_listed == 1:
            warnings.warn(
                "one renormalized class has probability 1 on both sides: the divergence is always 0; "
                "tail='bucket' compares it with all others",
                UserWarning,
                stacklevel=4,
            )

    def compute(self, factors, gradient, wants_value):
        """The divergence of every row; the gradient, times `factors`, goes to `gradient`."""
        shape = self.student.array.shape
        numbers = np.full(self.rows.shape, np.nan)
        if 0 in shape:
            return numbers
        for place in _row_slabs(self.rows.shape, shape[-1], self._slab_size(gradient)):
            slab = _Slab(self, place)
            output = None if gradient is None else gradient[place]
            mine = None if factors is None else np.ascontiguousarray(factors[place]).reshape(-1)
            compute = slab.listed_alone if self.tail == "none" else slab.outcomes
            found = compute(mine, output, wants_value)
            numbers[place] = found.reshape(numbers[place].shape)
            if output is not None:
                slab.finish(output, found)
        return numbers

    def _slab_size(self, gradient):
        """How many logits are taken at a time."""
        if gradient is not None and self.tail == "uniform" and gradient.dtype.itemsize <= 2:
            return SLAB  # which is laid out as float32
        rows = LISTED // max(1, self.n_listed)
        return max(SLAB, min(LARGEST_SLAB, rows * self.student.array.shape[-1]))


def _row_slabs(shape, length, size):
    """Indices that cut the rows, in their order, into pieces of about `size` elements, none of which is copied."""
    if not shape:
        yield ()
        return
    cut = 0
    while cut < len(shape) - 1 and math.prod(shape[cut + 1 :]) * length > size:
        cut += 1
    step = max(1, size // (math.prod(shape[cut + 1 :]) * length))
    for index in np.ndindex(shape[:cut]):
        for start in range(0, shape[cut], step):
            yield (*index, slice(start, start + step))


class _Slab:
    """Some rows of a `_Lists`. Arrays of rows and listed classes have two dimensions here."""

    def __init__(self, lists, place):
        self.lists = lists
        self.temperature = lists.temperature
        self.student = lists.student._replace(array=lists.student.array[place], masked=None)
        self.chosen = None if lists.chosen is None else lists.chosen[place]
        self.counted = None if lists.rows.counted is None else lists.rows.counted[place]
        shape = self.student.array.shape
        self.axes = (len(shape) - 1,)
        listed, ids = (one._replace(array=one.array[place]) for one in lists.given)
        flat = (math.prod(shape[:-1]), lists.n_listed)
        ids = ids.array.astype(np.intp, order="C").reshape(flat)
        # Sorted by class, as the kernels want them, and so that no sum depends on the order of the list or on its layout.
        order = np.argsort(ids, axis=-1)
        self.ids = np.take_along_axis(ids, order, axis=-1)
        self.logprobs = np.take_along_axis(listed.numbers().astype(np.float64).reshape(flat), order, axis=-1)
        self.logprobs[~(self.logprobs < np.inf)] = np.nan
        # Rows that do not count may list anything.
        self.skipped = None if self.counted is None else ~self.counted.reshape(-1)
        if self.skipped is not None:
            self.ids[self.skipped] = np.minimum(np.arange(lists.n_listed), shape[-1] - 1)
            self.logprobs[self.skipped] = 0.0
        self.places = self.ids.reshape(*shape[:-1], lists.n_listed)

    def run(self, operation, inputs, results, ids=None, **more):
        parameters = {"temperature": self.temperature} | more.pop("parameters", {})
        lists = self.lists
        run(
            f"logits_{operation}",
            inputs,
            self.chosen,
            self.axes,
            results,
            lists.n_threads,
            parameters,
            compute=safe_type(parameters),
            counted=self.counted,
            excluded=ids if lists.n_listed else None,
            **more,
        )
        return results

    def empty(self, width=None):
        return np.zeros(len(self.ids) if width is None else (len(self.ids), width))

    # All other classes as one, evenly filled or not, or as if they were not there

    def outcomes(self, factors, output, wants_value):
        """The divergences of the listed classes and, unless they are renormalised, of all others as one outcome."""
        with_others = self.lists.tail != "renormalize" and self.student.array.shape[-1] > self.lists.n_listed
        teacher = self.logprobs
        student, rest = self._set_apart(with_others)
        if with_others:
            others = self._count_others()
            tail = _tail_mass(teacher)
            tail[np.broadcast_to(others == 0, tail.shape)] = 0.0  # what is missing can be nowhere
            ruled_out = rest == -np.inf
            if np.any(ruled_out):
                tail[ruled_out] = _beyond_rounding(tail[ruled_out], teacher[ruled_out], self.lists.rounding)
            if self.skipped is not None:
                rest[self.skipped] = 0.0
            with np.errstate(divide="ignore"):
                teacher = np.column_stack([teacher, np.log(tail)])
            student = np.column_stack([student, rest * self.temperature])
        even = None
        if with_others and self.lists.tail == "uniform" and wants_value:
            even = self._from_even()  # before the gradient is written, perhaps over the logits
        # The student's logits are divided by the temperature as part of the divergence, where it rounds nothing.
        pair = [teacher * self.temperature, student]
        options = {"temperature": self.temperature, "n_threads": self.lists.n_threads}
        reverse = self.lists.is_reverse
        if output is None:
            values = logits.kl_divergence(*(pair[::-1] if reverse else pair), **options)
        else:
            values, slopes = logits.kl_divergence_value_and_grad(
                *(pair[::-1] if reverse else pair), wrt="x" if reverse else "y", grad_output=factors, **options
            )
            if not with_others:
                output[...] = 0
            elif self.lists.tail == "uniform":
                self._write_towards_even(output, rest, slopes[:, -1], tail * factors / self.temperature, others)
            else:
                self._write_shares(output, rest, slopes[:, -1])
            self._write_listed(output, slopes[:, : self.lists.n_listed])
        return values if even is None else self._with_even(values, tail, even)

    def _set_apart(self, with_others):
        """The student's listed logits and, from the same sweep, the logsumexp of all others."""
        listed, rest = self.empty(self.lists.n_listed), self.empty()
        if with_others:
            self.run("logsumexp", [self.student], rest, self.ids, left_out=listed)
        else:
            taken = np.take_along_axis(self.student.array, self.places, axis=-1)
            listed[...] = self.student._replace(array=taken).numbers().reshape(listed.shape)
        if self.chosen is not None:
            hidden = ~np.take_along_axis(self.chosen, self.places, axis=-1)
            listed[hidden.reshape(listed.shape)] = -np.inf
        if self.skipped is not None:
            listed[self.skipped] = 0.0
        return listed, rest

    def _count_others(self):
        """How many classes are not listed, for each row or for all."""
        if self.chosen is None:
            return np.int64(self.student.array.shape[-1] - self.lists.n_listed)
        listed = np.take_along_axis(self.chosen, self.places, axis=-1)
        return (np.sum(self.chosen, axis=-1) - np.sum(listed, axis=-1)).reshape(-1)

    def _from_even(self):
        """KL of the same probability for all other classes against those that the student has among them."""
        shape = self.student.array.shape
        row = np.zeros(shape[-1], self.student.array.dtype)  # one that is read as it lies, again and again
        even = self.student._replace(name="even", array=np.broadcast_to(row, shape))
        return self.run("kl_divergence", [even, self.student], self.empty(), self.ids)

    @staticmethod
    def _with_even(values, tail, even):
        """The divergence of the outcomes, and that within the tail; where a side has no tail, there is nothing to add."""
        adds = (tail > 0.0) & (values < np.inf)
        return values + np.where(adds, tail, 0.0) * np.where(adds, even, 0.0)

    def _write_shares(self, output, rest, slopes):
        """Every other class: its share of them, times the slope of them all."""
        rows, no_number = output.shape[:-1], np.isnan(slopes)
        factors = np.where(no_number, 1.0, slopes)
        # Looked at before they may be written over, as shares tell less: many a one is rounded to 0.
        unknown = no_number.reshape(rows)
        impossible = self.student._replace(array=self.student.array[unknown]).numbers() == -np.inf
        self.run("softmax", [self.student], self.empty(), self.ids, outputs=[output], gradients=factors)
        output[unknown] = _as_type(np.where(impossible, 0.0, np.nan), output)
        output[(rest == -np.inf).reshape(rows)] = 0  # where no other class is possible, none has a share

    def _write_towards_even(self, output, rest, slopes, even, others):
        """Every other class: its probability less that of an even share of the teacher's tail."""
        rows = output.shape[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(others > 0, even / others, 0.0).reshape(*rows, 1)
        # Halves are rounded when all is done.
        part = output if output.dtype.itemsize > 2 else np.zeros(output.shape, np.float32)
        mass = slopes + even  # of slopes q - p, q
        self.run("softmax", [self.student], self.empty(), self.ids, outputs=[part], gradients=mass)
        part[(rest == -np.inf).reshape(rows)] = 0
        with np.errstate(invalid="ignore"):  # rows that do not count may be anything yet
            np.subtract(part, each, out=part, casting="same_kind")
        if part is not output:
            output[...] = _as_type(part, output)

    # Listed classes alone, by the probabilities that they have among all

    def listed_alone(self, factors, output, wants_value):
        """sum p*(log p - log q) over the listed classes."""
        labels, ignored = self.ids, np.nan
        if self.skipped is not None:
            labels, ignored = np.where(self.skipped[:, None], -1, self.ids), -1
        log_q = self.empty(self.lists.n_listed)
        if self.lists.n_listed:
            self.run("token_logprobs", [self.student], log_q, parameters={"ignored": ignored}, labels=Labels(labels))
        p = np.exp(self.logprobs)
        with np.errstate(invalid="ignore"):
            terms = p * (self.logprobs - log_q)
        terms[(self.logprobs == -np.inf) & ~np.isnan(log_q)] = 0.0
        terms[(self.logprobs > -np.inf) & (log_q == -np.inf)] = np.inf
        values = np.sum(terms, axis=-1)
        if output is not None:
            scale = factors / self.temperature
            mass = np.sum(p, axis=-1)
            self.run("softmax", [self.student], self.empty(), outputs=[output], gradients=mass * scale)
            self._write_listed(output, (mass[:, None] * np.exp(log_q) - p) * scale[:, None])
        return values

    # Gradients

    def _write_listed(self, output, slopes):
        np.put_along_axis(output, self.places, _as_type(slopes, output).reshape(self.places.shape), axis=-1)

    def finish(self, output, values):
        """NaN for rows that have no divergence; 0 for rows and classes that do not count."""
        rows = output.shape[:-1]
        output[np.isnan(values).reshape(rows)] = _as_type(np.array(np.nan), output)
        if self.chosen is not None:
            output[~self.chosen] = 0
        if self.counted is not None:
            output[~self.counted] = 0


def _rounding_of(listed):
    return ROUNDING.get("bfloat16" if listed.is_bfloat16 else listed.array.dtype.name, ROUNDING["float64"])


def _tail_mass(logprobs):
    """1 - sum exp(logprobs) of each row, 0 where rounding makes it less.

    The likeliest class is set apart, so that what is left is as exact as it is small where one class has nearly all.
    """
    if logprobs.shape[-1] == 0:
        return np.ones(len(logprobs))
    likeliest = np.argmax(logprobs, axis=-1)[:, None]
    beside = logprobs.copy()
    np.put_along_axis(beside, likeliest, -np.inf, axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        missing = -np.expm1(np.take_along_axis(logprobs, likeliest, axis=-1)[:, 0])
        missing = missing - np.sum(np.exp(beside), axis=-1)
    return np.where(missing < 0.0, 0.0, missing)


def _beyond_rounding(tail, logprobs, rounding):
    """The tail, 0 where the listed classes may have no other: where they were as likely as what was rounded can have been.

    If the student has no others either, such a tail would make the divergence infinite, or not, by luck.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.exp(logprobs) * np.expm1(rounding * (1.0 + np.abs(logprobs)))
        explained = np.sum(np.where(logprobs == -np.inf, 0.0, grown), axis=-1)
    return np.where(tail <= explained, 0.0, tail)


def _as_type(values, output):
    """Numbers as an output takes them: bfloat16 as its bits' type."""
    if output.dtype.kind == "f" and not _layout.is_bfloat16(output.dtype):
        with np.errstate(over="ignore"):
            return values.astype(output.dtype)
    with np.errstate(over="ignore"):
        bits = _layout.rounded(np.ascontiguousarray(values, np.float32))
    return bits.view(output.dtype) if output.dtype.isnative else bits.astype(output.dtype)
