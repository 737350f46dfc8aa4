"""What numpy users write for what KL is used for."""

import numpy as np
from _workloads import TOP


def numpy_uses():
    def mean_of(estimator):
        return lambda logp, ref_logp, mask: (estimator(ref_logp - logp) * mask).sum() / mask.sum()

    def k3(r):
        return np.exp(r) - 1 - r

    def gaussian(mu, logvar):
        return 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum(-1)

    def gaussian_value_and_gradients(mu, logvar):
        variance = np.exp(logvar)
        value = 0.5 * (variance + mu**2 - 1 - logvar).sum(-1)
        return value, mu / len(mu), (variance - 1) / (2 * len(mu))

    def logsumexp(x):
        maximum = x.max(axis=-1, keepdims=True)
        return np.log(np.exp(x - maximum).sum(axis=-1, keepdims=True)) + maximum

    def topk(x):
        ids = np.argpartition(x, -TOP, axis=-1)[..., -TOP:]
        values = np.take_along_axis(x, ids, axis=-1)
        order = np.argsort(-values, axis=-1)
        logprobs = np.take_along_axis(values, order, axis=-1) - logsumexp(x)
        return logprobs, np.take_along_axis(ids, order, axis=-1), 1 - np.exp(logprobs).sum(axis=-1)

    def with_rest(logprobs):
        rest = np.log(np.maximum(1 - np.exp(logprobs).sum(axis=-1, keepdims=True), 1e-30))
        return np.concatenate([logprobs, rest], axis=-1)

    def topk_kl(x, logprobs, ids):
        log_p = with_rest(logprobs)
        log_q = with_rest(np.take_along_axis(x, ids, axis=-1) - logsumexp(x))
        return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)

    return {
        "rlhf.kl_estimate k1": mean_of(np.negative),
        "rlhf.kl_estimate k2": mean_of(lambda r: r**2 / 2),
        "rlhf.kl_estimate k3": mean_of(k3),
        "rlhf.kl_estimate k3 none": lambda logp, ref_logp, mask: k3(ref_logp - logp) * mask,
        "gaussian.kl_standard_normal": gaussian,
        "gaussian.kl_standard_normal_value_and_grad": gaussian_value_and_gradients,
        "distill.topk": topk,
        "distill.topk_kl": topk_kl,
    }
