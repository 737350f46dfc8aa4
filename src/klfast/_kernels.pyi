from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

# An array, and its strides from one outer row to the next, one row to the next and within a row.
Laid = tuple[np.ndarray, tuple[int, int, int]]

OPERATIONS: dict[str, int]
SHORT_ROW: int
SMALL_WORK: int
NEW_MEMORY: object
ELEMENTWISE: dict[str, int]
COMPUTE: dict[str, int]
ELEMENTS: dict[str, int]
BFLOAT16_ELEMENTS: dict[str, int]
TERMS: dict[str, int]
PIECE: int
BLOCK: int
FAMILIES: dict[str, int]
COST_OF_FAMILIES: int

def cpu_targets() -> list[str]: ...
def cpu_target() -> str: ...
def threading_drivers() -> list[str]: ...
def threading_driver() -> str: ...
def after_fork() -> None: ...
def openmp_version() -> int: ...
def openmp_threads() -> int: ...
def openmp_processors() -> int: ...
def reduce(
    operation_id: int,
    compute: int,
    shape: tuple[int, int, int],
    arrays: Sequence[Laid],
    elements: Sequence[int],
    mask: Laid | None,
    out: np.ndarray,
    n_threads: int,
    parameters: dict[str, float],
    outputs: Sequence[Laid | None] = (),
    output_elements: Sequence[int] = (),
    labels: np.ndarray | None = None,
    label_element: int = 0,
    label_weights: np.ndarray | None = None,
    gradients: np.ndarray | None = None,
    counted: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
    left_out: np.ndarray | None = None,
    kl: np.ndarray | None = None,
) -> None: ...
def terms(
    operation_id: int,
    compute: int,
    shape: tuple[int, int, int],
    arrays: Sequence[Laid],
    elements: Sequence[int],
    mask: Laid | None,
    outputs: Sequence[Laid | None],
    output_elements: Sequence[int],
    results: np.ndarray,
    n_threads: int,
    parameters: dict[str, float],
    factors: np.ndarray | None = None,
    factor: Laid | None = None,
    offsets: np.ndarray | None = None,
    piece_rows: np.ndarray | None = None,
    piece_starts: np.ndarray | None = None,
) -> None: ...
def add_up(numbers: np.ndarray) -> float: ...
def topk(
    compute: int,
    shape: tuple[int, int, int],
    array: Laid,
    element: int,
    mask: Laid | None,
    logprobs: np.ndarray,
    ids: np.ndarray,
    tails: np.ndarray,
    n_threads: int,
    parameters: dict[str, float],
) -> None: ...
def elementwise(
    operation_id: int, p: np.ndarray, q: np.ndarray, mask: np.ndarray | None, out: np.ndarray, n_threads: int
) -> None: ...
def quick_elementwise(
    operation: str, arrays: Iterable[object], n_threads: object, resolve: Callable[[object], int]
) -> np.ndarray | None: ...
def quick(
    operation: str,
    arrays: Iterable[object],
    axis: object,
    n_threads: object,
    resolve: Callable[[object], int],
    parameters: dict,
    compute: str | None,
    out: object = None,
    written: Sequence[object] | None = None,
    factor: float | None = None,
    ids: object = None,
    label_weights: np.ndarray | None = None,
) -> Any: ...
def quick_terms(
    operation_id: int,
    arrays: Sequence[object],
    mask: object,
    results: np.ndarray,
    n_threads: object,
    resolve: Callable[[object], int],
    parameters: dict,
    written: Sequence[object] = (),
    factor: float | None = None,
) -> list[np.ndarray] | None: ...
def family(operation_id: int, parameters: list[np.ndarray], out: np.ndarray, n_threads: int) -> None: ...
def quick_family(
    name: str, parameters: Iterable[object], n_threads: object, resolve: Callable[[object], int], out: object
) -> np.ndarray | None: ...
def dirichlet(
    shape: tuple[int, int, int], arrays: Sequence[Laid], elements: Sequence[int], out: np.ndarray, n_threads: int
) -> None: ...
def quick_dirichlet(
    arrays: Iterable[object], axis: object, n_threads: object, resolve: Callable[[object], int], out: object
) -> Any: ...
def first_indefinite(covariances: np.ndarray, n_threads: int) -> int | None: ...
def gaussian_full(
    mean1: np.ndarray,
    cov1: np.ndarray,
    mean2: np.ndarray,
    cov2: np.ndarray,
    places: Sequence[np.ndarray],
    out: np.ndarray,
    n_threads: int,
) -> None: ...
def read_sum(a: np.ndarray, b: np.ndarray | None, n_threads: int) -> float: ...
