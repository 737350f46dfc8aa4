"""KL divergence, cross-entropy and entropy over large arrays: at memory speed, right to the last bits."""

from klfast import logits
from klfast._config import show_config
from klfast._threads import get_num_threads, set_num_threads, threads
from klfast._version import __version__
from klfast.probs import cross_entropy, entropy, kl_divergence

__all__ = [
    "__version__",
    "cross_entropy",
    "entropy",
    "get_num_threads",
    "kl_divergence",
    "logits",
    "set_num_threads",
    "show_config",
    "threads",
]
