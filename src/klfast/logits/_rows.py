"""Two models compared row by row: every figure from one reading of the memory."""

import math

import numpy as np

from klfast import _checks, _checks_labels, _kernels, _layout, _threads
from klfast._dispatch import NO_PARAMETERS, SHORT_ROW, run
from klfast._side_by_side import side_by_side
from klfast.logits._cross_entropy import cross_entropy

# As many rows of each array as these bytes hold are looked at together: they stay in a cache while figure after figure is
# taken from them. Each slab is the work of one thread, as all of them at work on one would mostly wait for each other.
SLAB_BYTES = 1 << 20

# What is computed for each field, and of which of the two arrays.
REDUCTIONS = {
    "kl": ("logits_kl_divergence", (0, 1)),
    "reverse_kl": ("logits_kl_divergence", (1, 0)),
    "js": ("logits_js_divergence", (0, 1)),
    "entropy_x": ("logits_entropy", (0,)),
    "entropy_y": ("logits_entropy", (1,)),
}
FIGURES = (*REDUCTIONS, "top_x", "top_y")
TARGET_FIGURES = ("cross_entropy_x", "cross_entropy_y")
IGNORED = -100


def compare_rows(x, y, target=None, *, axis=-1, n_threads=None, check=False, dtype=None):
    """What p = softmax(x) and q = softmax(y) have to do with each other, row by row, in one reading of the memory.

    The same numbers as the functions of this module give one by one, each of which reads all the memory.

    Parameters
    ----------
    x, y : array_like
        Logits of the two models, broadcast against each other. x holds those to compare against, and comes first.
    target : array_like of int, optional
        The class that is right, for each distribution: the shape of the logits without `axis`; -100 for rows that do not
        count, whose cross-entropies are 0. So do not those that a masked array hides.
    axis : int
        The axis along which the classes lie.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for NaN and +inf; without it the figures of their rows are NaN.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    structured ndarray
        The shape of the logits without `axis`, with the fields kl, D(p || q), and reverse_kl, D(q || p), js, their
        Jensen-Shannon divergence, entropy_x and entropy_y, all float64 and in nats; top_x and top_y, int64, the class with
        the largest logit, as numpy.argmax (-1 without classes); and if there is a target cross_entropy_x and
        cross_entropy_y, float64.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `kl_divergence` and `cross_entropy`.

    Notes
    -----
    Accuracy, and what special values do, as in the functions of the same names. Entries that a masked array hides, in x or
    in y, are left out of both. The same bits for any number of threads and any memory layout. No
    memory is needed beyond that of the result and a few megabytes.

    Examples
    --------
    >>> import klfast
    >>> rows = klfast.logits.compare_rows([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], [[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]], [2, 0])
    >>> rows["kl"].round(12).tolist(), rows["top_x"].tolist()
    ([0.096999099337, 0.0], [2, 0])
    """
    inputs = _checks.inputs({"x": x, "y": y}, dtype)
    shape = inputs[0].array.shape
    (axis,) = _checks.single_axis(axis, len(shape))
    chosen = _checks.included(None, inputs)
    kept = _layout.result_shape(shape, (axis,), False)
    ids = None if target is None else _checks_labels.class_ids("target", target, kept, shape[axis], IGNORED)[0]
    n_threads = _threads.resolve(n_threads)
    if check:
        for one in inputs:
            _checks.scores(one, chosen)
    names = FIGURES if ids is None else FIGURES + TARGET_FIGURES
    table = np.empty(kept, [(name, np.int64 if name.startswith("top") else np.float64) for name in names])
    # Rows are walked over with the classes last. A single row is one of one.
    inputs = [one._replace(array=_classes_last(one.array, axis), masked=None) for one in inputs]
    chosen = None if chosen is None else _classes_last(chosen, axis)
    figures = table.reshape(inputs[0].array.shape[:-1])
    ids = None if ids is None else ids.reshape(figures.shape)
    places = list(_slabs(inputs[0].array.shape, max(one.array.itemsize for one in inputs)))
    workers = max(1, min(n_threads, len(places)))

    def fill(place):
        slabs = [one._replace(array=one.array[place]) for one in inputs]
        mask = None if chosen is None else chosen[place]
        _fill(figures[place], slabs, mask, None if ids is None else ids[place], n_threads // workers)

    side_by_side(fill, places, workers)
    return table[()]


def _classes_last(array, axis):
    last = array if axis == array.ndim - 1 else np.moveaxis(array, axis, -1)
    return last if last.ndim > 1 else last[None]


def _slabs(shape, itemsize):
    """Indices of consecutive rows that together hold about SLAB_BYTES; a row is never cut."""
    *kept, length = shape
    most = max(1, SLAB_BYTES // max(1, length * itemsize))
    cut = next(axis for axis in range(len(kept)) if math.prod(kept[axis + 1 :]) <= most)
    step = most // max(1, math.prod(kept[cut + 1 :]))
    for outer in np.ndindex(*kept[:cut]):
        for start in range(0, kept[cut], step):
            yield (*outer, slice(start, start + step))


def _fill(figures, slabs, mask, ids, n_threads):
    """All figures of one slab."""
    # The KL of rows that are not short is found on the way to their Jensen-Shannon divergence.
    kl = np.empty(figures.size) if slabs[0].array.shape[-1] > SHORT_ROW else None
    for name, (operation, places) in REDUCTIONS.items():
        if name == "kl" and kl is not None:
            continue
        inputs = [slabs[place] for place in places]
        figures[name] = _figure(operation, inputs, mask, n_threads, kl if name == "js" else None)
    if kl is not None:
        figures["kl"] = kl.reshape(figures.shape)
    for name, one in zip("xy", slabs):
        figures[f"top_{name}"] = _top(one, mask, np.isnan(figures[f"entropy_{name}"]))
        if ids is not None:
            dtype = "bfloat16" if one.is_bfloat16 else None
            loss = cross_entropy(one.array, ids, where=mask, ignore_index=IGNORED, n_threads=n_threads, dtype=dtype)
            figures[f"cross_entropy_{name}"] = loss


def _figure(operation, inputs, mask, n_threads, kl):
    """One number a row; `kl` as for `run`."""
    if mask is kl is None:
        arrays = [one.array for one in inputs]
        values = _kernels.quick(operation, arrays, -1, n_threads, _threads.resolve, NO_PARAMETERS, None)
        if values is not None:
            return values
    values = np.empty(inputs[0].array.shape[:-1])
    run(operation, inputs, mask, (values.ndim,), values, n_threads, kl=kl)
    return values


def _top(one, mask, undefined):
    """The class with the largest logit of every row; `undefined` rows are those that may hold NaN. -1 without classes."""
    values = one.numbers() if mask is None else np.where(mask, one.numbers(), -np.inf)
    if values.shape[-1] == 0:
        return -1
    if values.dtype != np.float16:
        return np.argmax(values, axis=-1)
    # numpy compares halves one by one. The same bits, put where a float has them, are numbers in the same order; but the
    # first NaN would not be found.
    bits = values.view(np.uint16).astype(np.uint32)
    top = np.argmax((((bits & 0x8000) << 16) | ((bits & 0x7FFF) << 13)).view(np.float32), axis=-1)
    top[undefined] = np.argmax(values[undefined], axis=-1)
    return top
