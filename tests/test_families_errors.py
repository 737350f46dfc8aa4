"""Mistakes with closed forms: each names its argument, comes before any work, and writes nothing."""

import itertools

import numpy as np
import pytest

from klfast import families

INF, NAN = np.inf, np.nan
PARAMETERS = {
    "kl_bernoulli": ("p1", "p2"),
    "kl_bernoulli_logits": ("x1", "x2"),
    "kl_beta": ("a1", "b1", "a2", "b2"),
    "kl_dirichlet": ("concentration1", "concentration2"),
    "kl_exponential": ("rate1", "rate2"),
    "kl_gamma": ("shape1", "rate1", "shape2", "rate2"),
    "kl_laplace": ("loc1", "scale1", "loc2", "scale2"),
    "kl_poisson": ("rate1", "rate2"),
}
CATEGORICAL = {"kl_categorical": ("p", "q"), "kl_categorical_logits": ("x", "y")}
ALL = PARAMETERS | CATEGORICAL
PLACES = [(name, place) for name in ALL for place in range(len(ALL[name]))]
OUTSIDE = {  # what is in no domain of a parameter that is not named below
    "p1": [-0.5, 1.5, INF, NAN, np.nextafter(1.0, 2.0), -5e-324],
    "x1": [NAN],
    "loc1": [INF, -INF, NAN],
    "rate of poisson": [-1.0, INF, NAN],
    "others": [0.0, -0.0, -1.0, INF, NAN],
}


def outside(name, parameter):
    if name == "kl_poisson":
        return OUTSIDE["rate of poisson"]
    alike = parameter[:-1] + "1"
    return OUTSIDE.get(alike, OUTSIDE["others"])


def call(name, place=None, value=None, **keywords):
    """A call with usual parameters of shape (2, 3), one of them replaced."""
    values = [np.full((2, 3), 0.25 + 0.125 * i) for i in range(len(ALL[name]))]
    if place is not None:
        values[place] = value
    return getattr(families, name)(*values, **keywords)


def result_shape(name):
    return (2,) if name in CATEGORICAL or name == "kl_dirichlet" else (2, 3)


BAD = [(name, place, bad) for name, place in PLACES if name in PARAMETERS for bad in outside(name, ALL[name][place])]


@pytest.mark.parametrize("name, place, bad", BAD)
def test_check_names_argument_place_and_value(name, place, bad):
    values = np.full((2, 3), 0.25)
    values[1, 2] = bad
    out = np.full(result_shape(name), 7.0)
    with pytest.raises(ValueError, match=rf"^{ALL[name][place]}\[1, 2\]: {bad}") as caught:
        call(name, place, values, check=True, out=out)
    assert "\n" not in str(caught.value)
    assert np.all(out == 7.0)
    result = call(name, place, values)
    expected = np.zeros((2, 3), bool)
    expected[1, 2] = True
    np.testing.assert_array_equal(np.isnan(result), expected.any(axis=-1) if name == "kl_dirichlet" else expected)


@pytest.mark.parametrize("name", ALL)
def test_check_lets_pass_what_is_right(name):
    np.testing.assert_array_equal(call(name, check=True), call(name))
    at_the_ends = {
        "kl_bernoulli": (0.0, 1.0),
        "kl_bernoulli_logits": (-INF, INF),
        "kl_poisson": (0.0, 1e300),
    }
    for pair in itertools.product(at_the_ends.get(name, ()), repeat=2):
        assert getattr(families, name)(*pair, check=True) >= 0.0


@pytest.mark.parametrize("name, place", PLACES)
@pytest.mark.parametrize(
    "value, kind",
    [
        (np.full((2, 3), "a"), TypeError),
        (np.full((2, 3), 1j), TypeError),
        (np.full((2, 3), None), TypeError),
        (np.ones((4, 3)), ValueError),
        ([[1.0, 2.0], [1.0]], ValueError),
    ],
    ids=["text", "complex", "objects", "shape", "ragged"],
)
def test_what_is_no_array_of_real_numbers_of_a_fitting_shape(name, place, value, kind):
    out = np.full(result_shape(name), 7.0)
    with pytest.raises(kind, match=rf"\b{ALL[name][place]}\b"):
        call(name, place, value, out=out)
    assert np.all(out == 7.0)


@pytest.mark.parametrize("name, place", [(name, place) for name, place in PLACES if name in PARAMETERS])
def test_masked_arrays_are_refused(name, place):
    hidden = np.ma.masked_array(np.full((2, 3), 0.25), [[False, True, False]] * 2)
    with pytest.raises(ValueError, match=f"^{ALL[name][place]}: is a masked array"):
        call(name, place, hidden)
    nothing_hidden = np.ma.masked_array(np.full((2, 3), 0.25))
    np.testing.assert_array_equal(call(name, place, nothing_hidden), call(name, place, np.full((2, 3), 0.25)))


@pytest.mark.parametrize("name", ALL)
def test_an_out_that_does_not_fit(name):
    shape = result_shape(name)
    read_only = np.empty(shape)
    read_only.flags.writeable = False
    wrong = [
        (np.empty(shape, np.float32), ValueError, "^out: dtype float32"),
        (np.empty((*shape, 1)), ValueError, "^out: shape"),
        (read_only, ValueError, "^out: is read-only"),
        ([0.0] * 3, TypeError, "^out: list"),
    ]
    for out, kind, message in wrong:
        with pytest.raises(kind, match=message):
            call(name, out=out)


@pytest.mark.parametrize("name, place", PLACES)
def test_an_out_that_overlaps_a_parameter(name, place):
    memory = np.full((2, 3), 0.25)
    out = memory if result_shape(name) == (2, 3) else memory[:, 0]
    with pytest.raises(ValueError, match=f"^out: overlaps {ALL[name][place]} in memory"):
        call(name, place, memory, out=out)
    np.testing.assert_array_equal(memory, np.full((2, 3), 0.25))


@pytest.mark.parametrize(
    "axis, kind", [(2, ValueError), (-3, ValueError), (None, ValueError), ((0, 1), ValueError), (1.0, TypeError)]
)
def test_the_axis_of_a_dirichlet(axis, kind):
    out = np.full(2, 7.0)
    with pytest.raises(kind, match=r"^axis\b"):
        call("kl_dirichlet", axis=axis, out=out)
    assert np.all(out == 7.0)
    with pytest.raises(ValueError, match="^axis: -1 is out of range"):
        families.kl_dirichlet(1.0, 2.0)


def test_an_argument_is_not_written_to():
    for name in ALL:
        values = [np.array([0.0, 0.25, NAN]) for _ in ALL[name]]
        before = [one.copy() for one in values]
        getattr(families, name)(*values)
        np.testing.assert_array_equal(values, before)


@pytest.mark.filterwarnings("error")
def test_no_warnings_for_special_values():
    special = [0.0, 1.0, 0.5, -1.0, 5e-324, 1e308, INF, -INF, NAN]
    for name, parameters in PARAMETERS.items():
        values = np.array(list(itertools.product(special, repeat=len(parameters)))).T
        getattr(families, name)(*values)
