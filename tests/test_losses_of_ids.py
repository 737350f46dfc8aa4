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
