/* The KL of two rows of logits, the careful way: for blocks with -inf, with x far below y, with next to nothing between them,
 * and for those that have no KL. */

static void F(logits_kl_unusual)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                 const klfast_row *row);

/* 1 if all differences are the same: then a gap of 0 is the truth and not an underflow. */
static int F(is_constant)(const REAL *d, ptrdiff_t length) {
    for (ptrdiff_t i = 1; i < length; i++)
        if (d[i] != d[0]) return 0;
    return 1;
}

/* Which blocks have x > -inf where y = -inf. */
static int F(find_impossible)(const REAL *x, const REAL *y, ptrdiff_t length) {
    INTEGER found = 0;
    for (ptrdiff_t i = 0; i < length; i++) found |= (y[i] == -INFINITY) & (x[i] > -INFINITY);
    return found != 0;
}

/* The sum of exp(y/T) in units of exp(largest_y/T), summed where x - y is far below its mean or x is -inf. */
static wide_sum F(far_mass)(const REAL *y, const REAL *d, REAL center, ptrdiff_t length, REAL largest_y,
                            const klfast_temperature *temperature) {
    REAL term[STEP], padded_y[STEP], padded_d[STEP];
    double fraction;
    F(klfast_exponential) e = temperature->F(of);
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)(largest_y, &fraction, temperature), &e);
    F(lanes) sum = {{0}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y), *a = F(whole_step)(d, i, length, 0, padded_d);
        AS_LOOP
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(b[j], scale, &e);
            term[j] = (a[j] - center) * e.inverse < DEEP_BELOW ? part : 0;
        }
        F(fold)(&sum, term);
        F(end_run)(&sum);
    }
    return scaled_sum(F(lane_total)(&sum), 1.0 / fraction);
}

static void F(logits_kl_careful)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                 const klfast_row *row) {
    REAL p[LOGITS_BLOCK], d[LOGITS_BLOCK], padded_x[STEP], padded_y[STEP], term[STEP], rest[STEP], largest_x,
        largest_y;
    F(lanes) total = {{0}}, mean = {{0}}, left = {{0}}, gap = {{0}};
    INTEGER far[STEP] = {0}, any_far = 0;
    const klfast_temperature *temperature = row->temperature;
    F(klfast_exponential) e = temperature->F(of);
    largest_x = F(find_largest)(x, length);
    largest_y = F(find_largest)(y, length);
    if (!F(are_usable)(x, length) || !F(are_usable)(y, length)) {
        state->flags = HAS_NAN;
        return;
    }
    if (largest_y > -INFINITY) state->flags = HAS_Y;
    if (is_beyond_scale((double)largest_x) || is_beyond_scale((double)largest_y)) state->flags |= OUT_OF_SCALE;
    if (largest_x == -INFINITY) {
        F(softmax_any)(&state->lonely_y, y, length, row, 0);
        return;
    }
    if (F(find_impossible)(x, y, length)) {
        state->flags |= IS_INFINITE;
        state->total.high = 1.0;
        return;
    }
    if (row->scale_p != 1.0 || !(fmax(fabs((double)largest_x), fabs((double)largest_y)) <= (double)e.limit)) {
        F(logits_kl_unusual)(state, x, y, length, row);
        return;
    }
    double fraction_largest;
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)(largest_x, &fraction_largest, temperature), &e);
    /* The difference of the maxima and what it lost in rounding: nothing is left of d where x - y is that for every class. */
    REAL start = largest_x - largest_y, missing = -(REAL)0x1p20 / e.inverse;
    REAL start_low = (REAL)rounding_of_difference((double)largest_x, (double)largest_y, (double)start);

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x),
                   *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        AS_LOOP
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(a[j], scale, &e), from_start = F(centred_difference)(a[j], b[j], start) - start_low;
            p[i + j] = part;
            d[i + j] = a[j] > -(REAL)1.25 * e.limit ? from_start : missing;
            term[j] = part > 0 ? part * d[i + j] : 0;
        }
        F(fold)(&total, p + i);
        F(fold)(&mean, term);
        F(end_run)(&total);
        F(end_run)(&mean);
    }
    state->total = F(lane_total)(&total);
    double mass = sum_value(state->total), average = sum_value(F(lane_total)(&mean)) / mass;
    /* What is left of the mean is summed again: roundings of a large one, the same in many classes, would show in no KL, but in
     * the log ratio of the totals. */
    REAL center = (REAL)average;
    ptrdiff_t padded_length = (length + STEP - 1) / STEP * STEP;
    for (ptrdiff_t i = 0; i < padded_length; i += STEP) {
        AS_LOOP
        for (int j = 0; j < STEP; j++) {
            REAL apart = d[i + j] - center, from_center = apart * e.inverse;
            term[j] = F(logits_gap)(p[i + j], apart, 0, from_center, &e, F(FAR));
            rest[j] = p[i + j] > 0 ? p[i + j] * apart : 0;
            far[j] |= from_center < DEEP_BELOW;
        }
        F(fold)(&gap, term);
        F(end_run)(&gap);
        F(fold)(&left, rest);
        F(end_run)(&left);
    }
    AS_LOOP
    for (int j = 0; j < STEP; j++) any_far |= far[j];
    state->gap = F(lane_total)(&gap);
    if (any_far && largest_y > -INFINITY) {
        wide_sum far_mass = F(far_mass)(y, d, center, length, largest_y, temperature);
        /* In units of p: times exp(largest_y + centre) / 2^K, and largest_y + centre = largest_x + the small parts. */
        add_sum(&state->gap, scaled_sum(far_mass, fraction_largest * exp_over((double)center, temperature)));
    }
    double g = sum_value(state->gap) / mass, w = sum_value(F(lane_total)(&left)) / mass * temperature->inverse;
    if (!(g < LARGEST_LOGITS_GAP) || (g < SMALLEST_LOGITS_GAP && !F(is_constant)(d, length))) {
        F(logits_kl_unusual)(state, x, y, length, row);
        return;
    }
    memset(&state->ratio, 0, sizeof state->ratio);
    state->ratio = (wide_sum){(double)start, (double)start_low};
    state->inside = wide_over(-(double)center, temperature);
    F(conclude_logits)(state, largest_x, fraction_largest, g, w);
}

static void F(logits_kl_block)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                               const klfast_row *row) {
    memset(state, 0, sizeof *state);
    if (row->scale_p != 1.0 || !F(logits_kl_fast)(state, x, y, length, row)) F(logits_kl_careful)(state, x, y, length, row);
}
