/* Jensen-Shannon of two rows of logits: second walk, with all totals known. In double; floats are widened piece by
 * piece.
 *
 * With w the larger of the two probabilities, t <= 1 the smaller over the larger and d = -log t, a coordinate gives
 *   w/2 * [(1 + t)*(ln 2 - log(1 + t)) - t*d],
 * or, for d <= 1, w/2 * (1 + t) * J(s) with s = (1 - t)/(1 + t), which keeps all digits however close the two are. */
#ifndef KLFAST_LOGITS_JS_H
#define KLFAST_LOGITS_JS_H

#include "real_f64.inc.h"

/* x - largest, held above -1000, beyond which nothing is left of a probability; and what the subtraction rounded away. */
static inline double below_largest(double x, double largest, double *error) {
    double distance = x - largest, part = distance - x, rounded = (x - (distance - part)) - (largest + part);
    *error = distance > -1000.0 ? rounded : 0.0;
    return distance > -1000.0 ? distance : -1000.0;
}

/* The term of one coordinate, and in *excess the difference of its two probabilities. */
static inline double js_term(double x, double y, const klfast_row *row, double share_x, double share_y,
                             double *excess) {
    double error_x, error_y, k, k_t;
    double dx = below_largest(x, row->largest_x, &error_x), dy = below_largest(y, row->largest_y, &error_y);
    double d = (((dx - dy) - row->offset) + (error_x - error_y)) - row->offset_low, distance = fabs(d);
    double at = d >= 0 ? dx : dy, error = d >= 0 ? error_x : error_y, share = d >= 0 ? share_x : share_y;
    double fraction = exp_parts_f64(at, &k);
    double larger = share * scale_f64(fma_f64(fraction, error, fraction), k);
    double fraction_t = exp_parts_f64(distance < 1000.0 ? -distance : -1000.0, &k_t), t = scale_f64(fraction_t, k_t);
    double small = distance < 1 ? distance : 1,
           lost = small - small * small * wide_exp_polynomial_f64(-small); /* 1 - t */
    double s = lost / (2.0 - lost), z = s * s, near = (2.0 - lost) * z * js_polynomial_f64(z);
    double s_t = t / (2.0 + t), z_t = s_t * s_t, log_t = fma_f64(s_t * z_t, wide_log_polynomial_f64(z_t), 2.0 * s_t);
    double far = fma_f64(1.0 + t, LN2 - log_t, -(t * distance)), less = distance <= 1 ? lost : 1.0 - t;
    far = distance < 1000.0 ? far : LN2;
    *excess = d >= 0 ? larger * less : -(larger * less);
    return larger * (distance <= 1 ? near : far);
}

static void js_terms_f64(logits_js_state *state, const double *x, const double *y, ptrdiff_t length,
                         const klfast_row *row) {
    double padded_x[STEP], padded_y[STEP], term[STEP], difference[STEP];
    double share_x = 0.5 / row->total_x, share_y = 0.5 / row->total_y;
    lanes_f64 value = {{0}}, excess = {{0}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const double *restrict a = whole_step_f64(x, i, length, -INFINITY, padded_x);
        const double *restrict b = whole_step_f64(y, i, length, -INFINITY, padded_y);
        for (int j = 0; j < STEP; j++) term[j] = js_term(a[j], b[j], row, share_x, share_y, &difference[j]);
        fold_f64(&value, term);
        fold_f64(&excess, difference);
        end_run_f64(&value);
        end_run_f64(&excess);
    }
    state->value = lane_total_f64(&value);
    state->excess = lane_total_f64(&excess);
}

#include "real_end.inc.h"

static void js_terms_f32(logits_js_state *state, const float *x, const float *y, ptrdiff_t length,
                         const klfast_row *row) {
    double wide_x[PIECE], wide_y[PIECE];
    logits_js_state part;
    for (ptrdiff_t i = 0; i < length; i += PIECE) {
        ptrdiff_t count = length - i < PIECE ? length - i : PIECE;
        widen(wide_x, x + i, count);
        widen(wide_y, y + i, count);
        js_terms_f64(&part, wide_x, wide_y, count, row);
        add_sum(&state->value, part.value);
        add_sum(&state->excess, part.excess);
    }
}

#endif
