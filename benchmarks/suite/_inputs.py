"""Inputs for every public function, chosen by the names of its parameters."""

import inspect

import numpy as np

SEED = 20240229
KEPT = 8  # classes of a teacher, of which there are at least ten
FEATURES = 32  # of Gaussians with a whole covariance, whose cost grows with the cube


class Inputs:
    """Arrays of one shape and type. Every method is the name of a parameter, or the kind of several of them."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype = shape, dtype
        self.generator = np.random.default_rng(SEED)

    def probabilities(self):
        weights = self.positive()
        return (weights / weights.sum(axis=-1, keepdims=True, dtype=np.float64)).astype(self.dtype)

    def logits(self):
        return self.generator.normal(0, 3, self.shape).astype(self.dtype)

    def logprobs(self):
        return np.log(self.probabilities())

    def positive(self):
        return self.generator.gamma(2, 1, self.shape).astype(self.dtype) + self.dtype.type(1e-6)

    def chances(self):
        return self.generator.uniform(0.01, 0.99, self.shape).astype(self.dtype)

    def ids(self):
        return self.generator.integers(self.shape[-1], size=self.shape[:-1])

    def teacher_ids(self):
        """Classes of which none comes twice, and for `teacher_logprobs` something that they may have."""
        first = self.generator.integers(self.shape[-1], size=(*self.shape[:-1], 1))
        return (first + np.arange(KEPT)) % self.shape[-1]

    def teacher_logprobs(self):
        return np.broadcast_to(np.log(np.full(KEPT, 0.9 / KEPT, self.dtype)), (*self.shape[:-1], KEPT)).copy()

    def means(self):
        return self.generator.standard_normal(min(FEATURES, self.shape[-1])).astype(self.dtype)

    def covariances(self):
        n = min(FEATURES, self.shape[-1])
        root = self.generator.standard_normal((n, n))
        return (root @ root.T + n * np.eye(n)).astype(self.dtype)

    def scores(self):
        return self.generator.standard_normal(self.shape[:-1]).astype(self.dtype)


# Which method of Inputs makes a parameter, or its value where that is a number.
PARAMETERS = {
    "probabilities": ("p", "q"),
    "logits": ("x", "y", "x1", "x2", "logits", "ref_logits", "teacher_logits", "student_logits"),
    "logprobs": ("lp", "lq", "logp", "ref_logp", "behaviour_logp"),
    "positive": ("a1", "a2", "b1", "b2", "rate1", "rate2", "shape1", "shape2", "scale1", "scale2"),
    "chances": ("p1", "p2"),
    "ids": ("target", "ids"),
    "teacher_ids": ("teacher_ids",),
    "teacher_logprobs": ("teacher_logprobs",),
    "means": ("mean1", "mean2"),
    "covariances": ("cov1", "cov2"),
    "scores": ("scores",),
}
MAKERS = {parameter: maker for maker, parameters in PARAMETERS.items() for parameter in parameters}
MAKERS |= dict.fromkeys(("loc1", "loc2", "mu", "mu1", "mu2", "logvar", "logvar1", "logvar2"), "logits")
MAKERS |= dict.fromkeys(("concentration1", "concentration2"), "positive")
NUMBERS = {"alpha": 0.5, "beta": 0.1, "k": KEPT}
GIVEN_TOO = ("q", "target")  # that have a default, but not one worth timing


def needed(function):
    """The parameters that a benchmark gives. One that nobody knows how to make is an error, for whoever has added it."""
    parameters = inspect.signature(function).parameters.values()
    names = [one.name for one in parameters if one.default is one.empty or one.name in GIVEN_TOO]
    for name in names:
        if name not in MAKERS and name not in NUMBERS:
            raise LookupError(f"{function.__module__}.{function.__name__}: {name} is not in PARAMETERS of {__name__}")
    return names


def make_inputs(function, shape, dtype, instead=()):
    """Its arguments by name, all written to, so that no page of memory is touched for the first time while it is timed."""
    inputs = Inputs(shape, np.dtype(dtype))
    makers = MAKERS | {name: MAKERS[like] for name, like in dict(instead).items()}
    return {name: NUMBERS[name] if name in NUMBERS else getattr(inputs, makers[name])() for name in needed(function)}
