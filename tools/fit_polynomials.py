"""Fit the polynomials of `src/klfast/core/polynomials.h` and print that file.

Run: python tools/fit_polynomials.py > src/klfast/core/polynomials.h
Needs mpmath. Not needed to build klfast.

Each polynomial is the minimax approximation (Remez exchange, 60 digits) of a smooth function, in relative error, with
its constant fixed to the rounded value at 0; then every coefficient is rounded to the target type.
"""

import mpmath as mp

mp.mp.dps = 60


def log_series(z):
    """(atanh(s)/s - 1)/z with z = s*s: what log((1+s)/(1-s)) = 2s + 2*s*z*P(z) needs."""
    if abs(z) < mp.mpf("1e-12"):
        return mp.mpf(1) / 3 + z / 5
    s = mp.sqrt(z)
    return (mp.atanh(s) / s - 1) / z


def twice_log_series(z):
    return 2 * log_series(z)


def exp_series(r):
    """(exp(r) - 1 - r)/r^2."""
    if abs(r) < mp.mpf("1e-12"):
        return mp.mpf(1) / 2 + r / 6
    return (mp.expm1(r) - r) / r**2


def js_series(z):
    """((1+s)*log1p(s) + (1-s)*log1p(-s))/(2*z) with z = s*s."""
    if abs(z) < mp.mpf("1e-12"):
        return mp.mpf(1) / 2 + z / 12
    s = mp.sqrt(z)
    return ((1 + s) * mp.log1p(s) + (1 - s) * mp.log1p(-s)) / (2 * z)


def js_far_series(h):
    """(1-h)*log(2*(1-h)): the smooth part of z times the above where s = 1 - 2h is large."""
    return (1 - h) * mp.log(2 * (1 - h))


def js_of_ratio_series(d):
    """-(m*log(m) + d*exp(-d)/2)/d^2 with m = (1 + exp(-d))/2."""
    if abs(d) < mp.mpf("1e-12"):
        return (1 - d / 2) / 8
    power = mp.exp(-d)
    middle = (1 + power) / 2
    return -(middle * mp.log(middle) + d * power / 2) / d**2


def js_beyond_series(v):
    """(1+v)*log(2/(1+v))."""
    return (1 + v) * mp.log(2 / (1 + v))


def js_skew_series(z):
    """(2*h - 2*tanh(h)*(1 + log(cosh(h))))/(8*h^3) with h = sqrt(z)/2."""
    if abs(z) < mp.mpf("1e-12"):
        return (-1 + 7 * z / 40) / 24
    h = mp.sqrt(z) / 2
    return (2 * h - 2 * mp.tanh(h) * (1 + mp.log(mp.cosh(h)))) / (8 * h**3)


def js_skew_beyond_series(v):
    """(1-v)*(log(2/(1+v)) - 1)."""
    return (1 - v) * (mp.log(2 / (1 + v)) - 1)


def log1p_series(t):
    """log1p(t)/t."""
    return mp.mpf(1) if t == 0 else mp.log1p(t) / t


def stirling_series(w):
    """x^3 times the second derivative of log gamma(x) - (x - 1/2)*log(x) + x, with x = 1/sqrt(w)."""
    if w == 0:
        return mp.mpf(1) / 6
    x = 1 / mp.sqrt(w)
    return x**3 * (mp.psi(1, x) - 1 / x - 1 / (2 * x**2))


def remez(function, low, high, first, count):
    """Coefficients x^first ... x^(first+count-1) minimising max |poly - function| / |function at the same x|.

    `function` returns (target, weight); `first` is the lowest free power (lower ones are already rounded and subtracted).
    """
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle - half * mp.cos(mp.pi * i / count) for i in range(count + 1)]
    grid = [middle - half * mp.cos(mp.pi * i / (40 * count)) for i in range(40 * count + 1)]
    for _ in range(12):
        rows, right = [], []
        for i, x in enumerate(nodes):
            target, weight = function(x)
            rows.append([x ** (first + j) for j in range(count)] + [(-1) ** i * weight])
            right.append(target)
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix(right))
        coefficients = [solution[j] for j in range(count)]
        errors = []
        for x in grid:
            target, weight = function(x)
            errors.append((sum(c * x ** (first + j) for j, c in enumerate(coefficients)) - target) / weight)
        extrema, segment = [], [0]
        for i in range(1, len(grid)):
            if mp.sign(errors[i]) != mp.sign(errors[segment[-1]]) and errors[i] != 0:
                extrema.append(max(segment, key=lambda k: abs(errors[k])))
                segment = []
            segment.append(i)
        extrema.append(max(segment, key=lambda k: abs(errors[k])))
        if len(extrema) < count + 1:
            break
        while len(extrema) > count + 1:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        fresh = [grid[i] for i in extrema]
        if max(abs(a - b) for a, b in zip(fresh, nodes)) == 0:
            break
        nodes = fresh
    return coefficients, max(abs(e) for e in errors)


def round_to(value, bits):
    """The nearest number with `bits` significant bits."""
    if value == 0:
        return mp.mpf(0)
    exponent = mp.floor(mp.log(abs(value), 2)) - bits + 1
    return mp.nint(value / mp.mpf(2) ** exponent) * mp.mpf(2) ** exponent


def fit(series, low, high, count, bits):
    """Rounded coefficients, lowest degree first, and their largest relative error.

    The constant is the rounded value at 0, so that small arguments are right; the rest is fitted around it.
    """
    low, high = mp.mpf(low), mp.mpf(high)
    constant = round_to(series(mp.mpf(0)), bits)

    def rest(x):
        value = series(x)
        return value - constant, value

    # With the constant fixed, x = 0 itself cannot be a node.
    start = low if low != 0 else high / 1000
    coefficients, _ = remez(rest, start, high, 1, count - 1)
    done = [constant] + [round_to(c, bits) for c in coefficients]
    points = [low + (high - low) * i / 2000 for i in range(2001)]
    error = max(abs(sum(c * x**j for j, c in enumerate(done)) / series(x) - 1) for x in points)
    return done, error


POLYNOMIALS = [
    (
        "log_polynomial",
        "z",
        twice_log_series,
        "0",
        "0.0405",
        {"f32": 4, "f64": 8},
        "(2*atanh(s)/s - 2)/z with z = s*s, |s| <= 0.2012",
    ),
    (
        "middle_log_polynomial",
        "z",
        twice_log_series,
        "0",
        "0.1115",
        {"f32": 5, "f64": 10},
        "the same for |s| <= 0.3339",
    ),
    ("short_log_polynomial", "z", twice_log_series, "0", "0.1115", {"f64": 5}, "the same, for floats in double"),
    ("wide_log_polynomial", "z", twice_log_series, "0", "0.2520", {"f32": 6, "f64": 13}, "the same for |s| <= 0.502"),
    (
        "exp_polynomial",
        "r",
        exp_series,
        "-0.3470",
        "0.3470",
        {"f32": 5, "f64": 11},
        "(exp(r) - 1 - r)/r^2, |r| <= 0.347",
    ),
    ("middle_exp_polynomial", "r", exp_series, "-0.5250", "0.5250", {"f32": 7, "f64": 12}, "the same for |r| <= 0.525"),
    ("wide_exp_polynomial", "r", exp_series, "-1.0500", "1.0500", {"f32": 8, "f64": 14}, "the same for |r| <= 1.05"),
    ("widest_exp_polynomial", "r", exp_series, "-2.0500", "2.0500", {"f32": 11, "f64": 18}, "the same for |r| <= 2.05"),
    (
        "js_polynomial",
        "z",
        js_series,
        "0",
        "0.4250",
        {"f32": 7},
        "((1+s)log(1+s) + (1-s)log(1-s))/(2z) with z = s*s, |s| <= 0.65",
    ),
    ("js_far_polynomial", "h", js_far_series, "0", "0.18", {"f32": 6}, "(1-h)*log(2*(1-h)), 0 <= h <= 0.18"),
    (
        "js_of_ratio_polynomial",
        "d",
        js_of_ratio_series,
        "-2.0500",
        "2.0500",
        {"f32": 12},
        "-(m*log(m) + d*exp(-d)/2)/d^2 with m = (1 + exp(-d))/2, |d| <= 2.05",
    ),
    ("js_of_ratio_polynomial", "d", js_of_ratio_series, "-1.5500", "1.5500", {"f64": 24}, "the same for |d| <= 1.55"),
    ("js_beyond_polynomial", "v", js_beyond_series, "0", "0.1360", {"f32": 6}, "(1+v)*log(2/(1+v)), 0 <= v <= exp(-2)"),
    ("js_beyond_polynomial", "v", js_beyond_series, "0", "0.2240", {"f64": 13}, "the same up to exp(-1.5)"),
    (
        "js_skew_polynomial",
        "z",
        js_skew_series,
        "0",
        "4.2000",
        {"f32": 8},
        "(2*h - 2*tanh(h)*(1 + log(cosh(h))))/d^3 with h = d/2 and z = d*d, |d| <= 2.04",
    ),
    ("js_skew_polynomial", "z", js_skew_series, "0", "2.4000", {"f64": 13}, "the same for |d| <= 1.54"),
    (
        "js_skew_beyond_polynomial",
        "v",
        js_skew_beyond_series,
        "0",
        "0.1360",
        {"f32": 6},
        "(1-v)*(log(2/(1+v)) - 1), 0 <= v <= exp(-2)",
    ),
    ("js_skew_beyond_polynomial", "v", js_skew_beyond_series, "0", "0.2240", {"f64": 13}, "the same up to exp(-1.5)"),
    ("log1p_polynomial", "t", log1p_series, "-0.3340", "0.3340", {"f32": 9}, "log1p(t)/t, |t| <= 0.334"),
]
# Those whose coefficients are also needed as numbers, highest degree first.
WITH_ARRAYS = {"exp_polynomial"}
NEXT_LINE = ",\n    "
TYPES = {"f32": ("float", 24, "f"), "f64": ("double", 53, "")}


def print_function(name, variable, series, low, high, kind, count, meaning):
    real, bits, suffix = TYPES[kind]
    coefficients, error = fit(series, low, high, count, bits)
    print(f"\n/* {meaning}; relative error {mp.nstr(error, 2)}. */")
    print(f"static inline {real} {name}_{kind}({real} {variable}) {{")
    literals = [float(c).hex() + suffix for c in reversed(coefficients)]
    print(f"    {real} value = {literals[0]};")
    for text in literals[1:]:
        print(f"    value = fma_{kind}(value, {variable}, {text});")
    print("    return value;\n}")
    if name in WITH_ARRAYS:
        print(f"static const {real} {name}_coefficients_{kind}[] = {{\n    {NEXT_LINE.join(literals)}}};")


# From here on, and with so many terms, the error of Stirling's series is less than a unit of what it is added to.
STIRLING_FROM, STIRLING_TERMS = 4, 11


def print_stirling():
    """As good as Bernoulli's numbers for large x, and better for small ones: the series is fitted by its second derivative."""
    coefficients, error = fit(stirling_series, "0", mp.mpf(1) / STIRLING_FROM**2, STIRLING_TERMS, 120)
    literals = [float(c / ((2 * k + 1) * (2 * k + 2))).hex() for k, c in enumerate(coefficients)]
    print(
        "\n/* log gamma(x) - (x - 1/2)*log(x) + x is a constant and the sum of STIRLING[k]/x^(2k + 1), x >= STIRLING_FROM;"
    )
    print(f" * relative error of the second derivative {mp.nstr(error, 2)}. */")
    print(f"enum {{ STIRLING_FROM = {STIRLING_FROM}, STIRLING_TERMS = {STIRLING_TERMS} }};")
    print(f"static const double STIRLING[STIRLING_TERMS] = {{\n    {NEXT_LINE.join(literals)}}};")


def main():
    print("/* Made by tools/fit_polynomials.py; change that, not this. */")
    print("#ifndef KLFAST_POLYNOMIALS_H\n#define KLFAST_POLYNOMIALS_H\n")
    print('#include "scalar.h"')
    for name, variable, series, low, high, counts, meaning in POLYNOMIALS:
        for kind, count in counts.items():
            print_function(name, variable, series, low, high, kind, count, meaning)
    print_stirling()
    print("\n#endif")


if __name__ == "__main__":
    main()
