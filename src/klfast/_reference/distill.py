"""The twins of distillation: divergences of whole rows, the likeliest classes, and teachers known by those alone.

A row that `mask` leaves out is 0, and so is its gradient, whatever it holds. What is reduced is scaled first.
"""

import numpy as np

from klfast._reference import gradients, logits
from klfast._reference.logits import as_scores, divergence, expectation, log_probabilities, logsumexp
from klfast._reference.shared import times

# What of itself, and of 1, a log-probability of each type may be off by; 2**-50 for all others.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-22}
WHOLE = {"forward": "kl_divergence", "reverse": "kl_divergence", "jsd": "js_divergence"}


def kl(
    teacher_logits,
    student_logits,
    *,
    temperature=1.0,
    direction="forward",
    beta=0.5,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    axis=-1,
):
    """D(p || q), reversed D(q || p), or beta*D(p || m) + (1 - beta)*D(q || m); p of the teacher, q of the student."""
    operation = getattr(logits, WHOLE[direction])
    pair = (student_logits, teacher_logits) if direction == "reverse" else (teacher_logits, student_logits)
    more = {"beta": beta} if direction == "jsd" else {}
    values = operation(*pair, axis=axis, temperature=temperature, **more)
    value, count = reduced(values, temperature, scale_by_t2, mask, reduction)
    return (value, count) if return_count else value


def kl_grad(
    teacher_logits,
    student_logits,
    *,
    temperature=1.0,
    direction="forward",
    beta=0.5,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    axis=-1,
    grad_output=None,
):
    """The gradient of that divergence by the student's logits, times the derivative of what the rows come down to."""
    operation = getattr(gradients, WHOLE[direction] + "_grad")
    pair, wrt = (teacher_logits, student_logits), "y"
    if direction == "reverse":
        pair, wrt = pair[::-1], "x"
    more = {"beta": beta} if direction == "jsd" else {}
    gradient = operation(*pair, wrt=wrt, axis=axis, temperature=temperature, **more)
    rows = np.sum(np.zeros(gradient.shape), axis=axis).shape
    return passed_back(gradient, rows, axis, temperature, scale_by_t2, mask, reduction, grad_output)


def kl_value_and_grad(
    teacher_logits,
    student_logits,
    *,
    temperature=1.0,
    direction="forward",
    beta=0.5,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    axis=-1,
    grad_output=None,
):
    """The loss, its gradient and, if asked for, how many rows counted."""
    keywords = {
        "temperature": temperature,
        "direction": direction,
        "beta": beta,
        "scale_by_t2": scale_by_t2,
        "mask": mask,
        "reduction": reduction,
        "axis": axis,
    }
    value, count = kl(teacher_logits, student_logits, return_count=True, **keywords)
    gradient = kl_grad(teacher_logits, student_logits, grad_output=grad_output, **keywords)
    return (value, gradient, count) if return_count else (value, gradient)


def topk(logits, k, *, axis=-1, temperature=1.0, where=None):
    """The k largest log-probabilities in their order, equal ones in that of the classes; the classes; what is left of 1."""
    scores = as_scores(logits, where)
    log_p = log_probabilities(scores, axis, temperature)
    order = np.argsort(-scores, axis=axis, kind="stable")
    none = np.expand_dims(np.isnan(np.sum(log_p, axis=axis)), axis)
    order = np.where(none, np.sort(order, axis=axis), order)
    first, others = (np.take(order, places, axis=axis) for places in (range(k), range(k, scores.shape[axis])))
    tail = np.sum(np.exp(np.take_along_axis(log_p, others, axis)), axis=axis)
    return np.take_along_axis(log_p, first, axis), first, np.where(np.squeeze(none, axis), np.nan, tail)


def topk_kl(
    teacher_logprobs,
    teacher_ids,
    student_logits,
    *,
    tail="bucket",
    direction="forward",
    temperature=1.0,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
):
    """D of a teacher of whom some classes are known from a student, or of the student from the teacher."""
    rows = Lists(teacher_logprobs, teacher_ids, student_logits, temperature, mask)
    values = rows.values(tail, direction)
    value, count = reduced(values, temperature, scale_by_t2, mask, reduction)
    return (value, count) if return_count else value


def topk_kl_grad(
    teacher_logprobs,
    teacher_ids,
    student_logits,
    *,
    tail="bucket",
    direction="forward",
    temperature=1.0,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    grad_output=None,
):
    """Its gradient by the student's logits."""
    rows = Lists(teacher_logprobs, teacher_ids, student_logits, temperature, mask)
    values = rows.values(tail, direction)
    gradient = np.where(np.isnan(values)[..., None], np.nan, rows.gradient(tail, direction) / temperature)
    return passed_back(gradient, values.shape, -1, temperature, scale_by_t2, mask, reduction, grad_output)


def topk_kl_value_and_grad(
    teacher_logprobs,
    teacher_ids,
    student_logits,
    *,
    tail="bucket",
    direction="forward",
    temperature=1.0,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    grad_output=None,
):
    """The loss, its gradient and, if asked for, how many rows counted."""
    keywords = {
        "tail": tail,
        "direction": direction,
        "temperature": temperature,
        "scale_by_t2": scale_by_t2,
        "mask": mask,
        "reduction": reduction,
    }
    arrays = teacher_logprobs, teacher_ids, student_logits
    value, count = topk_kl(*arrays, return_count=True, **keywords)
    gradient = topk_kl_grad(*arrays, grad_output=grad_output, **keywords)
    return (value, gradient, count) if return_count else (value, gradient)


class Lists:
    """Log-probabilities of listed classes, beside those of all classes of the student."""

    def __init__(self, teacher_logprobs, teacher_ids, student_logits, temperature, mask):
        scores = as_scores(student_logits, None)
        counted = np.True_ if mask is None else np.broadcast_to(mask, scores.shape[:-1])[..., None]
        self.ids = np.where(counted, np.asarray(teacher_ids, dtype=np.int64), 0)
        self.listed = as_scores(teacher_logprobs, None)
        self.scores = scores / temperature
        self.is_listed = np.any(np.arange(scores.shape[-1]) == self.ids[..., None], axis=-2)
        self.count_others = scores.shape[-1] - self.ids.shape[-1]
        missing = 1.0 - np.sum(np.exp(self.listed), axis=-1, keepdims=True)
        self.tail = np.where((missing < 0.0) | (self.count_others == 0), 0.0, missing)
        # Where the student rules all others out, what rounding of the list can have made of the tail is none.
        rest = logsumexp(np.where(self.is_listed, -np.inf, self.scores), keepdims=True)
        rounding = ROUNDING.get(np.asarray(teacher_logprobs).dtype.name, 2.0**-50)
        grown = np.expm1(rounding * (1.0 + np.abs(self.listed)))
        explained = np.sum(expectation(self.listed, grown), axis=-1, keepdims=True)
        self.tail = np.where((rest == -np.inf) & (self.tail <= explained), 0.0, self.tail)
        with np.errstate(divide="ignore"):
            self.log_tail = np.log(self.tail)

    def of_listed(self, per_class):
        return np.take_along_axis(per_class, self.ids, axis=-1)

    def small(self, tail):
        """The log-probabilities of both sides: of the listed classes and, with a bucket, of all others as one."""
        teacher, student = self.listed, self.of_listed(self.scores)
        if tail != "renormalize":
            rest = logsumexp(np.where(self.is_listed, -np.inf, self.scores), keepdims=True)
            teacher, student = (np.concatenate(pair, -1) for pair in ((teacher, self.log_tail), (student, rest)))
        return log_probabilities(teacher, -1, 1.0), log_probabilities(student, -1, 1.0)

    def values(self, tail, direction):
        log_p, log_q = self.small(tail)
        if tail == "none":
            log_q = self.of_listed(log_probabilities(self.scores, -1, 1.0))
            return np.sum(expectation(self.listed, self.listed) - expectation(self.listed, log_q), axis=-1)
        if direction == "reverse":
            return divergence(log_q, log_p, -1, False)
        value = divergence(log_p, log_q, -1, False)
        if tail == "uniform":
            others = np.where(self.is_listed, -np.inf, self.scores)
            even = np.where(self.is_listed, -np.inf, 0.0)
            within = logits.kl_divergence(even, others)
            # Where the student has nothing for the others, it is infinitely far already.
            adds = (self.tail[..., 0] > 0.0) & (value < np.inf)
            value = value + np.where(adds, times(self.tail[..., 0], within), 0.0)
        return value

    def gradient(self, tail, direction):
        """By the student's logits over the temperature."""
        q = np.exp(log_probabilities(self.scores, -1, 1.0))
        if tail == "none":
            p = np.exp(self.listed)
            return self.spread(self.of_listed(q) * np.sum(p, -1, keepdims=True) - p, q * np.sum(p, -1, keepdims=True))
        log_p, log_q = self.small(tail)
        with np.errstate(invalid="ignore"):
            if direction == "reverse":
                by_outcome = gradients.above_mean(log_q, log_q - log_p, divergence(log_q, log_p, -1, True))
            else:
                by_outcome = np.exp(log_q) - np.exp(log_p)
        if tail == "renormalize":
            return self.spread(by_outcome, np.zeros(q.shape))
        among_others = np.exp(log_probabilities(np.where(self.is_listed, -np.inf, self.scores), -1, 1.0))
        among_others = np.where(np.isnan(among_others), 0.0, among_others)  # where none is possible
        if tail == "uniform":
            each = np.exp(log_q[..., -1:]) * among_others - self.tail / max(1, self.count_others)
        else:
            impossible = self.is_listed | (self.scores == -np.inf)
            each = np.where(impossible, 0.0, by_outcome[..., -1:] * among_others)
        return self.spread(by_outcome[..., : self.ids.shape[-1]], each)

    def spread(self, of_listed, of_others):
        result = np.array(of_others)
        np.put_along_axis(result, self.ids, of_listed, axis=-1)
        return result


# Rows -----------------------------------------------------------------------------------------------------------------


def as_mask(mask, rows):
    return np.ones(rows, bool) if mask is None else np.broadcast_to(mask, rows)


def reduced(values, temperature, scale_by_t2, mask, reduction):
    """What the rows come down to, and how many count."""
    counted = as_mask(mask, values.shape)
    values = np.where(counted, values, 0.0) * (temperature**2 if scale_by_t2 else 1.0)
    count = int(np.sum(counted))
    if reduction == "none":
        return values, count
    with np.errstate(invalid="ignore"):
        return np.sum(values) / (np.float64(count) if reduction == "mean" else 1.0), count


def passed_back(gradient, rows, axis, temperature, scale_by_t2, mask, reduction, grad_output):
    """The gradient of each row times the derivative of the result by the row's value, times `grad_output`."""
    counted = as_mask(mask, rows)
    factor = np.asarray(1.0 if grad_output is None else grad_output, dtype=np.float64)
    factor = factor * (temperature**2 if scale_by_t2 else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.broadcast_to(factor / (np.sum(counted) if reduction == "mean" else 1.0), rows)
    axes = tuple(range(gradient.ndim)) if axis is None else axis
    with np.errstate(invalid="ignore"):
        return np.where(np.expand_dims(counted, axes), gradient * np.expand_dims(factor, axes), 0.0)
