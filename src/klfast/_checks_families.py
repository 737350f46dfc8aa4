"""What the closed forms ask of the parameters of distributions; the rules of `_checks` hold here."""

from typing import NamedTuple

import numpy as np

from klfast import _checks


class Domain(NamedTuple):
    """Which numbers a parameter can be."""

    contains: object  # numbers -> bools
    inside: float  # one of them
    is_not: str  # what is said of all others


POSITIVE = Domain(lambda x: (x > 0) & (x < np.inf), 1.0, "is not a positive finite number")
NON_NEGATIVE = Domain(lambda x: (x >= 0) & (x < np.inf), 1.0, "is not a finite non-negative number")
PROBABILITY = Domain(lambda x: (x >= 0) & (x <= 1), 0.5, "is not a probability, a number from 0 to 1")
REAL = Domain(np.isfinite, 0.0, "is not a finite number")
LOGIT = Domain(lambda x: ~np.isnan(x), 0.0, "is no logit of one probability: NaN is not allowed")


def parameters(named, domains, check):
    """The parameters of distributions, broadcast against each other."""
    inputs = _checks.inputs(named)
    for one in inputs:
        if one.masked is not None:
            raise ValueError(f"{one.name}: is a masked array, but a distribution needs all its parameters")
    if check:
        for one, domain in zip(inputs, domains):
            _checks._entries(one, None, domain.contains, domain.is_not)
    return inputs


def component_axis(axis, n_dimensions):
    """The axis along which the components of one distribution lie."""
    if axis is None or isinstance(axis, tuple):
        raise ValueError(f"axis: {axis} is not one integer, but components lie along one axis")
    return _checks.axes(axis, n_dimensions)[0]
