"""The loops that a numba user would write: parallel over the elements of a vector, or over the rows of a table."""

import numpy as np
from numba import njit, prange


@njit(inline="always", error_model="numpy")
def kl_term(p, q):
    return p * np.log(p / q)


@njit(inline="always", error_model="numpy")
def cross_entropy_term(p, q):
    return -p * np.log(q)


@njit(inline="always", error_model="numpy")
def entropy_term(p, _):
    return -p * np.log(p)


@njit(inline="always", error_model="numpy")
def js_term(p, q):
    middle = (p + q) / 2
    return ((p * np.log(p / middle) if p > 0 else 0.0) + (q * np.log(q / middle) if q > 0 else 0.0)) / 2


def make_sum(term, fastmath):
    """A function that sums term(p, q) over a vector or over every row of a table."""
    compiled = njit(parallel=True, fastmath=fastmath, error_model="numpy")

    @compiled
    def sum_vector(p, q):
        total = 0.0
        for i in prange(p.size):
            total += term(p[i], q[i])
        return total

    @compiled
    def sum_rows(p, q):
        result = np.empty(p.shape[0])
        for row in prange(p.shape[0]):
            total = 0.0
            for i in range(p.shape[1]):
                total += term(p[row, i], q[row, i])
            result[row] = total
        return result

    def sum_last_axis(p, q=None):
        q = p if q is None else q
        return sum_vector(p, q) if p.ndim == 1 else sum_rows(p, q)

    return sum_last_axis


def make_logits_cross_entropy(fastmath):
    @njit(parallel=True, fastmath=fastmath, error_model="numpy")
    def logits_cross_entropy(x, target):
        result = np.empty(x.shape[0])
        for row in prange(x.shape[0]):
            maximum = x[row].max()
            total = 0.0
            for i in range(x.shape[1]):
                total += np.exp(x[row, i] - maximum)
            result[row] = np.log(total) + maximum - x[row, target[row]]
        return result

    return logits_cross_entropy


def make_logits_kl_divergence(fastmath):
    @njit(parallel=True, fastmath=fastmath, error_model="numpy")
    def logits_kl_divergence(x, y):
        result = np.empty(x.shape[0])
        for row in prange(x.shape[0]):
            x_maximum, y_maximum = x[row].max(), y[row].max()
            x_total, y_total, weighted = 0.0, 0.0, 0.0
            for i in range(x.shape[1]):
                a, b = x[row, i] - x_maximum, y[row, i] - y_maximum
                weight = np.exp(a)
                x_total += weight
                y_total += np.exp(b)
                weighted += weight * (a - b)
            result[row] = weighted / x_total - np.log(x_total) + np.log(y_total)
        return result

    return logits_kl_divergence


def make_functions(fastmath):
    return {
        "kl_divergence": make_sum(kl_term, fastmath),
        "cross_entropy": make_sum(cross_entropy_term, fastmath),
        "entropy": make_sum(entropy_term, fastmath),
        "js_divergence": make_sum(js_term, fastmath),
        "logits.cross_entropy": make_logits_cross_entropy(fastmath),
        "logits.kl_divergence": make_logits_kl_divergence(fastmath),
    }
