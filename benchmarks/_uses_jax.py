"""What jax users write for what KL is used for. The caller compiles the functions, so that no array between is made."""

from _workloads import TOP


def jax_uses():
    import jax
    import jax.numpy as jnp

    def mean_of(estimator):
        return lambda logp, ref_logp, mask: (estimator(ref_logp - logp) * mask).sum() / mask.sum()

    def k3(r):
        return jnp.exp(r) - 1 - r

    def gaussian(mu, logvar):
        return 0.5 * (jnp.exp(logvar) + mu**2 - 1 - logvar).sum(-1)

    def gaussian_value_and_gradients(mu, logvar):
        value, pull_back = jax.vjp(gaussian, mu, logvar)
        return value, *pull_back(jnp.full_like(value, 1 / len(mu)))

    def topk(x):
        logprobs, ids = jax.lax.top_k(jax.nn.log_softmax(x), TOP)
        return logprobs, ids, 1 - jnp.exp(logprobs).sum(-1)

    def with_rest(logprobs):
        rest = jnp.log(jnp.maximum(1 - jnp.exp(logprobs).sum(-1, keepdims=True), 1e-30))
        return jnp.concatenate([logprobs, rest], -1)

    def topk_kl(x, logprobs, ids):
        log_p = with_rest(logprobs)
        log_q = with_rest(jnp.take_along_axis(jax.nn.log_softmax(x), ids, -1))
        return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)

    return {
        "rlhf.kl_estimate k1": mean_of(jnp.negative),
        "rlhf.kl_estimate k2": mean_of(lambda r: r**2 / 2),
        "rlhf.kl_estimate k3": mean_of(k3),
        "rlhf.kl_estimate k3 none": lambda logp, ref_logp, mask: k3(ref_logp - logp) * mask,
        "gaussian.kl_standard_normal": gaussian,
        "gaussian.kl_standard_normal_value_and_grad": gaussian_value_and_gradients,
        "distill.topk": topk,
        "distill.topk_kl": topk_kl,
    }
