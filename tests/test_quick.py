"""Contiguous arrays reduced along their last axis take a shorter way to the kernels: it must not be seen in any result."""

import inspect
import itertools

import numpy as np
import pytest
from short_way import SHAPES, assert_same

import klfast
from klfast import distill, logits

PAIRS = {
    "kl_divergence": klfast.kl_divergence,
    "cross_entropy": klfast.cross_entropy,
    "js_divergence": klfast.js_divergence,
    "hellinger": klfast.hellinger,
    "renyi_divergence": lambda p, q, **options: klfast.renyi_divergence(p, q, 0.7, **options),
    "logits.kl_divergence": logits.kl_divergence,
    "logits.js_divergence": logits.js_divergence,
    "distill.kl": distill.kl,
}
SINGLE = {
    "entropy": klfast.entropy,
    "logits.entropy": logits.entropy,
    "logits.logsumexp": logits.logsumexp,
    "logits.softmax": logits.softmax,
    "logits.log_softmax": logits.log_softmax,
    "logits.entropy_grad": logits.entropy_grad,
}
GRADIENTS = {
    name: getattr(logits, name)
    for which in ("kl_divergence", "js_divergence")
    for name in (f"{which}_grad", f"{which}_value_and_grad")
}


def arguments(name, shape, dtype):
    random = np.random.default_rng(4)
    drawn = random.uniform if name in dir(klfast) else random.normal
    return [drawn(size=shape).astype(dtype) for _ in range(1 if name in SINGLE else 2)]


@pytest.mark.parametrize("name", PAIRS | SINGLE)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_as_the_long_way(name, dtype, shape):
    function, given = (PAIRS | SINGLE)[name], arguments(name, shape, dtype)
    expected = function(*given, check=True)  # which the short way does not know
    for options in ({}, {"axis": len(shape) - 1}, {"n_threads": 1}, {"n_threads": 2}):
        assert_same(function(*given, **options), expected)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", SHAPES)
def test_one_row_against_all_gives_the_same_as_the_long_way(name, dtype, shape):
    x, y = arguments(name, shape, dtype)
    row = np.ascontiguousarray(y.reshape(-1, shape[-1])[0])
    for given in ((x, row), (row, x)):
        assert_same(PAIRS[name](*given), PAIRS[name](*given, check=True))


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_one_row_against_all(name):
    x, y = arguments(name, (3, 5), np.float64)
    for given in ((x, y[1]), (y[1], x)):
        for wrt in ("x", "y", "both"):
            expected = GRADIENTS[name](*np.broadcast_arrays(*given), wrt=wrt)
            assert_same(GRADIENTS[name](*given, wrt=wrt), expected)


OPTIONS = {
    "base": (2, 0.1, np.float64(10)),
    "keepdims": (True,),
    "temperature": (2, 0.5, 1e-5, np.float32(3)),
    "beta": (0.25,),
    "normalize": (False,),
    "direction": ("forward", "reverse", "jsd"),
    "reduction": ("none", "mean", "sum"),
    "return_count": (True,),
    "scale_by_t2": (True,),
    "wrt": ("x", "y", "both"),
    "z_loss": (1e-4, 1),
    "softcap": (3, 0.7),
    "label_smoothing": (0.1, 1),
    "smooth_over": ("finite",),
    "grad_output": (0.0, -2.5, np.float64(3), np.inf),
    "weight": ("ones", "some", "tiny", "none"),
}


def weights(which, n_classes):
    """Weights of classes: all alike, with zeros among them, too small for float32, or none at all."""
    some = np.arange(n_classes) % 3 / 2
    return {"ones": np.ones(n_classes), "some": some.tolist(), "tiny": 1e-40 * (1.0 + some), "none": 0 * some}[which]


def its_options(function, among=OPTIONS):
    """All pairs of options that a function has, and each alone."""
    known = [(name, value) for name in inspect.signature(function).parameters if name in among for value in among[name]]
    return [{}, *map(dict, ([one] for one in known)), *map(dict, itertools.combinations(known, 2))]


NAMED = {name: function for name, function in (PAIRS | SINGLE | GRADIENTS).items() if name != "renyi_divergence"}
NAMED |= {"distill.kl_value_and_grad": distill.kl_value_and_grad}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", ((7,), (3, 5), (2, 3, 33)))
def test_every_option_gives_the_same_as_the_long_way(name, dtype, shape):
    function, given = NAMED[name], arguments(name, shape, dtype)
    for options in its_options(function):
        assert_same(function(*given, **options), function(*given, check=True, **options))


WRONG = {
    "base": (-1, 1, 0, "2", True, np.nan),
    "n_threads": (0, -1, 1.0, "2", True),
    "temperature": (0, -1, "1", True, np.nan, 1e300),
    "beta": (0, 1, "0.5", np.nan),
    "z_loss": (np.inf, "1", True),
    "wrt": ("z", None, 1),
    "softcap": (0, -1, "1", True, np.nan),
    "label_smoothing": (-0.1, 1.1, "0", True, np.nan),
    "smooth_over": ("some", None),
    "reduction": ("median", None),
    "direction": ("backward", None),
}


@pytest.mark.parametrize("name", NAMED)
def test_options_are_looked_at(name):
    function, given = NAMED[name], arguments(name, (3, 5), np.float64)
    parameters = inspect.signature(function).parameters
    for option in WRONG.keys() & parameters.keys():
        for value in WRONG[option]:
            if value is not parameters[option].default:
                with pytest.raises((TypeError, ValueError), match=f"^{option}: "):
                    function(*given, **{option: value})


@pytest.mark.parametrize("axis", (2, -3, 63, 64, 10**30, -(10**30)))
def test_an_axis_out_of_range(axis):
    p = np.ones((3, 5))
    with pytest.raises(ValueError, match="axis"):
        klfast.kl_divergence(p, p, axis=axis)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (np.ones((3, 5)), np.ones(())),
        (np.ones((3, 5)), np.ones(1)),
        (np.ones((3, 5)), np.ones((1, 5))),
        (np.ones((3, 5)), np.ones(10)[::2]),
        (np.ones((3, 5)), np.ones(5, np.float32)),
        (np.ones((3, 5)), np.ones((3, 5), np.float32)),
        (np.ones((3, 5)), np.ones((3, 5), int)),
        (np.ones((3, 10))[:, ::2], np.ones((3, 5))),
        (np.ones((3, 5)), np.ones((3, 5), order="F")),
        (np.ones((3, 5), ">f8"), np.ones((3, 5), ">f8")),
        (np.ma.ones((3, 5)), np.ones((3, 5))),
    ],
)
def test_what_is_not_for_it_gets_its_answer_too(p, q):
    assert klfast.kl_divergence(p, q).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", ((0,), (3, 0), (0, 3), (2, 0, 3)))
def test_nothing(shape):
    p = np.ones(shape)
    result = klfast.kl_divergence(p, p)
    assert np.shape(result) == shape[:-1] and np.all(np.isnan(result))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="do not broadcast"):
        klfast.kl_divergence(np.ones((3, 5)), np.ones((3, 4)))


def test_arrays_that_may_not_be_written():
    p, q = np.full((4, 6), 0.5), np.full((4, 6), 0.25)
    for one in (p, q):
        one.flags.writeable = False
    assert klfast.kl_divergence(p, q).tolist() == [0.0] * 4


# Class ids

OF_IDS = {
    "cross_entropy": logits.cross_entropy,
    "sum": lambda *given, **options: logits.cross_entropy(*given, reduction="sum", **options),
    "mean": lambda *given, **options: logits.cross_entropy(*given, reduction="mean", **options),
    "token_logprobs": logits.token_logprobs,
    "gradient": logits.cross_entropy_grad,
    "value_and_grad": logits.cross_entropy_value_and_grad,
}


@pytest.mark.parametrize("name", OF_IDS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("kind", ("i4", "i8"))
@pytest.mark.parametrize("shape", SHAPES)
def test_class_ids_give_the_same_as_the_long_way(name, dtype, kind, shape):
    random = np.random.default_rng(5)
    x, ids = random.normal(size=shape).astype(dtype), random.integers(shape[-1], size=shape[:-1]).astype(kind)
    expected = OF_IDS[name](x, ids, check=True)
    usual = {"axis": len(shape) - 1}, {"ignore_index": None}, {"ignore_index": -1}, {"n_threads": 1}, {"n_threads": 2}
    for options in ({}, *usual):
        assert_same(OF_IDS[name](x, np.asarray(ids), **options), expected)


@pytest.mark.parametrize("name", ("cross_entropy", "token_logprobs", "gradient", "value_and_grad"))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", ((7,), (3, 5), (2, 3, 33)))
@pytest.mark.parametrize("ignored", (0, 1, 99))
def test_every_option_of_a_loss_gives_the_same_as_the_long_way(name, dtype, shape, ignored):
    random = np.random.default_rng(5)
    x, ids = random.normal(size=shape).astype(dtype), np.asarray(random.integers(shape[-1], size=shape[:-1]))
    x.flat[0] = -np.inf
    ids.flat[len(ids.flat) - ignored :] = -100
    for options in its_options(OF_IDS[name]):
        if "weight" in options:
            options["weight"] = weights(options["weight"], shape[-1])
        assert_same(OF_IDS[name](x, ids, **options), OF_IDS[name](x, ids, check=True, **options))


@pytest.mark.parametrize("name", ("cross_entropy", "gradient", "value_and_grad"))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", ((7,), (3, 5), (2, 3, 33)))
def test_target_probabilities_give_the_same_as_the_long_way(name, dtype, shape):
    random = np.random.default_rng(5)
    x, target = random.normal(size=shape).astype(dtype), random.uniform(size=shape).astype(dtype)
    x.flat[0] = -np.inf
    for options in its_options(OF_IDS[name]):
        if "weight" in options:
            options["weight"] = weights(options["weight"], shape[-1])
        assert_same(OF_IDS[name](x, target, **options), OF_IDS[name](x, target, check=True, **options))


@pytest.mark.parametrize("name", ("cross_entropy", "gradient", "value_and_grad"))
def test_target_probabilities_of_another_shape(name):
    x = np.ones((2, 3))
    for shape in ((3,), (2,), ()):
        with pytest.raises(TypeError, match="probabilities have the 2 dimensions of x"):
            OF_IDS[name](x, np.ones(shape))
    with pytest.raises(ValueError, match="do not broadcast"):
        OF_IDS[name](x, np.ones((2, 2)))
    assert_same(OF_IDS[name](x, np.ones((1, 3))), OF_IDS[name](x, np.ones((2, 3))))


@pytest.mark.parametrize("name", ("cross_entropy", "token_logprobs", "gradient", "value_and_grad"))
def test_options_of_a_loss_are_looked_at(name):
    function = OF_IDS[name]
    for option in WRONG.keys() & inspect.signature(function).parameters.keys():
        for value in WRONG[option]:
            with pytest.raises((TypeError, ValueError), match=f"^{option}: "):
                function(np.ones((3, 9)), np.array([0, 1, 2]), **{option: value})


def odd_ids(ids):
    """The same class ids, in ways that the short way does not know."""
    room = bytearray(8 * len(ids) + 1)
    misaligned = np.frombuffer(room, np.int64, len(ids), 1)
    misaligned[:] = ids
    return {
        "list": ids.tolist(),
        "strided": np.repeat(ids, 2)[::2],
        "reversed": ids[::-1].copy()[::-1],
        "foreign": ids.astype(">i8"),
        "unsigned": ids.astype("u8"),
        "short": ids.astype("i2"),
        "misaligned": misaligned,
    }


@pytest.mark.parametrize("which", odd_ids(np.arange(3)))
@pytest.mark.parametrize("name", OF_IDS)
def test_class_ids_that_are_not_for_it_get_their_answer_too(name, which):
    x, ids = np.random.default_rng(6).normal(size=(5, 9)), np.array([8, 0, 3, 3, 1])
    assert_same(OF_IDS[name](x, odd_ids(ids)[which]), OF_IDS[name](x, ids))


@pytest.mark.parametrize("name", OF_IDS)
@pytest.mark.parametrize("wrong", (9, -1, 2**31 - 1, -(2**31), 2**40, -(2**63)))
def test_a_class_id_out_of_range(name, wrong):
    kind = np.int32 if abs(wrong) <= 2**31 else np.int64
    with pytest.raises(IndexError, match=rf"\[1\]: {wrong} is outside 0 to 8"):
        OF_IDS[name](np.ones((3, 9)), np.array([0, wrong, 2]).astype(kind))


@pytest.mark.parametrize("ids", (np.zeros((3, 1, 1), int), np.zeros(4, int), np.zeros((1, 3), int), np.array(0)))
def test_class_ids_of_another_shape(ids):
    for name in OF_IDS:
        with pytest.raises(ValueError, match="shape"):
            OF_IDS[name](np.ones((3, 9)), ids)


@pytest.mark.parametrize("ignored", (2, 0, -100))
def test_ignored_class_ids(ignored):
    x, ids = np.random.default_rng(7).normal(size=(4, 3)), np.array([2, ignored, 0, 1])
    counted = ids != ignored
    each = logits.cross_entropy(x, ids, ignore_index=ignored)
    assert not each[~counted].any() and each[counted].all()
    assert logits.cross_entropy(x, ids, ignore_index=ignored, reduction="mean") == np.sum(each) / np.sum(counted)


@pytest.mark.parametrize("option", ("temperature", "softcap", "label_smoothing", "z_loss"))
def test_an_option_of_a_loss_is_not_lost(option):
    x, ids = np.random.default_rng(8).normal(size=(4, 3)), np.array([2, 1, 0, 1])
    plain, other = logits.cross_entropy(x, ids), logits.cross_entropy(x, ids, **{option: 0.5})
    assert np.all(plain != other)
    with pytest.raises(TypeError, match=option):
        logits.cross_entropy(x, ids, **{option: "0.5"})


# Element by element


@pytest.mark.parametrize("name", ("entr", "rel_entr", "kl_div"))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", ((1,), (3, 5), (2, 3, 33), (70001,)))
def test_elements_are_the_same_as_by_the_long_way(name, dtype, shape):
    function, random = getattr(klfast, name), np.random.default_rng(9)
    given = [random.uniform(size=shape).astype(dtype) for _ in range(1 if name == "entr" else 2)]
    for array in given:
        array.flat[0] = 0
    expected = function(*given, where=True)
    for options in ({}, {"n_threads": 1}, {"n_threads": 2}):
        assert_same(function(*given, **options), expected)


@pytest.mark.parametrize("shape", ((), (0,), (3, 0)))
def test_elements_of_small_and_empty_arrays(shape):
    p = np.full(shape, 0.5)
    result = klfast.rel_entr(p, 2 * p)
    assert np.shape(result) == shape and np.all(result == 0.5 * np.log(0.5))
