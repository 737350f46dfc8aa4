"""Mistakes with losses, softmax and gradients: each names its argument, comes before any work, and writes nothing."""

import numpy as np
import pytest
from logit_calls import ANY_AXES, CALLS, LOSSES, OF_ENTRIES, OF_ROWS, ONE_AXIS, tables

import klfast
from klfast import logits

NAN, INF = np.nan, np.inf
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
Y = X[::-1].copy()
IDS = np.array([0, 2])
SHARES = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
BAD = np.array([[1.0, 2.0, 3.0], [0.5, NAN, 2.0]])
EITHER = (TypeError, ValueError)


def loss(**keywords):
    return logits.cross_entropy(X, IDS, **keywords)


def read_only(array):
    array.flags.writeable = False
    return array


NOT_POSITIVE = [0, 0.0, -1, -0.5, NAN, INF, -INF]
NO_NUMBERS = ["a", None, True, [1.0], 1j]
WRONG_KEYWORDS = {
    "temperature": [(value, ValueError) for value in NOT_POSITIVE] + [(value, TypeError) for value in NO_NUMBERS],
    "label_smoothing": [(value, ValueError) for value in (-0.1, 1.1, NAN, INF)] + [(v, TypeError) for v in NO_NUMBERS],
    "z_loss": [(NAN, ValueError), (INF, ValueError), (10**400, ValueError), ("a", TypeError), (True, TypeError)],
    "softcap": [(value, ValueError) for value in (0, -1.0, NAN)] + [("a", TypeError), (True, TypeError)],
    "smooth_over": [("some", ValueError), ("ALL", ValueError), (None, EITHER), (1, EITHER)],
    "reduction": [("avg", ValueError), ("batchmean", ValueError), (None, EITHER), (0, EITHER)],
    "ignore_index": [(1.5, TypeError), ("a", TypeError), ([1, 2], TypeError)]
    + [(value, ValueError) for value in (10**400, -(10**400), 2**64)],
    "base": [(1, ValueError), (-2.0, ValueError), ("e", TypeError)],
    "weight": [
        ([1.0, 2.0], ValueError),
        ([1.0, 2.0, 3.0, 4.0], ValueError),
        (np.ones((2, 3)), ValueError),
        (1.0, ValueError),
        ([1.0, -2.0, 3.0], ValueError),
        ([1.0, NAN, 3.0], ValueError),
        ([1.0, INF, 3.0], ValueError),
        (["a", "b", "c"], TypeError),
        ([1j, 1, 1], TypeError),
    ],
    "axis": [(2, ValueError), (-3, ValueError), (1.0, TypeError), (None, ValueError), ((0, 1), ValueError)],
    "where": [([True] * 4, ValueError), ([1, 0, 1], TypeError)],
    "n_threads": [(0, ValueError), (1.5, TypeError)],
    "dtype": [("float8", ValueError), ("float32", ValueError)],
}
CASES = [(name, *case) for name, cases in WRONG_KEYWORDS.items() for case in cases]


def takes(call, name):
    """Whether the function behind a call has that keyword."""
    without = {"temperature": ["logprobs"], "base": ["logsumexp", "softmax"]}
    if name in ("label_smoothing", "z_loss", "smooth_over", "reduction", "weight"):
        return "cross_entropy" in call and call in ONE_AXIS
    if name in ("softcap", "ignore_index"):
        return call in ONE_AXIS and (name == "softcap" or "soft " not in call)
    return not any(part in call for part in without.get(name, []))


@pytest.mark.parametrize("name, value, kind", CASES, ids=lambda value: str(value).replace("\n", "")[:20])
def test_every_wrong_keyword_is_named_by_every_function_that_has_it(name, value, kind):
    arrays = tables("float64", 2, 3)
    for call in CALLS:
        if takes(call, name) and not (name == "axis" and call in ANY_AXES and (value is None or type(value) is tuple)):
            out = np.full((2, 3) if call in OF_ENTRIES else (2,), 7.0)
            with pytest.raises(kind, match=rf"^{name}\b") as caught:
                CALLS[call](arrays, **{name: value, "out": out})
            assert "\n" not in str(caught.value)
            assert np.all(out == 7.0)


@pytest.mark.parametrize(
    "function", ["js_divergence", "js_distance", "js_divergence_grad", "js_divergence_value_and_grad"]
)
def test_beta_lies_between_0_and_1(function):
    more = {"wrt": "x"} if "grad" in function else {}
    for value in (0, 1, 0.0, 1.0, -0.1, 1.5, NAN, INF):
        with pytest.raises(ValueError, match="^beta: "):
            getattr(logits, function)(X, Y, beta=value, **more)
    for value in ("a", None, True, [0.5]):
        with pytest.raises(TypeError, match="^beta: "):
            getattr(logits, function)(X, Y, beta=value, **more)
    if "distance" not in function and not more:
        with pytest.raises(ValueError, match="^beta: "):
            klfast.logprobs.js_divergence(X, Y, beta=1)


@pytest.mark.parametrize("function", ["kl_divergence_grad", "js_divergence_grad", "kl_divergence_value_and_grad"])
@pytest.mark.parametrize("wrt", ["z", "X", "xy", None, 0, ("x", "y")])
def test_a_gradient_is_of_x_or_y_or_both(function, wrt):
    with pytest.raises(EITHER, match="^wrt: "):
        getattr(logits, function)(X, Y, wrt=wrt)


MISTAKES = {
    "label too large": (lambda: logits.cross_entropy(X, [0, 3]), IndexError, r"target\[1\]: 3 "),
    "label negative": (lambda: logits.cross_entropy(X, [-1, 0]), IndexError, r"target\[0\]: -1 "),
    "label in a table": (
        lambda: logits.cross_entropy(np.zeros((2, 5, 3)), [[0, 1, 4], [2, 5, -7]], axis=1),
        IndexError,
        r"target\[1, 1\]: 5 ",
    ),
    "label of a gradient": (lambda: logits.cross_entropy_grad(X, [0, 3]), IndexError, r"target\[1\]: 3 "),
    "label of both": (lambda: logits.cross_entropy_value_and_grad(X, [0, 3]), IndexError, r"target\[1\]: 3 "),
    "id too large": (lambda: logits.token_logprobs(X, [0, 3]), IndexError, r"ids\[1\]: 3 "),
    "one of several ids": (lambda: logits.token_logprobs(X, [[0, 1], [2, -4]]), IndexError, r"ids\[1, 1\]: -4 "),
    "id not integer": (lambda: logits.token_logprobs(X, [0.0, 1.0]), EITHER, "^ids: .*integer"),
    "ids' shape": (lambda: logits.token_logprobs(X, [0, 1, 2]), ValueError, "^ids: "),
    "ids' rows": (lambda: logits.token_logprobs(X, [[0, 1]] * 3), ValueError, "^ids: "),
    "label compared": (lambda: klfast.logits.compare_rows(X, Y, [0, 3]), IndexError, r"target\[1\]: 3 "),
    "labels compared, as floats": (lambda: logits.compare_rows(X, Y, [0.0, 1.0]), EITHER, "^target: "),
    "rows compared, shapes": (lambda: logits.compare_rows(X, Y[:, :2]), ValueError, "x .* y "),
    "rows compared, axis": (lambda: logits.compare_rows(X, Y, axis=(0, 1)), EITHER, "^axis: "),
    "class ids as floats": (lambda: logits.cross_entropy(X, [0.0, 2.0]), EITHER, "^target: .*integer"),
    "class id as a float": (lambda: logits.cross_entropy(X[0], 2.0), EITHER, "^target: .*integer"),
    "class ids as bools": (lambda: logits.cross_entropy(X, [True, False]), EITHER, "^target: "),
    "class ids as words": (lambda: logits.cross_entropy(X, ["0", "2"]), EITHER, "^target: "),
    "too many class ids": (lambda: logits.cross_entropy(X, [0, 1, 2]), ValueError, r"target: shape \(3,\)"),
    "soft targets' shape": (lambda: logits.cross_entropy(X, np.ones((2, 4))), ValueError, r"target.*\(2, 4\)"),
    "out of floats": (lambda: loss(out=np.zeros(2, "f4")), ValueError, "^out: dtype float32"),
    "out's shape": (lambda: loss(out=np.zeros(3)), ValueError, r"^out: shape \(3,\)"),
    "out of a reduction": (lambda: loss(out=np.zeros(2), reduction="mean"), ValueError, r"^out: shape \(2,\)"),
    "out a list": (lambda: loss(out=[0.0, 0.0]), TypeError, "^out: "),
    "out read-only": (lambda: loss(out=read_only(np.zeros(2))), ValueError, "^out: is read-only"),
    "out of softmax, type": (lambda: logits.softmax(X, out=np.zeros(X.shape, "f4")), ValueError, "^out: dtype float32"),
    "out of softmax, shape": (lambda: logits.softmax(X, out=np.zeros((2, 2))), ValueError, r"^out: shape \(2, 2\)"),
    "out of integers": (lambda: logits.softmax([[1, 2]], out=np.zeros((1, 2), int)), ValueError, "^out: dtype int64"),
    "in place, but read-only": (
        lambda: (lambda x: logits.softmax(x, out=x))(read_only(X.copy())),
        ValueError,
        "^out: is read-only",
    ),
    "two gradients, one out": (
        lambda: logits.kl_divergence_grad(X, Y, wrt="both", out=np.zeros((2, 3))),
        EITHER,
        "^out: ",
    ),
    "two gradients in one place": (
        lambda: (lambda out: logits.kl_divergence_grad(X, Y, wrt="both", out=(out, out)))(np.zeros((2, 3))),
        ValueError,
        "^out",
    ),
    "one gradient, two outs": (
        lambda: logits.kl_divergence_grad(X, Y, wrt="x", out=(np.zeros((2, 3)), np.zeros((2, 3)))),
        EITHER,
        "^out: ",
    ),
    "the second out": (
        lambda: logits.js_divergence_grad(X, Y, wrt="both", out=(np.zeros((2, 3)), np.zeros((2, 3), "f4"))),
        ValueError,
        "^out.*dtype float32",
    ),
    "grad_output's shape": (
        lambda: logits.entropy_grad(X, grad_output=np.ones(3)),
        ValueError,
        r"^grad_output: .*\(3,\)",
    ),
    "grad_output of entries": (
        lambda: logits.kl_divergence_grad(X, Y, wrt="x", grad_output=X),
        ValueError,
        r"^grad_output: .*\(2, 3\)",
    ),
    "grad_output of a mean": (
        lambda: logits.cross_entropy_grad(X, IDS, reduction="mean", grad_output=[1.0, 2.0]),
        ValueError,
        r"^grad_output: .*\(2,\)",
    ),
    "grad_output a word": (lambda: logits.entropy_grad(X, grad_output="a"), EITHER, "^grad_output: "),
    "shapes": (lambda: logits.js_distance(X, np.ones(2)), ValueError, r"x \(2, 3\) and y \(2,\)"),
    "log-probabilities' shapes": (
        lambda: klfast.logprobs.kl_divergence(X, np.ones(2)),
        ValueError,
        r"lp \(2, 3\) and lq \(2,\)",
    ),
    "NaN": (lambda: logits.softmax(BAD, check=True), ValueError, r"^x\[1, 1\]: nan is no logit"),
    "NaN and labels": (lambda: logits.token_logprobs(BAD, IDS, check=True), ValueError, r"^x\[1, 1\]: nan is no logit"),
    "NaN in y": (
        lambda: logits.js_divergence_grad(X, BAD, wrt="x", check=True),
        ValueError,
        r"^y\[1, 1\]: nan is no logit",
    ),
    "infinite": (
        lambda: logits.js_distance([1.0, INF], [0.0, 1.0], check=True),
        ValueError,
        r"^x\[1\]: inf is no logit",
    ),
    "negative target": (
        lambda: logits.cross_entropy(X, [[0.5, 0.5, 0.0], [0.5, 0.75, -0.25]], check=True),
        ValueError,
        r"^target\[1, 2\]: -0.25 ",
    ),
    "NaN target": (lambda: logits.cross_entropy(X[0], [0.5, NAN, 0.5], check=True), ValueError, r"^target\[1\]: nan "),
    "probabilities for their logarithms": (
        lambda: klfast.logprobs.entropy([[np.log(0.5)] * 2, [0.7, 0.3]], check=True),
        ValueError,
        r"^lp\[1\]: .*3\.36",
    ),
    "scores for log-probabilities": (
        lambda: klfast.logprobs.kl_divergence(np.log([0.5, 0.5]), [0.0, 0.0], check=True),
        ValueError,
        r"^lq.*2",
    ),
    "NaN log-probability": (
        lambda: klfast.logprobs.entropy([NAN, 0.0], check=True),
        ValueError,
        r"^lp\[0\]: nan ",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_named(mistake):
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight, message", [([1, -2, 3], r"weight\[1\]: -2"), ([1, 2, NAN], r"weight\[2\]: nan")])
def test_a_bad_weight_is_named_with_its_place(weight, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        loss(weight=weight)


@pytest.mark.parametrize("name", LOSSES)
def test_a_label_out_of_range_writes_nothing_and_nothing_is_computed(name):
    """Also if the rows before it are right, and many."""
    arrays = tables("float32", 1000, 3)
    if "ids" in LOSSES[name].takes:
        ids = arrays.ids.copy()
        ids[999] = 3
        out = np.full(1000, 7.0)
        with pytest.raises(IndexError, match=r"\[999\]: 3 "):
            LOSSES[name](arrays._replace(ids=ids), out=out)
        assert np.all(out == 7.0)


def test_a_label_out_of_range_leaves_logits_that_were_to_be_overwritten():
    x = X.copy()
    for call in (logits.cross_entropy_grad, logits.cross_entropy_value_and_grad):
        with pytest.raises(IndexError):
            call(x, [0, 3], out=x)
        np.testing.assert_array_equal(x, X)


# Overlaps ------------------------------------------------------------------------------------------------------------

OVERLAPS = {
    "one entry later": lambda memory: (memory[:12].reshape(3, 4), memory[1:13].reshape(3, 4)),
    "one row later": lambda memory: (memory[:12].reshape(3, 4), memory[4:16].reshape(3, 4)),
    "backwards": lambda memory: (memory[:12].reshape(3, 4), memory[:12].reshape(3, 4)[::-1]),
    "mirrored": lambda memory: (memory[:12].reshape(3, 4), memory[:12].reshape(3, 4)[:, ::-1]),
    "transposed": lambda memory: (memory[:16].reshape(4, 4), memory[:16].reshape(4, 4).T),
    "every second": lambda memory: (memory[:12].reshape(3, 4), memory[:24:2].reshape(3, 4)),
}


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("name", OF_ENTRIES)
def test_an_out_that_is_not_quite_the_input_is_refused(name, overlap):
    memory = np.linspace(-1.0, 1.0, 32)
    before = memory.copy()
    x, out = OVERLAPS[overlap](memory)
    ids = np.zeros(len(x), int)
    arrays = tables("float64", 1, 1)._replace(x=x, y=np.zeros(x.shape), ids=ids, target=np.ones(x.shape))
    with pytest.raises(ValueError, match="^out: overlaps x in memory"):
        CALLS[name](arrays, out=out)
    np.testing.assert_array_equal(memory, before)
    if "y" in CALLS[name].takes:
        with pytest.raises(ValueError, match="^out: overlaps y in memory"):
            CALLS[name](arrays._replace(x=arrays.y, y=x), out=out)
        np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize("name", OF_ROWS)
def test_results_of_rows_may_not_lie_in_the_input(name):
    memory = np.ones((4, 4))
    arrays = tables("float64", 4, 4)._replace(x=memory)
    with pytest.raises(ValueError, match="^out: overlaps [xl]p? in memory"):
        CALLS[name](arrays, out=memory[:, 0])


def test_out_may_not_lie_in_other_arguments():
    memory = np.zeros(64)
    table, vector = memory[:6].reshape(2, 3), memory[:2]
    mask, ids = memory.view(bool)[:6].reshape(2, 3), np.zeros(64, int)
    with pytest.raises(ValueError, match="^out: overlaps target in memory"):
        logits.cross_entropy(X, table, out=vector)
    with pytest.raises(ValueError, match="^out: overlaps target in memory"):
        logits.cross_entropy_grad(X, table, out=table)
    with pytest.raises(ValueError, match="^out: overlaps target in memory"):
        logits.cross_entropy(X, ids[:2], out=ids.view(float)[:2])
    with pytest.raises(ValueError, match="^out: overlaps ids in memory"):
        logits.token_logprobs(X, ids[:2], out=ids.view(float)[:2])
    with pytest.raises(ValueError, match="^out: overlaps weight in memory"):
        loss(weight=memory[1:4], out=vector)
    with pytest.raises(ValueError, match="^out: overlaps where in memory"):
        logits.softmax(X, where=mask, out=table)
    with pytest.raises(ValueError, match="^out: overlaps grad_output in memory"):
        logits.entropy_grad(X, grad_output=vector, out=table)


@pytest.mark.parametrize("dtype", ("int8", "uint16", "int64", "bool"))
def test_integers_have_results_of_float64(dtype):
    """And a uint16 that nobody called bfloat16 is an integer like the others."""
    x = np.ones((2, 3), dtype)
    for function in (logits.softmax, logits.log_softmax, logits.entropy_grad):
        assert function(x).dtype == np.float64
        with pytest.raises(ValueError, match=f"^out: dtype {dtype} is not float64"):
            function(x, out=np.empty((2, 3), dtype))
