"""Divergences of a student's logits from a teacher's, as losses."""

from klfast import _distill


def kl(
    teacher_logits,
    student_logits,
    *,
    temperature=1.0,
    direction="forward",
    beta=0.5,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    axis=-1,
    n_threads=None,
    dtype=None,
    check=False,
):
    """Distillation loss of p = softmax(teacher/T) and q = softmax(student/T): D(p || q) = sum p*log(p/q), or another one.

    The teacher comes first, whatever the direction.

    Parameters
    ----------
    teacher_logits, student_logits : array_like
        Logits, broadcast against each other.
    temperature : float
        T, which divides all logits: a number above 0, from 1e-15 to 1e15.
    direction : "forward", "reverse" or "jsd"
        D(p || q), under which the student covers all that the teacher does; D(q || p), under which it keeps to what the
        teacher does; or the Jensen-Shannon divergence beta*D(p || m) + (1 - beta)*D(q || m) with m = beta*p + (1 - beta)*q.
    beta : float
        The teacher's share in the mixture of "jsd", between 0 and 1 and neither of them.
    scale_by_t2 : bool
        Multiply by T**2, which keeps the size of gradients the same at every temperature.
    mask : array_like of bool, optional
        True for the rows that count, in the shape of the logits without `axis`, or broadcast to it. The others are
        skipped, whatever they hold, and are 0.
    reduction : "none", "sum" or "mean"
        One value a row, their sum, or their mean over the rows that count. If none counts, the mean is NaN and the sum 0.
    return_count : bool
        Return also how many rows counted, from which means over several batches are made.
    axis : int, tuple of int, or None
        The axis, or axes, along which the classes lie; None for all of them.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.
    check : bool
        Raise ValueError for NaN and +inf where they count; without it their rows are NaN.

    Returns
    -------
    value : float64 or ndarray of float64
        In nats, never negative, exactly 0 where teacher and student are the same. Classes that are -inf in both add nothing;
        one that is -inf in the second distribution of a D alone makes it +inf. NaN for rows with NaN or +inf, and for those
        that are all -inf or empty. Entries that a masked array hides are left out.
    count : int
        With `return_count`: how many rows counted.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not fit, and bad keywords; before any work.

    Notes
    -----
    Relative error at most 2**-21 for float32, float16 and bfloat16 input and 2**-49 for all other, however close teacher
    and student are. The same bits for any number of threads and any memory layout. Temperature and T**2: Hinton, Vinyals
    and Dean, Distilling the Knowledge in a Neural Network (2015); directions: Agarwal et al., On-Policy Distillation of
    Language Models (2024).

    Examples
    --------
    >>> import klfast.distill
    >>> teacher, student = [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 2.0, 0.0], [9.0, 9.0, 9.0]]
    >>> klfast.distill.kl(teacher, student, temperature=2.0).round(12).tolist()
    [0.364175327149, 0.0]
    >>> value, count = klfast.distill.kl(teacher, student, mask=[True, False], reduction="sum", return_count=True)
    >>> print(f"{value:.12f}", count)
    1.360958126485 1
    """
    return _distill.kl(
        teacher_logits,
        student_logits,
        wanted="value",
        temperature=temperature,
        direction=direction,
        beta=beta,
        scale_by_t2=scale_by_t2,
        mask=mask,
        reduction=reduction,
        return_count=return_count,
        axis=axis,
        n_threads=n_threads,
        dtype=dtype,
        check=check,
    )


def kl_grad(
    teacher_logits,
    student_logits,
    *,
    temperature=1.0,
    direction="forward",
    beta=0.5,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    axis=-1,
    grad_output=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """Gradient of `kl` with respect to the student's logits: (q - p)/T, reverse q*(log(q/p) - D)/T, and with "jsd"
    (1 - beta)*q*(log(q/m) - D(q || m))/T.

    Parameters
    ----------
    teacher_logits, student_logits, temperature, direction, beta, scale_by_t2, mask, axis, n_threads, dtype, check
        As for `kl`.
    reduction : "none", "sum" or "mean"
        As for `kl`; the gradient is that of the reduced value.
    grad_output : float or array_like, optional
        What to multiply with: a number, or for "none" an array of one number for each row. 1 by default.
    out : ndarray, optional
        Where to write the gradient: an array of its shape and type. It may be one of the arrays of logits itself.

    Returns
    -------
    ndarray
        In the shape that the logits have together, of the type of the student's; float64 for integers. 0 for rows that do
        not count, whatever they hold. A class of probability 0 in the student gets 0; by "reverse", all other of a row
        whose divergence is +inf are NaN. NaN for rows whose divergence is NaN.

    Raises
    ------
    TypeError, ValueError
        As `kl`.

    Notes
    -----
    Error at most 2**-20 for float32 and 2**-47 for float64, relative to the largest entry of the row's gradient or, where
    entries are differences of larger terms, to the largest of these, with the notes of `klfast.logits.kl_divergence_grad`
    on rows of which few classes have nearly all; for float16 and bfloat16 that of float32 before the one rounding to their
    type. The same bits for any number of threads and any memory layout. Where the student was
    broadcast, its own gradient is the sum of these over what it was broadcast to.

    Examples
    --------
    >>> import klfast.distill, numpy
    >>> teacher, student = numpy.log([[0.5, 0.5], [0.9, 0.1]]), numpy.log([[0.25, 0.75], [0.5, 0.5]])
    >>> klfast.distill.kl_grad(teacher, student, reduction="mean").round(12).tolist()
    [[-0.125, 0.125], [-0.2, 0.2]]
    """
    return _distill.kl(
        teacher_logits,
        student_logits,
        wanted="grad",
        temperature=temperature,
        direction=direction,
        beta=beta,
        scale_by_t2=scale_by_t2,
        mask=mask,
        reduction=reduction,
        axis=axis,
        grad_output=grad_output,
        out=out,
        n_threads=n_threads,
        dtype=dtype,
        check=check,
    )


def kl_value_and_grad(
    teacher_logits,
    student_logits,
    *,
    temperature=1.0,
    direction="forward",
    beta=0.5,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    axis=-1,
    grad_output=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """The loss of `kl` and its gradient, as `kl_grad`, in the fewest sweeps over the logits.

    Parameters
    ----------
    teacher_logits, student_logits, temperature, direction, beta, scale_by_t2, mask, reduction, return_count, axis
        As for `kl`.
    n_threads, dtype, check
        As for `kl`.
    grad_output, out
        As for `kl_grad`; both concern the gradient alone.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `kl`.
    grad : ndarray
        As that of `kl_grad`.
    count : int
        With `return_count`: how many rows counted.

    Raises
    ------
    TypeError, ValueError
        As `kl`.

    Notes
    -----
    The same bits as those of `kl` and `kl_grad`.

    Examples
    --------
    >>> import klfast.distill
    >>> value, grad = klfast.distill.kl_value_and_grad([1.0, 2.0], [1.0, 2.0])
    >>> float(value), abs(grad).tolist()
    (0.0, [0.0, 0.0])
    """
    return _distill.kl(
        teacher_logits,
        student_logits,
        wanted="both",
        temperature=temperature,
        direction=direction,
        beta=beta,
        scale_by_t2=scale_by_t2,
        mask=mask,
        reduction=reduction,
        return_count=return_count,
        axis=axis,
        grad_output=grad_output,
        out=out,
        n_threads=n_threads,
        dtype=dtype,
        check=check,
    )
