"""Memory that the caller gives for results: the short way to the kernels takes it, or leaves the answer to the long one."""

import functools
import inspect
from typing import NamedTuple

import numpy as np
import pytest
from short_way import strided

import klfast
from klfast import distill, gaussian, logits, rlhf


class Case(NamedTuple):
    """A function, what it takes, and the arguments (indices) that results of their size belong to; none: one number a row."""

    function: callable
    takes: tuple
    writes: tuple = ()
    in_place: bool = True

    def arguments(self, shape, dtype):
        random = np.random.default_rng(3)
        made = {
            "logits": lambda: random.normal(size=shape).astype(dtype),
            "weights": lambda: random.uniform(size=shape).astype(dtype),
            "ids": lambda: np.asarray(random.integers(shape[-1], size=shape[:-1])),
        }
        return [made[what]() for what in self.takes]

    def places(self, given):
        """New memory for what the function writes, filled with something else."""
        if not self.writes:
            return [np.full(given[0].shape[:-1], -7.0)]
        return [np.full_like(given[k], -7.0) for k in self.writes]

    def call(self, given, places, **options):
        return self.function(*given, out=tuple(places) if len(places) > 1 else places[0], **options)


def by(wrt, function):
    return functools.partial(function, wrt=wrt)


TWO = "logits", "logits"
CASES = {
    "kl_divergence": Case(klfast.kl_divergence, ("weights", "weights")),
    "entropy": Case(klfast.entropy, ("weights",)),
    "logits.js_divergence": Case(logits.js_divergence, TWO),
    "logits.logsumexp": Case(logits.logsumexp, ("logits",)),
    "logits.cross_entropy": Case(logits.cross_entropy, ("logits", "ids")),
    "logits.cross_entropy of probabilities": Case(logits.cross_entropy, ("logits", "weights")),
    "logits.cross_entropy with weights": Case(
        functools.partial(logits.cross_entropy, weight=[1.0, 0.5, 2.0, 0.0, 1.0]), ("logits", "ids")
    ),
    "logits.token_logprobs": Case(logits.token_logprobs, ("logits", "ids")),
    "logits.softmax": Case(logits.softmax, ("logits",), (0,)),
    "logits.entropy_grad": Case(logits.entropy_grad, ("logits",), (0,)),
    "logits.cross_entropy_grad": Case(logits.cross_entropy_grad, ("logits", "ids"), (0,)),
    "logits.cross_entropy_value_and_grad": Case(logits.cross_entropy_value_and_grad, ("logits", "weights"), (0,)),
    "logits.kl_divergence_grad by x": Case(by("x", logits.kl_divergence_grad), TWO, (0,)),
    "logits.kl_divergence_grad by y": Case(by("y", logits.kl_divergence_grad), TWO, (1,)),
    "logits.js_divergence_grad by both": Case(by("both", logits.js_divergence_grad), TWO, (0, 1)),
    "logits.kl_divergence_value_and_grad": Case(by("both", logits.kl_divergence_value_and_grad), TWO, (0, 1)),
    "distill.kl_value_and_grad": Case(distill.kl_value_and_grad, TWO, (1,)),
    "distill.kl_value_and_grad reverse": Case(
        functools.partial(distill.kl_value_and_grad, direction="reverse"), TWO, (1,)
    ),
    "rlhf.kl_estimate": Case(rlhf.kl_estimate, TWO, (0,), in_place=False),
    "gaussian.kl_standard_normal": Case(gaussian.kl_standard_normal, TWO),
    "gaussian.kl_standard_normal_value_and_grad": Case(gaussian.kl_standard_normal_value_and_grad, TWO, (0, 1)),
}
WRITING = [name for name, case in CASES.items() if case.writes and case.in_place]


def flat(result):
    """All arrays and numbers of a result that may be a tuple of tuples."""
    return [one for part in result for one in flat(part)] if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", ((7,), (3, 5), (2, 3, 33), (300, 130)))
def test_it_is_filled_and_returned(name, dtype, shape):
    case = CASES[name]
    given = case.arguments(shape, dtype)
    known = inspect.signature(case.function).parameters
    for options in ({}, {"n_threads": 2}, {"base": 2}, {"temperature": 1e-5}):
        if options.keys() <= known.keys() and (shape[-1] == 5 or "weights" not in name):
            long = [strided(one) if one.ndim else one for one in given]  # which the short way does not know
            expected = flat(case.function(*long, **options))
            places = case.places(given)
            results = flat(case.call(given, places, **options))
            for one, other in zip(results, expected, strict=True):
                np.testing.assert_array_equal(one, other)
            assert all(any(one is place for one in results) for place in places)


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_it_may_be_that_of_an_argument(name, dtype):
    case = CASES[name]
    given = case.arguments((3, 5), dtype)
    expected = case.places(given)
    case.call(given, expected)
    for step in (1, -1):  # that of its own argument, and of the other
        mine = [one.copy() for one in given]
        both = [k for k, what in enumerate(case.takes) if what == "logits"][::step]
        places = [mine[both[k % len(both)]] for k in case.writes]
        case.call(mine, places)
        for place, values in zip(places, expected, strict=True):
            np.testing.assert_array_equal(place, values)


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_if_it_will_not_do(name):
    case = CASES[name]
    given = case.arguments((3, 5), np.float64)
    good = case.places(given)
    room = np.zeros(60)
    given[0] = room[20:35].reshape(3, 5)
    given[0][...] = 0.25
    size, shape = good[0].size, good[0].shape
    wrong = {
        "begins inside an argument": room[34 : 34 + size].reshape(shape),
        "ends inside an argument": room[21 - size : 21].reshape(shape),
        "type": good[0].astype(np.float16),
        "shape": np.zeros((4, *shape[1:])),
        "one dimension more": np.zeros((1, *shape)),
        "read-only": good[0].copy(),
    }
    if not case.in_place:
        wrong["is an argument"] = given[0]
    if not case.writes:
        wrong["lies inside an argument"] = given[0][:, 0]
        wrong["is the beginning of an argument"] = given[0].reshape(-1)[:3]
    wrong["read-only"].flags.writeable = False
    for what, place in wrong.items():
        before = room.copy(), place.copy()
        with pytest.raises(ValueError, match="^out: "):
            case.call(given, [place, *good[1:]])
        assert np.array_equal(room, before[0]) and np.array_equal(place, before[1]), what


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_array_is_refused(name):
    case = CASES[name]
    given = case.arguments((3, 5), np.float64)
    for out in ([0.0] * 3, "out", 0.0, True, False):
        with pytest.raises(TypeError, match="^out: "):
            case.function(*given, out=out)


@pytest.mark.parametrize("name", CASES)
def test_memory_beside_that_of_the_arguments_will_do(name):
    case = CASES[name]
    given = case.arguments((3, 5), np.float64)
    expected = flat(case.function(*given))
    room = np.zeros(100)
    place, given[0][...] = room[:15].reshape(3, 5), given[0]
    place[...] = given[0]
    given[0] = place
    places = case.places(given)
    after = room[15 : 15 + places[0].size].reshape(places[0].shape)
    results = flat(case.call(given, [after, *places[1:]]))
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.takes == ("logits", "weights")])
def test_target_probabilities_are_not_written_over(name):
    case = CASES[name]
    given = case.arguments((3, 5), np.float64)
    before = given[1].copy()
    with pytest.raises(ValueError, match="^out: overlaps target"):
        case.call(given, [given[1] if case.writes else given[1].reshape(-1)[:3]])
    assert np.array_equal(given[1], before)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "ids" in case.takes])
def test_class_ids_are_not_written_over(name):
    case = CASES[name]
    room = np.zeros(30)
    place, ids = room[:15].reshape(3, 5) if case.writes else room[:3], room[2:5].view(np.int64)
    with pytest.raises(ValueError, match="^out: overlaps (target|ids)"):
        case.call([np.ones((3, 5)), ids], [place])
    assert not room.any()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if len(case.writes) == 2])
def test_two_results_need_two_places(name):
    case = CASES[name]
    given = case.arguments((3, 5), np.float64)
    room = np.zeros(20)
    for second in (room[:15], room[5:]):
        with pytest.raises(ValueError, match="^out: overlaps the output for (x|mu)"):
            case.call(given, [room[:15].reshape(3, 5), second.reshape(3, 5)])
    assert not room.any()
    mine, expected = case.places(given)[0], flat(case.function(*given))
    for places in ([mine, None], [None, mine]):
        results = flat(case.call(given, places))
        assert any(one is mine for one in results)
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_array_equal(one, other)
