"""Estimators of the KL divergence from the log-probabilities of sampled tokens."""

import numpy as np

from klfast import _checks, _checks_tokens, _kernels, _layout
from klfast._rlhf import Sequences, number_of, shares
from klfast._terms import quick_terms
from klfast._total import add_up


def kl_estimate(
    logp,
    ref_logp,
    kind="k1",
    mask=None,
    *,
    lengths=None,
    reduction="none",
    clip=None,
    return_count=False,
    out=None,
    n_threads=None,
    dtype=None,
):
    """Estimate D(policy || reference) from tokens that the policy sampled.

    With r = ref_logp - logp, the log-ratio of a token: k1 = -r; k2 = r^2/2; k3 = e^r - 1 - r; abs = |r|. The means of k1 and of
    k3 tend to the KL divergence (k3 is never negative, and varies less where the two are close); k2 is near them there.

    Parameters
    ----------
    logp, ref_logp : array_like
        Log-probabilities of the sampled tokens under the policy, and under the reference; broadcast against each other.
        Sequences lie along the last axis.
    kind : "k1", "k2", "k3" or "abs"
        The estimator.
    mask : array_like of bool, optional
        Which tokens count (True), broadcast to the shape of the tokens. The others are skipped, whatever they hold. Tokens that
        a masked array hides do not count either.
    lengths : array_like of int, optional
        Ragged sequences: the tokens are a vector, and sequences of these lengths lie in it one behind the other.
    reduction : "none", "token_mean", "sequence_mean" or "sum"
        One number for each token, 0 where it does not count; or the mean over all tokens that count; the mean over each
        sequence's tokens, then over all sequences that have any; the sum.
    clip : float, optional
        Limit r to -clip .. clip.
    return_count : bool
        Return also how many tokens (for "sequence_mean": sequences) counted, so that parts of a batch can be put together.
    out : ndarray, optional
        Where to write one number for each token: of their shape and the type of the result.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.

    Returns
    -------
    ndarray, or float64; or (value, int)
        In nats. For each token in the inputs' common type (float64 for integers); reduced, float64. Where nothing counts, means
        are NaN and the sum is 0. inf where one of the two is -inf (k1: -inf where `logp` is), or k3 leaves the range; NaN where
        both are, or one is NaN.

    Raises
    ------
    TypeError, ValueError
        For dtypes that are no real numbers, shapes that do not broadcast, lengths that do not add up, and bad keywords; before
        any work.

    Notes
    -----
    Relative error at most 2^-21 for float32 and 2^-49 for float64, however small r is; for the sum and the means of k1 relative
    to those of |r|. Source: J. Schulman, "Approximating KL Divergence", 2020. The same bits for any number of threads and any
    memory layout.

    Examples
    --------
    >>> from klfast import rlhf
    >>> rlhf.kl_estimate([-1.0, -2.0, float("nan")], [-1.5, -2.0, 0.0], "k3", mask=[True, True, False]).round(8).tolist()
    [0.10653066, 0.0, 0.0]
    >>> rlhf.kl_estimate([-1.0, -2.0], [-1.5, -2.0], "k1", reduction="token_mean", return_count=True)
    (np.float64(0.25), 2)
    """
    _checks.choice("reduction", reduction, _checks_tokens.REDUCTIONS)
    if reduction != "none":
        _checks_tokens.no_output(out, reduction)
    table, value = _quickly(logp, ref_logp, kind, mask, lengths, reduction, clip, out, n_threads, dtype) or _estimates(
        logp, ref_logp, kind, mask, lengths, reduction, clip, out, n_threads, dtype
    )
    if reduction == "none":
        return (value, number_of(table[..., 1], reduction)) if return_count else value
    table = table.reshape(-1, table.shape[-1])
    counts = table[:, 1]
    count = number_of(counts, reduction)
    some = slice(None) if counts.all() else counts > 0
    sums = table[some, 0] / counts[some] if reduction == "sequence_mean" else table[some, 0]
    value = add_up(sums, 1.0 if reduction == "sum" else count)
    return (value, count) if return_count else value


def _quickly(logp, ref_logp, kind, mask, lengths, reduction, clip, out, n_threads, dtype):
    """What `_estimates` returns, for contiguous arrays of one type; None if something is out of the ordinary."""
    if not (lengths is dtype is None):
        return None
    _checks.choice("kind", kind, _checks_tokens.KINDS)
    written = (_kernels.NEW_MEMORY if out is None else out,) if reduction == "none" else ()
    found = quick_terms(kind, (logp, ref_logp), mask, n_threads, {"clip": _checks_tokens.clip(clip)}, written)
    return found and (found[0], found[1][0] if written else None)


def _estimates(logp, ref_logp, kind, mask, lengths, reduction, clip, out, n_threads, dtype):
    """(sum, count, last) of every sequence, and for reduction="none" one number a token."""
    tokens = Sequences(logp, ref_logp, kind, mask, lengths, clip, dtype, n_threads)
    if reduction != "none":
        return tokens.terms(kind), None
    target = tokens.output(out, _layout.common_type(tokens.inputs)[0])
    return tokens.terms(kind, [target]), out if out is not None else target.reshape(tokens.shape)[()]


def kl_estimate_grad(
    logp,
    ref_logp,
    kind="k1",
    mask=None,
    *,
    lengths=None,
    reduction="none",
    clip=None,
    grad_output=None,
    out=None,
    n_threads=None,
    dtype=None,
):
    """The gradient of `kl_estimate` with respect to logp.

    With r = ref_logp - logp: 1 for k1, -r for k2, 1 - e^r for k3, the sign of -r for abs (0 at 0); 0 where r is beyond `clip`,
    which limits the value there; times what the token counts in the reduced value.

    Parameters
    ----------
    logp, ref_logp, kind, mask, lengths, reduction, clip, n_threads, dtype
        As for `kl_estimate`.
    grad_output : array_like, optional
        The gradient of what comes after, by which this one is multiplied: one number, or for reduction="none" one for each
        token, broadcast to their shape.
    out : ndarray, optional
        Where to write the gradient; logp itself will do.

    Returns
    -------
    ndarray
        One number for each token, of the type of logp (float64 for integers); 0 where it does not count.

    Raises
    ------
    TypeError, ValueError
        As `kl_estimate`.

    Notes
    -----
    Relative error of each number at most 2^-21 for float32 and 2^-49 for float64. The gradient of the estimate is not an
    estimate of the gradient of the KL divergence: only that of k2 has the right mean under samples of the policy.

    Examples
    --------
    >>> from klfast import rlhf
    >>> rlhf.kl_estimate_grad([-1.0, -2.0], [-1.5, -2.0], "k3", reduction="token_mean").round(8).tolist()
    [0.19673467, 0.0]
    """
    _checks.choice("reduction", reduction, _checks_tokens.REDUCTIONS)
    tokens = Sequences(logp, ref_logp, kind, mask, lengths, clip, dtype, n_threads)
    shape = tokens.shape if reduction == "none" else ()
    given = _checks.gradients(grad_output, shape, None)
    others = {} if grad_output is None else {"grad_output": np.asarray(grad_output)}
    target = tokens.output(out, _layout.result_type(tokens.inputs[0]), ("logp",), others)
    factors = each = None
    if reduction == "none":
        each = None if given is None else given.reshape(target.shape)
    else:
        share = shares(tokens.counts(), reduction)
        with np.errstate(over="ignore", invalid="ignore"):  # the share of a sequence of no tokens is infinite
            factors = np.broadcast_to(share * (1.0 if given is None else given[0]), tokens.rows)
    tokens.terms(f"{kind}_grad", [target], factors, each)
    return out if out is not None else target.reshape(tokens.shape)
