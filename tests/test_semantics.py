"""Every public function means what its plain NumPy twin in klfast._reference means: shapes, layouts, types, special values."""

import itertools
import operator
import warnings

import numpy as np
import pytest

import klfast
from klfast import _reference

DIVERGENCES = ("js_divergence", "js_distance", "total_variation", "hellinger", "chi2_divergence", "jeffreys")
TWO = ("kl_divergence", "cross_entropy", *DIVERGENCES, "logits.kl_divergence", "logits.js_divergence")
ONE = ("entropy", "logits.entropy", "logits.logsumexp")
FUNCTIONS = TWO + ONE
PROBABILITY = ("kl_divergence", "cross_entropy", "entropy", *DIVERGENCES)
WITHOUT_BASE = ("total_variation", "hellinger", "chi2_divergence", "logits.logsumexp")
RANDOM = np.random.default_rng(7)


def is_logits(function):
    return function.startswith("logits.")


def public(function):
    return operator.attrgetter(function)(klfast)


def twin(function):
    return getattr(_reference, function.replace(".", "_"))


def inputs(function, shape, dtype="float64"):
    """Random arguments for a function, all of one shape."""
    count = 2 if function in TWO else 1
    arrays = [
        RANDOM.normal(0.0, 3.0, shape) if is_logits(function) else RANDOM.uniform(0.1, 1.0, shape) for _ in range(count)
    ]
    return [array.astype(dtype) for array in arrays]


def assert_same(function, arrays, **keywords):
    """Equal to the twin: shape, type, special values, and about twelve digits."""
    result = public(function)(*arrays, **keywords)
    expected = twin(function)(*arrays, **keywords)
    assert result.dtype == np.float64
    assert np.shape(result) == np.shape(expected)
    assert isinstance(result, np.ndarray) == (np.ndim(expected) > 0)
    np.testing.assert_allclose(result, expected, rtol=3e-6, atol=2e-12)


# Shapes and axes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3, (0, 1), (0, 2), (2, 1), (0, 1, 2), None])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_axis(function, axis, keepdims):
    assert_same(function, inputs(function, (3, 4, 5)), axis=axis, keepdims=keepdims)


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4,)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((2, 1, 4), (3, 1)), ((), (4,)), ((3, 4), (1, 1))]
)
@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("function", TWO)
def test_arguments_broadcast(function, axis, shapes):
    first, second = (inputs(function, shape)[0] for shape in shapes)
    assert_same(function, [first, second], axis=axis)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_single_number_is_a_distribution_for_no_axis(function):
    arrays = inputs(function, ())
    assert_same(function, arrays, axis=None)
    assert_same(function, arrays, axis=())


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("function", PROBABILITY)
def test_empty_probabilities(function, normalize, axis, shape):
    assert_same(function, inputs(function, shape), axis=axis, normalize=normalize)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("function", [function for function in FUNCTIONS if is_logits(function)])
def test_empty_logits(function, axis, shape):
    assert_same(function, inputs(function, shape), axis=axis)


# Layouts and types ---------------------------------------------------------------------------------------------------

LAYOUTS = {
    "contiguous": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every third column": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "one row for all": lambda a: np.broadcast_to(a[0], a.shape),
    "one column for all": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "misaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "matrix": lambda a: a.view(np.matrix),
    "list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_layout_does_not_change_a_bit(function, layout):
    for dtype, length in itertools.product(("float32", "float64"), (7, 100, 5000)):
        arrays = [LAYOUTS[layout](array) for array in inputs(function, (6, length), dtype)]
        plain = [np.array(array, dtype=dtype, order="C") for array in arrays]
        if layout == "list":
            plain = [array.astype("float64") for array in plain]  # Python numbers are doubles
        result = public(function)(*arrays)
        np.testing.assert_array_equal(result, public(function)(*plain), err_msg=f"{dtype}, {length}")
        assert_same(function, plain)


@pytest.mark.parametrize("layout", ["read-only", "misaligned", "big-endian", "reversed", "every third column"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_single_vector_may_lie_in_any_way(function, layout):
    """A contiguous vector has a shorter way; what is none must not take it, or come out the same."""
    for dtype, length in itertools.product(("float32", "float64"), (7, 5000)):
        plain = [array[0] for array in inputs(function, (1, length), dtype)]
        arrays = [LAYOUTS[layout](array[np.newaxis])[0] for array in plain]
        expected = public(function)(*plain)
        np.testing.assert_array_equal(public(function)(*arrays), expected, err_msg=f"{dtype}, {length}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_axis_in_the_middle_gives_the_bits_of_the_last(function):
    arrays = inputs(function, (3, 700, 5))
    moved = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in arrays]
    np.testing.assert_array_equal(public(function)(*arrays, axis=1), public(function)(*moved))


@pytest.mark.parametrize(
    "dtypes", list(itertools.product(["float16", "float32", "float64", "int8", "uint64", "bool"], repeat=2))
)
@pytest.mark.parametrize("function", TWO)
def test_types_mix(function, dtypes):
    first, second = (np.abs(np.rint(3 * array)) + 1 for array in inputs(function, (4, 50)))
    arrays = [first.astype(dtypes[0]), second.astype(dtypes[1])]
    assert_same(function, arrays)


@pytest.mark.parametrize("dtype", ["float16", "int16", "uint8", "bool"])
@pytest.mark.parametrize("function", ONE)
def test_other_types_are_read_as_numbers(function, dtype):
    array = np.abs(np.rint(3 * inputs(function, (4, 50))[0])) + 1
    assert_same(function, [array.astype(dtype)])


def test_an_array_like_is_read():
    class Table:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0, 5.0])

    assert klfast.entropy(Table()) == klfast.entropy(np.array([1.0, 2.0, 5.0]))


def test_more_elements_than_32_bits_can_count():
    """By stride 0, so that it takes no memory."""
    x = np.broadcast_to(np.float32(0.0), 2**31 + 5)
    assert klfast.logits.logsumexp(x) == pytest.approx(np.log(2**31 + 5), rel=1e-14, abs=0)


# Keywords ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [2, 10.0, 0.5, np.float32(3)])
@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function not in WITHOUT_BASE])
def test_base(function, base):
    assert_same(function, inputs(function, (4, 30)), base=base)


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function in PROBABILITY])
def test_where(function, axis):
    chosen = RANDOM.random((4, 1, 30)) < 0.7
    assert_same(function, inputs(function, (4, 3, 30)), axis=axis, where=chosen)
    if axis != (0, 1):
        stack = inputs("entropy", (4, 3, 30))
        if function.startswith("js"):
            assert_same(function, stack, where=chosen, weights=[1, 2, 0, 3])


@pytest.mark.parametrize("function", ("js_divergence", "js_distance"))
def test_several_rows_of_which_one_is_no_distribution_are_nan_without_a_warning(function):
    """Whatever overflows, or is infinite, on the way to that."""
    largest = np.finfo(np.float64).max
    numbers = [0.0, -0.0, 5e-324, 1.0, largest, -largest, np.inf, -np.inf, np.nan]
    stack = np.random.default_rng(0).choice(numbers, (4, 3000, 3), p=[0.1, 0.1, 0.3, 0.2, 0.2, *[0.025] * 4])
    bad = np.any(~(stack >= 0) | np.isinf(stack), axis=-1) | ~np.any(stack > 0, axis=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = getattr(klfast, function)(stack)
    np.testing.assert_array_equal(np.isnan(values), bad.any(axis=0))
    assert 100 < np.isnan(values).sum() < 2900


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
@pytest.mark.parametrize("alpha", [0, 0.2, 0.5, 0.9, 1, 1.5, 2, 7.5, np.inf])
def test_every_order_of_renyi(alpha, axis):
    p, q = inputs("kl_divergence", (4, 3, 30))
    p[RANDOM.random(p.shape) < 0.2] = 0.0
    for chosen in (None, RANDOM.random((3, 1)) < 0.7):
        result = klfast.renyi_divergence(p, q, alpha, axis=axis, where=chosen, base=2)
        expected = _reference.renyi_divergence(p, q, alpha, axis=axis, where=chosen, base=2)
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("alpha", [0, 0.2, 0.9, 1.5, np.inf])
def test_special_values_of_renyi(alpha):
    rows = np.array([[0, 1], [1, 0], [1, 1], [0, 0], [np.nan, 1], [-1, 2], [np.inf, 1], [5e-324, 1], [1e308, 1e308]])
    p, q = rows[:, np.newaxis], rows[np.newaxis]
    result = klfast.renyi_divergence(p, q, alpha)
    usual = np.s_[:7, :7]
    np.testing.assert_allclose(result[usual], _reference.renyi_divergence(p, q, alpha)[usual], rtol=1e-12, atol=1e-14)
    assert np.all((result >= 0) | np.isnan(result))
    assert np.array_equal(np.isnan(result), np.isnan(_reference.kl_divergence(p, q)))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_is_filled_and_returned(function, keepdims):
    arrays = inputs(function, (4, 5, 30))
    expected = public(function)(*arrays, axis=1, keepdims=keepdims)
    plain, strided = np.full(expected.shape, 9.0), np.full((*expected.shape, 2), 9.0)
    for out in (plain, strided[..., 1], plain.copy(order="F")):
        assert public(function)(*arrays, axis=1, keepdims=keepdims, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert np.all(strided[..., 0] == 9.0)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_of_no_dimension(function):
    arrays = inputs(function, (30,))
    out = np.zeros(())
    assert public(function)(*arrays, out=out) is out
    assert out == public(function)(*arrays)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_check_passes_what_is_right(function):
    arrays = inputs(function, (4, 30))
    np.testing.assert_array_equal(public(function)(*arrays, check=True), public(function)(*arrays))


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("function", PROBABILITY)
def test_raw_sums(function, axis):
    assert_same(function, inputs(function, (3, 4, 5)), axis=axis, normalize=False)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_labels(axis, dtype):
    x = RANDOM.normal(0.0, 3.0, (3, 4, 5))
    shape = np.delete(x.shape, axis)
    target = RANDOM.integers(0, x.shape[axis], shape).astype(dtype)
    for layout in (target, np.asfortranarray(target), target.astype(target.dtype.newbyteorder(">"))):
        result = klfast.logits.cross_entropy(x, layout, axis=axis)
        np.testing.assert_allclose(
            result, _reference.logits_cross_entropy(x, target, axis=axis), rtol=1e-12, atol=1e-14
        )
    keywords = {"axis": axis, "keepdims": True, "base": 2}
    expected = _reference.logits_cross_entropy(x, target, **keywords)
    np.testing.assert_allclose(klfast.logits.cross_entropy(x, target, **keywords), expected, rtol=1e-12, atol=1e-14)


def test_one_label_for_one_row():
    result = klfast.logits.cross_entropy([1.0, 2.0, 3.0], 2)
    assert isinstance(result, np.float64)
    assert abs(result - np.log(1 + np.exp(-1) + np.exp(-2))) < 1e-15


# Special values ------------------------------------------------------------------------------------------------------

# Moderate enough for the twin, too; the accuracy tests go to the ends of the range.
WEIGHTS = (0.0, 0.5, 1.0, -0.0, -1.0, np.inf, -np.inf, np.nan, 1e-150, 1e150)
SCORES = (0.0, 1.5, -np.inf, np.inf, np.nan, -1e4, 1e4, 1e300, -1e300)


@pytest.mark.parametrize("length", [1, 3, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_pair_of_special_values(function, dtype, length):
    """Each pair stands somewhere in a row of ordinary numbers, and alone where the row has one entry."""
    values = np.array(SCORES if is_logits(function) else WEIGHTS)
    with np.errstate(over="ignore"):
        values = np.unique(values.astype(dtype)).astype("float64")
    pairs = list(itertools.product(values, repeat=2))
    arrays = inputs(function, (len(pairs), length), dtype)
    for row, pair in enumerate(pairs):
        for array, value in zip(arrays, pair, strict=False):
            array[row, (5 * row) % length] = value
    wide = [array.astype("float64") for array in arrays]
    result, expected = public(function)(*arrays), twin(function)(*wide)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(result), np.isinf(expected))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nan_stays_in_its_row(function):
    arrays = inputs(function, (5, 3000))
    expected = public(function)(*arrays)
    arrays[-1][2, 1234] = np.nan
    result = public(function)(*arrays)
    assert np.isnan(result[2])
    np.testing.assert_array_equal(np.delete(result, 2), np.delete(expected, 2))


@pytest.mark.parametrize("function", PROBABILITY)
def test_rows_without_weight_are_undefined(function):
    arrays = inputs(function, (3, 40))
    arrays[0][1] = 0.0
    result = public(function)(*arrays)
    assert np.isnan(result).tolist() == [False, True, False]


def test_a_label_that_is_impossible_costs_infinitely_much():
    assert klfast.logits.cross_entropy([0.0, -np.inf], 1) == np.inf


def test_a_sure_row_keeps_its_small_loss():
    assert klfast.logits.cross_entropy(np.array([20.0, 0.0]), 0) == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-14)
    assert klfast.logits.cross_entropy(np.array([1000.0, 0.0]), 0) == 0.0
