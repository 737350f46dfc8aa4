"""Divergences of rows between which there is next to nothing keep their digits, down to the end of the range.

Two kinds of rows: q that is p times a number but for its rounding, which is all that they differ by; and rows that are all but
one-hot, of which only what is far below the last bit of the one differs. c = sum p / sum q as a double, or as two, is not
close enough to tell these.
"""

import numpy as np
import oracles
import oracles_divergences
import pytest
from cpu_levels import LEVELS, call_each

BOUNDS = {"float32": 2.0**-21, "float64": 2.0**-49}
EXACT = {"kl_divergence": oracles.kl_divergence}
EXACT |= {
    name: getattr(oracles_divergences, name)
    for name in ("js_divergence", "total_variation", "hellinger", "chi2_divergence", "jeffreys")
}
RENYI_BOUND = 2.0**-45
ORDERS = (0.3, 0.5, 1.01, 1.5, 2, 2.7, 3, 7, np.inf)
LENGTHS = (2, 3, 4, 9, 50, 300)
LEAST = 1e-250  # of what is looked at


def multiples(random, length, dtype):
    """p, and p times a number, with as much rounding as there is in it, or one bit more in one entry."""
    p = (random.random(length) * 10.0 ** random.uniform(-6, 0, length)).astype(dtype)
    q = (p * np.asarray(10.0 ** random.uniform(-3, 3), dtype)).astype(dtype)
    if random.random() < 0.5:
        place = random.integers(length)
        q[place] = np.nextafter(q[place], np.inf, dtype=dtype)
    return p, q


def nearly_one_hot(random, length, dtype):
    """One entry of about 1, and others that are anything down to the end of the range, in q as in p but for some."""
    deepest = 35 if dtype == "float32" else 250 * random.random()
    p = 10.0 ** random.uniform(-deepest, -deepest / 2, length)
    one = random.integers(length)
    p[one] = random.uniform(0.5, 1.0)
    factor = random.choice([1.0, 10.0 ** random.uniform(-3, 3)])
    q = p * factor
    kind = random.integers(3)
    if kind == 0:
        q *= 1.0 + 10.0 ** random.uniform(-15, 0) * random.random(length)
    elif kind == 1:
        q *= np.exp(random.normal(size=length))
        q[one] = p[one] * factor
    else:
        q[random.integers(length)] *= 1.5
    return p.astype(dtype), q.astype(dtype)


def assert_digits(pairs, results, exact_of, bound):
    """The relative error of every result is at most `bound`; of most pairs there is something to look at."""
    beyond, looked_at = [], 0
    for (p, q), result in zip(pairs, results, strict=True):
        exact = exact_of(p.astype(np.float64), q.astype(np.float64))
        if LEAST < exact < np.inf:
            looked_at += 1
            units = oracles.relative_error(result, exact) / bound
            if not units <= 1.0:
                beyond.append((p.tolist(), q.tolist(), float(result), float(exact), float(units)))
        else:
            assert float(result) <= 2.0 * LEAST or exact == np.inf
    assert looked_at > len(pairs) / 2
    assert not beyond


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("rows", (multiples, nearly_one_hot))
@pytest.mark.parametrize("operation", EXACT)
def test_what_is_left_has_its_digits(operation, rows, dtype, level):
    random = np.random.default_rng([len(operation), dtype == "float32"])
    pairs = [rows(random, length, dtype) for length in LENGTHS for _ in range(40)]
    assert_digits(pairs, call_each(level, operation, pairs), EXACT[operation], BOUNDS[dtype])


def far_below_one(random, length, dtype):
    """Rows whose sums are anything that double holds with room to spare, and that differ by anything."""
    p = random.random(length) * 10.0 ** random.uniform(-6, 0, length) * 10.0 ** random.uniform(-255, 200)
    q = p * np.exp(random.normal(size=length) * 10.0 ** random.uniform(-12, 0.5)) * 10.0 ** random.uniform(0, 60)
    return p, q


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rows", (multiples, nearly_one_hot, far_below_one))
@pytest.mark.parametrize("alpha", ORDERS)
def test_renyi_has_its_digits_too(alpha, rows, level):
    random = np.random.default_rng(int(1 if alpha == np.inf else 1000 * alpha))
    pairs = [rows(random, length, "float64") for length in LENGTHS for _ in range(15)]
    results = call_each(level, "renyi_divergence", [(p, q, alpha) for p, q in pairs])
    assert_digits(pairs, results, lambda p, q: oracles_divergences.renyi_divergence(p, q, alpha), RENYI_BOUND)
