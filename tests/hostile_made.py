"""Arguments that are more than an array of numbers: each made for a call, and what others need when it is there."""

from typing import NamedTuple

import numpy as np
from hostile_arrays import BFLOAT16, numbers_of
from hostile_values import IGNORED

NAN = np.nan


class Given(NamedTuple):
    """One argument: as klfast gets it; the same in C order, native; and as the plain twin reads it."""

    value: object
    plain: object
    twin: object


def as_numbers(array):
    """float64, or the integers that class ids are."""
    return array.astype(np.float64) if array.dtype.kind not in "iu" else array


def _where(call):
    return call.mask(call.shape)


def _mask(call):
    return call.mask(call.rows if call.given_rows() else call.shape)


def _grad_output(call):
    of_tokens = call.name.startswith("rlhf.")
    shape = call.shape if of_tokens else call.rows
    if "reduction" in call.parameters and call.value_of("reduction") != "none":
        shape = ()
    return call.array("real", shape if call.one_in(2) else (), types=["f8", "f4", "i4"], style="usual")


def _target(call):
    if call.name != "logits.compare_rows" and call.one_in(3):
        return call.array("target", call.shape, types=["f8", "f4", "f2", BFLOAT16])
    return call.ids(call.rows)


def _several_ids(call):
    shape = list(call.shape)
    shape[call.axes[0]] = call.random.choice((0, 1, 3))
    return call.ids(tuple(shape) if call.one_in(2) else call.rows)


def _class_weights(call):
    numbers = numbers_of(call.random, "weight", "usual", (call.classes,), "f8")
    numbers[numbers < 0.2] = 0.0
    return call.arranged(numbers.astype(call.random.choice(("f8", "f4"))))


def _member_weights(call):
    count = call.shape[0] if call.is_stack else 2
    numbers = 0.01 + numbers_of(call.random, "weight", "usual", (count,), "f8")
    numbers[1:][numbers[1:] < 0.3] = 0.0
    return call.arranged(numbers)


def _k(call):
    k = call.random.randint(1, max(1, call.classes))
    return Given(k, k, k)


def _listed(call):
    """Classes of a list, each once; the log-probabilities follow."""
    numbers = np.random.default_rng(call.random.getrandbits(32))
    call.n_listed = call.random.randint(0, call.classes)
    order = np.argsort(numbers.random(call.shape), axis=-1)
    return call.arranged(order[..., : call.n_listed].astype(call.random.choice(("i8", "i4", "u2"))))


def _listed_logprobs(call):
    """Of a softmax, for the classes that are listed."""
    ids = call.given["teacher_ids"].plain.astype(np.int64)
    if call.style != "usual":
        return call.array("log-probability", ids.shape)
    scores = numbers_of(call.random, "score", "usual", call.shape, "f8")
    total = np.sum(np.exp(scores), axis=-1, keepdims=True)
    listed = np.take_along_axis(scores - np.log(np.where(total > 0.0, total, 1.0)), ids, axis=-1)
    return call.arranged(listed.astype(call.random.choice(("f8", "f4", "f2"))))


def _lengths(call):
    if len(call.shape) != 1:
        return None
    cuts = sorted(call.random.randint(0, call.shape[0]) for _ in range(call.random.randint(0, 4)))
    lengths = np.diff([0, *cuts, call.shape[0]]).astype(call.random.choice(("i8", "i4", "u2")))
    return call.arranged(lengths)


def _scores(call):
    """One for each sequence."""
    lengths = call.given.get("lengths")
    shape = call.shape[:-1] if lengths is None else lengths.plain.shape
    return call.array("real", shape, types=["f8", "f4", "i2"])


def _check(call):
    return Given(True, True, None)


def _mean(call):
    return call.array("real", call.shape, types=["f8", "f4"])


def _covariance(call):
    count = call.shape[-1]
    some = numbers_of(call.random, "real", "usual", (*call.shape, count), "f8")
    matrices = some @ np.swapaxes(some, -1, -2) + np.eye(count)
    if call.style == "special" and matrices.size and call.one_in(3):
        matrices[..., 0, 0] = NAN
    matrices = matrices.astype(call.random.choice(("f8", "f4")))
    return call.arranged((matrices + np.swapaxes(matrices, -1, -2)) / 2)


MADE = {
    "where": _where,
    "mask": _mask,
    "grad_output": _grad_output,
    "target": _target,
    "ids": _several_ids,
    "weight": _class_weights,
    "weights": _member_weights,
    "k": _k,
    "teacher_ids": _listed,
    "teacher_logprobs": lambda call: None,  # once the ids are known
    "lengths": _lengths,
    "scores": lambda call: None,  # once the lengths are known
    "check": _check,
    **dict.fromkeys(("mean1", "mean2"), _mean),
    **dict.fromkeys(("cov1", "cov2"), _covariance),
}


def _fit_normalize(call):
    if call.is_stack or "weights" in call.given:
        call.drop("normalize")


def _fit_weight(call):
    """A mean over rows that have no weight is one over nothing."""
    if "weight" in call.given and call.value_of("reduction") == "mean":
        weights = call.given["weight"].plain
        call.given["weight"] = call.arranged(np.maximum(weights, weights.dtype.type(0.25)))


def _fit_ignored(call):
    """Another id is ignored: then the usual one is no class."""
    ids = next(call.given[name] for name in ("target", "ids") if name in call.given)
    if call.value_of("ignore_index") == IGNORED or not np.any(ids.plain == IGNORED) or ids.plain.dtype.kind == "f":
        return
    if call.classes == 0:
        call.drop("ignore_index")
        return
    name = "target" if "target" in call.given else "ids"
    call.given[name] = call.arranged(np.where(ids.plain == IGNORED, 0, ids.plain).astype(ids.plain.dtype))


def _fit_tail(call):
    if call.value_of("tail") in ("none", "uniform"):
        call.drop("direction")


def _fit_listed(call):
    call.given["teacher_logprobs"] = _listed_logprobs(call)


def _fit_scores(call):
    call.given["scores"] = _scores(call)


FITTING = {
    "normalize": _fit_normalize,
    "weight": _fit_weight,
    "ignore_index": _fit_ignored,
    "tail": _fit_tail,
    "teacher_logprobs": _fit_listed,
    "scores": _fit_scores,
}
