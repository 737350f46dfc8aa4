"""Who takes part: for every package the functions that its user would write, gathered in the table LOADERS at the end.

A loader imports its package, sets its threads and returns its contestants; it raises ImportError where the package is missing.
To add a contestant, add it to a loader, or write a loader and name it in LOADERS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from _workloads import ELEMENTWISE, FLOATS, HALVES

EVERYTHING = (*FLOATS, *HALVES, "int32", "int64")


def unchanged(array):
    return array


@dataclass(frozen=True)
class Contestant:
    name: str
    package: str
    functions: dict[str, Callable]  # from the name of an operation to a function of its arrays
    convert: Callable = field(default=unchanged)  # from a NumPy array to the package's own, not timed
    to_numpy: Callable = field(default=unchanged)  # from a result to what NumPy can read, not timed
    dtypes: tuple[str, ...] = FLOATS
    any_layout: bool = False  # its functions take `axis`, and one row for many
    normalises: bool = False  # divides p and q by their sums; if not, it is held to the plain sum
    temporaries: int = 0  # arrays of the input's size that it may hold at once
    threads: str = "n_threads"  # how many threads it uses, if not the number asked for

    def can(self, workload):
        common = workload.axis == -1 and workload.kind != "one q"
        return workload.operation in self.functions and workload.dtype in self.dtypes and (common or self.any_layout)

    def call(self, workload, arrays):
        """The call to time: a function of nothing. Converts the arrays now."""
        return partial(self.functions[workload.operation], *map(self.convert, arrays), **workload.keywords)


def load_klfast(n_threads):
    import klfast

    klfast.set_num_threads(n_threads)
    functions = {
        "kl_divergence": klfast.kl_divergence,
        "cross_entropy": klfast.cross_entropy,
        "entropy": klfast.entropy,
        "js_divergence": klfast.js_divergence,
        "kl_divergence where": lambda p, q, where: klfast.kl_divergence(p, q, where=where),
        "logits.cross_entropy": klfast.logits.cross_entropy,
        "logits.kl_divergence": klfast.logits.kl_divergence,
        "entr": klfast.entr,
        "rel_entr": klfast.rel_entr,
        "kl_div": klfast.kl_div,
    }
    return [
        Contestant("klfast", "klfast", functions, dtypes=EVERYTHING, any_layout=True, normalises=True),
        Contestant("klfast with out=", "klfast", into_one_result(functions)),
    ]


def into_one_result(functions):
    """The elementwise functions of that table, writing into an array made once: new memory costs more than they do."""
    results = {}
    return {name: partial(_into_one_result, functions[name], results) for name in ELEMENTWISE}


def _into_one_result(function, results, *arrays):
    key = arrays[0].shape, arrays[0].dtype
    if key not in results:
        results.clear()
        results[key] = np.empty_like(arrays[0])
    return function(*arrays, out=results[key])


def load_read(n_threads):
    """The roofline: a compiled loop that does nothing but read the same bytes. It has no result to be right about.

    What others write it reads as well: as many bytes, of another array.
    """
    from klfast import _kernels

    def read(*arrays, axis=-1):
        if len(arrays) == 2 and arrays[0].size == arrays[1].size:
            _kernels.read_sum(*arrays, n_threads)
            return
        for array in arrays:
            _kernels.read_sum(array, None, n_threads)

    def with_result(results, *arrays):
        if results.get("bytes") != arrays[0].nbytes:
            results |= {"bytes": arrays[0].nbytes, "array": np.ones_like(arrays[0])}
        read(*arrays)
        read(results["array"])

    def as_doubles(array):
        """The same memory; for what would make strange doubles of it, other memory of that size."""
        if array.dtype.name in FLOATS:
            return array.reshape(-1).view(np.float64)
        return np.ones(array.nbytes // 8)

    reductions = ("kl_divergence", "cross_entropy", "entropy", "js_divergence", "kl_divergence where")
    functions = dict.fromkeys((*reductions, "logits.kl_divergence"), read)
    functions["logits.cross_entropy"] = lambda x, target: read(x)
    functions |= dict.fromkeys(ELEMENTWISE, partial(with_result, {}))
    return [Contestant("read", "klfast", functions, as_doubles, dtypes=EVERYTHING, any_layout=True)]


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

    def js_divergence(p, q, axis=-1):
        """Zeros make NaN of the textbook formula, so they are replaced where they do no harm."""
        m = (p + q) / 2
        from_p = p * np.log(np.where(p > 0, p / np.where(m > 0, m, 1), 1))
        from_q = q * np.log(np.where(q > 0, q / np.where(m > 0, m, 1), 1))
        return (from_p + from_q).sum(axis=axis) / 2

    functions = {
        "kl_divergence": lambda p, q, axis=-1: (p * np.log(p / q)).sum(axis=axis),
        "cross_entropy": lambda p, q, axis=-1: -(p * np.log(q)).sum(axis=axis),
        "entropy": lambda p, axis=-1: -(p * np.log(p)).sum(axis=axis),
        "js_divergence": js_divergence,
        "kl_divergence where": lambda p, q, where: (p * np.log(p / q)).sum(axis=-1, where=where),
        "logits.cross_entropy": logits_cross_entropy,
        "logits.kl_divergence": logits_kl_divergence,
        "entr": lambda p: -p * np.log(p),
        "rel_entr": lambda p, q: p * np.log(p / q),
        "kl_div": lambda p, q: p * np.log(p / q) - p + q,
    }
    return [Contestant("numpy", "numpy", functions, dtypes=EVERYTHING, any_layout=True, temporaries=3, threads="1")]


def load_scipy(n_threads):
    from scipy import spatial, special, stats

    def logits_cross_entropy(x, target):
        return special.logsumexp(x, axis=-1) - x[np.arange(len(x)), target]

    def logits_kl_divergence(x, y):
        log_p, log_q = special.log_softmax(x, axis=-1), special.log_softmax(y, axis=-1)
        return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)

    def js_divergence(p, q, axis=-1):
        m = (p + q) / 2
        return (special.rel_entr(p, m) + special.rel_entr(q, m)).sum(axis=axis) / 2

    plain = {
        "kl_divergence": lambda p, q, axis=-1: special.rel_entr(p, q).sum(axis=axis),
        "cross_entropy": lambda p, q, axis=-1: -special.xlogy(p, q).sum(axis=axis),
        "entropy": lambda p, axis=-1: special.entr(p).sum(axis=axis),
        "js_divergence": js_divergence,
        "kl_divergence where": lambda p, q, where: special.rel_entr(p, q).sum(axis=-1, where=where),
        "logits.cross_entropy": logits_cross_entropy,
        "logits.kl_divergence": logits_kl_divergence,
        "entr": special.entr,
        "rel_entr": special.rel_entr,
        "kl_div": special.kl_div,
    }
    normalised = {
        "kl_divergence": lambda p, q, axis=-1: stats.entropy(p, q, axis=axis),
        "entropy": lambda p, axis=-1: stats.entropy(p, axis=axis),
    }
    distance = {"js_divergence": lambda p, q, axis=-1: spatial.distance.jensenshannon(p, q, axis=axis) ** 2}
    dividing = {"normalises": True, "any_layout": True, "threads": "1"}
    known = tuple(dtype for dtype in EVERYTHING if dtype != "bfloat16")
    return [
        Contestant("scipy.special", "scipy", plain, dtypes=EVERYTHING, any_layout=True, temporaries=3, threads="1"),
        Contestant("scipy.special with out=", "scipy", into_one_result(plain), threads="1"),
        Contestant("scipy.stats.entropy", "scipy", normalised, dtypes=known, temporaries=4, **dividing),
        Contestant("scipy.spatial.distance", "scipy", distance, temporaries=6, **dividing),
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
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
        if array.dtype.kind in "iu" and array.ndim == 1:
            array = array.astype(np.int64)  # the only type of label that torch takes
        return torch.from_numpy(array)

    def kl_terms(p, q):
        return functional.kl_div(q.log(), p, reduction="none")

    def js_divergence(p, q, axis=-1):
        """By xlogy, as kl_div makes NaN of an entry that is 0 in both."""
        both = p + q
        terms = torch.xlogy(p, p) + torch.xlogy(q, q) - torch.xlogy(both, both / 2)
        return terms.sum(axis) / 2

    def kl_divergence(p, q, axis=-1):
        return (kl_terms(p, q) if p.dim() == q.dim() else kl_terms(p, q.expand_as(p))).sum(axis)

    def logits_kl_divergence(x, y):
        log_p, log_q = functional.log_softmax(x, dim=-1), functional.log_softmax(y, dim=-1)
        return functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)

    functions = {
        "kl_divergence": kl_divergence,
        "cross_entropy": lambda p, q, axis=-1: -torch.xlogy(p, q).sum(axis),
        "entropy": lambda p, axis=-1: torch.special.entr(p).sum(axis),
        "js_divergence": js_divergence,
        "kl_divergence where": lambda p, q, where: torch.where(where, kl_terms(p, q), 0).sum(-1),
        "logits.cross_entropy": lambda x, target: functional.cross_entropy(x, target, reduction="none"),
        "logits.kl_divergence": logits_kl_divergence,
        "entr": torch.special.entr,
        "rel_entr": kl_terms,
        "kl_div": lambda p, q: kl_terms(p, q) - p + q,
    }
    dtypes = (*FLOATS, *HALVES)
    as_doubles = torch.Tensor.double
    return [Contestant("torch", "torch", functions, convert, as_doubles, dtypes, any_layout=True, temporaries=4)]


def load_jax(n_threads):
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)  # otherwise float64 input would silently become float32

    def compiled(function, static_argnames=()):
        jitted = jax.jit(function, static_argnames=static_argnames)
        return lambda *arrays, **keywords: jitted(*arrays, **keywords).block_until_ready()

    along_axis = partial(compiled, static_argnames="axis")

    def logits_kl_divergence(x, y):
        log_p, log_q = jax.nn.log_softmax(x, axis=-1), jax.nn.log_softmax(y, axis=-1)
        return optax.losses.kl_divergence_with_log_targets(log_q, log_p)

    special = jax.scipy.special

    def js_divergence(p, q, axis=-1):
        m = (p + q) / 2
        return (special.rel_entr(p, m) + special.rel_entr(q, m)).sum(axis=axis) / 2

    def convert(array):
        return jnp.asarray(array) if array.dtype.name == "bfloat16" else jnp.from_dlpack(array)

    plain = {
        "kl_divergence": along_axis(lambda p, q, axis=-1: special.rel_entr(p, q).sum(axis=axis)),
        "cross_entropy": along_axis(lambda p, q, axis=-1: -special.xlogy(p, q).sum(axis=axis)),
        "entropy": along_axis(lambda p, axis=-1: special.entr(p).sum(axis=axis)),
        "js_divergence": along_axis(js_divergence),
        "kl_divergence where": compiled(lambda p, q, where: special.rel_entr(p, q).sum(axis=-1, where=where)),
        "entr": compiled(special.entr),
        "rel_entr": compiled(special.rel_entr),
        "kl_div": compiled(special.kl_div),
    }
    with_optax = {
        "kl_divergence": along_axis(lambda p, q, axis=-1: optax.losses.kl_divergence(jnp.log(q), p, axis=axis)),
        "logits.cross_entropy": compiled(optax.losses.softmax_cross_entropy_with_integer_labels),
        "logits.kl_divergence": compiled(logits_kl_divergence),
    }
    common = {"convert": convert, "any_layout": True, "threads": "its own choice"}
    return [
        Contestant("jax", "jax", plain, dtypes=EVERYTHING, temporaries=1, **common),
        Contestant("jax + optax", "jax", with_optax, temporaries=2, **common),
    ]


def load_numkong(n_threads):
    import numkong

    functions = {
        "kl_divergence": numkong.kullbackleibler,
        "js_divergence": lambda p, q: np.square(numkong.jensenshannon(p, q)),
    }
    return [Contestant("numkong", "numkong", functions, dtypes=(*FLOATS, *HALVES), threads="1")]


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
