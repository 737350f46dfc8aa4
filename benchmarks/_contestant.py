"""What a contestant is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from _workloads import FLOATS, HALVES, WRITES

EVERYTHING = (*FLOATS, *HALVES, "int32", "int64")


def unchanged(array):
    return array


@dataclass(frozen=True)
class Contestant:
    name: str
    package: str
    functions: dict[str, Callable]  # from the name of an operation to a function of its arrays
    convert: Callable = field(default=unchanged)  # from a NumPy array to the package's own, not timed
    to_numpy: Callable = field(default=unchanged)  # from a result to what NumPy can read, not timed
    dtypes: tuple[str, ...] = FLOATS
    any_layout: bool = False  # its functions take `axis`, and one row for many
    normalises: bool = False  # divides p and q by their sums; if not, it is held to the plain sum
    temporaries: int = 0  # arrays of the input's size that it may hold at once
    threads: str = "n_threads"  # how many threads it uses, if not the number asked for
    is_baseline: bool = False  # computes something else, which the others' times are put in relation to

    def can(self, workload):
        common = workload.axis == -1 and workload.kind != "one q"
        return workload.operation in self.functions and workload.dtype in self.dtypes and (common or self.any_layout)

    def call(self, workload, arrays):
        """The call to time: a function of nothing. Converts the arrays now."""
        return partial(self.functions[workload.operation], *map(self.convert, arrays), **workload.keywords)


def with_out(functions, empty_like=np.empty_like):
    """Those functions, writing into arrays made once: new memory costs more than they do."""
    results = {}
    return {name: partial(_write, name, function, results, empty_like) for name, function in functions.items()}


def _write(name, function, results, empty_like, *arrays):
    key = name, arrays[0].shape, arrays[0].dtype
    if key not in results:
        results.clear()
        made = tuple(empty_like(array) for array in arrays[: WRITES[name]])
        results[key] = made if len(made) > 1 else made[0]
    return function(*arrays, out=results[key])


def chosen(functions, names):
    return {name: functions[name] for name in names}
