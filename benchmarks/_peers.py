"""Who takes part: for every package the functions that its user would write, gathered in PEER_LOADERS at the end.

A loader imports its package, sets its threads and returns its contestants; it raises ImportError where the package is missing.
To add a contestant, add it to a loader, or write a loader and name it there. What is written for logits is in
_logits_*.py, for what KL is used for in _uses_*.py.
"""

from functools import partial

import numpy as np
from _contestant import EVERYTHING, Contestant, chosen, with_out
from _distances import textbook_distances
from _families import textbook, torch_families
from _full_gaussians import numpy_full_gaussian, torch_full_gaussian
from _logits_jax import jax_logits
from _logits_numpy import numpy_logits, scipy_logits
from _logits_torch import torch_logits
from _own import OWN_LOADERS
from _uses_jax import jax_uses
from _uses_numpy import numpy_uses
from _uses_torch import torch_uses
from _workloads import ELEMENTWISE, FLOATS, FULL_GAUSSIANS, HALVES


def load_numpy(n_threads):
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
        "entr": lambda p: -p * np.log(p),
        "rel_entr": lambda p, q: p * np.log(p / q),
        "kl_div": lambda p, q: p * np.log(p / q) - p + q,
    } | numpy_logits()
    functions |= textbook_distances(np) | numpy_uses() | {FULL_GAUSSIANS: numpy_full_gaussian}
    return [Contestant("numpy", "numpy", functions, dtypes=EVERYTHING, any_layout=True, temporaries=3, threads="1")]


def load_scipy(n_threads):
    from scipy import spatial, special, stats

    def js_divergence(p, q, axis=-1):
        m = (p + q) / 2
        return (special.rel_entr(p, m) + special.rel_entr(q, m)).sum(axis=axis) / 2

    plain = {
        "kl_divergence": lambda p, q, axis=-1: special.rel_entr(p, q).sum(axis=axis),
        "cross_entropy": lambda p, q, axis=-1: -special.xlogy(p, q).sum(axis=axis),
        "entropy": lambda p, axis=-1: special.entr(p).sum(axis=axis),
        "js_divergence": js_divergence,
        "kl_divergence where": lambda p, q, where: special.rel_entr(p, q).sum(axis=-1, where=where),
        "entr": special.entr,
        "rel_entr": special.rel_entr,
        "kl_div": special.kl_div,
    } | scipy_logits()
    plain |= textbook(np, special)
    normalised = {
        "kl_divergence": lambda p, q, axis=-1: stats.entropy(p, q, axis=axis),
        "entropy": lambda p, axis=-1: stats.entropy(p, axis=axis),
    }
    distance = {"js_divergence": lambda p, q, axis=-1: spatial.distance.jensenshannon(p, q, axis=axis) ** 2}
    dividing = {"normalises": True, "any_layout": True, "threads": "1"}
    known = tuple(dtype for dtype in EVERYTHING if dtype != "bfloat16")
    return [
        Contestant("scipy.special", "scipy", plain, dtypes=EVERYTHING, any_layout=True, temporaries=3, threads="1"),
        Contestant("scipy.special with out=", "scipy", with_out(chosen(plain, ELEMENTWISE)), threads="1"),
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
        if array.dtype.kind in "iu":
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

    functions = {
        "kl_divergence": kl_divergence,
        "cross_entropy": lambda p, q, axis=-1: -torch.xlogy(p, q).sum(axis),
        "entropy": lambda p, axis=-1: torch.special.entr(p).sum(axis),
        "js_divergence": js_divergence,
        "kl_divergence where": lambda p, q, where: torch.where(where, kl_terms(p, q), 0).sum(-1),
        "entr": torch.special.entr,
        "rel_entr": kl_terms,
        "kl_div": lambda p, q: kl_terms(p, q) - p + q,
    } | textbook_distances(torch)
    in_place = {
        "logits.softmax": lambda x, out: torch.softmax(x, -1, out=out),
        "logits.log_softmax": lambda x, out: torch.log_softmax(x, -1, out=out),
    }
    common = {"convert": convert, "to_numpy": torch.Tensor.double, "temporaries": 4}
    return [
        Contestant(
            "torch",
            "torch",
            functions | torch_logits() | torch_uses() | torch_families() | {FULL_GAUSSIANS: torch_full_gaussian()},
            dtypes=(*FLOATS, *HALVES),
            any_layout=True,
            **common,
        ),
        Contestant("torch with out=", "torch", with_out(in_place, torch.empty_like), **common),
        Contestant("torch, .float() first", "torch", torch_logits(torch.Tensor.float), dtypes=HALVES, **common),
    ]


def load_jax(n_threads):
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)  # otherwise float64 input would silently become float32

    def compiled(function, static_argnames=()):
        jitted = jax.jit(function, static_argnames=static_argnames)
        return lambda *arrays, **keywords: jax.block_until_ready(jitted(*arrays, **keywords))

    along_axis = partial(compiled, static_argnames="axis")
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
        "kl_divergence": along_axis(lambda p, q, axis=-1: optax.losses.kl_divergence(jnp.log(q), p, axis=axis))
    }
    plain |= {name: compiled(function) for name, function in textbook_distances(jnp).items()}
    logits = {name: along_axis(function) for name, function in jax_logits().items()}
    # not of full covariances: jax 0.10 does not come back from some hundreds of small matrices with two cores
    uses = {name: compiled(function) for name, function in (jax_uses() | textbook(jnp, special)).items()}
    widened = {name: along_axis(function) for name, function in jax_logits(jnp.float32).items()}
    common = {"convert": convert, "any_layout": True, "threads": "its own choice"}
    floats = (*FLOATS, *HALVES)
    return [
        Contestant("jax", "jax", plain | uses, dtypes=EVERYTHING, temporaries=1, **common),
        Contestant("jax + optax", "jax", with_optax | logits, dtypes=floats, temporaries=2, **common),
        Contestant("jax + optax, as float32 first", "jax", widened, dtypes=HALVES, temporaries=2, **common),
    ]


def load_numkong(n_threads):
    import numkong

    functions = {
        "kl_divergence": numkong.kullbackleibler,
        "js_divergence": lambda p, q: np.square(numkong.jensenshannon(p, q)),
    }
    return [Contestant("numkong", "numkong", functions, dtypes=(*FLOATS, *HALVES), threads="1")]


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
    contestants = [contestant for load in OWN_LOADERS for contestant in load(n_threads)]
    missing = {}
    for package in peers:
        try:
            contestants += PEER_LOADERS[package](n_threads)
        except ImportError as error:
            missing[package] = str(error)
    return contestants, missing
