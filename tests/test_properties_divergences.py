"""What mathematics says of the whole family of divergences, held against whatever hypothesis comes up with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_properties import ROUNDING, SETTINGS, rows, seeds, weights, with_weight

import klfast

SYMMETRIC = ("js_divergence", "js_distance", "total_variation", "hellinger", "jeffreys")
METRICS = ("js_distance", "total_variation", "hellinger")
ALL = (*SYMMETRIC, "kl_divergence", "chi2_divergence")
LARGEST = {"js_divergence": np.log(2.0), "js_distance": np.sqrt(np.log(2.0)), "total_variation": 1.0, "hellinger": 1.0}
# What may be left of 0 where rows are proportional, but not equal.
NEXT_TO_NOTHING = 2.0**-90
ORDERS = (0.0, 0.2, 0.5, 0.9, 1.0, 1.1, 1.5, 2.0, 2.1, 3.0, 10.0, 10.1, np.inf)


def of(function, p, q):
    return float(getattr(klfast, function)(p, q))


def at_most(smaller, larger):
    return smaller <= larger * (1 + ROUNDING) + NEXT_TO_NOTHING


def near(one, other):
    return one == other or abs(one - other) <= ROUNDING * one + NEXT_TO_NOTHING


@SETTINGS
@given(pair=rows(weights, 2))
def test_never_negative_and_within_its_limit(pair):
    p, q = with_weight(*pair)
    for function in ALL:
        assert 0.0 <= of(function, p, q) <= LARGEST.get(function, np.inf), function


@SETTINGS
@given(p=rows(weights, 1), exponent=st.integers(-30, 30))
def test_a_multiple_is_no_distance_apart(p, exponent):
    (p,) = with_weight(p)
    for function in ALL:
        assert of(function, p, p * 2.0**exponent) == 0.0, function


@SETTINGS
@given(p=rows(weights, 1), change=st.floats(2.0**-20, 2.0**20))
def test_what_is_no_multiple_is_apart(p, change):
    (p,) = with_weight(p)
    q = np.append(p, 1.0)
    for function in ALL:
        assert of(function, np.append(p, 1.0 + change), q) > 0.0, function


@SETTINGS
@given(pair=rows(weights, 2))
def test_symmetric(pair):
    p, q = with_weight(*pair)
    for function in SYMMETRIC:
        assert near(of(function, p, q), of(function, q, p)), function


@SETTINGS
@given(pair=rows(weights, 2), seed=seeds)
def test_the_order_of_events_does_not_matter(pair, seed):
    p, q = with_weight(*pair)
    order = np.random.default_rng(seed).permutation(len(p))
    for function in ALL:
        assert near(of(function, p, q), of(function, p[order], q[order])), function


@SETTINGS
@given(pair=rows(weights, 2), cut=st.integers(0, 300))
def test_merging_events_brings_nothing_apart(pair, cut):
    p, q = with_weight(*pair)
    cut = cut % len(p)
    merged = [np.append(row[:cut], row[cut:].sum()) for row in (p, q)]
    for function in ALL:
        assert at_most(of(function, *merged), of(function, p, q) + 1e-15), function


@SETTINGS
@given(three=rows(weights, 3))
def test_no_detour_is_shorter(three):
    p, q, r = with_weight(*three)
    for function in METRICS:
        assert at_most(of(function, p, r), of(function, p, q) + of(function, q, r) + 1e-15), function


@SETTINGS
@given(pair=rows(weights, 2))
def test_the_family_is_ordered_as_it_should_be(pair):
    p, q = with_weight(*pair)
    kl, js, chi2 = (of(function, p, q) for function in ("kl_divergence", "js_divergence", "chi2_divergence"))
    total, hellinger = of("total_variation", p, q), of("hellinger", p, q)
    assert at_most(hellinger**2, total)
    assert at_most(total, np.sqrt(2.0) * hellinger)
    assert at_most(js, np.log(2.0) * total)
    assert at_most(kl, np.log1p(chi2))
    assert at_most(2.0 * total**2, kl)


@SETTINGS
@given(pair=rows(weights, 2))
def test_jeffreys_is_kl_both_ways(pair):
    p, q = with_weight(*pair)
    assert near(of("jeffreys", p, q), of("kl_divergence", p, q) + of("kl_divergence", q, p))


@SETTINGS
@given(pair=rows(weights, 2))
def test_renyi_never_falls_with_its_order(pair):
    p, q = with_weight(*pair)
    found = [float(klfast.renyi_divergence(p, q, order)) for order in ORDERS]
    assert all(value >= 0.0 for value in found)
    assert all(at_most(lower, higher + 1e-13) for lower, higher in zip(found, found[1:]))


@SETTINGS
@given(pair=rows(weights, 2))
def test_renyi_of_orders_two_and_one_half_is_what_chi2_and_hellinger_say(pair):
    p, q = with_weight(*pair)
    chi2, hellinger = of("chi2_divergence", p, q), of("hellinger", p, q)
    assert near(klfast.renyi_divergence(p, q, 2), np.log1p(chi2))
    if hellinger < 0.9:  # or little is left of the difference
        assert near(klfast.renyi_divergence(p, q, 0.5), -2.0 * np.log1p(-(hellinger**2)))


@SETTINGS
@given(pair=rows(weights, 2))
def test_js_is_the_divergence_of_the_mixture(pair):
    p, q = (row / row.sum() for row in with_weight(*pair))
    expected = klfast.entropy((p + q) / 2.0) - (klfast.entropy(p) + klfast.entropy(q)) / 2.0
    assert klfast.js_divergence(p, q) == pytest.approx(float(expected), rel=1e-9, abs=1e-13)
    assert klfast.js_divergence(np.stack([p, q])) == pytest.approx(of("js_divergence", p, q), rel=1e-14, abs=2.0**-100)
    assert klfast.js_divergence(p, q, weights=[0, 2]) == 0.0


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("count", (2, 3, 5, 7, 12))
def test_members_without_a_common_event_are_as_far_apart_as_their_weights_say(count, dtype):
    random = np.random.default_rng(count)
    for counts in (np.ones(count), random.random(count), random.random(count) ** 8):
        most = klfast.entropy(counts)
        stack = np.kron(np.eye(count), random.random((1, 5))).astype(dtype)
        found = klfast.js_divergence(stack, weights=counts)
        assert found == pytest.approx(most, rel=1e-15, abs=0)
        assert found <= np.nextafter(most, np.inf)


@SETTINGS
@given(tables=rows(st.floats(2.0**-20, 2.0**20), 2), columns=st.integers(1, 5))
def test_kl_follows_the_chain_rule(tables, columns):
    p, q = (np.resize(row, (len(row), columns)) * np.arange(1.0, columns + 1.0) for row in tables)
    q = q[:, ::-1]
    marginal = klfast.kl_divergence(p.sum(axis=1), q.sum(axis=1))
    conditional = (p.sum(axis=1) / p.sum() * klfast.kl_divergence(p, q, axis=1)).sum()
    assert klfast.kl_divergence(p, q, axis=None) == pytest.approx(float(marginal + conditional), rel=1e-11, abs=1e-14)


@SETTINGS
@given(pair=rows(st.floats(2.0**-30, 2.0**30), 2))
def test_terms_add_up_to_the_sums(pair):
    p, q = pair
    assert klfast.rel_entr(p, q).sum() == pytest.approx(
        float(klfast.kl_divergence(p, q, normalize=False)),
        rel=1e-12,
        abs=1e-12 * float(np.abs(klfast.rel_entr(p, q)).sum()),
    )
    assert klfast.entr(p).sum() == pytest.approx(
        float(klfast.entropy(p, normalize=False)), rel=1e-12, abs=1e-12 * float(np.abs(klfast.entr(p)).sum())
    )
    assert np.all(klfast.kl_div(p, q) >= 0.0)
