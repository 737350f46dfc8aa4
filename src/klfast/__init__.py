"""KL divergence, cross-entropy, entropy and their family over large arrays: at memory speed, right to the last bits."""

from klfast import distill, families, gaussian, logits, logprobs, rlhf
from klfast._config import show_config
from klfast._threads import get_num_threads, set_num_threads, threads
from klfast._version import __version__
from klfast.divergences import chi2_divergence, hellinger, jeffreys, renyi_divergence, total_variation
from klfast.elementwise import entr, kl_div, rel_entr
from klfast.probs import cross_entropy, entropy, js_distance, js_divergence, kl_divergence

__all__ = [
    "__version__",
    "chi2_divergence",
    "cross_entropy",
    "distill",
    "entr",
    "entropy",
    "families",
    "gaussian",
    "get_num_threads",
    "hellinger",
    "jeffreys",
    "js_distance",
    "js_divergence",
    "kl_div",
    "kl_divergence",
    "logits",
    "logprobs",
    "rel_entr",
    "renyi_divergence",
    "rlhf",
    "set_num_threads",
    "show_config",
    "threads",
    "total_variation",
]
