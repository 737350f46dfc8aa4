/* Jensen-Shannon, total variation, Hellinger, Jeffreys, chi-squared: from the added-up blocks of a row to the number. The
 * blocks give first = sum f(p, c*q), mass = sum p, second = sum p - c*q; largest is 0 if p and q have no event in common. */
#ifndef KLFAST_COMPARISON_H
#define KLFAST_COMPARISON_H

enum { JENSEN_SHANNON, TOTAL_VARIATION, HELLINGER, JEFFREYS, CHI_SQUARED };

static inline float root_f32(float x) { return sqrtf(x); }
static inline double root_f64(double x) { return sqrt(x); }
static inline float absolute_f32(float x) { return fabsf(x); }
static inline double absolute_f64(double x) { return fabs(x); }

/* Whether c was close enough: a relative error w of c changes first/p by w*first/p and w^2 at most (total variation: by
 * w), so all is well if both are below the rounding of an element. */
static int comparison_is_certain(const weights_state *s, int kind, int is_float) {
    double p = sum_value(s->mass), f = sum_value(s->first) / p, w = fabs(sum_value(s->second)) / p;
    double unit = is_float ? 0x1p-23 : 0x1p-51;
    if (s->flags & IS_INFINITE && (kind == JEFFREYS || kind == CHI_SQUARED)) return w < 0x1p20;
    if (w == 0 && sum_value(s->first) == 0) return 1;
    return kind == TOTAL_VARIATION ? w <= unit * f : w <= unit && w * w <= unit * f;
}

static double comparison_value(const weights_state *s, int kind, int raw) {
    double f = sum_value(s->first) / (raw ? 1.0 : sum_value(s->mass));
    if (s->flags & IS_INFINITE && (kind == JEFFREYS || kind == CHI_SQUARED)) return HUGE_VAL;
    switch (kind) {
    case JENSEN_SHANNON:
        if (raw) return 0.5 * f;
        return s->largest == 0 || 0.5 * f > LN2_DOUBLE ? LN2_DOUBLE : 0.5 * f;
    case TOTAL_VARIATION:
        return raw || (s->largest > 0 && f < 2.0) ? 0.5 * f : 1.0;
    case HELLINGER:
        return raw || (s->largest > 0 && f < 2.0) ? sqrt(0.5 * f) : 1.0;
    default:
        return f;
    }
}

/* c = sum p / sum q to the last bit of what is known of both. */
static void set_quotient(klfast_row *row, wide_sum p, wide_sum q) {
    double c = sum_value(p) / sum_value(q), rest = difference_f64(p.high, c, q.high) + difference_f64(p.low, c, q.low);
    set_constant(row, c, rest / sum_value(q));
}

/* After a walk of sums. Rows that go through unusual_comparison.h get both sums near 1, so that no term leaves the range
 * that the result does not leave. */
static int comparison_sums_finish(const weights_state *s, klfast_row *row) {
    wide_sum p = s->mass, q = s->second;
    if (!sums_finish(s, row, sum_value(p), sum_value(q), 1.0)) return 0;
    if (is_sums(row->walk)) return 1;
    int extreme = row->scale_p != 1.0 || row->scale_q != 1.0 || row->repeats > 1 || !is_moderate(sum_value(p) / sum_value(q));
    row->walk = extreme ? WALK_ONE_BY_ONE : WALK_CAREFUL;
    if (extreme) {
        bring_to_one(&row->scale_p, &p);
        bring_to_one(&row->scale_q, &q);
    }
    set_quotient(row, p, q);
    return 1;
}

/* What comes after a walk whose constant was not good enough, or whose terms left the range: once more with a better
 * constant; then in double, one element at a time, with both sums near 1. */
static void plan_repeat(klfast_row *row, double w, int overflows) {
    row->repeats = overflows && row->repeats < 1 ? 2 : row->repeats + 1;
    if (row->repeats == 2) {
        row->is_float = 0;
        row->walk = WALK_WIDE_SUMS;
    } else if (!(fabs(w) < 0.5)) row->walk = row->repeats == 1 ? WALK_SUMS : WALK_WIDE_SUMS;
    else {
        refine_constant(row, w);
        row->walk = row->repeats == 1 ? WALK_CAREFUL : WALK_ONE_BY_ONE;
    }
}

static int comparison_finish(const klfast_state *state, klfast_row *row, double *result, int kind) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass), w = -sum_value(s->second) / p;
    *result = NAN;
    if (is_sums(row->walk)) return comparison_sums_finish(s, row);
    if (s->flags & HAS_NAN) return 0;
    if (row->repeats < 2 && needs_scaling(s, row)) return 1;
    if (!(p > 0)) return 0;
    int overflows = sum_value(s->first) == HUGE_VAL && !(s->flags & IS_INFINITE);
    if (row->repeats < 3 && (overflows || !comparison_is_certain(s, kind, row->is_float))) {
        plan_repeat(row, w, overflows);
        return 1;
    }
    klfast_state last = *state;
    if (kind == TOTAL_VARIATION && row->repeats == 3) { /* the last bit of c is too coarse: what is left is the largest's */
        double a = s->largest_p * row->scale_p, b = s->q_beside_largest_p * row->scale_q;
        double d = difference_any(a, row->constant, b) - row->constant_low * b;
        add_number(&last.weights.first, fabs(d - sum_value(s->second)) - fabs(d));
    }
    *result = comparison_value(&last.weights, kind, 0);
    return 0;
}

static int raw_comparison_finish(const klfast_state *state, double *result, int kind) {
    const weights_state *s = &state->weights;
    *result = s->flags & HAS_NAN ? NAN : comparison_value(s, kind, 1);
    return 0;
}

#define COMPARISON_FINISH(NAME, KIND) \
    static int NAME##_finish(const klfast_state *state, klfast_row *row, double *result) { \
        return comparison_finish(state, row, result, KIND); \
    } \
    static int raw_##NAME##_finish(const klfast_state *state, klfast_row *row, double *result) { \
        (void)row; \
        return raw_comparison_finish(state, result, KIND); \
    }
COMPARISON_FINISH(js_divergence, JENSEN_SHANNON)
COMPARISON_FINISH(total_variation, TOTAL_VARIATION)
COMPARISON_FINISH(hellinger, HELLINGER)
COMPARISON_FINISH(jeffreys, JEFFREYS)
COMPARISON_FINISH(chi2_divergence, CHI_SQUARED)
#undef COMPARISON_FINISH

#endif
