"""What a policy is rewarded with, token by token, and the full KL that penalises it."""

import numpy as np

from klfast import _checks, _checks_distill, _checks_tokens, _layout, _threads
from klfast._dispatch import named_arrays, run, safe_type
from klfast._rlhf import Sequences


def kl_penalty(
    logits, ref_logits, mask=None, *, axis=-1, temperature=1.0, out=None, n_threads=None, dtype=None, check=False
):
    """D(policy || reference) over the whole vocabulary, token by token: `klfast.logits.kl_divergence` where a token counts.

    Parameters
    ----------
    logits, ref_logits : array_like
        Logits of the policy, and of the reference, broadcast against each other.
    mask : array_like of bool, optional
        Which tokens count (True), broadcast to the shape of the result. The others are skipped, whatever they hold.
    axis : int
        The axis along which the vocabulary lies.
    temperature : float
        Both logits are divided by it.
    out : ndarray of float64, optional
        Where to write the result.
    n_threads : int, optional
        How many threads this call may use.
    dtype : "bfloat16", optional
        Says that arrays of uint16 hold the bits of bfloat16 numbers.
    check : bool
        Raise ValueError for NaN and +inf in tokens that count; without it these tokens are NaN.

    Returns
    -------
    float64 or ndarray of float64
        In nats; one for each token, 0 where it does not count. Never negative.

    Raises
    ------
    TypeError, ValueError
        As `klfast.logits.kl_divergence`, and for masks that do not fit.

    Notes
    -----
    Accuracy and special values as `klfast.logits.kl_divergence`.

    Examples
    --------
    >>> from klfast import rlhf
    >>> logits, reference = [[1.0, 2.0, 3.0], [float("nan")] * 3], [[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]]
    >>> rlhf.kl_penalty(logits, reference, mask=[True, False]).round(12).tolist()
    [0.096999099337, 0.0]
    """
    inputs = _checks.inputs({"logits": logits, "ref_logits": ref_logits}, dtype)
    (axis,) = _checks.single_axis(axis, inputs[0].array.ndim)
    chosen = _checks.included(None, inputs)
    shape = _layout.result_shape(inputs[0].array.shape, (axis,), False)
    counted = _checks_distill.counted_rows(mask, shape)
    parameters = {"temperature": _checks.temperature(temperature)}
    n_threads = _threads.resolve(n_threads, inputs[0].array.size)
    if out is not None:
        _checks.output(out, shape, named_arrays(inputs, chosen) | ({} if counted is None else {"mask": counted}))
    if check:
        entries = chosen if counted is None else np.broadcast_to(np.expand_dims(counted, axis), inputs[0].array.shape)
        for one in inputs:
            _checks.scores(one, entries if chosen is None or counted is None else entries & chosen)
    results = np.zeros(shape)
    compute = safe_type(parameters)
    run(
        "logits_kl_divergence",
        inputs,
        chosen,
        (axis,),
        results,
        n_threads,
        parameters,
        counted=counted,
        compute=compute,
    )
    if counted is not None:
        results[~counted] = 0.0
    if out is None:
        return results[()]
    out[...] = results
    return out


def shaped_rewards(
    scores,
    logp,
    ref_logp,
    beta,
    mask=None,
    kind="k1",
    *,
    lengths=None,
    clip=None,
    out=None,
    n_threads=None,
    dtype=None,
):
    """Per-token rewards of PPO for language models: -beta*KL, and the sequence's score at its last token that counts.

    Parameters
    ----------
    scores : array_like
        The score of every sequence.
    logp, ref_logp : array_like
        Log-probabilities of the sampled tokens under the policy, and under the reference, of one shape; sequences lie along the
        last axis.
    beta : float
        The coefficient of the penalty; finite.
    mask, kind, lengths, clip, n_threads, dtype
        As for `kl_estimate`.
    out : ndarray, optional
        Where to write the rewards: of the tokens' shape and type.

    Returns
    -------
    rewards : ndarray
        One for each token, in the type of the log-probabilities; 0 where it does not count.
    mean_kl : float64 or ndarray of float64
        The mean of the estimator over the tokens of each sequence, in nats; NaN for a sequence without any, whose score goes
        nowhere.

    Raises
    ------
    TypeError, ValueError
        As `kl_estimate`, and for scores that are not one for each sequence.

    Notes
    -----
    One reading of the memory. The reward of the last token is added up in double and rounded once; accuracy and special values
    as `kl_estimate`. Source: Ziegler et al., "Fine-Tuning Language Models from Human Preferences", 2019.

    Examples
    --------
    >>> from klfast import rlhf
    >>> rewards, mean_kl = rlhf.shaped_rewards([1.0], [[-1.0, -2.0, 0.0]], [[-1.5, -2.5, 0.0]], 0.1, [[True, True, False]])
    >>> rewards.round(12).tolist(), mean_kl.tolist()
    ([[-0.05, 0.95, 0.0]], [0.5])
    """
    tokens = Sequences(logp, ref_logp, kind, mask, lengths, clip, dtype, n_threads)
    beta = _checks.finite("beta", beta)
    rows = tokens.rows
    given = _checks_tokens.scores(scores, rows, dtype)
    target = tokens.output(out, _layout.common_type(tokens.inputs)[0])
    table = tokens.terms(kind, [target], np.full(rows, -beta)).reshape(-1, 3)
    _add_scores(tokens, target, given.reshape(-1), beta, table[:, 2].astype(np.intp))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_kl = np.where(table[:, 1] > 0, table[:, 0], np.nan) / table[:, 1]
    return out if out is not None else target.reshape(tokens.shape), mean_kl.reshape(rows)[()]


def _add_scores(tokens, target, scores, beta, last):
    """The last token of each sequence once more, in double, with the score."""
    some = np.flatnonzero(last >= 0)
    if not some.size:
        return
    if tokens.lengths is None:
        place = np.unravel_index(some, tokens.rows or (1,)) if tokens.rows else ()
        place = (*place, last[some])
    else:
        begins = np.cumsum(tokens.lengths) - tokens.lengths
        place = (begins[some] + last[some],)
    at_last = [one._replace(array=one.array[place]).numbers().astype(np.float64) for one in tokens.inputs]
    penalty = np.zeros(some.size)
    again = Sequences(*at_last, tokens.kind, None, None, tokens.clip, None, 1)
    again.terms(tokens.kind, [penalty])
    with np.errstate(over="ignore", invalid="ignore"):
        values = scores[some] - beta * penalty
    with np.errstate(over="ignore"):
        if target.dtype == np.uint16 or _layout.is_bfloat16(target.dtype):
            target.view(np.uint16)[place] = _layout.rounded_once(values)
        else:
            target[place] = values
