/* Jensen-Shannon, total variation, Hellinger, Jeffreys, chi-squared: from the added-up blocks of a row to the number. The
 * blocks give first = sum f(p, c*q), mass = sum p, second = sum p - c*q; largest is 0 if p and q have no event in common. */
#ifndef KLFAST_COMPARISON_H
#define KLFAST_COMPARISON_H

enum { JENSEN_SHANNON, TOTAL_VARIATION, HELLINGER, JEFFREYS, CHI_SQUARED };

#define LN2_DOUBLE 0x1.62e42fefa39efp-1

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
        return raw || f < 2.0 ? 0.5 * f : 1.0;
    case HELLINGER:
        return raw || f < 2.0 ? sqrt(0.5 * f) : 1.0;
    default:
        return f;
    }
}

/* c = sum p / sum q to the last bit of what is known of both. */
static void set_quotient(klfast_row *row, wide_sum p, wide_sum q) {
    double c = sum_value(p) / sum_value(q), rest = difference_f64(p.high, c, q.high) + difference_f64(p.low, c, q.low);
    set_constant(row, c, rest / sum_value(q));
}

static int comparison_finish(const klfast_state *state, klfast_row *row, double *result, int kind) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass);
    *result = NAN;
    if (is_sums(row->walk)) {
        if (!sums_finish(s, row, p, sum_value(s->second), 1.0)) return 0;
        if (is_sums(row->walk)) return 1;
        row->walk = WALK_CAREFUL;
        set_quotient(row, s->mass, s->second);
        return 1;
    }
    if (s->flags & HAS_NAN) return 0;
    if (needs_scaling(s, row)) return 1;
    double w = -sum_value(s->second) / p, whole = 1.0 + w;
    if (!(p > 0)) return 0;
    if (!comparison_is_certain(s, kind, row->is_float) && row->repeats < 3) {
        row->repeats++;
        if (!(whole > 0x1p-20 && whole < 0x1p20) && row->was_summed) return 0;
        if (!(whole > 0x1p-20 && whole < 0x1p20)) {
            row->walk = WALK_SUMS;
            return 1;
        }
        double c = row->constant, step = -w / whole;
        wide_sum fresh = {c, row->constant_low};
        row->walk = row->repeats > 1 ? WALK_ANCHORED : WALK_CAREFUL;
        if (row->repeats > 1) row->is_float = 0; /* from here on in double */
        add_number(&fresh, c * step);
        set_constant(row, fresh.high, fresh.low + row->constant_low * step);
        return 1;
    }
    *result = comparison_value(s, kind, 0);
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
