"""Rows of which a sample tells nothing: the first walk over a long row works with a guess of its sums, and however far off it
is, the result is as accurate as promised."""

import functools

import numpy as np
import oracles
import pytest
from cpu_levels import LEVELS, call
from test_accuracy_probability import BOUNDS, DTYPES, OPERATIONS, arguments

# What one entry of p, or of q, has more than all others together; the others add up to 1, so that the row looks normalised.
FACTORS = (2, 5, 30, 1e3, 4e4, 3e5, 2e6, 1e9)
LENGTHS = (513, 700, 3000, 10_000)
HEAVY = ("p", "q", "both", "p where q is small")
# In rows of several blocks, a sample that looks at the heavy entry takes all others for as heavy.
ROWS = [(heavy, length) for heavy in HEAVY for length in LENGTHS] + [
    ("the first of p", 10_000),
    ("the first of q", 10_000),
]


@functools.cache
def row_pair(length, dtype, factor, heavy):
    random = np.random.default_rng(length)
    p, q = random.dirichlet(np.ones(length), 2)
    q = np.where(random.random(length) < 0.5, q * 2.0**-40, q) if heavy == "p where q is small" else q
    place = length // 3 + 1
    if heavy.startswith("the first of"):
        (p if heavy.endswith("p") else q)[0] = factor
        return p.astype(dtype), q.astype(dtype)
    if heavy != "q":
        p[place] = factor
    if heavy == "p where q is small":
        q[place] = 2.0**-60
    if heavy in ("q", "both"):
        q[-place] = factor
    return p.astype(dtype), q.astype(dtype)


@functools.cache
def exact_value(operation, *description):
    rows = [row.astype(np.float64) for row in arguments(operation, *row_pair(*description))]
    return getattr(oracles, operation)(*rows)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("heavy", "length"), ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_guess_that_is_far_off_costs_no_digit(operation, dtype, heavy, length, level):
    for factor in FACTORS:
        description = length, dtype, factor, heavy
        result = call(level, operation, *arguments(operation, *row_pair(*description)))
        error = oracles.relative_error(result, exact_value(operation, *description))
        assert error <= BOUNDS[operation, dtype], (
            f"factor {factor}: {error / BOUNDS[operation, dtype]:.3g} times the bound"
        )


# Rows of logits that lie apart ----------------------------------------------------------------------------------------

LOGIT_OPERATIONS = ("kl_divergence", "js_divergence")
LOGIT_BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
# Of x - y. The KL is about half the square, and where that is 2 the formula changes.
SPREADS = (0.6, 1.0, 1.5, 1.9, 2.0, 2.1, 2.5, 4.0)


@functools.cache
def apart(length, dtype, spread, told):
    """Logits whose differences spread, and what a sample tells of them: the truth, or what a few lines were made to say."""
    random = np.random.default_rng(length)
    x = random.normal(0.0, 1.0, length)
    y = x + spread * random.normal(0.0, 1.0, length)
    sampled = np.arange(length) % 128 < 16
    if told == "too much":
        y[sampled] -= 6.0
        x[sampled] -= 3.0
    if told == "too little":
        y[sampled] = x[sampled]
    if told == "the other way":
        x, y = y, x
    x, y = x.astype(dtype), y.astype(dtype)
    exact = [
        getattr(oracles, f"logits_{name}")(x.astype(np.float64), y.astype(np.float64)) for name in LOGIT_OPERATIONS
    ]
    return x, y, exact


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("told", ("the truth", "too much", "too little", "the other way"))
@pytest.mark.parametrize("length", (513, 1000, 2048, 5000))
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_sample_of_logits_tells_costs_no_digit(dtype, length, told, level):
    for spread in SPREADS:
        x, y, exact = apart(length, dtype, spread, told)
        for name, value in zip(LOGIT_OPERATIONS, exact, strict=True):
            error = oracles.relative_error(call(level, f"logits.{name}", x, y), value)
            bound = LOGIT_BOUNDS[dtype]
            assert error <= bound, f"{name}, spread {spread}: {error / bound:.3g} times the bound"
