"""Classes of which nothing is left in p, and something or nothing in q: a divergence counts what q has there, and what rows
that are all but equal, or differ by a constant, have elsewhere."""

import functools
import itertools

import numpy as np
import oracles
import oracles_gradients
import pytest
import scipy.special
from cpu_levels import LEVELS, call_each

BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
GRADIENT_BOUNDS = {"float32": 2.0**-20, "float64": 2.0**-47}  # relative to the largest entry of a row
LENGTHS = (3, 9, 16, 100, 256, 257, 2500)
# Below the first, exp is no normal number any more. Scores are relative to the largest.
LOW = {
    "float32": (-80.0, -86.5, -87.9, -88.3, -90.0, -130.0, -230.0, -1e9, -np.inf),
    "float64": (-700.0, -708.7, -712.0, -1e9, -np.inf),
}
# In y: from what outweighs all else to what nothing is left of, and what is impossible.
BESIDE = {
    "float32": (3.0, -20.0, -45.0, -59.0, -62.0, -75.0, -100.0, -940.0, -np.inf),
    "float64": (3.0, -36.0, -640.0, -684.0, -690.0, -720.0, -np.inf),
}
APART = {"float32": (0.0, 3e-11, 1e-6, 0.3), "float64": (0.0, 1e-133, 1e-8, 0.3)}
SHIFTS = (0.0, 40.0)


def rows_of(length, low, beside, apart, shift, dtype):
    """Likely classes that are `apart`, and some `low` ones, of which one is `beside` in y."""
    random = np.random.default_rng(length)
    likely = np.where(np.arange(length) % 3 < 2, 0.0, -1.0)
    x, y = likely.copy(), likely + apart * random.uniform(-1.0, 1.0, length)
    lower = np.arange(2, length, max(2, length // 4))
    x[lower] = y[lower] = low
    y[2] = beside
    return x.astype(dtype), (y - shift).astype(dtype)


@functools.cache
def pairs(length, dtype):
    kinds = [
        (low, beside, apart, shift)
        for low in LOW[dtype]
        for beside in (*BESIDE[dtype], low)
        for apart in APART[dtype]
        for shift in SHIFTS
        if length < 1000 or (shift == 0.0 and apart in APART[dtype][:2])
    ]
    return kinds, [rows_of(length, *kind, dtype) for kind in kinds]


@functools.cache
def exact_values(length, dtype):
    return [oracles.logits_kl_divergence(*(row.astype(np.float64) for row in pair)) for pair in pairs(length, dtype)[1]]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("length", LENGTHS)
def test_what_q_has_where_p_has_nothing_counts(length, dtype, level):
    kinds, calls = pairs(length, dtype)
    results = call_each(level, "logits.kl_divergence", calls)
    wrong = {}
    for kind, result, exact in zip(kinds, results, exact_values(length, dtype), strict=True):
        is_limit = exact == 0 or np.isinf(float(exact))
        right = result == float(exact) if is_limit else oracles.relative_error(result, exact) <= BOUNDS[dtype]
        if not right:
            wrong[kind] = (float(result), float(exact))
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("length", LENGTHS[:-1])
def test_side_by_side_they_have_the_same_bits(length, dtype, level):
    _, calls = pairs(length, dtype)
    x, y = (np.stack(rows) for rows in zip(*calls, strict=True))
    (together,) = call_each(level, "logits.kl_divergence", [(x, y)])
    np.testing.assert_array_equal(together, call_each(level, "logits.kl_divergence", calls))
    ((values, _),) = call_each(level, "logits.kl_divergence_value_and_grad", [(x, y)], wrt="y")
    np.testing.assert_array_equal(values, together)


@functools.cache
def exact_gradients(length, dtype):
    return [
        oracles_gradients.kl_divergence(*(row.astype(np.float64) for row in pair)) for pair in pairs(length, dtype)[1]
    ]


def allowed(x, y, kl, exact, dtype):
    """Errors by x and by y: of the largest entry, or of p*log(p/q) and p*KL, whose difference an entry by x is. A p below the
    normal numbers of the type may count as 0."""
    p = scipy.special.softmax(x)
    with np.errstate(invalid="ignore"):
        logs = np.abs(scipy.special.log_softmax(x) - scipy.special.log_softmax(y))
    logs = np.where(x > -np.inf, logs, 0.0)
    largest = [np.abs(rounded).max() for rounded, _ in exact]
    largest[0] = max(largest[0], (p * (logs + kl)).max())
    tiny = np.finfo(dtype).tiny
    return GRADIENT_BOUNDS[dtype] * largest[0] + tiny * (1 + logs.max()), GRADIENT_BOUNDS[dtype] * largest[1] + tiny


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("length", (3, 9, 100, 257, 1000))
def test_gradients_are_those_of_all_classes(length, dtype, level):
    kinds, calls = pairs(length, dtype)
    found = call_each(level, "logits.kl_divergence_grad", calls, wrt="both")
    wrong = {}
    for kind, pair, mine, exact, kl in zip(
        kinds, calls, found, exact_gradients(length, dtype), exact_values(length, dtype), strict=True
    ):
        if np.isinf(float(kl)):
            continue
        errors = [
            np.abs((one.astype(np.float64) - rounded) - rest).max()
            for one, (rounded, rest) in zip(mine, exact, strict=True)
        ]
        bounds = allowed(*(row.astype(np.float64) for row in pair), float(kl), exact, dtype)
        if not all(error <= bound for error, bound in zip(errors, bounds, strict=True)):
            wrong[kind] = (errors, bounds)
    assert not wrong


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_class_with_the_same_low_score_in_both_does_not_make_rows_equal(dtype, level):
    """All others differ by one constant: the low class is where they lie apart, be it next to nothing of q or all of it."""
    calls = []
    for length in (2, 3, 40, 128, 256, 300):
        for low, shift in itertools.product(
            (-90.0, -130.0, -720.0, -1000.0), (0.0, 1.5, 60.0, 130.0, 719.0, 1000.0, 1500.0)
        ):
            x = np.zeros(length, dtype)
            x[length // 2] = low
            calls.append((x, np.where(x == low, low, -shift).astype(dtype)))
    wrong = {}
    for (x, y), result in zip(calls, call_each(level, "logits.kl_divergence", calls), strict=True):
        exact = oracles.logits_kl_divergence(x.astype(np.float64), y.astype(np.float64))
        if not (result == 0.0 if exact == 0 else oracles.relative_error(result, exact) <= BOUNDS[dtype]):
            wrong[len(x), x.min(), -y.max()] = (float(result), float(exact))
    assert not wrong
