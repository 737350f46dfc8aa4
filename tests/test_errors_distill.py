"""Mistakes with distillation: each names its argument, comes before any work, and writes nothing."""

import numpy as np
import pytest

from klfast import distill

NAN, INF = np.nan, np.inf
TEACHER = np.log([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
STUDENT = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
LOGPROBS, IDS = np.log([[0.6, 0.3], [0.6, 0.2]]), np.array([[0, 1], [2, 0]])
BAD = np.array([[1.0, 2.0, 3.0], [0.5, NAN, 2.0]])
EITHER = (TypeError, ValueError)

WHOLE = {"kl": distill.kl, "kl_grad": distill.kl_grad, "kl_value_and_grad": distill.kl_value_and_grad}
LISTED = {
    "topk_kl": distill.topk_kl,
    "topk_kl_grad": distill.topk_kl_grad,
    "topk_kl_value_and_grad": distill.topk_kl_value_and_grad,
}
CALLS = {
    **{name: lambda function=function, **more: function(TEACHER, STUDENT, **more) for name, function in WHOLE.items()},
    **{
        name: lambda function=function, **more: function(LOGPROBS, IDS, STUDENT, **more)
        for name, function in LISTED.items()
    },
    "topk": lambda **more: distill.topk(STUDENT, 2, **more),
}
GRADIENTS = [name for name in CALLS if name.endswith("grad")]
LOSSES = [name for name in CALLS if name != "topk"]

WRONG_KEYWORDS = {
    "temperature": [(value, ValueError) for value in (0, -1.0, NAN, INF)]
    + [(value, TypeError) for value in ("a", None, True, [1.0])],
    "direction": [("backward", ValueError), ("Forward", ValueError), (None, EITHER), (1, EITHER)],
    "reduction": [("avg", ValueError), ("batchmean", ValueError), (None, EITHER)],
    "mask": [
        ([True, False, True], ValueError),
        ([[True], [False]], ValueError),
        ([1, 0], TypeError),
        ([1.0, 0.0], TypeError),
        ("a", EITHER),
    ],
    "tail": [("buckets", ValueError), (None, EITHER), (True, EITHER)],
    "beta": [(value, ValueError) for value in (0, 1, -0.1, 1.5, NAN)] + [("a", TypeError), (None, TypeError)],
    "axis": [(2, ValueError), (-3, ValueError), (1.0, TypeError)],
    "n_threads": [(0, ValueError), (1.5, TypeError)],
    "dtype": [("float8", ValueError), ("float32", ValueError)],
}
CASES = [(name, *case) for name, cases in WRONG_KEYWORDS.items() for case in cases]


def takes(call, name):
    """Whether the function behind a call has that keyword."""
    only = {"tail": LISTED, "beta": WHOLE, "axis": (*WHOLE, "topk")}
    return call in only.get(name, CALLS) and not (call == "topk" and name in ("direction", "reduction", "mask"))


@pytest.mark.parametrize("name, value, kind", CASES, ids=lambda value: str(value)[:20])
def test_every_wrong_keyword_is_named_by_every_function_that_has_it(name, value, kind):
    called = 0
    for call, function in CALLS.items():
        if takes(call, name):
            called += 1
            out = np.full(STUDENT.shape, 7.0)
            with pytest.raises(kind, match=rf"^{name}\b") as caught:
                function(**{name: value}, **({"out": out} if call in GRADIENTS else {}))
            assert "\n" not in str(caught.value)
            assert np.all(out == 7.0)
    assert called >= 3


def in_place(function, *arrays, **keywords):
    """A call whose output is the last of the arrays, which must stay as it is."""
    before = arrays[-1].copy()
    try:
        function(*arrays, out=arrays[-1], **keywords)
    finally:
        np.testing.assert_array_equal(arrays[-1], before)


def read_only(array):
    array.flags.writeable = False
    return array


MISTAKES = {
    "shapes": (lambda: distill.kl(TEACHER, STUDENT[:, :2]), ValueError, r"teacher_logits \(2, 3\) and student_logits"),
    "teacher's type": (lambda: distill.kl([["a"]], STUDENT), TypeError, "^teacher_logits: "),
    "student's type": (lambda: distill.kl(TEACHER, STUDENT * 1j), TypeError, "^student_logits: "),
    "NaN in the student": (
        lambda: distill.kl(TEACHER, BAD, check=True),
        ValueError,
        r"^student_logits\[1, 1\]: nan is no logit",
    ),
    "infinite in the teacher": (
        lambda: distill.kl([[1.0, INF]], [[0.0, 1.0]], check=True),
        ValueError,
        r"^teacher_logits\[0, 1\]: inf is no logit",
    ),
    "NaN beside a mask": (
        lambda: distill.kl_grad(BAD, STUDENT, mask=[False, True], check=True),
        ValueError,
        r"^teacher_logits\[1, 1\]: nan",
    ),
    "grad_output's shape": (
        lambda: distill.kl_grad(TEACHER, STUDENT, grad_output=[1.0, 2.0, 3.0]),
        ValueError,
        r"^grad_output: .*\(3,\)",
    ),
    "grad_output of a mean": (
        lambda: distill.topk_kl_grad(LOGPROBS, IDS, STUDENT, reduction="mean", grad_output=[1.0, 2.0]),
        ValueError,
        r"^grad_output: .*\(2,\)",
    ),
    "out's type": (
        lambda: distill.kl_grad(TEACHER, STUDENT, out=np.zeros(STUDENT.shape, "f4")),
        ValueError,
        "^out: dtype float32",
    ),
    "out's shape": (
        lambda: distill.topk_kl_grad(LOGPROBS, IDS, STUDENT, out=np.zeros((2, 2))),
        ValueError,
        r"^out: shape \(2, 2\)",
    ),
    "out read-only": (
        lambda: in_place(distill.kl_grad, TEACHER, read_only(STUDENT.copy())),
        ValueError,
        "^out: is read-only",
    ),
    "out beside the teacher": (
        lambda: (lambda memory: distill.kl_grad(memory[:2], STUDENT, out=memory[1:]))(np.zeros((3, 3))),
        ValueError,
        "^out: overlaps teacher_logits",
    ),
    "out is the list": (
        lambda: (lambda memory: distill.topk_kl_grad(memory[:, :2], IDS, STUDENT, out=memory))(TEACHER.copy()),
        ValueError,
        "^out: overlaps teacher_logprobs",
    ),
    # Lists
    "an id too large": (
        lambda: distill.topk_kl(LOGPROBS, [[0, 1], [2, 3]], STUDENT),
        IndexError,
        r"^teacher_ids\[1, 1\]: 3 is outside 0 to 2",
    ),
    "an id below 0": (
        lambda: distill.topk_kl_grad(LOGPROBS, [[0, -1], [2, 0]], STUDENT),
        IndexError,
        r"^teacher_ids\[0, 1\]: -1 is outside",
    ),
    "an id twice": (
        lambda: distill.topk_kl(LOGPROBS, [[0, 1], [2, 2]], STUDENT),
        ValueError,
        r"^teacher_ids\[1, 1\]: 2 is listed twice",
    ),
    "an id twice, apart": (
        lambda: distill.topk_kl(np.zeros((1, 4)), [[5, 0, 5, 1]], np.zeros((1, 9))),
        ValueError,
        r"^teacher_ids\[0, 2\]: 5 is listed twice",
    ),
    "ids beside a mask": (
        lambda: distill.topk_kl(LOGPROBS, [[-1, -1], [-7, 0]], STUDENT, mask=[False, True]),
        IndexError,
        r"^teacher_ids\[1, 0\]: -7 ",
    ),
    "more ids than classes": (
        lambda: distill.topk_kl(np.zeros((2, 4)), [[0, 1, 2, 0]] * 2, STUDENT),
        ValueError,
        r"^teacher_ids\[0, 3\]: 0 is listed twice",
    ),
    "ids as floats": (lambda: distill.topk_kl(LOGPROBS, IDS * 1.0, STUDENT), TypeError, "^teacher_ids: .*integer"),
    "ids as bools": (lambda: distill.topk_kl(LOGPROBS, IDS > 0, STUDENT), TypeError, "^teacher_ids: .*integer"),
    "ids' shape": (
        lambda: distill.topk_kl(LOGPROBS, IDS[:, :1], STUDENT),
        ValueError,
        r"^teacher_ids: shape \(2, 1\) is not \(2, 2\)",
    ),
    "rows of the list": (
        lambda: distill.topk_kl(LOGPROBS[:1], IDS[:1], STUDENT),
        ValueError,
        r"^teacher_logprobs: shape \(1, 2\)",
    ),
    "dimensions of the list": (
        lambda: distill.topk_kl(LOGPROBS[0], IDS[0], STUDENT),
        ValueError,
        r"^teacher_logprobs: shape \(2,\)",
    ),
    "no classes at all": (lambda: distill.topk_kl(0.0, 0, 1.0), ValueError, r"^student_logits: shape \(\)"),
    "a class of none": (
        lambda: distill.topk_kl(np.zeros((2, 1)), np.zeros((2, 1), int), np.zeros((2, 0))),
        IndexError,
        r"^teacher_ids\[0, 0\]: 0 cannot be",
    ),
    "a masked list": (
        lambda: distill.topk_kl(np.ma.masked_less(LOGPROBS, -1.0), IDS, STUDENT),
        ValueError,
        "^teacher_logprobs: is a masked array",
    ),
    "NaN in the list": (
        lambda: distill.topk_kl([[0.0, NAN]], [[0, 1]], STUDENT[:1], check=True),
        ValueError,
        r"^teacher_logprobs\[0, 1\]: nan",
    ),
    "NaN in the list's student": (
        lambda: distill.topk_kl(LOGPROBS, IDS, BAD, check=True),
        ValueError,
        r"^student_logits\[1, 1\]: nan",
    ),
    "reverse without the others": (
        lambda: distill.topk_kl(LOGPROBS, IDS, STUDENT, tail="none", direction="reverse"),
        ValueError,
        "^direction: 'reverse' .*tail='none'",
    ),
    "reverse of an even tail": (
        lambda: distill.topk_kl_grad(LOGPROBS, IDS, STUDENT, tail="uniform", direction="reverse"),
        ValueError,
        "^direction: 'reverse' .*tail='uniform'",
    ),
    "jsd of a list": (
        lambda: distill.topk_kl(LOGPROBS, IDS, STUDENT, direction="jsd"),
        ValueError,
        "^direction: 'jsd' ",
    ),
    # The likeliest classes
    "k of none": (lambda: distill.topk(STUDENT, 0), ValueError, "^k: 0 is not from 1 to 3"),
    "k below 0": (lambda: distill.topk(STUDENT, -1), ValueError, "^k: -1 "),
    "k of too many": (lambda: distill.topk(STUDENT, 3, axis=0), ValueError, "^k: 3 is not from 1 to 2"),
    "k a float": (lambda: distill.topk(STUDENT, 2.0), TypeError, "^k: "),
    "k a bool": (lambda: distill.topk(STUDENT, True), TypeError, "^k: "),
    "k of no class": (lambda: distill.topk(np.zeros((2, 0)), 1), ValueError, "^k: 1 "),
    "all axes": (lambda: distill.topk(STUDENT, 1, axis=None), ValueError, "^axis: None"),
    "two axes": (lambda: distill.topk(STUDENT, 1, axis=(0, 1)), ValueError, "^axis: "),
    "where's shape": (lambda: distill.topk(STUDENT, 1, where=[True] * 4), ValueError, "^where: shape"),
    "where's type": (lambda: distill.topk(STUDENT, 1, where=[1, 0, 1]), TypeError, "^where: "),
    "logits' type": (lambda: distill.topk(["a", "b"], 1), TypeError, "^logits: "),
    "NaN among logits": (lambda: distill.topk(BAD, 1, check=True), ValueError, r"^logits\[1, 1\]: nan is no logit"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_named(mistake):
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", LISTED.values(), ids=LISTED)
def test_one_renormalized_class_is_warned_of(function):
    """The divergence of a class from itself: always 0, and no gradient; the warning says what to do instead."""
    logprobs, ids = np.log([[0.6], [0.3]]), np.array([[0], [2]])
    with pytest.warns(UserWarning, match="tail='bucket'") as caught:
        found = function(logprobs, ids, STUDENT, tail="renormalize")
    assert caught[0].filename == __file__
    for one in found if isinstance(found, tuple) else (found,):
        assert not np.any(one)


def test_what_does_not_count_is_not_looked_at():
    """Neither for check=True nor for the range of ids."""
    for mask in ([True, False], np.array(True)):
        student = STUDENT if np.ndim(mask) == 0 else BAD
        assert np.all(distill.kl(TEACHER, student, mask=mask, check=True) >= 0.0)
    listed = np.array([[0, 1], [-1, -1]])
    value = distill.topk_kl([LOGPROBS[0], [NAN, INF]], listed, BAD, mask=[True, False], check=True)
    assert value[0] == distill.topk_kl(LOGPROBS[0], IDS[0], STUDENT[0]) and value[1] == 0.0
