"""softmax and log_softmax are right in every entry, as are logsumexp and the divergences at any temperature.

Each promise is a bound on the error against the exact value for the very numbers given (see `oracles_logits`), at every CPU
level. A result of float16 or bfloat16 is worked out in float and rounded once.
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
    EPSILON,
    FLOATS,
    HALVES,
    LENGTHS,
    LONG_PAIRED,
    LONG_SINGLE,
    PAIRED,
    REAL,
    SINGLE,
    SMALLEST,
    as_numbers,
    half_ulp,
    logit_rows,
    numbers,
    tables,
    told,
)
from reductions import from_bfloat16_bits

FUNCTIONS = ("softmax", "log_softmax")
TEMPERATURES = (1.0, 0.1, 0.7, 3.0, 1.0 / 3.0)
# In half ulps of 1 of the type that is computed in, relative to the entry.
UNITS = {
    ("softmax", "float32"): 4,
    ("log_softmax", "float32"): 4,
    ("softmax", "float64"): 8,
    ("log_softmax", "float64"): 8,
}


@functools.cache
def exact_row(function, name, length, dtype, temperature):
    """The oracle's row for a named one, worked out once for all levels."""
    return getattr(oracles_logits, function)(numbers(name, length, dtype)[0], temperature)


def excess(function, dtype, result, exact):
    """How many times too large the error of each entry is; 0 where nothing is to be said against it.

    Entries of a softmax below the smallest normal number, of the type computed in, may be 0; a logarithm that is so close
    to 0 need not be better than that number either.
    """
    real = COMPUTED_IN[dtype]
    rounded, rest = exact
    result = as_numbers(result, dtype)
    possible = rounded > -np.inf
    assert np.all(result[~possible] == -np.inf)
    sizes = np.abs(rounded[possible])
    # -inf in place of what float16 has no number for.
    overflows = (dtype == "float16") & (sizes > 65519.0) & (result[possible] == -np.inf)
    error = np.abs(np.where(overflows, 0.0, (result[possible] - rounded[possible]) - rest[possible]))
    allowed = UNITS[function, real] * EPSILON[real] * sizes
    if dtype in HALVES:
        allowed += half_ulp(sizes, dtype) * (1.0 + 2.0**-20)  # at a tie one may end on either side
    whole = (1.0 + 2.0**-20) * sizes  # what 0 is wrong by, and a little for what the exact entry was rounded by
    lost = SMALLEST[real] if function == "log_softmax" else np.maximum(allowed, whole)
    allowed = np.where(sizes < SMALLEST[real], lost, allowed)
    found = np.zeros(len(rounded))
    with np.errstate(divide="ignore", invalid="ignore"):
        found[possible] = np.where(error > 0.0, error / allowed, 0.0)
    return found


def wrong(function, dtype, results, exact):
    found = {}
    for key, result in results.items():
        too_far = excess(function, dtype, result, exact[key])
        if not np.all(too_far <= 1.0):
            worst = int(np.argmax(too_far))
            got, wanted = float(as_numbers(result, dtype)[worst]), float(exact[key][0][worst])
            found[key] = f"entry {worst}: got {got!r}, exact {wanted!r}: {too_far[worst]:.3g} times the bound"
    return found


# Entry by entry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_entry_is_right(function, dtype, level):
    results, exact = {}, {}
    for length in LENGTHS:
        for temperature in (1.0, TEMPERATURES[1 + length % 4]):
            rows = tables(SINGLE, length, dtype)[0]
            found = call(level, f"logits.{function}", rows, temperature=temperature, **told(dtype))
            assert found.dtype == rows.dtype and found.shape == rows.shape
            for name, result in zip(SINGLE, found, strict=True):
                results[name, length, temperature] = result
                exact[name, length, temperature] = exact_row(function, name, length, dtype, temperature)
    assert not wrong(function, dtype, results, exact)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_entry_of_long_rows_is_right(function, dtype, level):
    results, exact = {}, {}
    for (name, length), temperature in zip(LONG_SINGLE, TEMPERATURES, strict=False):
        key = name, length, temperature
        results[key] = call(
            level, f"logits.{function}", logit_rows(name, length, dtype)[0], temperature=temperature, **told(dtype)
        )
        exact[key] = exact_row(function, name, length, dtype, temperature)
    assert not wrong(function, dtype, results, exact)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_entry_down_to_the_smallest_normal_number_is_right(function, dtype, level):
    """Scores far apart: where the exponential of a rounded difference would be wrong by hundreds of ulps."""
    furthest = {"float32": 87.0, "float64": 708.0}[dtype]
    random = np.random.default_rng(7)
    results, exact = {}, {}
    for length in (10, 100, 1000):
        for shift in (0.0, 33.3, -1000.1):
            x = (shift - random.uniform(0.0, furthest, length)).astype(dtype)
            for temperature in (1.0, 0.7):
                results[length, shift, temperature] = call(level, f"logits.{function}", x, temperature=temperature)
                exact[length, shift, temperature] = _exact_entries(
                    function, x.astype(np.float64).tobytes(), temperature
                )
    assert not wrong(function, dtype, results, exact)


@functools.cache
def _exact_entries(function, row, temperature):
    return getattr(oracles_logits, function)(np.frombuffer(row), temperature)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_a_softmax_sums_to_one(dtype, level):
    for length in (*LENGTHS, 1000, 5000):
        for temperature in TEMPERATURES:
            rows = call(level, "logits.softmax", tables(SINGLE, length, dtype)[0], temperature=temperature)
            sums = np.sum(rows.astype(np.float64), axis=-1)
            assert np.all(np.abs(sums - 1.0) <= (UNITS["softmax", dtype] + 12) * EPSILON[dtype])


@pytest.mark.parametrize("level", LEVELS)
def test_bfloat16_arrays_give_what_their_bits_do(level):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="numpy has no bfloat16 of its own")
    bits = tables(SINGLE, 129, "bfloat16")[0]
    for function in FUNCTIONS:
        result = call(level, f"logits.{function}", bits.view(ml_dtypes.bfloat16), temperature=0.7)
        assert result.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(
            result.view(np.uint16), call(level, f"logits.{function}", bits, temperature=0.7, dtype="bfloat16")
        )
        assert not np.any(np.isnan(from_bfloat16_bits(result.view(np.uint16))))


# Numbers for a row, at a temperature ---------------------------------------------------------------------------------

VALUE_BOUNDS = {
    ("kl_divergence", "float32"): 2.0**-21,
    ("js_divergence", "float32"): 2.0**-21,
    ("js_distance", "float32"): 2.0**-22,
    ("entropy", "float32"): 2.0**-22,
    ("logsumexp", "float32"): 2.0**-22,
    ("kl_divergence", "float64"): 2.0**-49,
    ("js_divergence", "float64"): 2.0**-49,
    ("js_distance", "float64"): 2.0**-50,
    ("entropy", "float64"): 2.0**-49,
    ("logsumexp", "float64"): 2.0**-49,
}
VALUES = ("kl_divergence", "js_divergence", "entropy", "logsumexp")
BETAS = (0.01, 0.1, 0.3, 0.7, 0.9, 0.99)
# Where the exact answer is 0 for rows that are not equal but shifted: what may be left of it, below the root.
NEXT_TO_NOTHING = 2.0**-90


@functools.cache
def exact_value(function, name, length, dtype, **options):
    x, y = numbers(name, length, dtype)
    if function == "logsumexp":
        return oracles_logits.logsumexp(x, **options), oracles_logits.size_of_logsumexp(x, **options)
    return getattr(oracles_logits, function)(*((x,) if function == "entropy" else (x, y)), **options), None


def wrong_values(function, dtype, results, exact):
    found = {}
    bound = VALUE_BOUNDS[function, COMPUTED_IN[dtype]]
    for key, result in results.items():
        value, size = exact[key]
        if value == 0 and size is None:
            limit = np.sqrt(NEXT_TO_NOTHING) if function == "js_distance" else NEXT_TO_NOTHING
            units = 0.0 if 0.0 <= result <= limit else np.inf
        else:
            units = oracles.relative_error(result, value, size) / bound
            if function == "js_distance" and not units <= 1.0:  # a double cannot be right about less, below the root
                with mpmath.workprec(256):
                    units = 0.0 if abs(mpmath.mpf(float(result)) ** 2 - value**2) <= mpmath.ldexp(1, -1022) else units
        if not units <= 1.0 or (function != "logsumexp" and result < 0.0):
            found[key] = f"got {float(result)!r}, exact {float(value)!r}: {units:.3g} times the bound"
    return found


def check_values(level, function, dtype, settings):
    """Hold the function to its bound for the named rows, each length with the next of the settings."""
    single = function in ("entropy", "logsumexp")
    results, exact = {}, {}
    cases = [(SINGLE if single else PAIRED, length) for length in LENGTHS]
    cases += [((name,), length) for name, length in (LONG_SINGLE if single else LONG_PAIRED)]
    for place, (names, length) in enumerate(cases):
        options = settings[place % len(settings)]
        x, y = tables(names, length, dtype)
        values = call(level, f"logits.{function}", *((x,) if single else (x, y)), **options, **told(dtype))
        for name, value in zip(names, values, strict=True):
            key = (name, length, *options.values())
            results[key] = value
            exact[key] = exact_value(function, name, length, dtype, **options)
    assert not wrong_values(function, dtype, results, exact)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("start", (0, 1, 2))
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", VALUES)
def test_right_at_any_temperature(function, dtype, start, level):
    temperatures = TEMPERATURES[1:] if dtype in REAL else TEMPERATURES[1:3]
    if start and dtype in HALVES:
        temperatures = temperatures[start - 1 : start]
    settings = [{"temperature": one} for one in temperatures]
    check_values(level, function, dtype, settings[start:] + settings[:start])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("start", range(0, 6, 2))
@pytest.mark.parametrize("dtype", REAL)
def test_js_divergence_is_right_for_any_share(dtype, start, level):
    settings = [{"beta": beta} for beta in BETAS]
    check_values(level, "js_divergence", dtype, settings[start:] + settings[:start])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_js_divergence_is_right_for_shares_at_a_temperature(dtype, level):
    settings = [{"beta": beta, "temperature": one} for beta, one in zip(BETAS, TEMPERATURES, strict=False)]
    check_values(level, "js_divergence", dtype, settings)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_js_distance_is_right(dtype, level):
    settings = [{}, {"beta": 0.1}, {"temperature": 0.7}, {"beta": 0.99, "temperature": 3.0}]
    check_values(level, "js_distance", dtype, settings)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("beta", BETAS)
def test_js_divergence_of_rows_that_share_no_class_is_the_entropy_of_the_shares(beta, dtype, level):
    x, y = (row.copy() for row in logit_rows("normal", 1000, dtype))
    x[:400], y[400:] = -np.inf, -np.inf
    with mpmath.workprec(128):
        share = mpmath.mpf(beta)
        exact = -share * mpmath.log(share) - (1 - share) * mpmath.log(1 - share)
    result = call(level, "logits.js_divergence", x, y, beta=beta)
    assert oracles.relative_error(result, exact) <= VALUE_BOUNDS["js_divergence", dtype]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("options", ({"temperature": 0.7}, {"temperature": 1.0 / 3.0}, {"temperature": 3.0}), ids=str)
def test_a_row_is_exactly_zero_away_from_itself_at_any_temperature(options, dtype, level):
    for length in (*LENGTHS, 1000, 5000):
        for rows in tables(SINGLE, length, dtype):
            assert np.all(call(level, "logits.kl_divergence", rows, rows.copy(), **options, **told(dtype)) == 0.0)
            for beta in (0.01, 0.5, 0.9):
                values = call(level, "logits.js_divergence", rows, rows.copy(), beta=beta, **options, **told(dtype))
                assert np.all(values == 0.0)
