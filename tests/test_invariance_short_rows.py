"""Rows of up to 128 entries are laid side by side: for every length and number of rows the bits of each row by itself."""

import numpy as np
import pytest
from cpu_levels import LEVELS, call
from test_invariance import arguments, assert_same_bits

CALLS = (
    ("kl_divergence", {}),
    ("entropy", {}),
    ("js_divergence", {}),
    ("logits.kl_divergence", {}),
    ("logits.js_divergence", {}),
    ("logits.js_divergence_grad", {"beta": 0.3}),
    ("logits.cross_entropy", {}),
    ("logits.softmax", {}),
    ("logits.cross_entropy_grad", {}),
    ("logits.cross_entropy", {"label_smoothing": 0.1}),
    ("logits.cross_entropy_grad", {"label_smoothing": 0.1, "softcap": 9.0}),
    ("logits.cross_entropy", {"target": "probabilities"}),
    ("logits.cross_entropy_grad", {"target": "probabilities", "z_loss": 1e-3}),
)
# More than two tiles of the widest type.
ROWS = 37


def arrays_for(function, length, dtype, has_probabilities):
    name = function.removesuffix("_grad").replace("js_", "kl_").replace("softmax", "entropy")
    arrays = arguments(name, (ROWS, length), dtype)
    if has_probabilities:
        arrays[1] = np.random.default_rng(length).dirichlet(np.ones(length), ROWS).astype(dtype)
    return arrays


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("function", "options"), CALLS)
def test_short_rows_have_the_bits_of_each_alone(function, options, level, dtype):
    keywords = {name: value for name, value in options.items() if name != "target"}
    if "cross_entropy" in function:
        keywords["reduction"] = "none"
    for length in (*range(1, 36), 63, 64, 65, 100, 127, 128):
        arrays = arrays_for(function, length, dtype, "target" in options)
        whole = call(level, function, *arrays, **keywords)
        for count in (1, 7, 16, 25):
            part = call(level, function, *(array[:count] for array in arrays), **keywords)
            assert_same_bits(part.astype(np.float64), whole[:count].astype(np.float64))
        columns = call(level, function, *(np.asfortranarray(array) for array in arrays), **keywords)
        assert_same_bits(columns.astype(np.float64), whole.astype(np.float64))
