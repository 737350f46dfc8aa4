"""Every message that a user's mistake gets: it names the argument, the place and the value, and comes before any work."""

import numpy as np
import pytest
from reductions import FUNCTIONS, TWO, run

import klfast
from klfast import logits

ROW = np.array([0.2, 0.3, 0.5])
TABLE = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
BAD = np.array([[0.2, 0.3, 0.5], [0.1, -0.25, 0.8]])
READ_ONLY = np.zeros(2)
READ_ONLY.flags.writeable = False
SHARED = np.zeros((2, 3))
MEMORY = np.zeros(8, bool)
MASK, OUT_IN_MASK = MEMORY[:6].reshape(2, 3), MEMORY.view(np.float64)
SINGLE = np.ones((2, 3), np.float32)
BITS = np.full((2, 3), 0x3F80, np.uint16)  # ones of bfloat16


class Elsewhere:
    """An array on another device."""

    def __dlpack__(self, **keywords):
        raise BufferError("this memory is out of reach")

    def __dlpack_device__(self):
        return 2, 0


MISTAKES = {
    "strings": (lambda: klfast.entropy(["a", "b"]), TypeError, "p: dtype <U1 is not one of"),
    "complex numbers": (lambda: klfast.kl_divergence(ROW, ROW * 1j), TypeError, "q: dtype complex128 is not one of"),
    "objects": (lambda: logits.kl_divergence(np.array([None]), ROW), TypeError, "x: dtype object is not one of"),
    "dates": (
        lambda: logits.logsumexp(np.array(["2026-01-01"], "M8[D]")),
        TypeError,
        r"x: dtype datetime64\[D\] is not",
    ),
    "long doubles": (lambda: klfast.entropy(ROW.astype(np.longdouble)), TypeError, "p: dtype float128 has more digits"),
    "ragged lists": (lambda: klfast.entropy([[1.0], [1.0, 2.0]]), ValueError, "p: not an array: .*inhomogeneous"),
    "shapes": (
        lambda: klfast.kl_divergence(TABLE, np.ones(4)),
        ValueError,
        r"shapes do not broadcast: p \(2, 3\) and q \(4,\)",
    ),
    "logits' shapes": (lambda: logits.js_divergence(TABLE, np.ones(2)), ValueError, r"x \(2, 3\) and y \(2,\)"),
    "axis too large": (
        lambda: klfast.entropy(TABLE, axis=2),
        ValueError,
        "axis: 2 is out of range for an array of 2 dimensions",
    ),
    "axis too small": (lambda: klfast.entropy(TABLE, axis=-3), ValueError, "axis: -3 is out of range"),
    "axis of a number": (
        lambda: klfast.entropy(1.0),
        ValueError,
        "axis: -1 is out of range for an array of 0 dimensions",
    ),
    "axis twice": (lambda: klfast.entropy(TABLE, axis=(1, -1)), ValueError, r"axis: \(1, -1\) names an axis twice"),
    "axis no integer": (lambda: klfast.entropy(TABLE, axis=1.0), TypeError, "axis: 1.0 is not an integer"),
    "axis a bool": (lambda: klfast.entropy(TABLE, axis=True), TypeError, "axis: True is not an integer"),
    "base one": (lambda: klfast.entropy(ROW, base=1), ValueError, "base: 1 is not a positive number other than 1"),
    "base zero": (lambda: klfast.entropy(ROW, base=0), ValueError, "base: 0 is not a positive"),
    "base negative": (lambda: logits.entropy(ROW, base=-2.0), ValueError, "base: -2.0 is not a positive"),
    "base NaN": (lambda: logits.entropy(ROW, base=np.nan), ValueError, "base: nan is not a positive"),
    "base infinite": (lambda: logits.entropy(ROW, base=np.inf), ValueError, "base: inf is not a positive"),
    "base a word": (lambda: logits.entropy(ROW, base="e"), TypeError, "base: 'e' is not a number"),
    "no thread": (lambda: klfast.entropy(ROW, n_threads=0), ValueError, "n_threads: 0 is less than 1"),
    "half a thread": (lambda: klfast.entropy(ROW, n_threads=0.5), TypeError, "n_threads: 0.5 is not an integer"),
    "set no thread": (lambda: klfast.set_num_threads(-1), ValueError, "n_threads: -1 is less than 1"),
    "with no thread": (lambda: klfast.threads(0).__enter__(), ValueError, "n_threads: 0 is less than 1"),
    "out a list": (lambda: klfast.entropy(TABLE, out=[0.0, 0.0]), TypeError, "out: list is not a numpy array"),
    "out of floats": (
        lambda: klfast.entropy(TABLE, out=np.zeros(2, "f4")),
        ValueError,
        "out: dtype float32 is not float64",
    ),
    "out's shape": (
        lambda: klfast.entropy(TABLE, out=np.zeros(3)),
        ValueError,
        r"out: shape \(3,\) is not the result's shape \(2,\)",
    ),
    "out kept": (
        lambda: klfast.entropy(TABLE, keepdims=True, out=np.zeros(2)),
        ValueError,
        r"the result's shape \(2, 1\)",
    ),
    "out read-only": (lambda: klfast.entropy(TABLE, out=READ_ONLY), ValueError, "out: is read-only"),
    "out in p": (lambda: klfast.entropy(SHARED, out=SHARED[:, 0]), ValueError, "out: overlaps p in memory"),
    "out in q": (
        lambda: klfast.kl_divergence(TABLE, SHARED, out=SHARED[:, 2]),
        ValueError,
        "out: overlaps q in memory",
    ),
    "negative": (
        lambda: klfast.entropy(BAD, check=True),
        ValueError,
        r"p\[1, 1\]: -0.25 is not a finite non-negative number",
    ),
    "negative q": (lambda: klfast.kl_divergence(TABLE, BAD, check=True), ValueError, r"q\[1, 1\]: -0.25 is not"),
    "NaN": (lambda: klfast.entropy([0.5, np.nan], check=True), ValueError, r"p\[1\]: nan is not a finite"),
    "infinite": (
        lambda: klfast.cross_entropy(ROW, [1, np.inf, 1], check=True),
        ValueError,
        r"q\[1\]: inf is not a finite",
    ),
    "NaN logit": (
        lambda: logits.kl_divergence(TABLE, [0, np.nan, 0], check=True),
        ValueError,
        r"y\[0, 1\]: nan is no logit",
    ),
    "infinite logit": (lambda: logits.logsumexp([np.inf], check=True), ValueError, r"x\[0\]: inf is no logit"),
    "label too large": (lambda: logits.cross_entropy(TABLE, [0, 3]), IndexError, r"target\[1\]: 3 is outside 0 to 2"),
    "label negative": (lambda: logits.cross_entropy(ROW, -1), IndexError, "target: -1 is outside 0 to 2"),
    "label of nothing": (
        lambda: logits.cross_entropy(np.zeros((1, 0)), [0]),
        IndexError,
        r"target\[0\]: 0 cannot be, for there is no class",
    ),
    "label no integer": (
        lambda: logits.cross_entropy(TABLE, [0.0, 1.0]),
        TypeError,
        "target: dtype float64 is not an integer type",
    ),
    "labels' shape": (lambda: logits.cross_entropy(TABLE, [0]), ValueError, r"target: shape \(1,\) is not \(2,\)"),
    "labels' axes": (lambda: logits.cross_entropy(TABLE, 0, axis=None), ValueError, "axis: None is not one integer"),
    "labels and NaN": (
        lambda: logits.cross_entropy([[np.nan, 0]], [1], check=True),
        ValueError,
        r"x\[0, 0\]: nan is no logit",
    ),
    # where
    "where of integers": (
        lambda: klfast.entropy(TABLE, where=np.ones((2, 3), int)),
        TypeError,
        "where: dtype int64 is not bool",
    ),
    "where a number": (
        lambda: klfast.kl_divergence(ROW, ROW, where=1.0),
        TypeError,
        "where: dtype float64 is not bool",
    ),
    "where's shape": (
        lambda: klfast.kl_divergence(TABLE, ROW, where=[True] * 4),
        ValueError,
        r"where: shape \(4,\) does not broadcast to \(2, 3\)",
    ),
    "where enlarges": (
        lambda: klfast.js_divergence(ROW, ROW, where=np.ones((2, 3), bool)),
        ValueError,
        r"where: shape \(2, 3\) does not broadcast to \(3,\)",
    ),
    "where has an axis more": (
        lambda: klfast.hellinger(TABLE, TABLE, where=np.ones((1, 2, 3), bool)),
        ValueError,
        r"where: shape \(1, 2, 3\) does not broadcast to \(2, 3\)",
    ),
    "where ragged": (
        lambda: klfast.entropy(TABLE, where=[[True], [True, False]]),
        ValueError,
        "where: not an array: .*inhomogeneous",
    ),
    "out in where": (
        lambda: klfast.entropy(TABLE[:1], where=MASK[:1], out=OUT_IN_MASK),
        ValueError,
        "out: overlaps where in memory",
    ),
    # dtype
    "dtype unknown": (lambda: klfast.entropy(BITS, dtype="float8"), ValueError, "dtype: 'float8' is not 'bfloat16'"),
    "dtype of numpy": (lambda: klfast.entropy(BITS, dtype="float32"), ValueError, "dtype: 'float32' is not 'bfloat16'"),
    "dtype a number": (lambda: klfast.entropy(BITS, dtype=16), ValueError, "dtype: 16 is not 'bfloat16'"),
    "bits in floats": (
        lambda: klfast.entropy(SINGLE, dtype="bfloat16"),
        ValueError,
        "p: dtype float32 cannot be read as bfloat16; only uint16 can",
    ),
    "bits in one only": (
        lambda: klfast.total_variation(BITS, SINGLE, dtype="bfloat16"),
        ValueError,
        "q: dtype float32 cannot be read as bfloat16; only uint16 can",
    ),
    "bits in signed integers": (
        lambda: klfast.entropy(BITS.view(np.int16), dtype="bfloat16"),
        ValueError,
        "p: dtype int16 cannot be read as bfloat16",
    ),
    "bits in a list": (
        lambda: klfast.entropy([16256, 16256], dtype="bfloat16"),
        ValueError,
        "p: dtype int64 cannot be read as bfloat16",
    ),
    # foreign arrays
    "another device": (lambda: klfast.entropy(Elsewhere()), ValueError, "p: not an array: this memory is out of reach"),
    "another device for q": (lambda: klfast.rel_entr(ROW, Elsewhere()), ValueError, "q: not an array: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_named(mistake):
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


COMMON_MISTAKES = {
    "axis": ({"axis": 5}, "axis: 5 is out of range for an array of 2 dimensions"),
    "where": ({"where": [True] * 4}, r"where: shape \(4,\) does not broadcast to \(2, 3\)"),
    "n_threads": ({"n_threads": 0}, "n_threads: 0 is less than 1"),
    "dtype": ({"dtype": "bfloat16"}, "p: dtype float64 cannot be read as bfloat16; only uint16 can"),
    "check": ({"check": True}, r"p\[1, 1\]: -0.25 is not a finite non-negative number"),
    "keepdims": ({"keepdims": True}, r"out: shape \(2,\) is not the result's shape \(2, 1\)"),
}


@pytest.mark.parametrize("mistake", COMMON_MISTAKES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_names_the_mistake_and_writes_nothing(function, mistake):
    keywords, message = COMMON_MISTAKES[mistake]
    out = np.full(2, 7.0)
    with pytest.raises(ValueError, match=message):
        run(function, BAD, TABLE, out=out, **keywords)
    assert np.all(out == 7.0)


def test_a_label_error_writes_nothing():
    out = np.full(2, 7.0)
    with pytest.raises(IndexError):
        logits.cross_entropy(TABLE, [0, 99], out=out)
    assert np.all(out == 7.0)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_without_check_a_bad_entry_only_spoils_its_row(function):
    assert np.isnan(run(function, BAD, TABLE)).tolist() == [False, True]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_check_looks_only_at_what_counts(function):
    bad = np.array([[-1.0, -2.0, 1.0], [np.nan, 3.0, 1.0]])
    with pytest.raises(ValueError, match=r"p\[0, 1\]: -2.0 is not a finite non-negative number"):
        run(function, bad, TABLE, where=[False, True, True], check=True)
    with pytest.raises(ValueError, match=r"p\[1, 0\]: nan is not"):
        run(function, np.ma.masked_less(bad, 0.0), TABLE, check=True)
    assert np.isfinite(run(function, np.ma.masked_invalid(bad[1]), ROW, check=True))
    if function in TWO:
        with pytest.raises(ValueError, match=r"q\[0, 1\]: -2.0 is not a finite non-negative number"):
            run(function, TABLE, bad, where=[False, True, True], check=True)


def test_check_names_the_number_and_not_its_bits():
    bits = np.array([0x3F80, 0xBF00], np.uint16)
    with pytest.raises(ValueError, match=r"p\[1\]: -0.5 is not a finite non-negative number"):
        klfast.entropy(bits, dtype="bfloat16", check=True)
    with pytest.raises(ValueError, match=r"p\[1\]: -3 is not a finite non-negative number"):
        klfast.entropy(np.array([1, -3], np.int8), check=True)


def test_a_tensor_that_wants_its_gradient_is_refused():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises((TypeError, ValueError), match="q: not an array: "):
        klfast.kl_divergence(ROW, torch.ones(3, requires_grad=True))
    with pytest.raises((TypeError, ValueError), match="p: not an array: "):
        klfast.entr(torch.ones(3, requires_grad=True))
