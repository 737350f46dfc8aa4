"""What the hostile generators have found, each in its smallest form."""

import warnings

import numpy as np
import pytest

import klfast
from klfast import _reference, distill, gaussian, logits, rlhf

INF, NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("length", (2, 40, 200, 3000))
def test_a_plain_sum_is_infinite_wherever_an_event_is_impossible(dtype, length):
    """The term of q = 0 could come out as NaN, depending on the digits of p."""
    p = np.random.default_rng(length).uniform(0.3, 3.0, (50, length)).astype(dtype)
    for impossible in (1, 2, length):
        q = p[::-1].copy()
        q[:, -impossible:] = 0.0
        assert np.all(klfast.kl_divergence(p, q, normalize=False) == INF)
        q[:, 0] = NAN
        assert np.all(np.isnan(klfast.kl_divergence(p, q, normalize=False)))


@pytest.mark.parametrize("length", (1500, 2049, 5000))
@pytest.mark.parametrize("far", (100.0, 745.0, 1000.0, 6e4))
@pytest.mark.parametrize("place", (0, 1200, -1))
def test_one_class_that_has_all_the_probability_hides_nothing_of_the_others(place, far, length):
    """A block of a long row whose share of p is below the smallest number still has its share of q."""
    random = np.random.default_rng(length)
    for dtype, error in (("f8", 1e-10), ("f4", 1e-6)):
        for changed in ((0,), (1,), (0, 1)):
            pair = random.normal(0.0, 2.0, (2, 4, length)).astype(dtype)
            for one in changed:
                pair[one, :, place] += far
            with np.errstate(all="ignore"):
                divergence, mixed = _reference.logits_kl_divergence(*pair), _reference.logits_js_divergence(*pair)
            np.testing.assert_allclose(logits.kl_divergence(*pair), divergence, rtol=error, atol=1e-11)
            np.testing.assert_allclose(logits.js_divergence(*pair), mixed, rtol=error, atol=1e-11)


def test_no_ids_a_row_have_no_log_probabilities():
    assert logits.token_logprobs(np.ones((2, 3)), np.zeros((2, 0), int)).shape == (2, 0)
    assert logits.token_logprobs(np.ones(3), np.zeros(0, int), axis=0).shape == (0,)


def test_rows_without_classes_that_are_ignored_cost_nothing_whatever_the_weights():
    x, ids = np.zeros((2, 0)), np.array([-100, -100])
    assert logits.cross_entropy(x, ids, weight=np.zeros(0)).tolist() == [0.0, 0.0]
    assert logits.cross_entropy_grad(x, ids, weight=np.zeros(0)).shape == (2, 0)


@pytest.mark.parametrize("where", (None, [True, True, True, True]))
@pytest.mark.parametrize("normalize", (True, False))
@pytest.mark.parametrize("wrong", (INF, -INF, NAN, -1.0))
def test_a_target_that_is_no_probability_makes_its_row_nan(wrong, normalize, where):
    """Behind a mask -inf passed for left out; without normalisation an infinite loss hid what is infinite."""
    target = np.array([1.0, 0.5, 0.25, wrong])
    for x in (np.array([0.0, -INF, 1.0, 2.0]), np.array([0.0, 3.0, 1.0, 2.0])):
        for dtype in ("f4", "f8"):
            arrays = x.astype(dtype), target.astype(dtype)
            assert np.isnan(logits.cross_entropy(*arrays, normalize=normalize, where=where))
            gradient = logits.cross_entropy_grad(*arrays, normalize=normalize, where=where)
            assert np.all(np.isnan(gradient))


def test_infinite_targets_with_weights_of_zero_are_nan_without_a_warning():
    loss = logits.cross_entropy(
        np.zeros(3), np.array([INF, 1.0, 0.0]), normalize=False, weight=np.array([0.0, 1.0, 1.0])
    )
    assert np.isnan(loss)


@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_an_infinite_mean_is_infinitely_far_also_from_what_is_infinitely_wide(dtype):
    for means in ((INF, 0.0), (0.0, -INF), (INF, -INF)):
        parameters = means[0], 0.0, means[1], INF
        assert gaussian.kl_divergence(*(np.array([one], dtype) for one in parameters)) == INF
    assert np.isnan(gaussian.kl_divergence([INF], [0.0], [INF], [INF]))


def test_the_gradient_of_listed_classes_has_the_same_bits_for_every_layout_of_the_list():
    random = np.random.default_rng(0)
    row = -random.gamma(1.0, 2.0, 41).astype("f4")
    ids = np.argsort(random.random((5, 300)), axis=-1)[:, :41]
    student = random.normal(size=(5, 300))
    spread = np.broadcast_to(row, (5, 41))
    for tail in ("none", "bucket", "uniform"):
        expected = distill.topk_kl_grad(spread.copy(), ids, student, tail=tail)
        for logprobs in (spread, np.asfortranarray(spread)):
            np.testing.assert_array_equal(distill.topk_kl_grad(logprobs, ids, student, tail=tail), expected)


def test_the_gradient_of_a_single_token_can_take_its_place():
    logp = np.array(-1.0)
    assert rlhf.kl_estimate_grad(logp, np.array(-1.5), "k2", out=logp) is logp
    assert logp == 0.5


def test_what_is_no_number_warns_of_nothing():
    bad = np.array([[-1.0, 0.0], [0.5, 0.5]])
    assert np.isnan(klfast.js_divergence(np.stack([bad, bad]))).tolist() == [True, False]
    assert rlhf.importance_ratio_stats([0.0, -1.0], [-INF, -1.0]).mean_ratio == INF
    rewards, _ = rlhf.shaped_rewards(
        [INF, 1e300], np.full((2, 1), -1.0, "f2"), np.full((2, 1), INF, "f2"), -1.0, kind="k3"
    )
    assert np.isnan(rewards[0, 0]) or rewards[0, 0] == INF
    listed = np.array([[1e300, -1.0]])
    assert distill.topk_kl(listed, [[0, 1]], np.zeros((1, 3)), tail="none", temperature=7.0).shape == (1,)
    none = np.zeros(1, bool)
    gradient = rlhf.kl_estimate_grad([[-1.0]], [[-2.0]], "k1", [[False]], reduction="sequence_mean", grad_output=0.0)
    assert gradient.tolist() == [[0.0]]
    distill.topk_kl_grad([[-1.0, -INF]], [[0, 1]], np.zeros((1, 3)), tail="none", mask=none, reduction="mean")


@pytest.mark.parametrize("options", ({"label_smoothing": 0.1}, {"weight": np.array([1.0, 2.0, 3.0])}))
def test_targets_whose_sum_leaves_the_range_are_as_good_as_any(options):
    target = np.array([[1.5, 1.0, 0.5], [0.0, 1.0, 3.0]])
    x = np.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]])
    expected = logits.cross_entropy(x, target, **options)
    np.testing.assert_array_equal(logits.cross_entropy(x, target * 2.0**1022, **options), expected)
