"""Gradients by the scores are as accurate as promised, at every CPU level.

The promise is a bound on the error relative to the largest entry of the row's exact gradient (see `oracles_gradients`), or,
where entries are differences of larger terms, to the largest of these: p*(|log(p/q)| + KL) for the divergences, and p and b
for losses that weigh other classes than the label's.
"""

import functools

import mpmath
import numpy as np
import oracles_gradients
import oracles_logits
import pytest
from cpu_levels import LEVELS, call
from logit_rows import (
    CASES,
    COMPUTED_IN,
    FLOATS,
    HALVES,
    LONG_PAIRED,
    LONG_SINGLE,
    PAIRED,
    POSSIBLE,
    REAL,
    SINGLE,
    SMALLEST,
    as_numbers,
    half_ulp,
    keywords_of,
    names_for,
    numbers,
    soft_targets,
    tables,
    target_of,
    told,
)
from reductions import assert_same_bits

BOUNDS = {"float32": 2.0**-20, "float64": 2.0**-47}
# What may be left of entries that are exactly 0 because rows are shifted, not equal: the root of what may be of a value.
NEXT_TO_NOTHING = 2.0**-45
DIVERGENCES = ("kl_divergence", "js_divergence", "entropy")
LENGTHS = (1, 2, 3, 10, 257, 513)

# All that enters a gradient by more than a factor, with the oracle of the same name.
SETTINGS = {
    ("kl_divergence", "plain"): {},
    ("kl_divergence", "temperature 0.7"): {"temperature": 0.7},
    ("kl_divergence", "temperature 3"): {"temperature": 3.0},
    ("js_divergence", "plain"): {},
    ("js_divergence", "share 0.1"): {"beta": 0.1},
    ("js_divergence", "share 0.99, temperature 0.7"): {"beta": 0.99, "temperature": 0.7},
    ("entropy", "plain"): {},
    ("entropy", "temperature 0.1"): {"temperature": 0.1},
    ("entropy", "temperature 1/3"): {"temperature": 1.0 / 3.0},
}
LOSSES = (
    "plain",
    "temperature 1/3",
    "smoothing",
    "smoothing over finite",
    "weight, smoothing",
    "z loss, temperature",
    "z loss, weight, smoothing",
    "low cap, temperature",
)


@functools.cache
def exact_gradients(operation, case, name, length, dtype):
    """The oracle's gradient by each of the rows, worked out once for all levels."""
    x, y = numbers(name, length, dtype)
    options = SETTINGS[operation, case]
    if operation == "entropy":
        return (oracles_gradients.entropy(x, **options),)
    return getattr(oracles_gradients, operation)(x, y, **options)


@functools.cache
def exact_loss_gradient(case, name, length, dtype, choice):
    x = numbers(name, length, dtype)[0]
    target = soft_targets(length) if choice == "soft" else target_of(x, choice)
    return oracles_gradients.cross_entropy(x, target, **keywords_of(CASES[case], length))


def size_of_terms(operation, x, y=None, temperature=1.0, beta=0.5):
    """The largest of the terms whose differences the entries of a divergence's gradients are, by x and by y."""
    with np.errstate(all="ignore"):
        p, q = (None if one is None else _softmax(one / temperature) for one in (x, y))
        if operation == "entropy":
            logs = np.log(p)
            return (_largest(p, logs, -np.sum(np.where(p > 0, p * logs, 0.0))) / temperature,)
        middle = beta * p + (1.0 - beta) * q
        if operation == "kl_divergence":
            differences = np.log(p) - np.log(q)
            mean = np.sum(np.where(p > 0, p * differences, 0.0))
            return (_largest(p, differences, mean) / temperature,) * 2
        sides = []
        for one, share in ((p, beta), (q, 1.0 - beta)):
            logs = np.where(middle > 0, np.log(one) - np.log(middle), 0.0)  # half of the smallest number is nothing
            sides.append(share * _largest(one, logs, np.sum(np.where(one > 0, one * logs, 0.0))) / temperature)
        return tuple(sides)


def size_of_loss_terms(x, temperature=1.0, softcap=None, weight=None, label_smoothing=0.0, z_loss=0.0, **_):
    """The same of a loss that weighs more than the label's class: what multiplies p, and so b, at most."""
    if weight is None and softcap is None and not (label_smoothing or z_loss):
        return 0.0
    scores = (x if softcap is None else softcap * np.tanh(x / softcap)) / temperature
    normalizer = np.max(scores) + np.log(np.sum(np.exp(scores - np.max(scores))))
    heaviest = 1.0 if weight is None else float(np.max(weight))
    return float(heaviest + 2.0 * z_loss * abs(normalizer)) / temperature


def _softmax(scores):
    weights = np.exp(scores - np.max(scores))
    return weights / np.sum(weights)


def _largest(p, logs, mean):
    terms = np.where(p > 0, p * (np.abs(logs) + abs(mean)), 0.0)
    return float(np.max(terms[np.isfinite(terms)], initial=0.0))


def units_of_error(result, exact, dtype, size=0.0):
    """The largest error in units of what is allowed; nothing below the smallest normal number has to be right."""
    real = COMPUTED_IN[dtype]
    rounded, rest = exact
    result = as_numbers(result, dtype)
    largest = max(np.max(np.abs(rounded)), size)
    if largest == 0.0:
        return float(np.max(np.abs(result)) / NEXT_TO_NOTHING)
    allowed = BOUNDS[real] * largest + SMALLEST[real]
    if dtype in HALVES:
        allowed = allowed + half_ulp(rounded, dtype) * (1.0 + 2.0**-20)  # at a tie one may end on either side
    units = np.abs((result - rounded) - rest) / allowed
    return np.inf if np.any(np.isnan(units)) else float(np.max(units))


def wrong(results, exact, dtype, sizes=None):
    """What is beyond the bound; results, exact gradients and the sizes of their terms go by the same names."""
    sizes = sizes or {}
    units = {key: units_of_error(result, exact[key], dtype, sizes.get(key, 0.0)) for key, result in results.items()}
    return {
        key: f"{one:.3g} times what is allowed; largest entry {np.max(np.abs(exact[key][0])):.3g}"
        for key, one in units.items()
        if not one <= 1.0
    }


def assert_sums_to_nothing(results, exact, dtype, sizes):
    """Adding a number to all scores changes nothing. (Of a gradient that is exactly 0 nothing but rounding is left.)"""
    bound = BOUNDS[dtype]
    for key, result in results.items():
        row = result.astype(np.float64)
        assert (
            not np.any(exact[key][0])
            or abs(np.sum(row)) <= bound * (np.sum(np.abs(row)) + sizes[key]) + len(row) * SMALLEST[dtype]
        ), key


def cases_of(names, long, lengths=LENGTHS):
    return [(names, length) for length in lengths] + [((name,), length) for name, length in long]


# Accuracy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operation, case", SETTINGS)
def test_gradients_of_divergences(operation, case, dtype, level):
    options = SETTINGS[operation, case]
    single = operation == "entropy"
    wrt = {} if single else {"wrt": "both"}
    lengths, long = (LENGTHS, LONG_SINGLE if single else LONG_PAIRED) if dtype in REAL else ((3, 513), ())
    results, exact, sizes = {}, {}, {}
    for names, length in cases_of(SINGLE if single else PAIRED, long, lengths):
        x, y = tables(names, length, dtype)
        inputs = (x,) if single else (x, y)
        gradients = call(level, f"logits.{operation}_grad", *inputs, **wrt, **options, **told(dtype))
        for side, by_side in zip("xy", (gradients,) if single else gradients, strict=False):
            assert by_side.dtype == x.dtype and by_side.shape == x.shape
            for name, result in zip(names, by_side, strict=True):
                key = name, length, side
                results[key] = result
                exact[key] = exact_gradients(operation, case, name, length, dtype)["xy".index(side)]
                rows = numbers(name, length, dtype)[: 1 if single else 2]
                sizes[key] = size_of_terms(operation, *rows, **options)["xy".index(side)]
    assert not wrong(results, exact, dtype, sizes)
    if dtype in REAL:
        assert_sums_to_nothing(results, exact, dtype, sizes)


def furthest_of_what_y_has(level, x, y):
    """The largest KL among rows of which all gradients by y are held to their bound."""
    furthest = 0.0
    for *rows, result in zip(x, y, call(level, "logits.kl_divergence_grad", x, y, wrt="y"), strict=True):
        wide = [row.astype(np.float64) for row in rows]
        rounded, rest = oracles_gradients.kl_divergence(*wide)[1]
        largest = max(np.max(_softmax(row)) for row in wide)
        assert np.max(np.abs((result - rounded) - rest)) <= BOUNDS[x.dtype.name] * largest
        furthest = max(furthest, float(oracles_logits.kl_divergence(*wide)))
    return furthest


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_what_y_has_is_right_however_far_it_is_from_x(dtype, level):
    """At a KL of some hundred nats q - p, which is about q, has no error that grows with them."""
    furthest = 0.0
    for length in (3, 40, 256, 300, 1500):
        random = np.random.default_rng(length)
        x = random.normal(0.0, 0.3, (8, length)).astype(dtype)
        y = (random.normal(size=(8, length)) * np.geomspace(3.0, 100.0, 8)[:, np.newaxis]).astype(dtype)
        furthest = max(furthest, furthest_of_what_y_has(level, x, y))
    assert furthest > 200.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_what_y_has_is_right_where_it_is_like_x_in_a_row_far_away(dtype, level):
    """Of two classes of x, y has one alone: q is of the size of p there, and their ratio that of two huge numbers."""
    furthest = 0.0
    for length in (5, 200, 256, 257, 1500):
        random = np.random.default_rng(length)
        for far in (5.0, 20.0, 50.0, 90.0, 200.0, 600.0, 1000.0):
            x = random.normal(-30.0, 1.0, (12, length))
            y = random.normal(0.0, 1.0, (12, length))
            x[:, :2] = 0.9, 1.0
            y[:, 0] += far + random.random(12)
            furthest = max(furthest, furthest_of_what_y_has(level, x.astype(dtype), y.astype(dtype)))
    assert furthest > 400.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES)
def test_gradients_of_losses_of_class_ids(case, dtype, level):
    options, all_names = CASES[case], names_for(CASES[case])
    lengths, long = (LENGTHS, LONG_SINGLE[:2]) if dtype in REAL else ((3, 513), ())
    results, exact, sizes = {}, {}, {}
    for names, length in cases_of(all_names, long, lengths):
        x = tables(names, length, dtype)[0]
        for choice in ("likeliest", "last"):
            targets = np.array([target_of(numbers(name, length, dtype)[0], choice) for name in names])
            gradients = call(
                level, "logits.cross_entropy_grad", x, targets, **keywords_of(options, length), **told(dtype)
            )
            assert gradients.dtype == x.dtype and gradients.shape == x.shape
            for name, result in zip(names, gradients, strict=True):
                results[name, length, choice] = result
                exact[name, length, choice] = exact_loss_gradient(case, name, length, dtype, choice)
                row = numbers(name, length, dtype)[0]
                sizes[name, length, choice] = size_of_loss_terms(row, **keywords_of(options, length))
    assert not wrong(results, exact, dtype, sizes)
    if dtype in REAL and not {"softcap", "z_loss"} & set(options):  # the other two do change when all scores do
        assert_sums_to_nothing(results, exact, dtype, sizes)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("case", ("plain", "weight, smoothing", "z loss, temperature", "low cap, temperature"))
def test_gradients_of_losses_of_target_probabilities(case, dtype, level):
    results, exact, sizes = {}, {}, {}
    for length in (1, 3, 10, 129):
        x = tables(POSSIBLE, length, dtype)[0]
        targets = np.tile(soft_targets(length), (len(x), 1))
        gradients = call(level, "logits.cross_entropy_grad", x, targets, **keywords_of(CASES[case], length))
        for name, result in zip(POSSIBLE, gradients, strict=True):
            results[name, length] = result
            exact[name, length] = exact_loss_gradient(case, name, length, dtype, "soft")
            sizes[name, length] = size_of_loss_terms(
                numbers(name, length, dtype)[0], **keywords_of(CASES[case], length)
            )
    assert not wrong(results, exact, dtype, sizes)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_one_hot_targets_have_gradients_as_good_as_class_ids(dtype, level):
    """All but certain of its target, a row's gradient is what is missing from 1: not p - 1, computed."""
    results, exact = {}, {}
    for length in (3, 129, 1000):
        x = tables(POSSIBLE, length, dtype)[0]
        targets = np.array([target_of(numbers(name, length, dtype)[0], "likeliest") for name in POSSIBLE])
        gradients = call(level, "logits.cross_entropy_grad", x, np.eye(length)[targets].astype(dtype))
        for name, result in zip(POSSIBLE, gradients, strict=True):
            results[name, length] = result
            exact[name, length] = exact_loss_gradient("plain", name, length, dtype, "likeliest")
    assert not wrong(results, exact, dtype)


@functools.cache
def flat_row(length, kind, dtype):
    """A row without a class that has most of p, a target close to its softmax, and the exact gradient."""
    random = np.random.default_rng(length)
    x = (random.normal(0.0, 1.0, length) if kind == "spread" else np.zeros(length)).astype(dtype)
    target = np.exp(x.astype(np.float64)) * (1.0 + 0.1 * random.normal(0.0, 1.0, length))
    target = (target / target.sum()).astype(dtype)
    return x, target, oracles_gradients.cross_entropy(x, target)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("kind", ("spread", "equal"))
@pytest.mark.parametrize("length", (100, 1000, 20_000))
def test_targets_close_to_the_softmax_of_many_classes(length, kind, dtype, level):
    """p - b is held to p there, however small that is beside 1."""
    x, target, exact = flat_row(length, kind, dtype)
    result = call(level, "logits.cross_entropy_grad", x, target)
    likeliest = float(np.max(_softmax(x.astype(np.float64))))
    assert not wrong({kind: result}, {kind: exact}, dtype, {kind: likeliest})


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_where_the_divergence_is_infinite_only_the_second_gradient_is_a_number(dtype, level):
    for length in (3, 10, 129, 1000):
        y, x = (row.copy() for row in tables(("masked in x",), length, dtype))
        x[0, -1], y[0, -1] = -np.inf, 0.0  # impossible in the first alone
        y[0, 1] = -np.inf  # and in the second alone
        by_x, by_y = call(level, "logits.kl_divergence_grad", x, y, wrt="both")
        np.testing.assert_array_equal(np.isnan(by_x), x > -np.inf)
        assert by_x[0, -1] == 0.0
        exact = {"y": oracles_gradients.kl_divergence(*(one[0].astype(np.float64) for one in (x, y)))[1]}
        assert not wrong({"y": by_y[0]}, exact, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_of_divergences_of_a_row_from_itself_are_exactly_zero(dtype, level):
    for length in (*LENGTHS, 1000):
        rows = tables(SINGLE, length, dtype)[0]
        for operation, options in (("kl_divergence", {}), ("js_divergence", {"beta": 0.3, "temperature": 0.7})):
            both = call(level, f"logits.{operation}_grad", rows, rows.copy(), wrt="both", **options, **told(dtype))
            for gradient in both:
                assert not np.any(as_numbers(gradient, dtype))


# Together and apart --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_value_and_gradient_together_have_the_bits_they_have_apart(dtype, level):
    calls = [(operation, options) for (operation, _), options in SETTINGS.items()]
    for length in (2, 10, 129, 1000):
        x, y = tables(PAIRED, length, dtype)
        for operation, options in calls:
            options = options | told(dtype)
            inputs = (x,) if operation == "entropy" else (x, y)
            value = call(level, f"logits.{operation}", *inputs, **options)
            for wrt in ({},) if operation == "entropy" else ({"wrt": "x"}, {"wrt": "y"}, {"wrt": "both"}):
                apart = call(level, f"logits.{operation}_grad", *inputs, **wrt, **options)
                together = call(level, f"logits.{operation}_value_and_grad", *inputs, **wrt, **options)
                assert_same_bits(together[0], value)
                assert_same_gradients(together[1], apart)
        targets = np.array([target_of(numbers(name, length, dtype)[0], "last") for name in PAIRED])
        targets[1] = -100
        for case in LOSSES:
            for reduction in ("none", "mean"):
                options = keywords_of(CASES[case], length) | told(dtype) | {"reduction": reduction}
                value = call(level, "logits.cross_entropy", x, targets, **options)
                apart = call(level, "logits.cross_entropy_grad", x, targets, **options)
                together = call(level, "logits.cross_entropy_value_and_grad", x, targets, **options)
                assert_same_bits(together[0], value)
                assert_same_gradients(together[1], apart)


def assert_same_gradients(one, other):
    one, other = (sides if isinstance(sides, tuple) else (sides,) for sides in (one, other))
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_one_gradient_asked_for_is_the_same_as_both(dtype, level):
    for length in (2, 10, 129, 1000):
        for operation in ("kl_divergence", "js_divergence"):
            function, rows = f"logits.{operation}_grad", tables(PAIRED, length, dtype)
            both = call(level, function, *rows, wrt="both")
            assert_same_gradients(tuple(call(level, function, *rows, wrt=side) for side in "xy"), both)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_a_factor_and_a_base_multiply_the_gradient(dtype, level):
    """Within a few roundings more than the bound; what is handed back must be finished in double before it is rounded."""
    x, y = tables(PAIRED, 129, dtype)
    factors = np.random.default_rng(3).normal(0.0, 10.0, len(x))
    for (operation, case), options in SETTINGS.items():
        inputs = (x,) if operation == "entropy" else (x, y)
        wrt = {} if operation == "entropy" else {"wrt": "both"}
        found = call(level, f"logits.{operation}_grad", *inputs, grad_output=factors, base=2, **wrt, **options)
        for side, by_side in enumerate((found,) if operation == "entropy" else found):
            results, exact, sizes = {}, {}, {}
            for row, name in enumerate(PAIRED):
                of_row = exact_gradients(operation, case, name, 129, dtype)[side]
                rows = numbers(name, 129, dtype)[: len(inputs)]
                scale = abs(float(factors[row])) / np.log(2.0)
                sizes[name] = scale * size_of_terms(operation, *rows, **options)[side]
                exact[name] = _times(of_row, float(factors[row]))
                results[name] = by_side[row]
            assert not wrong(results, exact, dtype, sizes), operation


def _times(exact, factor):
    """An exact row times factor/log 2."""
    with mpmath.workprec(160):
        scale = mpmath.mpf(factor) / mpmath.log(2)
        entries = [(mpmath.mpf(a) + mpmath.mpf(b)) * scale for a, b in zip(*(one.tolist() for one in exact))]
        rounded = [float(entry) for entry in entries]
        rest = [float(entry - value) for entry, value in zip(entries, rounded, strict=True)]
    return np.array(rounded), np.array(rest)
