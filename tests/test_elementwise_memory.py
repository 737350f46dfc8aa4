"""Functions of elements take no memory of the size of what they read and write, wherever that lies and whatever its type."""

import tracemalloc

import numpy as np
import pytest

import klfast

ROWS, LENGTH = 4000, 2000
ALLOWED = ROWS * LENGTH // 4  # bytes: an eighth of the smallest array of the calls

random = np.random.default_rng(0)
TABLE = random.random((ROWS, 2 * LENGTH)) + 0.1
CHOSEN = random.random((ROWS, LENGTH)) < 0.5
LAYOUTS = {
    "contiguous": lambda table: np.ascontiguousarray(table[:, :LENGTH]),
    "every second element": lambda table: table[:, ::2],
    "Fortran order": lambda table: np.asfortranarray(table[:, :LENGTH]),
    "reversed": lambda table: table[:, LENGTH - 1 :: -1],
    "foreign byte order": lambda table: table[:, :LENGTH].astype(table.dtype.newbyteorder()),
}


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("where", [None, CHOSEN], ids=["everywhere", "where"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16"])
def test_no_memory_of_the_size_of_the_arrays(dtype, layout, where):
    p = LAYOUTS[layout]((TABLE * 9).astype(dtype))
    out = np.zeros(p.shape, "float64" if dtype == "int16" else dtype)
    assert peak(lambda: klfast.rel_entr(p, p[0], out=out, where=where, n_threads=2)) < ALLOWED
    assert np.count_nonzero(out)  # something was written


def test_a_copy_would_be_seen():
    assert peak(lambda: np.zeros((ROWS, LENGTH), np.float16) + np.float16(1)) > 2 * ALLOWED
