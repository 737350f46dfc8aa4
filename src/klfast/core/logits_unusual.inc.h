/* What the logits kernels hand over: scores beyond EXP_LIMIT, rows so far apart or so close that terms leave the normal
 * numbers. One element at a time, in double. */

static void F(softmax_unusual)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                               const int with_value) {
    REAL largest = x[0];
    double power = spare_power(row->temperature), unit = power > 0 ? 0x1p-200 : 1;
    memset(state, 0, sizeof *state);
    for (ptrdiff_t i = 1; i < length; i++) largest = x[i] > largest ? x[i] : largest;
    state->largest = (double)largest;
    for (ptrdiff_t i = 0; i < length; i++) {
        double distance = state->largest - (double)x[i];
        double e = scaled_exp_over_difference((double)x[i], state->largest, power, row->temperature);
        if (x[i] == largest) {
            state->count += 1;
            continue;
        }
        add_number(&state->rest, e);
        if (with_value && e > 0) add_number(&state->value, e * distance);
    }
    state->rest = scaled_sum(state->rest, unit);
    state->value = scaled_sum(state->value, unit);
}

/* x - largest_x - (y - largest_y), with the rounding errors of both differences. */
static double F(exact_difference)(REAL x, REAL y, double largest_x, double largest_y) {
    double dx = (double)x - largest_x, dy = (double)y - largest_y;
    double part_x = dx - (double)x, part_y = dy - (double)y;
    double error_x = ((double)x - (dx - part_x)) - (largest_x + part_x),
           error_y = ((double)y - (dy - part_y)) - (largest_y + part_y);
    return (dx - dy) + (error_x - error_y);
}

static void F(logits_kl_unusual)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                 const klfast_row *row) {
    double inverse = row->temperature->inverse;
    double largest_x = -HUGE_VAL, largest_y = -HUGE_VAL;
    wide_sum total = {0, 0}, total_y = {0, 0}, mean = {0, 0}, gap = {0, 0};
    for (ptrdiff_t i = 0; i < length; i++) {
        largest_x = (double)x[i] > largest_x ? (double)x[i] : largest_x; /* GCC 12 breaks off at fmax here, on aarch64 */
        largest_y = (double)y[i] > largest_y ? (double)y[i] : largest_y;
        if (is_beyond_scale((double)x[i]) || is_beyond_scale((double)y[i])) state->flags |= OUT_OF_SCALE;
    }
    for (ptrdiff_t i = 0; i < length; i++) {
        double p = exp_over_difference((double)x[i], largest_x, row->temperature);
        add_number(&total, p);
        add_number(&total_y, exp_over_difference((double)y[i], largest_y, row->temperature));
        if (p > 0) add_number(&mean, p * F(exact_difference)(x[i], y[i], largest_x, largest_y));
    }
    double mass = sum_value(total), raw_center = sum_value(mean) / mass, center = raw_center * inverse, log_inside, kl;
    if (center > 30) { /* far apart: nothing cancels in the plain formula */
        log_inside = log_ratio_any(sum_value(total_y), mass);
        kl = center + log_inside;
    } else {
        for (ptrdiff_t i = 0; i < length; i++) {
            double p = exp_over_difference((double)x[i], largest_x, row->temperature);
            double y_part = exp_over_centred((double)y[i], largest_y, raw_center, row->temperature);
            if (p == 0) {
                add_number(&gap, y_part);
                continue;
            }
            double difference = F(exact_difference)(x[i], y[i], largest_x, largest_y) - raw_center, d = difference * inverse;
            add_number(&gap, d < -30 ? p * (d - 1.0) + y_part : p * gap_over(d, difference, row->temperature));
        }
        log_inside = kl = log1p_any(sum_value(gap) / mass);
    }
    state->total = total;
    state->largest_x = largest_x;
    memset(&state->gap, 0, sizeof state->gap);
    add_number(&state->gap, mass * ((kl < 0 ? 0.0 : kl) * row->scale_p)); /* NaN stays NaN */
    memset(&state->ratio, 0, sizeof state->ratio);
    state->ratio.high = largest_x;
    add_number(&state->ratio, -largest_y);
    state->inside = center > 30 ? wide_log(sum_value(total_y) / mass) : wide_over(-raw_center, row->temperature);
    if (!(center > 30)) add_sum(&state->inside, wide_log1p(sum_value(gap) / mass));
}
