"""Two files of logits -> blocks of per-row figures, in one pass over the files."""

from dataclasses import dataclass

import numpy as np

import klfast.logits

# One block of each file together stay in a core's or a processor's cache while every figure is taken from them.
BLOCK_BYTES = 2 << 20


@dataclass
class RowFigures:
    """The figures of consecutive rows, one array entry a row; those of the target are None without targets."""

    first_row: int
    kl: np.ndarray
    reverse_kl: np.ndarray
    js: np.ndarray
    entropy_base: np.ndarray
    entropy_test: np.ndarray
    top_base: np.ndarray
    top_test: np.ndarray
    target: np.ndarray | None = None
    cross_entropy_base: np.ndarray | None = None
    cross_entropy_test: np.ndarray | None = None

    @property
    def defined(self):
        """False for rows that hold NaN or +inf, or nothing but -inf: some figure of theirs is NaN."""
        return ~np.isnan(self.kl + self.reverse_kl + self.js + self.entropy_base + self.entropy_test)

    @property
    def same_top(self):
        return self.top_base == self.top_test

    @property
    def log_ratio(self):
        """The log of the test's perplexity over the base's."""
        with np.errstate(invalid="ignore"):  # both infinite: undefined, and reported as such
            return self.cross_entropy_test - self.cross_entropy_base

    @property
    def probability_change(self):
        return np.exp(-self.cross_entropy_test) - np.exp(-self.cross_entropy_base)

    def __len__(self):
        return len(self.kl)


def compare_rows(base, test, targets=None):
    """Yield RowFigures for block after block of two mapped files, and give back the memory behind each."""
    rows, vocabulary = base.array.shape
    block_rows = max(1, BLOCK_BYTES // (vocabulary * base.dtype.itemsize))
    for logits in (base, test):
        logits.read_ahead()
    for start in range(0, rows, block_rows):
        stop = min(start + block_rows, rows)
        ids = None if targets is None else targets.array[start:stop].astype(np.int64)
        yield _figures(start, _ready(base.array[start:stop]), _ready(test.array[start:stop]), ids)
        for logits in (base, test):
            logits.release(stop * vocabulary)


def _ready(block):
    """The block itself where the kernels can read it in place, else a copy: half precision, foreign byte order."""
    if block.dtype in (np.float32, np.float64) and block.dtype.isnative and block.flags.aligned:
        return block
    return block.astype(np.float64 if block.dtype.itemsize == 8 else np.float32)


def _figures(first_row, base, test, ids):
    figures = RowFigures(
        first_row=first_row,
        kl=klfast.logits.kl_divergence(base, test),
        reverse_kl=klfast.logits.kl_divergence(test, base),
        js=klfast.logits.js_divergence(base, test),
        entropy_base=klfast.logits.entropy(base),
        entropy_test=klfast.logits.entropy(test),
        top_base=np.argmax(base, axis=-1),
        top_test=np.argmax(test, axis=-1),
    )
    if ids is not None:
        figures.target = ids
        figures.cross_entropy_base = klfast.logits.cross_entropy(base, ids)
        figures.cross_entropy_test = klfast.logits.cross_entropy(test, ids)
    return figures
