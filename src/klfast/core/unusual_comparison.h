/* What the vector kernels of comparison.inc.h hand over, as unusual.h does for the others. */
#ifndef KLFAST_UNUSUAL_COMPARISON_H
#define KLFAST_UNUSUAL_COMPARISON_H

/* f(p, c*q), one element at a time, for numbers anywhere in the range. */
static double comparison_term_any(double p, double cq, double d, int kind) {
    double half = 0.5 * d, middle = 0.5 * p + 0.5 * cq;
    if (p == 0 && cq == 0) return 0;
    switch (kind) {
    case JENSEN_SHANNON:
        return gap_any(p, middle, half) + gap_any(cq, middle, -half);
    case TOTAL_VARIATION:
        return fabs(d);
    case HELLINGER:
        d /= sqrt(p) + sqrt(cq);
        return d * d;
    case CHI_SQUARED:
        return cq > 0 ? d * (d / cq) : 0;
    default: /* both parts of (p - cq)*log(p/cq), for it may be d that is small or the logarithm */
        return p > 0 && cq > 0 ? gap_any(p, cq, d) + gap_any(cq, p, -d) : 0;
    }
}

static void comparison_unusual_f64(weights_state *state, const double *p, const double *q, ptrdiff_t length,
                                   const klfast_row *row, int kind) {
    double c = row->constant, c_low = row->constant_low;
    if (!note_special(state, p, q, length)) return;
    for (ptrdiff_t i = 0; i < length; i++) {
        double a = p[i] * row->scale_p, b = q[i] * row->scale_q, d = difference_f64(a, c, b) - c_low * b;
        if (kind == JEFFREYS && p[i] == 0 && q[i] > 0) state->flags |= IS_INFINITE;
        state->largest = fmax(state->largest, fmin(p[i], q[i]));
        add_number(&state->mass, a);
        add_number(&state->second, d);
        add_number(&state->first, comparison_term_any(a, c * b, d, kind));
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
