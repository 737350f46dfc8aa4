"""Rows of up to 256 entries, of probabilities and of one array of logits up to 512, are laid side by side: for every length and
number of rows the bits of each row by itself."""

import numpy as np
import pytest
from cpu_levels import LEVELS, call, call_each
from test_invariance import arguments, assert_same_bits

CALLS = (
    ("kl_divergence", {}),
    ("entropy", {}),
    ("js_divergence", {}),
    ("logits.kl_divergence", {}),
    ("logits.js_divergence", {}),
    ("logits.js_divergence_grad", {"beta": 0.3}),
    ("logits.cross_entropy", {}),
    ("logits.softmax", {}),
    ("logits.cross_entropy_grad", {}),
    ("logits.cross_entropy", {"label_smoothing": 0.1}),
    ("logits.cross_entropy_grad", {"label_smoothing": 0.1, "softcap": 9.0}),
    ("logits.cross_entropy", {"target": "probabilities"}),
    ("logits.cross_entropy_grad", {"target": "probabilities", "z_loss": 1e-3}),
)
PROBABILITIES = (
    ("kl_divergence", {}),
    ("cross_entropy", {}),
    ("entropy", {}),
    ("kl_divergence", {"normalize": False}),
    ("cross_entropy", {"normalize": False}),
    ("entropy", {"normalize": False}),
    ("js_divergence", {}),
    ("js_divergence", {"normalize": False}),
    ("total_variation", {}),
    ("hellinger", {}),
    ("jeffreys", {}),
    ("chi2_divergence", {}),
    ("chi2_divergence", {"normalize": False}),
    ("renyi_divergence", {"alpha": 0.3}),
    ("renyi_divergence", {"alpha": 2.0}),
    ("renyi_divergence", {"alpha": np.inf}),
)
# More than two tiles of the widest type.
ROWS = 37


def arrays_for(function, length, dtype, has_probabilities):
    name = function.removesuffix("_grad").replace("js_", "kl_").replace("softmax", "entropy")
    arrays = arguments(name, (ROWS, length), dtype)
    if has_probabilities:
        arrays[1] = np.random.default_rng(length).dirichlet(np.ones(length), ROWS).astype(dtype)
    return arrays


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("function", "options"), CALLS)
def test_short_rows_have_the_bits_of_each_alone(function, options, level, dtype):
    keywords = {name: value for name, value in options.items() if name != "target"}
    if "cross_entropy" in function:
        keywords["reduction"] = "none"
    for length in (*range(1, 36), 63, 64, 65, 100, 200, 255, 256, 257, 511, 512, 513):
        arrays = arrays_for(function, length, dtype, "target" in options)
        whole = call(level, function, *arrays, **keywords)
        for count in (1, 7, 16, 25):
            part = call(level, function, *(array[:count] for array in arrays), **keywords)
            assert_same_bits(part.astype(np.float64), whole[:count].astype(np.float64))
        columns = call(level, function, *(np.asfortranarray(array) for array in arrays), **keywords)
        assert_same_bits(columns.astype(np.float64), whole.astype(np.float64))


def assert_same_in_any_company(level, function, arrays, options):
    """All rows together, some of them, and each by itself."""
    counts = (2, 3, 5, 16, 18, 33)
    parts = [arrays, *([array[:count] for array in arrays] for count in counts)]
    rows = list(zip(*arrays, strict=True))
    whole, *results = (np.float64(one) for one in call_each(level, function, [*parts, *rows], **options))
    for count, result in zip(counts, results, strict=False):
        assert_same_bits(result, whole[:count])
    assert_same_bits(np.array(results[len(counts) :]), whole)


def weights(length, kind, dtype):
    """Rows of positive weights; or with zeros, some that no row shares, or with what a tile leaves to others."""
    random = np.random.default_rng(length)
    p, q = random.gamma(0.3, size=(2, ROWS, length)) + np.finfo(dtype).tiny
    if kind != "positive":
        p[::2] *= random.random((len(p[::2]), length)) < 0.7
        q[::3] *= random.random((len(q[::3]), length)) < 0.7
    if kind == "anything":
        p[1::5] *= 1e-30
        q[2::5] = p[2::5] * 3.0
        p[6::9] = q[6::9] = 0.0
        p[8::13] = 0.0
        p[3::7, 0] = -1.0
        q[4::7, -1] = np.nan
    return p.astype(dtype), q.astype(dtype)


@pytest.mark.parametrize("kind", ("positive", "with zeros", "anything"))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("function", "options"), PROBABILITIES)
def test_a_row_has_the_same_bits_in_any_company(function, options, level, dtype, kind):
    for length in (*range(1, 12), 16, 17, 31, 33, 64, 67, 145, 256, 257, 390, 512, 513):
        arrays = weights(length, kind, dtype)[: 1 if function == "entropy" else 2]
        assert_same_in_any_company(level, function, arrays, options)
        assert_same_in_any_company(level, function, arrays, options | {"where": np.arange(length) % 3 < 2})


LOGITS = (
    ("logits.kl_divergence", {}),
    ("logits.kl_divergence", {"temperature": 0.3}),
    ("logits.js_divergence", {}),
    ("logits.js_divergence", {"beta": 0.3}),
    ("logits.entropy", {}),
    ("logits.logsumexp", {}),
    ("logits.cross_entropy", {"reduction": "none"}),
    ("logits.cross_entropy", {"reduction": "none", "z_loss": 0.1, "softcap": 5.0}),
    ("logits.cross_entropy", {"reduction": "none", "label_smoothing": 0.1}),
    ("logits.token_logprobs", {}),
)


def scores(length, kind, dtype):
    """Rows of logits, and others near them; with classes that are equally likely; with what a tile leaves to others."""
    random = np.random.default_rng(length)
    x = random.normal(0.0, 3.0, (ROWS, length))
    y = x + random.normal(0.0, 0.3, (ROWS, length))
    if kind == "ties":
        x, y = np.round(x), np.round(y * 2) / 2
    if kind == "anything":
        x[::4] *= random.choice([1.0, -np.inf], (len(x[::4]), length), p=(0.8, 0.2))
        y[1::5, 0] = -np.inf
        x[2::7] = y[2::7] + 1.0
        x[3::11, -1] = np.nan
        y[5::9] *= 40.0
        x[6::9] = y[6::9] = -np.inf
        x[8::13] = -np.inf
    return x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("kind", ("usual", "ties", "anything"))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("function", "options"), LOGITS)
def test_a_row_of_logits_has_the_same_bits_in_any_company(function, options, level, dtype, kind):
    for length in (1, 2, 3, 5, 8, 11, 16, 17, 33, 64, 67, 100, 190, 255, 256, 257, 512, 513):
        x, y = scores(length, kind, dtype)
        ids = np.random.default_rng(length).integers(0, length, ROWS)
        if function == "logits.token_logprobs":
            ids = np.stack([ids, (ids + 1) % length], axis=-1)
        second = y if "divergence" in function else ids
        arrays = (x,) if function in ("logits.entropy", "logits.logsumexp") else (x, second)
        assert_same_in_any_company(level, function, arrays, options)
        assert_same_in_any_company(level, function, arrays, options | {"where": np.arange(length) % 3 < 2})


WRITTEN = (
    ("logits.softmax", {}),
    ("logits.log_softmax", {}),
    ("logits.entropy_grad", {}),
    ("logits.kl_divergence_grad", {"wrt": "x"}),
    ("logits.kl_divergence_grad", {"wrt": "y"}),
    ("logits.js_divergence_grad", {"wrt": "x"}),
    ("logits.js_divergence_grad", {"wrt": "y", "beta": 0.3}),
    ("logits.cross_entropy_grad", {"reduction": "none", "ignore_index": 1}),
    ("logits.cross_entropy_grad", {"reduction": "none", "label_smoothing": 0.1, "softcap": 5.0}),
)


def sure_scores(length, dtype):
    """Rows of every kind; some of them nearly sure, of the first class or of the last."""
    x, y = scores(length, "anything", dtype)
    x[9::10, 0] = y[9::10, 0] = 20.0
    x[0::10, -1] = 25.0
    y[7::10, 0] = 30.0
    return x, y


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("function", "options"), WRITTEN)
def test_what_is_written_of_a_row_has_the_same_bits_in_any_company(function, options, level, dtype):
    for length in (1, 2, 3, 9, 16, 33, 64, 200, 256, 257, 500, 512):
        x, y = sure_scores(length, dtype)
        ids = np.random.default_rng(length).integers(0, length, ROWS)
        arrays = (x, ids) if "cross" in function else (x, y) if "divergence" in function else (x,)
        assert_same_in_any_company(level, function, arrays, options)
        assert_same_in_any_company(level, function, arrays, options | {"where": np.arange(length) % 3 < 2})
