"""What the numbers of rows come down to: sums and means, wherever they are asked for."""

import warnings
from fractions import Fraction

import numpy as np
import pytest

from klfast import distill, logits, rlhf

COUNTS = (1, 2, 7, 8, 9, 63, 1000, 4097)


# Numbers -> those of the rows, which are about the same, and what they come down to.


def cross_entropy(numbers, reduction):
    """Of two classes so far apart that the loss is their distance."""
    x = np.stack([np.zeros(len(numbers)), numbers], axis=-1)
    rows = logits.cross_entropy(x, np.zeros(len(numbers), int))
    return rows, logits.cross_entropy(x, np.zeros(len(numbers), int), reduction=reduction)


def cross_entropy_the_long_way(numbers, reduction):
    x = np.stack([np.zeros(len(numbers)), numbers], axis=0)
    options = {"axis": 0, "where": np.ones(x.shape, bool)}
    rows = logits.cross_entropy(x, np.zeros(len(numbers), int), **options)
    return rows, logits.cross_entropy(x, np.zeros(len(numbers), int), reduction=reduction, **options)


def distillation(numbers, reduction):
    x = np.stack([np.zeros(len(numbers)), -numbers], axis=-1)
    return distill.kl(x, -x), distill.kl(x, -x, reduction=reduction)


def estimate(numbers, reduction):
    reduction = {"mean": "token_mean"}.get(reduction, reduction)
    of_tokens = rlhf.kl_estimate(numbers, np.zeros(len(numbers)), "k1")
    return of_tokens, rlhf.kl_estimate(numbers[:, np.newaxis], np.zeros((len(numbers), 1)), "k1", reduction=reduction)


WAYS = (cross_entropy, cross_entropy_the_long_way, distillation, estimate)


@pytest.mark.parametrize("reduction", ("sum", "mean"))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", COUNTS)
def test_totals_are_those_of_exact_arithmetic(count, way, reduction):
    random = np.random.default_rng(count)
    numbers = 100.0 + random.exponential(size=count) * 10.0 ** random.integers(0, 12, count)
    rows, total = way(numbers, reduction)
    exact = sum(map(Fraction, rows.tolist())) / (count if reduction == "mean" else 1)
    assert type(total) is np.float64
    assert abs(Fraction(float(total)) - exact) <= exact / 2 ** (53 if reduction == "sum" else 52)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", COUNTS)
def test_a_mean_is_a_number_where_the_sum_is_beyond_the_range(count, way):
    rows, mean = way(np.linspace(1e308, 1.2e308, count), "mean")
    assert np.all(np.isfinite(rows))
    assert mean == pytest.approx(float(sum(map(Fraction, rows.tolist())) / count), rel=2.0**-52, abs=0)
    if count > 1:
        assert way(np.linspace(1e308, 1.2e308, count), "sum")[1] == np.inf


@pytest.mark.parametrize("reduction", ("sum", "mean"))
def test_the_scale_of_a_distillation_brings_a_total_back_into_the_range(reduction):
    """scale_by_t2 multiplies by T*T, here 1/100."""
    x = np.array([[0.0, -1e307]] * 3)
    options = {"temperature": 0.1, "scale_by_t2": True}
    rows = distill.kl(x, -x, **options)
    total = distill.kl(x, -x, reduction=reduction, **options)
    assert np.all(distill.kl(x, -x, temperature=0.1) > 5e307)  # so that three of them are beyond it
    assert total == pytest.approx(rows[0] * (3 if reduction == "sum" else 1), rel=2.0**-50, abs=0)


@pytest.mark.parametrize("reduction", ("sum", "mean"))
@pytest.mark.parametrize("special", ("inf", "nan", "both"))
@pytest.mark.parametrize("position", (0, 3, 8, 16))
def test_totals_of_rows_without_a_finite_number(position, special, reduction):
    x = np.zeros((17, 2))
    if special != "nan":
        x[position, 0] = -np.inf
    if special != "inf":
        x[5, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = logits.cross_entropy(x, np.zeros(17, int), reduction=reduction)
        distilled = distill.kl(np.zeros((17, 2)), x, reduction=reduction)
    for total in (found, distilled):
        assert total == np.inf if special == "inf" else np.isnan(total)
