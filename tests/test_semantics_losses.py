"""What the losses mean: class ids and target probabilities, every option, what counts in a mean, and special values.

Held against the definition written out below for one row, and against the plain twins.
"""

import itertools
import math

import numpy as np
import pytest
from logit_calls import OF_ROWS, VALUES, random_mask, tables
from reductions import from_bfloat16_bits, to_bfloat16_bits

from klfast import _reference, logits

INF, NAN = np.inf, np.nan
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
RANDOM = np.random.default_rng(11)
SCORES = RANDOM.normal(0.0, 3.0, (6, 5))
IDS = np.array([0, 4, 2, 2, 1, 3])
SHARES = RANDOM.dirichlet(np.ones(5), 6)
WEIGHT = np.array([0.5, 2.0, 0.0, 1.0, 3.0])
SHARES[::2, 1] = 0.0
SHARES /= SHARES.sum(axis=1, keepdims=True)
FORBIDDEN = np.where(np.arange(5) == 1, -INF, SCORES)  # class 1 is impossible everywhere, and the label of row 4


def loss_of_row(x, target, *, temperature=1, normalize=True, weight=None, label_smoothing=0, smooth_over="all", **more):
    """sum w_c*t_c*nll_c + z_loss*lse^2, where t is the target after smoothing; NaN and +inf are not for this one."""
    softcap, z_loss = more.get("softcap"), more.get("z_loss", 0.0)
    is_capped = [softcap is not None and score > -INF for score in x]  # an impossible class stays one
    z = [(softcap * math.tanh(score / softcap) if c else score) / temperature for score, c in zip(x, is_capped)]
    largest = max(z)
    lse = largest + math.log(math.fsum(math.exp(score - largest) for score in z))
    if np.ndim(target) == 0:
        shares = [float(c == target) for c in range(len(z))]
    else:
        shares = [share / (sum(target) if normalize else 1) for share in target]
    counted = [smooth_over == "all" or score > -INF for score in z]
    shares = [(1 - label_smoothing) * t + label_smoothing / sum(counted) * yes for t, yes in zip(shares, counted)]
    coefficients = shares if weight is None else [t * w for t, w in zip(shares, weight)]
    return sum(t * (lse - score) for t, score in zip(coefficients, z) if t) + z_loss * lse**2


def all_rows(x, target, **keywords):
    return [loss_of_row(row.tolist(), one, **keywords) for row, one in zip(x, target.tolist())]


def choices(**keywords):
    return [dict(zip(keywords, values)) for values in itertools.product(*keywords.values())]


def assert_number(result, expected, rel=1e-13):
    """A single number, equal in sign too where it is 0."""
    assert type(result) is np.float64
    assert result == pytest.approx(expected, rel=rel, abs=0.0, nan_ok=True)
    assert np.signbit(result) == np.signbit(expected) or np.isnan(expected)


# Options -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("x", [SCORES, FORBIDDEN], ids=["finite", "a class forbidden"])
@pytest.mark.parametrize("target", [IDS, SHARES * 3], ids=["ids", "probabilities"])
def test_options_mean_what_they_say(target, x, label_smoothing):
    for keywords in choices(
        weight=[None, WEIGHT],
        smooth_over=["all", "finite"],
        z_loss=[0.0, 0.01],
        temperature=[1.0, 0.5, 3],
        normalize=[True, False],
    ):
        keywords["label_smoothing"] = label_smoothing
        expected = all_rows(x, target, **keywords)
        result = logits.cross_entropy(x, target, **keywords)
        np.testing.assert_allclose(result, expected, rtol=1e-12, err_msg=str(keywords))
        expected = all_rows(x, target, softcap=2.5, **keywords)
        result = logits.cross_entropy(x, target, softcap=2.5, **keywords)
        np.testing.assert_allclose(result, expected, rtol=1e-12, err_msg=str(keywords))


@pytest.mark.parametrize("target", [IDS, SHARES], ids=["ids", "probabilities"])
def test_options_together_are_those_of_the_twin(target):
    for keywords in choices(
        weight=[None, WEIGHT],
        label_smoothing=[0.0, 0.2],
        reduction=["none", "sum", "mean"],
        softcap=[None, 4.0],
        where=[None, random_mask(SCORES.shape)],
        base=[None, 2],
        keepdims=[False, True],
        ignore_index=[-100, 2, None],
    ):
        result = logits.cross_entropy(SCORES, target, **keywords)
        expected = _reference.logits_cross_entropy(SCORES, target, **keywords)
        assert np.shape(result) == np.shape(expected)
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, expected, rtol=1e-12, err_msg=str(keywords))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [-1, 0, 1, -3, (0, 2), None])
@pytest.mark.parametrize("name", VALUES)
def test_every_axis_is_that_of_the_twin(name, axis, keepdims):
    x, y = RANDOM.normal(0.0, 3.0, (2, 3, 4, 5))
    call = VALUES[name]
    arrays = (x, y)[: len(call.takes)]
    keywords = call.fixed | {"axis": axis, "keepdims": keepdims}
    for more in ({}, {"where": random_mask(x.shape)}, {"base": 2} if name != "logsumexp" else {}):
        result = call(tables("float64", 1, 1)._replace(x=x, y=y), **(keywords | more))
        expected = getattr(_reference, call.function.replace(".", "_"))(*arrays, **(keywords | more))
        assert np.shape(result) == np.shape(expected)
        power = 2 if name.endswith("distance") else 1  # a root makes more of what cancels in the twin
        np.testing.assert_allclose(result**power, expected**power, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", OF_ROWS)
def test_every_length_up_to_300_and_around_blocks(name):
    call = OF_ROWS[name]
    for length in (*range(1, 301), 2047, 2048, 2049, 8193):
        arrays = tables("float64", 3, length)
        taken = [getattr(arrays, one) for one in call.takes]
        expected = getattr(_reference, call.function.replace(".", "_"))(*taken, **call.fixed)
        power = 2 if name.endswith("distance") else 1  # a root makes more of what cancels in the twin
        np.testing.assert_allclose(call(arrays) ** power, expected**power, rtol=1e-11, atol=1e-13, err_msg=f"{length}")


# Reductions ----------------------------------------------------------------------------------------------------------


def test_a_mean_is_over_the_rows_that_count():
    target = np.array([0, -100, 2, -100, 1, 3])
    rows = logits.cross_entropy(SCORES, target)
    assert rows[[1, 3]].tolist() == [0.0, 0.0] and np.all(rows[[0, 2, 4, 5]] > 0)
    assert_number(logits.cross_entropy(SCORES, target, reduction="sum"), rows.sum())
    assert_number(logits.cross_entropy(SCORES, target, reduction="mean"), rows.sum() / 4)


def test_a_weighted_mean_is_over_the_weights_of_the_labels_that_count():
    target = np.array([0, -100, 2, 2, 1, 3])
    for smoothing in (0.0, 0.3):
        keywords = {"weight": WEIGHT, "label_smoothing": smoothing}
        rows = logits.cross_entropy(SCORES, target, **keywords)
        assert_number(logits.cross_entropy(SCORES, target, reduction="sum", **keywords), rows.sum())
        assert_number(logits.cross_entropy(SCORES, target, reduction="mean", **keywords), rows.sum() / 3.5)


def test_a_mean_of_soft_targets_is_over_rows_with_weights_too():
    rows = logits.cross_entropy(SCORES, SHARES, weight=WEIGHT)
    assert_number(logits.cross_entropy(SCORES, SHARES, weight=WEIGHT, reduction="mean"), rows.sum() / 6)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_if_no_row_counts_the_mean_is_nan_and_the_sum_0(weight):
    ignored = np.full(6, -100)
    assert logits.cross_entropy(SCORES, ignored, weight=weight).tolist() == [0.0] * 6
    assert_number(logits.cross_entropy(SCORES, ignored, weight=weight, reduction="sum"), 0.0)
    assert_number(logits.cross_entropy(SCORES, ignored, weight=weight, reduction="mean"), NAN)
    nothing, no_ids = np.zeros((0, 5)), np.zeros(0, int)
    assert logits.cross_entropy(nothing, no_ids, weight=weight).shape == (0,)
    assert_number(logits.cross_entropy(nothing, no_ids, weight=weight, reduction="sum"), 0.0)
    assert_number(logits.cross_entropy(nothing, no_ids, weight=weight, reduction="mean"), NAN)
    assert_number(logits.cross_entropy(nothing, nothing, weight=weight, reduction="mean"), NAN)


def test_a_mean_of_labels_without_weight_is_nan():
    assert_number(logits.cross_entropy(SCORES[:2], [2, 2], weight=WEIGHT, reduction="mean"), NAN)


def test_base_and_keepdims_of_a_reduction():
    x = RANDOM.normal(0.0, 3.0, (2, 5, 3))
    target = RANDOM.integers(0, 5, (2, 3))
    mean = logits.cross_entropy(x, target, axis=1, reduction="mean")
    kept = logits.cross_entropy(x, target, axis=1, reduction="mean", keepdims=True)
    assert kept.shape == (1, 1, 1) and kept[0, 0, 0] == mean
    assert_number(logits.cross_entropy(x, target, axis=1, reduction="mean", base=2), mean / math.log(2), rel=1e-15)
    assert logits.cross_entropy(x, target, axis=1, keepdims=True).shape == (2, 1, 3)
    assert logits.cross_entropy(x, x * 0 + 1, axis=1, keepdims=True).shape == (2, 1, 3)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_out_has_the_shape_of_what_is_asked_for(reduction, keepdims):
    for target in (IDS, SHARES):
        expected = logits.cross_entropy(SCORES, target, reduction=reduction, keepdims=keepdims)
        out = np.full(np.shape(expected), 9.0)
        result = logits.cross_entropy(SCORES, target, reduction=reduction, keepdims=keepdims, out=out)
        assert result is out
        np.testing.assert_array_equal(out, expected)


# Labels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_every_integer_type_and_layout(dtype, axis):
    x = RANDOM.normal(0.0, 3.0, (6, 7, 8))
    shape = np.delete(x.shape, axis)
    ids = RANDOM.integers(0, x.shape[axis], shape)
    several = RANDOM.integers(0, x.shape[axis], np.insert(shape, axis % 3, 4))
    kept = ids.astype(dtype)
    layouts = (
        kept,
        np.asfortranarray(kept),
        np.repeat(kept, 2, axis=1)[:, ::2],
        np.ascontiguousarray(kept[::-1, ::-1])[::-1, ::-1],
        kept.astype(kept.dtype.newbyteorder(">")),
        np.repeat(kept.astype(kept.dtype.newbyteorder("S")), 3, axis=0)[::3],
        np.frombuffer(b"x" + kept.tobytes(), kept.dtype, offset=1).reshape(kept.shape),
        kept.tolist(),
    )
    losses, grads = logits.cross_entropy(x, ids, axis=axis), logits.cross_entropy_grad(x, ids, axis=axis)
    for layout in layouts:
        np.testing.assert_array_equal(logits.cross_entropy(x, layout, axis=axis), losses)
        np.testing.assert_array_equal(logits.cross_entropy_grad(x, layout, axis=axis), grads)
        np.testing.assert_array_equal(logits.token_logprobs(x, layout, axis=axis), -losses)
    found = logits.token_logprobs(x, several, axis=axis)
    assert found.shape == several.shape
    np.testing.assert_array_equal(logits.token_logprobs(x, several.astype(dtype), axis=axis), found)
    foreign = np.asfortranarray(several.astype(np.dtype(dtype).newbyteorder(">")))
    np.testing.assert_array_equal(logits.token_logprobs(x, foreign, axis=axis), found)


@pytest.mark.parametrize("function", [logits.cross_entropy, "token_logprobs"], ids=["loss", "logprobs"])
def test_one_label_for_many_rows_by_stride_0(function):
    function = getattr(logits, function) if isinstance(function, str) else function
    one_for_all = np.broadcast_to(np.int16(3), 6)
    np.testing.assert_array_equal(function(SCORES, one_for_all), function(SCORES, [3] * 6))


def test_an_ignored_label_comes_before_the_range_and_its_row_is_not_read():
    x = SCORES.copy()
    x[1], x[3, 2], x[5] = NAN, INF, -INF
    for ignored, dtype in ((-100, "int64"), (255, "uint8"), (7, "int8"), (-1, "int16"), (2**40, "uint64")):
        target = np.array([0, ignored, 2, ignored, 1, ignored]).astype(dtype)
        for keywords in choices(
            weight=[None, WEIGHT], label_smoothing=[0.0, 0.1], z_loss=[0.0, 1.0], softcap=[None, 3]
        ):
            result = logits.cross_entropy(x, target, ignore_index=ignored, **keywords)
            clean = logits.cross_entropy(SCORES[::2], target[::2], **keywords)
            np.testing.assert_array_equal(result[::2], clean)
            assert result[1::2].tolist() == [0.0] * 3 and not np.signbit(result[1::2]).any()
        assert logits.token_logprobs(x, target, ignore_index=ignored)[1::2].tolist() == [0.0] * 3


def test_an_ignored_class_is_skipped_as_a_label_only():
    """The class still counts in the sums of other rows, and in what is out of range nothing changes."""
    expected = np.where(IDS == 2, 0.0, logits.cross_entropy(SCORES, IDS))
    np.testing.assert_array_equal(logits.cross_entropy(SCORES, IDS, ignore_index=2), expected)
    np.testing.assert_array_equal(logits.token_logprobs(SCORES, IDS, ignore_index=2), -expected)


def test_without_ignore_index_every_label_is_looked_at():
    with pytest.raises(IndexError, match=r"target\[1\]: -100 "):
        logits.cross_entropy(SCORES[:2], [0, -100], ignore_index=None)
    with pytest.raises(IndexError, match=r"ids\[1\]: -100 "):
        logits.token_logprobs(SCORES[:2], [0, -100], ignore_index=None)
    np.testing.assert_array_equal(
        logits.cross_entropy(SCORES, IDS, ignore_index=None), logits.cross_entropy(SCORES, IDS)
    )


def test_a_label_is_never_taken_for_another_modulo_its_type():
    x = RANDOM.normal(size=(2, 200))
    assert np.all(logits.cross_entropy(x, np.array([156, 0], np.uint8)) > 0)  # -100 modulo 256
    np.testing.assert_array_equal(logits.cross_entropy(x, [5, 6], ignore_index=5 + 256)[0] > 0, True)
    assert np.all(logits.cross_entropy(x, np.array([44, 0], np.int8), ignore_index=300) > 0)
    for bad in (2**64 - 100, 2**64 - 1, 2**63, 2**32):
        with pytest.raises(IndexError, match=rf"target\[1\]: {bad} "):
            logits.cross_entropy(x, np.array([1, bad], np.uint64))


# Special values ------------------------------------------------------------------------------------------------------

ROWS = {
    "two impossible classes": ([-INF, -INF, 1.0, 1.0], 2, math.log(2.0)),
    "an impossible label": ([-INF, 0.0, 1.0], 0, INF),
    "one class": ([-7.0], 0, 0.0),
    "one possible class": ([-INF, 5.0, -INF], 1, 0.0),
    "nothing possible": ([-INF, -INF], 0, NAN),
    "NaN": ([0.0, NAN, 1.0], 0, NAN),
    "NaN beside an impossible label": ([-INF, NAN, 1.0], 0, NAN),
    "infinite": ([0.0, INF, 1.0], 0, NAN),
    "infinite and the label": ([0.0, INF, 1.0], 1, NAN),
    "sure": ([1000.0, 0.0], 0, 0.0),
    "sure, but not quite": ([30.0, 0.0], 0, math.log1p(math.exp(-30.0))),
    "surely wrong": ([1000.0, 0.0], 1, 1000.0),
}


@pytest.mark.parametrize("length", [0, 70, 3000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", ROWS)
def test_special_values(row, dtype, length):
    """Alone, and with a tail of classes that are impossible too."""
    x, label, expected = ROWS[row]
    x = np.array(x + [-INF] * length, dtype)
    target = np.zeros(len(x), dtype)
    target[label] = 1
    assert_number(logits.cross_entropy(x, label), expected, rel=2.0**-22)
    assert_number(logits.cross_entropy(x, target), expected, rel=2.0**-22)
    assert logits.token_logprobs(x, label) == pytest.approx(-expected, rel=2.0**-22, abs=0.0, nan_ok=True)
    undefined = bool(np.any(~(x < INF)) or np.all(x == -INF))
    entropy = logits.entropy(x)
    assert np.isnan(entropy) if undefined else entropy >= 0.0 and not np.signbit(entropy)
    for value in (logits.kl_divergence(x, x), logits.js_divergence(x, x), logits.js_distance(x, x)):
        assert_number(value, NAN if undefined else 0.0)


def test_no_weight_and_no_share_leave_out_what_is_infinite():
    x = np.array([-INF, 0.0, 0.0])
    log2 = math.log(2.0)
    assert_number(logits.cross_entropy(x, 0, weight=[0, 1, 1]), 0.0)
    assert_number(logits.cross_entropy(x, 1, label_smoothing=0.3), INF)
    assert_number(logits.cross_entropy(x, 1, label_smoothing=0.3, weight=[0, 1, 1]), (0.7 + 0.3 * 2 / 3) * log2)
    assert_number(logits.cross_entropy(x, 1, label_smoothing=0.3, smooth_over="finite"), log2)
    assert_number(logits.cross_entropy(x, 0, label_smoothing=0.3, smooth_over="finite"), INF)
    assert_number(logits.cross_entropy(x, 0, label_smoothing=1, smooth_over="finite"), log2)
    assert_number(logits.cross_entropy(x, 0, label_smoothing=1.0), INF)
    assert_number(logits.cross_entropy(x, [0, 0.25, 0.75]), log2)
    assert_number(logits.cross_entropy(x, [-0.0, 0.25, 0.75]), log2)
    assert_number(logits.cross_entropy(x, [0.1, 0.25, 0.65]), INF)
    assert_number(logits.cross_entropy(x, [0.1, 0.25, 0.65], weight=[0, 1, 1]), 0.9 * log2)


def test_a_label_that_where_leaves_out_is_impossible():
    x, where = np.array([3.0, 0.0, 0.0]), [False, True, True]
    assert_number(logits.cross_entropy(x, 0, where=where), INF)
    assert_number(logits.cross_entropy(x, 0, where=where, weight=[0, 1, 1]), 0.0)
    assert_number(logits.cross_entropy(x, 0, where=where, label_smoothing=1), math.log(2.0))
    assert_number(logits.cross_entropy(x, 1, where=where, label_smoothing=0.5), math.log(2.0))
    assert logits.token_logprobs(x, 0, where=where) == -INF
    assert_number(logits.cross_entropy(x, 0, where=[False] * 3), NAN)


def test_soft_targets_that_are_no_distribution():
    x = np.array([1.0, 2.0, 3.0])
    assert_number(logits.cross_entropy(x, [0.0, 0.0, 0.0]), NAN)
    assert_number(logits.cross_entropy(x, [0.0, 0.0, 0.0], normalize=False), 0.0)
    assert_number(logits.cross_entropy(x, [-0.1, 0.6, 0.5]), NAN)
    assert_number(logits.cross_entropy(x, [NAN, 0.5, 0.5]), NAN)
    assert_number(
        logits.cross_entropy(x, [NAN, 0.5, 0.5], where=[False, True, True]), logits.cross_entropy(x[1:], [1.0, 1.0])
    )
    both = np.array([[-0.1, 0.6, 0.5], [0.0, 1.0, 0.0]])
    for normalize in (True, False):
        result = logits.cross_entropy(np.tile(x, (2, 1)), both, normalize=normalize)
        assert np.isnan(result).tolist() == [True, False]


def test_soft_targets_are_normalised_unless_told_otherwise():
    once = logits.cross_entropy(SCORES, SHARES)
    np.testing.assert_allclose(logits.cross_entropy(SCORES, SHARES * 7), once, rtol=1e-14)
    np.testing.assert_allclose(logits.cross_entropy(SCORES, SHARES * 7, normalize=False), once * 7, rtol=1e-14)
    np.testing.assert_allclose(
        logits.cross_entropy(SCORES, np.eye(5)[IDS]), logits.cross_entropy(SCORES, IDS), rtol=1e-14
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5, 1.0])
def test_smoothing_of_two_classes(epsilon):
    """eps/C for every class, the right one too; not eps/(C - 1) for the others."""
    right, wrong = math.log1p(math.exp(-1.0)), math.log1p(math.exp(1.0))
    expected = (1 - epsilon / 2) * right + epsilon / 2 * wrong
    assert_number(logits.cross_entropy([1.0, 0.0], 0, label_smoothing=epsilon), expected)
    assert_number(logits.cross_entropy([1.0, 0.0], [1.0, 0.0], label_smoothing=epsilon), expected)


# Types ---------------------------------------------------------------------------------------------------------------


def test_masks_of_a_half_are_small_and_not_overflowing():
    x = np.full((3, 1000), -20000.0, np.float16)
    x[:, 7] = [-20000.0, 1.0, 30000.0]
    np.testing.assert_allclose(logits.cross_entropy(x, [7, 7, 7]), [math.log(1000), 0.0, 0.0], rtol=2.0**-22)
    np.testing.assert_allclose(logits.cross_entropy(x, [0, 0, 0]), [math.log(1000), 20001.0, 50000.0], rtol=2.0**-22)
    np.testing.assert_allclose(logits.logsumexp(x), [-20000.0 + math.log(1000), 1.0, 30000.0], rtol=2.0**-22)


def test_results_are_not_rounded_to_the_type_of_the_input():
    """About 36 in bfloat16 is 36.0 or 36.25."""
    bits = to_bfloat16_bits(np.array([[36.0, -0.125, 1.5], [0.3, 0.2, 0.1]]))
    numbers = from_bfloat16_bits(bits)
    exact = all_rows(numbers.astype(float), np.array([1, 2]))
    for keywords in choices(reduction=["none", "sum", "mean"]):
        result = logits.cross_entropy(bits, np.uint16([1, 2]), dtype="bfloat16", **keywords)
        assert result.dtype == np.float64
        expected = {"none": exact, "sum": sum(exact), "mean": sum(exact) / 2}[keywords["reduction"]]
        np.testing.assert_allclose(result, expected, rtol=2.0**-22)
    half = numbers.astype(np.float16)
    np.testing.assert_allclose(
        logits.token_logprobs(half, [1, 2]), -np.array(all_rows(half.astype(float), np.array([1, 2]))), rtol=2.0**-22
    )


@pytest.mark.parametrize("dtype", ("float16", "float32", "float64"))
@pytest.mark.parametrize("weight", (1e-300, 1e-50, 1e-40, 1e-30, 1e50, 1e300))
def test_class_weights_out_of_the_range_of_floats_are_what_they_are(weight, dtype):
    x = np.array([[1.0, 0.5, 2.0], [-np.inf, 0.5, 2.0]], dtype)
    loss = logits.cross_entropy(x, [0, 1], weight=[weight, weight, weight], label_smoothing=0.5)
    assert loss[1] == np.inf
    np.testing.assert_allclose(
        loss[0], weight * logits.cross_entropy(x.astype(float), [0, 1], label_smoothing=0.5)[0], rtol=2.0**-21
    )
