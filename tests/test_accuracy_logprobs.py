"""Entropy, cross-entropy and divergences of log-probabilities are as accurate as promised, at every CPU level.

Log-probabilities are rounded, so their exponentials never sum to 1 exactly; klfast divides what is left out, and so do the
exact values (see `oracles_logits`): those of the distributions softmax(lp) and softmax(lq), on the very bits of the input.
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_logits
import pytest
from cpu_levels import LEVELS, call
from logit_rows import (
    COMPUTED_IN,
    FLOATS,
    HALVES,
    LENGTHS,
    LONG_PAIRED,
    PAIRED,
    REAL,
    as_numbers,
    numbers,
    told,
)
from reductions import to_bfloat16_bits

FUNCTIONS = ("kl_divergence", "js_divergence", "js_distance", "cross_entropy", "entropy")
BOUNDS = {
    ("kl_divergence", "float32"): 2.0**-21,
    ("js_divergence", "float32"): 2.0**-21,
    ("js_distance", "float32"): 2.0**-22,
    ("cross_entropy", "float32"): 2.0**-22,
    ("entropy", "float32"): 2.0**-22,
    ("kl_divergence", "float64"): 2.0**-49,
    ("js_divergence", "float64"): 2.0**-49,
    ("js_distance", "float64"): 2.0**-50,
    ("cross_entropy", "float64"): 2.0**-49,
    ("entropy", "float64"): 2.0**-49,
}
BETAS = (0.5, 0.01, 0.3, 0.99)
# Where the exact answer is 0 for rows that are not equal but shifted: what may be left of it, below the root.
NEXT_TO_NOTHING = 2.0**-90
# Besides what softmax makes of scores: the same rounded otherwise, so that nothing but rounding sets the two apart, and
# both sums are off by more than that.
ROUNDED_APART = "rounded apart"
OFF = "sums that are off"
NAMES = (*(name for name in PAIRED if name != "shifted by 1000"), ROUNDED_APART, OFF)


@functools.cache
def logprob_rows(name, length, dtype):
    """Log-probabilities, rounded to the type, of the rows of that name; read-only, for they are kept."""
    x, y = numbers("normal" if name in (ROUNDED_APART, OFF) else name, length, "float64")
    rows = [_log_softmax(x), _log_softmax(y)]
    if name == ROUNDED_APART:
        rows[1] = rows[0] * (1.0 + 2.0**-22)
    if name == OFF:
        rows = [rows[0] + 1e-3, rows[1] - 1e-2]
    with np.errstate(over="ignore"):  # what float16 has no number for is impossible
        rows = [to_bfloat16_bits(row) if dtype == "bfloat16" else row.astype(dtype) for row in rows]
    for row in rows:
        row.flags.writeable = False
    return tuple(rows)


def _log_softmax(x):
    """Good enough where it is rounded; the likeliest class takes the logarithm of what the others leave."""
    top = int(np.argmax(x))
    logs = x - x[top]
    rest = np.sum(np.exp(np.delete(logs, top)))
    return logs - np.log1p(rest)


@functools.cache
def exact_value(function, name, length, dtype, **options):
    """The oracle's answer for the named rows, worked out once for all levels."""
    x, y = (as_numbers(row, dtype) for row in logprob_rows(name, length, dtype))
    if function == "entropy":
        return oracles_logits.entropy(x)
    oracle = oracles_logits.mean_score_loss if function == "cross_entropy" else getattr(oracles_logits, function)
    return oracle(x, y, **options)


def arguments(function, x, y):
    return (x,) if function == "entropy" else (x, y)


def options_of(function, place):
    return {"beta": BETAS[place % len(BETAS)]} if function in ("js_divergence", "js_distance") else {}


def wrong(function, dtype, results, exact):
    found = {}
    bound = BOUNDS[function, COMPUTED_IN[dtype]]
    for key, result in results.items():
        value = exact[key]
        if value == 0:
            limit = np.sqrt(NEXT_TO_NOTHING) if function == "js_distance" else NEXT_TO_NOTHING
            units = 0.0 if 0.0 <= result <= limit else np.inf
        else:
            units = oracles.relative_error(result, value) / bound
            if function == "js_distance" and not units <= 1.0:  # a double cannot be right about less, below the root
                with mpmath.workprec(256):
                    units = 0.0 if abs(mpmath.mpf(float(result)) ** 2 - value**2) <= mpmath.ldexp(1, -1022) else units
        if not units <= 1.0 or result < 0.0:
            found[key] = f"got {float(result)!r}, exact {float(value)!r}: {units:.3g} times the bound"
    return found


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_right_for_every_kind_of_log_probabilities(function, dtype, level):
    results, exact = {}, {}
    for place, length in enumerate(LENGTHS if dtype in REAL else LENGTHS[2:]):
        rows = [logprob_rows(name, length, dtype) for name in NAMES]
        x, y = (np.stack(side) for side in zip(*rows, strict=True))
        options = options_of(function, place)
        values = call(level, f"logprobs.{function}", *arguments(function, x, y), **options, **told(dtype))
        for name, value in zip(NAMES, values, strict=True):
            results[name, length] = value
            exact[name, length] = exact_value(function, name, length, dtype, **options)
    assert not wrong(function, dtype, results, exact)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_right_for_long_rows(function, dtype, level):
    results, exact = {}, {}
    for place, (name, length) in enumerate((*LONG_PAIRED, (ROUNDED_APART, 1000), (OFF, 1000))):
        options = options_of(function, place)
        x, y = logprob_rows(name, length, dtype)
        results[name] = call(level, f"logprobs.{function}", *arguments(function, x, y), **options, **told(dtype))
        exact[name] = exact_value(function, name, length, dtype, **options)
    assert not wrong(function, dtype, results, exact)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("length", (3, 129, 1000))
def test_right_for_what_is_all_but_certain(length, dtype, level):
    """The likeliest log-probability is as close to 0 as its type allows, and must count as what it is."""
    x = np.full(length, -30.0, dtype)
    y = np.full(length, -34.0, dtype)
    x[length // 2] = -(length - 1) * np.exp(-30.0)
    y[length // 2] = -(length - 1) * np.exp(-34.0)
    for function in FUNCTIONS:
        value = call(level, f"logprobs.{function}", *arguments(function, x, y))
        name = "mean_score_loss" if function == "cross_entropy" else function
        numbers_of_both = arguments(function, x.astype(np.float64), y.astype(np.float64))
        exact = {function: getattr(oracles_logits, name)(*numbers_of_both)}
        assert not wrong(function, dtype, {function: value}, exact)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_is_exactly_zero_away_from_itself(dtype, level):
    for length in (*LENGTHS, 1000):
        rows = np.stack([row for name in NAMES for row in logprob_rows(name, length, dtype)])
        for function, options in (("kl_divergence", {}), ("js_divergence", {"beta": 0.1}), ("js_distance", {})):
            assert not np.any(call(level, f"logprobs.{function}", rows, rows.copy(), **options, **told(dtype)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_log_probabilities_and_logits_that_are_the_same_numbers_agree(dtype, level):
    """Both take the softmax of what they get, so the same promise holds both to the same exact value."""
    for length in (*LENGTHS, 1000):
        x, y = (np.stack(side) for side in zip(*(logprob_rows(name, length, dtype) for name in NAMES), strict=True))
        for function in ("kl_divergence", "js_divergence", "entropy"):
            one, other = (
                call(level, f"{module}.{function}", *arguments(function, x, y)) for module in ("logprobs", "logits")
            )
            bound = 2.0 * BOUNDS[function, dtype]
            assert np.all(np.abs(one - other) <= bound * np.abs(other) + NEXT_TO_NOTHING)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_a_class_impossible_in_the_second_alone_is_infinite(dtype, level):
    x, y = (row.copy() for row in logprob_rows("normal", 1000, dtype))
    for position in (0, 63, 64, 500, 999):
        masked = y.copy()
        masked[position] = -np.inf
        for function in ("kl_divergence", "cross_entropy"):
            assert call(level, f"logprobs.{function}", x, masked) == np.inf
            assert call(level, f"logprobs.{function}", masked, x) < np.inf


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_a_base_divides_the_result(dtype, level):
    x, y = logprob_rows("closer 0.5", 129, dtype)
    for function in FUNCTIONS:
        value = exact_value(function, "closer 0.5", 129, dtype)
        with mpmath.workprec(128):
            bits = mpmath.log(2)
            exact = {function: value / (mpmath.sqrt(bits) if function == "js_distance" else bits)}
        result = call(level, f"logprobs.{function}", *arguments(function, x, y), base=2)
        assert not wrong(function, dtype, {function: result}, exact)


@pytest.mark.parametrize("dtype", HALVES)
def test_narrow_log_probabilities_pass_the_check_of_their_sum(dtype):
    """Rounded to so few bits, the sum of 1000 of them is off by as much as that; still nothing is wrong with them."""
    for name in ("normal", "certain of 1e-3", "closer 0.5"):
        for length in (2, 10, 129, 1000):
            x, y = logprob_rows(name, length, dtype)
            with_check = call(LEVELS[-1], "logprobs.kl_divergence", x, y, check=True, **told(dtype))
            assert with_check == call(LEVELS[-1], "logprobs.kl_divergence", x, y, **told(dtype))
