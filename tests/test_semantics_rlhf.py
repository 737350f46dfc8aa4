"""What klfast.rlhf means: masks, ragged sequences, reductions, rewards, controllers; and that no layout changes a bit."""

import pickle

import numpy as np
import pytest
from elements import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import klfast
from klfast import _reference, rlhf

INF, NAN = np.inf, np.nan
KINDS = ("k1", "k2", "k3", "abs")
REDUCTIONS = ("none", "sum", "token_mean", "sequence_mean")


def batch(seed=0, rows=5, length=300, dtype="float64"):
    """Tokens of both policies, and which count: one sequence has none, one all; what does not count is NaN or infinite."""
    random = np.random.default_rng(seed)
    x = -random.uniform(0, 5, (rows, length))
    y = x + 0.3 * random.standard_t(5, x.shape)
    mask = random.random(x.shape) < 0.7
    mask[0], mask[-1] = False, True
    rubbish = random.choice([NAN, INF, -INF, 1e30], x.shape)
    return np.where(mask, x, rubbish).astype(dtype), np.where(mask, y, rubbish[::-1]).astype(dtype), mask


def assert_twin(result, expected):
    for one, other in zip(*(part if isinstance(part, tuple) else (part,) for part in (result, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-14)


# Estimates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", (None, 0.2))
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_twin(kind, reduction, clip):
    x, y, mask = batch()
    keywords = {"reduction": reduction, "clip": clip}
    for return_count in (False, True):
        arguments = (x, y, kind, mask)
        result = rlhf.kl_estimate(*arguments, return_count=return_count, **keywords)
        assert_twin(result, _reference.rlhf_kl_estimate(*arguments, return_count=return_count, **keywords))
    outer = np.random.default_rng(1).normal(size=x.shape) if reduction == "none" else 2.5
    for grad_output in (None, outer):
        result = rlhf.kl_estimate_grad(x, y, kind, mask, grad_output=grad_output, **keywords)
        assert_twin(result, _reference.rlhf_kl_estimate_grad(x, y, kind, mask, grad_output=grad_output, **keywords))


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("kind", KINDS)
def test_ragged_sequences_are_padded_ones_without_the_padding(kind, dtype):
    x, y, mask = batch(dtype=dtype, rows=40)
    lengths = mask.sum(axis=1)
    flat = x[mask], y[mask]
    for reduction in REDUCTIONS:
        padded = rlhf.kl_estimate(x, y, kind, mask, reduction=reduction, return_count=True)
        ragged = rlhf.kl_estimate(*flat, kind, lengths=lengths, reduction=reduction, return_count=True)
        assert padded[1] == ragged[1]
        if reduction == "none":
            assert_same_bits(ragged[0], padded[0][mask])
        else:
            np.testing.assert_allclose(ragged[0], padded[0], rtol=1e-12 if dtype == "float64" else 2.0**-22)
        gradient = rlhf.kl_estimate_grad(*flat, kind, lengths=lengths, reduction=reduction)
        assert_same_bits(gradient, rlhf.kl_estimate_grad(x, y, kind, mask, reduction=reduction)[mask])


def test_a_ragged_sequence_has_the_bits_of_a_row():
    random = np.random.default_rng(2)
    lengths = np.array([0, 1, 5, 64, 65, 0, 2048, 2049, 3, 200_000, 7, 65536, 65537, 100, 0])
    x = -random.uniform(0, 5, lengths.sum())
    y = x + random.normal(0, 0.1, x.size)
    ends = np.cumsum(lengths)
    for dtype in ("float32", "float64"):
        a, b = x.astype(dtype), y.astype(dtype)
        for n_threads in (1, 2, 5):
            _, means = rlhf.shaped_rewards(np.zeros(lengths.size), a, b, 1.0, lengths=lengths, n_threads=n_threads)
            for mean, end, length in zip(means, ends, lengths):
                row = slice(end - length, end)
                alone = rlhf.shaped_rewards(0.0, a[row], b[row], 1.0)[1]
                assert_same_bits(mean, alone)


@pytest.mark.parametrize("lengths", ([], [0, 0]))
def test_nothing_counts(lengths):
    for x, more in (
        (np.zeros((2, 3)), {"mask": [[False] * 3] * 2}),
        (np.zeros(0), {"lengths": lengths}),
        (np.zeros((0, 4)), {}),
    ):
        for reduction, value in (("sum", 0.0), ("token_mean", NAN), ("sequence_mean", NAN)):
            result = rlhf.kl_estimate(x, x, "k3", reduction=reduction, return_count=True, **more)
            np.testing.assert_array_equal(result, (value, 0))
            np.testing.assert_array_equal(
                rlhf.kl_estimate_grad(x, x, "k3", reduction=reduction, **more), np.zeros(x.shape)
            )
    assert rlhf.importance_ratio_stats([], []).count == 0
    assert np.all(np.isnan(rlhf.importance_ratio_stats([1.0], [2.0], [False])[1:]))


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_special_values(dtype):
    pairs = np.array([[-1, -INF], [-INF, -1], [-INF, -INF], [NAN, -1], [-1, NAN], [-2, -2]], dtype)
    expected = {
        "k1": [INF, -INF, NAN, NAN, NAN, 0],
        "k2": [INF, INF, NAN, NAN, NAN, 0],
        "k3": [INF, INF, NAN, NAN, NAN, 0],
        "abs": [INF, INF, NAN, NAN, NAN, 0],
    }
    slopes = {
        "k1": [1, 1, NAN, NAN, NAN, 1],
        "k2": [INF, -INF, NAN, NAN, NAN, 0],
        "k3": [1, -INF, NAN, NAN, NAN, 0],
        "abs": [1, -1, NAN, NAN, NAN, 0],
    }
    for kind in KINDS:
        result = rlhf.kl_estimate(*pairs.T, kind)
        np.testing.assert_array_equal(result, np.array(expected[kind], dtype))
        assert not np.any(np.signbit(result[-1:]))
        np.testing.assert_array_equal(rlhf.kl_estimate_grad(*pairs.T, kind), np.array(slopes[kind], dtype))
    assert rlhf.kl_estimate(dtype_of(dtype, -1000), dtype_of(dtype, 0), "k3") == INF
    assert rlhf.kl_estimate(dtype_of(dtype, 0), dtype_of(dtype, -1000), "k3") == 999.0
    huge = rlhf.kl_estimate([dtype_of(dtype, -100)], [dtype_of(dtype, 0)], "k3", reduction="sum")
    assert huge == pytest.approx(np.exp(100.0), rel=1e-14)


def dtype_of(dtype, value):
    return np.dtype(dtype).type(value)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-700, 0)] * 2), min_size=1, max_size=200), st.sampled_from(["float32", "float64"])
)
def test_k3_is_never_negative_and_lies_above_k2_where_r_is_positive(pairs, dtype):
    x, y = np.array(pairs, dtype).T
    k2, k3, distance = (rlhf.kl_estimate(x, y, kind).astype(float) for kind in ("k2", "k3", "abs"))
    assert np.all(k3 >= 0)
    assert np.all((k3 == 0) == (k2 == 0)) or np.any(distance[k3 == 0] < 1e-18)
    up = (y > x) & np.isfinite(k2) & (distance > 1e-18)
    assert np.all(k3[up] >= k2[up] * (1 - 2.0**-20))
    with np.errstate(over="ignore"):
        bound = (
            np.exp(np.maximum(y.astype(float) - x, 0)) * k2 * (1 + 2.0**-20) + 4 * np.finfo(dtype).smallest_subnormal
        )
    assert np.all((k3 <= bound) | (k3 == INF))
    assert np.all(y.astype(float)[k3 == INF] - x[k3 == INF] > 80)


# Layouts, types, threads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ("float64", "float32", "float16", ">f4", "int32"))
@pytest.mark.parametrize("kind", ("k1", "k3", "k3_grad"))
def test_no_layout_and_no_number_of_threads_changes_a_bit(kind, dtype):
    random = np.random.default_rng(6)
    shape = (7, 45, 130)
    x, y = ((-random.uniform(0, 5, shape)).astype(dtype) for _ in range(2))
    mask = random.random(shape) < 0.6

    def all_of(a, b, m, **more):
        if kind == "k3_grad":
            return [rlhf.kl_estimate_grad(a, b, "k3", m, reduction="token_mean", **more)]
        values = [rlhf.kl_estimate(a, b, kind, m, reduction=reduction, **more) for reduction in REDUCTIONS]
        return values + list(rlhf.shaped_rewards(np.ones(shape[:-1]), a, b, 0.1, m, kind, **more))

    expected = all_of(x, y, mask)
    wide = np.zeros((14, 45, 260), dtype)
    wide[::2, :, ::2] = x
    layouts = (
        (np.asfortranarray(x), y, mask),
        (x, np.ascontiguousarray(y.transpose(2, 1, 0)).transpose(2, 1, 0), np.asfortranarray(mask)),
        (wide[::2, :, ::2], y[::-1][::-1], mask[:, ::-1][:, ::-1]),
        (np.ascontiguousarray(x[..., ::-1])[..., ::-1], y, mask),
    )
    for layout in layouts:
        for n_threads in (1, 3):
            for result, value in zip(all_of(*layout, n_threads=n_threads), expected, strict=True):
                assert_same_bits(np.asarray(result), np.asarray(value))


def test_broadcast_and_masked_arrays():
    x, y, mask = batch()
    one = np.full(300, -1.0)
    expected = rlhf.kl_estimate(np.broadcast_to(one, y.shape), y, "k3", mask)
    assert_same_bits(rlhf.kl_estimate(one, y, "k3", mask), expected)
    hidden = np.ma.masked_array(x, ~mask)
    assert_same_bits(rlhf.kl_estimate(hidden, y, "k3"), rlhf.kl_estimate(x, y, "k3", mask))
    column = np.array([[True], [False], [True], [True], [False]])
    assert_same_bits(
        rlhf.kl_estimate(one, y, "k1", column), rlhf.kl_estimate(one, y, "k1", np.broadcast_to(column, y.shape))
    )


def test_results_have_the_type_of_the_tokens():
    for dtype in ("float16", "float32", "float64"):
        x = np.array([-1.0, -2.0], dtype)
        assert rlhf.kl_estimate(x, x / 2).dtype == dtype
        assert rlhf.kl_estimate_grad(x, (x / 2).astype(float), "k2").dtype == dtype
        assert rlhf.kl_estimate(x, x / 2, reduction="sum").dtype == np.float64
        assert rlhf.shaped_rewards(1.0, x, x / 2, 0.5)[0].dtype == dtype
    bits = np.array([0xBF80, 0xC000], np.uint16)  # -1 and -2
    assert rlhf.kl_estimate(bits, bits[::-1].copy(), dtype="bfloat16").tolist() == [0x3F80, 0xBF80]
    doubled = rlhf.kl_estimate_grad(bits, bits[::-1].copy(), grad_output=2.0, dtype="bfloat16")
    assert doubled.tolist() == [0x4000, 0x4000]
    rewards, _ = rlhf.shaped_rewards(3.0, bits, bits[::-1].copy(), 1.0, dtype="bfloat16")
    assert rewards.tolist() == [0xBF80, 0x4080]  # -1, and 1 + 3


@pytest.mark.parametrize("dtype", ("float32", "float64", "float16"))
def test_in_place_the_gradient_does_not_see_what_is_written(dtype):
    x, y, mask = batch(dtype="float64", length=5000)
    x, y = (np.where(mask, one, 0.0) * random_scale for one, random_scale in ((x, 1.0), (y, 20.0)))
    x, y = x.astype(dtype), y.astype(dtype)  # with log-ratios that need care
    for kind in KINDS:
        for reduction in ("none", "token_mean"):
            expected = rlhf.kl_estimate_grad(x, y, kind, mask, reduction=reduction)
            memory = x.copy()
            assert rlhf.kl_estimate_grad(memory, y, kind, mask, reduction=reduction, out=memory) is memory
            assert_same_bits(memory, expected)


# Rewards, penalties, controllers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_shaped_rewards_are_those_of_the_twin(kind, dtype):
    x, y, mask = batch(dtype=dtype)
    scores = np.array([5.0, -1.0, 0.25, 100.0, 3.0])
    tolerance = 1e-11 if dtype == "float64" else 1e-5
    for arguments, more in (
        ((x, y, 0.1, mask, kind), {}),
        ((x[mask], y[mask], 0.1, None, kind), {"lengths": mask.sum(axis=1)}),
    ):
        result = rlhf.shaped_rewards(scores, *arguments, clip=0.4, **more)
        expected = _reference.rlhf_shaped_rewards(scores, *arguments, clip=0.4, **more)
        for one, other in zip(result, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=1e-7)
    rewards, means = rlhf.shaped_rewards(scores, x, y, 0.1, mask, kind)
    assert np.isnan(means[0]) and not np.any(rewards[0])


def test_the_last_reward_is_rounded_once():
    x, y = np.array([[-0.1]], np.float32), np.array([[-0.3]], np.float32)
    penalty = float(x[0, 0]) - float(y[0, 0])
    for score in (1e-3, 1.0, 12345.678):
        rewards, _ = rlhf.shaped_rewards([score], x, y, 0.3)
        assert rewards[0, 0] == np.float32(score - 0.3 * penalty)


def test_the_last_reward_is_rounded_once_also_to_bfloat16():
    score = 1 + 2.0**-8 + 2.0**-40  # through float it would become a tie
    zeros = np.zeros(3, np.uint16)
    rewards, _ = rlhf.shaped_rewards(score, zeros, zeros, 1.0, dtype="bfloat16")
    assert rewards.tolist() == [0, 0, 0x3F81]
    for value, bits in ((1 + 2.0**-8, 0x3F80), (1 + 3 * 2.0**-8, 0x3F82), (-1e39, 0xFF80), (3.0, 0x4040), (0.0, 0)):
        assert rlhf.shaped_rewards(value, zeros, zeros, 1.0, dtype="bfloat16")[0][-1] == bits
    assert rlhf.shaped_rewards(zeros[0] + np.uint16(0x3F80), zeros, zeros, 1.0, dtype="bfloat16")[0][-1] == 0x3F80


def test_sums_that_overflow():
    x, y = np.zeros((2, 1)), np.full((2, 1), 709.5)
    one = float(rlhf.kl_estimate(0.0, 709.5, "k3"))
    assert rlhf.kl_estimate(x, y, "k3", reduction="sum") == INF
    for reduction in ("token_mean", "sequence_mean"):
        assert rlhf.kl_estimate(x, y, "k3", reduction=reduction) == pytest.approx(one, rel=1e-15)


def test_penalties_of_tokens_that_count():
    random = np.random.default_rng(8)
    x, y = random.normal(0, 2, (2, 3, 40, 500))
    mask = random.random((3, 40)) < 0.5
    x[~mask] = NAN
    expected = np.where(mask, klfast.logits.kl_divergence(np.where(mask[..., None], x, 0), y, temperature=2.0), 0.0)
    for n_threads in (1, 2):
        assert_same_bits(rlhf.kl_penalty(x, y, mask, temperature=2.0, n_threads=n_threads), expected)
    moved = np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0)
    assert_same_bits(rlhf.kl_penalty(*moved, mask, axis=0, temperature=2.0), expected)
    assert_same_bits(
        rlhf.kl_penalty(x[..., :20], y[..., :20], mask), np.where(mask, rlhf.kl_penalty(x[..., :20], y[..., :20]), 0.0)
    )
    assert_same_bits(rlhf.kl_penalty(x[0, :1], y[0, :1], [False]), np.zeros(1))
    assert_twin(rlhf.kl_penalty(x, y, mask), _reference.rlhf_kl_penalty(x, y, mask))
    out = np.empty((3, 40))
    assert rlhf.kl_penalty(x, y, mask, temperature=2.0, out=out, check=True) is out
    assert_same_bits(out, expected)


def test_ratio_statistics_are_those_of_the_twin():
    x, y, mask = batch()
    stats = rlhf.importance_ratio_stats(x, y, mask)
    np.testing.assert_allclose(stats, _reference.rlhf_importance_ratio_stats(x, y, mask), rtol=1e-11)
    assert isinstance(stats.count, int) and 1 <= stats.effective_sample_size <= stats.count
    same = rlhf.importance_ratio_stats(y, y, mask)
    assert same == (mask.sum(), 1.0, mask.sum(), 0.0, 0.0, 0.0, 1.0)
    for n_threads in (1, 2, 7):
        assert rlhf.importance_ratio_stats(np.asfortranarray(x), y, mask, n_threads=n_threads) == stats


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_the_effective_sample_size_is_between_1_and_the_count(dtype):
    """Also where all ratios are the same, or one is all there is, and rounding says otherwise."""
    random = np.random.default_rng(7)
    for count in (1, 2, 100):
        for log_ratio in random.uniform(-9.0, 9.0, 50):
            behaviour = np.full(count, -1.0, dtype)
            stats = rlhf.importance_ratio_stats((behaviour + log_ratio).astype(dtype), behaviour)
            assert 1.0 <= stats.effective_sample_size <= count


def test_ratios_that_are_all_0_have_no_sample_size():
    stats = rlhf.importance_ratio_stats([-INF, -INF], [-1.0, -2.0])
    assert np.isnan(stats.effective_sample_size)
    assert (stats.count, stats.mean_ratio, stats.chi_square, stats.largest_ratio) == (2, 0.0, 1.0, 0.0)


def test_controllers():
    fixed = rlhf.FixedKLController(0.1)
    assert fixed.update(100.0, 10) == fixed.value == 0.1
    adaptive = rlhf.AdaptiveKLController(0.2, target=6.0, horizon=1000)
    assert adaptive.update(6.0, 50) == 0.2
    assert adaptive.update(6.6, 50) == pytest.approx(0.2 * (1 + 0.1 * 0.05), rel=1e-15)
    assert adaptive.update(1e9, 100) == pytest.approx(0.2 * 1.005 * 1.02, rel=1e-15)
    before = adaptive.value
    assert adaptive.update(-3.0, 100) == pytest.approx(before * 0.98, rel=1e-15)
    assert rlhf.AdaptiveKLController(0.1, 6.0, 100).update(0.0, 1000) == 0.0  # never below
    for one in (fixed, adaptive):
        again = pickle.loads(pickle.dumps(one))
        assert again == one and again.value == one.value and repr(again) == repr(one)
    for value in (NAN, INF):
        with pytest.raises(ValueError, match="^current_kl: "):
            adaptive.update(value, 1)
    assert adaptive == again


def test_an_adaptive_coefficient_stays_a_number():
    """At any horizon: inf would stay, and 0*inf were NaN."""
    for beta in (0.0, 0.1, 1e300):
        controller = rlhf.AdaptiveKLController(beta, target=1.0, horizon=1e-320)
        for kl in (2.0, 2.0, 1.0, 2.0, 0.0, 2.0):
            assert 0.0 <= controller.update(kl, 1) < INF
    growing = rlhf.AdaptiveKLController(1.0, target=1.0, horizon=1.0)
    for _ in range(10_000):
        growing.update(9.0, 100)
    assert growing.value < INF and growing.update(0.0, 1) < growing.update(9.0, 1)
