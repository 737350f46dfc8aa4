"""The messages for mistakes with what only some functions have: alpha, weights, stacks, and results element by element."""

import numpy as np
import pytest

import klfast

ROW = np.array([0.2, 0.3, 0.5])
TABLE = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
BAD = np.array([[0.2, 0.3, 0.5], [0.1, -0.25, 0.8]])
SINGLE = np.ones((2, 3), np.float32)
BITS = np.full((2, 3), 0x3F80, np.uint16)  # ones of bfloat16
STACK = np.ones((2, 4, 3))
WEIGHTS = np.ones(2)
SHARED = np.zeros((2, 3))
READ_ONLY = np.zeros(2)
READ_ONLY.flags.writeable = False
MEMORY = np.zeros(8, bool)
MASK, OUT_IN_MASK = MEMORY, MEMORY.view(np.float64)

MISTAKES = {
    # alpha
    "alpha negative": (lambda: klfast.renyi_divergence(ROW, ROW, -1), ValueError, "alpha: -1 is less than 0"),
    "alpha minus infinity": (
        lambda: klfast.renyi_divergence(ROW, ROW, -np.inf),
        ValueError,
        "alpha: -inf is less than 0",
    ),
    "alpha NaN": (
        lambda: klfast.renyi_divergence(ROW, ROW, np.nan),
        ValueError,
        "alpha: nan is not a number from 0 to inf",
    ),
    "alpha a word": (lambda: klfast.renyi_divergence(ROW, ROW, "x"), TypeError, "alpha: 'x' is not a number"),
    "alpha a truth": (lambda: klfast.renyi_divergence(ROW, ROW, True), TypeError, "alpha: True is not a number"),
    "alpha None": (lambda: klfast.renyi_divergence(ROW, ROW, None), TypeError, "alpha: None is not a number"),
    "alpha complex": (lambda: klfast.renyi_divergence(ROW, ROW, 1j), TypeError, "alpha: 1j is not a number"),
    "alpha several": (
        lambda: klfast.renyi_divergence(ROW, ROW, [1, 2]),
        TypeError,
        r"alpha: \[1, 2\] is not a number",
    ),
    "no alpha": (lambda: klfast.renyi_divergence(ROW, ROW), TypeError, "alpha"),
    # keywords that would mean nothing
    "plain Renyi": (lambda: klfast.renyi_divergence(ROW, ROW, 2, normalize=False), TypeError, "'normalize'"),
    "base of a distance": (lambda: klfast.hellinger(ROW, ROW, base=2), TypeError, "'base'"),
    "weights of a KL": (lambda: klfast.kl_divergence(ROW, ROW, weights=[1, 1]), TypeError, "'weights'"),
    # weights and stacks
    "weights too many": (
        lambda: klfast.js_divergence(ROW, ROW, weights=[1, 1, 1]),
        ValueError,
        r"weights: shape \(3,\) is not \(2,\), one for each distribution",
    ),
    "weights too few": (
        lambda: klfast.js_divergence(np.ones((4, 3)), weights=[1, 1]),
        ValueError,
        r"weights: shape \(2,\) is not \(4,\), one for each distribution",
    ),
    "weights a number": (
        lambda: klfast.js_distance(STACK, weights=0.5),
        ValueError,
        r"weights: shape \(\) is not \(2,\), one for each distribution",
    ),
    "weights for each row": (
        lambda: klfast.js_divergence(STACK, weights=np.ones((2, 4))),
        ValueError,
        r"weights: shape \(2, 4\) is not \(2,\)",
    ),
    "weights negative": (
        lambda: klfast.js_divergence(ROW, ROW, weights=[0.5, -1.0]),
        ValueError,
        r"weights\[1\]: -1.0 is not a finite non-negative number",
    ),
    "weights NaN": (
        lambda: klfast.js_distance(STACK, weights=[np.nan, 1]),
        ValueError,
        r"weights\[0\]: nan is not a finite non-negative number",
    ),
    "weights infinite": (
        lambda: klfast.js_divergence(STACK, weights=[1, np.inf]),
        ValueError,
        r"weights\[1\]: inf is not a finite non-negative number",
    ),
    "weights of nothing": (lambda: klfast.js_divergence(STACK, weights=[0, 0]), ValueError, "weights: all are 0"),
    "weights masked": (
        lambda: klfast.js_divergence(ROW, ROW, weights=np.ma.array([1.0, 2.0], mask=[False, True])),
        ValueError,
        "weights: is a masked array, but every distribution needs its share; give the others 0",
    ),
    "weights masked, of a stack": (
        lambda: klfast.js_distance(STACK, weights=np.ma.masked_equal([1, 0], 0)),
        ValueError,
        "weights: is a masked array",
    ),
    "weights words": (
        lambda: klfast.js_divergence(ROW, ROW, weights=["a", "b"]),
        TypeError,
        "weights: dtype <U1 is not one of",
    ),
    "weights ragged": (
        lambda: klfast.js_divergence(ROW, ROW, weights=[1, [2, 3]]),
        ValueError,
        "weights: not an array: .*inhomogeneous",
    ),
    "axis of the stack": (
        lambda: klfast.js_divergence(STACK, axis=0),
        ValueError,
        "axis: 0 is the axis of the stack",
    ),
    "axis of the stack from the right": (
        lambda: klfast.js_distance(STACK, axis=-3),
        ValueError,
        "axis: -3 is the axis of the stack",
    ),
    "axis of the stack among others": (
        lambda: klfast.js_divergence(STACK, axis=(2, 0)),
        ValueError,
        "axis: 0 is the axis of the stack",
    ),
    "axis out of the stack": (
        lambda: klfast.js_divergence(STACK, axis=3),
        ValueError,
        "axis: 3 is out of range for an array of 3 dimensions",
    ),
    "one distribution is no stack": (
        lambda: klfast.js_divergence(ROW),
        ValueError,
        r"p: shape \(3,\) is no stack of distributions, which has at least 2 axes",
    ),
    "a number is no stack": (
        lambda: klfast.js_distance(1.0, axis=None),
        ValueError,
        r"p: shape \(\) is no stack of distributions, which has at least 2 axes",
    ),
    "a stack of nothing": (
        lambda: klfast.js_divergence(np.ones((0, 3))),
        ValueError,
        r"p: shape \(0, 3\) stacks no distribution",
    ),
    "plain weighted JS": (
        lambda: klfast.js_divergence(ROW, ROW, weights=[1, 2], normalize=False),
        ValueError,
        "normalize: False has no meaning for weighted or stacked distributions",
    ),
    "plain JS of a stack": (
        lambda: klfast.js_distance(STACK, normalize=False),
        ValueError,
        "normalize: False has no meaning for weighted or stacked distributions",
    ),
    "out in weights": (
        lambda: klfast.js_divergence(np.ones((2, 2, 3)), weights=WEIGHTS, out=WEIGHTS),
        ValueError,
        "out: overlaps weights in memory",
    ),
    "negative in a stack": (
        lambda: klfast.js_divergence(BAD, check=True),
        ValueError,
        r"p\[1, 1\]: -0.25 is not a finite non-negative number",
    ),
    # element by element
    "entr of words": (lambda: klfast.entr(["a"]), TypeError, "p: dtype <U1 is not one of"),
    "rel_entr of long doubles": (
        lambda: klfast.rel_entr(ROW, ROW.astype(np.longdouble)),
        TypeError,
        "q: dtype float128 has more digits",
    ),
    "kl_div's shapes": (
        lambda: klfast.kl_div(TABLE, np.ones(4)),
        ValueError,
        r"shapes do not broadcast: p \(2, 3\) and q \(4,\)",
    ),
    "entr's out of double": (
        lambda: klfast.entr(SINGLE, out=np.zeros((2, 3))),
        ValueError,
        "out: dtype float64 is not float32, the type of the result",
    ),
    "kl_div's out of float": (
        lambda: klfast.kl_div(SINGLE, TABLE, out=np.zeros((2, 3), "f4")),
        ValueError,
        "out: dtype float32 is not float64, the type of the result",
    ),
    "entr's out of integers": (
        lambda: klfast.entr([1, 2], out=np.zeros(2, int)),
        ValueError,
        "out: dtype int64 is not float64, the type of the result",
    ),
    "rel_entr's out": (
        lambda: klfast.rel_entr(TABLE, ROW, out=np.zeros(3)),
        ValueError,
        r"out: shape \(3,\) is not the result's shape \(2, 3\)",
    ),
    "entr in place": (lambda: klfast.entr(SHARED, out=SHARED), ValueError, "out: overlaps p in memory"),
    "kl_div in place": (
        lambda: klfast.kl_div(TABLE, SHARED, out=SHARED[::-1]),
        ValueError,
        "out: overlaps q in memory",
    ),
    "entr's out in where": (
        lambda: klfast.entr(ROW[:1], where=MASK[:1], out=OUT_IN_MASK),
        ValueError,
        "out: overlaps where in memory",
    ),
    "entr's where": (lambda: klfast.entr(ROW, where=[1, 0, 1]), TypeError, "where: dtype int64 is not bool"),
    "rel_entr's where enlarges": (
        lambda: klfast.rel_entr(ROW, ROW, where=np.ones((2, 3), bool)),
        ValueError,
        r"where: shape \(2, 3\) does not broadcast to \(3,\)",
    ),
    "kl_div's out a list": (
        lambda: klfast.kl_div(ROW, ROW, out=[0.0] * 3),
        TypeError,
        "out: list is not a numpy array",
    ),
    "entr's out read-only": (
        lambda: klfast.entr(ROW[:2], out=READ_ONLY),
        ValueError,
        "out: is read-only",
    ),
    "entr on no thread": (lambda: klfast.entr(ROW, n_threads=0), ValueError, "n_threads: 0 is less than 1"),
    "kl_div's dtype": (
        lambda: klfast.kl_div(BITS, SINGLE, dtype="bfloat16"),
        ValueError,
        "q: dtype float32 cannot be read as bfloat16; only uint16 can",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_named(mistake):
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mistake", [{"base": -1}, {"weights": [1, 1, 1]}, {"normalize": False, "weights": [1, 1]}])
def test_js_writes_nothing_before_an_error(mistake):
    out = np.full(2, 7.0)
    with pytest.raises(ValueError):
        klfast.js_divergence(TABLE, TABLE, out=out, **mistake)
    assert np.all(out == 7.0)


@pytest.mark.parametrize("mistake", [{"where": [True] * 4}, {"n_threads": 0}, {"dtype": "float8"}])
@pytest.mark.parametrize("function", ["entr", "rel_entr", "kl_div"])
def test_elementwise_functions_write_nothing_before_an_error(function, mistake):
    out = np.full((2, 3), 7.0)
    with pytest.raises(ValueError):
        getattr(klfast, function)(*[TABLE] * (1 if function == "entr" else 2), out=out, **mistake)
    assert np.all(out == 7.0)
