"""What is measured: one table of workloads, and the arrays that belong to each.

A workload is an operation on a shape and a dtype. Levels: "quick" workloads always run, "default" ones unless --quick is
given, "full" ones only with --full. To add a workload, add a line to SERIES.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

PROBABILITIES = ("kl_divergence", "cross_entropy", "entropy")
LOGITS = ("logits.cross_entropy", "logits.kl_divergence")
ELEMENTWISE = ("entr", "rel_entr", "kl_div")
ONE_ARRAY = ("entropy", "entr")
FLOATS = ("float32", "float64")
HALVES = ("float16", "bfloat16")
TABLE = {(10_000, 1000): "default"}
LOGITS_SHAPES = {(16, 8192): "quick", (256, 128_256): "default"}
LEVELS = ("quick", "default", "full")

# Operations, dtypes, the level of every shape, and what is special about them. Kinds: "near", the second array differs
# little from the first, as a quantised model's does; "zeros", 95 % of the entries of either array are 0, independently;
# "one q", a single row is the second argument for all rows.
SERIES = (
    (
        PROBABILITIES,
        FLOATS,
        {
            (10,): "quick",  # the cost of one call
            (100_000,): "quick",  # in cache
            (1000, 100): "quick",
            (10_000_000,): "default",  # out of cache
            (10_000, 1000): "default",
            (100_000, 100): "default",
            (1_000_000, 10): "default",
            (100_000_000,): "full",
        },
        {},
    ),
    (PROBABILITIES, FLOATS, {(1000, 10_000): "default"}, {"axis": 0}),
    (PROBABILITIES, FLOATS, {(32, 100, 64, 64): "default"}, {"axis": 1}),
    (("kl_divergence",), FLOATS, TABLE, {"kind": "one q"}),
    (("kl_divergence",), HALVES, TABLE, {}),
    (("kl_divergence",), ("int32", "int64"), TABLE, {}),
    (("kl_divergence where",), FLOATS, TABLE, {}),
    (("js_divergence",), FLOATS, {(1000, 100): "quick"} | TABLE, {}),
    (("js_divergence",), FLOATS, TABLE, {"kind": "zeros"}),
    (ELEMENTWISE, FLOATS, {(100_000,): "quick", (10_000_000,): "default"}, {}),
    (LOGITS, ("float32",), LOGITS_SHAPES, {}),
    (("logits.kl_divergence",), ("float32",), LOGITS_SHAPES, {"kind": "near"}),
)

ACCURACY_ROWS = 4
ACCURACY_COLUMNS = 2000
SEED = 20240229


@dataclass(frozen=True)
class Workload:
    operation: str
    shape: tuple[int, ...]
    dtype: str
    level: str
    axis: int = -1
    kind: str = ""
    folder: Path | None = None  # where the real pair lies; None: random input

    @property
    def special(self):
        """What is unlike the common workload, in words."""
        return ", ".join(filter(None, ["" if self.axis == -1 else f"axis {self.axis}", self.kind]))

    @property
    def shape_text(self):
        return " x ".join(f"{length:,}" for length in self.shape) + (f" ({self.special})" if self.special else "")

    @property
    def name(self):
        """What --only looks at, for example "kl_divergence 10000x1000 float32"."""
        shape = "x".join(str(length) for length in self.shape)
        return f"{self.operation} {shape} {self.dtype} {self.special}".rstrip()

    @property
    def is_possible(self):
        """Whether NumPy knows the dtype: bfloat16 comes from ml_dtypes, which may be missing."""
        return self.dtype != "bfloat16" or importlib.util.find_spec("ml_dtypes") is not None

    @property
    def keywords(self):
        return {} if self.axis == -1 else {"axis": self.axis}

    def count_bytes(self, arrays):
        """What has to be read, and with a result for every element also written. Of labels' classes only one is needed."""
        if self.operation == "logits.cross_entropy":
            arrays = arrays[:1]
        result = arrays[0].nbytes if self.operation in ELEMENTWISE else 0
        return sum(array.nbytes for array in arrays) + result


def all_workloads(data_folder=None):
    """Every workload there is, of all levels; the real pair only if its folder is given."""
    workloads = [
        Workload(operation, shape, dtype, level, **special)
        for operations, dtypes, shapes, special in SERIES
        for operation in operations
        for shape, level in shapes.items()
        for dtype in dtypes
    ]
    if data_folder is not None:
        base = np.load(data_folder / "base.npy", mmap_mode="r")
        workloads += [
            Workload(operation, base.shape, base.dtype.name, "quick", kind="real", folder=data_folder)
            for operation in LOGITS
        ]
    return workloads


def dtype_of(name):
    """The NumPy dtype of that name. bfloat16 is known to NumPy once ml_dtypes is imported."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


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


def random_probabilities(generator, shape, dtype, axis=-1):
    """Distributions drawn from Dirichlet(1), that is exponential draws over their sum, made in place to save memory.

    Integers are counts and are not divided; short floats are rounded from float32.
    """
    if dtype.startswith("int"):
        return aligned_copy(generator.integers(1, 1000, shape, dtype=dtype))
    if dtype in HALVES:
        return aligned_copy(random_probabilities(generator, shape, "float32", axis).astype(dtype_of(dtype)))
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


def random_labels(generator, shape):
    return aligned_copy(generator.integers(shape[-1], size=shape[:-1]))


def make_arrays(workload):
    """The inputs of a workload, in the order in which the operation takes them."""
    if workload.folder is not None:
        second = "targets.npy" if workload.operation == "logits.cross_entropy" else "test_q8.npy"
        return tuple(aligned_copy(np.load(workload.folder / name)) for name in ("base.npy", second))
    generator = np.random.default_rng(SEED)
    make = _make_logits if workload.operation in LOGITS else _make_probabilities
    return make(generator, workload)


def _make_probabilities(generator, workload):
    shape, count = workload.shape, 1 if workload.operation in ONE_ARRAY else 2
    arrays = [random_probabilities(generator, shape, workload.dtype, workload.axis) for _ in range(count)]
    if workload.kind == "zeros":
        for array in arrays:
            array[generator.random(shape, dtype=np.float32) < 0.95] = 0
            array[..., 0] = 0.01  # no row without any weight
    if workload.kind == "one q":
        arrays[1] = aligned_copy(arrays[1][0])
    if workload.operation.endswith(" where"):
        arrays.append(aligned_copy(generator.random(shape, dtype=np.float32) < 0.7))
    return tuple(arrays)


def _make_logits(generator, workload):
    x = random_logits(generator, workload.shape, workload.dtype)
    if workload.operation == "logits.cross_entropy":
        return x, random_labels(generator, workload.shape)
    y = random_logits(generator, workload.shape, workload.dtype)
    if workload.kind == "near":
        y *= 0.03
        y += x
    return x, y


# Accuracy ------------------------------------------------------------------------------------------------------------


def accuracy_cases(workload):
    """Small inputs on which every result is compared with the exact value: a dictionary from case name to arrays."""
    if workload.folder is not None:
        return {"real rows": tuple(aligned_copy(array[:2]) for array in make_arrays(workload))}
    shape = (min(workload.shape[workload.axis], ACCURACY_COLUMNS),)
    if len(workload.shape) > 1:
        shape = (ACCURACY_ROWS, *shape)
    cases = _accuracy_cases(workload.operation, shape, workload.dtype)
    return {name: tuple(_laid_out(array, workload) for array in arrays) for name, arrays in cases.items()}


def _laid_out(array, workload):
    """Rows along the workload's axis."""
    if workload.axis == -1:
        return array
    ones = (1,) * (len(workload.shape) - 2)
    return aligned_copy(np.moveaxis(array.reshape(array.shape[0], *ones, array.shape[1]), -1, workload.axis))


@cache
def _accuracy_cases(operation, shape, dtype):
    make = {
        "entropy": _entropy_cases,
        "entr": _entropy_cases,
        "rel_entr": _finite_cases,
        "kl_div": _finite_cases,
        "kl_divergence where": _masked_cases,
        "js_divergence": _js_cases,
        "logits.cross_entropy": _label_cases,
        "logits.kl_divergence": _logits_cases,
    }.get(operation, _probability_cases)
    cases = make(np.random.default_rng(SEED), shape)
    return {
        name: tuple(_as_input(array, dtype) if array.dtype.kind == "f" else aligned_copy(array) for array in arrays)
        for name, arrays in cases.items()
    }


def _as_input(array, dtype):
    """Numbers of that type; counts up to a million, if they are integers, and at least 1 but for what was 0 before."""
    if dtype.startswith("int"):
        array = np.where(array == 0, 0, np.maximum(np.rint(array * (1e6 / array.max())), 1))
    return aligned_copy(array.astype(dtype_of(dtype)))


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


def _finite_cases(generator, shape):
    cases = _probability_cases(generator, shape)
    del cases["infinite"]
    return cases


def _masked_cases(generator, shape):
    where = generator.random(shape) < 0.7
    return {name: (*arrays, where) for name, arrays in _probability_cases(generator, shape).items()}


def _js_cases(generator, shape):
    cases = _finite_cases(generator, shape)
    p, q = (np.where(generator.random(shape) < 0.9, 0, array) for array in cases["easy"])
    p[..., 0] = q[..., 1] = 0.01
    return cases | {"zeros": (p, q)}


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
