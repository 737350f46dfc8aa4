"""torch and optax agree: every option of cross-entropy, and gradients by their automatic differentiation, in float64."""

import itertools

import numpy as np
import pytest

from klfast import logits

torch = pytest.importorskip("torch", reason="torch is not installed")
functional = torch.nn.functional

RANDOM = np.random.default_rng(13)
RTOL = 1e-11
# The shape of the logits for torch, whose classes are the second axis.
SHAPES = {"one row": (7,), "rows": (6, 7), "sequences": (3, 7, 5), "images": (2, 7, 3, 4)}


def choices(**keywords):
    return [dict(zip(keywords, values)) for values in itertools.product(*keywords.values())]


OPTIONS = choices(
    weight=[None, RANDOM.uniform(0.0, 2.0, 7)],
    label_smoothing=[0.0, 0.1, 1.0],
    reduction=["none", "sum", "mean"],
)


def class_axis(shape):
    return 1 if len(shape) > 1 else 0


def as_torch(keywords):
    return {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in keywords.items()}


def examples(shape):
    x = RANDOM.normal(0.0, 3.0, shape)
    axis = class_axis(shape)
    return x, RANDOM.integers(0, 7, np.delete(shape, axis)), RANDOM.dirichlet(np.ones(7), np.delete(shape, axis)), axis


def assert_same(x, target, torch_target, axis, keywords, torch_keywords):
    """Values and gradients, with an upstream gradient if there is one for each row."""
    tensor = torch.tensor(x, requires_grad=True)
    loss = functional.cross_entropy(tensor, torch_target, **as_torch(torch_keywords))
    upstream = RANDOM.normal(size=tuple(loss.shape))
    loss.backward(torch.tensor(upstream))
    value, gradient = logits.cross_entropy_value_and_grad(x, target, axis=axis, grad_output=upstream, **keywords)
    np.testing.assert_allclose(value, loss.detach().numpy(), rtol=RTOL, atol=1e-14, err_msg=str(keywords))
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=RTOL, atol=1e-14, err_msg=str(keywords))
    np.testing.assert_array_equal(logits.cross_entropy(x, target, axis=axis, **keywords), value)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ignore_index", [-100, 3, 255])
def test_cross_entropy_of_class_ids(shape, ignore_index):
    for keywords in OPTIONS:
        x, ids, _, axis = examples(SHAPES[shape])
        ids = np.asarray(ids)
        if ids.size > 1:
            ids.flat[::4] = ignore_index
            ids.flat[1] = (ignore_index + 1) % 7  # so that one row is left
        keywords = keywords | {"ignore_index": ignore_index}
        assert_same(x, ids, torch.tensor(ids), axis, keywords, keywords)
        if ids.size > 1 and ids.max() < 128:
            narrow = ids.astype(np.int8)
            result = logits.cross_entropy(x, narrow, axis=axis, **keywords)
            np.testing.assert_array_equal(result, logits.cross_entropy(x, ids, axis=axis, **keywords))


@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_of_probabilities(shape):
    for keywords, normalize in itertools.product(OPTIONS, (True, False)):
        x, _, target, axis = examples(SHAPES[shape])
        target = np.moveaxis(target, -1, axis)
        if not normalize:  # torch takes any weights as they are
            target = target * RANDOM.uniform(0.5, 2.0, target.shape)
        assert_same(x, target, torch.tensor(target), axis, keywords | {"normalize": normalize}, keywords)


@pytest.mark.parametrize("weight", [None, RANDOM.uniform(0.0, 2.0, 7)], ids=["plain", "weight"])
def test_if_every_label_is_ignored(weight):
    x, ids = RANDOM.normal(size=(5, 7)), np.full(5, -100)
    for reduction in ("none", "sum", "mean"):
        keywords = {"weight": weight, "reduction": reduction}
        expected = functional.cross_entropy(torch.tensor(x), torch.tensor(ids), **as_torch(keywords)).numpy()
        np.testing.assert_array_equal(logits.cross_entropy(x, ids, **keywords), expected)


def test_a_label_that_is_impossible():
    x, ids = np.array([[0.0, 1.0, -np.inf], [0.0, -np.inf, 1.0], [2.0, 3.0, -np.inf]]), np.array([2, 2, 0])
    tensor = torch.tensor(x, requires_grad=True)
    loss = functional.cross_entropy(tensor, torch.tensor(ids), reduction="none")
    loss.backward(torch.ones(3))
    np.testing.assert_allclose(logits.cross_entropy(x, ids), loss.detach().numpy(), rtol=RTOL)
    np.testing.assert_allclose(logits.cross_entropy_grad(x, ids), tensor.grad.numpy(), rtol=RTOL, atol=1e-16)


# What torch has no function for, in terms of its log_softmax ---------------------------------------------------------


def assert_same_function(ours, theirs, *arrays):
    """ours: (value, gradients); theirs: a tensor with one number for each row."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = theirs(*tensors)
    expected.sum().backward()
    value, gradients = ours
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-10, atol=1e-14)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_divergences_and_entropy(axis, temperature):
    x, y = RANDOM.normal(0.0, 2.0, (2, 4, 5, 6))
    keywords = {"axis": axis, "temperature": temperature}

    def logs(z):
        return torch.log_softmax(z / temperature, axis)

    def kl(z, w):
        return (logs(z).exp() * (logs(z) - logs(w))).sum(axis)

    def js(z, w, beta):
        log_m = torch.logaddexp(logs(z) + np.log(beta), logs(w) + np.log1p(-beta))
        of_z, of_w = ((logs(one).exp() * (logs(one) - log_m)).sum(axis) for one in (z, w))
        return beta * of_z + (1 - beta) * of_w

    def entropy(z):
        return -(logs(z).exp() * logs(z)).sum(axis)

    assert_same_function(logits.kl_divergence_value_and_grad(x, y, wrt="both", **keywords), kl, x, y)
    for beta in (0.5, 0.1, 0.9):
        ours = logits.js_divergence_value_and_grad(x, y, wrt="both", beta=beta, **keywords)
        assert_same_function(ours, lambda z, w, beta=beta: js(z, w, beta), x, y)
    value, gradient = logits.entropy_value_and_grad(x, **keywords)
    assert_same_function((value, [gradient]), entropy, x)
    np.testing.assert_allclose(logits.softmax(x, **keywords), logs(torch.tensor(x)).exp(), rtol=RTOL)
    np.testing.assert_allclose(logits.log_softmax(x, **keywords), logs(torch.tensor(x)), rtol=RTOL)
    expected = torch.logsumexp(torch.tensor(x) / temperature, axis)
    np.testing.assert_allclose(logits.logsumexp(x, **keywords), expected, rtol=RTOL)


def test_kl_div_takes_its_arguments_the_other_way_round():
    x, y = RANDOM.normal(0.0, 2.0, (2, 4, 6))
    log_p, log_q = (torch.log_softmax(torch.tensor(z), -1) for z in (x, y))
    expected = functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    assert logits.kl_divergence(x, y).mean() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("softcap", [None, 4.0])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_caps_and_penalties(temperature, z_loss, softcap):
    x, ids, target, axis = examples((6, 7))
    keywords = {"temperature": temperature, "z_loss": z_loss, "softcap": softcap, "label_smoothing": 0.1}

    def theirs(goal):
        def loss(z):
            scores = (z if softcap is None else softcap * torch.tanh(z / softcap)) / temperature
            penalty = z_loss * torch.logsumexp(scores, -1) ** 2
            return functional.cross_entropy(scores, torch.tensor(goal), reduction="none", label_smoothing=0.1) + penalty

        return loss

    for goal in (ids, target):
        value, gradient = logits.cross_entropy_value_and_grad(x, goal, **keywords)
        assert_same_function((value, [gradient]), theirs(goal), x)
    expected = -theirs(ids)(torch.tensor(x)) if not z_loss else None
    if expected is not None:
        plain = logits.token_logprobs(x, ids, temperature=temperature, softcap=softcap)
        smooth = logits.cross_entropy(x, np.full((6, 7), 1 / 7), temperature=temperature, softcap=softcap)
        np.testing.assert_allclose(0.9 * plain - 0.1 * smooth, expected, rtol=RTOL)


def test_gathered_log_probabilities():
    x, ids = RANDOM.normal(0.0, 3.0, (3, 5, 40)), RANDOM.integers(0, 40, (3, 5, 4))
    expected = torch.gather(torch.log_softmax(torch.tensor(x), -1), -1, torch.tensor(ids))
    np.testing.assert_allclose(logits.token_logprobs(x, ids), expected, rtol=RTOL)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_tensors_are_arrays(name):
    x, ids = RANDOM.normal(0.0, 3.0, (6, 7)), RANDOM.integers(0, 7, 6)
    tensor, labels = torch.tensor(x, dtype=getattr(torch, name)), torch.tensor(ids)
    expected = logits.cross_entropy(x.astype(name), ids)
    np.testing.assert_array_equal(logits.cross_entropy(tensor, labels), expected)
    np.testing.assert_array_equal(logits.cross_entropy(tensor.T, labels.to(torch.int32), axis=0), expected)
    assert type(logits.softmax(tensor)) is np.ndarray


# optax ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def optax():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    jax.config.update("jax_enable_x64", True)
    return pytest.importorskip("optax", reason="optax is not installed")


def test_losses_of_optax(optax):
    x, ids, target, _ = examples((6, 7))
    losses = {
        "safe": optax.safe_softmax_cross_entropy(x, target),
        "plain": optax.softmax_cross_entropy(x, target),
        "ids": optax.softmax_cross_entropy_with_integer_labels(x, ids),
        "smoothed": optax.softmax_cross_entropy(x, optax.smooth_labels(np.eye(7)[ids], 0.1)),
    }
    np.testing.assert_allclose(logits.cross_entropy(x, target), losses["safe"], rtol=RTOL)
    np.testing.assert_allclose(logits.cross_entropy(x, target), losses["plain"], rtol=RTOL)
    np.testing.assert_allclose(logits.cross_entropy(x, ids), losses["ids"], rtol=RTOL)
    np.testing.assert_allclose(logits.cross_entropy(x, ids, label_smoothing=0.1), losses["smoothed"], rtol=RTOL)


def test_the_safe_loss_of_optax_where_a_class_is_impossible(optax):
    import jax

    x, target = np.array([[-np.inf, 0.0, 1.0], [-np.inf, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0], [0.0, 0.25, 0.75]])
    value, gradient = logits.cross_entropy_value_and_grad(x, target)
    np.testing.assert_allclose(value, optax.safe_softmax_cross_entropy(x, target), rtol=RTOL)
    expected = jax.grad(lambda z: optax.safe_softmax_cross_entropy(z, target).sum())(x)
    np.testing.assert_allclose(gradient, expected, rtol=RTOL, atol=1e-15)


def test_divergences_of_optax(optax):
    x, y = RANDOM.normal(0.0, 2.0, (2, 6, 7))
    log_p, log_q = logits.log_softmax(x), logits.log_softmax(y)
    result = logits.kl_divergence(x, y)
    np.testing.assert_allclose(result, optax.losses.kl_divergence_with_log_targets(log_q, log_p), rtol=1e-11)
    np.testing.assert_allclose(result, optax.kl_divergence(log_q, np.exp(log_p)), rtol=1e-11)
