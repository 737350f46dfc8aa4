"""Who takes part: for every package the functions that its user would write, gathered in the table LOADERS at the end.

A loader imports its package, sets its threads and returns its contestants; it raises ImportError where the package is missing.
To add a contestant, add it to a loader, or write a loader and name it in LOADERS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


def unchanged(array):
    return array


@dataclass(frozen=True)
class Contestant:
    name: str
    package: str
    functions: dict[str, Callable]  # from the name of an operation to a function of its arrays
    convert: Callable = field(default=unchanged)  # from a NumPy array to the package's own, not timed
    normalises: bool = False  # divides p and q by their sums; if not, it is held to the plain sum
    temporaries: int = 0  # arrays of the input's size that it may hold at once
    threads: str = "n_threads"  # how many threads it uses, if not the number asked for


def load_klfast(n_threads):
    import klfast

    klfast.set_num_threads(n_threads)
    functions = {
        "kl_divergence": klfast.kl_divergence,
        "cross_entropy": klfast.cross_entropy,
        "entropy": klfast.entropy,
        "logits.cross_entropy": klfast.logits.cross_entropy,
        "logits.kl_divergence": klfast.logits.kl_divergence,
    }
    return [Contestant("klfast", "klfast", functions, normalises=True)]


def load_read(n_threads):
    """The roofline: a compiled loop that does nothing but read the same bytes. It has no result to be right about."""
    from klfast import _kernels

    def read(a, b=None):
        return _kernels.read_sum(a, b, n_threads)

    functions = {
        "kl_divergence": read,
        "cross_entropy": read,
        "entropy": read,
        "logits.cross_entropy": lambda x, target: read(x),
        "logits.kl_divergence": read,
    }

    def as_doubles(array):
        return array.reshape(-1).view(np.float64) if array.dtype.kind == "f" else array

    return [Contestant("read", "klfast", functions, convert=as_doubles)]


def load_numpy(n_threads):
    def log_softmax(x):
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    def logits_cross_entropy(x, target):
        maximum = x.max(axis=-1)
        logsumexp = np.log(np.exp(x - maximum[:, None]).sum(axis=-1)) + maximum
        return logsumexp - x[np.arange(len(x)), target]

    def logits_kl_divergence(x, y):
        log_p, log_q = log_softmax(x), log_softmax(y)
        return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)

    functions = {
        "kl_divergence": lambda p, q: (p * np.log(p / q)).sum(axis=-1),
        "cross_entropy": lambda p, q: -(p * np.log(q)).sum(axis=-1),
        "entropy": lambda p: -(p * np.log(p)).sum(axis=-1),
        "logits.cross_entropy": logits_cross_entropy,
        "logits.kl_divergence": logits_kl_divergence,
    }
    return [Contestant("numpy", "numpy", functions, temporaries=3, threads="1")]


def load_scipy(n_threads):
    from scipy import special, stats

    def logits_cross_entropy(x, target):
        return special.logsumexp(x, axis=-1) - x[np.arange(len(x)), target]

    def logits_kl_divergence(x, y):
        log_p, log_q = special.log_softmax(x, axis=-1), special.log_softmax(y, axis=-1)
        return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)

    plain = {
        "kl_divergence": lambda p, q: special.rel_entr(p, q).sum(axis=-1),
        "cross_entropy": lambda p, q: -special.xlogy(p, q).sum(axis=-1),
        "entropy": lambda p: special.entr(p).sum(axis=-1),
        "logits.cross_entropy": logits_cross_entropy,
        "logits.kl_divergence": logits_kl_divergence,
    }
    normalised = {
        "kl_divergence": lambda p, q: stats.entropy(p, q, axis=-1),
        "entropy": lambda p: stats.entropy(p, axis=-1),
    }
    return [
        Contestant("scipy.special", "scipy", plain, temporaries=3, threads="1"),
        Contestant("scipy.stats.entropy", "scipy", normalised, normalises=True, temporaries=4, threads="1"),
    ]


def load_numba(n_threads):
    import numba
    from _numba_peer import make_functions

    numba.set_num_threads(n_threads)
    return [
        Contestant("numba", "numba", make_functions(fastmath=False)),
        Contestant("numba fastmath", "numba", make_functions(fastmath=True)),
    ]


def load_torch(n_threads):
    import torch
    from torch.nn import functional

    torch.set_num_threads(n_threads)

    def convert(array):
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)  # the only type of label that torch takes
        return torch.from_numpy(array)

    def logits_kl_divergence(x, y):
        log_p, log_q = functional.log_softmax(x, dim=-1), functional.log_softmax(y, dim=-1)
        return functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)

    functions = {
        "kl_divergence": lambda p, q: functional.kl_div(q.log(), p, reduction="none").sum(dim=-1),
        "cross_entropy": lambda p, q: -torch.xlogy(p, q).sum(dim=-1),
        "entropy": lambda p: torch.special.entr(p).sum(dim=-1),
        "logits.cross_entropy": lambda x, target: functional.cross_entropy(x, target, reduction="none"),
        "logits.kl_divergence": logits_kl_divergence,
    }
    return [Contestant("torch", "torch", functions, convert, temporaries=4)]


def load_jax(n_threads):
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)  # otherwise float64 input would silently become float32

    def compiled(function):
        jitted = jax.jit(function)
        return lambda *arrays: jitted(*arrays).block_until_ready()

    def logits_kl_divergence(x, y):
        log_p, log_q = jax.nn.log_softmax(x, axis=-1), jax.nn.log_softmax(y, axis=-1)
        return optax.losses.kl_divergence_with_log_targets(log_q, log_p)

    plain = {
        "kl_divergence": compiled(lambda p, q: jax.scipy.special.rel_entr(p, q).sum(axis=-1)),
        "cross_entropy": compiled(lambda p, q: -jax.scipy.special.xlogy(p, q).sum(axis=-1)),
        "entropy": compiled(lambda p: jax.scipy.special.entr(p).sum(axis=-1)),
    }
    with_optax = {
        "kl_divergence": compiled(lambda p, q: optax.losses.kl_divergence(jnp.log(q), p)),
        "logits.cross_entropy": compiled(optax.losses.softmax_cross_entropy_with_integer_labels),
        "logits.kl_divergence": compiled(logits_kl_divergence),
    }
    return [
        Contestant("jax", "jax", plain, jnp.from_dlpack, temporaries=1, threads="its own choice"),
        Contestant("jax + optax", "jax", with_optax, jnp.from_dlpack, temporaries=2, threads="its own choice"),
    ]


def load_numkong(n_threads):
    import numkong

    functions = {"kl_divergence": numkong.kullbackleibler}
    return [Contestant("numkong", "numkong", functions, threads="1")]


OWN_LOADERS = {"klfast": load_klfast, "read": load_read}
PEER_LOADERS = {
    "numpy": load_numpy,
    "scipy": load_scipy,
    "numba": load_numba,
    "torch": load_torch,
    "jax": load_jax,
    "numkong": load_numkong,
}


def load_contestants(peers, n_threads):
    """The contestants of klfast and of the named peers, and a dictionary that says why a peer is missing."""
    contestants = [contestant for load in OWN_LOADERS.values() for contestant in load(n_threads)]
    missing = {}
    for package in peers:
        try:
            contestants += PEER_LOADERS[package](n_threads)
        except ImportError as error:
            missing[package] = str(error)
    return contestants, missing
