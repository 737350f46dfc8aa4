"""Two files of logits -> blocks of per-row figures, in one pass over the files."""

from dataclasses import dataclass

import numpy as np

from klfast import logits

# How much of each file is looked at before its memory is given back and the progress bar moves on.
BLOCK_BYTES = 8 << 20


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
    for file in (base, test):
        file.read_ahead()
    for start in range(0, rows, block_rows):
        stop = min(start + block_rows, rows)
        ids = None if targets is None else targets.array[start:stop].astype(np.int64)
        yield _figures(start, logits.compare_rows(base.array[start:stop], test.array[start:stop], ids), ids)
        for file in (base, test):
            file.release(stop * vocabulary)


def _figures(first_row, table, ids):
    """The fields of the library, x being the base and y the test."""
    figures = RowFigures(
        first_row=first_row,
        kl=table["kl"],
        reverse_kl=table["reverse_kl"],
        js=table["js"],
        entropy_base=table["entropy_x"],
        entropy_test=table["entropy_y"],
        top_base=table["top_x"],
        top_test=table["top_y"],
    )
    if ids is not None:
        figures.target = ids
        figures.cross_entropy_base = table["cross_entropy_x"]
        figures.cross_entropy_test = table["cross_entropy_y"]
    return figures
