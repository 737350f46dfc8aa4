"""Log-probabilities of tokens: arguments in, kernels, and what sequences come down to."""

import numpy as np

from klfast import _checks, _checks_tokens, _threads
from klfast._dispatch import named_arrays
from klfast._terms import terms


class Sequences:
    """Log-probabilities of tokens: which count, where sequences lie, and what becomes of their estimates."""

    def __init__(self, logp, ref_logp, kind, mask, lengths, clip, dtype, n_threads, names=("logp", "ref_logp")):
        named = dict(zip(names, (logp, ref_logp)))
        self.kind = _checks.choice("kind", kind, _checks_tokens.KINDS)
        self.inputs, self.chosen, self.lengths, self.shape = _checks_tokens.tokens(named, dtype, mask, lengths)
        self.clip = clip
        self.parameters = {"clip": _checks_tokens.clip(clip)}
        self.n_threads = _threads.resolve(n_threads, self.inputs[0].array.size)

    @property
    def rows(self):
        """The shape of one number a sequence."""
        return self.inputs[0].array.shape[:-1] if self.lengths is None else self.lengths.shape

    def output(self, out, result_type, in_place=(), others=()):
        """What takes one number a token: `out`, or new memory. It may be exactly the array of one of the names."""
        shape = self.inputs[0].array.shape
        if out is None:
            return np.zeros(shape, result_type)
        # A single number is a sequence of one.
        flat = out.reshape(1) if isinstance(out, np.ndarray) and out.shape == self.shape == () else out
        same = [one.name for one in self.inputs if one.name in in_place and _checks._is_same(flat, one.array)]
        others = dict(others)
        others |= {name: array for name, array in named_arrays(self.inputs, None).items() if name not in same}
        if self.chosen is not None:
            others["mask"] = self.chosen
        return _checks.output(out, self.shape, others, result_type).reshape(shape)

    def terms(self, operation, outputs=(), factors=None, factor=None):
        """(sum, count, last) of every sequence; the tokens go to `outputs`."""
        axis = self.inputs[0].array.ndim - 1
        return terms(
            operation,
            self.inputs,
            self.chosen,
            (axis,),
            self.n_threads,
            self.parameters,
            outputs=outputs,
            factors=None if factors is None else np.ascontiguousarray(factors, np.float64).reshape(-1),
            factor=factor,
            lengths=self.lengths,
        )

    def counts(self):
        """How many tokens of every sequence count."""
        if self.chosen is None:
            length = self.inputs[0].array.shape[-1]
            return np.full(self.rows, length) if self.lengths is None else self.lengths
        if self.lengths is None:
            return np.count_nonzero(self.chosen, axis=-1)
        so_far = np.zeros(self.chosen.size + 1, np.int64)
        np.cumsum(self.chosen, out=so_far[1:])
        ends = np.cumsum(self.lengths)
        return so_far[ends] - so_far[ends - self.lengths]


def number_of(counts, reduction):
    """How many tokens (or, for the mean of sequences, sequences that are not empty) the reduced value has."""
    counts = np.asarray(counts)
    return int(np.count_nonzero(counts) if reduction == "sequence_mean" else np.add.reduce(counts, axis=None))


def shares(counts, reduction):
    """What each token of every sequence counts in the reduced value."""
    counts = np.asarray(counts, np.float64)
    total = np.float64(1 if reduction == "sum" else number_of(counts, reduction))  # of integers: nothing rounds
    with np.errstate(divide="ignore", invalid="ignore"):
        if reduction == "sequence_mean":
            return 1.0 / counts / total
        return np.broadcast_to(1.0 / total, counts.shape)
