/* Lets test_elementary.py call the functions of the core on arrays. */
#ifndef KLFAST_LEVEL /* which tools/check_portable.py gives a name: it runs all kernels */
#define KLFAST_LEVEL static unused /* so what no test calls is not compiled, which is nearly all */
#endif
#include "level.inc.h"

enum { LANES_f32 = 16, STEP_f32 = 64 }; /* which real_end.inc.h has undefined by now */

#define EACH(NAME, REAL, EXPRESSION)                                                                                   \
    void NAME(REAL *result, const REAL *a, const REAL *b, ptrdiff_t count) {                                           \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            REAL x = a[i], y = b[i];                                                                                   \
            (void)y;                                                                                                   \
            result[i] = EXPRESSION;                                                                                    \
        }                                                                                                              \
    }

#define GAP(NAME, C, CAREFUL)                                                                                          \
    static float NAME##_f32(float a, float b) {                                                                        \
        float excess;                                                                                                  \
        return gap_f32(a, b, (float)C, 0, &excess, CAREFUL, 0);                                                        \
    }                                                                                                                  \
    static double NAME##_f64(double a, double b) {                                                                     \
        double excess;                                                                                                 \
        return gap_f64(a, b, C, 0, &excess, CAREFUL, 0);                                                               \
    }
GAP(careful_gap, 1.0, 1)
GAP(fast_gap, 1.0, 0)
GAP(scaled_gap, 0.7, 0) /* whose product with b is rounded */

EACH(test_log_ratio_f32, float, log_ratio_f32(x, y))
EACH(test_log_ratio_f64, double, log_ratio_f64(x, y))
EACH(test_gap_f32, float, fast_gap_f32(x, y))
EACH(test_gap_f64, double, fast_gap_f64(x, y))
EACH(test_scaled_gap_f32, float, scaled_gap_f32(x, y))
EACH(test_scaled_gap_f64, double, scaled_gap_f64(x, y))
EACH(test_gap_from_f32, float, gap_from_f32(x, y, x - y))
EACH(test_gap_from_f64, double, gap_from_f64(x, y, x - y))
EACH(test_log_ratio_from_f32, float, log_ratio_from_f32(x, y, x - y))
EACH(test_log_ratio_from_f64, double, log_ratio_from_f64(x, y, x - y))
EACH(test_careful_gap_f32, float, careful_gap_f32(x, y))
EACH(test_careful_gap_f64, double, careful_gap_f64(x, y))

/* f(p, c*q) with a c whose product with q is rounded. */
#define TERM(NAME, KIND)                                                                                               \
    EACH(test_##NAME##_f32, float, comparison_term_f32(x, 0.7f * y, difference_f32(x, 0.7f, y), KIND))                 \
    EACH(test_##NAME##_f64, double, comparison_term_f64(x, 0.7 * y, difference_f64(x, 0.7, y), KIND))
TERM(jensen_shannon, JENSEN_SHANNON)
TERM(total_variation, TOTAL_VARIATION)
TERM(hellinger, HELLINGER)
TERM(jeffreys, JEFFREYS)
TERM(chi_squared, CHI_SQUARED)

/* Jensen-Shannon of whole steps, of which all that is near has a way of its own when it is looked for. */
static void js_steps(float *result, const float *p, const float *q, ptrdiff_t count, int unwatched) {
    float c[LANES_f32], d[STEP_f32];
    for (int j = 0; j < LANES_f32; j++) c[j] = 0.7f;
    for (ptrdiff_t i = 0; i + STEP_f32 <= count; i += STEP_f32) {
        int later = unwatched;
        for (int j = 0; j < STEP_f32; j++) d[j] = difference_f32(p[i + j], c[0], q[i + j]);
        js_terms_of_step_f32(result + i, p + i, q + i, d, c, &later);
    }
}
void test_js_watched_f32(float *result, const float *a, const float *b, ptrdiff_t count) { js_steps(result, a, b, count, 0); }
void test_js_unwatched_f32(float *result, const float *a, const float *b, ptrdiff_t count) { js_steps(result, a, b, count, 1); }

/* exp(x/T) of the core, for a temperature T. */
static float exp_over_f32(float x, float temperature) {
    klfast_temperature t;
    prepare_temperature(&t, (double)temperature);
    return scaled_exp_f32(x, scale_by_f32(0, &t.of_f32), &t.of_f32);
}
static double exp_over_f64(double x, double temperature) {
    klfast_temperature t;
    prepare_temperature(&t, temperature);
    return scaled_exp_f64(x, scale_by_f64(0, &t.of_f64), &t.of_f64);
}
static double scalar_exp_over_f64(double x, double temperature) {
    klfast_temperature t;
    prepare_temperature(&t, temperature);
    return exp_over(x, &t);
}
static float plain_logits_gap_f32(float d, float low, int distance) {
    klfast_temperature t;
    prepare_temperature(&t, 1.0);
    return logits_gap_f32(1, d, low, d, &t.of_f32, distance);
}
static double plain_logits_gap_f64(double d, double low, int distance) {
    klfast_temperature t;
    prepare_temperature(&t, 1.0);
    return logits_gap_f64(1, d, low, d, &t.of_f64, distance);
}

/* With p = 1, d = log(p/q), and q beside it; p - q as the sweeps have it, and as it is given. */
static float skew_f32(float d, float q) { return js_skew_f32(1, q, d, difference_near_f32(1, held_near_f32(d))); }
static double skew_f64(double d, double q) { return js_skew_f64(1, q, d, difference_near_f64(1, held_near_f64(d))); }
static float log_to_middle_f32(float difference, float d, int of_larger) {
    float log_p, log_q;
    logs_to_middle_f32(&log_p, &log_q, 1, 1 - difference, d, difference);
    return (d < 0) == of_larger ? log_q : log_p;
}
static double log_to_middle_f64(double difference, double d, int of_larger) {
    double log_p, log_q;
    logs_to_middle_f64(&log_p, &log_q, 1, 1 - difference, d, difference);
    return (d < 0) == of_larger ? log_q : log_p;
}

EACH(test_scaled_exp_f32, float, exp_over_f32(x, y))
EACH(test_scaled_exp_f64, double, exp_over_f64(x, y))
EACH(test_exp_over_f64, double, scalar_exp_over_f64(x, y))
EACH(test_logits_gap_near_f32, float, plain_logits_gap_f32(x, 0, NEAR_f32))
EACH(test_logits_gap_near_f64, double, plain_logits_gap_f64(x, 0, NEAR_f64))
EACH(test_logits_gap_apart_f32, float, plain_logits_gap_f32(x, 0, APART_f32))
EACH(test_logits_gap_apart_f64, double, plain_logits_gap_f64(x, 0, APART_f64))
/* Of x + y, where y is no more than what rounding took of it. */
EACH(test_logits_gap_deep_f32, float, plain_logits_gap_f32(x, y, DEEP_f32))
EACH(test_logits_gap_deep_f64, double, plain_logits_gap_f64(x, y, DEEP_f64))
EACH(test_js_of_ratio_f32, float, js_of_ratio_f32(1, y, x))
EACH(test_js_of_ratio_f64, double, js_of_ratio_f64(1, y, x))
EACH(test_js_skew_f32, float, skew_f32(x, y))
EACH(test_js_skew_f64, double, skew_f64(x, y))
EACH(test_log_of_larger_f32, float, log_to_middle_f32(x, y, 1))
EACH(test_log_of_larger_f64, double, log_to_middle_f64(x, y, 1))
EACH(test_log_of_smaller_f32, float, log_to_middle_f32(x, y, 0))
EACH(test_log_of_smaller_f64, double, log_to_middle_f64(x, y, 0))
EACH(test_difference_near_f32, float, difference_near_f32(1, x))
EACH(test_difference_near_f64, double, difference_near_f64(1, x))
EACH(test_log1p_any_f64, double, log1p_any(x))
EACH(test_exp_any_f64, double, exp_any(x))
EACH(test_exp_gap_f64, double, exp_gap(x))

#define EXP_TERMS(FIELD) \
    EACH(test_exp_##FIELD##_terms_f32, float, exp_terms_of_f32(x, 0).FIELD) \
    EACH(test_exp_##FIELD##_terms_f64, double, exp_terms_of_f64(x, 0).FIELD) \
    EACH(test_near_exp_##FIELD##_terms_f32, float, exp_terms_of_f32(x, 1).FIELD) \
    EACH(test_near_exp_##FIELD##_terms_f64, double, exp_terms_of_f64(x, 1).FIELD)
EXP_TERMS(gap)
EXP_TERMS(expm1)
EXP_TERMS(exp)
EACH(test_exp_to_the_end_f64, double, exp_to_the_end(x))
/* Of the exact difference x - y. */
EACH(test_exp_gap_any_f64, double, exp_terms_any(difference_of(x, y)).gap)
EACH(test_expm1_any_f64, double, exp_terms_any(difference_of(x, y)).expm1)
EACH(test_exp_any_difference_f64, double, exp_terms_any(difference_of(x, y)).exp)

/* Of closed forms. */
static double rest_of_f64(double a, double b) {
    log_gamma_pairs pair = {{a}, {b}, {b - a}, {0}, {0}};
    find_rests(&pair, 1);
    return pair.rest[0];
}
EACH(test_ratio_gap_f64, double, ratio_gap(x, y, x - y))
EACH(test_ratio_gap_any_f64, double, ratio_gap_any(x, y, x - y, 1))
EACH(test_log_gap_f64, double, log_gap(x))
EACH(test_softplus_usual_f64, double, softplus_usual(x))
/* From y to x. */
EACH(test_stirling_rest_f64, double, rest_of_f64(y, x))
EACH(test_stirling_rest_any_f64, double, stirling_rest_any(y, x, x - y))
EACH(test_log_gamma_gap_f64, double, log_gamma_gap(y, x, x - y))
EACH(test_digamma_growth_f64, double, digamma_of(y, x, x - y).growth)
EACH(test_digamma_linear_f64, double, digamma_of(y, x, x - y).linear)
EACH(test_digamma_gap_f64, double, digamma_of(y, x, x - y).gap)
