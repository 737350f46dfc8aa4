"""klfast and scipy on distributions that other people's packages bring along: their times, and how far from the truth.

    pip install scipy py3langid lda scikit-learn
    python benchmarks/real_distributions.py

What is not installed is named and left out. The truth is scipy's result for the same numbers as float64.
"""

import argparse
import contextlib
import importlib.resources
import io
import lzma
import statistics
import sys
import warnings
from functools import partial

import numpy as np
from _report import available_cores, print_table
from _timing import alternate, repeats_for

SAMPLE_SECONDS = 0.05
ENGLISH = "en"


def languages():
    """Log-probabilities of 100,053 n-grams (down) in 142 languages (across), and English alone, as float16."""
    package = importlib.resources.files("py3langid")
    with np.load(io.BytesIO(lzma.decompress((package / "data" / "model.npz.xz").read_bytes()))) as model:
        scores, names = model["ptc"], model["classes"].tolist()
    english = names.index(ENGLISH)
    return scores, scores[:, english : english + 1].copy()


def language_probabilities():
    """The same as float32 probabilities."""
    return tuple(np.exp(scores.astype(np.float32)) for scores in languages())


def texts():
    """Word counts of 395 Reuters texts over 4258 words, 96 % of them 0, and those of all texts together."""
    import lda.datasets

    with contextlib.redirect_stdout(io.StringIO()):
        counts = lda.datasets.load_reuters()
    return counts, counts.sum(axis=0, dtype=counts.dtype)


def digits():
    """1797 scanned digits as histograms of ink over 64 cells, half of them 0, and those of all digits together."""
    import sklearn.datasets

    ink = sklearn.datasets.load_digits().data
    return ink, ink.sum(axis=0)


def comparisons():
    """(data set, what is computed, klfast's function, scipy's): all for every distribution, the divergences against one."""
    from scipy import special, stats
    from scipy.spatial.distance import jensenshannon

    import klfast

    def squared_jensenshannon(p, q, axis=-1):
        return jensenshannon(p, q, axis=axis) ** 2

    def entropy_of_logits(x, y):
        return stats.entropy(special.softmax(x, axis=0), axis=0)

    def kl_of_logits(x, y):
        return stats.entropy(special.softmax(x, axis=0), special.softmax(y, axis=0), axis=0)

    def first(function):
        return lambda p, q, **keywords: function(p, **keywords)

    table = [
        (languages, "entropy of logits", partial(first(klfast.logits.entropy), axis=0), entropy_of_logits),
        (languages, "KL of logits", partial(klfast.logits.kl_divergence, axis=0), kl_of_logits),
        (
            language_probabilities,
            "Jensen-Shannon",
            partial(klfast.js_divergence, axis=0),
            partial(squared_jensenshannon, axis=0),
        ),
    ]
    for data in (texts, digits):
        table += [
            (data, "entropy", first(klfast.entropy), partial(first(stats.entropy), axis=-1)),
            (data, "KL", klfast.kl_divergence, partial(stats.entropy, axis=-1)),
            (data, "Jensen-Shannon", klfast.js_divergence, squared_jensenshannon),
        ]
    return table


def largest_difference(result, truth):
    """Relative; where the truth is no number or next to nothing, as for a distribution against itself, nothing is said."""
    counts = np.isfinite(truth) & (np.abs(truth) > 1e-9)
    return np.max(np.abs(np.asarray(result, np.float64) - truth)[counts] / np.abs(truth)[counts])


def measure(data, what, own, peer, rounds):
    """One line of the table."""
    arrays = data()
    truth = peer(*(array.astype(np.float64) for array in arrays))
    calls = {"klfast": partial(own, *arrays), "scipy": partial(peer, *arrays)}
    differences = [f"{largest_difference(call(), truth):.0e}" for call in calls.values()]
    repeats = {name: repeats_for(call, SAMPLE_SECONDS) for name, call in calls.items()}
    samples = alternate(calls, repeats, rounds)
    own_ms, peer_ms = (1e3 * statistics.median(samples[name]) for name in calls)
    shape = " x ".join(f"{length:,}" for length in arrays[0].shape)
    figures = [f"{own_ms:.3g}", f"{peer_ms:.3g}", f"{peer_ms / own_ms:.1f}"]
    return [f"{data.__name__.replace('_', ' ')}, {what}", shape, arrays[0].dtype.name, *figures, *differences]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, metavar="N", help="threads of klfast (default: all cores)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="samples for each side (default: 5)")
    options = parser.parse_args(arguments)
    try:
        table = comparisons()
    except ImportError as error:
        print(f"real_distributions.py: {error}; pip install scipy", file=sys.stderr)
        return 2
    import klfast

    klfast.set_num_threads(options.threads or available_cores())
    warnings.simplefilter("ignore", RuntimeWarning)  # scipy overflows in float16
    rows, missing = [], {}
    for data, *comparison in table:
        try:
            rows.append(measure(data, *comparison, options.rounds))
        except ImportError as error:
            package = error.name.partition(".")[0]
            missing[package] = {"sklearn": "scikit-learn"}.get(package, package)
    if missing:
        print(f"left out: {', '.join(missing)}; pip install {' '.join(missing.values())}")
    header = ["what", "shape", "dtype", "klfast ms", "scipy ms", "times klfast", "error, klfast", "error, scipy"]
    if rows:
        print_table("Real distributions: medians, and largest relative errors", header, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
