"""Every public function of klfast.logits and klfast.logprobs against its plain twin, with every option that it has.

The options come from the signature: each value is taken alone, and together with random values of all others. That the
twins of gradients are right is held against differences of the twins of values.
"""

import inspect
import itertools
import operator

import numpy as np
import pytest

import klfast
from klfast import _reference

INF, NAN = np.inf, np.nan
RANDOM = np.random.default_rng(5)
CLASSES, FORBIDDEN = 6, 2
SHAPE = (3, 4, CLASSES)
X = RANDOM.normal(0.0, 2.5, SHAPE)
Y = X + RANDOM.normal(0.0, 1.0, SHAPE)
X_WITHOUT, Y_WITHOUT = (np.where(np.arange(CLASSES) == FORBIDDEN, -INF, scores) for scores in (X, Y))
SHARES = RANDOM.dirichlet(np.ones(CLASSES), SHAPE[:-1]) * 3.0
SHARES[0, :, FORBIDDEN] = 0.0
IDS = RANDOM.integers(0, CLASSES, SHAPE[:-1])
SEVERAL_IDS = RANDOM.integers(0, CLASSES, (*SHAPE[:-1], 4))
IDS[0, 1] = SEVERAL_IDS[1, 2, 0] = -100
SOME = RANDOM.random(SHAPE) < 0.7

# What has no keyword.
PAIRS = [(X, Y), (X_WITHOUT, Y), (X, Y_WITHOUT), (X_WITHOUT, Y_WITHOUT), (X[:1], Y), (X, Y[:, :1])]
ARGUMENTS = {
    ("x",): [(X,), (X_WITHOUT,)],
    ("lp",): [(X,), (X_WITHOUT,)],
    ("x", "y"): PAIRS,
    ("lp", "lq"): PAIRS,
    ("x", "target"): [(X, IDS), (X_WITHOUT, IDS), (X, SHARES), (X_WITHOUT, SHARES), (X, SHARES[:1])],
    ("x", "ids"): [(X, IDS), (X_WITHOUT, IDS), (X, SEVERAL_IDS), (X_WITHOUT, SEVERAL_IDS)],
    ("x", "y", "target"): [(X, Y, None), (X, Y, IDS), (X_WITHOUT, Y, IDS), (X, Y_WITHOUT, IDS)],
}
# What an option may be. `axis` says where the classes are put; tuples and None reduce what lies there.
OPTIONS = {
    "axis": (-1, 0, 1, -3, (0, 2), (1,), None),
    "keepdims": (False, True),
    "where": (None, SOME, SOME[:1, :1], SOME[:, :1]),
    "temperature": (1.0, 0.3, 7),
    "base": (None, 2, 10.0, 0.5),
    "beta": (0.5, 0.01, 0.9),
    "wrt": ("x", "y", "both"),
    "normalize": (True, False),
    "ignore_index": (-100, 3),
    "weight": (None, np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.25])),
    "label_smoothing": (0.0, 0.1, 1.0),
    "smooth_over": ("all", "finite"),
    "z_loss": (0.0, 0.01),
    "softcap": (None, 3.0, 50.0),
    "reduction": ("none", "sum", "mean"),
    "grad_output": (None, -1.5, "one a row"),
}
ONE_CLASS_AXIS = ("cross_entropy", "token_logprobs", "compare_rows")
NO_VALUES = {"out", "n_threads", "check", "dtype"}


def parameters(name):
    """(names of what has no keyword, names of the options that change values)."""
    found = inspect.signature(public(name)).parameters.values()
    options = [one.name for one in found if one.kind is one.KEYWORD_ONLY and one.name not in NO_VALUES]
    return tuple(one.name for one in found if one.kind is not one.KEYWORD_ONLY), options


def public(name):
    return operator.attrgetter(name)(klfast)


def twin(name):
    return getattr(_reference, name.replace(".", "_"))


FUNCTIONS = [
    *(f"logits.{name}" for name in klfast.logits.__all__),
    *(f"logprobs.{name}" for name in ("cross_entropy", "entropy", "js_distance", "js_divergence", "kl_divergence")),
]


def choices(name):
    """Every value of every option alone, and a hundred times random values of all."""
    options = {option: OPTIONS[option] for option in parameters(name)[1]}
    if name.startswith("logits.") and any(part in name for part in ONE_CLASS_AXIS):
        options["axis"] = [axis for axis in options["axis"] if type(axis) is int]
    for option, values in options.items():
        yield from ({option: value} for value in values)
    random = np.random.default_rng(7)
    for _ in range(100):
        yield {option: values[random.integers(len(values))] for option, values in options.items()}


def laid_out(arrays, keywords):
    """The classes along the axis that is asked for, and one number for every row where that is asked for."""
    axis = keywords.get("axis", -1)
    rows = np.zeros(SHAPE)
    if type(axis) is int:
        arrays = [np.moveaxis(array, -1, axis) if np.ndim(array) == 3 else array for array in arrays]
        rows = np.moveaxis(rows, -1, axis)
        if keywords.get("where") is not None:
            keywords = keywords | {"where": np.moveaxis(keywords["where"], -1, axis)}
    if type(keywords.get("grad_output")) is str:
        shape = rows.sum(axis).shape if keywords.get("reduction", "none") == "none" else ()
        keywords = keywords | {"grad_output": np.linspace(-2.0, 3.0, int(np.prod(shape))).reshape(shape)}
    if keywords.get("ignore_index", -100) != -100:  # then -100 is out of range
        arrays = [
            np.where(array == -100, 1, array) if np.asarray(array).dtype.kind == "i" else array for array in arrays
        ]
    return arrays, keywords


def parts(result):
    """All arrays of a result: of pairs of pairs, and of records."""
    if isinstance(result, tuple):
        return [part for one in result for part in parts(one)]
    if np.asarray(result).dtype.names:
        return [result[field] for field in result.dtype.names]
    return [result]


def assert_same(name, result, expected, message, twins_error=1e-13):
    """`twins_error`: how far off the twin may be, which works with logarithms of probabilities as they are."""
    result, expected = parts(result), parts(expected)
    assert len(result) == len(expected), message
    for one, other in zip(result, expected):
        assert np.shape(one) == np.shape(other), message
        if name.endswith("distance"):
            one, other = np.square(one), np.square(other)
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=twins_error, err_msg=message)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_means_what_it_means_to_the_twin(name):
    for keywords in choices(name):
        for arrays in ARGUMENTS[parameters(name)[0]]:
            arrays, more = laid_out(arrays, keywords)
            message = f"{keywords}, {[np.shape(array) for array in arrays]}"
            assert_same(name, public(name)(*arrays, **more), twin(name)(*arrays, **more), message)


# No larger ones: twins subtract their logarithms, and have a digit less for every digit before the point.
SPECIAL = (0.0, 1.5, -INF, INF, NAN, -1e4, 1e4)
TABLES = {
    "all of them": np.array(list(itertools.product(SPECIAL, repeat=3))),
    "with many others": np.concatenate([np.array(list(itertools.product(SPECIAL, repeat=3))), np.zeros((343, 70))], 1),
}
CAREFUL = [
    {},
    {"label_smoothing": 0.25},
    {"label_smoothing": 0.25, "smooth_over": "finite", "weight": "some"},
    {"z_loss": 0.5, "temperature": 2.0},
    {"softcap": 5.0, "label_smoothing": 1.0},
    {"where": "not the second", "beta": 0.25},
    {"where": "not the second", "label_smoothing": 0.25, "normalize": False},
    {"reduction": "mean"},
]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_mean_what_they_mean_to_the_twin(name, table):
    x = TABLES[table]
    random = np.random.default_rng(3)
    y = random.permutation(x)
    target = random.choice([0.0, 0.5, 1.0, 0.0, -1.0, NAN], x.shape, p=[0.3, 0.3, 0.2, 0.16, 0.02, 0.02])
    ids = random.integers(0, 3, len(x))
    ids[::10] = -100
    taken = {"x": [x], "y": [y], "lp": [x], "lq": [y], "target": [ids, target], "ids": [ids, ids[:, None]]}
    names, options = parameters(name)
    if name == "logits.compare_rows":
        taken["target"] = [ids]
    for chosen in CAREFUL:
        if not chosen.keys() <= set(options):
            continue
        keywords = dict(chosen)
        if "where" in keywords:
            keywords["where"] = np.arange(x.shape[1]) != 1
        if "weight" in keywords:
            keywords["weight"] = np.where(np.arange(x.shape[1]) == 1, 0.0, 1.5)
        for wrt in ({"wrt": "x"}, {"wrt": "y"}) if "wrt" in options else ({},):
            for arrays in itertools.product(*(taken[one] for one in names)):
                more = keywords | wrt
                result, expected = public(name)(*arrays, **more), twin(name)(*arrays, **more)
                assert_same(name, result, expected, str(chosen), twins_error=2e-12)  # of scores up to 1e4


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_what_it_is_to_the_twin(name, shape):
    empty, ignored = np.zeros(shape), np.full(shape[:-1], -100)
    for last in [ignored] if name in ("logits.compare_rows", "logits.token_logprobs") else [ignored, empty]:
        names = parameters(name)[0]
        if name == "logits.compare_rows" and shape[-1] == 0:
            continue  # numpy.argmax has no answer
        arrays = [last if one in ("target", "ids") else empty for one in names]
        assert_same(name, public(name)(*arrays), twin(name)(*arrays), str(shape))


def test_a_comparison_without_classes_has_no_top():
    table = klfast.logits.compare_rows(np.zeros((2, 0)), np.zeros((2, 0)), [-100, -100])
    assert table["top_x"].tolist() == table["top_y"].tolist() == [-1, -1]
    assert np.isnan(table["kl"]).all() and table["cross_entropy_x"].tolist() == [0.0, 0.0]


def test_the_top_of_halves_is_that_of_numpy():
    values = np.array([0.0, -0.0, 6e-8, -6e-8, 1.0, 65504.0, -65504.0, INF, -INF, NAN, -NAN], np.float16)
    x = np.array(list(itertools.product(values, repeat=3)))
    for order in ("=", ">"):
        table = klfast.logits.compare_rows(x.astype(x.dtype.newbyteorder(order)), x[::-1])
        np.testing.assert_array_equal(table["top_x"], np.argmax(x, axis=-1))
        np.testing.assert_array_equal(table["top_y"], np.argmax(x[::-1], axis=-1))


@pytest.mark.parametrize("shape", [(5, 1), (3, 700, 400), (2, 3, 300_000)])
def test_a_comparison_in_slabs_is_that_of_all(shape):
    """More rows than a slab holds, and slabs that end in the midst of an axis."""
    random = np.random.default_rng(1)
    x = random.normal(0.0, 2.0, shape).astype(np.float32)
    y = x + random.normal(0.0, 0.1, shape).astype(np.float32)
    ids = random.integers(0, shape[-1], shape[:-1])
    for axis in (-1, 0):
        table = klfast.logits.compare_rows(np.moveaxis(x, -1, axis), np.moveaxis(y, -1, axis), ids, axis=axis)
        np.testing.assert_array_equal(table["kl"], klfast.logits.kl_divergence(x, y))
        np.testing.assert_array_equal(table["reverse_kl"], klfast.logits.kl_divergence(y, x))
        np.testing.assert_array_equal(table["js"], klfast.logits.js_divergence(x, y))
        np.testing.assert_array_equal(table["cross_entropy_y"], klfast.logits.cross_entropy(y, ids))
        np.testing.assert_array_equal(table["top_y"], np.argmax(y, axis=-1))


def test_a_comparison_leaves_out_what_is_masked_in_either():
    x, y = np.ma.masked_array(X, ~SOME), np.ma.masked_array(Y, ~SOME[::-1])
    both = SOME & SOME[::-1]
    both[..., 0] = x.mask[..., 0] = y.mask[..., 0] = True
    x.mask[..., 0] = y.mask[..., 0] = False
    table = klfast.logits.compare_rows(x, y)
    np.testing.assert_array_equal(table["kl"], klfast.logits.kl_divergence(X, Y, where=both))
    np.testing.assert_array_equal(table["entropy_x"], klfast.logits.entropy(X, where=both))
    np.testing.assert_array_equal(table["top_y"], np.argmax(np.where(both, Y, -INF), axis=-1))


DIFFERENTIATED = {
    "logits.entropy_grad": ((X[0],), [{}, {"temperature": 0.5, "base": 2}]),
    "logits.kl_divergence_grad": ((X[0], Y[0]), [{}, {"wrt": "y", "temperature": 2.0}, {"where": SOME[0]}]),
    "logits.js_divergence_grad": ((X[0], Y[0]), [{}, {"wrt": "y", "beta": 0.2}, {"where": SOME[0], "base": 2}]),
    "logits.cross_entropy_grad": (
        (X[0], IDS[0]),
        [
            {},
            {"label_smoothing": 0.3, "weight": OPTIONS["weight"][1]},
            {"z_loss": 0.1, "softcap": 4.0, "temperature": 2},
        ],
    ),
    "logits.cross_entropy_grad of probabilities": (
        (X[0], SHARES[0]),
        [{}, {"normalize": False, "label_smoothing": 0.3}, {"z_loss": 0.1, "weight": OPTIONS["weight"][1], "base": 2}],
    ),
}


@pytest.mark.parametrize("case", DIFFERENTIATED)
def test_the_twins_of_gradients_are_differences_of_the_twins_of_values(case):
    arrays, options = DIFFERENTIATED[case]
    name = case.split()[0]
    for keywords in options:
        without = {option: value for option, value in keywords.items() if option != "wrt"}
        changed = "xy".index(keywords.get("wrt", "x"))
        differences = np.zeros(X[0].shape)
        for position in range(CLASSES):
            steps = []
            for step in (1e-5, -1e-5):
                moved = list(arrays)
                moved[changed] = arrays[changed] + step * (np.arange(CLASSES) == position)
                steps.append(twin(name.removesuffix("_grad"))(*moved, **without))
            differences[:, position] = (steps[0] - steps[1]) / 2e-5
        np.testing.assert_allclose(twin(name)(*arrays, **keywords), differences, rtol=1e-6, atol=1e-8)
