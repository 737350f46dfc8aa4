"""What the arguments of the public functions mean by their names: what they may be, and what must be refused.

A new name needs a line here, or a function in `MADE` of hostile.py.
"""

import numpy as np

INF, NAN = np.inf, np.nan
IGNORED = -100  # the class id that does not count, unless another one is named

# Arrays that are broadcast against each other, and what they mean.
ARRAYS = {
    **dict.fromkeys(("p", "q"), "weight"),
    **dict.fromkeys(("x1", "x2"), "logit"),
    **dict.fromkeys(("x", "y", "teacher_logits", "student_logits", "logits", "ref_logits"), "score"),
    **dict.fromkeys(("lp", "lq", "logp", "ref_logp", "behaviour_logp"), "log-probability"),
    **dict.fromkeys(("mu", "logvar", "mu1", "logvar1", "mu2", "logvar2", "loc1", "loc2"), "real"),
    **dict.fromkeys(("a1", "b1", "a2", "b2", "rate1", "rate2", "shape1", "shape2", "scale1", "scale2"), "positive"),
    **dict.fromkeys(("concentration1", "concentration2"), "positive"),
    **dict.fromkeys(("p1", "p2"), "fraction"),
}
# Functions, by the beginnings of their names, whose classes lie along one axis.
ONE_AXIS = (
    "logits.cross_entropy",
    "logits.token_logprobs",
    "logits.compare_rows",
    "distill.topk",
    "rlhf.kl_penalty",
    "families.kl_dirichlet",
)
# Functions that refuse rows without classes, or whose twin has no answer for them.
SOME_CLASS = ("distill.topk", "logits.compare_rows")
# Functions that look at more than the signs and sizes of single numbers when they are told to check.
CHECK_SUMS = ("logprobs.",)
# What an option may be, by its name, or by that of the function with it where it means something else there.
OPTIONS = {
    "keepdims": (False, True),
    "base": (None, 2, 10.0, 0.5, np.float32(3.0)),
    "normalize": (True, False),
    "n_threads": (None, 1, 2, 3, np.int64(5)),
    "temperature": (1.0, 0.3, 7, np.float32(2.0), 30.0),
    "alpha": (0, 0.0, 0.5, 1, 1.0, 2, 3.5, INF, np.float32(0.25)),
    "beta": (0.5, 0.01, 0.9, np.float32(0.25)),
    "rlhf.shaped_rewards.beta": (0.1, 0, -0.5, np.float32(2.0)),
    "wrt": ("x", "y", "both"),
    "label_smoothing": (0.0, 0.1, 1.0, 1),
    "smooth_over": ("all", "finite"),
    "z_loss": (0.0, 0.01, -0.5),
    "softcap": (None, 3.0, 50),
    "reduction": ("none", "sum", "mean"),
    "rlhf.kl_estimate.reduction": ("none", "sum", "token_mean", "sequence_mean"),
    "rlhf.kl_estimate_grad.reduction": ("none", "sum", "token_mean", "sequence_mean"),
    "ignore_index": (IGNORED, 0, None, np.int8(1)),
    "direction": ("forward", "reverse"),
    "distill.kl.direction": ("forward", "reverse", "jsd"),
    "distill.kl_grad.direction": ("forward", "reverse", "jsd"),
    "distill.kl_value_and_grad.direction": ("forward", "reverse", "jsd"),
    "tail": ("bucket", "renormalize", "none", "uniform"),
    "scale_by_t2": (False, True),
    "return_count": (False, True),
    "free_bits": (0.0, 0.5, 2),
    "kind": ("k1", "k2", "k3", "abs"),
    "clip": (None, 0.5, 10, INF),
}
NUMBERS = ("1", b"1", [1.0], 1j, object)  # that are none
CHOICES = ("other", "", "NONE", 1, None, b"none")
REFUSED = {
    "base": (0, 1, -2, NAN, INF, -INF, True, np.array([2.0]), *NUMBERS),
    "n_threads": (0, -1, 1.5, "2", True, [1], NAN, -(10**30)),
    "temperature": (0, -1.0, NAN, INF, 1e-16, 1e16, True, None, np.ones(1), *NUMBERS),
    "alpha": (-0.5, NAN, -INF, True, None, *NUMBERS),
    "beta": (0, 1, -0.5, 2.0, NAN, INF, True, None, *NUMBERS),
    "rlhf.shaped_rewards.beta": (NAN, INF, True, None, *NUMBERS),
    "wrt": ("z", "X", None, 1),
    "label_smoothing": (-0.1, 1.5, NAN, True, None, *NUMBERS),
    "smooth_over": CHOICES,
    "z_loss": (NAN, INF, True, None, *NUMBERS),
    "softcap": (0, -1, NAN, INF, True, *NUMBERS),
    "reduction": ("batchmean", *CHOICES),
    "ignore_index": (1.0, "0", True, NAN, [0]),
    "direction": CHOICES,
    "tail": ("other", "", "NONE", 1, None),
    "free_bits": (-0.5, NAN, INF, True, None, *NUMBERS),
    "kind": ("k4", *CHOICES),
    "clip": (0, -1.0, NAN, True, *NUMBERS),
    "dtype": ("float8", "float32", 16, np.float32, np.dtype("f4"), "BFLOAT16", b"bfloat16"),
    "k": (0, -1, 10**6, 10**30, 1.0, "1", True, None),
    "lengths": ([-1], [1.5], [[1]], [10**6], "3", [2**63 - 1, 2**63 - 1]),
}
