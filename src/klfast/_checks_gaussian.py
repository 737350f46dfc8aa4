"""What Gaussians have to be asked besides what `_checks` does; the same rules hold here."""

import numpy as np

from klfast import _checks, _kernels


def free_bits(value):
    """What every dimension counts at least, in nats."""
    number = _checks.finite("free_bits", value)
    if number < 0:
        raise ValueError(f"free_bits: {value} is less than 0")
    return number


def parameters(inputs, chosen):
    """check=True: means, and log-variances after them, may not be NaN or infinite; a variance may be 0, its logarithm -inf."""
    for one in inputs:
        if one.name.startswith("mu"):
            _checks._entries(one, chosen, np.isfinite, "is no mean: NaN and infinite numbers are not allowed")
        else:
            what = "is no log-variance: NaN and +inf are not allowed"
            _checks._entries(one, chosen, lambda values: values < np.inf, what)


# Means and covariances -----------------------------------------------------------------------------------------------


def means_and_covariances(mean1, cov1, mean2, cov2):
    """The four arguments, read, and the shape of the batch; what a masked array hides is NaN."""
    given = {"mean1": mean1, "cov1": cov1, "mean2": mean2, "cov2": cov2}
    inputs = [_checks.as_input(name, value) for name, value in given.items()]
    for one in inputs:
        n_axes = 2 if one.name.startswith("cov") else 1
        shape = one.array.shape
        if len(shape) < n_axes:
            raise ValueError(f"{one.name}: shape {shape} has fewer than {n_axes} axes")
        if n_axes == 2 and shape[-1] != shape[-2]:
            raise ValueError(f"{one.name}: shape {shape} is not that of square matrices")
        if shape[-1] != inputs[0].array.shape[-1]:
            raise ValueError(
                f"{one.name}: shape {shape} has {shape[-1]} dimensions, "
                f"but mean1 {inputs[0].array.shape} has {inputs[0].array.shape[-1]}"
            )
    batches = [one.array.shape[: -2 if one.name.startswith("cov") else -1] for one in inputs]
    if batches.count(batches[0]) == len(batches):
        return inputs, batches[0]
    try:
        return inputs, np.broadcast_shapes(*batches)
    except ValueError as error:
        named = ", ".join(f"{one.name} {one.array.shape}" for one in inputs)
        raise ValueError(f"shapes do not broadcast: {named}") from error


def covariances(argument, matrices, n_threads):
    """Matrices that hold NaN or infinite numbers are no mistake: their results are NaN."""
    if not (matrices == matrices.swapaxes(-1, -2)).all():
        _symmetric(argument, matrices)
    size = matrices.shape[-1]
    place = _kernels.first_indefinite(matrices.reshape(-1, size, size), n_threads) if matrices.size else None
    if place is None:
        return
    index = np.unravel_index(place, matrices.shape[:-2])
    where = f"[{', '.join(map(str, index))}]" if index else ""
    smallest = np.linalg.eigvalsh(matrices[index])[0]
    raise np.linalg.LinAlgError(
        f"{argument.name}{where}: is not positive definite: its smallest eigenvalue is {smallest:.6g}"
    )


def _symmetric(argument, matrices):
    """Entries may differ from those across the diagonal as far as rounding in their own type can account for."""
    digits = 0.0 if argument.array.dtype.kind in "iub" else np.finfo(argument.dtype).eps
    if argument.is_bfloat16:
        digits = 2.0**-7
    with np.errstate(invalid="ignore"):  # inf - inf, and the roots of negative variances
        deviations = np.sqrt(np.diagonal(matrices, axis1=-2, axis2=-1))
        allowed = np.sqrt(digits) * deviations[..., :, None] * deviations[..., None, :]
        differences = np.abs(matrices - np.swapaxes(matrices, -1, -2))
        offends = (differences > allowed) & np.isfinite(differences)
    what = "is not what stands across the diagonal; a covariance matrix is symmetric"
    _checks._first_offence(argument.name, matrices, offends, what)
