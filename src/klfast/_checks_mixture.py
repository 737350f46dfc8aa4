"""What divergences of a stack of distributions, or of weighted ones, ask for; the rules of `_checks` hold here."""

import numpy as np

from klfast import _checks


def shares(name, value, count):
    """How much each of `count` distributions counts: numbers that add up to 1."""
    if value is None:
        return np.full(count, 1 / count)
    given = _checks.as_input(name, value)
    if given.masked is not None:
        raise ValueError(f"{name}: is a masked array, but every distribution needs its share; give the others 0")
    if given.array.shape != (count,):
        raise ValueError(f"{name}: shape {given.array.shape} is not ({count},), one for each distribution")
    _checks.weights(given, None)
    numbers = given.numbers().astype(np.float64)
    if not numbers.any():
        raise ValueError(f"{name}: all are 0")
    return numbers / numbers.max() / (numbers / numbers.max()).sum()


def stack(argument):
    """The distributions of a stack, one for each place of its first axis."""
    shape = argument.array.shape
    if len(shape) < 2:
        raise ValueError(f"{argument.name}: shape {shape} is no stack of distributions, which has at least 2 axes")
    if shape[0] == 0:
        raise ValueError(f"{argument.name}: shape {shape} stacks no distribution")


def axes_in_stack(axis, n_dimensions):
    """The axes to reduce, counted without the first, which is that of the stack."""
    if axis is None:
        return tuple(range(n_dimensions - 1))
    chosen = _checks.axes(axis, n_dimensions)
    for one in axis if isinstance(axis, tuple) else (axis,):
        if one % n_dimensions == 0:
            raise ValueError(f"axis: {one} is the axis of the stack")
    return tuple(one - 1 for one in chosen)


def normalized_alone(normalize):
    if not normalize:
        raise ValueError(f"normalize: {normalize} has no meaning for weighted or stacked distributions")
