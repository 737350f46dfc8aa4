"""Gradients of divergences where one class has nearly all of a row: what is left of its entry is a small difference.

The entries of such a row add up to 0, and the sure class has minus what the others have together. Errors count against the
length of the exact gradient (the root of its squares), which the largest entry nearly is: no larger terms are allowed for.
"""

import functools

import numpy as np
import oracles_gradients
import pytest
from cpu_levels import LEVELS, call
from logit_rows import as_numbers, half_ulp, told
from reductions import assert_same_bits, to_bfloat16_bits
from test_accuracy_gradients import BOUNDS

# How far the sure class is above all others, how far the rows are apart, and a constant between them.
ROWS = (
    (1.0, 0.3, 0.0),
    (5.0, 1e-4, 100.1),
    (10.0, 0.3, 100.1),
    (15.0, 0.01, -5000.3),
    (15.0, 3e-6, 0.0),
    (20.0, 0.3, 100.1),
    (25.0, 1e-4, 0.0),
    (25.0, 3.0, 0.1),
    (30.0, 0.3, 0.1),
)
LENGTHS = (3, 600, 2500, 6000)  # a tile, one block, several
SETTINGS = (("kl_divergence", {}), ("kl_divergence", {"temperature": 0.7}), ("js_divergence", {"beta": 0.9}))


def pair(number, length, dtype, temperature=1.0):
    gap, apart, constant = ROWS[number]
    random = np.random.default_rng([number, length])
    x = random.normal(0.0, 0.3 if number % 2 else 2.0, length)
    x[random.integers(length)] = x.max() + gap
    y = x + apart * random.normal(size=length) + constant
    return tuple((temperature * scores).astype(dtype) for scores in (x, y))


@functools.cache
def exact(number, length, dtype, setting):
    operation, options = SETTINGS[setting]
    x, y = (scores.astype(np.float64) for scores in pair(number, length, dtype, options.get("temperature", 1.0)))
    return getattr(oracles_gradients, operation)(x, y, **options)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("setting", range(len(SETTINGS)))
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_the_entry_of_a_sure_class_is_right(dtype, length, setting, level):
    operation, options = SETTINGS[setting]
    wrong = {}
    for number in range(len(ROWS)):
        rows = pair(number, length, dtype, options.get("temperature", 1.0))
        results = call(level, f"logits.{operation}_grad", *rows, wrt="both", **options)
        for side, result, (rounded, rest) in zip("xy", results, exact(number, length, dtype, setting), strict=True):
            error = np.max(np.abs((result.astype(np.float64) - rounded) - rest)) / np.linalg.norm(rounded)
            if not error <= BOUNDS[dtype]:
                wrong[ROWS[number], side] = f"{error / BOUNDS[dtype]:.3g} times the bound"
    assert not wrong


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("setting", range(len(SETTINGS)))
def test_it_has_the_same_bits_by_any_way(setting, dtype):
    """Blocks shared out over threads, other layouts, and results in place of the scores."""
    operation, options = SETTINGS[setting]
    for length in (600, 2500, 40_000):
        x, y = pair(5, length, dtype)
        function = f"logits.{operation}_grad"
        wanted = call(LEVELS[-1], function, x, y, wrt="both", n_threads=1, **options)
        two_x, two_y = np.zeros((2 * length, 2), dtype), np.zeros((2 * length, 2), dtype)
        two_x[::2, 1], two_y[::-2, 0] = x, y[::-1]
        for threads in (1, 2, 7):
            found = call(LEVELS[-1], function, x, y, wrt="both", n_threads=threads, **options)
            apart = call(
                LEVELS[-1], function, two_x[::2, 1], two_y[1::2, 0], wrt="both", n_threads=threads, **options
            )
            for one in (found, apart):
                for result, like in zip(one, wanted, strict=True):
                    assert_same_bits(result, like)
            in_x, in_y = x.copy(), y.copy()
            call(LEVELS[-1], function, in_x, in_y, wrt="both", out=(in_x, in_y), n_threads=threads, **options)
            assert_same_bits(in_x, wanted[0])
            assert_same_bits(in_y, wanted[1])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_of_halves_it_is_rounded_once(dtype, level):
    for length in (600, 6000):
        x, y = pair(1, length, "float32")
        halves = [to_bfloat16_bits(one) if dtype == "bfloat16" else one.astype(dtype) for one in (x, y)]
        results = call(level, "logits.kl_divergence_grad", *halves, wrt="both", **told(dtype))
        single = call(level, "logits.kl_divergence_grad", *(as_numbers(one, dtype) for one in halves), wrt="both")
        for result, like in zip(results, single, strict=True):
            error = np.abs(as_numbers(result, dtype) - like)
            assert np.all(error <= half_ulp(like, dtype) * (1 + 2.0**-20) + BOUNDS["float32"] * np.linalg.norm(like))
