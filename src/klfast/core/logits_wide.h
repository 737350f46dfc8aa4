/* Float rows as double ones, piece by piece. */
#ifndef KLFAST_LOGITS_WIDE_H
#define KLFAST_LOGITS_WIDE_H

static void js_wide_terms_f64(logits_pair_state *state, const double *x, const double *y, ptrdiff_t length,
                              const klfast_row *row) {
    js_terms_f64(state, x, y, length, row);
}

static void js_wide_terms_f32(logits_pair_state *state, const float *x, const float *y, ptrdiff_t length,
                              const klfast_row *row) {
    double wide_x[PIECE], wide_y[PIECE];
    logits_pair_state part;
    memset(state, 0, sizeof *state);
    for (ptrdiff_t i = 0; i < length; i += PIECE) {
        ptrdiff_t count = length - i < PIECE ? length - i : PIECE;
        widen(wide_x, x + i, count);
        widen(wide_y, y + i, count);
        js_terms_f64(&part, wide_x, wide_y, count, row);
        add_sum(&state->of_x, part.of_x);
        add_sum(&state->of_y, part.of_y);
        add_sum(&state->excess, part.excess);
    }
}

#endif
