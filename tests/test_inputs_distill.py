"""Distillation takes every type and layout, in place too: the same bits, whatever the memory looks like."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from logit_calls import of_kind
from logit_rows import FLOATS, told
from reductions import assert_same_bits, from_bfloat16_bits

from klfast import distill

RANDOM = np.random.default_rng(21)
ROWS = (3, 2)
WAYS = (("bucket", "forward"), ("bucket", "reverse"), ("renormalize", "forward"), ("none", "forward"))
WAYS += (("uniform", "forward"),)
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4")


def scores(kind, length):
    """A teacher's and a student's rows of that type; those of bfloat16 as bits."""
    teacher = np.random.default_rng(length).normal(0.0, 3.0, (*ROWS, length))
    student = teacher + np.random.default_rng([1, length]).normal(0.0, 1.0, teacher.shape)
    return of_kind(kind, teacher), of_kind(kind, student)


def as_bits(array):
    """The array as integers, of any float type."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def layouts(array):
    """The same numbers, in memory that looks different."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return {
        "Fortran": np.asfortranarray(array),
        "strided": wide[..., ::2],
        "reversed": np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "rows reversed": np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
        "axes turned": np.ascontiguousarray(array.transpose(2, 1, 0)).transpose(2, 1, 0),
        "bytes swapped": array.astype(array.dtype.newbyteorder()),
        "read-only": np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
    }


def whole(direction, teacher, student, **keywords):
    return distill.kl_value_and_grad(teacher, student, direction=direction, **keywords)


def listed(way, top, student, **keywords):
    tail, direction = way
    return distill.topk_kl_value_and_grad(top.logprobs, top.ids, student, tail=tail, direction=direction, **keywords)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("length", [7, 129, 3000])
def test_the_same_bits_for_any_layout(length, kind):
    teacher, student = scores(kind, length)
    top = distill.topk(teacher, 5, **told(kind))
    mask = np.array([[True, False], [True, True], [False, True]])
    keywords = {"temperature": 0.7, "mask": mask, "reduction": "mean"} | told(kind)
    for name, laid_out in layouts(student).items():
        for direction in ("forward", "reverse", "jsd"):
            expected = whole(direction, teacher, student, **keywords)
            value, gradient = whole(direction, teacher, laid_out, **keywords)
            assert_same_bits(value, expected[0], name)
            np.testing.assert_array_equal(as_bits(gradient), as_bits(expected[1]), err_msg=name)
        for way in WAYS:
            expected = listed(way, top, student, **keywords)
            value, gradient = listed(way, top, laid_out, **keywords)
            assert_same_bits(value, expected[0], f"{name}, {way}")
            np.testing.assert_array_equal(as_bits(gradient), as_bits(expected[1]), err_msg=f"{name}, {way}")


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("length", [7, 3000])
def test_a_gradient_may_overwrite_the_student(length, kind):
    teacher, student = scores(kind, length)
    top = distill.topk(teacher, 5, **told(kind))
    for name, laid_out in {"as it is": student, **layouts(student)}.items():
        if name == "read-only":
            continue
        for function, first in [
            (whole, "forward"),
            (whole, "reverse"),
            (whole, "jsd"),
            *((listed, way) for way in WAYS),
        ]:
            given = top if function is listed else teacher
            expected = function(first, given, student, **told(kind))
            mine = np.copy(laid_out, order="K")
            value, gradient = function(first, given, mine, out=mine, **told(kind))
            assert gradient is mine
            assert_same_bits(value, expected[0], f"{name}, {first}")
            found = mine.astype(student.dtype.newbyteorder("="))
            np.testing.assert_array_equal(as_bits(found), as_bits(expected[1]), err_msg=f"{name}, {first}")


def test_a_bfloat16_array_is_as_good_as_its_bits():
    teacher, student = scores("bfloat16", 300)
    brains = student.view(ml_dtypes.bfloat16)
    top = distill.topk(teacher, 5, dtype="bfloat16")
    for found, expected in zip(distill.topk(teacher.view(ml_dtypes.bfloat16), 5), top, strict=True):
        np.testing.assert_array_equal(found, expected)
    for way in WAYS:
        expected = listed(way, top, student, dtype="bfloat16")
        value, gradient = listed(way, top, brains)
        assert gradient.dtype == ml_dtypes.bfloat16 and expected[1].dtype == np.uint16
        assert_same_bits(value, expected[0])
        np.testing.assert_array_equal(as_bits(gradient), expected[1])
        # and near those of the same numbers as floats
        floats = listed(way, top, from_bfloat16_bits(student))
        np.testing.assert_allclose(value, floats[0], rtol=1e-6)
        np.testing.assert_allclose(from_bfloat16_bits(expected[1]), floats[1], rtol=2.0**-8, atol=1e-9)


@pytest.mark.parametrize("kind", ["float16", "float32", "bfloat16", "int8", "bool"])
def test_log_probabilities_of_any_type_are_the_numbers_they_are(kind):
    """Of integers there is but one that is a probability, 0; bfloat16 may be bits beside logits that are."""
    student = scores("float32", 20)[1]
    numbers = np.where(np.arange(3) == 1, 0.0, -np.inf) if kind in ("int8", "bool") else np.log([0.5, 0.25, 0.125])
    if kind in ("int8", "bool"):
        numbers = np.zeros(1)
    ids = np.broadcast_to(np.arange(len(numbers)), (*ROWS, len(numbers)))
    given = np.broadcast_to(of_kind(kind, numbers), ids.shape)
    as_doubles = from_bfloat16_bits(given) if kind == "bfloat16" else given.astype(np.float64)
    expected = distill.topk_kl(as_doubles, ids, student)
    if kind == "bfloat16":
        assert_same_bits(distill.topk_kl(given.view(ml_dtypes.bfloat16), ids, student), expected)
        bits = of_kind("bfloat16", student)
        both = distill.topk_kl(given, ids, bits, dtype="bfloat16")
        assert_same_bits(both, distill.topk_kl(as_doubles, ids, bits, dtype="bfloat16"))
    else:
        assert_same_bits(distill.topk_kl(given, ids, student), expected)


@pytest.mark.parametrize("integers", INTEGERS)
def test_ids_of_any_integer_type(integers):
    teacher, student = scores("float32", 100)
    top = distill.topk(teacher, 6)
    for way in WAYS:
        expected = listed(way, top, student)
        value, gradient = listed(way, top._replace(ids=top.ids.astype(integers)), student)
        assert_same_bits(value, expected[0])
        np.testing.assert_array_equal(gradient, expected[1])
    turned = [np.asfortranarray(one) for one in (top.logprobs, top.ids)]
    assert_same_bits(distill.topk_kl(*turned, student), distill.topk_kl(top.logprobs, top.ids, student))


@pytest.mark.parametrize("kind", ["int8", "int64", "bool"])
def test_logits_that_are_no_floats_are_read_as_doubles(kind):
    teacher, student = (np.clip(np.rint(rows), -100, 100).astype(kind) for rows in scores("float64", 50))
    doubles = teacher.astype(float), student.astype(float)
    top = distill.topk(teacher, 5)
    for found, expected in zip(top, distill.topk(doubles[0], 5), strict=True):
        np.testing.assert_array_equal(found, expected)
    for way in WAYS:
        found, expected = listed(way, top, student), listed(way, top, doubles[1])
        assert found[1].dtype == np.float64
        assert_same_bits(found[0], expected[0])
        assert_same_bits(found[1], expected[1])


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(40, 700), (7, 1, 5000), (1, 9, 128256), (2000, 3)])
def test_the_same_bits_for_any_number_of_threads_and_any_neighbours(shape, kind):
    """Rows are taken a slab at a time: none may feel where a slab ends."""
    random = np.random.default_rng(shape)
    teacher, student = (of_kind(kind, random.normal(0.0, 3.0, shape)) for _ in range(2))
    top = distill.topk(teacher, min(3, shape[-1]), **told(kind))
    for way in WAYS:
        one, many = (listed(way, top, student, n_threads=count, **told(kind)) for count in (1, 4))
        assert_same_bits(one[0], many[0])
        np.testing.assert_array_equal(as_bits(one[1]), as_bits(many[1]))
        place = (*(size - 1 for size in shape[:-1]),)
        alone = listed(way, distill.TopK(*(part[place] for part in top)), student[place], **told(kind))
        assert_same_bits(alone[0], one[0][place])
        np.testing.assert_array_equal(as_bits(alone[1]), as_bits(one[1][place]))


def test_rows_are_broadcast():
    """One teacher for many students; a student that is broadcast has a gradient for each of its places."""
    teacher, student = scores("float32", 30)
    value, gradient = distill.kl_value_and_grad(teacher[0, 0], student)
    assert_same_bits(value, distill.kl(np.broadcast_to(teacher[0, 0], student.shape), student))
    assert gradient.shape == student.shape and gradient.dtype == np.float32
    many = np.broadcast_to(student[0, 0], student.shape)
    top = distill.topk(teacher, 4)
    for way in WAYS:
        assert_same_bits(listed(way, top, many)[1], listed(way, top, many.copy())[1])


def test_a_mask_is_broadcast_over_the_rows():
    teacher, student = scores("float64", 30)
    top = distill.topk(teacher, 4)
    whole_mask = np.broadcast_to([True, False], ROWS)
    for mask in ([True, False], [[True, False]], np.asfortranarray(whole_mask)):
        for function, arguments in ((distill.kl, (teacher, student)), (distill.topk_kl, (*top[:2], student))):
            for reduction in ("none", "mean"):
                found = function(*arguments, mask=mask, reduction=reduction)
                assert_same_bits(found, function(*arguments, mask=whole_mask, reduction=reduction))


def test_results_of_one_row_are_numbers():
    teacher, student = scores("float32", 30)
    top = distill.topk(teacher[0, 0], 3)
    assert type(distill.kl(teacher[0, 0], student[0, 0])) is np.float64
    assert type(distill.topk_kl(*top[:2], student[0, 0])) is np.float64
    for reduction, way in itertools.product(("sum", "mean"), WAYS):
        value, gradient, count = listed(way, top, student[0, 0], reduction=reduction, return_count=True)
        assert type(value) is np.float64 and type(count) is int and count == 1
        assert gradient.shape == (30,)
