"""Which rows the README shows: their names as in _workloads.py, table by table.

A line of a table is its label and the workloads whose figures stand beside each other in it.
"""

FLOATS = ("float32", "float64")
TOKENS = "256x128256 float32"
AVX2 = "x86-64-v3"  # the level that is compared with the machine's own


def of_floats(operation, shape, special=""):
    return tuple(f"{operation} {shape} {dtype} {special}".rstrip() for dtype in FLOATS)


VECTORS = of_floats("kl_divergence", 10_000_000)

LOGITS = (
    f"logits.cross_entropy {TOKENS}",
    f"logits.kl_divergence {TOKENS}",
    f"logits.kl_divergence {TOKENS} near",
)

# (label, names, whether klfast writes into memory that is there and is compared with a copy)
LOGIT_ROWS = (
    (
        "`cross_entropy`, 256 x 128,256, float16 / bfloat16",
        ("logits.cross_entropy 256x128256 float16", "logits.cross_entropy 256x128256 bfloat16"),
        False,
    ),
    ("`cross_entropy`, 10^6 x 10", ("logits.cross_entropy 1000000x10 float32",), False),
    ("the same with smoothing", ("logits.cross_entropy label_smoothing 1000000x10 float32",), False),
    ("`cross_entropy`, 50,000 x 1000", ("logits.cross_entropy 50000x1000 float32",), False),
    ("the same, value and gradient, `out=`", ("logits.cross_entropy_value_and_grad 50000x1000 float32",), True),
    ("`cross_entropy`, 32 x 100 x 64 x 64, axis 1", ("logits.cross_entropy 32x100x64x64 float32 axis 1",), False),
    ("`entropy`, 256 x 128,256", (f"logits.entropy {TOKENS}",), False),
    ("`token_logprobs`, 256 x 128,256", (f"logits.token_logprobs {TOKENS}",), False),
    ("`log_softmax`, 256 x 128,256, `out=`", (f"logits.log_softmax {TOKENS}",), True),
    ("`kl_divergence`, 256 x 128,256, bfloat16", ("logits.kl_divergence 256x128256 bfloat16",), False),
    ("`kl_divergence` of real rows, 510 x 49,152", ("logits.kl_divergence 510x49152 float32 real",), False),
    ("`kl_divergence`, 10^6 x 10", ("logits.kl_divergence 1000000x10 float32",), False),
    ("`js_divergence`, 256 x 128,256", (f"logits.js_divergence {TOKENS}",), False),
    ("`js_divergence`, 10^6 x 10", ("logits.js_divergence 1000000x10 float32",), False),
    ("`kl_divergence_grad`, both, 50,000 x 1000, `out=`", ("logits.kl_divergence_grad 50000x1000 float32",), True),
)

ROWS = (
    ("10^4 rows of 1000", of_floats("kl_divergence", "10000x1000")),
    ("10^5 rows of 100", of_floats("kl_divergence", "100000x100")),
    ("10^6 rows of 10", of_floats("kl_divergence", "1000000x10")),
    ("1000 x 10^4, axis 0", of_floats("kl_divergence", "1000x10000", "axis 0")),
    ("32 x 100 x 64 x 64, axis 1", of_floats("kl_divergence", "32x100x64x64", "axis 1")),
    ("10^4 rows of 1000 with a mask", of_floats("kl_divergence where", "10000x1000")),
    (
        "10^4 rows of 1000, float16 / bfloat16",
        ("kl_divergence 10000x1000 float16", "kl_divergence 10000x1000 bfloat16"),
    ),
    ("Jensen-Shannon, 10^4 rows of 1000", of_floats("js_divergence", "10000x1000")),
    ("the same, 95 % zeros", of_floats("js_divergence", "10000x1000", "zeros")),
    ("`rel_entr`, 10^7 elements", of_floats("rel_entr", 10_000_000)),
)

USES = (
    ("`rlhf.kl_estimate`, k3, mean of 10^4 x 1000 tokens", "rlhf.kl_estimate k3 10000x1000 float32", "read"),
    ("the same, k3 of every token, `out=`", "rlhf.kl_estimate k3 none 10000x1000 float32", "read"),
    ("`gaussian.kl_standard_normal`, 10^6 x 32", "gaussian.kl_standard_normal 1000000x32 float32", "read"),
    (
        "the same, value and gradients, `out=`",
        "gaussian.kl_standard_normal_value_and_grad 1000000x32 float32",
        "copy",
    ),
    ("`distill.topk`, 64 of 128,256, 256 rows", f"distill.topk {TOKENS}", "read"),
    ("`distill.topk_kl`, 64 of 128,256, 256 rows", f"distill.topk_kl {TOKENS}", "read"),
)

# Ratios from memory, at two levels: (label, names under float32 and float64).
LARGE = (
    ("KL, 10^8 entries", of_floats("kl_divergence", 100_000_000)),
    ("cross-entropy, 10^8 entries", of_floats("cross_entropy", 100_000_000)),
    ("entropy, 10^8 entries", of_floats("entropy", 100_000_000)),
)
MEMORY = (
    *LARGE,
    ("cross-entropy of logits, 256 x 128,256", (f"logits.cross_entropy {TOKENS}",)),
    ("KL of logits, 256 x 128,256", (f"logits.kl_divergence {TOKENS}",)),
    ("KL of logits, 256 x 128,256, nearly equal", (f"logits.kl_divergence {TOKENS} near",)),
)

# Where nothing but the call, or the caches, counts.
SMALL = (
    *of_floats("kl_divergence", 10),
    *of_floats("kl_divergence", 100_000),
    "entropy 100000 float32",
    "entr 100000 float32",
    "rel_entr 100000 float32",
    "kl_div 100000 float32",
)

# The picture of speeds: (label, name).
PICTURE = (
    ("KL, vectors of 10⁷, float32", "kl_divergence 10000000 float32"),
    ("KL, vectors of 10⁷, float64", "kl_divergence 10000000 float64"),
    ("KL, 10⁴ rows of 1000, float32", "kl_divergence 10000x1000 float32"),
    ("Jensen-Shannon, 10⁴ rows of 1000, float32", "js_divergence 10000x1000 float32"),
    ("Cross-entropy of logits, 256 × 128,256", f"logits.cross_entropy {TOKENS}"),
    ("KL of logits, 256 × 128,256", f"logits.kl_divergence {TOKENS}"),
    ("KL of logits, bfloat16", "logits.kl_divergence 256x128256 bfloat16"),
    ("Cross-entropy and gradient, 50,000 × 1000", "logits.cross_entropy_value_and_grad 50000x1000 float32"),
    ("RLHF: k3 estimate, 10⁴ × 1000 tokens", "rlhf.kl_estimate k3 10000x1000 float32"),
    ("VAE: KL to the prior, 10⁶ × 32", "gaussian.kl_standard_normal 1000000x32 float32"),
)


def _names(lines):
    return [name for _, names, *_ in lines for name in ((names,) if isinstance(names, str) else names)]


# What compare.py --set measures. "readme" is meant for all peers, the others for none.
SETS = {
    "readme": list(
        dict.fromkeys([*VECTORS, *LOGITS, *_names(LOGIT_ROWS), *_names(ROWS), *_names(USES), *SMALL, *_names(PICTURE)])
    ),
    "large": _names(LARGE),
    "memory": _names(MEMORY),
}
