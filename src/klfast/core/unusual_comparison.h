/* What the vector kernels of comparison.inc.h hand over, as unusual.h does for the others. */
#ifndef KLFAST_UNUSUAL_COMPARISON_H
#define KLFAST_UNUSUAL_COMPARISON_H

/* What lies below this is brought up before it is compared: its last bits may be below the smallest double. */
#define LOW 0x1p-700
#define UP 0x1p200

static int is_low(double p, double q, const klfast_row *row) {
    return p * row->scale_p < LOW && row->constant * (q * row->scale_q) < LOW;
}

/* log(p/(c*q)) from the numbers as they are given: scaling may have taken one of them out of the range. */
static double log_ratio_told(double p, double q, const klfast_row *row) {
    return log_ratio_any(p, q) + (log_ratio_any(row->scale_p, row->scale_q) - log_ratio_any(row->constant, 1.0));
}

/* p*(p/(c*q)), scaled, likewise: by mantissas and exponents. */
static double square_over(double p, double q, const klfast_row *row) {
    int exponent_p, exponent_q, exponent_c, scale_p, scale_q;
    double part_p = frexp(p, &exponent_p), part_q = frexp(q, &exponent_q), part_c = frexp(row->constant, &exponent_c);
    frexp(row->scale_p, &scale_p);
    frexp(row->scale_q, &scale_q);
    int exponent = 2 * (exponent_p + scale_p - 1) - (exponent_q + scale_q - 1) - exponent_c;
    return ldexp(part_p * (part_p / (part_q * part_c)), exponent);
}

/* f(a, cb), d = a - cb, where none of them is that low, or only one and both are far apart. */
static double comparison_term_any(double a, double cb, double d, int kind) {
    double half = 0.5 * d, middle = 0.5 * a + 0.5 * cb;
    if (!(middle > 0x1p-1000)) return 0; /* beside sums near 1 */
    switch (kind) {
    case JENSEN_SHANNON:
        return gap_any(a, middle, half) + gap_any(cb, middle, -half);
    case TOTAL_VARIATION:
        return fabs(d);
    case HELLINGER:
        d /= sqrt(a) + sqrt(cb);
        return d * d;
    case CHI_SQUARED:
        return cb > 0 ? d * (d / cb) : 0;
    default: /* both parts of (p - cq)*log(p/cq), for it may be d that is small or the logarithm */
        return a > 0 && cb > 0 ? gap_any(a, cb, d) + gap_any(cb, a, -d) : 0;
    }
}

/* f for p and q as they are given. */
static double comparison_term_of(double p, double q, const klfast_row *row, int kind) {
    double up = is_low(p, q, row) ? UP : 1.0, a = p * up * row->scale_p, b = q * up * row->scale_q;
    double cb = row->constant * b, d = difference_told(a, b, row);
    int is_far = (cb < LOW / UP || a < LOW / UP) && !(a < UP * cb && cb < UP * a) && p > 0 && q > 0;
    if (is_far && kind == CHI_SQUARED && a > cb) return square_over(p, q, row);
    if (is_far && kind == JEFFREYS) return d * log_ratio_told(p, q, row) / up;
    return comparison_term_any(a, cb, d, kind) / up;
}

static void comparison_unusual_f64(weights_state *state, const double *p, const double *q, ptrdiff_t length,
                                   const klfast_row *row, int kind) {
    int is_one = row->walk != WALK_ANCHORED && row->constant == 1.0 && row->constant_low == 0;
    int is_plain = is_one && row->scale_p == row->scale_q;
    if (!note_special(state, p, q, length)) return;
    for (ptrdiff_t i = 0; i < length; i++) {
        double a = p[i] * row->scale_p, b = q[i] * row->scale_q;
        if (kind == JEFFREYS && p[i] == 0 && q[i] > 0) state->flags |= IS_INFINITE;
        state->largest = fmax(state->largest, fmin(p[i], q[i]));
        add_number(&state->mass, a);
        add_number(&state->second, difference_told(a, b, row));
        if (is_plain && p[i] == q[i]) continue; /* 0, also where raw numbers leave the range when they are scaled */
        if (is_low(p[i], q[i], row) && (p[i] > 0 || q[i] > 0)) state->flags |= HAS_LOW;
        add_number(&state->first, comparison_term_of(p[i], q[i], row, kind));
    }
}

#define COMPARISON_UNUSUAL(KIND) \
    static void unusual_##KIND(weights_state *s, const double *p, const double *q, ptrdiff_t n, const klfast_row *row) { \
        comparison_any_f64(s, p, q, n, row, KIND); \
    }
COMPARISON_UNUSUAL(JENSEN_SHANNON)
COMPARISON_UNUSUAL(TOTAL_VARIATION)
COMPARISON_UNUSUAL(HELLINGER)
COMPARISON_UNUSUAL(JEFFREYS)
COMPARISON_UNUSUAL(CHI_SQUARED)
#undef COMPARISON_UNUSUAL

static void comparison_unusual_f32(weights_state *state, const float *p, const float *q, ptrdiff_t length,
                                   const klfast_row *row, int kind) {
    static weights_block_f64 *const block[] = {unusual_JENSEN_SHANNON, unusual_TOTAL_VARIATION, unusual_HELLINGER,
                                               unusual_JEFFREYS, unusual_CHI_SQUARED};
    widened(state, p, q, length, row, block[kind]);
}

#endif
