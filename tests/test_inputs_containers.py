"""Whatever becomes an array will do: lists, scalars, pandas, pyarrow, torch, and what speaks their protocols."""

import array

import numpy as np
import pytest
from reductions import (
    FUNCTIONS,
    assert_same_bits,
    run,
    tables,
)

import klfast

COUNTED = [[3, 1, 4, 1, 5], [2, 6, 5, 3, 5]]


def assert_contained(make, dtype="float64"):
    """The value, from a container of either row, and a plain number in any case."""
    for function in FUNCTIONS:
        result = run(function, make(COUNTED[0]), make(COUNTED[1]))
        assert type(result) is np.float64
        assert_same_bits(result, run(function, *(np.array(values, dtype) for values in COUNTED)), function)


class OnlyDlpack:
    """What a foreign array looks like that knows nothing of numpy."""

    def __init__(self, values):
        self.array = np.asarray(values, np.float64)

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnlyArray:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values)


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "list of floats": lambda values: [float(value) for value in values],
    "array.array": lambda values: array.array("d", values),
    "bytes seen as numbers": lambda values: memoryview(bytes(values)),
    "only __array__": OnlyArray,
    "only __dlpack__": OnlyDlpack,
    "only __dlpack__, strided": lambda values: OnlyDlpack(np.repeat(np.array(values, np.float64), 2)[::2]),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_becomes_an_array_will_do(container):
    assert_contained(CONTAINERS[container])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "Int32", "Float64"])
def test_pandas(dtype):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert_contained(lambda values: pandas.Series(values, index=range(len(values), 0, -1), dtype=dtype), dtype.lower())
    frames = [pandas.DataFrame({"a": [1, 2, 4], "b": [first, 0.5, 3.0]}) for first in (0.25, 8.0)]
    for function in FUNCTIONS:
        for axis in (0, 1):
            result = run(function, *frames, axis=axis)
            assert type(result) is np.ndarray
            assert_same_bits(result, run(function, *(frame.to_numpy() for frame in frames), axis=axis))


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "uint8", "int32", "int64"])
def test_pyarrow(name):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert_contained(lambda values: pyarrow.array(np.array(values, name)), name)
    assert_contained(
        lambda values: pyarrow.chunked_array([np.array(part, name) for part in (values[:2], values[2:])]), name
    )
    assert np.isnan(klfast.entropy(pyarrow.array([1.0, None, 3.0])))


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "uint8", "int32", "int64"])
def test_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert_contained(lambda values: torch.tensor(values, dtype=getattr(torch, name)), name)
    p, q = tables("float32", 7, 129)
    for function in FUNCTIONS:
        tensors = [torch.from_numpy(rows.copy()).T for rows in (p, q)]
        result = run(function, *tensors, axis=0)
        assert type(result) is np.ndarray
        assert_same_bits(result, run(function, p, q), function)


def test_bfloat16_of_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def bits(values):
        return torch.tensor(values, dtype=torch.bfloat16).view(torch.uint16)

    for function in FUNCTIONS:
        result = run(function, *map(bits, COUNTED), dtype="bfloat16")
        single = run(function, *(np.array(values, np.float32) for values in COUNTED))
        assert_same_bits(result, single, function)
