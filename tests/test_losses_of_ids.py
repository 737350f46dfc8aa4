"""Class ids of every integer type beside many classes, and losses that are written where the user wants them."""

import numpy as np
import pytest

from klfast import logits

TYPES = ("i1", "i2", "i4", "i8", ">i2", ">i8")


def scores(rows, classes):
    return np.random.default_rng(2).normal(size=(rows, classes)).astype(np.float32)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("classes", (3, 200, 300, 70_000))
@pytest.mark.parametrize("wrong", (-1, -128))
def test_a_negative_id_is_no_class_however_many_there_are(kind, classes, wrong):
    ids = np.array([0, 2, wrong, 1], kind)
    for call in (logits.cross_entropy, logits.token_logprobs):
        with pytest.raises(IndexError, match=rf"\[2\]: {wrong} is outside 0 to {classes - 1}"):
            call(scores(4, classes), ids)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("classes", (3, 200, 300, 70_000))
def test_ignored_rows_do_not_count_however_many_classes_there_are(kind, classes):
    x, ids = scores(5, classes), np.array([0, -100, 2, -100, 1], kind)
    kept = logits.cross_entropy(x[::2], ids[::2].astype("i8"), reduction="none")
    each = logits.cross_entropy(x, ids, reduction="none")
    assert each.tolist() == [kept[0], 0.0, kept[1], 0.0, kept[2]]
    assert logits.cross_entropy(x, ids, reduction="mean") == np.sum(each) / 3
    _, gradient = logits.cross_entropy_value_and_grad(x, ids)
    assert not gradient[1].any() and not gradient[3].any()


@pytest.mark.parametrize("ignored", (1, None, -7))
def test_the_mean_counts_what_is_not_ignored(ignored):
    x, ids = scores(6, 4), np.array([0, 1, 2, 1, 3, 1])
    each = logits.cross_entropy(x, ids, ignore_index=ignored, reduction="none")
    mean = logits.cross_entropy(x, ids, ignore_index=ignored, reduction="mean")
    assert mean == np.sum(each) / (3 if ignored == 1 else 6)


@pytest.mark.parametrize("base", (None, 2))
@pytest.mark.parametrize("keepdims", (False, True))
@pytest.mark.parametrize("is_contiguous", (True, False))
@pytest.mark.parametrize("soft", (False, True))
def test_losses_go_to_out(base, keepdims, is_contiguous, soft):
    x = scores(6, 5).reshape(2, 3, 5)
    target = np.abs(scores(6, 5)).reshape(2, 3, 5) if soft else np.arange(6).reshape(2, 3) % 5
    options = {"reduction": "none", "keepdims": keepdims, "base": base}
    expected = logits.cross_entropy(x, target, **options)
    room = np.full((*expected.shape, 1 if is_contiguous else 2), np.nan)
    out = room[..., 0]
    assert logits.cross_entropy(x, target, out=out, **options) is out
    np.testing.assert_array_equal(out, expected, strict=True)
    assert np.isnan(room[..., 1:]).all()


@pytest.mark.parametrize("ignored", (-100, None, 1, 7, 2**64 - 1))
@pytest.mark.parametrize("kind", ("i1", "u1", "i8", ">i4", "u8"))
def test_class_ids_that_a_masked_array_hides_are_ignored(kind, ignored):
    x = np.random.default_rng(4).normal(size=(5, 3))
    ids = np.ma.array(np.array([0, 99, 2, 2, 1], kind), mask=[0, 1, 0, 1, 0])
    plain = np.array([0, -100, 2, -100, -100 if ignored == 1 else 1])
    options = {"weight": np.array([1.0, 2.0, 3.0]), "label_smoothing": 0.1}
    for more in ({}, {"reduction": "mean"}, options | {"reduction": "mean"}):
        for call_one in (logits.cross_entropy, logits.cross_entropy_grad):
            np.testing.assert_array_equal(call_one(x, ids, ignore_index=ignored, **more), call_one(x, plain, **more))
    tokens = logits.token_logprobs(x, ids, ignore_index=ignored)
    np.testing.assert_array_equal(tokens, logits.token_logprobs(x, plain))
    several = logits.token_logprobs(x, ids[:, None], ignore_index=ignored)
    np.testing.assert_array_equal(several[:, 0], tokens)
    compared = logits.compare_rows(x, x, np.ma.array(plain, mask=ids.mask))
    np.testing.assert_array_equal(compared["cross_entropy_x"], logits.cross_entropy(x, plain))


def test_class_ids_that_are_not_hidden_must_be_classes():
    for mask, place in (([0, 1, 0], 2), ([1, 1, 0], 2), ([0, 0, 0], 1)):
        with pytest.raises(IndexError, match=rf"target\[{place}\]"):
            logits.cross_entropy(np.zeros((3, 2)), np.ma.array([0, -1, -1], mask=mask), ignore_index=None)
