"""Every public operation again, in plain NumPy: slow, simple, and the document of what klfast means.

The compiled kernels and this package are written independently of each other; the tests hold them together. What a special
value does can be read here. Nothing is blocked, threaded or rearranged for speed or for the last digit, so results agree
with the kernels to about twelve digits where nothing cancels; the exact values of the accuracy tests come from elsewhere.

The keywords `out`, `n_threads` and `check` change where a result goes, how it is computed and when an error is raised,
but not its value, and `dtype` says how bits are to be read; so they have no twin here.

In all of them:

- inputs are read as float64 and broadcast against each other; results are float64;
- `axis` is the axis, or the tuple of axes, along which one distribution lies; None means all of them;
- an event of probability 0 adds nothing: 0*log 0 = 0, and 0*log(0/0) = 0;
- p > 0 where q = 0 gives +inf;
- entries that `where` leaves out are as if they were not there;
- NaN wins over everything else in its row;
- `base` divides the result, which is in nats, by log(base).
"""

from klfast._reference.distill import kl as distill_kl
from klfast._reference.distill import kl_grad as distill_kl_grad
from klfast._reference.distill import kl_value_and_grad as distill_kl_value_and_grad
from klfast._reference.distill import topk as distill_topk
from klfast._reference.distill import topk_kl as distill_topk_kl
from klfast._reference.distill import topk_kl_grad as distill_topk_kl_grad
from klfast._reference.distill import topk_kl_value_and_grad as distill_topk_kl_value_and_grad
from klfast._reference.elements import entr, kl_div, rel_entr
from klfast._reference.families import kl_bernoulli as families_kl_bernoulli
from klfast._reference.families import kl_bernoulli_logits as families_kl_bernoulli_logits
from klfast._reference.families import kl_beta as families_kl_beta
from klfast._reference.families import kl_categorical as families_kl_categorical
from klfast._reference.families import kl_categorical_logits as families_kl_categorical_logits
from klfast._reference.families import kl_dirichlet as families_kl_dirichlet
from klfast._reference.families import kl_exponential as families_kl_exponential
from klfast._reference.families import kl_gamma as families_kl_gamma
from klfast._reference.families import kl_laplace as families_kl_laplace
from klfast._reference.families import kl_poisson as families_kl_poisson
from klfast._reference.gaussian import kl_divergence as gaussian_kl_divergence
from klfast._reference.gaussian import kl_divergence_full as gaussian_kl_divergence_full
from klfast._reference.gaussian import kl_standard_normal as gaussian_kl_standard_normal
from klfast._reference.gaussian import kl_standard_normal_value_and_grad as gaussian_kl_standard_normal_value_and_grad
from klfast._reference.gradients import cross_entropy_grad as logits_cross_entropy_grad
from klfast._reference.gradients import cross_entropy_value_and_grad as logits_cross_entropy_value_and_grad
from klfast._reference.gradients import entropy_grad as logits_entropy_grad
from klfast._reference.gradients import entropy_value_and_grad as logits_entropy_value_and_grad
from klfast._reference.gradients import js_divergence_grad as logits_js_divergence_grad
from klfast._reference.gradients import js_divergence_value_and_grad as logits_js_divergence_value_and_grad
from klfast._reference.gradients import kl_divergence_grad as logits_kl_divergence_grad
from klfast._reference.gradients import kl_divergence_value_and_grad as logits_kl_divergence_value_and_grad
from klfast._reference.logits import entropy as logits_entropy
from klfast._reference.logits import js_distance as logits_js_distance
from klfast._reference.logits import js_divergence as logits_js_divergence
from klfast._reference.logits import kl_divergence as logits_kl_divergence
from klfast._reference.logits import log_softmax as logits_log_softmax
from klfast._reference.logits import logsumexp as logits_logsumexp
from klfast._reference.logits import softmax as logits_softmax
from klfast._reference.logprobs import cross_entropy as logprobs_cross_entropy
from klfast._reference.logprobs import entropy as logprobs_entropy
from klfast._reference.logprobs import js_distance as logprobs_js_distance
from klfast._reference.logprobs import js_divergence as logprobs_js_divergence
from klfast._reference.logprobs import kl_divergence as logprobs_kl_divergence
from klfast._reference.losses import cross_entropy as logits_cross_entropy
from klfast._reference.losses import token_logprobs as logits_token_logprobs
from klfast._reference.probabilities import (
    chi2_divergence,
    cross_entropy,
    entropy,
    hellinger,
    jeffreys,
    js_distance,
    js_divergence,
    kl_divergence,
    renyi_divergence,
    total_variation,
)
from klfast._reference.rlhf import importance_ratio_stats as rlhf_importance_ratio_stats
from klfast._reference.rlhf import kl_estimate as rlhf_kl_estimate
from klfast._reference.rlhf import kl_estimate_grad as rlhf_kl_estimate_grad
from klfast._reference.rlhf import kl_penalty as rlhf_kl_penalty
from klfast._reference.rlhf import shaped_rewards as rlhf_shaped_rewards
from klfast._reference.rows import compare_rows as logits_compare_rows

__all__ = [
    "chi2_divergence",
    "cross_entropy",
    "distill_kl",
    "distill_kl_grad",
    "distill_kl_value_and_grad",
    "distill_topk",
    "distill_topk_kl",
    "distill_topk_kl_grad",
    "distill_topk_kl_value_and_grad",
    "entr",
    "entropy",
    "families_kl_bernoulli",
    "families_kl_bernoulli_logits",
    "families_kl_beta",
    "families_kl_categorical",
    "families_kl_categorical_logits",
    "families_kl_dirichlet",
    "families_kl_exponential",
    "families_kl_gamma",
    "families_kl_laplace",
    "families_kl_poisson",
    "gaussian_kl_divergence",
    "gaussian_kl_divergence_full",
    "gaussian_kl_standard_normal",
    "gaussian_kl_standard_normal_value_and_grad",
    "hellinger",
    "jeffreys",
    "js_distance",
    "js_divergence",
    "kl_div",
    "kl_divergence",
    "logits_compare_rows",
    "logits_cross_entropy",
    "logits_cross_entropy_grad",
    "logits_cross_entropy_value_and_grad",
    "logits_entropy",
    "logits_entropy_grad",
    "logits_entropy_value_and_grad",
    "logits_js_distance",
    "logits_js_divergence",
    "logits_js_divergence_grad",
    "logits_js_divergence_value_and_grad",
    "logits_kl_divergence",
    "logits_kl_divergence_grad",
    "logits_kl_divergence_value_and_grad",
    "logits_log_softmax",
    "logits_logsumexp",
    "logits_softmax",
    "logits_token_logprobs",
    "logprobs_cross_entropy",
    "logprobs_entropy",
    "logprobs_js_distance",
    "logprobs_js_divergence",
    "logprobs_kl_divergence",
    "rel_entr",
    "renyi_divergence",
    "rlhf_importance_ratio_stats",
    "rlhf_kl_estimate",
    "rlhf_kl_estimate_grad",
    "rlhf_kl_penalty",
    "rlhf_shaped_rewards",
    "total_variation",
]
