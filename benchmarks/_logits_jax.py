"""What jax and optax users write for logits. The caller compiles the functions, so that no array between is made."""

from _workloads import SMOOTHING


def jax_logits(dtype=None):
    """The functions, which widen the logits to a type first, if one is given."""
    import jax
    import jax.numpy as jnp
    import optax

    losses, log_softmax = optax.losses, jax.nn.log_softmax
    with_labels = losses.softmax_cross_entropy_with_integer_labels

    def prepare(array):
        return array if dtype is None else array.astype(dtype)

    def one(function):
        return lambda x, *others, axis=-1: function(prepare(x), *others, axis)

    def pair(function):
        return lambda x, y, axis=-1: function(prepare(x), prepare(y), axis)

    def smoothed(x, target, axis):
        labels = jax.nn.one_hot(target, x.shape[axis], axis=axis, dtype=x.dtype)
        return losses.softmax_cross_entropy(x, optax.smooth_labels(labels, SMOOTHING), axis)

    def value_and_gradient(x, target, axis):
        return jax.value_and_grad(lambda x: with_labels(x, target, axis).mean())(x)

    def token_logprobs(x, target, axis):
        return jnp.take_along_axis(log_softmax(x, axis), jnp.expand_dims(target, axis), axis).squeeze(axis)

    def entropy(x, axis):
        log_p = log_softmax(x, axis)
        return -(jnp.exp(log_p) * log_p).sum(axis)

    def kl_divergence(x, y, axis):
        return losses.kl_divergence_with_log_targets(log_softmax(y, axis), log_softmax(x, axis), axis)

    def gradients(divergence):
        return pair(lambda x, y, axis: jax.grad(lambda x, y: divergence(x, y, axis).sum(), argnums=(0, 1))(x, y))

    def js_divergence(x, y, axis):
        log_p, log_q = log_softmax(x, axis), log_softmax(y, axis)
        log_middle = jnp.logaddexp(log_p, log_q) - jnp.log(2).astype(x.dtype)
        from_p, from_q = (losses.kl_divergence_with_log_targets(log_middle, log, axis) for log in (log_p, log_q))
        return (from_p + from_q) / 2

    return {
        "logits.cross_entropy": one(with_labels),
        "logits.cross_entropy label_smoothing": one(smoothed),
        "logits.cross_entropy weight": one(
            lambda x, target, weight, axis: weight[target] * with_labels(x, target, axis)
        ),
        "logits.cross_entropy soft targets": pair(losses.softmax_cross_entropy),
        "logits.cross_entropy_value_and_grad": one(value_and_gradient),
        "logits.token_logprobs": one(token_logprobs),
        "logits.entropy": one(entropy),
        "logits.logsumexp": one(jax.nn.logsumexp),
        "logits.softmax": one(jax.nn.softmax),
        "logits.log_softmax": one(log_softmax),
        "logits.kl_divergence": pair(kl_divergence),
        "logits.kl_divergence_grad": gradients(kl_divergence),
        "logits.js_divergence_grad": gradients(js_divergence),
        "logits.js_divergence": pair(js_divergence),
    }
