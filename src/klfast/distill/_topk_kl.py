"""Divergences of a student from a teacher of which a list of classes is kept, as losses."""

from klfast import _distill_lists


def topk_kl(
    teacher_logprobs,
    teacher_ids,
    student_logits,
    *,
    tail="bucket",
    direction="forward",
    temperature=1.0,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    n_threads=None,
    dtype=None,
    check=False,
):
    """Distillation loss of a teacher that is known by K of its classes and q = softmax(student/T), D(p || q).

    The teacher comes first, whatever the direction. `tail` says what becomes of the classes that are not listed:

    - "bucket": they are one more outcome, with all that is missing from 1 on either side. Never above the divergence of the
      whole distributions, which it approaches as K grows: to merge outcomes can but lower it.
    - "renormalize": there are no others; both sides are divided by what is listed.
    - "none": they are left out of the sum, sum p*(log p - log q) over the listed classes with q of all classes. It may be
      negative, and it is least elsewhere than at q = p.
    - "uniform": what the teacher misses is spread evenly over them.

    Parameters
    ----------
    teacher_logprobs : array_like
        Log-probabilities of the listed classes, in nats, of shape (..., K), as they are: made at the same temperature, as
        by `topk` with `temperature`. What they lack of 1 is the tail; if they add up to 1, or by rounding to more, or if K is
        the number of classes, there is none. Where the student rules out all other classes, there is none either if the tail
        is no more than the rounding of the list can make of none: sum p*(e^(u*(1 + |log p|)) - 1), with u = 2**-50, of
        float32 2**-22, of float16 2**-11 and of bfloat16 2**-8.
    teacher_ids : array_like of int
        Which classes these are, of the same shape: in any order, each once in its row.
    student_logits : array_like
        Logits, of shape (..., V).
    tail : "bucket", "renormalize", "none" or "uniform"
        See above. Renormalised, one class alone is always right: a UserWarning says so.
    direction : "forward" or "reverse"
        D(p || q), or, of "bucket" and "renormalize", D(q || p).
    temperature : float
        T, which divides the student's logits: a number above 0, from 1e-15 to 1e15.
    scale_by_t2 : bool
        Multiply by T**2.
    mask : array_like of bool, optional
        True for the rows that count, in the shape of the logits without their last axis, or broadcast to it. The others are
        skipped, whatever they hold or list, and are 0.
    reduction : "none", "sum" or "mean"
        One value a row, their sum, or their mean over the rows that count. If none counts, the mean is NaN and the sum 0.
    return_count : bool
        Return also how many rows counted.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers; class ids are integers even so.
    check : bool
        Raise ValueError for NaN and +inf where they count; without it their rows are NaN.

    Returns
    -------
    value : float64 or ndarray of float64
        In nats; never negative, but for "none". A class that is impossible on both sides, -inf, adds nothing; one that is so
        on the second side of D alone makes it +inf, and so does a tail. NaN for rows with NaN or +inf (with "renormalize":
        where it is listed), and for those in which nothing is possible. Entries that a masked array hides in the student are
        left out.
    count : int
        With `return_count`: how many rows counted.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not fit, a class listed twice, and bad keywords; before any work.
    IndexError
        For a class id out of range; it names the place and the id.

    Notes
    -----
    Relative error as that of `kl`, 2**-21 or 2**-49 (with "none" relative to the sum of the absolute terms), but for what
    is rounded before it is compared: every logit and log-probability by 2**-50 of the row's largest, the student's tail by
    2**-22 of itself for float32, float16 and bfloat16 logits and 2**-50 for all other, the teacher's tail by 2**-50 of the
    mass beside its likeliest class. Forward, the first two count times the difference of the probabilities, the last times
    the logarithm of the tails' ratio; reverse, the other way round. The same bits for any number of threads, any memory
    layout and any order of the lists.
    Sources: Peng et al., Pre-training Distillation for Large Language Models (2024); Anshumann et al., Sparse Logit Sampling
    (2025), on why "renormalize" misleads; Cover and Thomas, Elements of Information Theory (2006), section 2.8, for the
    bound.

    Examples
    --------
    >>> import klfast.distill, numpy
    >>> teacher, student = numpy.log([0.6, 0.3, 0.07, 0.03]), numpy.log([0.5, 0.2, 0.2, 0.1])
    >>> top = klfast.distill.topk(teacher, 2)
    >>> for tail in ("bucket", "renormalize", "none", "uniform"):
    ...     print(tail, f"{klfast.distill.topk_kl(top.logprobs, top.ids, student, tail=tail):.12f}")
    bucket 0.121171237642
    renormalize 0.005388312284
    none 0.231032466509
    uniform 0.127060389425
    """
    return _distill_lists.topk_kl(
        teacher_logprobs,
        teacher_ids,
        student_logits,
        wanted="value",
        tail=tail,
        direction=direction,
        temperature=temperature,
        scale_by_t2=scale_by_t2,
        mask=mask,
        reduction=reduction,
        return_count=return_count,
        n_threads=n_threads,
        dtype=dtype,
        check=check,
    )


def topk_kl_grad(
    teacher_logprobs,
    teacher_ids,
    student_logits,
    *,
    tail="bucket",
    direction="forward",
    temperature=1.0,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    grad_output=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """Gradient of `topk_kl` with respect to the student's logits.

    Forward it is (q - p)/T with q and p of all classes; the teacher's tail is shared among them as the student does
    ("bucket"), evenly ("uniform"), or is nowhere ("none", which is (P*q - p)/T with P = sum p).

    Parameters
    ----------
    teacher_logprobs, teacher_ids, student_logits, tail, direction, temperature, scale_by_t2, mask, n_threads, dtype, check
        As for `topk_kl`.
    reduction : "none", "sum" or "mean"
        As for `topk_kl`; the gradient is that of the reduced value.
    grad_output : float or array_like, optional
        What to multiply with: a number, or for "none" an array of one number for each row. 1 by default.
    out : ndarray, optional
        Where to write the gradient: an array of its shape and type. It may be student_logits itself.

    Returns
    -------
    ndarray
        Of the shape and type of the student's logits; float64 for integers. 0 for rows that do not count, whatever they
        hold, and with "renormalize" for classes that are not listed. By "reverse", rows whose divergence is +inf are NaN
        for every class that is not -inf. NaN for rows whose divergence is NaN.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `topk_kl`.

    Notes
    -----
    Error at most 2**-20 for float32 and 2**-47 for float64, relative to the largest entry of the row's gradient or, where
    entries are differences of larger terms, to the largest of these (such as p or q), and what is rounded before, as with
    `topk_kl`; for float16 and bfloat16 that of float32 before the one rounding to their type. The rows are taken a slab at
    a time, so that the logits come from memory once. The same bits for any number of threads, any memory layout and any
    order of the lists.

    Examples
    --------
    >>> import klfast.distill, numpy
    >>> student = numpy.log([0.5, 0.2, 0.2, 0.1])
    >>> klfast.distill.topk_kl_grad(numpy.log([0.6, 0.25]), [0, 1], student).round(12).tolist()
    [-0.1, -0.05, 0.1, 0.05]
    """
    return _distill_lists.topk_kl(
        teacher_logprobs,
        teacher_ids,
        student_logits,
        wanted="grad",
        tail=tail,
        direction=direction,
        temperature=temperature,
        scale_by_t2=scale_by_t2,
        mask=mask,
        reduction=reduction,
        grad_output=grad_output,
        out=out,
        n_threads=n_threads,
        dtype=dtype,
        check=check,
    )


def topk_kl_value_and_grad(
    teacher_logprobs,
    teacher_ids,
    student_logits,
    *,
    tail="bucket",
    direction="forward",
    temperature=1.0,
    scale_by_t2=False,
    mask=None,
    reduction="none",
    return_count=False,
    grad_output=None,
    out=None,
    n_threads=None,
    dtype=None,
    check=False,
):
    """The loss of `topk_kl` and its gradient, as `topk_kl_grad`, in one sweep over the logits' memory.

    Parameters
    ----------
    teacher_logprobs, teacher_ids, student_logits, tail, direction, temperature, scale_by_t2, mask, reduction, return_count
        As for `topk_kl`.
    n_threads, dtype, check
        As for `topk_kl`.
    grad_output, out
        As for `topk_kl_grad`; both concern the gradient alone.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `topk_kl`.
    grad : ndarray
        As that of `topk_kl_grad`.
    count : int
        With `return_count`: how many rows counted.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `topk_kl`.

    Notes
    -----
    The same bits as those of `topk_kl` and `topk_kl_grad`.

    Examples
    --------
    >>> import klfast.distill, numpy
    >>> student = numpy.log([0.5, 0.25, 0.25])
    >>> value, grad = klfast.distill.topk_kl_value_and_grad(numpy.log([0.75]), [0], student)
    >>> print(f"{value:.12f}", grad.round(12).tolist())
    0.130812035941 [-0.25, 0.125, 0.125]
    """
    return _distill_lists.topk_kl(
        teacher_logprobs,
        teacher_ids,
        student_logits,
        wanted="both",
        tail=tail,
        direction=direction,
        temperature=temperature,
        scale_by_t2=scale_by_t2,
        mask=mask,
        reduction=reduction,
        return_count=return_count,
        grad_output=grad_output,
        out=out,
        n_threads=n_threads,
        dtype=dtype,
        check=check,
    )
