"""Rows of more blocks than are shared out at a time: some thousand blocks are walked, and joined before the next ones are. The
bits are those of one thread, and the memory does not grow with the row."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import klfast
from klfast import logits

STATUS = Path("/proc/self/status")
BLOCK = 8192  # float32; of float64 half as many
AT_A_TIME = 1024  # blocks, for each thread; of rows that are walked together, their number's share of that
LENGTHS = [
    2 * AT_A_TIME * BLOCK,  # no more than are shared out at a time with two threads, one of them in the first place
    (2 * AT_A_TIME + 1) * BLOCK,
    (2 * AT_A_TIME + 1) * BLOCK + 1,
    (4 * AT_A_TIME + 1) * BLOCK + 5,
]
ALLOWED = 2_000_000  # bytes of resident memory, of a row whose blocks have 30 MB of states


def weights(length, seed, dtype):
    """Far from normalised, and far from even: what a sample guesses of the sum is poor."""
    return np.resize((np.random.default_rng(seed).random(min(length, 1_000_003)) ** 6 * 1e3).astype(dtype), length)


def same(call):
    one = call(1)
    for n_threads in (2, 3):
        for expected, found in zip(one, call(n_threads), strict=True):
            np.testing.assert_array_equal(found, expected, strict=True)
    return one


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_number(length, dtype):
    p, q = weights(length, 0, dtype), weights(length, 1, dtype)
    p[-1] = p.max() * length  # all but one-hot: walked again with care
    near = q * (1 + np.float32(1e-4) * np.resize(np.cos(np.arange(1001, dtype=dtype)), length))

    def call(n_threads):
        return (
            klfast.kl_divergence(p, q, n_threads=n_threads),
            klfast.kl_divergence(near, q, n_threads=n_threads),
            klfast.cross_entropy(p, p, n_threads=n_threads),
            klfast.js_divergence(p, q, n_threads=n_threads),
            logits.kl_divergence(p, q, n_threads=n_threads),
            logits.logsumexp(q, n_threads=n_threads),
        )

    assert np.isfinite(same(call)).all()


def test_columns():
    length = (2 * AT_A_TIME // 3 + 2) * BLOCK
    p, q = (weights(3 * length, seed, np.float32).reshape(-1, 3) for seed in range(2))
    same(lambda n_threads: (klfast.kl_divergence(p, q, axis=0, n_threads=n_threads),))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(20_001, 37), (900, 37)])
def test_columns_are_sampled_like_rows(shape, dtype):
    """What columns sum to is guessed line by line, what rows do one by one."""
    p, q = (weights(shape[0] * shape[1], seed, dtype).reshape(shape) for seed in range(2))
    q[:, ::2] /= q[:, ::2].sum(axis=0)  # some look normalised, and some not
    for function in (klfast.kl_divergence, klfast.cross_entropy):
        rows = function(np.ascontiguousarray(p.T), np.ascontiguousarray(q.T))
        np.testing.assert_array_equal(function(p, q, axis=0), rows, strict=True)


@pytest.mark.parametrize("length", [length // 4 for length in LENGTHS])  # blocks of logits are shorter
def test_what_is_written(length):
    x, y = weights(length, 0, np.float32), weights(length, 1, np.float32)

    def call(n_threads):
        grad_x, grad_y = logits.kl_divergence_grad(x, y, wrt="both", n_threads=n_threads)
        own = x.copy()
        logits.softmax(own, out=own, n_threads=n_threads)
        return grad_x, grad_y, own

    same(call)


@pytest.mark.skipif(not STATUS.exists(), reason="needs a system that tells the most memory that was resident")
def test_memory_does_not_grow_with_the_row():
    program = f"""
import re
import numpy as np
import klfast
p, q = (np.broadcast_to(np.float32(value), (800_000_000,)) for value in (0.5, 0.25))
# not resource.getrusage: that counts what the parent had
most = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", open("{STATUS}").read())[1])
klfast.kl_divergence(p[:10_000_000], q[:10_000_000], n_threads=2)
before = most()
assert klfast.kl_divergence(p, q, n_threads=2) == 0
assert most() - before < {ALLOWED}, most() - before
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


def test_columns_side_by_side_take_little_memory():
    """What threads leave of each block of them is 64 times what they leave of a single row's."""
    weights = np.random.default_rng(3).random(6_000_064).astype(np.float32)
    p, q = (np.lib.stride_tricks.as_strided(weights[start:], (2_900_000, 64), (8, 4)) for start in (0, 16))
    tracemalloc.start()
    try:
        klfast.kl_divergence(p, q, axis=0, n_threads=2)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 100_000 < most < 9_000_000  # two threads turn blocks of 16 columns into rows, 2.6 MB each
