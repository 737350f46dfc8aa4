"""Logits: any real scores, of which the softmax is meant. -inf says that a class is impossible.

Softmax is stored by those functions alone that return it. In all functions a row with NaN or +inf gives NaN, and so does
one that is all -inf or empty.
"""

from klfast.logits._cross_entropy import (
    cross_entropy,
    cross_entropy_grad,
    cross_entropy_value_and_grad,
    token_logprobs,
)
from klfast.logits._gradients import (
    entropy_grad,
    entropy_value_and_grad,
    js_divergence_grad,
    js_divergence_value_and_grad,
    kl_divergence_grad,
    kl_divergence_value_and_grad,
)
from klfast.logits._rows import compare_rows
from klfast.logits._softmax import log_softmax, softmax
from klfast.logits._values import entropy, js_distance, js_divergence, kl_divergence, logsumexp

__all__ = [
    "compare_rows",
    "cross_entropy",
    "cross_entropy_grad",
    "cross_entropy_value_and_grad",
    "entropy",
    "entropy_grad",
    "entropy_value_and_grad",
    "js_distance",
    "js_divergence",
    "js_divergence_grad",
    "js_divergence_value_and_grad",
    "kl_divergence",
    "kl_divergence_grad",
    "kl_divergence_value_and_grad",
    "log_softmax",
    "logsumexp",
    "softmax",
    "token_logprobs",
]
