/* Blocks of the logits family. Softmax is never stored; a block's exponentials are, in buffers that stay in the nearest cache.
 *
 * exp(x) is taken as fraction * 2^k from x itself and scaled by 2^(k - K), K from the block's maximum: see exp_parts. */

/* The largest logit, and whether all are usable (no NaN, no +inf). */
static int F(find_largest)(const REAL *x, ptrdiff_t length, REAL *largest) {
    REAL lane[STEP], padded[STEP], found = -INFINITY;
    INTEGER bad[STEP] = {0}, any_bad = 0;
    for (int j = 0; j < STEP; j++) lane[j] = -INFINITY;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        for (int j = 0; j < STEP; j++) {
            lane[j] = a[j] > lane[j] ? a[j] : lane[j];
            bad[j] |= !(a[j] < INFINITY);
        }
    }
    for (int j = 0; j < STEP; j++) {
        found = lane[j] > found ? lane[j] : found;
        any_bad |= bad[j];
    }
    *largest = found;
    return any_bad == 0;
}

/* Ask for the lines that the next block will read, while this one computes on what is already in the nearest cache. */
static inline void F(prefetch_next)(const REAL *array) {
    for (int line = 0; line < STEP * (int)sizeof(REAL) / 64; line++)
        __builtin_prefetch((const char *)(array + LOGITS_BLOCK) + 64 * line);
}

/* exp(x - K*ln 2), and 0 far below the block's maximum. */
static inline REAL F(scaled_exp)(REAL x, REAL K) {
    REAL k, low = -(REAL)1.25 * EXP_LIMIT, fraction = F(exp_parts)(x > low ? x : low, &k);
    return F(scale)(fraction, k - K);
}

static void F(softmax_unusual)(softmax_state *state, const REAL *x, ptrdiff_t length, const int with_value);

static inline void F(softmax_any)(softmax_state *state, const REAL *x, ptrdiff_t length, const int with_value) {
    REAL padded[STEP], rest[STEP], value[STEP], largest;
    INTEGER count_lane[STEP] = {0};
    F(lanes) sum_rest = {{0}}, sum_value = {{0}};
    memset(state, 0, sizeof *state);
    if (!F(find_largest)(x, length, &largest)) { state->flags = HAS_NAN; return; }
    if (largest == -INFINITY) return;
    if (!(largest <= EXP_LIMIT && largest >= -EXP_LIMIT)) { F(softmax_unusual)(state, x, length, with_value); return; }
    double k_largest, fraction_largest = exp_parts_f64((double)largest, &k_largest);
    REAL K = (REAL)k_largest;

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(prefetch_next)(x + i);
        for (int j = 0; j < STEP; j++) {
            REAL e = F(scaled_exp)(a[j], K);
            rest[j] = a[j] == largest ? 0 : e;
            count_lane[j] += a[j] == largest;
            if (with_value) value[j] = e > 0 ? e * (largest - a[j]) : 0;
        }
        F(fold)(&sum_rest, rest);
        F(end_run)(&sum_rest);
        if (with_value) F(fold)(&sum_value, value);
        if (with_value) F(end_run)(&sum_value);
    }
    for (int j = 0; j < STEP; j++) state->count += (double)count_lane[j];
    state->largest = largest;
    state->rest = scaled_sum(F(lane_total)(&sum_rest), 1.0 / fraction_largest);
    state->value = scaled_sum(F(lane_total)(&sum_value), 1.0 / fraction_largest);
    /* So far below the maximum that entries may have sunk below the normal numbers: look with a wider exponent. */
    if (state->rest.high < SMALLEST_REST && state->count < (double)length) F(softmax_unusual)(state, x, length, with_value);
}

/* ---- KL of two rows of logits ----
 *
 * With p = softmax(x) and d = (x - y) - centre, KL = E[d] + log1p(E[exp(-d) - 1]) for ANY centre. The centre is the mean of
 * x - y under p, found in a first sweep; then E[d] is a rounding error, exp(-d) - 1 = (d + exp(-d) - 1) - d, and the sum
 * of p*(d + exp(-d) - 1) has no negative term. One exp of x, one of -d, none of y.
 * x - y keeps its rounding error, so a constant between x and y costs no digits. */

/* p*(d + exp(-d) - 1); p*(d - 1) where d < -30: exp(-d) would overflow there, and p*exp(-d) is summed elsewhere. */
static inline REAL F(logits_gap)(REAL p, REAL d) {
    int close = (d <= 1) & (d >= -1), far = d < -30;
    REAL k, x = d > 200 ? -200 : far ? 0 : -d;
    REAL shifted = F(fma)(x, LOG2_E, ROUNDING_SHIFT) - ROUNDING_SHIFT;
    k = close ? 0 : shifted;
    REAL r = F(fma)(-k, LN2_LOW, F(fma)(-k, LN2_HIGH, x));
    REAL curve = r * r * F(wide_exp_polynomial)(r);
    REAL e = F(scale)(1 + (r + curve), k);
    return close ? p * curve : F(fma)(p, d - 1, far ? 0 : p * e);
}

static void F(logits_kl_unusual)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length);

/* 1 if all differences are the same: then a gap of 0 is the truth and not an underflow. */
static int F(is_constant)(const REAL *d, ptrdiff_t length) {
    for (ptrdiff_t i = 1; i < length; i++)
        if (d[i] != d[0]) return 0;
    return 1;
}

/* x - y - center, with the rounding error of x - y; far out where x is no probability at all. */
static inline REAL F(centred_difference)(REAL x, REAL y, REAL center) {
    REAL difference = x - y, part = difference - x;
    REAL error = (x - (difference - part)) - (y + part);
    return (difference - center) + error;
}

/* Which blocks have x > -inf where y = -inf. */
static int F(find_impossible)(const REAL *x, const REAL *y, ptrdiff_t length) {
    INTEGER found = 0;
    for (ptrdiff_t i = 0; i < length; i++) found |= (y[i] == -INFINITY) & (x[i] > -INFINITY);
    return found != 0;
}

/* exp(y) in units of exp(largest_y), summed where x - y is far below its mean or x is -inf. */
static wide_sum F(far_mass)(const REAL *y, const REAL *d, REAL center, ptrdiff_t length, REAL largest_y) {
    REAL term[STEP], padded_y[STEP], padded_d[STEP];
    double K, fraction = exp_parts_f64((double)largest_y, &K);
    F(lanes) sum = {{0}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y), *a = F(whole_step)(d, i, length, 0, padded_d);
        for (int j = 0; j < STEP; j++) {
            REAL e = F(scaled_exp)(b[j], (REAL)K);
            term[j] = a[j] - center < -30 ? e : 0;
        }
        F(fold)(&sum, term);
        F(end_run)(&sum);
    }
    return scaled_sum(F(lane_total)(&sum), 1.0 / fraction);
}

static void F(logits_kl_block)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length) {
    REAL p[LOGITS_BLOCK], d[LOGITS_BLOCK], padded_x[STEP], padded_y[STEP], term[STEP], largest_x, largest_y;
    F(lanes) total = {{0}}, mean = {{0}}, gap = {{0}};
    INTEGER far[STEP] = {0}, any_far = 0;
    memset(state, 0, sizeof *state);
    if (!F(find_largest)(x, length, &largest_x) | !F(find_largest)(y, length, &largest_y)) { state->flags = HAS_NAN; return; }
    if (largest_y > -INFINITY) state->flags = HAS_Y;
    if (largest_x == -INFINITY) { F(softmax_any)(&state->lonely_y, y, length, 0); return; }
    if (F(find_impossible)(x, y, length)) { state->flags |= IS_INFINITE; state->total.high = 1.0; return; }
    if (!(fmax(fabs((double)largest_x), fabs((double)largest_y)) <= EXP_LIMIT)) { F(logits_kl_unusual)(state, x, y, length); return; }
    double k_largest, fraction_largest = exp_parts_f64((double)largest_x, &k_largest);
    REAL K = (REAL)k_largest, start = largest_x - largest_y;
    /* What `start` missed of the difference of the maxima. */
    double start_error = rounding_of_difference((double)largest_x, (double)largest_y, (double)start);

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x), *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        for (int j = 0; j < STEP; j++) {
            REAL e = F(scaled_exp)(a[j], K), from_start = F(centred_difference)(a[j], b[j], start);
            p[i + j] = e;
            d[i + j] = a[j] > -(REAL)1.25 * EXP_LIMIT ? from_start : -(REAL)0x1p20;
            term[j] = e > 0 ? e * d[i + j] : 0;
        }
        F(fold)(&total, p + i);
        F(fold)(&mean, term);
        F(end_run)(&total);
        F(end_run)(&mean);
    }
    state->total = F(lane_total)(&total);
    double mass = sum_value(state->total), average = sum_value(F(lane_total)(&mean)) / mass;
    REAL center = (REAL)average;
    ptrdiff_t padded_length = (length + STEP - 1) / STEP * STEP;
    for (ptrdiff_t i = 0; i < padded_length; i += STEP) {
        F(prefetch_next)(x + i);
        F(prefetch_next)(y + i);
        for (int j = 0; j < STEP; j++) {
            REAL from_center = d[i + j] - center;
            term[j] = F(logits_gap)(p[i + j], from_center);
            far[j] |= from_center < -30;
        }
        F(fold)(&gap, term);
        F(end_run)(&gap);
    }
    for (int j = 0; j < STEP; j++) any_far |= far[j];
    state->gap = F(lane_total)(&gap);
    if (any_far && largest_y > -INFINITY) {
        wide_sum far_mass = F(far_mass)(y, d, center, length, largest_y);
        /* In units of p: times exp(largest_y + centre) / 2^K, and largest_y + centre = largest_x + the small parts. */
        add_sum(&state->gap, scaled_sum(far_mass, fraction_largest * exp_any((double)center - start_error)));
    }
    double g = sum_value(state->gap) / mass, w = average - center, inside = log1p_any(g - w);
    if (!(g < LARGEST_LOGITS_GAP) || (g < SMALLEST_LOGITS_GAP && !F(is_constant)(d, length))) {
        F(logits_kl_unusual)(state, x, y, length);
        return;
    }
    state->largest_x = largest_x;
    state->ratio.high = start;
    add_number(&state->ratio, (double)center);
    add_number(&state->ratio, -inside);
    state->total = scaled_sum(state->total, 1.0 / fraction_largest);
    memset(&state->gap, 0, sizeof state->gap);
    /* KL = w + log1p(g - w), written so that a small KL keeps its digits: g - [u - log1p(u)] with u = g - w. */
    double u = g - w, kl = u < 0.5 ? g - gap_any(1.0, 1.0 + u, -u) : w + inside;
    add_number(&state->gap, sum_value(state->total) * (kl > 0 ? kl : 0.0));
}
