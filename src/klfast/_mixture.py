"""The Jensen-Shannon divergence of any number of weighted distributions: each against their mixture.

    JS = sum w_i*D(p_i || m),  m = sum w_i*p_i

The sum is least at m, and an m that is a little off (by rounding, 2^-53 of each entry) adds D(m || that m): some 2^-106.
"""

import math

import numpy as np

from klfast import _checks, _checks_mixture, _layout, _threads
from klfast._dispatch import reduce

# How many entries of a distribution, or of several where they are short, are mixed at a time.
SLAB = 2**18


def mixture_divergence(p, q, axis, keepdims, where, base, out, n_threads, normalize, check, dtype, weights):
    """One number for every row: of p and q, or (q is None) of all that are stacked along p's first axis."""
    _checks_mixture.normalized_alone(normalize)
    if q is None:
        (whole,) = _checks.inputs({"p": p}, dtype)
        _checks_mixture.stack(whole)
        chosen = _checks.included(where, [whole])
        members = [whole._replace(array=array) for array in whole.array]
        masks = [None] * len(members) if chosen is None else list(chosen)
        axes = _checks_mixture.axes_in_stack(axis, whole.array.ndim)
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
    shares = _checks_mixture.shares("weights", weights, len(members))
    log_base = _checks.log_base(base)
    n_threads = _threads.resolve(n_threads)
    shape = _layout.result_shape(members[0].array.shape, axes, keepdims)
    if out is not None:
        named |= {"weights": np.asarray(weights)} if weights is not None else {}
        _checks.output(out, shape, named if chosen is None else named | {"where": chosen})
    results = np.empty(shape)
    kept = tuple(axis for axis in range(members[0].array.ndim) if axis not in axes)
    for place in _layout.slabs(tuple(members[0].array.shape[axis] for axis in kept), members[0].array.size, SLAB):
        rows = [_rows(one, mask, kept + axes, len(kept), place) for one, mask in zip(members, masks)]
        results.reshape(_layout.result_shape(members[0].array.shape, axes, False))[place] = _mix(
            rows, shares, n_threads
        )
    # No mixture is further from its members than their shares are from certainty.
    most = reduce("entropy", {"p": shares}, axis=-1, keepdims=False, out=None, n_threads=n_threads)
    np.minimum(results, most, out=results)
    if log_base is not None:
        results /= log_base
    if out is None:
        return results[()]
    out[...] = results
    return out


def _rows(one, mask, order, n_kept, place):
    """The numbers of one member in one slab, its distributions along the last axis, 0 where they do not count.

    Always the same layout, so that no sum depends on that of the input.
    """
    values = one._replace(array=one.array.transpose(order)[place]).numbers()
    if mask is not None:
        values = np.where(mask.transpose(order)[place], values, values.dtype.type(0))
    return np.ascontiguousarray(values).reshape(*values.shape[:n_kept], math.prod(values.shape[n_kept:]))


def _mix(rows, shares, n_threads):
    """The divergences of one slab."""
    counted = [(share, part) for share, part in zip(shares, rows) if share > 0]
    first = _normalized(counted[0][1])
    mixture, same, possible = np.zeros(first.shape), np.ones(first.shape, bool), np.zeros(first.shape, bool)
    for share, values in counted:
        part = _normalized(values)
        same &= part == first
        possible |= values > 0
        with np.errstate(invalid="ignore"):  # rows that are no distributions may hold anything
            mixture += share * part
    # What is possible in one member is so in the mixture, even if its share is below the smallest number.
    np.copyto(mixture, np.finfo(np.float64).smallest_subnormal, where=possible & (mixture == 0.0))
    result = np.zeros(first.shape[:-1])
    for share, values in counted:
        named = {"p": values, "q": mixture}
        result += share * reduce("kl_divergence", named, axis=-1, keepdims=False, out=None, n_threads=n_threads)
    # Where all members agree, they are no distance apart, whatever rounding makes of their mixture.
    return np.where(same.all(axis=-1) & (result >= 0.0), 0.0, result)


def _normalized(values):
    """Rows divided by their sums, in float64; a row that is no distribution becomes NaN."""
    values = values.astype(np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        values /= values.max(axis=-1, keepdims=True, initial=0.0)
        return values / values.sum(axis=-1, keepdims=True)
