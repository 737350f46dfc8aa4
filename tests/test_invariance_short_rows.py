"""Rows of up to 128 entries are laid side by side: for every length and number of rows the bits of each row by itself."""

import numpy as np
import pytest
from cpu_levels import LEVELS, call
from test_invariance import arguments, assert_same_bits

FUNCTIONS = (
    "kl_divergence",
    "entropy",
    "js_divergence",
    "logits.kl_divergence",
    "logits.cross_entropy",
    "logits.softmax",
    "logits.cross_entropy_grad",
)
# More than two tiles of the widest type.
ROWS = 37


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_short_rows_have_the_bits_of_each_alone(function, level, dtype):
    keywords = {"reduction": "none"} if "cross_entropy" in function else {}
    for length in (*range(1, 36), 63, 64, 65, 100, 127, 128):
        name = function.removesuffix("_grad").replace("js_", "kl_").replace("softmax", "entropy")
        arrays = arguments(name, (ROWS, length), dtype)
        whole = call(level, function, *arrays, **keywords)
        for count in (1, 7, 16, 25):
            part = call(level, function, *(array[:count] for array in arrays), **keywords)
            assert_same_bits(part.astype(np.float64), whole[:count].astype(np.float64))
        columns = call(level, function, *(np.asfortranarray(array) for array in arrays), **keywords)
        assert_same_bits(columns.astype(np.float64), whole.astype(np.float64))
