"""Mistakes with Gaussians: each names its argument, comes before any work, and writes nothing."""

import numpy as np
import pytest

from klfast import gaussian

NAN, INF = np.nan, np.inf
MU = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
LOGVAR = MU[::-1].copy()
EITHER = (TypeError, ValueError)
CALLS = {
    "kl_standard_normal": lambda **keywords: gaussian.kl_standard_normal(MU, LOGVAR, **keywords),
    "kl_standard_normal_value_and_grad": lambda **keywords: gaussian.kl_standard_normal_value_and_grad(
        MU, LOGVAR, **keywords
    ),
    "kl_divergence": lambda **keywords: gaussian.kl_divergence(MU, LOGVAR, 0.0, LOGVAR, **keywords),
}
WRONG_KEYWORDS = {
    "free_bits": [(value, ValueError) for value in (-1, -1e-300, NAN, INF)]
    + [(value, TypeError) for value in ("a", None, True, [0.5], 1j)],
    "axis": [(2, ValueError), (-3, ValueError), (1.0, TypeError), ((0, 0), ValueError), ("a", TypeError)],
    "where": [([True] * 4, ValueError), ([1, 0, 1], TypeError)],
    "base": [(1, ValueError), (-2.0, ValueError), (0, ValueError), ("e", TypeError)],
    "n_threads": [(0, ValueError), (1.5, TypeError)],
    "dtype": [("float8", ValueError), ("float32", ValueError)],
}
CASES = [(name, *case) for name, cases in WRONG_KEYWORDS.items() for case in cases]


def outputs_for(call):
    return (np.full((2, 3), 7.0), np.full((2, 3), 7.0)) if "grad" in call else np.full(2, 7.0)


def raises(kind, match):
    return pytest.raises(kind, match=match)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name, value, kind", CASES, ids=lambda value: str(value)[:20])
def test_every_wrong_keyword_is_named(name, value, kind, call):
    out = outputs_for(call)
    with raises(kind, rf"^{name}\b") as caught:
        CALLS[call](**{name: value, "out": out})
    assert "\n" not in str(caught.value)
    assert np.all(np.stack(out) == 7.0)


@pytest.mark.parametrize("call", CALLS)
def test_a_gaussian_has_an_axis(call):
    with raises(ValueError, "^axis: -1 is out of range"):
        getattr(gaussian, call)(*[0.5] * (4 if call == "kl_divergence" else 2))


def values_out(out, **keywords):
    return gaussian.kl_standard_normal(MU, LOGVAR, out=out, **keywords)


def gradients_out(out, mu=MU, logvar=LOGVAR, **keywords):
    return gaussian.kl_standard_normal_value_and_grad(mu, logvar, out=out, **keywords)


def read_only(array):
    array.flags.writeable = False
    return array


def like(dtype="f8", shape=(2, 3)):
    return np.zeros(shape, dtype)


MISTAKES = {
    "shapes": (lambda: gaussian.kl_standard_normal(MU, [1.0, 2.0]), ValueError, r"mu \(2, 3\) and logvar \(2,\)"),
    "shapes of four": (
        lambda: gaussian.kl_divergence(MU, MU, MU, [1.0, 2.0]),
        ValueError,
        r"mu2 \(2, 3\) and logvar2 \(2,\)",
    ),
    "complex": (lambda: gaussian.kl_standard_normal(MU, MU + 1j), TypeError, "^logvar: dtype complex128"),
    "words": (lambda: gaussian.kl_divergence(MU, MU, ["a"], MU), TypeError, "^mu2: dtype"),
    "long doubles": (lambda: gaussian.kl_standard_normal(MU.astype("g"), MU), TypeError, "^mu: dtype"),
    "floats as bits": (lambda: gaussian.kl_standard_normal(MU, MU, dtype="bfloat16"), ValueError, "^mu: dtype float64"),
    "out of floats": (lambda: values_out(like("f4", 2)), ValueError, "^out: dtype float32"),
    "out's shape": (lambda: values_out(like("f8", 3)), ValueError, r"^out: shape \(3,\)"),
    "out with kept axes": (lambda: values_out(like("f8", 2), keepdims=True), ValueError, r"^out: shape \(2,\)"),
    "out a list": (lambda: values_out([0.0, 0.0]), TypeError, "^out: "),
    "out read-only": (lambda: values_out(read_only(like("f8", 2))), ValueError, "^out: is read-only"),
    "one out for two": (lambda: gradients_out(like()), TypeError, "^out: ndarray is not a tuple of 2"),
    "three outs": (lambda: gradients_out((like(), like(), like())), TypeError, "^out: tuple is not a tuple of 2"),
    "gradient's type": (lambda: gradients_out((like(), like("f4"))), ValueError, "^out: dtype float32 is not float64"),
    "gradient's shape": (lambda: gradients_out((like(), like("f8", (3, 2)))), ValueError, r"^out: shape \(3, 2\)"),
    "the same out twice": (lambda: (lambda out: gradients_out((out, out)))(like()), ValueError, "^out: overlaps"),
    "grad_output's shape": (
        lambda: gradients_out(None, grad_output=np.ones(3)),
        ValueError,
        r"^grad_output: shape \(3,\) does not broadcast to \(2,\)",
    ),
    "grad_output of entries": (lambda: gradients_out(None, grad_output=MU), ValueError, "^grad_output: shape"),
    "grad_output a word": (lambda: gradients_out(None, grad_output="a"), EITHER, "^grad_output: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_named(mistake):
    call, kind, message = MISTAKES[mistake]
    with raises(kind, message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_out_may_not_lie_in_other_arguments():
    memory = np.zeros(64)
    mu, logvar = memory[:6].reshape(2, 3), np.zeros((2, 3))
    with raises(ValueError, "^out: overlaps mu in memory"):
        gaussian.kl_standard_normal(mu, logvar, out=memory[:2])
    with raises(ValueError, "^out: overlaps logvar2 in memory"):
        gaussian.kl_divergence(logvar, logvar, logvar, mu, out=memory[4:6])
    for shifted in (memory[1:7].reshape(2, 3), mu[::-1], mu[:, ::-1]):
        with raises(ValueError, "^out: overlaps mu in memory"):
            gradients_out((shifted, like()), mu, logvar)
        with raises(ValueError, "^out: overlaps mu in memory"):
            gradients_out((like(), shifted), mu, logvar)
    mask = memory.view(bool)[:6].reshape(2, 3)
    with raises(ValueError, "^out: overlaps where in memory"):
        gradients_out((mu, like()), where=mask)
    with raises(ValueError, "^out: overlaps grad_output in memory"):
        gradients_out((mu, like()), grad_output=memory[:2])


@pytest.mark.parametrize("call", CALLS)
def test_check_names_the_first_number_that_is_none(call):
    count = 4 if call == "kl_divergence" else 2
    names = ("mu1", "logvar1", "mu2", "logvar2") if count == 4 else ("mu", "logvar")
    function = getattr(gaussian, call)
    for which, name in enumerate(names):
        for bad in (NAN, INF) + ((-INF,) if name.startswith("mu") else ()):
            rows = [np.zeros((2, 3)) for _ in names]
            rows[which][1, 1:] = bad
            function(*rows)
            with raises(ValueError, rf"^{name}\[1, 1\]: {bad} is no ") as caught:
                function(*rows, check=True)
            assert "\n" not in str(caught.value)
            where = np.array([True, False, False])
            function(*rows, where=where, check=True)
            function(*(np.ma.array(row, mask=~np.isfinite(row)) for row in rows), check=True)
    rows = [np.zeros((2, 3)) for _ in names]
    rows[1][0, 0] = -INF  # a variance of 0
    value = function(*rows, check=True)
    assert (value[0] if type(value) is tuple else value).tolist() == [INF, 0.0]


# Full covariances ----------------------------------------------------------------------------------------------------

MEAN, COV = np.zeros(2), np.eye(2)
BATCH = np.tile(COV, (4, 1, 1))
INDEFINITE = np.array([[1.0, 2.0], [2.0, 1.0]])


def full(mean1=MEAN, cov1=COV, mean2=MEAN, cov2=COV, **keywords):
    return gaussian.kl_divergence_full(mean1, cov1, mean2, cov2, **keywords)


def with_third(matrix):
    batch = BATCH.copy()
    batch[3] = matrix
    return batch


FULL_MISTAKES = {
    "no axis": (lambda: full(mean1=0.0), ValueError, r"^mean1: shape \(\) has fewer than 1 axes"),
    "a vector for a matrix": (lambda: full(cov1=[1.0, 2.0]), ValueError, r"^cov1: shape \(2,\) has fewer than 2"),
    "not square": (lambda: full(cov2=np.ones((2, 3))), ValueError, r"^cov2: shape \(2, 3\) is not that of square"),
    "other dimensions": (lambda: full(cov2=np.eye(3)), ValueError, r"^cov2: shape \(3, 3\) has 3 dimensions"),
    "other mean": (lambda: full(mean2=np.ones(3)), ValueError, r"^mean2: shape \(3,\) has 3 dimensions"),
    "batches": (lambda: full(mean1=np.zeros((3, 2)), cov2=BATCH), ValueError, r"mean1 \(3, 2\).*cov2 \(4, 2, 2\)"),
    "complex": (lambda: full(cov1=COV * 1j), TypeError, "^cov1: dtype complex128"),
    "base": (lambda: full(base=1), ValueError, "^base: "),
    "out": (lambda: full(out=np.zeros(1)), ValueError, r"^out: shape \(1,\)"),
    "out of floats": (lambda: full(cov1=BATCH, out=np.zeros(4, "f4")), ValueError, "^out: dtype float32"),
    "not symmetric": (
        lambda: full(cov1=with_third([[1.0, 0.5], [0.2, 1.0]])),
        ValueError,
        r"^cov1\[3, 0, 1\]: 0.5 is not what stands across the diagonal",
    ),
    "a Cholesky factor": (
        lambda: full(cov2=np.linalg.cholesky([[1.0, 0.5], [0.5, 1.0]])),
        ValueError,
        r"^cov2\[0, 1\]: 0.0 is not what",
    ),
    "nearly symmetric": (
        lambda: full(cov1=[[1.0, 0.5], [0.5 + 1e-6, 1.0]]),
        ValueError,
        r"^cov1\[0, 1\]: 0.5 is not what",
    ),
    "indefinite": (
        lambda: full(cov1=INDEFINITE),
        np.linalg.LinAlgError,
        "^cov1: is not positive definite: its smallest eigenvalue is -1$",
    ),
    "one of many": (
        lambda: full(cov2=with_third(INDEFINITE)),
        np.linalg.LinAlgError,
        r"^cov2\[3\]: is not positive definite",
    ),
    "one of a table": (
        lambda: full(cov1=with_third(-COV).reshape(2, 2, 2, 2)),
        np.linalg.LinAlgError,
        r"^cov1\[1, 1\]: is not positive definite",
    ),
    "a variance of 0": (lambda: full(cov1=np.diag([1.0, 0.0])), np.linalg.LinAlgError, "^cov1: is not positive"),
    "beside NaN": (
        lambda: full(cov1=np.stack([COV * NAN, -COV])),
        np.linalg.LinAlgError,
        r"^cov1\[1\]: is not positive definite",
    ),
}


@pytest.mark.parametrize("mistake", FULL_MISTAKES)
def test_every_mistake_with_covariances_is_named(mistake):
    call, kind, message = FULL_MISTAKES[mistake]
    with raises(kind, message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_covariances_that_are_none_write_nothing():
    out = np.full(4, 7.0)
    for bad in (INDEFINITE, [[1.0, 0.5], [0.2, 1.0]]):
        with raises(ValueError, "^cov1"):
            full(cov1=with_third(bad), out=out)
        assert np.all(out == 7.0)
    memory = BATCH.copy()
    with raises(ValueError, "^out: overlaps cov2 in memory"):
        full(cov2=memory, out=memory[:, 0, 0])
