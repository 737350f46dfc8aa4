"""What torch users write for logits."""

from _contestant import unchanged
from _workloads import SMOOTHING


def torch_logits(prepare=unchanged):
    """The functions, with what is done to the logits first."""
    import torch
    from torch.nn import functional

    def one(function):
        return lambda x, *others, axis=-1: function(prepare(x), *others, axis)

    def pair(function):
        return lambda x, y, axis=-1: function(prepare(x), prepare(y), axis)

    def cross_entropy(**options):
        """torch wants the classes along axis 1, where all workloads have them."""
        return one(lambda x, target, axis: functional.cross_entropy(x, target, reduction="none", **options))

    def weighted(x, target, weight, axis):
        return functional.cross_entropy(x, target, weight, reduction="none")

    def value_and_gradient(x, target, axis):
        x = x.detach().requires_grad_()
        loss = functional.cross_entropy(x, target)
        return loss.detach(), *torch.autograd.grad(loss, x)

    def token_logprobs(x, target, axis):
        return functional.log_softmax(x, axis).gather(axis, target.unsqueeze(axis)).squeeze(axis)

    def entropy(x, axis):
        log_p = functional.log_softmax(x, axis)
        return -(log_p.exp() * log_p).sum(axis)

    def kl_terms(log_p, log_q):
        return functional.kl_div(log_q, log_p, reduction="none", log_target=True)

    def kl_divergence(x, y, axis):
        return kl_terms(functional.log_softmax(x, axis), functional.log_softmax(y, axis)).sum(axis)

    def gradients(divergence):
        def by_both(x, y, axis):
            x, y = (array.detach().requires_grad_() for array in (x, y))
            return torch.autograd.grad(divergence(x, y, axis).sum(), (x, y))

        return pair(by_both)

    def js_divergence(x, y, axis):
        log_p, log_q = functional.log_softmax(x, axis), functional.log_softmax(y, axis)
        log_middle = torch.logaddexp(log_p, log_q) - torch.tensor(2.0).log()
        return (kl_terms(log_p, log_middle) + kl_terms(log_q, log_middle)).sum(axis) / 2

    return {
        "logits.cross_entropy": cross_entropy(),
        "logits.cross_entropy label_smoothing": cross_entropy(label_smoothing=SMOOTHING),
        "logits.cross_entropy weight": one(weighted),
        "logits.cross_entropy soft targets": pair(
            lambda x, target, axis: functional.cross_entropy(x, target, reduction="none")
        ),
        "logits.cross_entropy_value_and_grad": one(value_and_gradient),
        "logits.token_logprobs": one(token_logprobs),
        "logits.entropy": one(entropy),
        "logits.logsumexp": one(torch.logsumexp),
        "logits.softmax": one(functional.softmax),
        "logits.log_softmax": one(functional.log_softmax),
        "logits.kl_divergence": pair(kl_divergence),
        "logits.kl_divergence_grad": gradients(kl_divergence),
        "logits.js_divergence_grad": gradients(js_divergence),
        "logits.js_divergence": pair(js_divergence),
    }
