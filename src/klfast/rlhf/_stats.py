"""How far the policy that is trained is from the one that sampled."""

from typing import NamedTuple

import numpy as np

from klfast._rlhf import Sequences
from klfast._total import add_up


class ImportanceRatioStats(NamedTuple):
    """What the importance ratios w = exp(logp - behaviour_logp) of some tokens come down to; see `importance_ratio_stats`."""

    count: int
    mean_ratio: float
    effective_sample_size: float
    chi_square: float
    k1: float
    k3: float
    largest_ratio: float


def importance_ratio_stats(logp, behaviour_logp, mask=None, *, n_threads=None, dtype=None):
    """Statistics of the importance ratios w = exp(logp - behaviour_logp): do a sampling engine and a trainer agree?

    Parameters
    ----------
    logp : array_like
        Log-probabilities of the sampled tokens under the policy that is trained.
    behaviour_logp : array_like
        The same under the policy that sampled them; broadcast against logp.
    mask : array_like of bool, optional
        Which tokens count (True), broadcast to their shape. The others are skipped, whatever they hold.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    ImportanceRatioStats
        count, the number of tokens that count; mean_ratio, the mean of w; effective_sample_size, (sum w)^2/(sum w^2), between 1
        and count, NaN if all w are 0; chi_square, the mean of (w - 1)^2; k1, the mean of -log w, and k3, that of w - 1 - log w:
        estimates, in nats, of D(behaviour || policy); largest_ratio. Without tokens all but count are NaN.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, and shapes that do not broadcast; before any work.

    Notes
    -----
    One reading of the memory; a second one only where the sum of w^2 left the range of float64, for the effective sample size.
    Relative error at most 2^-20 for float32 and 2^-48 for float64, k1 relative to the mean of |log w|.

    Examples
    --------
    >>> from klfast import rlhf
    >>> stats = rlhf.importance_ratio_stats([-1.0, -2.0, 0.0], [-1.5, -2.0, 9.0], [True, True, False])
    >>> stats.count, round(stats.mean_ratio, 6), round(stats.effective_sample_size, 6), round(stats.chi_square, 6)
    (2, 1.324361, 1.886819, 0.21042)
    """
    tokens = Sequences(logp, behaviour_logp, "k1", mask, None, None, dtype, n_threads, ("logp", "behaviour_logp"))
    tokens.parameters = {}
    table = tokens.terms("ratio_stats").reshape(-1, 8)
    count, ratios, gaps, squares, weights, weight_squares = (add_up(column) for column in table.T[:6])
    if count == 0:
        return ImportanceRatioStats(0, *[float("nan")] * 6)
    largest = np.max(table[:, 6])
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # of ratios that are infinite
        if not 1e-300 < weight_squares < 1e300 and np.isfinite(largest):
            tokens.parameters = {"shift": largest}
            shifted = tokens.terms("ratio_stats").reshape(-1, 8)
            sample_size = add_up(shifted[:, 4]) ** 2 / add_up(shifted[:, 5])
        else:
            sample_size = np.float64(weights) ** 2 / weight_squares
        sample_size = np.clip(sample_size, 1.0, count)  # but for rounding it is
        figures = weights / count, sample_size, squares / count, -ratios / count, gaps / count, np.max(table[:, 7])
    return ImportanceRatioStats(int(count), *map(float, figures))
