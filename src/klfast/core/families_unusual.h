/* Closed forms of numbers that the vector loops leave: very large or small, or in no domain at all. One element at a time. */
#ifndef KLFAST_FAMILIES_UNUSUAL_H
#define KLFAST_FAMILIES_UNUSUAL_H

static int is_positive(double x) { return x > 0 && x < HUGE_VAL; }

/* A positive number as fraction * 2^exponent, with the fraction from 1 to 2. */
typedef struct {
    double fraction;
    int exponent;
} scaled_number;

static scaled_number scaled_of(double x) {
    int lost = x < 0x1p-1022 ? 54 : 0;
    if (lost) x *= 0x1p54;
    int exponent = (int)(bits_f64(x) >> 52) - 1023;
    return (scaled_number){from_bits_f64(bits_f64(x) - exponent * 0x10000000000000LL), exponent - lost};
}

/* x * 2^exponent, which may leave the range. */
static double times_power(double x, int exponent) {
    for (; exponent > 1000 && x < HUGE_VAL; exponent -= 1000) x *= 0x1p1000;
    for (; exponent < -1000 && x > 0; exponent += 1000) x *= 0x1p-1000;
    return exponent > 1000 || exponent < -1000 ? x : x * power_of_two_f64(exponent);
}

/* factor*(r - 1 - log(r)) for r = 1 + t = mantissa*2^exponent: from t if r is near 1, else from the others, because r alone may
 * be beyond the range. Where it is so large, it is all that counts. */
static double gap_of_scaled(double t, double mantissa, int exponent, double factor) {
    if (t > -0.5 && t < 1 && exponent <= 3 && exponent >= -3) return factor * log_gap(t);
    if (exponent > 1000) {
        scaled_number by = scaled_of(factor);
        return times_power(by.fraction * mantissa, by.exponent + exponent);
    }
    return factor * ((times_power(mantissa, exponent) - 1) - (log1p_any(mantissa - 1) + exponent * LN2_DOUBLE));
}

/* The same for r = top/bottom. Largest error 11 u. */
static double ratio_gap_any(double top, double bottom, double difference, double factor) {
    scaled_number above = scaled_of(top), below = scaled_of(bottom);
    return gap_of_scaled(difference / bottom, above.fraction / below.fraction, above.exponent - below.exponent, factor);
}

/* The same for r = a*b/(c*d). The difference of the products is taken before they are rounded. */
static double product_ratio_gap_any(double a, double b, double c, double d, double factor) {
    scaled_number sa = scaled_of(a), sb = scaled_of(b), sc = scaled_of(c), sd = scaled_of(d);
    exact_pair top = exact_product(sa.fraction, sb.fraction), bottom = exact_product(sc.fraction, sd.fraction);
    int exponent = (sa.exponent + sb.exponent) - (sc.exponent + sd.exponent);
    double t = HUGE_VAL;
    if (exponent <= 9 && exponent >= -9) {
        double power = power_of_two_f64(exponent);
        t = ((top.high * power - bottom.high) + (top.low * power - bottom.low)) / bottom.high;
    }
    return gap_of_scaled(t, top.high / bottom.high, exponent, factor);
}

/* ---- log gamma ---- */

/* log((x + STIRLING_FROM)/x) */
static double log_growth(double x) {
    double growth = STIRLING_FROM / x;
    return growth < HUGE_VAL ? log1p_any(growth) : log_ratio_any(STIRLING_FROM, x);
}

static double log_of_ratio(double top, double bottom, double difference) {
    double t = difference / bottom;
    return t > -0.5 && t < 0.5 ? log1p_any(t) : log_ratio_any(top, bottom);
}

/* As in find_rests. */
static double stirling_rest_any(double a, double b, double difference) {
    const double far = STIRLING_FROM;
    if (a >= far && b >= far) return rest_of_large(a, b, difference);
    double total = 0.5 * (ratio_gap_any(b, a, difference, 1) + ratio_gap_any(b + far, a + far, difference, 1));
    for (int step = 1; step < STIRLING_FROM; step++) total += ratio_gap_any(b + step, a + step, difference, 1);
    total += rest_of_large(a + far, b + far, difference);
    if (!(total < HUGE_VAL)) return total; /* what would be added may be as large, and negative */
    if (b < 2 * a && a < 2 * b) return total + (gap_any(b + far, a + far, difference) - gap_any(b, a, difference));
    return total + (b * (log_growth(b) - log_growth(a)) + far * log_of_ratio(b + far, a + far, difference));
}

/* The remainder of log gamma. Largest error 20 u. */
static double log_gamma_gap(double a, double b, double difference) {
    double halves = 0.5 * ratio_gap_any(b, a, difference, 1) + stirling_rest_any(a, b, difference);
    return gap_any(b, a, difference) + halves;
}

/* digamma(b) - digamma(a); what it would be by the slope at a; the second less the first, which is never negative.
 * Largest errors 10, 10 and 20 u. */
typedef struct {
    double growth, linear, gap;
} digamma_terms;

static digamma_terms digamma_of(double a, double b, double difference) {
    digamma_terms sum = {0, 0, 0};
    if (a < STIRLING_FROM || b < STIRLING_FROM) { /* digamma(x + 1) = digamma(x) + 1/x */
        for (int step = 0; step < STIRLING_FROM; step++) {
            double quotient = difference / (a + step);
            sum.growth += quotient / (b + step);
            sum.linear += quotient / (a + step);
            sum.gap += quotient * (quotient / (b + step));
        }
        a += STIRLING_FROM;
        b += STIRLING_FROM;
    }
    /* sums as in rest_of_large, of powers that are even */
    double u = 1 / a, v = 1 / b, q = v + 2 * u, h = v + u, power = v, power_u = u;
    double total_q = 0.5, total_h = 0.5, total_u = 0.5, quotient = difference * u;
    for (int k = 0; k < STIRLING_TERMS; k++) {
        double factor = STIRLING[k] * (2 * k + 1);
        total_q += factor * q;
        total_h += factor * h;
        total_u += factor * (2 * k + 2) * power_u;
        power_u *= u * u;
        for (int twice = 0; twice < 2; twice++) {
            power *= v;
            h = h * u + power;
            q = q * u + h;
        }
    }
    sum.growth += log_of_ratio(b, a, difference) + quotient * v * total_h;
    sum.linear += quotient + quotient * u * total_u;
    sum.gap += ratio_gap_any(b, a, difference, 1) + quotient * (quotient * v) * total_q;
    return sum;
}

/* The remainder of log gamma from a to b, less that from a + more_a to b + more_b, where more is next to nothing: the integral
 * of how the remainder changes on the way, which is smooth (Gauss and Legendre). `more_difference` is more_b - more_a. */
static double log_gamma_gap_beside(double a, double b, double more_a, double more_b, double more_difference) {
    static const double place[] = {0x1.149ad8bfaff18p-5, 0x1.5aebed3546d44p-3, 0x1.85d3b4bf2628fp-2,
                                   0x1.3d1625a06ceb9p-1, 0x1.a94504b2ae4afp-1, 0x1.eeb652740500ep-1};
    static const double weight[] = {0x1.5edf601e2dbf5p-4, 0x1.716b7b5794c1ep-3, 0x1.df24d499545e8p-3};
    double difference = b - a, total = 0;
    for (int k = 0; k < 6; k++) {
        double at_a = a + place[k] * more_a, at_b = b + place[k] * more_b;
        digamma_terms at = digamma_of(at_a, at_b, difference + place[k] * more_difference);
        /* the same twice: the first has no large terms if b is far below a, the second none if they are close */
        double change = at_b < 0.5 * at_a ? more_a * at.linear - more_b * at.growth
                                          : more_a * at.gap - more_difference * at.growth;
        total += weight[k < 3 ? k : 5 - k] * change;
    }
    return total;
}

/* ---- families ---- */

static double bernoulli_any(double p1, double p2) {
    if (!(p1 >= 0 && p1 <= 1 && p2 >= 0 && p2 <= 1)) return NAN;
    double failure1 = 1 - p1, failure2 = 1 - p2; /* rounded: their difference is taken from p */
    if ((p2 == 0 && p1 > 0) || (failure2 == 0 && failure1 > 0)) return HUGE_VAL;
    double successes = p2 > 0 ? gap_any(p1, p2, p1 - p2) : 0;
    return successes + (failure2 > 0 ? gap_any(failure1, failure2, p2 - p1) : 0);
}

static double bernoulli_logits_any(double x1, double x2) {
    if (x1 != x1 || x2 != x2) return NAN;
    if (x1 == x2) return 0;
    if (fabs(x2) == HUGE_VAL) return HUGE_VAL;
    if (x1 > 0) { /* failures for successes, so that p1 is 1/2 or less */
        x1 = -x1;
        x2 = -x2;
    }
    double difference = x2 - x1, root = exp_any(0.5 * x1), odds = root * root, p1 = odds / (1 + odds);
    if (fabs(difference) < 1) {
        double gap = exp_gap(-difference);
        return p1 * gap - log_gap(p1 * (difference + gap));
    }
    /* p1 may leave the range, while its product with a large difference does not */
    double mean = root == 0 ? 0 : root * difference * root / (1 + odds);
    return (softplus(x2) - softplus(x1)) - mean;
}

static double exponential_any(double rate1, double rate2) {
    if (!is_positive(rate1) || !is_positive(rate2)) return NAN;
    return ratio_gap_any(rate2, rate1, rate2 - rate1, 1);
}

static double laplace_any(double mean1, double scale1, double mean2, double scale2) {
    if (!(fabs(mean1) < HUGE_VAL && fabs(mean2) < HUGE_VAL && is_positive(scale1) && is_positive(scale2))) return NAN;
    double half = fabs(0.5 * mean1 - 0.5 * mean2), distance = fabs(mean1 - mean2); /* beyond the range where only half is not */
    double steps = distance < HUGE_VAL ? distance / scale1 : half / (0.5 * scale1);
    double of_scale2 = distance < HUGE_VAL ? distance / scale2 : half / (0.5 * scale2), ratio = scale1 / scale2;
    double gap = exp_gap(steps < 40 ? steps : 40), near = gap == 0 ? 0 : ratio * gap;
    double far = ratio < HUGE_VAL ? of_scale2 - ratio : HUGE_VAL; /* exp(-40) is nothing beside 40 */
    return ratio_gap_any(scale1, scale2, scale1 - scale2, 1) + (steps < 40 ? near : far);
}

static double gamma_any(double shape1, double rate1, double shape2, double rate2) {
    if (!(is_positive(shape1) && is_positive(rate1) && is_positive(shape2) && is_positive(rate2))) return NAN;
    double difference = shape2 - shape1, of_means = product_ratio_gap_any(shape1, rate2, rate1, shape2, shape2);
    return of_means + 0.5 * ratio_gap_any(shape2, shape1, difference, 1) + stirling_rest_any(shape1, shape2, difference);
}

#endif
