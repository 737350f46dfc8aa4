"""Cross-entropy of logits as a loss, with its options and its gradient, and the log-probabilities of single tokens."""

from klfast import _losses


def cross_entropy(
    x,
    target,
    *,
    axis=-1,
    keepdims=False,
    where=None,
    temperature=1.0,
    normalize=True,
    ignore_index=-100,
    weight=None,
    label_smoothing=0.0,
    smooth_over="all",
    z_loss=0.0,
    softcap=None,
    reduction="none",
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Cross-entropy of logits and class ids, -log softmax(x)[target], or target probabilities t, -sum t*log softmax(x).

    The logits come first. With all options the loss of a row is sum b_c*(lse - z_c) + z_loss*lse**2, where z is x/T, or
    softcap*tanh(x/softcap)/T, lse = log sum exp(z), and b_c = weight_c*((1 - label_smoothing)*t_c + label_smoothing/C); t is
    1 for the class that a class id names and 0 for all other, C the number of classes.

    Parameters
    ----------
    x : array_like
        Logits.
    target : array_like
        Of integers: the class that is right, for each distribution; the shape of x without `axis`. Those that a masked
        array hides are ignored, as by `ignore_index`, whatever they are.
        Of floats: target probabilities, non-negative weights of the shape of x, or broadcast against it.
    axis : int
        The axis along which the classes lie.
    keepdims : bool
        Keep the reduced axes, with a `reduction` all of them, with length 1.
    where : array_like of bool, optional
        Which classes count, broadcast to the shape of x. The others are skipped, whatever they hold, as if they were not
        there; as a class id they are impossible. Entries that a masked array hides are left out in the same way.
    temperature : float
        T, which divides all logits: a number above 0, from 1e-15 to 1e15.
    normalize : bool
        Divide target probabilities by their sum. False takes them as they are.
    ignore_index : int or None
        The class id of rows that do not count: their loss is 0, whatever they hold, and no mean counts them. It need not
        be in range; None ignores no row. Not used for target probabilities.
    weight : array_like, optional
        How much each class counts: a vector of finite non-negative numbers.
    label_smoothing : float
        From 0 to 1: the share of the target that is given to all classes alike.
    smooth_over : "all" or "finite"
        Which classes get their part of `label_smoothing`: all, so that an impossible class makes the loss +inf, or only
        those that are not -inf.
    z_loss : float
        How much of lse**2 to add.
    softcap : float, optional
        Above 0: keeps the logits between -softcap and softcap. A class that is -inf remains impossible.
    reduction : "none", "sum" or "mean"
        One loss a row, their sum, or their mean over the rows that count; with `weight` and class ids their sum divided by
        that of the weights of their ids. If no row counts, the mean is NaN and the sum 0.
    base : float, optional
        Base of the logarithm; nats by default, 2 gives bits. It divides the whole loss.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    check : bool
        Raise ValueError for logits that are NaN or +inf, and target probabilities that are negative, NaN or infinite;
        without it their rows are NaN.
    dtype : "bfloat16", optional
        Says that an array of uint16 holds the bits of bfloat16 numbers; class ids are integers even so.

    Returns
    -------
    float64 or ndarray of float64
        One loss for each distribution, or one in all, never negative. +inf where a class that is impossible has some weight
        in the target; one without adds nothing. NaN for rows with NaN or +inf, for those that are all -inf or empty, and
        for target probabilities that are negative, NaN or (normalised) all 0.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not fit, class ids that are no integers, and bad keywords; before
        any work.
    IndexError
        For a class id out of range that is not `ignore_index`; it names the place and the id.

    Notes
    -----
    Relative error at most 2**-22 for float32, float16 and bfloat16 input and 2**-49 for all other, however sure the row is
    of its target; with `softcap` and float64, relative to the larger of the result and softcap/T times the sum of b. lse,
    whose square `z_loss` adds, is the sum of max(z) and a logarithm: where they cancel, its error is relative to these. The
    same bits for any number of threads and any memory layout. Options are named and mean as in
    torch.nn.functional.cross_entropy (which smooths over all classes and divides by weights in the same way). Label
    smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2016); z-loss: Chowdhery et al.,
    PaLM (2022); soft cap: Gemma 2 (2024).

    Examples
    --------
    >>> import klfast
    >>> print(f"{klfast.logits.cross_entropy([40.0, 0.0, 0.0], 0):.6e}")
    8.496709e-18
    >>> x, target = [[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [0, -100]
    >>> print(f"{klfast.logits.cross_entropy(x, target, label_smoothing=0.1, reduction='mean'):.12f}")
    0.507605964444
    """
    options = {
        "axis": axis,
        "where": where,
        "temperature": temperature,
        "normalize": normalize,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "smooth_over": smooth_over,
        "z_loss": z_loss,
        "softcap": softcap,
        "dtype": dtype,
        "n_threads": n_threads,
        "check": check,
    }
    return _losses.cross_entropy(x, target, "value", weight, options, reduction, base, out, keepdims=keepdims)


def cross_entropy_grad(
    x,
    target,
    *,
    axis=-1,
    where=None,
    temperature=1.0,
    normalize=True,
    ignore_index=-100,
    weight=None,
    label_smoothing=0.0,
    smooth_over="all",
    z_loss=0.0,
    softcap=None,
    reduction="none",
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Gradient of `cross_entropy` by the logits: (softmax(x) - t)/T, with all options
    ((sum b + 2*z_loss*lse)*p - b)*(1 - tanh(x/softcap)**2)/T, where p = softmax(z).

    Parameters
    ----------
    x, target, axis, where, temperature, normalize, ignore_index, weight, label_smoothing, smooth_over, z_loss, softcap
        As for `cross_entropy`, where b, z and lse are explained too.
    reduction, base, n_threads, check, dtype
        As for `cross_entropy`; the gradient is that of the loss after `reduction`, in that base.
    grad_output : float or array_like, optional
        What to multiply with: a number, or an array of one number for each loss. 1 by default.
    out : ndarray, optional
        Where to write the gradient: an array of its shape and type. It may be x itself.

    Returns
    -------
    ndarray
        Of the shape and type of x (broadcast against target probabilities); float64 for integers. Exactly 0 for rows that
        are ignored and classes that are left out, whatever they hold. Finite where the loss is +inf; NaN for a row whose
        loss is NaN.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `cross_entropy`.

    Notes
    -----
    Error at most 2**-20 for float32 and 2**-47 for float64, relative to the largest entry of the row's gradient or, where
    entries are differences of larger terms, to the largest of these (the shares p and b of a loss that weighs more than the
    label's class, or is capped); with `softcap` and float64 up to abs(max(z)) times that, where this is above 1, because
    capped logits round relative to their size; for float16 and bfloat16 that of float32 before the one rounding to their
    type. A p below the smallest normal number of the type counts as 0. The same bits for any number of threads and any
    memory layout. An impossible class that makes the loss +inf is not seen by the gradient, which is that of its formula.

    Examples
    --------
    >>> import klfast
    >>> klfast.logits.cross_entropy_grad([0.0, 0.0, 0.0, 0.0], 1).tolist()
    [0.25, -0.75, 0.25, 0.25]
    """
    options = {
        "axis": axis,
        "where": where,
        "temperature": temperature,
        "normalize": normalize,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "smooth_over": smooth_over,
        "z_loss": z_loss,
        "softcap": softcap,
        "dtype": dtype,
        "n_threads": n_threads,
        "check": check,
    }
    return _losses.cross_entropy(x, target, "grad", weight, options, reduction, base, out, grad_output=grad_output)


def cross_entropy_value_and_grad(
    x,
    target,
    *,
    axis=-1,
    where=None,
    temperature=1.0,
    normalize=True,
    ignore_index=-100,
    weight=None,
    label_smoothing=0.0,
    smooth_over="all",
    z_loss=0.0,
    softcap=None,
    reduction="none",
    base=None,
    grad_output=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """The loss of `cross_entropy` and its gradient, as `cross_entropy_grad`, in the fewest sweeps over the logits.

    Parameters
    ----------
    x, target, axis, where, temperature, normalize, ignore_index, weight, label_smoothing, smooth_over, z_loss, softcap
        As for `cross_entropy`.
    reduction, base, n_threads, check, dtype
        As for `cross_entropy`.
    grad_output, out
        As for `cross_entropy_grad`; both concern the gradient alone.

    Returns
    -------
    value : float64 or ndarray of float64
        As that of `cross_entropy`.
    grad : ndarray
        As that of `cross_entropy_grad`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `cross_entropy`.

    Notes
    -----
    The same bits as those of `cross_entropy` and `cross_entropy_grad`, and as accurate; with `softcap` and float64, what
    they say of it.

    Examples
    --------
    >>> import klfast
    >>> value, grad = klfast.logits.cross_entropy_value_and_grad([0.0, 0.0], 1, base=2)
    >>> float(value), grad.round(12).tolist()
    (1.0, [0.721347520444, -0.721347520444])
    """
    options = {
        "axis": axis,
        "where": where,
        "temperature": temperature,
        "normalize": normalize,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "smooth_over": smooth_over,
        "z_loss": z_loss,
        "softcap": softcap,
        "dtype": dtype,
        "n_threads": n_threads,
        "check": check,
    }
    return _losses.cross_entropy(x, target, "both", weight, options, reduction, base, out, grad_output=grad_output)


def token_logprobs(
    x,
    ids,
    *,
    axis=-1,
    where=None,
    temperature=1.0,
    softcap=None,
    ignore_index=-100,
    base=None,
    out=None,
    n_threads=None,
    check=False,
    dtype=None,
):
    """Log-probabilities of class ids, log softmax(x)[id]: of one for each row, or of several.

    Parameters
    ----------
    x : array_like
        Logits.
    ids : array_like of int
        One class id for each distribution, in the shape of x without `axis`; or as many dimensions as x has, with any
        number of ids where the classes lie. Those that a masked array hides are ignored, as by `ignore_index`.
    axis, where, temperature, softcap, base, n_threads, check, dtype
        As for `cross_entropy`.
    ignore_index : int or None
        The class id of places that do not count: they get 0. A row of nothing but these may hold anything.
    out : ndarray of float64, optional
        Where to write the result.

    Returns
    -------
    float64 or ndarray of float64
        One value for each id, in their shape, never above 0; -inf for a class that is impossible, NaN for rows with NaN or
        +inf and for those that are all -inf.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `cross_entropy`, of `ids` in place of `target`.

    Notes
    -----
    For one id exactly -`cross_entropy` of it, and as accurate: relative error at most 2**-22 for float32, float16 and
    bfloat16 input and 2**-49 for all other. The same bits for any number of threads and any memory layout.

    Examples
    --------
    >>> import klfast
    >>> klfast.logits.token_logprobs([[0.0, 0.0, 0.0, 0.0]], [[1, 2, -100]], base=2).tolist()
    [[-2.0, -2.0, 0.0]]
    """
    options = {
        "axis": axis,
        "where": where,
        "temperature": temperature,
        "softcap": softcap,
        "ignore_index": ignore_index,
        "dtype": dtype,
        "n_threads": n_threads,
        "check": check,
    }
    return _losses.token_logprobs(x, ids, options, base, out)
