"""Memory for arrays that all packages can share."""

import numpy as np


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
