/* Scalar double functions for joining and finishing; our own, so that the last bit does not depend on a C library. */
#ifndef KLFAST_SCALAR_MATH_H
#define KLFAST_SCALAR_MATH_H

#define LN2_DOUBLE 0x1.62e42fefa39efp-1
#define LN2_DOUBLE_LOW 0x1.abc9e3b39803fp-56 /* what it lacks */

/* log(1 + x), x > -1. Largest error 3 u. */
static double log1p_any(double x) {
    if (x > -0.5 && x <= 2.0) {
        double s = x / (2.0 + x), z = s * s;
        return fma_f64(s * z, wide_log_polynomial_f64(z), 2.0 * s);
    }
    double total = 1.0 + x;
    if (total > 0x1p1000 && total < HUGE_VAL) return log_ratio_f64(total * 0x1p-600, 1.0) + 600 * LN2_DOUBLE;
    if (!(total <= 0x1p1000)) return total;
    return log_ratio_f64(total, 1.0) + (x - (total - 1.0)) / total;
}

/* k*ln 2 for an integer k, in twice the precision. */
static wide_sum times_ln2(double k) {
    double product = k * LN2_DOUBLE;
    return (wide_sum){product, k * LN2_DOUBLE_LOW - difference_f64(product, k, LN2_DOUBLE)};
}

/* log(1 + x)/x, 1 at 0; |x| <= 0.5. Largest error 4 u. */
static double log1p_ratio(double x) {
    double s = x / (2.0 + x), z = s * s;
    return x == 0 ? 1.0 : fma_f64(s * z, wide_log_polynomial_f64(z), 2.0 * s) / x;
}

/* exp(x); 0 below the normal numbers, inf above the range. Largest error 2 u. */
static double exp_any(double x) {
    double k, fraction;
    if (!(x < 709.7)) return x < 0 || x > 0 ? HUGE_VAL : x;
    fraction = exp_parts_f64(x > -800.0 ? x : -800.0, &k);
    return scale_f64(fraction, k);
}

/* d + exp(-d) - 1, never negative. Largest error 4 u. */
static double exp_gap(double d) {
    if (fabs(d) <= 1.0) return d * d * wide_exp_polynomial_f64(-d);
    return (d - 1.0) + exp_any(-d);
}

/* (a - b) - rounded, without rounding. */
static double rounding_of_difference(double a, double b, double rounded) {
    double difference = a - b, part = difference - a;
    return (difference - rounded) + ((a - (difference - part)) - (b + part));
}

/* log(1 + exp(x)), without overflow. */
static double softplus(double x) { return x > 0 ? x + log1p_any(exp_any(-x)) : log1p_any(exp_any(x)); }

/* a - c*b with one rounding, also at the upper end of the range, where the parts of difference_f64 may leave it. */
static double difference_any(double a, double c, double b) {
    if (!(a > 0x1p900 || c * b > 0x1p900)) return difference_f64(a, c, b);
    return difference_f64(a * 0x1p-200, c, b * 0x1p-200) * 0x1p200;
}

/* log(a/b) for any positive a and b, subnormal and huge ones too. */
static double log_ratio_any(double a, double b) {
    double shift = 0.0;
    if (a == HUGE_VAL || b == HUGE_VAL) return a == b ? NAN : a == HUGE_VAL ? HUGE_VAL : -HUGE_VAL;
    if (a < 0x1p-900) {
        a *= 0x1p600;
        shift -= 600.0;
    }
    if (a > 0x1p900) {
        a *= 0x1p-600;
        shift += 600.0;
    }
    if (b < 0x1p-900) {
        b *= 0x1p600;
        shift += 600.0;
    }
    if (b > 0x1p900) {
        b *= 0x1p-600;
        shift -= 600.0;
    }
    return fma_f64(shift, LN2_DOUBLE, log_ratio_f64(a, b));
}

/* log(x) in two parts: however far from 0, it is not off by more than 2 u. */
static wide_sum wide_log(double x) {
    if (!(x > 0x1p-900 && x < 0x1p900)) return (wide_sum){log_ratio_any(x, 1.0), 0};
    int64_t power = (bits_f64(x) >> 52) - 1023;
    wide_sum sum = times_ln2((double)power);
    add_number(&sum, log_ratio_f64(x, from_bits_f64((power + 1023) << 52)));
    return sum;
}

/* log1p_any in the same way. Only for x > -0.5. */
static wide_sum wide_log1p(double x) { return x > 1 ? wide_log(1 + x) : (wide_sum){log1p_any(x), 0}; }

/* log(1 + factor*exp(x)), factor > 0: what the first part of x has lost, exp makes a relative error. */
static double scaled_softplus(double factor, wide_sum x) {
    double power = exp_any(x.high > 0 ? -x.high : x.high);
    if (x.high > 0) return (sum_value(x) + log_ratio_any(factor, 1.0)) + log1p_any(power / factor);
    return log1p_any(factor * fma_f64(power, x.low, power));
}

/* gap_any for a and b within 2^-900 .. 2^900. */
static double gap_between(double a, double b, double d) {
    double excess, s = d / (a + b), z = s * s;
    if (a < 2 * b && b < 2 * a) return fma_f64(s, d, a * (s * z * middle_log_polynomial_f64(z)));
    return gap_f64(a, b, 1.0, 0.0, &excess, 0, 0);
}

/* a*log(a/b) - a + b for any finite a >= 0 and b > 0, given d = a - b, which the caller may know better than a and b
 * tell. */
static double gap_any(double a, double b, double d) {
    if (a == 0) return b;
    if (a >= 0x1p-900 && b >= 0x1p-900 && a <= 0x1p900 && b <= 0x1p900) return gap_between(a, b, d);
    if (a > 4 * b || b > 4 * a) return fma_f64(a, log_ratio_any(a, b) - 1.0, b);
    double up = a < 1.0 ? 0x1p600 : 0x1p-600, down = a < 1.0 ? 0x1p-600 : 0x1p600;
    return gap_between(a * up, b * up, d * up) * down;
}

#endif
