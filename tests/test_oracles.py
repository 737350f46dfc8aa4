"""What tests hold results to is itself held to the textbook formulas, in another library's arithmetic, with digits galore."""

import mpmath
import numpy as np
import oracles
import oracles_distill
import oracles_divergences
import oracles_gradients
import oracles_logits
import pytest
from flint import arb
from mpmath import mpf

LENGTHS = (1, 2, 3, 17)
INF = np.inf
TEMPERATURE, BETA, SOFTCAP, Z_LOSS = 0.7, 0.3, 5.0, 1e-3


def assert_certain(found, exact):
    """To 70 bits, or of next to nothing to within next to nothing."""
    error = abs(found - exact)
    assert error <= mpmath.ldexp(abs(exact), -69) + mpmath.ldexp(1, -1100), (found, exact)


def assert_entries(found, exact):
    largest = max(abs(entry) for entry in exact)
    for rounded, rest, entry in zip(*found, exact, strict=True):
        assert abs(mpf(rounded) + mpf(rest) - entry) <= mpmath.ldexp(largest, -69) + mpmath.ldexp(1, -1050)
        assert abs(rest) <= abs(np.spacing(rounded))


def assert_raw_sum(p, q, exact):
    size = oracles.size_of_raw_terms("kl_divergence", p, q)
    assert abs(oracles.kl_divergence(p, q, normalize=False) - exact) <= mpmath.ldexp(size, -69)


def weights(length):
    """Pairs: apart, close, a unit apart, of many sizes, with zeros."""
    random = np.random.default_rng(length)
    p, q = random.gamma(0.5, size=(2, length))
    yield p, q
    yield p, p * (1.0 + 1e-9 * random.standard_normal(length))
    yield p, np.where(np.arange(length) == length // 2, np.nextafter(p, 1.0), p)
    yield p * 2.0 ** random.integers(-1000, 1000, length), q
    yield np.where(np.arange(length) % 3 == 1, 0.0, p), q


def scores(length):
    random = np.random.default_rng(length)
    x, y = 3.0 * random.standard_normal((2, length))
    impossible = np.arange(length) % 3 == 1
    yield x, y
    yield x, x + 1e-9 * random.standard_normal(length)
    yield 50.0 * x, 50.0 * y
    yield np.where(impossible, -INF, x), np.where(impossible, -INF, y)


def normalised(row):
    total = mpmath.fsum(row)
    return [value / total for value in row]


def softmax(x, temperature=1.0, softcap=None):
    numbers = [mpf(value) for value in x.tolist()]
    if softcap is not None:
        numbers = [softcap * mpmath.tanh(number / softcap) for number in numbers]
    return normalised([mpmath.exp(number / temperature) for number in numbers])


def kl(p, q):
    return mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def cross(p, q):
    return -mpmath.fsum(a * mpmath.log(b) for a, b in zip(p, q, strict=True) if a > 0)


def js(p, q, beta=0.5):
    beta = mpf(beta)
    middle = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * kl(p, middle) + (1 - beta) * kl(q, middle)


def renyi(p, q, alpha):
    return mpmath.log(mpmath.fsum(a**alpha * b ** (1 - alpha) for a, b in zip(p, q, strict=True) if a > 0)) / (
        alpha - 1
    )


def pairwise(term):
    return lambda p, q: mpmath.fsum(term(a, b) for a, b in zip(p, q, strict=True))


COMPARISONS = {
    "js_divergence": js,
    "total_variation": pairwise(lambda a, b: abs(a - b) / 2),
    "hellinger": lambda p, q: mpmath.sqrt(pairwise(lambda a, b: (mpmath.sqrt(a) - mpmath.sqrt(b)) ** 2 / 2)(p, q)),
    "chi2_divergence": pairwise(lambda a, b: (a - b) ** 2 / b),
    "jeffreys": lambda p, q: kl(p, q) + kl(q, p),
}


@pytest.mark.parametrize("length", LENGTHS)
def test_of_probabilities(length):
    for p, q in weights(length):
        with mpmath.workprec(4000):
            one, other = ([mpf(value) for value in row.tolist()] for row in (p, q))
            for normalize, a, b in ((True, normalised(one), normalised(other)), (False, one, other)):
                for name, formula in COMPARISONS.items():
                    if name != "jeffreys" or np.all(p > 0):
                        assert_certain(getattr(oracles_divergences, name)(p, q, normalize), formula(a, b))
            assert_raw_sum(p, q, kl(one, other))
            a, b = normalised(one), normalised(other)
            assert_certain(oracles.kl_divergence(p, q), kl(a, b))
            assert_certain(oracles.cross_entropy(p, q), cross(a, b))
            assert_certain(oracles.entropy(p), cross(a, a))
            for alpha in (0.3, 2.0, 7.0):
                assert_certain(oracles_divergences.renyi_divergence(p, q, alpha), renyi(a, b, mpf(alpha)))
            largest = max(x / y for x, y in zip(a, b, strict=True))
            assert_certain(oracles_divergences.renyi_divergence(p, q, INF), mpmath.log(largest))
            mixture = js(a, b, 0.25)
            assert_certain(oracles_divergences.mixture_divergence([p, q], [1.0, 3.0]), mixture)


@pytest.mark.parametrize("length", LENGTHS)
def test_of_logits(length):
    label = 2 if length > 2 else 0
    for x, y in scores(length):
        with mpmath.workprec(4000):
            for temperature in (1.0, TEMPERATURE):
                p, q = softmax(x, temperature), softmax(y, temperature)
                log_total = mpmath.log(mpmath.fsum(mpmath.exp(mpf(value) / temperature) for value in x.tolist()))
                assert_certain(oracles_logits.kl_divergence(x, y, temperature), kl(p, q))
                assert_certain(oracles_logits.js_divergence(x, y, BETA, temperature), js(p, q, BETA))
                assert_certain(oracles_logits.entropy(x, temperature), cross(p, p))
                assert_certain(oracles_logits.mean_score_loss(x, y, temperature), cross(p, q))
                assert_certain(oracles_logits.logsumexp(x, temperature), log_total)
                assert_certain(oracles_logits.cross_entropy(x, label, temperature=temperature), -mpmath.log(p[label]))
                assert_entries(oracles_logits.softmax(x, temperature), p)
            p, q = softmax(x), softmax(y)
            assert_certain(oracles.logits_kl_divergence(x, y), kl(p, q))
            assert_certain(oracles.logits_js_divergence(x, y), js(p, q))
            assert_certain(oracles.logits_entropy(x), cross(p, p))
            assert_certain(oracles.logits_cross_entropy(x, label), -mpmath.log(p[label]))
            of_x = mpmath.log(mpmath.fsum(mpmath.exp(mpf(value)) for value in x.tolist()))
            assert_certain(oracles.logits_logsumexp(x), of_x)


def slopes(function, x):
    """By small differences, with digits galore."""
    step = mpmath.ldexp(1, -800)
    numbers = [mpf(value) for value in x.tolist()]
    found = []
    for place in range(len(numbers)):
        sides = [[*numbers[:place], numbers[place] + sign * step, *numbers[place + 1 :]] for sign in (1, -1)]
        found.append((function(sides[0]) - function(sides[1])) / (2 * step))
    return found


def softmax_of(numbers, softcap=None):
    if softcap is not None:
        numbers = [softcap * mpmath.tanh(number / softcap) for number in numbers]
    return normalised([mpmath.exp(number / mpf(TEMPERATURE)) for number in numbers])


@pytest.mark.parametrize("length", (2, 3, 7))
def test_gradients(length):
    random = np.random.default_rng(length)
    x, y = 3.0 * random.standard_normal((2, length))
    target = random.gamma(0.5, size=length)
    with mpmath.workprec(4000):
        p, q = softmax(x, TEMPERATURE), softmax(y, TEMPERATURE)
        shares = normalised([mpf(value) for value in target.tolist()])

        def loss(numbers):
            capped = [mpf(SOFTCAP) * mpmath.tanh(number / mpf(SOFTCAP)) / mpf(TEMPERATURE) for number in numbers]
            log_total = mpmath.log(mpmath.fsum(mpmath.exp(number) for number in capped))
            terms = mpmath.fsum(share * (log_total - number) for share, number in zip(shares, capped, strict=True))
            return terms + mpf(Z_LOSS) * log_total**2

        options = {"temperature": TEMPERATURE, "softcap": SOFTCAP, "z_loss": Z_LOSS}
        assert_certain(oracles_logits.cross_entropy(x, target, **options), loss([mpf(value) for value in x.tolist()]))
        assert_entries(oracles_gradients.cross_entropy(x, target, **options), slopes(loss, x))
        by_x, by_y = oracles_gradients.kl_divergence(x, y, TEMPERATURE)
        assert_entries(by_x, slopes(lambda numbers: kl(softmax_of(numbers), q), x))
        assert_entries(by_y, slopes(lambda numbers: kl(p, softmax_of(numbers)), y))
        by_x, by_y = oracles_gradients.js_divergence(x, y, BETA, TEMPERATURE)
        assert_entries(by_x, slopes(lambda numbers: js(softmax_of(numbers), q, BETA), x))
        assert_entries(by_y, slopes(lambda numbers: js(p, softmax_of(numbers), BETA), y))
        entropy = slopes(lambda numbers: cross(softmax_of(numbers), softmax_of(numbers)), x)
        assert_entries(oracles_gradients.entropy(x, TEMPERATURE), entropy)


@pytest.mark.parametrize("direction", ("forward", "reverse"))
def test_of_a_teachers_list(direction):
    random = np.random.default_rng(9)
    x, ids = 2.0 * random.standard_normal(9), np.array([7, 2, 0])
    with mpmath.workprec(2000):
        logprobs = np.log(np.array([0.5, 0.2, 0.1]))
        listed = [mpmath.exp(mpf(value)) for value in logprobs.tolist()]
        teacher = [*listed, 1 - mpmath.fsum(listed)]

        def divergence(numbers):
            q = softmax_of(numbers)
            student = [*(q[place] for place in ids), mpmath.fsum(q[place] for place in range(9) if place not in ids)]
            return kl(teacher, student) if direction == "forward" else kl(student, teacher)

        options = {"direction": direction, "temperature": TEMPERATURE}
        value = oracles_distill.topk_kl(logprobs, ids, x, **options)
        assert_certain(value, divergence([mpf(value) for value in x.tolist()]))
        assert_entries(oracles_distill.topk_kl_grad(logprobs, ids, x, **options), slopes(divergence, x))


def test_what_is_zero_is_told_from_what_is_nearly():
    p, x = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])
    assert oracles.kl_divergence(p, 2.0 * p) == 0
    assert oracles.kl_divergence(p, np.nextafter(p, [1.0, 3.0, 3.0])) > 0
    assert oracles_logits.js_divergence(x, x + 4.0) == 0
    assert oracles_logits.js_divergence(x, np.nextafter(x, [1.0, 3.0, 3.0])) > 0
    assert oracles_divergences.total_variation(p, 3.0 * p) == 0


def test_what_cannot_be_told_is_refused():
    with pytest.raises(ArithmeticError, match="not certain after"):
        oracles.certain(lambda: arb(0, 1), lambda: False)
