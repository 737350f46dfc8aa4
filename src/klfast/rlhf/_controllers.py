"""The coefficient of the KL penalty: fixed, or steered towards a target."""

import sys
from dataclasses import dataclass, field

from klfast import _checks, _checks_tokens

# How much of a proportional error counts at most, in either direction (Ziegler et al. 2019).
LARGEST_ERROR = 0.2
# No coefficient grows beyond the numbers: inf would stay, or become NaN.
LARGEST_VALUE = sys.float_info.max


@dataclass
class FixedKLController:
    """A coefficient that stays what it is.

    Parameters
    ----------
    beta : float
        The coefficient; finite, not negative.

    Attributes
    ----------
    value : float
        The coefficient.

    Examples
    --------
    >>> from klfast.rlhf import FixedKLController
    >>> FixedKLController(0.1).update(current_kl=7.0, n_steps=256)
    0.1
    """

    beta: float
    value: float = field(init=False)

    def __post_init__(self):
        self.beta = self.value = _checks_tokens.coefficient(self.beta)

    def update(self, current_kl, n_steps):
        """Look at the KL in nats of the last `n_steps` samples, and return the coefficient. NaN and inf raise ValueError."""
        _checks.finite("current_kl", current_kl)
        _checks_tokens.steps(n_steps)
        return self.value


@dataclass
class AdaptiveKLController:
    """A coefficient that grows while the KL is above its target, and shrinks while it is below.

    Each update multiplies it by 1 + e*n_steps/horizon, or 0 if that is negative; e = current_kl/target - 1 is limited to
    -0.2 .. 0.2.

    Parameters
    ----------
    beta : float
        The coefficient to begin with; finite, not negative.
    target : float
        The KL to steer towards, in nats, of whatever `update` is told (a mean per sequence, as a rule).
    horizon : float
        After about so many samples the coefficient has changed by the error.

    Attributes
    ----------
    value : float
        The coefficient as it is now; always finite.

    Notes
    -----
    The proportional controller of Ziegler et al., "Fine-Tuning Language Models from Human Preferences", 2019, section 2.2. An
    estimate of the KL may be negative; NaN and inf raise ValueError, because they would stay in the coefficient.

    Examples
    --------
    >>> from klfast.rlhf import AdaptiveKLController
    >>> controller = AdaptiveKLController(beta=0.2, target=6.0, horizon=10_000)
    >>> controller.update(current_kl=9.0, n_steps=1000)
    0.20400000000000001
    """

    beta: float
    target: float
    horizon: float
    value: float = field(init=False)

    def __post_init__(self):
        self.beta = self.value = _checks_tokens.coefficient(self.beta)
        self.target = _checks_tokens.positive("target", self.target)
        self.horizon = _checks_tokens.positive("horizon", self.horizon)

    def update(self, current_kl, n_steps):
        """Take in the KL in nats of the last `n_steps` samples, and return the new coefficient."""
        error = _checks.finite("current_kl", current_kl) / self.target - 1.0
        n_steps = _checks_tokens.steps(n_steps)
        growth = max(0.0, 1.0 + min(max(error, -LARGEST_ERROR), LARGEST_ERROR) * n_steps / self.horizon)
        self.value = min(self.value * min(growth, LARGEST_VALUE), LARGEST_VALUE)
        return self.value
