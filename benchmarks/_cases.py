"""Small inputs on which every contestant's result is compared with the exact value."""

from functools import cache

import numpy as np
from _arrays import SEED, dtype_of, load_real, random_class_weights, random_labels, random_probabilities, softmax
from _families import families_cases
from _full_gaussians import full_gaussian_cases
from _memory import aligned_copy
from _uses import uses_cases
from _workloads import FAMILIES, FULL_GAUSSIANS, LOGITS, USES, WRITES

ACCURACY_ROWS = 4
ACCURACY_COLUMNS = 2000
REAL_ROWS = 2  # a row of 49,152 classes takes mpmath seconds


def accuracy_cases(workload):
    """A dictionary from the name of a case to its arrays."""
    if workload.folder is not None:
        return {
            "real rows": tuple(
                aligned_copy(rows[:REAL_ROWS]) for rows in load_real(workload.operation, workload.folder)
            )
        }
    shape = (min(workload.shape[workload.axis], ACCURACY_COLUMNS),)
    if len(workload.shape) > 1:
        shape = (ACCURACY_ROWS, *shape)
    cases = _accuracy_cases(workload.operation, shape, workload.dtype)
    return {name: tuple(_laid_out(array, workload) for array in arrays) for name, arrays in cases.items()}


def _laid_out(array, workload):
    """Rows along the workload's axis; labels where their rows are."""
    if workload.axis == -1:
        return array
    ones = (1,) * (len(workload.shape) - 2)
    if array.ndim == 1:
        return array.reshape(-1, *ones) if array.dtype.kind in "iu" else array
    return aligned_copy(np.moveaxis(array.reshape(array.shape[0], *ones, array.shape[1]), -1, workload.axis))


@cache
def _accuracy_cases(operation, shape, dtype):
    cases = _maker_of_cases(operation)(np.random.default_rng(SEED), shape, operation)
    return {
        name: tuple(_as_input(array, dtype) if array.dtype.kind == "f" else aligned_copy(array) for array in arrays)
        for name, arrays in cases.items()
    }


def _maker_of_cases(operation):
    if operation in USES:
        return uses_cases
    if operation in FAMILIES:
        return families_cases
    if operation == FULL_GAUSSIANS:
        return full_gaussian_cases
    return _make_logits_cases if operation in LOGITS else PROBABILITY_CASES.get(operation, _probability_cases)


def _as_input(array, dtype):
    """Numbers of that type; counts up to a million, if they are integers, and at least 1 but for what was 0 before."""
    if dtype.startswith("int"):
        array = np.where(array == 0, 0, np.maximum(np.rint(array * (1e6 / array.max())), 1))
    return aligned_copy(array.astype(dtype_of(dtype)))


# Probabilities -------------------------------------------------------------------------------------------------------


def _probability_cases(generator, shape, operation):
    p, q = (random_probabilities(generator, shape, "float64") for _ in range(2))
    peaked_p, peaked_q = (softmax(8 * generator.standard_normal(shape)) for _ in range(2))
    near = p * (1 + 1e-3 * generator.standard_normal(shape))
    q_with_zero = q.copy()
    q_with_zero[..., shape[-1] // 2] = 0
    return {
        "easy": (p, q),
        "peaked": (peaked_p, peaked_q),
        "near-equal": (p, near / near.sum(axis=-1, keepdims=True)),
        "infinite": (p, q_with_zero),
    }


def _finite_cases(generator, shape, operation):
    cases = _probability_cases(generator, shape, operation)
    del cases["infinite"]
    return cases


def _masked_cases(generator, shape, operation):
    where = generator.random(shape) < 0.7
    where[..., shape[-1] // 2] = True  # the place of the infinite term
    return {name: (*arrays, where) for name, arrays in _probability_cases(generator, shape, operation).items()}


def _js_cases(generator, shape, operation):
    cases = _finite_cases(generator, shape, operation)
    p, q = (np.where(generator.random(shape) < 0.9, 0, array) for array in cases["easy"])
    p[..., 0] = q[..., 1] = 0.01
    return cases | {"zeros": (p, q)}


def _entropy_cases(generator, shape, operation):
    return {
        "easy": (random_probabilities(generator, shape, "float64"),),
        "peaked": (softmax(8 * generator.standard_normal(shape)),),
    }


PROBABILITY_CASES = {
    "entropy": _entropy_cases,
    "entr": _entropy_cases,
    "rel_entr": _finite_cases,
    "kl_div": _finite_cases,
    **dict.fromkeys(("total_variation", "hellinger", "renyi_divergence 1/2"), _finite_cases),
    "kl_divergence where": _masked_cases,
    "js_divergence": _js_cases,
}


# Logits --------------------------------------------------------------------------------------------------------------


def _make_logits_cases(generator, shape, operation):
    second = LOGITS[operation][1:]
    if "labels" in second:
        cases = _label_cases(generator, shape)
    elif "logits" in second:
        cases = _pair_cases(generator, shape)
    elif "probabilities" in second:
        cases = {
            name: (factor * generator.standard_normal(shape), softmax(generator.standard_normal(shape)))
            for name, factor in {"easy": 3, "peaked": 8}.items()
        }
    else:
        cases = _one_array_cases(generator, shape)
    if "class weights" in second:
        weight = random_class_weights(generator, shape[-1])
        cases = {name: (*arrays, weight) for name, arrays in cases.items()}
    if operation in WRITES or operation in ("logits.cross_entropy label_smoothing", "logits.js_divergence"):
        cases.pop("infinite", None)  # finite there, or infinite for every label
    return cases


def _one_array_cases(generator, shape):
    easy, sure = (3 * generator.standard_normal(shape) for _ in range(2))
    sure[..., shape[-1] // 2] = 25  # all but one-hot
    return {"easy": (easy,), "peaked": (8 * generator.standard_normal(shape),), "sure": (sure,)}


def _label_cases(generator, shape):
    x = 3 * generator.standard_normal(shape)
    target = random_labels(generator, shape)
    rows = np.arange(shape[0])
    sure, infinite = x.copy(), x.copy()
    sure[rows, target] = 25  # a model that is right and sure of it
    infinite[rows, target] = -np.inf
    return {"easy": (x, target), "sure": (sure, target), "infinite": (infinite, target)}


def _pair_cases(generator, shape):
    x, y = (3 * generator.standard_normal(shape) for _ in range(2))
    y_without_one = y.copy()
    y_without_one[..., shape[-1] // 2] = -np.inf
    return {
        "easy": (x, y),
        "peaked": (8 * generator.standard_normal(shape), 8 * generator.standard_normal(shape)),
        "near-equal": (x, x + 1e-3 * generator.standard_normal(shape)),
        "infinite": (x, y_without_one),
    }
