"""Two sure classifiers that agree: of most short rows of such logits, nothing but next to impossible classes is apart, which
float32 has no numbers for. Divergences have all digits all the same, alone, side by side, masked, and beside a gradient."""

import functools

import numpy as np
import oracles
import pytest
from cpu_levels import LEVELS, call_each

BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
LENGTHS = (2, 5, 10, 64, 100, 128)
SPREADS = (10.0, 30.0, 100.0, 300.0)
ROWS = 19  # whole tiles and a part of one


@functools.cache
def pairs(length, dtype):
    random = np.random.default_rng(length)
    spread = np.repeat(SPREADS, ROWS)[:, None]
    x = random.normal(0.0, 1.0, (len(spread), length)) * spread
    y = x + random.normal(0.0, 0.1, x.shape) * spread
    return x.astype(dtype), y.astype(dtype)


@functools.cache
def exact_values(operation, length, dtype):
    oracle = getattr(oracles, f"logits_{operation}")
    return [oracle(*rows) for rows in zip(*(array.astype(np.float64) for array in pairs(length, dtype)), strict=True)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence"))
def test_divergences_of_sure_pairs(operation, length, dtype, level):
    x, y = pairs(length, dtype)
    (together,) = call_each(level, f"logits.{operation}", [(x, y)])
    exact = exact_values(operation, length, dtype)
    units = [oracles.relative_error(one, value) / BOUNDS[dtype] for one, value in zip(together, exact, strict=True)]
    assert max(units) <= 1, np.argmax(units)
    np.testing.assert_array_equal(together, call_each(level, f"logits.{operation}", list(zip(x, y, strict=True))))
    ((values, gradients),) = call_each(level, f"logits.{operation}_value_and_grad", [(x, y)], wrt="both")
    np.testing.assert_array_equal(values, together)
    alone = call_each(level, f"logits.{operation}_grad", list(zip(x, y, strict=True)), wrt="both")
    for side in (0, 1):
        np.testing.assert_array_equal(gradients[side], [one[side] for one in alone])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", LENGTHS[2:])
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence"))
def test_sure_pairs_under_a_mask(operation, length, level):
    """What is masked is not there for the value, and has no gradient, in rows that are looked at twice as well."""
    x, y = (array.copy() for array in pairs(length, "float32"))
    where = np.random.default_rng(length).random(x.shape) < 0.7
    where[:, 0] = True
    (wanted,) = call_each(
        level, f"logits.{operation}_value_and_grad", [[np.where(where, one, -np.inf) for one in (x, y)]], wrt="both"
    )
    x[~where] = np.nan
    (found,) = call_each(level, f"logits.{operation}_value_and_grad", [(x, y)], wrt="both", where=where)
    np.testing.assert_array_equal(found[0], wanted[0])
    for side in (0, 1):
        np.testing.assert_array_equal(found[1][side], wanted[1][side])
        assert np.all(found[1][side][~where] == 0.0)
