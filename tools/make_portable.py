"""Makes tests/portable/expected.txt: what the kernels return, bit by bit, beside the exact values.

    python tools/make_portable.py

Needs `mpmath`, and a CPU with FMA. Every number that has an exact value here must be within its bound, or nothing is written.
Lines are those of the program in tests/portable; behind = stand the exact values, rounded to double: of a function's result,
or of the first two rows of an operation.
"""

import struct
import sys
import tempfile

import check_portable
import mpmath
from mpmath import exp, expm1, log, mpf

INFINITE = mpmath.inf
UNIT = {"f32": 2.0**-24, "f64": 2.0**-53}
# Of functions, in units; of whole rows, what is promised.
FUNCTION_UNITS = 8
ROW_ERROR = {"f32": 2.0**-21, "f64": 2.0**-49}
RENYI_ERROR = 2.0**-45
# What the formulas here lose of rows that come to less is more than the digits they are worked out with.
DIGITS, SMALLEST_ROW = 120, 1e-60


def gap(a, b):
    return a * log(a / b) - a + b


def logits_gap(d, _):
    return d + expm1(-d)


FUNCTIONS = {
    "log_ratio": lambda a, b: log(a / b),
    "gap": gap,
    "careful_gap": gap,
    "scaled_exp": lambda x, t: exp(x / t),
    "exp_over": lambda x, t: exp(x / t),
    "logits_gap_near": logits_gap,
    "logits_gap_apart": logits_gap,
    "exp_gap": logits_gap,
    "log1p_any": lambda x, _: mpmath.log1p(x),
    "exp_any": lambda x, _: exp(x),
    "exp_to_the_end": lambda x, _: exp(x),
    "exp_gap_any": lambda x, y: expm1(x - y) - (x - y),
    "expm1_any": lambda x, y: expm1(x - y),
    "exp_any_difference": lambda x, y: exp(x - y),
}
for prefix in ("", "near_"):
    FUNCTIONS[prefix + "exp_gap_terms"] = lambda d, _: expm1(d) - d
    FUNCTIONS[prefix + "exp_expm1_terms"] = lambda d, _: expm1(d)
    FUNCTIONS[prefix + "exp_exp_terms"] = lambda d, _: exp(d)


def entropy(p):
    return -sum(a * log(a) for a in p if a)


def kl(p, q):
    return sum((a * log(a / b) if b else INFINITE) for a, b in zip(p, q) if a)


def jensen_shannon(p, q):
    middle = [(a + b) / 2 for a, b in zip(p, q)]
    return (kl(p, middle) + kl(q, middle)) / 2


# Renyi's order for short and for long rows, as in rows.c.
ORDERS = {"plain": (1.5, 1.75), "near": (0.5, 0.75), "sparse": (3, 3), "peaked": (2, 2), "extreme": (1.5, 1.5)}


def order_of(content, length):
    return mpf(ORDERS[content][length >= 100])


def renyi(order):
    return lambda p, q: log(sum(a**order * b ** (1 - order) if b else INFINITE for a, b in zip(p, q) if a)) / (order - 1)


def chi_squared(p, q):
    return sum(((a - b) ** 2 / b if b else INFINITE) for a, b in zip(p, q) if a or b)


# Of two rows of probabilities.
PROBABILITIES = {
    "kl_divergence": kl,
    "cross_entropy": lambda p, q: sum((-a * log(b) if b else INFINITE) for a, b in zip(p, q) if a),
    "entropy": lambda p, q: entropy(p),
    "js_divergence": jensen_shannon,
    "total_variation": lambda p, q: sum(abs(a - b) for a, b in zip(p, q)) / 2,
    "hellinger": lambda p, q: mpmath.sqrt(sum((mpmath.sqrt(a) - mpmath.sqrt(b)) ** 2 for a, b in zip(p, q)) / 2),
    "jeffreys": lambda p, q: kl(p, q) + kl(q, p),
    "chi2_divergence": chi_squared,
}


def normalised(row):
    total = mpmath.fsum(row)
    return [x / total for x in row]


def softmax(row):
    largest = max(row)
    return normalised([exp(x - largest) for x in row])


def log_sum_exp(row):
    largest = max(row)
    return largest + log(sum(exp(x - largest) for x in row))


def of_logits(name, content, x, y, number):
    """The exact value for row `number`; None where there is none here."""
    temperature = mpf("0.75") if content == "peaked" else mpf(1)
    if name == "logits_cross_entropy" and content == "peaked":
        return None  # with a softcap, whose rounding counts
    x, y = [a / temperature for a in x], [b / temperature for b in y]
    if name == "logits_kl_divergence":
        return kl(softmax(x), softmax(y))
    if name == "logits_js_divergence":
        return jensen_shannon(softmax(x), softmax(y))
    if name == "logits_entropy":
        return entropy(softmax(x))
    if name == "logits_cross_entropy":
        return log_sum_exp(x) - x[number]
    return None


def of_row(line, rows):
    """The exact values of the first two rows of an operation, or nothing."""
    _, name, _, content, layout, *_ = line.split()
    if layout == "masked":
        return []
    if name.startswith("logits_"):
        exact = [of_logits(name, content, x, y, number) for number, (x, y) in enumerate(rows)]
        return [] if None in exact else exact
    function = PROBABILITIES.get(name)
    if name == "renyi_divergence":
        function = renyi(order_of(content, len(rows[0][0])))
    return [function(normalised(p), normalised(q)) for p, q in rows] if function else []


def number_of(word):
    """The number whose bits these are."""
    kind = ">f" if len(word) == 8 else ">d"
    return mpf(struct.unpack(kind, bytes.fromhex(word))[0])


def in_range(value):
    """The value, or infinity where it is too large for a double."""
    return INFINITE if value >= mpf(2) ** 1024 else value


def bits_of(value):
    return struct.pack(">d", float(value)).hex()


def is_within(result, exact, error):
    if mpmath.isinf(exact) or exact == 0:
        return result == exact
    return abs(result - exact) <= error * abs(exact)


def with_exact(line, rows):
    """The line with its exact values, which the results in it must be close to."""
    words = line.split()
    if words[0] == "function":
        results, exact = words[5:], [FUNCTIONS[words[1]](number_of(words[3]), number_of(words[4]))]
        error = FUNCTION_UNITS * UNIT[words[2]]
    elif words[0] == "row":
        results, exact = words[6:8], of_row(line, rows)
        error = RENYI_ERROR if words[1] == "renyi_divergence" else ROW_ERROR[words[2]]
    else:
        return line
    if not exact or (words[0] == "row" and min(map(abs, exact)) < SMALLEST_ROW):
        return line
    exact = [in_range(value) for value in exact]
    for word, value in zip(results, exact, strict=True):
        if not is_within(number_of(word), value, error):
            sys.exit(f"{line}\nhas {number_of(word)}, which should be {mpmath.nstr(value, 20)}")
    return f"{line} = {' '.join(map(bits_of, exact))}"


def complete(lines):
    """Every line of the program, its exact values behind it; lines of inputs follow those that they belong to."""
    for place, line in enumerate(lines):
        if line.startswith("input "):
            continue
        end = place + 1
        while end < len(lines) and lines[end].startswith("input "):
            end += 1
        inputs = [[number_of(word) for word in one.split()[2:]] for one in lines[place + 1 : end]]
        yield with_exact(line, list(zip(inputs[::2], inputs[1::2])))


def main():
    name = next(iter(check_portable.levels()))
    with tempfile.TemporaryDirectory() as folder, mpmath.workdps(DIGITS):
        lines = check_portable.printed(check_portable.build(name, folder), "inputs")
        finished = list(complete(lines))
    check_portable.EXPECTED.write_text("\n".join(finished) + "\n")
    print(f"{len(finished)} lines, {sum(' = ' in line for line in finished)} of them with exact values")


if __name__ == "__main__":
    main()
