"""What the tests of logits share: every function as one call on the same four arrays, tables for them, and small helpers.

A call takes of these arrays what its function needs: scores x and y, one class id for each row, and target probabilities.
"""

import functools
import operator
from typing import NamedTuple

import numpy as np
from elements import as_bits, assert_same_bits, told
from reductions import to_bfloat16_bits

import klfast

__all__ = ["as_bits", "assert_same_bits", "told"]  # for the tests, with what is defined here

KINDS = ("float16", "bfloat16", "float32", "float64", "int16")


class Tables(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    target: np.ndarray

    def each(self, change):
        """The same change made to all arrays that have a class axis."""
        return Tables(change(self.x), change(self.y), self.ids, change(self.target))

    def columns(self):
        """The rows set upright, for axis 0."""
        return self.each(lambda rows: np.ascontiguousarray(rows.T))


class Call(NamedTuple):
    function: str
    takes: tuple
    fixed: dict = {}

    def __call__(self, tables, **keywords):
        arguments = [getattr(tables, name) for name in self.takes]
        return operator.attrgetter(self.function)(klfast)(*arguments, **(self.fixed | keywords))


SMOOTHED = {"label_smoothing": 0.1, "z_loss": 1e-3, "temperature": 1.5}

# One number for every row, along any axes.
VALUES = {
    "logsumexp": Call("logits.logsumexp", ("x",), {"temperature": 0.7}),
    "entropy": Call("logits.entropy", ("x",), {"temperature": 0.7}),
    "kl_divergence": Call("logits.kl_divergence", ("x", "y"), {"temperature": 2.0}),
    "js_divergence": Call("logits.js_divergence", ("x", "y"), {"temperature": 2.0}),
    "skewed js_divergence": Call("logits.js_divergence", ("x", "y"), {"beta": 0.25}),
    "js_distance": Call("logits.js_distance", ("x", "y")),
    "logprobs entropy": Call("logprobs.entropy", ("x",)),
    "logprobs cross_entropy": Call("logprobs.cross_entropy", ("x", "y")),
    "logprobs kl_divergence": Call("logprobs.kl_divergence", ("x", "y")),
    "logprobs js_divergence": Call("logprobs.js_divergence", ("x", "y"), {"beta": 0.75}),
    "logprobs js_distance": Call("logprobs.js_distance", ("x", "y")),
}
# One number for every row, along one axis.
LOSSES = {
    "cross_entropy": Call("logits.cross_entropy", ("x", "ids")),
    "smoothed cross_entropy": Call("logits.cross_entropy", ("x", "ids"), SMOOTHED),
    "capped cross_entropy": Call("logits.cross_entropy", ("x", "ids"), {"softcap": 5.0}),
    "soft cross_entropy": Call("logits.cross_entropy", ("x", "target")),
    "smoothed soft cross_entropy": Call("logits.cross_entropy", ("x", "target"), SMOOTHED),
    "token_logprobs": Call("logits.token_logprobs", ("x", "ids"), {"temperature": 0.7}),
}
# An array like x, along any axes.
MAPS = {
    "softmax": Call("logits.softmax", ("x",), {"temperature": 0.7}),
    "log_softmax": Call("logits.log_softmax", ("x",), {"temperature": 2.0}),
    "entropy_grad": Call("logits.entropy_grad", ("x",), {"temperature": 0.7}),
    "kl_divergence_grad of x": Call("logits.kl_divergence_grad", ("x", "y"), {"wrt": "x", "temperature": 2.0}),
    "kl_divergence_grad of y": Call("logits.kl_divergence_grad", ("x", "y"), {"wrt": "y"}),
    "js_divergence_grad of x": Call("logits.js_divergence_grad", ("x", "y"), {"wrt": "x", "beta": 0.25}),
    "js_divergence_grad of y": Call("logits.js_divergence_grad", ("x", "y"), {"wrt": "y", "temperature": 2.0}),
}
# An array like x, along one axis.
LOSS_MAPS = {
    "cross_entropy_grad": Call("logits.cross_entropy_grad", ("x", "ids")),
    "smoothed cross_entropy_grad": Call("logits.cross_entropy_grad", ("x", "ids"), SMOOTHED),
    "capped cross_entropy_grad": Call("logits.cross_entropy_grad", ("x", "ids"), {"softcap": 5.0}),
    "soft cross_entropy_grad": Call("logits.cross_entropy_grad", ("x", "target")),
    "smoothed soft cross_entropy_grad": Call("logits.cross_entropy_grad", ("x", "target"), SMOOTHED),
}
OF_ROWS = VALUES | LOSSES
OF_ENTRIES = MAPS | LOSS_MAPS
ANY_AXES = VALUES | MAPS
ONE_AXIS = LOSSES | LOSS_MAPS
CALLS = OF_ROWS | OF_ENTRIES


@functools.lru_cache(maxsize=16)
def tables(kind, count, length):
    """`count` rows of that length of a kind, those of bfloat16 as bits; read-only, for they are kept."""
    random = np.random.default_rng([KINDS.index(kind), count, length])
    x = random.normal(0.0, 4.0, (count, length))
    y = x + random.normal(0.0, 0.5, x.shape)
    target = np.square(random.random(x.shape)) + 2.0**-10
    target[:, 3::7] = 0.0
    x, y = (of_kind(kind, np.rint(rows) if kind == "int16" else rows) for rows in (x, y))
    target = target.astype(kind if kind in ("float16", "float32") else "float64")
    found = Tables(x, y, random.integers(0, length, count), target)
    for array in found:
        array.flags.writeable = False
    return found


def of_kind(kind, rows):
    return to_bfloat16_bits(rows) if kind == "bfloat16" else rows.astype(kind)


def result_type(call, kind):
    """What the result of a call on arrays of a kind is made of."""
    if call in OF_ROWS or kind == "int16":
        return np.dtype("float64")
    return np.dtype("uint16" if kind == "bfloat16" else kind)


def outcome(name, kind, arrays, **keywords):
    """The result of a call, and that it is an array (or a number) of the right type."""
    result = CALLS[name](arrays, **keywords, **told(kind))
    assert type(result) in (np.ndarray, np.float64)
    assert result.dtype == result_type(name, kind)
    return result


def random_mask(shape):
    """Six in ten, and of every row at least its first."""
    mask = np.random.default_rng(shape).random(shape) < 0.6
    mask[..., 0] = True
    return mask
