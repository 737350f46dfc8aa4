/* What the probability kernels hand over: NaN, inf, negative entries, -0.0, subnormals, values near the overflow limit.
 *
 * Float blocks are widened piece by piece and go through the double kernels, at half the speed: softmax output in float
 * can be full of entries below 1e-30. Double blocks go one element at a time. */
#ifndef KLFAST_UNUSUAL_H
#define KLFAST_UNUSUAL_H

/* + 0.0 turns -0.0 into 0.0 */
static void widen(double *wide, const float *array, ptrdiff_t length) {
    for (ptrdiff_t i = 0; i < length; i++) wide[i] = (double)array[i] + 0.0;
}

enum { PIECE = 1024 };
typedef void weights_block_f64(weights_state *, const double *, const double *, ptrdiff_t, const klfast_row *);

static void widened(weights_state *state, const float *p, const float *q, ptrdiff_t length, const klfast_row *row,
                    weights_block_f64 *block) {
    double wide_p[PIECE], wide_q[PIECE];
    klfast_state all, piece;
    memset(&all, 0, sizeof all);
    for (ptrdiff_t i = 0; i < length; i += PIECE) {
        ptrdiff_t count = length - i < PIECE ? length - i : PIECE;
        widen(wide_p, p + i, count);
        widen(wide_q, q + i, count);
        block(&piece.weights, wide_p, wide_q, count, row);
        weights_join(&all, &piece, row);
    }
    *state = all.weights;
}

static void any_divergence_f64(weights_state *s, const double *p, const double *q, ptrdiff_t n, const klfast_row *row) {
    divergence_any_f64(s, p, q, n, row, 0);
}
static void any_raw_divergence_f64(weights_state *s, const double *p, const double *q, ptrdiff_t n,
                                   const klfast_row *row) {
    divergence_any_f64(s, p, q, n, row, 1);
}
static void any_cross_entropy_f64(weights_state *s, const double *p, const double *q, ptrdiff_t n,
                                  const klfast_row *row) {
    cross_entropy_any_f64(s, p, q, n, row, 0);
}

static void divergence_unusual_f32(weights_state *state, const float *p, const float *q, ptrdiff_t length,
                                   const klfast_row *row, int raw) {
    widened(state, p, q, length, row, raw ? any_raw_divergence_f64 : any_divergence_f64);
}
static void cross_entropy_unusual_f32(weights_state *state, const float *p, const float *q, ptrdiff_t length,
                                      const klfast_row *row) {
    widened(state, p, q, length, row, any_cross_entropy_f64);
}

static void wide_sums_f64(weights_state *state, const double *p, const double *q, ptrdiff_t length,
                          const klfast_row *row);
static void wide_sums_f32(weights_state *state, const float *p, const float *q, ptrdiff_t length,
                          const klfast_row *row) {
    widened(state, p, q, length, row, wide_sums_f64);
}

static int is_out_of_scale(double largest) { return largest > 0x1p850 || (largest > 0 && largest < 0x1p-800); }

/* Looks for what decides a row before any sum: returns 0 if the sums are not needed any more. */
static int note_special(weights_state *state, const double *p, const double *q, ptrdiff_t length) {
    memset(state, 0, sizeof *state);
    for (ptrdiff_t i = 0; i < length; i++) {
        if (!(p[i] >= 0 && p[i] < HUGE_VAL && q[i] >= 0 && q[i] < HUGE_VAL)) state->flags |= HAS_NAN;
        if (p[i] > 0 && q[i] == 0) state->flags |= IS_INFINITE;
        if (p[i] > state->largest_p) {
            state->largest_p = p[i];
            state->q_beside_largest_p = q[i];
        }
        state->largest_q = fmax(state->largest_q, q[i]);
    }
    if (is_out_of_scale(state->largest_p) || is_out_of_scale(state->largest_q)) state->flags |= OUT_OF_SCALE;
    return !(state->flags & HAS_NAN);
}

static void wide_sums_f64(weights_state *state, const double *p, const double *q, ptrdiff_t length,
                          const klfast_row *row) {
    if (!note_special(state, p, q, length)) return;
    for (ptrdiff_t i = 0; i < length; i++) {
        add_number(&state->mass, p[i] * row->scale_p);
        add_number(&state->second, q[i] * row->scale_q);
    }
}

/* log(a/(q*scale)), also where the product has sunk below the normal numbers. */
static double log_ratio_scaled(double a, double q, double scale) {
    double b = q * scale;
    return b >= 0x1p-1022 || scale == 1.0 ? log_ratio_any(a, b) : log_ratio_any(a, q) - log_ratio_any(scale, 1.0);
}

/* a - c*b from c as a fraction: a*anchor_q - anchor_p*b without rounding, and then what anchor_rest takes off. */
static double anchored_difference(double a, double b, const klfast_row *row) {
    double own = row->anchor_unit * b, product = row->anchor_p * own, over = difference_f64(product, row->anchor_q, a);
    double under = difference_f64(product, row->anchor_p, own), d = under - over;
    double d_low = rounding_of_difference(under, over, d) - row->anchor_rest.low * own;
    return (difference_f64(d, row->anchor_rest.high, own) + d_low) / row->anchor_q;
}

/* a - c*b as this walk has it. */
static double difference_told(double a, double b, const klfast_row *row) {
    if (row->walk == WALK_ANCHORED) return anchored_difference(a, b, row);
    return difference_any(a, row->constant, b) - row->constant_low * b;
}

static void divergence_unusual_f64(weights_state *state, const double *p, const double *q, ptrdiff_t length,
                                   const klfast_row *row, int raw) {
    double c = row->constant;
    if (!note_special(state, p, q, length)) return;
    for (ptrdiff_t i = 0; i < length; i++) {
        double a = p[i] * row->scale_p, b = q[i] * row->scale_q, cb = c * b;
        add_number(&state->mass, a);
        if (a == 0 && b == 0) continue;
        if (raw && (q[i] == 0 || p[i] == 0)) continue;
        int close = a < 2 * cb && cb < 2 * a;
        if (raw && !close) {
            add_number(&state->first, a * log_ratio_any(p[i], q[i]));
            continue;
        }
        double d = difference_told(a, b, row);
        add_number(&state->second, d);
        if (a == 0) add_number(&state->first, cb);
        else if (q[i] == 0) continue;
        else if (cb >= 0x1p-1022) add_number(&state->first, gap_any(a, cb, d));
        else
            add_number(&state->first, a * (log_ratio_scaled(a, q[i], row->scale_q) - log_ratio_any(c, 1.0) - 1.0) + cb);
    }
}

static void cross_entropy_unusual_f64(weights_state *state, const double *p, const double *q, ptrdiff_t length,
                                      const klfast_row *row) {
    double limit = row->walk == WALK_CAREFUL ? LARGE_SHARE * row->constant : HUGE_VAL;
    if (!note_special(state, p, q, length)) return;
    for (ptrdiff_t i = 0; i < length; i++) {
        double a = p[i] * row->scale_p, b = q[i] * row->scale_q;
        add_number(&state->mass, a);
        if (b > limit) state->largest = fmax(state->largest, b);
        else add_number(&state->second, b);
        if (a > 0 && q[i] > 0) add_number(&state->first, a * log_ratio_scaled(row->constant, q[i], row->scale_q));
    }
}

#endif
