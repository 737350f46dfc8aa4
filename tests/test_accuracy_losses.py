"""Cross-entropy of logits with every option, and log-probabilities of tokens, are as accurate as promised at every CPU level.

Each promise is a bound on the relative error against the exact value for the very numbers given (see `oracles_logits`).
"""

import functools

import mpmath
import numpy as np
import oracles
import oracles_logits
import pytest
from cpu_levels import LEVELS, call
from logit_rows import (
    CASES,
    COMPUTED_IN,
    FLOATS,
    HALVES,
    LENGTHS,
    LONG_SINGLE,
    POSSIBLE,
    REAL,
    SINGLE,
    keywords_of,
    logit_rows,
    names_for,
    numbers,
    soft_targets,
    tables,
    target_of,
    told,
)
from reductions import assert_same_bits

BOUNDS = {"float32": 2.0**-22, "float64": 2.0**-49}
CHOICES = ("likeliest", "last")
SHORT_CASES = [(case, dtype) for case in CASES for dtype in REAL] + [
    (case, dtype) for case in ("plain", "temperature 0.7", "smoothing", "z loss, weight, smoothing") for dtype in HALVES
]


def lengths_for(case, dtype):
    return LENGTHS if case in ("plain", "smoothing", "z loss") and dtype in REAL else (2, 3, 10, 257)


@functools.cache
def exact_loss(case, name, length, dtype, choice):
    """The oracle's answer for a named row, worked out once for all levels."""
    x = numbers(name, length, dtype)[0]
    target = soft_targets(length).astype(dtype).astype(np.float64) if choice == "soft" else target_of(x, choice)
    return oracles_logits.cross_entropy(x, target, **keywords_of(CASES[case], length))


def units_of_error(result, exact, options, dtype):
    """The error in units of the bound. A cap in double is measured against the cap, where that is larger."""
    real = COMPUTED_IN[dtype]
    size = None
    if "softcap" in options and real == "float64" and mpmath.isfinite(exact):
        size = max(exact, mpmath.mpf(options["softcap"] / options.get("temperature", 1.0)))
    return oracles.relative_error(result, exact, size) / BOUNDS[real]


def wrong(results, exact, options, dtype):
    """What is beyond the bound, as readable as can be; results and exact values go by the same names."""
    found = {}
    for key, result in results.items():
        units = units_of_error(result, exact[key], options, dtype)
        if not units <= 1.0 or result < 0.0:
            found[key] = f"got {float(result)!r}, exact {float(exact[key])!r}: {units:.3g} times the bound"
    return found


# Class ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case, dtype", SHORT_CASES)
def test_losses_of_class_ids(case, dtype, level):
    options = CASES[case]
    names = names_for(options)
    results, exact = {}, {}
    for length in lengths_for(case, dtype):
        x = tables(names, length, dtype)[0]
        for choice in CHOICES:
            targets = np.array([target_of(numbers(name, length, dtype)[0], choice) for name in names])
            losses = call(level, "logits.cross_entropy", x, targets, **keywords_of(options, length), **told(dtype))
            for name, loss in zip(names, losses, strict=True):
                results[name, length, choice] = loss
                exact[name, length, choice] = exact_loss(case, name, length, dtype, choice)
    assert not wrong(results, exact, options, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(
    "case",
    ("temperature 0.7", "smoothing over finite", "weight, smoothing over finite", "z loss", "low cap, temperature"),
)
def test_losses_of_long_rows(case, dtype, level):
    options = CASES[case]
    results, exact = {}, {}
    for name, length in LONG_SINGLE:
        x = logit_rows(name, length, dtype)[0]
        for choice in CHOICES:
            target = target_of(numbers(name, length, dtype)[0], choice)
            key = name, length, choice
            results[key] = call(level, "logits.cross_entropy", x, target, **keywords_of(options, length))
            exact[key] = exact_loss(case, name, length, dtype, choice)
    assert not wrong(results, exact, options, dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
def test_a_loss_is_as_small_as_the_row_is_certain(dtype, level):
    """From 1e-3 down to 1e-300, by a temperature that sharpens, with and without other options that add nothing."""
    x = np.array([2.0, 1.0, 0.5, -3.0], dtype)
    results, exact = {}, {}
    for temperature in (0.1, 0.03, 0.01, 0.0015):
        for softcap in (None, 1e4):
            options = {"temperature": temperature, "softcap": softcap}
            results[temperature, softcap] = call(
                level, "logits.cross_entropy", x, 0, smooth_over="finite", weight=np.ones(4), **options
            )
            exact[temperature, softcap] = oracles_logits.cross_entropy(x.astype(np.float64), 0, **options)
    without_cap = {key: value for key, value in results.items() if key[1] is None}
    assert not wrong(without_cap, exact, {}, dtype)
    for (temperature, softcap), result in results.items():
        if softcap is not None:
            used = {"temperature": temperature, "softcap": softcap}
            assert units_of_error(result, exact[temperature, softcap], used, dtype) <= 1.0


@pytest.mark.parametrize("dtype", REAL)
def test_classes_that_where_leaves_out_are_as_if_they_were_not_there(dtype):
    length, left = 100, 61
    where = np.zeros(length, bool)
    where[np.random.default_rng(5).permutation(length)[:left]] = True
    results, exact = {}, {}
    for case in ("plain", "smoothing", "weight, smoothing", "z loss", "low cap, temperature"):
        options = keywords_of(CASES[case], length)
        for name in POSSIBLE:
            x = numbers(name, length, dtype)[0][where]
            target = target_of(x, "last")
            results[case, name] = call(
                LEVELS[-1],
                "logits.cross_entropy",
                logit_rows(name, length, dtype)[0],
                int(np.flatnonzero(where)[target]),
                where=where,
                **options,
            )
            inner = options | ({"weight": options["weight"][where]} if "weight" in options else {})
            exact[case, name] = oracles_logits.cross_entropy(x, target, **inner)
    for case in ("plain", "smoothing", "weight, smoothing", "z loss", "low cap, temperature"):
        of_case = {key: value for key, value in results.items() if key[0] == case}
        assert not wrong(of_case, exact, CASES[case], dtype)


# Target probabilities ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("normalize", (True, False))
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "case", ("plain", "temperature 0.7", "smoothing", "weight, smoothing", "z loss", "low cap, temperature")
)
def test_losses_of_target_probabilities(case, dtype, normalize, level):
    """Targets of the type of the scores; those of bfloat16 scores are floats."""
    options = CASES[case]
    results, exact = {}, {}
    for length in (1, 2, 10, 129, 1000) if dtype == "float64" else (3, 100):
        names = POSSIBLE if length < 1000 else ("certain of 4.4e-8",)
        x = tables(names, length, dtype)[0]
        targets = soft_targets(length).astype("float64" if dtype == "float64" else "float32")
        if dtype == "float16":
            targets = targets.astype("float16")
        keywords = keywords_of(options, length)
        losses = call(
            level,
            "logits.cross_entropy",
            x,
            np.tile(targets, (len(names), 1)),
            normalize=normalize,
            **keywords,
            **told(dtype),
        )
        for name, loss in zip(names, losses, strict=True):
            results[name, length] = loss
            exact[name, length] = _exact_soft_loss(case, name, length, dtype, targets.dtype.name, normalize)
    assert not wrong(results, exact, options, dtype)


@functools.cache
def _exact_soft_loss(case, name, length, dtype, target_dtype, normalize):
    targets = soft_targets(length).astype(target_dtype).astype(np.float64)
    keywords = keywords_of(CASES[case], length)
    return oracles_logits.cross_entropy(numbers(name, length, dtype)[0], targets, normalize=normalize, **keywords)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("length", (3, 129, 1000))
def test_one_hot_targets_are_as_good_as_class_ids(length, dtype, level):
    """A row that is certain of its target: all other probabilities are 0 and must add exactly nothing."""
    x = tables(POSSIBLE, length, dtype)[0]
    targets = np.array([target_of(numbers(name, length, dtype)[0], "likeliest") for name in POSSIBLE])
    rows = np.zeros(x.shape, dtype)
    rows[np.arange(len(x)), targets] = 1.0
    losses = call(level, "logits.cross_entropy", x, rows)
    exact = {name: exact_loss("plain", name, length, dtype, "likeliest") for name in POSSIBLE}
    assert not wrong(dict(zip(POSSIBLE, losses, strict=True)), exact, {}, dtype)


# Sums and means ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("case", ("plain", "weight", "weight, smoothing", "z loss"))
def test_sums_and_means_of_losses(case, dtype, level):
    """Every third row is ignored; a mean of weighted losses is over the weights of the targets."""
    length = 129
    options = keywords_of(CASES[case], length)
    x = tables(POSSIBLE, length, dtype)[0]
    targets = np.array([target_of(numbers(name, length, dtype)[0], "last") for name in POSSIBLE])
    targets[::3] = -100
    kept = [name for name, target in zip(POSSIBLE, targets, strict=True) if target != -100]
    with mpmath.workprec(128):
        total = mpmath.fsum(exact_loss(case, name, length, dtype, "last") for name in kept)
        used = targets[targets != -100]
        divisor = mpmath.fsum(options["weight"][used].tolist()) if "weight" in options else len(kept)
        exact = {"sum": total, "mean": total / divisor}
    results = {
        reduction: call(level, "logits.cross_entropy", x, targets, reduction=reduction, **options)
        for reduction in exact
    }
    assert not wrong(results, exact, CASES[case], dtype)


@pytest.mark.parametrize("dtype", REAL)
def test_a_base_divides_the_loss(dtype):
    length = 129
    targets = np.array([target_of(numbers(name, length, dtype)[0], "last") for name in POSSIBLE])
    for base in (2, 10):
        losses = call(
            LEVELS[-1], "logits.cross_entropy", tables(POSSIBLE, length, dtype)[0], targets, base=base, z_loss=1e-4
        )
        with mpmath.workprec(128):
            exact = {n: exact_loss("z loss", n, length, dtype, "last") / mpmath.log(base) for n in POSSIBLE}
        assert not wrong(dict(zip(POSSIBLE, losses, strict=True)), exact, {}, dtype)


# Log-probabilities of tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "options", ({}, {"temperature": 0.7}, {"temperature": 3.0}, {"softcap": 30.0, "temperature": 1.0 / 3.0}), ids=str
)
def test_log_probabilities_of_several_tokens_at_once(options, dtype, level):
    results, exact = {}, {}
    for length in (1, 3, 10, 129, 1000):
        names = SINGLE if length < 1000 else ("certain of 4.4e-8", "normal")
        x = tables(names, length, dtype)[0]
        rows = [numbers(name, length, dtype)[0] for name in names]
        ids = np.array([[target_of(row, choice) for choice in ("last", "likeliest", "least", "last")] for row in rows])
        found = call(level, "logits.token_logprobs", x, ids, **options, **told(dtype))
        assert found.shape == ids.shape
        for name, row, row_ids, row_found in zip(names, rows, ids, found, strict=True):
            values = _exact_logprobs(row.tobytes(), tuple(row_ids.tolist()), **options)
            for place, (value, result) in enumerate(zip(values, row_found, strict=True)):
                results[name, length, place] = -result
                exact[name, length, place] = -value
    assert not wrong(results, exact, options, dtype)


@functools.cache
def _exact_logprobs(row, ids, **options):
    return oracles_logits.token_logprobs(np.frombuffer(row), ids, **options)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("options", ({}, {"temperature": 0.7}, {"softcap": 30.0}), ids=str)
def test_log_probabilities_are_negated_losses_to_the_last_bit(options, dtype, level):
    for length in (1, 10, 129, 1000):
        x = tables(SINGLE, length, dtype)[0]
        for choice in ("likeliest", "least", "last"):
            ids = np.array([target_of(numbers(name, length, dtype)[0], choice) for name in SINGLE])
            losses = call(level, "logits.cross_entropy", x, ids, **options, **told(dtype))
            one = call(level, "logits.token_logprobs", x, ids, **options, **told(dtype))
            several = call(level, "logits.token_logprobs", x, np.stack([ids, ids], axis=-1), **options, **told(dtype))
            assert_same_bits(0.0 - one, losses)
            assert_same_bits(several[:, 1], several[:, 0])
