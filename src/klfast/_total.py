"""What the numbers of rows come down to: their sum, or their mean."""

import math

import numpy as np

from klfast import _kernels


def add_up(numbers, divisor=1.0, scale=1.0):
    """Their sum, in twice the precision of doubles, over the divisor, times the scale; inf and NaN as numpy adds them, and 0/0
    is NaN.

    A result that is a number is one, even where the sum is beyond the range.
    """
    numbers = np.ascontiguousarray(numbers, np.float64).ravel()
    total = _kernels.add_up(numbers)
    if math.isfinite(total) and divisor:
        return np.float64(total / divisor * scale)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if np.isinf(total) and np.all(np.isfinite(numbers)):
            return np.float64(_kernels.add_up(numbers / np.float64(divisor) * scale))
        return np.float64(total) / np.float64(divisor) * scale
