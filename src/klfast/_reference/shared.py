"""What the twins share: how inputs are read, how terms are multiplied and added up."""

import numpy as np


def as_weights(axis, where, normalize, *arrays):
    """The inputs as float64 of one shape; negative and infinite entries are no weights and become NaN."""
    arrays = np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))
    # + 0.0 turns -0.0 into 0.0, by which a number may be divided
    arrays = [np.where((array >= 0.0) & (array < np.inf), array + 0.0, np.nan) for array in arrays]
    if where is not None:  # an event without probability adds nothing, and no row without events is a distribution
        arrays = [np.where(where, array, 0.0) for array in arrays]
    return [normalized(array, axis) for array in arrays] if normalize else arrays


def normalized(weights, axis):
    """Divide rows by their sums. A row of zeros is no distribution: 0/0 makes it NaN, as one NaN does with its row."""
    with np.errstate(invalid="ignore"):
        scaled = weights / np.max(weights, axis=axis, keepdims=True, initial=0.0)  # so that the sum cannot overflow
        return scaled / np.sum(scaled, axis=axis, keepdims=True)


def times_log(a, b):
    """a*log(b) with 0*log 0 = 0; NaN if either is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a == 0.0) & (b >= 0.0), 0.0, a * np.log(b))


def times(a, b):
    """a*b with 0*inf = 0; NaN if either is NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(((a == 0.0) & ~np.isnan(b)) | ((b == 0.0) & ~np.isnan(a)), 0.0, a * b)


def total_of(terms, axis, keepdims, normalize):
    """Add the terms up. An empty sum is 0; but no distribution can be made from no events, so normalised it is NaN."""
    total = np.sum(terms, axis=axis, keepdims=keepdims)
    no_events = np.sum(np.ones(terms.shape), axis=axis, keepdims=keepdims) == 0.0
    total = np.where(no_events & normalize, np.nan, total)
    return total + 0.0  # makes a result of -0.0 a 0.0


def in_base(nats, base):
    return nats if base is None else nats / np.log(base)
