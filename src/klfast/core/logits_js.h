/* Jensen-Shannon of two rows of logits: second walk, with all totals known. In double; floats are widened piece by piece.
 *
 * With w the larger of the two probabilities, t <= 1 the smaller over the larger and d = -log t, a coordinate gives
 *   w/2 * [(1 + t)*(ln 2 - log(1 + t)) - t*d],
 * or, for d <= 1, w/2 * (1 + t) * J(s) with s = (1 - t)/(1 + t), which keeps all digits however close the two are. */
#ifndef KLFAST_LOGITS_JS_H
#define KLFAST_LOGITS_JS_H

#include "real_f64.inc.h"

static void js_terms_f64(wide_sum *value, const double *x, const double *y, ptrdiff_t length, const klfast_row *row) {
    double padded_x[STEP], padded_y[STEP], term[STEP];
    double largest_x = row->largest_x, largest_y = row->largest_y, share_x = 0.5 / row->total_x, share_y = 0.5 / row->total_y;
    lanes_f64 sum = {{0}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const double *restrict a = whole_step_f64(x, i, length, -INFINITY, padded_x), *restrict b = whole_step_f64(y, i, length, -INFINITY, padded_y);
        for (int j = 0; j < STEP; j++) {
            /* Beyond -1000 nothing is left of a probability, and -inf must not meet -inf. */
            double dx = a[j] - largest_x, dy = b[j] - largest_y, part_x = dx - a[j], part_y = dy - b[j];
            double error_x = (a[j] - (dx - part_x)) - (largest_x + part_x), error_y = (b[j] - (dy - part_y)) - (largest_y + part_y);
            error_x = dx > -1000.0 ? error_x : 0.0;
            error_y = dy > -1000.0 ? error_y : 0.0;
            dx = dx > -1000.0 ? dx : -1000.0;
            dy = dy > -1000.0 ? dy : -1000.0;
            double d = (((dx - dy) - row->offset) + (error_x - error_y)) - row->offset_low, distance = fabs(d), k, kt;
            double at = d >= 0 ? dx : dy, share = d >= 0 ? share_x : share_y;
            double fraction = exp_parts_f64(at, &k), larger = share * scale_f64(fraction, k), down = distance < 1000.0 ? -distance : -1000.0;
            double fraction_t = exp_parts_f64(down, &kt), t = scale_f64(fraction_t, kt), lost = distance < 1 ? distance : 1;
            lost = lost - lost * lost * wide_exp_polynomial_f64(-lost); /* 1 - t */
            double s = lost / (2.0 - lost), z = s * s, near = (2.0 - lost) * z * js_polynomial_f64(z);
            double s2 = t / (2.0 + t), z2 = s2 * s2, log_t = fma_f64(s2 * z2, wide_log_polynomial_f64(z2), 2.0 * s2);
            double far = fma_f64(1.0 + t, LN2 - log_t, t * down), height = distance <= 1 ? near : far;
            term[j] = larger * height;
        }
        fold_f64(&sum, term);
        end_run_f64(&sum);
    }
    *value = lane_total_f64(&sum);
}

#include "real_end.inc.h"

static void js_terms_f32(wide_sum *value, const float *x, const float *y, ptrdiff_t length, const klfast_row *row) {
    double wide_x[PIECE], wide_y[PIECE];
    wide_sum part;
    memset(value, 0, sizeof *value);
    for (ptrdiff_t i = 0; i < length; i += PIECE) {
        ptrdiff_t count = length - i < PIECE ? length - i : PIECE;
        widen(wide_x, x + i, count);
        widen(wide_y, y + i, count);
        js_terms_f64(&part, wide_x, wide_y, count, row);
        add_sum(value, part);
    }
}

#endif
