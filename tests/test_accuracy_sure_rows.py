"""Rows that are all but certain keep their last digits, wherever in the row the second likeliest class lies.

What is left of such a row is exp(x - largest), which multiplies whatever that difference lost in rounding; blocks of long
rows are joined by the same factor.
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_gradients
import oracles_logits
import pytest
from cpu_levels import LEVELS, call

GAPS = (36.7, 40.3, 100.3, 300.1, 600.7, 690.3)
LENGTHS = (2, 3000, 20_000)  # a tile, blocks of either type
SETTINGS = ((1.0, 1.0), (0.1, 0.1), (3.7, 3.7))  # temperature, and what gaps are multiplied by


def sure_row(gap, length, dtype="float64"):
    """One class far above another at the other end, and all else lower still."""
    x = np.full(length, -1e4)
    x[0], x[-1] = gap, 0.1
    return x.astype(dtype)


@functools.cache
def exact(gap, length, temperature, dtype):
    """Its cross-entropy and entropy, from the two classes that matter."""
    x = sure_row(gap, 2, dtype).astype(np.float64)
    return oracles_logits.cross_entropy(x, 0, temperature=temperature), oracles_logits.entropy(x, temperature)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype, bound", (("float64", 2.0**-49), ("float32", 2.0**-22)))
def test_values_of_rows_that_are_sure(dtype, bound, length, level):
    wrong = {}
    for temperature, factor in SETTINGS:
        for gap in GAPS:
            if dtype == "float32" and gap > 300:
                continue
            x = sure_row(gap * factor, length, dtype)
            loss, entropy = exact(gap * factor, length, temperature, dtype)
            results = {
                "cross_entropy": (call(level, "logits.cross_entropy", x, 0, temperature=temperature), loss),
                "token": (call(level, "logits.token_logprobs", x, [0], temperature=temperature)[0], -loss),
                "entropy": (call(level, "logits.entropy", x, temperature=temperature), entropy),
                "soft": (call(level, "logits.cross_entropy", x, np.eye(1, length)[0], temperature=temperature), loss),
            }
            for name, (result, wanted) in results.items():
                units = oracles.relative_error(result, wanted) / bound
                if not units <= 1.0:
                    wrong[name, temperature, gap] = f"{result!r}: {units:.3g} times the bound"
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", LENGTHS)
def test_entries_of_rows_that_are_sure(length, level):
    wrong = {}
    for temperature, factor in SETTINGS:
        for gap in GAPS:
            x, pair = sure_row(gap * factor, length), sure_row(gap * factor, 2)
            top = call(level, "logits.log_softmax", x, temperature=temperature)[0]
            units = oracles.relative_error(-top, exact(gap * factor, length, temperature, "float64")[0]) / 2.0**-50
            slopes = call(level, "logits.entropy_grad", x, temperature=temperature)[[0, -1]]
            rounded, rest = oracles_gradients.entropy(pair, temperature)
            error = np.max(np.abs((slopes - rounded) - rest)) / (2.0**-47 * np.max(np.abs(rounded)))
            if not (units <= 1.0 and error <= 1.0):
                wrong[temperature, gap] = units, error
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (2, 100, 3000))
def test_losses_of_a_row_that_sank_below_the_normal_numbers_at_once(length, level):
    """More than one class is left, in one block and in several."""
    random = np.random.default_rng(length)
    for largest, temperature in ((650.3, 1.0), (700.3, 1.0), (69.1, 0.1), (2000.7, 3.1)):
        x = random.normal(0.0, 1.0, length)
        x[length // 2] = largest
        loss = call(level, "logits.cross_entropy", x, length // 2, temperature=temperature)
        wanted = oracles_logits.cross_entropy(x, length // 2, temperature=temperature)
        assert oracles.relative_error(loss, wanted) <= 2.0**-49, (largest, temperature)


@pytest.mark.parametrize("level", LEVELS)
def test_gradients_below_a_high_cap(level):
    """Capped logits round relative to their size, and p with them: that is what the documentation allows."""
    random = np.random.default_rng(3)
    for softcap, temperature, center in ((1e6, 7.3, -4669.0), (1e6, 7.3, 3e4), (1e4, 1.0, 1234.5), (50.0, 1.0, 3.0)):
        x = center + random.normal(0.0, 3.0, (20, 10))
        grads = call(
            level, "logits.cross_entropy_grad", x, np.arange(20) % 10, softcap=softcap, temperature=temperature
        )
        for row, (scores, grad) in enumerate(zip(x, grads, strict=True)):
            options = {"softcap": softcap, "temperature": temperature}
            rounded, rest = oracles_gradients.cross_entropy(scores, row % 10, **options)
            size = max(1.0, float(abs(mpmath.mpf(softcap) * mpmath.tanh(scores.max() / softcap)) / temperature))
            assert np.max(np.abs((grad - rounded) - rest)) <= 2.0**-47 * size / temperature


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", (1, 2, 10, 256, 257, 3000))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_no_probability_is_above_1_and_a_sure_class_has_it_all(dtype, length, level):
    """Products of two rounded numbers came to 1 + 2**-52, or to 1 - 2**-53 where there is but one class."""
    random = np.random.default_rng(length)
    digits = 24 if dtype == "float32" else 53
    for gap in (np.log(2.0) * (digits + 2), np.inf, np.log(2.0) * (digits - 2), 6.0):
        rows = np.full((400, length), -np.inf)
        rows[:, 0] = -gap
        rows[:, length // 2] = 0.0
        rows = (rows + random.uniform(-80.0, 80.0, (400, 1))).astype(dtype)
        for temperature in (1.0, 0.7, 3.0):
            x = rows * np.dtype(dtype).type(temperature)
            p = call(level, "logits.softmax", x, temperature=temperature)
            assert np.all((p >= 0.0) & (p <= 1.0))
            assert np.array_equal(p.argmax(axis=-1), x.argmax(axis=-1))
            if length == 1 or gap > digits * np.log(2.0):
                assert np.all(p.max(axis=-1) == 1.0)
