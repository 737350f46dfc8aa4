"""KL divergences of distributions that are given by their parameters, in closed form: also where the two are close.

In all functions the true distribution comes first, parameters are broadcast against each other, and results are float64
in nats, one for each pair of distributions.
"""

from klfast.families._continuous import kl_beta, kl_dirichlet, kl_exponential, kl_gamma, kl_laplace
from klfast.families._discrete import (
    kl_bernoulli,
    kl_bernoulli_logits,
    kl_categorical,
    kl_categorical_logits,
    kl_poisson,
)

__all__ = [
    "kl_bernoulli",
    "kl_bernoulli_logits",
    "kl_beta",
    "kl_categorical",
    "kl_categorical_logits",
    "kl_dirichlet",
    "kl_exponential",
    "kl_gamma",
    "kl_laplace",
    "kl_poisson",
]
