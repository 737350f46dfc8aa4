"""The twins of log-probabilities: logits of which softmax changes nothing but what rounding left of their normalisation."""

from klfast._reference import logits
from klfast._reference.shared import in_base, total_of


def entropy(lp, *, axis=-1, keepdims=False, where=None, base=None):
    """-sum p*log p with p = exp(lp)."""
    return logits.entropy(lp, axis=axis, keepdims=keepdims, where=where, base=base)


def cross_entropy(lp, lq, *, axis=-1, keepdims=False, where=None, base=None):
    """-sum p*log q with p = exp(lp) and q = exp(lq)."""
    log_p, log_q = logits.pair(lp, lq, axis, where, 1.0)
    return in_base(total_of(-logits.expectation(log_p, log_q), axis, keepdims, True), base)


def kl_divergence(lp, lq, *, axis=-1, keepdims=False, where=None, base=None):
    """sum p*log(p/q) with p = exp(lp) and q = exp(lq)."""
    return logits.kl_divergence(lp, lq, axis=axis, keepdims=keepdims, where=where, base=base)


def js_divergence(lp, lq, *, beta=0.5, axis=-1, keepdims=False, where=None, base=None):
    """beta*D(p || m) + (1 - beta)*D(q || m) with m = beta*p + (1 - beta)*q, p = exp(lp) and q = exp(lq)."""
    return logits.js_divergence(lp, lq, beta=beta, axis=axis, keepdims=keepdims, where=where, base=base)


def js_distance(lp, lq, *, beta=0.5, axis=-1, keepdims=False, where=None, base=None):
    """The square root of `js_divergence`, taken in that base."""
    return logits.js_distance(lp, lq, beta=beta, axis=axis, keepdims=keepdims, where=where, base=base)
