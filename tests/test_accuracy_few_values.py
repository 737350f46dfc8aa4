"""Rows of few values: the rounding errors of a value all point the same way, in its term and in every sum of such terms.

Label-smoothed targets, uniform rows and histograms look like that. Each exact value is that of the distinct values, times how
often they occur.
"""

import functools

import mpmath
import numpy as np
import pytest
from cpu_levels import LEVELS, call

ROWS = 40
DTYPES = (np.float32, np.float64)
# (what, length): short rows are computed side by side, long ones in steps, the longest in several blocks.
LENGTHS = (3, 10, 29, 60, 256, 257, 512, 1000, 5000)


def bound(operation, dtype):
    if dtype == np.float64:
        return 2.0**-49
    return 2.0**-22 if operation in ("entropy", "cross_entropy", "logits.entropy", "logits.cross_entropy") else 2.0**-21


def smoothed(random, length):
    """A label, or several, with what smoothing left for the others; against the uniform distribution."""
    count = int(random.integers(1, min(length - 1, 8) + 1))
    share = 10.0 ** random.uniform(-4, -0.3)
    return [(count, (1 - share) / count, 1 / length), (length - count, share / (length - count), 1 / length)]


def two_values(random, length):
    count = int(random.integers(1, length))
    values = np.exp(random.normal(size=(2, 2)) * random.choice([0.3, 1, 3]))
    return [(count, *values[0]), (length - count, *values[1])]


def three_values(random, length):
    """Also for logits: one above all others."""
    count = int(random.integers(1, max(2, length - 1)))
    levels = random.uniform(5, 20), random.uniform(-3, 3), random.uniform(-12, -3)
    return list(zip((1, count, length - 1 - count), levels, random.permutation(levels)))


# Pairs whose error was largest before sums of floats were ended sooner, and those of doubles: (times, p, q).
FOUND = {
    np.float32: [
        [(3, 0.33, 1 / 60), (57, 0.01 / 57, 1 / 60)],
        [(3, 0.331978440284729, 1.0), (47, 8.648190851090476e-05, 1.0)],
        [(3, 6.665722846984863, 7.729472637176514), (26, 0.012447135522961617, 14.053789138793945)],
        [(33, 313.79071044921875, 1.0), (223, 0.00836880411952734, 1.0)],
        [(4, 0.005276807583868504, 0.04057434946298599), (6, 0.24233028292655945, 0.557805597782135)],
        [(54, 69.92784118652344, 0.0710793286561966), (202, 0.05479554459452629, 13.02239990234375)],
        [(14, 158.88467407226562, 30.259675979614258), (91, 1.0408551692962646, 0.6575978398323059)],
        [(2, 0.15848423540592194, 0.8680633902549744), (1, 17.72243309020996, 2.3417181968688965)],
        [(2, 0.060682669281959534, 0.8680633902549744), (1, 260.8562927246094, 2.3417181968688965)],
        [(230, 0.8466887474060059, 0.19589485228061676), (26, 0.4767921268939972, 0.40960830450057983)],
    ],
    np.float64: [
        [(59, 3100.4327722581493, 1.0), (941, 0.0013281726655972744, 1.0)],
        [(8, 2.488185507252431, 20.040442439731574), (107, 0.014558813239863636, 0.020495997704916204)],
        [(5, 6.5268829339837895, 1.39735806217307), (95, 0.1731214963282168, 3.1535644512179535)],
        [(93, 0.23627181320306073, 1.454360968932505), (907, 0.7579326891692193, 0.4111267680470561)],
        [(16, 8.591421870147302, 0.018684651094748737), (99, 0.31675580217521254, 0.23840302235083993)],
    ],
}


@functools.cache
def rows_of(kind, length, dtype):
    """[(times, p, q), ...] of every row, the values as that type has them."""
    if kind == "found":
        rows = [row for row in FOUND[dtype] if sum(times for times, *_ in row) == length]
    else:
        random = np.random.default_rng(length)
        rows = [
            {"smoothed": smoothed, "two": two_values, "three": three_values}[kind](random, length) for _ in range(ROWS)
        ]
    return [[(times, *(float(dtype(value)) for value in values)) for times, *values in row] for row in rows]


def laid_out(row, side, dtype):
    return np.repeat(np.array([values[side] for values in row], dtype), [values[0] for values in row])


def exact_value(operation, row):
    with mpmath.workdps(60):
        times, p, q = (list(map(mpmath.mpf, column)) for column in zip(*row))
        if operation.startswith("logits."):
            p = [mpmath.exp(x) for x in p]
            first = p[0] / mpmath.fdot(times, p)
            if operation == "logits.cross_entropy":
                return -mpmath.log(first)
        total_p, total_q = mpmath.fdot(times, p), mpmath.fdot(times, q)
        pairs = [(n, a / total_p, b / total_q) for n, a, b in zip(times, p, q)]
        return mpmath.fsum(n * TERMS[operation.removeprefix("logits.")](a, b) for n, a, b in pairs)


def log(x):
    return mpmath.log(x)


TERMS = {
    "entropy": lambda p, q: -p * log(p),
    "cross_entropy": lambda p, q: -p * log(q),
    "kl_divergence": lambda p, q: p * log(p / q) - p + q,
    "js_divergence": lambda p, q: (p * log(2 * p / (p + q)) + q * log(2 * q / (p + q))) / 2,
    "jeffreys": lambda p, q: (p - q) * log(p / q),
    "chi2_divergence": lambda p, q: (p - q) ** 2 / q,
}


def check(operation, kind, length, dtype, level):
    rows = rows_of(kind, length, dtype)
    if not rows:
        return
    sides = [np.stack([laid_out(row, side, dtype) for row in rows]) for side in (1, 2)]
    if operation == "logits.cross_entropy":
        arguments = sides[0], np.zeros(len(rows), int)
    else:
        arguments = sides[:1] if operation.endswith("entropy") and "cross" not in operation else sides
    results = call(level, operation, *arguments)
    for row, result in zip(rows, results, strict=True):
        exact = exact_value(operation, row)
        error = abs((mpmath.mpf(float(result)) - exact) / exact)
        assert error <= bound(operation, dtype), f"{row}: {float(error / bound(operation, dtype)):.3g} times the bound"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", TERMS)
@pytest.mark.parametrize("kind", ("smoothed", "two"))
def test_weights_of_few_values(kind, operation, dtype, length, level):
    check(operation, kind, length, dtype, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", TERMS)
def test_the_worst_pairs_that_were_found(operation, dtype, level):
    for length in {sum(times for times, *_ in row) for row in FOUND[dtype]}:
        check(operation, "found", length, dtype, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ("logits.entropy", "logits.cross_entropy"))
def test_logits_of_few_values(operation, dtype, length, level):
    check(operation, "three", length, dtype, level)
