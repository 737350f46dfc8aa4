"""What distillation means: directions, tails, what counts, special values, types, layouts; against the plain twins.

That the twins of gradients are right is held against differences of the twins of values.
"""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from reductions import assert_same_bits

from klfast import distill, logits
from klfast._reference import distill as twin

INF, NAN = np.inf, np.nan
RANDOM = np.random.default_rng(12)
ROWS, CLASSES = (3, 4), 9
TEACHER = RANDOM.normal(0.0, 2.0, (*ROWS, CLASSES))
STUDENT = TEACHER + RANDOM.normal(0.0, 1.0, TEACHER.shape)
MASK = np.array([[True, False, True, True], [False] * 4, [True] * 4])
FACTORS = RANDOM.normal(0.0, 2.0, ROWS)
WAYS = (
    ("bucket", "forward"),
    ("bucket", "reverse"),
    ("renormalize", "forward"),
    ("renormalize", "reverse"),
    ("none", "forward"),
    ("uniform", "forward"),
)
REDUCED = list(itertools.product([False, True], [None, MASK], ["none", "sum", "mean"]))


def special_students():
    """Students that forbid classes, listed and not, in all rows or some; and one row each with NaN and +inf."""
    yield STUDENT
    best, worst = np.argmax(TEACHER, axis=-1)[..., None], np.argmin(TEACHER, axis=-1)[..., None]
    for place in (best, worst):
        forbidding = STUDENT.copy()
        np.put_along_axis(forbidding, place, -INF, axis=-1)
        yield forbidding
    only_best = np.full(STUDENT.shape, -INF)
    np.put_along_axis(only_best, best, 1.0, axis=-1)
    yield only_best
    broken = STUDENT.copy()
    broken[0, 0, worst[0, 0]], broken[0, 2, best[0, 2]], broken[2, 1], broken[2, 2, worst[2, 2]] = NAN, NAN, -INF, INF
    yield broken


def quietly(function, *arguments, **keywords):
    """A call that may warn of a single renormalized class."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "one renormalized class", UserWarning)
        return function(*arguments, **keywords)


def assert_alike(results, expected, message=""):
    for result, one in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, one, rtol=1e-9, atol=1e-13, err_msg=message)


# Against the twins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale_by_t2, mask, reduction", REDUCED)
@pytest.mark.parametrize("direction", ["forward", "reverse", "jsd"])
def test_whole_rows_mean_what_the_twin_says(direction, scale_by_t2, mask, reduction):
    keywords = {"direction": direction, "scale_by_t2": scale_by_t2, "mask": mask, "reduction": reduction}
    grad_output = FACTORS if reduction == "none" else -1.5
    for student, temperature, beta in itertools.product(special_students(), (1.0, 0.5, 3), (0.5, 0.1)):
        more = keywords | {"temperature": temperature, "beta": beta}
        both = {"grad_output": grad_output, "return_count": True}
        found = distill.kl_value_and_grad(TEACHER, student, **more, **both)
        assert_alike(found, twin.kl_value_and_grad(TEACHER, student, **more, **both), str(more))
        assert_same_bits(distill.kl(TEACHER, student, **more), found[0])
        assert_same_bits(distill.kl_grad(TEACHER, student, **more, grad_output=grad_output), found[1])


@pytest.mark.parametrize("scale_by_t2, mask, reduction", REDUCED)
@pytest.mark.parametrize("tail, direction", WAYS)
def test_lists_mean_what_the_twin_says(tail, direction, scale_by_t2, mask, reduction):
    keywords = {
        "tail": tail,
        "direction": direction,
        "scale_by_t2": scale_by_t2,
        "mask": mask,
        "reduction": reduction,
    }
    both = {"grad_output": FACTORS if reduction == "none" else -1.5, "return_count": True}
    for student, temperature, k in itertools.product(special_students(), (1.0, 0.5, 3), (1, 4, CLASSES)):
        top = distill.topk(TEACHER, k, temperature=temperature)
        more = keywords | {"temperature": temperature}
        listed = top.logprobs, top.ids
        found = quietly(distill.topk_kl_value_and_grad, *listed, student, **more, **both)
        expected = twin.topk_kl_value_and_grad(*listed, student, **more, **both)
        assert_alike(found, expected, f"{more}, k = {k}")
        assert_same_bits(quietly(distill.topk_kl, *listed, student, **more), found[0])
        apart = quietly(distill.topk_kl_grad, *listed, student, **more, grad_output=both["grad_output"])
        assert_same_bits(apart, found[1])


@pytest.mark.parametrize("tail, direction", WAYS)
def test_gradients_of_lists_are_slopes_of_the_values(tail, direction):
    top = distill.topk(TEACHER, 4, temperature=0.7)
    keywords = {"tail": tail, "direction": direction, "temperature": 0.7, "reduction": "mean", "mask": MASK}
    gradient = distill.topk_kl_grad(top.logprobs, top.ids, STUDENT, **keywords)
    step = 1e-5
    for place in np.ndindex(STUDENT.shape):
        ends = []
        for sign in (1.0, -1.0):
            moved = STUDENT.copy()
            moved[place] += sign * step
            ends.append(twin.topk_kl(top.logprobs, top.ids, moved, **keywords))
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2.0 * step), abs=1e-8)


@pytest.mark.parametrize("direction", ["forward", "reverse", "jsd"])
def test_gradients_of_whole_rows_are_slopes_of_the_values(direction):
    keywords = {"direction": direction, "temperature": 2.0, "scale_by_t2": True, "beta": 0.3, "reduction": "sum"}
    gradient = distill.kl_grad(TEACHER, STUDENT, **keywords)
    step = 1e-5
    for place in np.ndindex(STUDENT.shape):
        up, down = STUDENT.copy(), STUDENT.copy()
        up[place] += step
        down[place] -= step
        slope = (twin.kl(TEACHER, up, **keywords) - twin.kl(TEACHER, down, **keywords)) / (2.0 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("axis", [0, 1, -2, (0, 2), None])
def test_whole_rows_lie_along_any_axes(axis):
    for direction in ("forward", "reverse", "jsd"):
        keywords = {"axis": axis, "direction": direction}
        found = distill.kl_value_and_grad(TEACHER, STUDENT, **keywords)
        assert_alike(found, twin.kl_value_and_grad(TEACHER, STUDENT, **keywords))
    rows = np.shape(distill.kl(TEACHER, STUDENT, axis=axis))
    mask = np.arange(np.prod(rows, dtype=int)).reshape(rows) % 2 == 0
    found = distill.kl_value_and_grad(TEACHER, STUDENT, axis=axis, mask=mask)
    assert_alike(found, twin.kl_value_and_grad(TEACHER, STUDENT, axis=axis, mask=mask))


# What is true of tails -----------------------------------------------------------------------------------------------

LOGITS = arrays.arrays(np.float64, 12, elements=st.floats(-8, 8))


@settings(max_examples=200, deadline=None)
@given(LOGITS, LOGITS, st.sampled_from(["forward", "reverse"]))
def test_a_bucket_is_below_the_whole_and_grows_towards_it(teacher, student, direction):
    whole = distill.kl(teacher, student, direction=direction)
    below = 0.0
    for k in range(1, 12):
        top = distill.topk(teacher, k)
        value = distill.topk_kl(top.logprobs, top.ids, student, direction=direction)
        assert below - 1e-8 <= value <= whole + 1e-8  # a tail of 1e-7 is no surer, as what is missing from 1
        below = value


@settings(max_examples=200, deadline=None)
@given(LOGITS, st.integers(1, 12))
def test_a_student_that_is_the_teacher_is_no_distance_away(teacher, k):
    top = distill.topk(teacher, k)
    for tail, direction in WAYS:
        if tail != "uniform" and not (tail == "none" and k < 12):
            value = quietly(distill.topk_kl, top.logprobs, top.ids, teacher, tail=tail, direction=direction)
            assert abs(value) <= 1e-13
    assert np.max(np.abs(distill.topk_kl_grad(top.logprobs, top.ids, teacher))) <= 1e-13


@settings(max_examples=100, deadline=None)
@given(LOGITS, LOGITS, st.permutations(range(12)), st.integers(1, 12))
def test_the_order_of_a_list_changes_no_bit(teacher, student, order, k):
    """Nor whether a tail next to 0 is there."""
    log_p = logits.log_softmax(teacher)
    ids = np.array(order)[:k]
    for tail, direction in WAYS:
        one, other = (
            quietly(distill.topk_kl_value_and_grad, log_p[listed], listed, student, tail=tail, direction=direction)
            for listed in (ids, np.sort(ids))
        )
        assert [np.asarray(part).tobytes() for part in one] == [np.asarray(part).tobytes() for part in other]


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
@pytest.mark.parametrize("tail", ("bucket", "renormalize"))
def test_where_a_reverse_divergence_is_infinite_no_class_is_too_unlikely_to_have_no_gradient(tail, dtype):
    """The student has others where the teacher has none; of a row before and one behind it more is known."""
    student = np.zeros((3, 8), dtype)
    student[1] = [0.0, -5.0, -INF, -20.0, -200.0, -800.0, -60000.0, -INF]
    listed = np.array([[-0.7, -1.4], [0.0, -INF], [-0.7, -1.4]])
    gradient = distill.topk_kl_grad(listed, [[1, 0]] * 3, student, tail=tail, direction="reverse")
    others_count = tail == "bucket"
    assert np.all(np.isfinite(gradient[[0, 2]]))
    expected = np.where(student[1] == -INF, 0.0, NAN)
    np.testing.assert_array_equal(gradient[1], expected if others_count else [NAN, NAN, *[0.0] * 6])
    in_place = distill.topk_kl_grad(listed, [[1, 0]] * 3, student, tail=tail, direction="reverse", out=student)
    assert in_place is student and in_place.tobytes() == gradient.tobytes()


def test_each_tail_by_hand():
    """p = (.6, .3 | .07, .03) against q = (.5, .2 | .2, .1)."""
    listed, student = np.log([0.6, 0.3]), np.log([0.5, 0.2, 0.2, 0.1])
    of_listed = 0.6 * np.log(0.6 / 0.5) + 0.3 * np.log(0.3 / 0.2)
    bucket = of_listed + 0.1 * np.log(0.1 / 0.3)
    within = 0.5 * np.log(0.5 / (2 / 3)) + 0.5 * np.log(0.5 / (1 / 3))
    expected = {
        "bucket": bucket,
        "renormalize": (2 / 3) * np.log((2 / 3) / (5 / 7)) + (1 / 3) * np.log((1 / 3) / (2 / 7)),
        "none": of_listed,
        "uniform": bucket + 0.1 * within,
    }
    for tail, value in expected.items():
        assert distill.topk_kl(listed, [0, 1], student, tail=tail) == pytest.approx(value, rel=1e-12)
    reverse = 0.5 * np.log(0.5 / 0.6) + 0.2 * np.log(0.2 / 0.3) + 0.3 * np.log(0.3 / 0.1)
    assert distill.topk_kl(listed, [0, 1], student, direction="reverse") == pytest.approx(reverse, rel=1e-12)


def test_a_list_that_adds_up_to_1_or_more_has_no_tail():
    student = np.array([0.3, -0.2, 0.5])
    for listed in (np.log([0.5, 0.5]), np.log([0.5, 0.5]) + 1e-15, np.array([0.0, -INF])):
        value = distill.topk_kl(listed, [0, 1], student)
        p, q = np.exp(listed) / np.sum(np.exp(listed)), logits.softmax(student)[:2]
        assert value == pytest.approx(np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / q), 0.0)), rel=1e-12)
        assert distill.topk_kl(listed, [0, 1], student, tail="uniform") == value
        assert distill.topk_kl(listed, [0, 1], student, direction="reverse") == INF
        assert distill.topk_kl(listed, [0, 1], [0.3, -0.2, -INF], direction="reverse") < INF or listed[1] == -INF


def test_what_is_renormalized_is_all_that_is_read():
    student = np.array([1.0, NAN, 2.0, INF])
    value, gradient = distill.topk_kl_value_and_grad(np.log([0.5, 0.2]), [2, 0], student, tail="renormalize")
    assert value == pytest.approx(logits.kl_divergence(np.log([0.5, 0.2]), [2.0, 1.0]), rel=1e-14)
    np.testing.assert_array_equal(gradient[[1, 3]], [0.0, 0.0])


def test_an_empty_list_says_nothing():
    nothing = np.zeros((2, 0))
    student = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    ids = nothing.astype(int)
    assert_same_bits(distill.topk_kl(nothing, ids, student), np.zeros(2))
    assert_same_bits(distill.topk_kl(nothing, ids, student, tail="none"), np.zeros(2))
    even = distill.topk_kl(nothing, ids, student, tail="uniform")
    np.testing.assert_allclose(even, logits.kl_divergence(np.zeros(3), student), rtol=1e-14)
    assert np.all(np.isnan(distill.topk_kl(nothing, ids, student, tail="renormalize")))


def test_a_masked_array_leaves_classes_of_the_student_out():
    hidden = RANDOM.random(STUDENT.shape) < 0.3
    top = distill.topk(TEACHER, 4)
    hidden[np.arange(CLASSES) == top.ids[..., :1]] = False
    held, forbidden = np.where(hidden, NAN, STUDENT), np.where(hidden, -INF, STUDENT)
    for tail, direction in WAYS[:5]:
        keywords = {"tail": tail, "direction": direction}
        found = distill.topk_kl_value_and_grad(top.logprobs, top.ids, np.ma.masked_array(held, hidden), **keywords)
        expected = distill.topk_kl_value_and_grad(top.logprobs, top.ids, forbidden, **keywords)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
        assert not np.any(found[1][hidden])
        np.testing.assert_allclose(found[1][~hidden], expected[1][~hidden], rtol=1e-9, atol=1e-14)
    found = distill.kl_value_and_grad(TEACHER, np.ma.masked_array(held, hidden))
    assert_same_bits(found[0], logits.kl_divergence(TEACHER, STUDENT, where=~hidden))
    even = distill.topk_kl(top.logprobs, top.ids, np.ma.masked_array(held, hidden), tail="uniform")
    place = (2, 3)  # as if the classes were not there, the others closer together
    kept = np.flatnonzero(~hidden[place])
    is_kept = np.isin(top.ids[place], kept)
    if np.all(is_kept):
        closer = distill.topk_kl(
            top.logprobs[place], np.searchsorted(kept, top.ids[place]), STUDENT[place][kept], tail="uniform"
        )
        assert even[place] == pytest.approx(closer, rel=1e-12)
    else:
        assert even[place] == INF


# What counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["kl", *(way[0] for way in WAYS[::2]), "uniform"])
def test_rows_that_do_not_count_may_hold_and_list_anything(call):
    """Padding: NaN, +inf and ids that are none; nothing of it shows, and the rows that count have the same bits."""
    mask = np.arange(600).reshape(2, 300) % 3 == 0
    random = np.random.default_rng(0)
    for length in (5, 200, 3000):
        teacher, student = random.normal(0.0, 2.0, (2, 2, 300, length)).astype(np.float32)
        top = distill.topk(teacher, 4)
        listed = np.where(mask[..., None], top.logprobs, NAN), np.where(mask[..., None], top.ids, -1)
        padded = np.where(mask[..., None], student, np.float32(NAN))
        padded[0, 1, 0] = INF
        for reduction in ("none", "sum", "mean"):
            keywords = {"reduction": reduction, "mask": mask}
            if call == "kl":
                one = distill.kl_value_and_grad(teacher, student, **keywords)
                other = distill.kl_value_and_grad(np.where(mask[..., None], teacher, padded), padded, **keywords)
            else:
                one = distill.topk_kl_value_and_grad(top.logprobs, top.ids, student, tail=call, **keywords)
                other = distill.topk_kl_value_and_grad(*listed, padded, tail=call, **keywords)
            assert_same_bits(one[0], other[0])
            assert_same_bits(one[1], other[1])
            assert not np.any(other[1][~mask])


def test_if_nothing_counts_a_sum_is_0_and_a_mean_is_nan():
    none = np.zeros(ROWS, bool)
    top = distill.topk(TEACHER, 2)
    for reduction, expected in (("sum", 0.0), ("mean", NAN)):
        for function, arguments in (
            (distill.kl_value_and_grad, (TEACHER, STUDENT)),
            (distill.topk_kl_value_and_grad, (top.logprobs, top.ids, STUDENT)),
        ):
            value, gradient, count = function(*arguments, mask=none, reduction=reduction, return_count=True)
            np.testing.assert_array_equal(value, expected)
            assert count == 0 and type(count) is int
            assert not np.any(gradient)


def test_arrays_without_rows_or_classes():
    assert distill.kl(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0,)
    assert np.isnan(distill.kl(np.zeros((2, 0)), np.zeros((2, 0)))).tolist() == [True, True]
    listed = np.zeros((0, 2)), np.zeros((0, 2), int)
    for tail, direction in WAYS:
        value, gradient = distill.topk_kl_value_and_grad(*listed, np.zeros((0, 3)), tail=tail, direction=direction)
        assert value.shape == (0,) and gradient.shape == (0, 3)
        nothing = np.zeros((2, 0))
        value = distill.topk_kl(nothing, nothing.astype(int), nothing, tail=tail, direction=direction)
        assert np.all(np.isnan(value)) and value.shape == (2,)


# Public cases --------------------------------------------------------------------------------------------------------


def test_a_mean_over_batches_is_that_of_all_rows():
    """Two batches of 3 and 1 tokens: the mean of their means is another number than that over all tokens."""
    teacher, student = TEACHER.reshape(-1, CLASSES)[:4], STUDENT.reshape(-1, CLASSES)[:4]
    masks = np.array([[True] * 3, [False, True, False]])
    batches = np.array([[0, 1, 2], [0, 3, 1]])
    parts = [
        distill.kl(teacher[rows], student[rows], mask=mask, direction="jsd", reduction="sum", return_count=True)
        for rows, mask in zip(batches, masks, strict=True)
    ]
    assert [count for _, count in parts] == [3, 1]
    mean = sum(value for value, _ in parts) / sum(count for _, count in parts)
    assert mean == pytest.approx(distill.kl(teacher, student, direction="jsd", reduction="mean"), rel=1e-14)


def test_one_listed_class_is_a_coin_and_not_nothing():
    """Renormalised, K = 1 is identically 0; with a bucket it is the divergence of two coins."""
    top = distill.topk(TEACHER, 1)
    value = distill.topk_kl(top.logprobs, top.ids, STUDENT)
    p, q = np.exp(top.logprobs[..., 0]), np.take_along_axis(logits.softmax(STUDENT), top.ids, axis=-1)[..., 0]
    coins = p * np.log(p / q) + (1.0 - p) * np.log((1.0 - p) / (1.0 - q))
    np.testing.assert_allclose(value, coins, rtol=1e-9)
    assert np.all(value > 0.0)
    with pytest.warns(UserWarning, match="tail='bucket'"):
        assert not np.any(distill.topk_kl(top.logprobs, top.ids, STUDENT, tail="renormalize"))


def test_a_reverse_divergence_on_the_students_list_looks_the_teacher_up():
    """The student's likeliest classes, which are others than the teacher's: both sides have them, and a tail."""
    ids = distill.topk(STUDENT, 3).ids
    assert np.any(np.sort(ids) != np.sort(distill.topk(TEACHER, 3).ids))
    listed = logits.token_logprobs(TEACHER, ids)
    value = distill.topk_kl(listed, ids, STUDENT, direction="reverse")
    p, q = (np.take_along_axis(logits.softmax(one), ids, axis=-1) for one in (TEACHER, STUDENT))
    p, q = (np.concatenate([one, 1.0 - np.sum(one, axis=-1, keepdims=True)], axis=-1) for one in (p, q))
    np.testing.assert_allclose(value, np.sum(q * np.log(q / p), axis=-1), rtol=1e-9)


def test_the_square_of_the_temperature_is_an_explicit_choice():
    """Temperature 2: .3641753, and with T**2 1.4567013; as many times the gradient."""
    pair = [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]
    assert distill.kl(*pair, temperature=2.0) == pytest.approx(0.3641753271, abs=1e-10)
    assert distill.kl(*pair, temperature=2.0, scale_by_t2=True) == pytest.approx(1.4567013, abs=1e-7)
    assert distill.kl([pair[0]], [pair[1]], temperature=2.0, reduction="mean") == pytest.approx(0.3641753271, abs=1e-10)
    gradients = [distill.kl_grad(*pair, temperature=2.0, scale_by_t2=scale) for scale in (False, True)]
    np.testing.assert_allclose(gradients[1], 4.0 * gradients[0], rtol=1e-14)


@pytest.mark.filterwarnings("error")
def test_a_mean_is_in_the_range_though_the_sum_is_not():
    teacher, student = np.zeros((2, 4, 2))
    teacher[:, 1] = student[:, 0] = 1.5e308
    top = distill.topk(teacher, 1)
    for function, arguments in ((distill.kl, (teacher, student)), (distill.topk_kl, (top.logprobs, top.ids, student))):
        assert function(*arguments, reduction="sum") == INF
        assert function(*arguments, reduction="mean") == 1.5e308
        assert function(*arguments, reduction="mean", mask=[True, False, True, True]) == 1.5e308
        more = {"temperature": 2.0, "scale_by_t2": True}
        assert np.all(function(*arguments, **more) == INF)
        assert function(*arguments, reduction="mean", **more) == INF
    student[1:] = teacher[1:]  # the first alone, times 4, is beyond the range: 4*(1.5e308/2)/4
    assert distill.kl(teacher, student, reduction="mean", temperature=2.0, scale_by_t2=True) == 7.5e307
