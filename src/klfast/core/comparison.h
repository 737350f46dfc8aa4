/* Jensen-Shannon, total variation, Hellinger, Jeffreys, chi-squared: from the added-up blocks of a row to the number. The
 * blocks give first = sum f(p, c*q), mass = sum p, second = sum p - c*q; largest is 0 if p and q have no event in common. */
#ifndef KLFAST_COMPARISON_H
#define KLFAST_COMPARISON_H

enum { JENSEN_SHANNON, TOTAL_VARIATION, HELLINGER, JEFFREYS, CHI_SQUARED };

/* Whose terms may be off by nearly all that is promised. */
static inline int kind_is_close(int kind) { return kind == JENSEN_SHANNON || kind == HELLINGER; }

/* Those that are infinite where one of p and q is 0 and the other is not: chi-squared only where q is. */
static inline int kind_has_infinity(int kind) { return kind == JEFFREYS || kind == CHI_SQUARED; }

static inline float root_f32(float x) { return sqrtf(x); }
static inline double root_f64(double x) { return sqrt(x); }
static inline float absolute_f32(float x) { return fabsf(x); }
static inline double absolute_f64(double x) { return fabs(x); }

/* Whether c was close enough: a relative error w of c changes first/p by w*first/p and w^2 at most (total variation: by
 * w), so all is well if both are below the rounding of an element; and if p - c*q, and so w itself, is as large as it has to be
 * (see least_distance). */
static int comparison_is_certain(const weights_state *s, int kind, int is_float, double distance) {
    double p = sum_value(s->mass), f = sum_value(s->first) / p, w = fabs(sum_value(s->second)) / p;
    double unit = is_float ? 0x1p-23 : 0x1p-51, square = distance * distance;
    if (s->flags & IS_INFINITE && kind_has_infinity(kind)) return w < 0x1p20;
    if (w == 0 && sum_value(s->first) == 0) return 1;
    if (kind == TOTAL_VARIATION) return w <= unit * f && f >= distance;
    return w <= unit && w * w <= unit * f && f >= (kind_is_close(kind) ? 0.25 * square : square);
}

static int has_infinite_term(const weights_state *s, int kind) {
    return s->flags & IS_INFINITE && kind_has_infinity(kind);
}

/* `whole`: what the sum of the terms is divided by, the sum of p or, of raw rows, their scale. */
static inline double comparison_value(const weights_state *s, double whole, int kind, int raw) {
    double first = sum_value(s->first), f = (kind_has_infinity(kind) ? first : 0.5 * first) / whole;
    if (has_infinite_term(s, kind)) return HUGE_VAL;
    switch (kind) {
    case JENSEN_SHANNON:
        return raw || (s->largest != 0 && !(f > LN2_DOUBLE)) ? f : LN2_DOUBLE;
    case TOTAL_VARIATION:
        return raw || (s->largest > 0 && f < 1.0) ? f : 1.0;
    case HELLINGER:
        if (!raw && !(s->largest > 0 && f < 1.0)) return 1.0;
        return f > 0x1p-900 && f < HUGE_VAL ? sqrt(f) : sqrt(first) / sqrt(2.0 * whole);
    default:
        return f;
    }
}

/* Whether terms have left the range, or all that there are may have sunk below the normal numbers: then sums near this are
 * what they are to be taken of; 0 where all is well, or as well as it can be. */
static double better_aim(const weights_state *s, const klfast_row *row, int kind) {
    double first = sum_value(s->first);
    if (row->aim != 1.0 || has_infinite_term(s, kind)) return 0;
    if (first == HUGE_VAL) return 0x1p-40;
    return s->flags & HAS_LOW && first < 0x1p-900 ? 0x1p980 : 0;
}

/* c = sum p / sum q to the last bit of what is known of both. */
static void set_quotient(klfast_row *row, wide_sum p, wide_sum q) {
    double c = sum_value(p) / sum_value(q), rest = difference_f64(p.high, c, q.high) + difference_f64(p.low, c, q.low);
    set_constant(row, c, rest / sum_value(q));
}

/* After a walk of sums. Rows that go through unusual_comparison.h get both sums near 1, or where that is not good enough near
 * `aim`, so that no term leaves the range that the result does not leave. */
static int comparison_sums_finish(const weights_state *s, klfast_row *row) {
    wide_sum p = s->mass, q = s->second;
    if (!sums_finish(s, row, sum_value(p), sum_value(q), 1.0)) return 0;
    if (is_sums(row->walk)) return 1;
    int extreme = row->scale_p != 1.0 || row->scale_q != 1.0 || row->repeats > 1 || !is_moderate(sum_value(p) / sum_value(q));
    row->walk = extreme ? WALK_ONE_BY_ONE : WALK_CAREFUL;
    if (extreme) {
        bring_to(row->aim, &row->scale_p, &p);
        bring_to(row->aim, &row->scale_q, &q);
        /* not so far apart that their quotient leaves the range, where only one could be brought there */
        double most = 0x1p900 * from_bits_f64(bits_f64(fmin(p.high, q.high)) & 0x7ff0000000000000LL);
        bring_to(fmin(row->aim, most), &row->scale_p, &p);
        bring_to(fmin(row->aim, most), &row->scale_q, &q);
    }
    set_quotient(row, p, q);
    return 1;
}

/* What comes after a walk whose constant was not good enough (repeats is 1 more), or whose terms left the range (2): once more
 * with a better constant; then in double, one element at a time, with both sums near `aim`. What is next to nothing needs
 * two or three walks more. Their c is the very p/q of an entry, and then that and the little that the sum of p - c*q said. */
static void plan_repeat(const weights_state *s, klfast_row *row, double w, int repeats) {
    row->repeats = repeats;
    if (row->walk == WALK_ANCHORED) move_anchor(row, w);
    else if (row->repeats == 2) {
        row->is_float = 0;
        row->walk = WALK_WIDE_SUMS;
    } else if (!(fabs(w) < 0.5)) row->walk = row->repeats == 1 ? WALK_SUMS : WALK_WIDE_SUMS;
    else if (row->repeats == 3 && s->q_beside_largest_p > 0) find_anchor(s, row);
    else {
        refine_constant(row, w);
        row->walk = row->repeats == 1 ? WALK_CAREFUL : WALK_ONE_BY_ONE;
    }
    look_for_multiples(s, row);
}

static int comparison_finish(const klfast_state *state, klfast_row *row, double *result, int kind) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass), w = -sum_value(s->second) / p;
    if (row->walk == WALK_MULTIPLES) return multiples_finish(s, row, result);
    *result = NAN;
    if (is_sums(row->walk)) return comparison_sums_finish(s, row);
    if (s->flags & HAS_NAN) return 0;
    if (has_infinite_term(s, kind) && s->largest_p > 0 && s->largest_q > 0) { /* whatever the constant is */
        *result = HUGE_VAL;
        return 0;
    }
    if (row->repeats < 2 && needs_scaling(s, row)) return 1;
    if (!(p > 0)) return 0;
    double aim = better_aim(s, row, kind);
    int is_last = row->repeats >= (row->walk == WALK_ANCHORED ? 5 : 3);
    if (aim > 0 || (!is_last && !comparison_is_certain(s, kind, row->is_float, least_distance_of(row)))) {
        row->aim = aim > 0 ? aim : row->aim;
        plan_repeat(s, row, w, aim > 0 ? 2 : row->repeats + 1);
        return 1;
    }
    *result = comparison_value(s, p, kind, 0);
    return 0;
}

static int raw_comparison_finish(const klfast_state *state, klfast_row *row, double *result, int kind) {
    const weights_state *s = &state->weights;
    double aim = better_aim(s, row, kind);
    *result = s->flags & HAS_NAN ? NAN : comparison_value(s, row->scale_p, kind, 1);
    if (s->flags & HAS_NAN || aim == 0) return 0;
    row->aim = row->scale_p = row->scale_q = aim < 1 ? 0x1p-200 : 0x1p600;
    return 1;
}

#define COMPARISON_FINISH(NAME, KIND) \
    static int NAME##_finish(const klfast_state *state, klfast_row *row, double *result) { \
        return comparison_finish(state, row, result, KIND); \
    } \
    static int raw_##NAME##_finish(const klfast_state *state, klfast_row *row, double *result) { \
        return raw_comparison_finish(state, row, result, KIND); \
    }
COMPARISON_FINISH(js_divergence, JENSEN_SHANNON)
COMPARISON_FINISH(total_variation, TOTAL_VARIATION)
COMPARISON_FINISH(hellinger, HELLINGER)
COMPARISON_FINISH(jeffreys, JEFFREYS)
COMPARISON_FINISH(chi2_divergence, CHI_SQUARED)
#undef COMPARISON_FINISH

#endif
