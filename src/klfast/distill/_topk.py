"""The likeliest classes of every row: what is kept of a teacher."""

from typing import NamedTuple

import numpy as np

from klfast import _checks, _checks_distill, _layout, _threads
from klfast._topk import topk as compute


class TopK(NamedTuple):
    """The k likeliest classes of every row, likeliest first, and the probability of all others together."""

    logprobs: np.ndarray
    ids: np.ndarray
    tail: np.ndarray


def topk(logits, k, *, axis=-1, temperature=1.0, where=None, n_threads=None, dtype=None, check=False):
    """The k largest log-probabilities log softmax(logits/T), whose classes they are, and the probability of all others.

    Parameters
    ----------
    logits : array_like
        Logits.
    k : int
        How many, from 1 to the number of classes.
    axis : int
        The axis along which the classes lie.
    temperature : float
        T, which divides all logits: a number above 0, from 1e-15 to 1e15.
    where : array_like of bool, optional
        Which classes count, broadcast to the shape of the logits. The others are skipped, whatever they hold, as if their
        logits were -inf. Entries that a masked array hides are left out in the same way.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that an array of uint16 holds the bits of bfloat16 numbers.
    check : bool
        Raise ValueError for NaN and +inf; without it their rows are NaN.

    Returns
    -------
    logprobs : ndarray of float64
        In nats, the largest first, with k in place of the classes at `axis`; -inf for classes that are impossible.
    ids : ndarray of int64
        Their classes. Of equal logits the one with the lower id comes first.
    tail : float64 or ndarray of float64
        One for each row: the sum of the probabilities of all other classes, however small it is. Exactly 0 if k is the
        number of classes.
        A row with NaN or +inf, or that is all -inf, has NaN for its log-probabilities and its tail, and the ids 0 to k - 1.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, k out of range, and bad keywords; before any work.

    Notes
    -----
    Relative error of log-probabilities and tail at most 2**-22 and 2**-21 for float32, float16 and bfloat16 input and
    2**-49 and 2**-48 for all other. The same bits for any number of threads and any memory layout. The tail as an outcome of
    its own: Anshumann et al., Sparse Logit Sampling (2025), and `topk_kl`.

    Examples
    --------
    >>> import klfast.distill, numpy
    >>> top = klfast.distill.topk(numpy.log([0.1, 0.6, 0.05, 0.25]), 2)
    >>> numpy.exp(top.logprobs).round(12).tolist(), top.ids.tolist(), float(top.tail.round(12))
    ([0.6, 0.25], [1, 3], 0.15)
    """
    (scores,) = inputs = _checks.inputs({"logits": logits}, dtype)
    shape = scores.array.shape
    (axis,) = axes = _checks.single_axis(axis, len(shape))
    count = _checks_distill.top_count(k, shape[axis])
    parameters = {"temperature": _checks.temperature(temperature)}
    chosen = _checks.included(where, inputs)
    n_threads = _threads.resolve(n_threads, scores.array.size)
    if check:
        _checks.scores(scores, chosen)
    rows = _layout.result_shape(shape, axes, False)
    if 0 in rows:
        found = np.empty((*rows, count)), np.empty((*rows, count), np.int64), np.empty(rows)
    else:
        found = compute(inputs, chosen, axis, count, n_threads, parameters)
    logprobs, ids, tail = found
    if axis < len(shape) - 1:
        logprobs, ids = (np.ascontiguousarray(np.moveaxis(one, -1, axis)) for one in (logprobs, ids))
    return TopK(logprobs, ids, tail[()])
