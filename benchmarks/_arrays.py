"""The arrays of a workload, made from random numbers or taken from a folder."""

import numpy as np
from _families import make_families
from _full_gaussians import make_full_gaussians
from _memory import aligned_copy, aligned_empty
from _uses import make_uses
from _workloads import FAMILIES, FULL_GAUSSIANS, HALVES, LOGITS, ONE_ARRAY, USES

SEED = 20240229
DISTANCES = {"near": 0.03, "close": 1e-5, "sure": 0.1}  # of the second array of logits from the first, beside their size


def dtype_of(name):
    """The NumPy dtype of that name. bfloat16 is known to NumPy once ml_dtypes is imported."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def random_probabilities(generator, shape, dtype, axis=-1):
    """Distributions drawn from Dirichlet(1), that is exponential draws over their sum, made in place to save memory.

    Integers are counts and are not divided; short floats are rounded from float32.
    """
    if dtype.startswith("int"):
        return aligned_copy(generator.integers(1, 1000, shape, dtype=dtype))
    if dtype in HALVES:
        return rounded(random_probabilities(generator, shape, "float32", axis), dtype)
    p = aligned_empty(shape, dtype)
    generator.standard_exponential(dtype=p.dtype, out=p)
    np.maximum(p, 1e-7, out=p)  # a draw of exactly 0 in q would make the KL infinite
    p /= p.sum(axis=axis, dtype=np.float64, keepdims=True).astype(dtype)
    return p


def random_logits(generator, shape, dtype):
    x = aligned_empty(shape, dtype)
    generator.standard_normal(dtype=x.dtype, out=x)
    x *= 3
    return x


def random_labels(generator, shape, axis=-1):
    outer = list(shape)
    n_classes = outer.pop(axis)
    return aligned_copy(generator.integers(n_classes, size=outer))


def random_class_weights(generator, n_classes):
    return generator.uniform(0.5, 2, n_classes)


def rounded(array, dtype):
    return aligned_copy(array.astype(dtype_of(dtype)))


def make_arrays(workload):
    """The inputs of a workload, in the order in which the operation takes them."""
    if workload.folder is not None:
        n_rows = workload.shape[0]
        return tuple(
            aligned_copy(np.resize(rows, (n_rows, *rows.shape[1:])))
            for rows in load_real(workload.operation, workload.folder)
        )
    generator = np.random.default_rng(SEED)
    if workload.operation in USES:
        return make_uses(generator, workload.operation, workload.shape)
    if workload.operation in FAMILIES:
        return make_families(generator, workload.operation, workload.shape)
    if workload.operation == FULL_GAUSSIANS:
        return make_full_gaussians(generator, workload.shape)
    make = _make_logits if workload.operation in LOGITS else _make_probabilities
    return make(generator, workload)


def load_real(operation, folder):
    """The rows that lie in the folder: logits and the labels, or the logits of two models."""
    second = "targets.npy" if "labels" in LOGITS[operation] else "test_q8.npy"
    return tuple(np.load(folder / name) for name in ("base.npy", second))


def _make_probabilities(generator, workload):
    shape, count = workload.shape, 1 if workload.operation in ONE_ARRAY else 2
    arrays = [random_probabilities(generator, shape, workload.dtype, workload.axis) for _ in range(count)]
    if workload.kind == "sure":
        logits = 30 * generator.standard_normal(shape)
        near = [softmax(logits + 3 * generator.standard_normal(shape)) for _ in arrays]
        arrays = [aligned_copy(array.astype(workload.dtype)) for array in near]
    if workload.kind == "zeros":
        for array in arrays:
            array[generator.random(shape, dtype=np.float32) < 0.95] = 0
            array[..., 0] = 0.01  # no row without any weight
    if workload.kind == "multiples":
        arrays[0][...] = generator.integers(1, 1000, shape)
        np.multiply(arrays[0], 3, out=arrays[1])
    if workload.kind == "one q":
        arrays[1] = aligned_copy(arrays[1][0])
    if workload.operation.endswith(" where"):
        arrays.append(aligned_copy(generator.random(shape, dtype=np.float32) < 0.7))
    return tuple(arrays)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def _make_logits(generator, workload):
    shape, axis = workload.shape, workload.axis
    dtype = "float32" if workload.dtype in HALVES else workload.dtype
    make = {
        "logits": lambda: random_logits(generator, shape, dtype),
        "labels": lambda: random_labels(generator, shape, axis),
        "class weights": lambda: random_class_weights(generator, shape[axis]).astype(dtype),
        "probabilities": lambda: random_probabilities(generator, shape, dtype, axis),
    }
    arrays = [make[what]() for what in LOGITS[workload.operation]]
    if workload.kind in DISTANCES:
        arrays[1] *= DISTANCES[workload.kind]
        arrays[1] += arrays[0]
    if workload.kind == "sure":
        for array in arrays:
            array *= 10
    if workload.kind == "excluded":
        excluded = generator.random(shape, dtype=np.float32) < 0.1
        for array in arrays:
            array[excluded] = -np.inf
    if workload.dtype in HALVES:
        arrays = [rounded(array, workload.dtype) if array.dtype.kind == "f" else array for array in arrays]
    return tuple(arrays)
