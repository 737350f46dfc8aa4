"""Classes that both rows of logits exclude with -inf are as if they were not there, wherever they lie and however far apart the
rows are: divergences of the others to every digit."""

import functools

import numpy as np
import oracles
import pytest
from cpu_levels import LEVELS, call_each
from logit_distributions import logit_pair

BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
NEXT_TO_NOTHING = 2.0**-90
LENGTHS = (7, 40, 100, 150, 1000, 5000)
PAIRS = (
    "normal",
    "normal, wide",
    "normal, very wide",
    "near equal 1e-1",
    "near equal 1e-7",
    "one entry",
    "shifted by 100",
    "confident",
    "confident in different classes",
    "opposite order",
    "masked in x",
    "lowest masks in y",
)
# Added to y: a divergence knows nothing of it, but what stands in a hole is low for x and y alike.
SHIFTS = (0.0, 60.0, -60.0, 85.0, -85.0)


def holes_of(length):
    """Where classes are excluded, by the name of the pattern."""
    place, random = np.arange(length), np.random.default_rng(length)
    return {
        "end": place >= length - length // 9,
        "beginning": place < length // 7,
        "few": np.isin(place, (length // 3, length // 2, length // 2 + 1)),
        "many": random.random(length) < 0.3,
        "every second": place % 2 == 1,
        "all but two": ~np.isin(place, (length // 5, length - 2)),
    }


@functools.cache
def exact_value(operation, name, hole, length, dtype, shift):
    x, y = rows_of(name, length, dtype, shift)
    left = ~holes_of(length)[hole]
    return getattr(oracles, f"logits_{operation}")(*(row[left].astype(np.float64) for row in (x, y)))


def rows_of(name, length, dtype, shift):
    x, y = logit_pair(name, length, dtype)
    return x, y + np.dtype(dtype).type(shift)


def units_of_error(result, exact, dtype):
    if exact == 0:
        return 0.0 if 0.0 <= result <= NEXT_TO_NOTHING else np.inf
    return oracles.relative_error(result, exact) / BOUNDS[dtype]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence"))
def test_what_both_rows_exclude_changes_nothing(operation, name, dtype, level):
    wrong = {}
    for length in LENGTHS if operation == "kl_divergence" else LENGTHS[:-1]:
        for hole, excluded in holes_of(length).items():
            for shift in SHIFTS if length == 1000 else (0.0,):
                x, y = rows_of(name, length, dtype, shift)
                with_holes = [np.where(excluded, -np.inf, row).astype(dtype) for row in (x, y)]
                removed = np.where(excluded, np.nan, x).astype(dtype)
                exact = exact_value(operation, name, hole, length, dtype, shift)
                (result,) = call_each(level, f"logits.{operation}", [with_holes])
                (masked,) = call_each(level, f"logits.{operation}", [(removed, y)], where=~excluded)
                assert masked == result or np.isnan([masked, result]).all(), (length, hole, shift, masked, result)
                if not units_of_error(result, exact, dtype) <= 1:
                    wrong[length, hole, shift] = (float(result), float(exact))
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("operation", ("kl_divergence", "js_divergence"))
def test_short_rows_with_holes_beside_rows_without(operation, dtype, level):
    """Each has the bits that it has alone, and its gradient those that it has without the holes, which have exactly none."""
    for length in (5, 40, 128):
        holes = [*holes_of(length).values(), np.zeros(length, bool)]
        rows = [logit_pair(name, length, dtype) for name in PAIRS[:6]]
        x, y = (np.stack([np.where(hole, -np.inf, row[side]) for row in rows for hole in holes]) for side in (0, 1))
        x, y = x.astype(dtype), y.astype(dtype)
        (together,) = call_each(level, f"logits.{operation}", [(x, y)])
        alone = call_each(level, f"logits.{operation}", list(zip(x, y, strict=True)))
        np.testing.assert_array_equal(together, alone)
        ((values, gradients),) = call_each(level, f"logits.{operation}_value_and_grad", [(x, y)], wrt="y")
        np.testing.assert_array_equal(values, together)
        assert np.all(gradients[np.isneginf(x)] == 0.0)
        masked = [np.where(np.isneginf(x), np.nan, row).astype(dtype) for row in (x, y)]
        ((values, found),) = call_each(
            level, f"logits.{operation}_value_and_grad", [masked], wrt="y", where=~np.isneginf(x)
        )
        np.testing.assert_array_equal(values, together)
        np.testing.assert_array_equal(found, gradients)
