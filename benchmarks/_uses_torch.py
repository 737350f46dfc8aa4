"""What torch users write for what KL is used for."""

from _workloads import TOP


def torch_uses():
    import torch
    from torch.nn import functional

    def mean_of(estimator):
        return lambda logp, ref_logp, mask: (estimator(ref_logp - logp) * mask).sum() / mask.sum()

    def k3(r):
        return r.exp() - 1 - r

    def gaussian(mu, logvar):
        return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(-1)

    def gaussian_value_and_gradients(mu, logvar):
        mu, logvar = (array.detach().requires_grad_() for array in (mu, logvar))
        value = gaussian(mu, logvar)
        return value.detach(), *torch.autograd.grad(value.mean(), (mu, logvar))

    def topk(x):
        logprobs, ids = functional.log_softmax(x, -1).topk(TOP)
        return logprobs, ids, 1 - logprobs.exp().sum(-1)

    def with_rest(logprobs):
        rest = (1 - logprobs.exp().sum(-1, keepdim=True)).clamp_min(1e-30).log()
        return torch.cat([logprobs, rest], -1)

    def topk_kl(x, logprobs, ids):
        kept = functional.log_softmax(x, -1).gather(-1, ids)
        terms = functional.kl_div(with_rest(kept), with_rest(logprobs), reduction="none", log_target=True)
        return terms.sum(-1)

    return {
        "rlhf.kl_estimate k1": mean_of(torch.neg),
        "rlhf.kl_estimate k2": mean_of(lambda r: r**2 / 2),
        "rlhf.kl_estimate k3": mean_of(k3),
        "rlhf.kl_estimate k3 none": lambda logp, ref_logp, mask: k3(ref_logp - logp) * mask,
        "gaussian.kl_standard_normal": gaussian,
        "gaussian.kl_standard_normal_value_and_grad": gaussian_value_and_gradients,
        "distill.topk": topk,
        "distill.topk_kl": topk_kl,
    }
