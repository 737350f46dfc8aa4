"""The Jensen-Shannon divergence of any number of weighted distributions: each against their mixture.

    JS = sum w_i*D(p_i || m),  m = sum w_i*p_i

Rounding m changes nothing of first order, for m is where the sum is least; so the accuracy is that of the divergences.
"""

import math

import numpy as np

from klfast import _checks, _layout, _threads
from klfast._dispatch import reduce

# How many entries of a distribution, or of several where they are short, are mixed at a time.
SLAB = 2**18


def mixture_divergence(p, q, axis, keepdims, where, base, out, n_threads, normalize, check, dtype, weights):
    """One number for every row: of p and q, or (q is None) of all that are stacked along p's first axis."""
    _checks.normalized_alone(normalize)
    if q is None:
        (whole,) = _checks.inputs({"p": p}, dtype)
        _checks.stack(whole)
        chosen = _checks.included(where, [whole])
        members = [whole._replace(array=array) for array in whole.array]
        masks = [None] * len(members) if chosen is None else list(chosen)
        axes = _checks.axes_in_stack(axis, whole.array.ndim)
        named = {"p": whole.array}
        if check:
            _checks.weights(whole, chosen)
    else:
        members = _checks.inputs({"p": p, "q": q}, dtype)
        chosen = _checks.included(where, members)
        masks = [chosen, chosen]
        axes = _checks.axes(axis, members[0].array.ndim)
        named = {one.name: one.array for one in members}
        if check:
            for one in members:
                _checks.weights(one, chosen)
    shares = _checks.shares("weights", weights, len(members))
    log_base = _checks.log_base(base)
    n_threads = _threads.resolve(n_threads)
    shape = _layout.result_shape(members[0].array.shape, axes, keepdims)
    if out is not None:
        named |= {"weights": np.asarray(weights)} if weights is not None else {}
        _checks.output(out, shape, named if chosen is None else named | {"where": chosen})
    results = np.empty(_layout.result_shape(members[0].array.shape, axes, True))
    for place in _slabs(members[0].array.shape, axes):
        _mix(members, masks, place, axes, shares, n_threads, results[place])
    if log_base is not None:
        results /= log_base
    if out is None:
        return results.reshape(shape)[()]
    out[...] = results.reshape(shape)
    return out


def _slabs(shape, axes):
    """Indices that cut the first axis that is not reduced into pieces small enough to be mixed at once."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    if not kept:
        yield ()
        return
    axis = kept[0]
    step = max(1, SLAB * shape[axis] // max(1, math.prod(shape)))
    for start in range(0, shape[axis], step):
        yield (slice(None),) * axis + (slice(start, start + step),)


def _mix(members, masks, place, axes, shares, n_threads, results):
    """The divergences of one slab."""
    counted = [member for member in zip(shares, members, masks) if member[0] > 0]
    first = _normalized(*counted[0][1:], place, axes)
    mixture, same = np.zeros(first.shape), np.ones(first.shape, bool)
    for share, one, mask in counted:
        part = _normalized(one, mask, place, axes)
        same &= part == first
        mixture += share * part
    # Where all agree, their mixture is the same number, whatever rounding makes of it: identical rows are 0 apart.
    np.copyto(mixture, first, where=same)
    results[...] = 0.0
    for share, one, mask in counted:
        named = {"p": _normalized(one, mask, place, axes), "q": mixture}
        results += share * reduce("kl_divergence", named, axis=axes, keepdims=True, out=None, n_threads=n_threads)


def _normalized(one, mask, place, axes):
    """The rows of one distribution divided by their sums, in float64; a row that is none becomes NaN."""
    values = one._replace(array=one.array[place]).numbers().astype(np.float64)
    if mask is not None:
        values[~mask[place]] = 0.0
    with np.errstate(invalid="ignore"):
        values /= values.max(axis=axes, keepdims=True, initial=0.0)
        return values / values.sum(axis=axes, keepdims=True)
