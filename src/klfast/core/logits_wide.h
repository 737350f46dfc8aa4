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
        add_sum(&state->value, part.value);
        add_sum(&state->of_x, part.of_x);
        add_sum(&state->of_y, part.of_y);
        add_sum(&state->excess, part.excess);
    }
}

/* Tiles: float ones of any beta but 1/2 as two of doubles. */

enum { WIDE_LANES = KLFAST_LINE_BYTES / sizeof(double), WIDE_TILE = WIDE_LANES * KLFAST_SHORT_ROW };

static void widen_half(double *wide, const float *tile, ptrdiff_t length) {
    ptrdiff_t i = 0;
    do { /* a tile has a line at least */
        for (int j = 0; j < WIDE_LANES; j++) wide[i + j] = (double)tile[2 * i + j];
    } while ((i += WIDE_LANES) < length);
}

static void narrow_half(float *tile, const double *wide, ptrdiff_t length) {
    for (ptrdiff_t i = 0; i < length; i += WIDE_LANES)
        for (int j = 0; j < WIDE_LANES; j++) tile[2 * i + j] = (float)wide[i + j];
}

static NOINLINE unsigned js_tile_half(double *result, const float *x, const float *y, ptrdiff_t length, ptrdiff_t count,
                                      const klfast_row *row, float *out_x, float *out_y, int half) {
    double wide_x[WIDE_TILE], wide_y[WIDE_TILE], wide_out_x[WIDE_TILE], wide_out_y[WIDE_TILE];
    int first = half * WIDE_LANES;
    klfast_labels labels = *row->labels;
    klfast_row told = *row;
    told.labels = &labels;
    for (int j = 0; j < WIDE_LANES; j++) labels.gradient[j] = row->labels->gradient[first + j];
    widen_half(wide_x, x + first, length);
    widen_half(wide_y, y + first, length);
    unsigned certain = tile_logits_js_f64(result + first, wide_x, wide_y, length, count - first, &told,
                                          out_x ? wide_out_x : NULL, wide_out_y);
    if (!out_x) return certain << first;
    narrow_half(out_x + first, wide_out_x, length);
    narrow_half(out_y + first, wide_out_y, length);
    return certain << first;
}

/* A row that is alone. */
static NOINLINE unsigned js_row_alone(double *result, const float *x, const float *y, ptrdiff_t length, const klfast_row *row,
                                      float *out_x, float *out_y) {
    double wide_x[WIDE_TILE], wide_y[WIDE_TILE], wide_out_x[WIDE_TILE], wide_out_y[WIDE_TILE];
    widen(wide_x, x, length);
    widen(wide_y, y, length);
    unsigned certain = tile_logits_js_f64(result, wide_x, wide_y, length, 1, row, out_x ? wide_out_x : NULL, wide_out_y);
    for (ptrdiff_t i = 0; out_x && i < row->alone; i++) {
        out_x[i] = (float)wide_out_x[i];
        out_y[i] = (float)wide_out_y[i];
    }
    return certain;
}

static unsigned tile_js_f32(double *result, const void *x, const void *y, ptrdiff_t length, ptrdiff_t count,
                            const klfast_row *row, void *out_x, void *out_y) {
    unsigned certain = 0;
    if (row->parameters->beta == 0.5) return tile_logits_js_f32(result, x, y, length, count, row, out_x, out_y);
    if (row->alone) return js_row_alone(result, x, y, length, row, out_x, out_y);
    for (int half = 0; half < 2; half++)
        certain |= js_tile_half(result, x, y, length / 2, count, row, out_x, out_y, half);
    return certain;
}

static unsigned tile_js_f64(double *result, const void *x, const void *y, ptrdiff_t length, ptrdiff_t count,
                            const klfast_row *row, void *out_x, void *out_y) {
    return tile_logits_js_f64(result, x, y, length, count, row, out_x, out_y);
}

#endif
