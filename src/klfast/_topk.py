"""The k largest logits of every row, task by task."""

import math

import numpy as np

from klfast import _dispatch, _kernels, _layout


def topk(inputs, chosen, axis, k, n_threads, parameters):
    """(log-probabilities, ids, mass of the others), with the k in the last axis. Everything is checked; k >= 1."""
    (x,) = inputs
    kept = _layout.result_shape(x.array.shape, (axis,), False)
    rows = math.prod(kept)
    logprobs, ids, tails = np.empty((rows, k)), np.empty((rows, k), np.intp), np.empty(rows)
    arrays, elements, own = _layout.readable(inputs)
    safe = _dispatch.safe_type(parameters)
    compute = own if safe is None else _kernels.COMPUTE[safe]
    done = 0
    for task in _layout.tasks(arrays, chosen, (axis,), tails) if rows else ():
        mine = slice(done, done + task.rows.size)
        _kernels.topk(
            compute,
            task.shape,
            task.arrays[0],
            elements[0],
            task.mask,
            logprobs[mine],
            ids[mine],
            tails[mine],
            n_threads,
            parameters,
        )
        done += task.rows.size
    return logprobs.reshape((*kept, k)), ids.reshape((*kept, k)).astype(np.int64, copy=False), tails.reshape(kept)
