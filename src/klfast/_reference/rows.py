"""The twin of the comparison of two models, row by row."""

import numpy as np

from klfast._reference import logits, losses


def compare_rows(x, y, target=None, *, axis=-1):
    """The figures of each row under their names; `top` is the first of the likeliest classes."""
    scores = np.broadcast_arrays(x, y)
    figures = {
        "kl": logits.kl_divergence(*scores, axis=axis),
        "reverse_kl": logits.kl_divergence(*scores[::-1], axis=axis),
        "js": logits.js_divergence(*scores, axis=axis),
        "entropy_x": logits.entropy(scores[0], axis=axis),
        "entropy_y": logits.entropy(scores[1], axis=axis),
        "top_x": np.argmax(scores[0], axis=axis),
        "top_y": np.argmax(scores[1], axis=axis),
    }
    if target is not None:
        figures["cross_entropy_x"] = losses.cross_entropy(scores[0], target, axis=axis)
        figures["cross_entropy_y"] = losses.cross_entropy(scores[1], target, axis=axis)
    table = np.empty(np.shape(figures["kl"]), [(name, values.dtype) for name, values in figures.items()])
    for name, values in figures.items():
        table[name] = values
    return table
