"""KL of a policy to its reference, token by token: estimators, penalties, rewards, controllers, importance ratios."""

from klfast.rlhf._controllers import AdaptiveKLController, FixedKLController
from klfast.rlhf._estimates import kl_estimate, kl_estimate_grad
from klfast.rlhf._rewards import kl_penalty, shaped_rewards
from klfast.rlhf._stats import ImportanceRatioStats, importance_ratio_stats

__all__ = [
    "AdaptiveKLController",
    "FixedKLController",
    "ImportanceRatioStats",
    "importance_ratio_stats",
    "kl_estimate",
    "kl_estimate_grad",
    "kl_penalty",
    "shaped_rewards",
]
