"""klfast, and the baselines that all are put in relation to: a plain read, a plain copy, and klfast's own logsumexp."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _contestant import EVERYTHING, Contestant, chosen, with_out
from _workloads import (
    DISTANCES,
    DISTILLATION,
    ELEMENTWISE,
    FAMILIES,
    FLOATS,
    FULL_GAUSSIANS,
    GAUSSIANS,
    LOGITS,
    ORDERS,
    PROBABILITIES,
    SMOOTHING,
    TOP,
    USES,
    WRITES,
    n_read,
)


def load_klfast(n_threads):
    import klfast

    klfast.set_num_threads(n_threads)

    def of_logits(name, **options):
        return lambda *arrays, **keywords: getattr(klfast.logits, name)(*arrays, **options, **keywords)

    def renyi(order):
        return lambda p, q, **keywords: klfast.renyi_divergence(p, q, order, **keywords)

    def estimate(kind, **options):
        def of_tokens(logp, ref_logp, mask, **keywords):
            return klfast.rlhf.kl_estimate(logp, ref_logp, kind, mask, **options, **keywords)

        return of_tokens

    def gaussian_value_and_gradients(mu, logvar, **keywords):
        """The gradients of the mean over the rows."""
        function = klfast.gaussian.kl_standard_normal_value_and_grad
        value, gradients = function(mu, logvar, grad_output=1 / len(mu), **keywords)
        return value, *gradients

    functions = {
        "kl_divergence": klfast.kl_divergence,
        "cross_entropy": klfast.cross_entropy,
        "entropy": klfast.entropy,
        "js_divergence": klfast.js_divergence,
        **{name: getattr(klfast, name) for name in DISTANCES if not name.startswith("renyi")},
        **{f"renyi_divergence {name}": renyi(order) for name, order in ORDERS.items()},
        "kl_divergence where": lambda p, q, where: klfast.kl_divergence(p, q, where=where),
        "entr": klfast.entr,
        "rel_entr": klfast.rel_entr,
        "kl_div": klfast.kl_div,
        "logits.cross_entropy": klfast.logits.cross_entropy,
        "logits.cross_entropy label_smoothing": of_logits("cross_entropy", label_smoothing=SMOOTHING),
        "logits.cross_entropy weight": lambda x, target, weight: klfast.logits.cross_entropy(x, target, weight=weight),
        "logits.cross_entropy soft targets": klfast.logits.cross_entropy,
        "logits.cross_entropy_value_and_grad": of_logits("cross_entropy_value_and_grad", reduction="mean"),
        "logits.token_logprobs": of_logits("token_logprobs"),
        "logits.entropy": klfast.logits.entropy,
        "logits.logsumexp": klfast.logits.logsumexp,
        "logits.softmax": of_logits("softmax"),
        "logits.log_softmax": of_logits("log_softmax"),
        "logits.kl_divergence": klfast.logits.kl_divergence,
        "logits.js_divergence": klfast.logits.js_divergence,
        "logits.kl_divergence_grad": of_logits("kl_divergence_grad", wrt="both"),
        "logits.js_divergence_grad": of_logits("js_divergence_grad", wrt="both"),
        "rlhf.kl_estimate k1": estimate("k1", reduction="token_mean"),
        "rlhf.kl_estimate k2": estimate("k2", reduction="token_mean"),
        "rlhf.kl_estimate k3": estimate("k3", reduction="token_mean"),
        "rlhf.kl_estimate k3 none": estimate("k3", reduction="none"),
        "gaussian.kl_standard_normal": klfast.gaussian.kl_standard_normal,
        "gaussian.kl_standard_normal_value_and_grad": gaussian_value_and_gradients,
        "distill.topk": lambda x: klfast.distill.topk(x, TOP),
        "distill.topk_kl": lambda x, logprobs, ids: klfast.distill.topk_kl(logprobs, ids, x),
    }
    functions |= {name: getattr(klfast.families, name.removeprefix("families.")) for name in FAMILIES}
    functions[FULL_GAUSSIANS] = klfast.gaussian.kl_divergence_full
    return [
        Contestant("klfast", "klfast", functions, dtypes=EVERYTHING, any_layout=True, normalises=True),
        Contestant(
            "klfast with out=", "klfast", with_out(chosen(functions, WRITES)), dtypes=(*FLOATS, "float16", "bfloat16")
        ),
    ]


def load_read(n_threads):
    """The roofline: a compiled loop that does nothing but read the same bytes. It has no result to be right about.

    What others write it reads as well: as many bytes, of another array.
    """
    from klfast import _kernels

    ones = {}

    def reader(operation):
        def read(*arrays, axis=-1):
            read_through(arrays[: n_read(operation, len(arrays))])
            for _ in range(WRITES.get(operation, 0)):
                read_through([as_many_ones(arrays[0])])

        return read

    def read_through(arrays):
        if len(arrays) == 2 and arrays[0].size == arrays[1].size:
            _kernels.read_sum(*arrays, n_threads)
            return
        for array in arrays:
            _kernels.read_sum(array, None, n_threads)

    def as_many_ones(array):
        if array.size not in ones:
            ones.clear()
            ones[array.size] = np.ones_like(array)
        return ones[array.size]

    def as_doubles(array):
        """The same memory; for what would make strange doubles of it, other memory of that size."""
        if array.dtype.name in FLOATS and array.nbytes % 8 == 0:
            return array.reshape(-1).view(np.float64)
        return np.ones(array.nbytes // 8)

    names = (*PROBABILITIES, "js_divergence", *DISTANCES, "kl_divergence where", *ELEMENTWISE, *LOGITS, *USES, *FAMILIES)
    functions = {name: reader(name) for name in (*names, FULL_GAUSSIANS)}
    options = {"dtypes": EVERYTHING, "any_layout": True, "is_baseline": True}
    return [Contestant("read", "klfast", functions, as_doubles, **options)]


def load_copy(n_threads):
    """The limit of what reads arrays once and writes as much: np.copyto into memory that is there, a part for each thread."""
    helpers = ThreadPoolExecutor(max(1, n_threads - 1))
    results = {}

    def copier(operation):
        def copy(*arrays, axis=-1):
            for position, array in enumerate(arrays[: WRITES[operation]]):
                copy_in_parts(as_bytes(result_like(array, position)), as_bytes(array))

        return copy

    def result_like(array, position):
        key = position, array.nbytes
        if key not in results:
            for old in [old for old in results if old[0] == position]:
                del results[old]
            results[key] = np.empty_like(array)
        return results[key]

    def as_bytes(array):
        return array.reshape(-1).view(np.uint8)

    def copy_in_parts(result, array):
        edges = [array.size * part // n_threads // 64 * 64 for part in range(n_threads)] + [array.size]
        parts = [slice(*edge) for edge in zip(edges, edges[1:])]
        waiting = [helpers.submit(np.copyto, result[part], array[part]) for part in parts[1:]]
        np.copyto(result[parts[0]], array[parts[0]])
        for future in waiting:
            future.result()

    functions = {name: copier(name) for name in WRITES if name in LOGITS or name in GAUSSIANS}
    return [Contestant("copy", "numpy", functions, dtypes=EVERYTHING, any_layout=True, is_baseline=True)]


def load_logsumexp(n_threads):
    """klfast's logsumexp of the same logits, for operations that are little more than that and write no array."""
    import klfast

    def logsumexp(x, *others, axis=-1):
        return klfast.logits.logsumexp(x, axis=axis)

    names = [name for name, takes in LOGITS.items() if takes.count("logits") == 1 and name not in WRITES]
    names += DISTILLATION
    functions = {name: logsumexp for name in names if name != "logits.logsumexp"}
    return [Contestant("logsumexp", "klfast", functions, dtypes=EVERYTHING, any_layout=True, is_baseline=True)]


OWN_LOADERS = (load_klfast, load_read, load_copy, load_logsumexp)
