"""What is measured: one table of workloads, and the arrays that belong to each.

A workload is an operation on a shape and a dtype. Levels: "quick" workloads always run, "default" ones unless --quick is
given, "full" ones only with --full. To add a workload, add a line to one of the tables below.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

PROBABILITY_OPERATIONS = ("kl_divergence", "cross_entropy", "entropy")
PROBABILITY_DTYPES = ("float32", "float64")
PROBABILITY_SHAPES = {
    (10,): "quick",  # the cost of one call
    (100_000,): "quick",  # in cache
    (1000, 100): "quick",
    (10_000_000,): "default",  # out of cache
    (10_000, 1000): "default",
    (100_000, 100): "default",
    (1_000_000, 10): "default",
    (100_000_000,): "full",
}
LOGITS_OPERATIONS = ("logits.cross_entropy", "logits.kl_divergence")
LOGITS_SHAPES = {(16, 8192): "quick", (256, 128_256): "default"}
LEVELS = ("quick", "default", "full")

ACCURACY_ROWS = 4
ACCURACY_COLUMNS = 2000
SEED = 20240229


@dataclass(frozen=True)
class Workload:
    operation: str
    shape: tuple[int, ...]
    dtype: str
    level: str
    folder: Path | None = None  # where the real pair lies; None: random input
    near: bool = False  # the second array differs little from the first, as a quantised model's does

    @property
    def kind(self):
        return "real" if self.folder else "near" if self.near else ""

    @property
    def shape_text(self):
        return " x ".join(f"{length:,}" for length in self.shape)

    @property
    def name(self):
        """What --only looks at, for example "kl_divergence 10000x1000 float32"."""
        shape = "x".join(str(length) for length in self.shape)
        return f"{self.operation} {shape} {self.dtype} {self.kind}".rstrip()


def all_workloads(data_folder=None):
    """Every workload there is, of all levels; the real pair only if its folder is given."""
    workloads = [
        Workload(operation, shape, dtype, level)
        for operation in PROBABILITY_OPERATIONS
        for shape, level in PROBABILITY_SHAPES.items()
        for dtype in PROBABILITY_DTYPES
    ]
    workloads += [
        Workload(operation, shape, "float32", level)
        for operation in LOGITS_OPERATIONS
        for shape, level in LOGITS_SHAPES.items()
    ]
    workloads += [
        Workload("logits.kl_divergence", shape, "float32", level, near=True) for shape, level in LOGITS_SHAPES.items()
    ]
    if data_folder is not None:
        base = np.load(data_folder / "base.npy", mmap_mode="r")
        workloads += [
            Workload(operation, base.shape, base.dtype.name, "quick", data_folder) for operation in LOGITS_OPERATIONS
        ]
    return workloads


def aligned_empty(shape, dtype):
    """An uninitialised array on a 64-byte boundary: jax then shares it instead of copying, like everyone else."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_copy(array):
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def random_probabilities(generator, shape, dtype):
    """Rows drawn from Dirichlet(1), that is exponential draws over their sum, made in place to save memory."""
    p = aligned_empty(shape, dtype)
    generator.standard_exponential(dtype=p.dtype, out=p)
    np.maximum(p, 1e-7, out=p)  # a draw of exactly 0 in q would make the KL infinite
    p /= p.sum(axis=-1, dtype=np.float64, keepdims=True).astype(dtype)
    return p


def random_logits(generator, shape, dtype):
    x = aligned_empty(shape, dtype)
    generator.standard_normal(dtype=x.dtype, out=x)
    x *= 3
    return x


def random_labels(generator, shape):
    return aligned_copy(generator.integers(shape[-1], size=shape[:-1]))


def make_arrays(workload):
    """The inputs of a workload, in the order in which the operation takes them."""
    if workload.folder is not None:
        second = "targets.npy" if workload.operation == "logits.cross_entropy" else "test_q8.npy"
        return tuple(aligned_copy(np.load(workload.folder / name)) for name in ("base.npy", second))
    generator = np.random.default_rng(SEED)
    shape, dtype = workload.shape, workload.dtype
    if workload.operation == "entropy":
        return (random_probabilities(generator, shape, dtype),)
    if workload.operation in PROBABILITY_OPERATIONS:
        return tuple(random_probabilities(generator, shape, dtype) for _ in range(2))
    if workload.operation == "logits.cross_entropy":
        return random_logits(generator, shape, dtype), random_labels(generator, shape)
    x, y = (random_logits(generator, shape, dtype) for _ in range(2))
    if workload.near:
        y *= 0.03
        y += x
    return x, y


def accuracy_cases(workload):
    """Small inputs on which every result is compared with the exact value: a dictionary from case name to arrays."""
    if workload.folder is not None:
        return {"real rows": tuple(aligned_copy(array[:2]) for array in make_arrays(workload))}
    shape = (min(workload.shape[-1], ACCURACY_COLUMNS),)
    if len(workload.shape) == 2:
        shape = (ACCURACY_ROWS, *shape)
    return _accuracy_cases(workload.operation, shape, workload.dtype)


@cache
def _accuracy_cases(operation, shape, dtype):
    make = {
        "entropy": _entropy_cases,
        "logits.cross_entropy": _label_cases,
        "logits.kl_divergence": _logits_cases,
    }.get(operation, _probability_cases)
    cases = make(np.random.default_rng(SEED), shape)
    return {name: tuple(_as_input(array, dtype) for array in arrays) for name, arrays in cases.items()}


def _as_input(array, dtype):
    is_label = np.issubdtype(array.dtype, np.integer)
    return aligned_copy(array if is_label else array.astype(dtype))


def _softmax(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _probability_cases(generator, shape):
    p, q = (random_probabilities(generator, shape, "float64") for _ in range(2))
    peaked_p, peaked_q = (_softmax(8 * generator.standard_normal(shape)) for _ in range(2))
    near = p * (1 + 1e-3 * generator.standard_normal(shape))
    q_with_zero = q.copy()
    q_with_zero[..., shape[-1] // 2] = 0
    return {
        "easy": (p, q),
        "peaked": (peaked_p, peaked_q),
        "near-equal": (p, near / near.sum(axis=-1, keepdims=True)),
        "infinite": (p, q_with_zero),
    }


def _entropy_cases(generator, shape):
    return {
        "easy": (random_probabilities(generator, shape, "float64"),),
        "peaked": (_softmax(8 * generator.standard_normal(shape)),),
    }


def _label_cases(generator, shape):
    x = 3 * generator.standard_normal(shape)
    target = generator.integers(shape[-1], size=shape[:-1])
    rows = np.arange(shape[0])
    peaked, infinite = x.copy(), x.copy()
    peaked[rows, target] = 25  # a model that is right and sure of it
    infinite[rows, target] = -np.inf
    return {"easy": (x, target), "peaked": (peaked, target), "infinite": (infinite, target)}


def _logits_cases(generator, shape):
    x, y = (3 * generator.standard_normal(shape) for _ in range(2))
    y_without_one = y.copy()
    y_without_one[..., shape[-1] // 2] = -np.inf
    return {
        "easy": (x, y),
        "peaked": (8 * generator.standard_normal(shape), 8 * generator.standard_normal(shape)),
        "near-equal": (x, x + 1e-3 * generator.standard_normal(shape)),
        "infinite": (x, y_without_one),
    }
