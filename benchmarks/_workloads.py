"""What is measured: one table of workloads.

A workload is an operation on a shape and a dtype. Levels: "quick" workloads always run, "default" ones unless --quick is
given, "full" ones only with --full. To add a workload, add a line to SERIES; its arrays are made in _arrays.py.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PROBABILITIES = ("kl_divergence", "cross_entropy", "entropy")
ORDERS = {"1/2": 0.5, "2": 2.0, "3": 3.0}  # of Renyi's divergence
DISTANCES = ("total_variation", "hellinger", "jeffreys", "chi2_divergence", *(f"renyi_divergence {name}" for name in ORDERS))
ELEMENTWISE = ("entr", "rel_entr", "kl_div")
ONE_ARRAY = ("entropy", "entr")

# The operations on logits, and what they take. "soft targets" are probabilities of the logits' shape.
LOGITS = {
    "logits.cross_entropy": ("logits", "labels"),
    "logits.cross_entropy label_smoothing": ("logits", "labels"),
    "logits.cross_entropy weight": ("logits", "labels", "class weights"),
    "logits.cross_entropy soft targets": ("logits", "probabilities"),
    "logits.cross_entropy_value_and_grad": ("logits", "labels"),
    "logits.token_logprobs": ("logits", "labels"),
    "logits.entropy": ("logits",),
    "logits.logsumexp": ("logits",),
    "logits.softmax": ("logits",),
    "logits.log_softmax": ("logits",),
    "logits.kl_divergence": ("logits", "logits"),
    "logits.js_divergence": ("logits", "logits"),
    "logits.kl_divergence_grad": ("logits", "logits"),
    "logits.js_divergence_grad": ("logits", "logits"),
}
SMOOTHING = 0.1  # of "label_smoothing"

# What KL is used for. Estimates take the log-probabilities of tokens by two models and which tokens count, and give their
# mean, "none" one for each token; Gaussians take means and log-variances; distillation takes the student's logits, and
# "topk_kl" after them the log-probabilities and the ids of what its teacher kept.
ESTIMATES = ("rlhf.kl_estimate k1", "rlhf.kl_estimate k2", "rlhf.kl_estimate k3", "rlhf.kl_estimate k3 none")
GAUSSIANS = ("gaussian.kl_standard_normal", "gaussian.kl_standard_normal_value_and_grad")
DISTILLATION = ("distill.topk", "distill.topk_kl")
USES = (*ESTIMATES, *GAUSSIANS, *DISTILLATION)
FULL_GAUSSIANS = "gaussian.kl_divergence_full"  # means, and covariances of so many dimensions
TOP = 64  # how many classes a teacher keeps

# Closed forms: parameters of two distributions, element by element; those of Dirichlet distributions lie in rows.
ELEMENT_FAMILIES = tuple(
    f"families.kl_{name}" for name in ("bernoulli", "bernoulli_logits", "poisson", "exponential", "laplace", "gamma", "beta")
)
FAMILIES = (*ELEMENT_FAMILIES, "families.kl_dirichlet")

# How many arrays of the input's size an operation writes, if any.
WRITES = dict.fromkeys((*ELEMENTWISE, *ELEMENT_FAMILIES), 1) | {
    "logits.softmax": 1,
    "logits.log_softmax": 1,
    "logits.cross_entropy_value_and_grad": 1,
    "logits.kl_divergence_grad": 2,
    "logits.js_divergence_grad": 2,
    "rlhf.kl_estimate k3 none": 1,
    "gaussian.kl_standard_normal_value_and_grad": 2,
}

FLOATS = ("float32", "float64")
HALVES = ("float16", "bfloat16")
LEVELS = ("quick", "default", "full")
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

TABLE = {(10_000, 1000): "default"}
BATCH = {(32, 10): "quick"}  # so little that a call's own cost is what counts
SMALL_LOGITS = BATCH | {(16, 8192): "quick"}
TOKENS = {(256, 128_256): "default"}  # next-token logits of a large vocabulary
IMAGES = {(50_000, 1000): "default"}  # as many classes as ImageNet has
BYTES = {(100_000, 256): "default"}  # next-byte logits: as many classes as a byte has values
SHORT = {(1_000_000, 10): "default"}
FEW_CLASSES = {(100_000, 10): "default", (20_000, 100): "default"}
REPLIES = BATCH | {(100, 1000): "quick"} | TABLE | {(100_000, 1000): "full"}  # of 1000 tokens
LATENTS = BATCH | {(1000, 32): "quick", (1_000_000, 32): "default"}

# Operations, dtypes, the level of every shape, and what is special about them. Kinds: "near", the second array differs
# little from the first, as a quantised model's does, "close", hardly at all, as what the same model gives in another batch;
# "zeros", 95 % of the entries of either array are 0, independently; "sure", softmaxes of sure classifiers, with many entries
# below 1e-30, or their logits; "excluded", a tenth of the classes is -inf in both arrays, as under a mask of actions;
# "one q", a single row is the second argument for all rows; "multiples", counts and three times the counts, between which there
# is nothing; "real", the rows of the folder, repeated to fill the shape.
SERIES = (
    (
        PROBABILITIES,
        FLOATS,
        BATCH
        | {
            (10,): "quick",  # the cost of one call
            (100,): "quick",
            (100_000,): "quick",  # in cache
            (1000, 100): "quick",
            (10_000_000,): "default",  # out of cache
            (10_000, 1000): "default",
            (50_000, 200): "default",
            (25_000, 400): "default",
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
    (("js_divergence",), FLOATS, {(100,): "quick", (1000, 100): "quick", (50_000, 200): "default"} | TABLE, {}),
    (("js_divergence",), FLOATS, TABLE, {"kind": "zeros"}),
    (DISTANCES, FLOATS, {(1000, 100): "quick"} | TABLE, {}),
    (PROBABILITIES, ("float32",), FEW_CLASSES, {"kind": "sure"}),
    (("kl_divergence", "js_divergence"), ("float32",), FEW_CLASSES | TABLE, {"kind": "multiples"}),
    (ELEMENTWISE, FLOATS, {(100_000,): "quick", (10_000_000,): "default"}, {}),
    (ELEMENTWISE, HALVES, {(10_000_000,): "default"}, {}),
    (("logits.cross_entropy",), ("float32",), SMALL_LOGITS | TOKENS | IMAGES | BYTES | SHORT, {}),
    (("logits.cross_entropy",), HALVES, TOKENS, {}),
    (("logits.cross_entropy",), ("float32",), {(32, 100, 64, 64): "default"}, {"axis": 1}),
    (("logits.cross_entropy label_smoothing",), ("float32",), SMALL_LOGITS | TOKENS | IMAGES | SHORT, {}),
    (("logits.cross_entropy weight",), ("float32",), SMALL_LOGITS | TOKENS | IMAGES, {}),
    (("logits.cross_entropy soft targets",), ("float32",), SMALL_LOGITS | TOKENS | IMAGES | SHORT, {}),
    (("logits.cross_entropy_value_and_grad",), ("float32",), SMALL_LOGITS | TOKENS | IMAGES | BYTES, {}),
    (("logits.token_logprobs", "logits.entropy", "logits.logsumexp"), ("float32",), SMALL_LOGITS | TOKENS | BYTES, {}),
    (("logits.softmax", "logits.log_softmax"), ("float32",), SMALL_LOGITS | TOKENS | IMAGES | BYTES, {}),
    (("logits.kl_divergence",), ("float32",), SMALL_LOGITS | TOKENS | BYTES | SHORT, {}),
    (("logits.kl_divergence",), ("bfloat16",), TOKENS, {}),
    (("logits.kl_divergence",), ("float32",), SMALL_LOGITS | TOKENS, {"kind": "near"}),
    (("logits.kl_divergence",), ("bfloat16",), TOKENS, {"kind": "near"}),
    (("logits.kl_divergence",), ("float32",), {(100_000, 100): "default"} | TABLE, {"kind": "excluded"}),
    (("logits.kl_divergence",), ("float32",), FEW_CLASSES, {"kind": "close"}),
    (("logits.kl_divergence", "logits.js_divergence"), ("float32",), FEW_CLASSES, {"kind": "sure"}),
    (("logits.kl_divergence",), ("float32",), {(510, 49_152): "default"}, {"kind": "real", "folder": EXAMPLES}),
    (("logits.js_divergence",), ("float32",), SMALL_LOGITS | TOKENS | BYTES | SHORT, {}),
    (("logits.kl_divergence_grad", "logits.js_divergence_grad"), ("float32",), SMALL_LOGITS | TOKENS | IMAGES, {}),
    (ESTIMATES, ("float32",), REPLIES, {}),
    (GAUSSIANS, ("float32",), LATENTS, {}),
    (ELEMENT_FAMILIES, ("float64",), {(10,): "quick", (100_000,): "quick", (1_000_000,): "default"}, {}),
    (("families.kl_dirichlet",), ("float64",), BATCH | {(1000, 100): "quick", (100_000, 10): "default"}, {}),
    ((FULL_GAUSSIANS,), ("float64",), {(1, 4): "quick", (2000, 16): "quick", (20_000, 4): "default", (200, 64): "default"}, {}),
    (DISTILLATION, ("float32",), {(16, 8192): "quick"} | TOKENS, {}),
)


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
        """Whether NumPy knows the dtype (bfloat16 comes from ml_dtypes, which may be missing), and the files are there."""
        is_known = self.dtype != "bfloat16" or importlib.util.find_spec("ml_dtypes") is not None
        return is_known and (self.folder is None or (self.folder / "base.npy").exists())

    @property
    def keywords(self):
        return {} if self.axis == -1 else {"axis": self.axis}

    def count_bytes(self, arrays):
        """What has to be read, and with results of the input's size also written."""
        read = sum(array.nbytes for array in arrays[: n_read(self.operation, len(arrays))])
        return read + WRITES.get(self.operation, 0) * arrays[0].nbytes


def n_read(operation, n_arrays):
    """How many arrays have to be read through. Of labels' classes only one is needed."""
    takes = LOGITS.get(operation)
    return n_arrays if takes is None else sum(what in ("logits", "probabilities") for what in takes)


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
            for operation in ("logits.cross_entropy", "logits.kl_divergence")
        ]
    return workloads
