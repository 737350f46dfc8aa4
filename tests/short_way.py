"""What the tests of the short way to the kernels share: it takes contiguous arrays, and must not be seen in any result."""

import numpy as np

SHAPES = (1,), (7,), (1, 1), (3, 5), (2, 3, 4), (17, 129), (2, 1, 3, 33), (5, 9000), (4096, 3), (70000, 2)


def strided(array):
    """The same numbers, in memory that the short way does not know."""
    room = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    room[..., ::2] = array
    return room[..., ::2]


def assert_same(result, expected):
    if isinstance(expected, tuple):
        assert len(result) == len(expected)
        for one, other in zip(result, expected):
            assert_same(one, other)
        return
    assert type(result) is type(expected)
    np.testing.assert_array_equal(result, expected, strict=True)
    if isinstance(result, np.ndarray):
        assert result.flags.writeable
