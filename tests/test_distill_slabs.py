"""Lists of many rows are taken a slab of rows at a time: neither values nor gradients depend on where they are cut."""

import tracemalloc

import numpy as np
import pytest

from klfast import _distill_lists, distill

CLASSES = 40


@pytest.fixture
def lists():
    random = np.random.default_rng(0)
    teacher, student = random.normal(size=(2, 3, 7, CLASSES))
    return distill.topk(teacher, 5), student, random.random((3, 7)) < 0.8


def computed(lists, tail, dtype):
    top, student, mask = lists
    given = (top.logprobs, top.ids, student.astype(dtype))
    values = distill.topk_kl(*given, tail=tail, mask=mask, reduction="none")
    both = distill.topk_kl_value_and_grad(*given, tail=tail, mask=mask, reduction="sum")
    return [np.asarray(one).tobytes() for one in (values, *both)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("tail", ["bucket", "renormalize", "none", "uniform"])
@pytest.mark.parametrize(
    ("listed", "logits", "largest"), [(1, 1, 1), (15, 1, 2**20), (1, 9 * CLASSES, 1), (2**9, 1, 99)]
)
def test_slabs_of_any_size_give_the_same_bits(monkeypatch, lists, tail, dtype, listed, logits, largest):
    whole = computed(lists, tail, dtype)
    cut, slabs = [], _distill_lists._row_slabs
    monkeypatch.setattr(_distill_lists, "LISTED", listed)
    monkeypatch.setattr(_distill_lists, "SLAB", logits)
    monkeypatch.setattr(_distill_lists, "LARGEST_SLAB", largest)
    monkeypatch.setattr(_distill_lists, "_row_slabs", lambda *given: cut.append(list(slabs(*given))) or cut[-1])
    assert computed(lists, tail, dtype) == whole
    assert all(len(places) > 1 for places in cut) and len(cut) == 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("tail", ["bucket", "renormalize", "none", "uniform"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_nothing_of_the_size_of_the_logits_is_made(tail, dtype, is_masked):
    """Of a masked array, its mask once the other way round, and of that half again."""
    student = np.zeros((512, 2**16), dtype)
    ids = np.broadcast_to(np.arange(4), (512, 4))
    given, out = (np.full(ids.shape, -2.0), ids), np.zeros(student.shape, dtype)
    most = 8 * 2**20
    if is_masked:
        most += student.size * 3 // 2
        student = np.ma.masked_array(student, np.zeros(student.shape, bool))
    tracemalloc.start()
    try:
        distill.topk_kl_value_and_grad(*given, student, tail=tail, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most
