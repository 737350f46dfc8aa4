"""Distillation: how far a student's logits are from a teacher's, whole or kept as a list of the likeliest classes.

The teacher comes first. All functions that take a student have gradients with respect to its logits.
"""

from klfast.distill._kl import kl, kl_grad, kl_value_and_grad
from klfast.distill._topk import TopK, topk
from klfast.distill._topk_kl import topk_kl, topk_kl_grad, topk_kl_value_and_grad

__all__ = [
    "TopK",
    "kl",
    "kl_grad",
    "kl_value_and_grad",
    "topk",
    "topk_kl",
    "topk_kl_grad",
    "topk_kl_value_and_grad",
]
