/* Blocks of log sum exp and entropy of logits. Softmax is never stored.
 *
 * exp(x) is taken as fraction * 2^k from x itself and scaled by 2^(k - K): see exp_parts. Any K will do that keeps the
 * sums in range, so the fast sweep takes it from the first few logits and does not look for the maximum first.
 *
 * The largest logit is set apart: a sure row (entropy, or cross-entropy of its top class, close to 0) lives on the
 * small rest. */

/* How exponentials are scaled by 2^-K. */
typedef struct {
    REAL lowest;
    INTEGER bias;
} F(exponent_scale);

static ALWAYS_INLINE F(exponent_scale) F(scale_by)(REAL K, const F(klfast_exponential) *e) {
    /* at `lowest`, k - K rounds to the exponent whose bits make 0 */
    F(exponent_scale) scale = {(K + (LOWEST_EXPONENT + (REAL)0.25)) * e->ln2, 0};
    scale.bias = (INTEGER)(-LOWEST_EXPONENT - K) - F(bits)(ROUNDING_SHIFT);
    return scale;
}

/* 2^(k - K) from k + ROUNDING_SHIFT. */
static ALWAYS_INLINE REAL F(power_at)(REAL shifted, INTEGER bias) {
    return F(from_bits)((INTEGER)((UNSIGNED)(F(bits)(shifted) + bias) << MANTISSA_BITS));
}

/* exp(x/T)/2^K, and 0 for x so low that this is below the normal numbers. NaN for NaN. x <= 1.25*limit, and k - K
 * within the exponents of normal numbers. Largest error 2 u. */
static ALWAYS_INLINE REAL F(scaled_exp)(REAL x, F(exponent_scale) scale, const F(klfast_exponential) *e) {
    REAL shifted, held = x < scale.lowest ? scale.lowest : x, fraction = F(exp_at)(held, e, &shifted);
    return fraction * F(power_at)(shifted, scale.bias);
}

/* The exponent of exp(x/T), as a K; and in *fraction exp(x/T)/2^K to double precision. */
static REAL F(exponent_of_exp)(REAL x, double *fraction, const klfast_temperature *temperature) {
    double shifted;
    *fraction = exp_at_f64((double)x, &temperature->of_f64, &shifted);
    return (REAL)(shifted - 0x1.8p52);
}

static inline REAL F(largest_of)(const REAL *lane, ptrdiff_t length) {
    REAL found = -INFINITY;
    for (ptrdiff_t j = 0; j < length; j++) found = lane[j] > found ? lane[j] : found;
    return found;
}

/* The largest logit, and whether all are usable (no NaN, no +inf). */
static int F(find_largest)(const REAL *x, ptrdiff_t length, REAL *largest) {
    REAL lane[STEP], padded[STEP];
    INTEGER bad[STEP] = {0}, any_bad = 0;
    for (int j = 0; j < STEP; j++) lane[j] = -INFINITY;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        for (int j = 0; j < STEP; j++) {
            lane[j] = a[j] > lane[j] ? a[j] : lane[j];
            bad[j] |= !(a[j] < INFINITY);
        }
    }
    for (int j = 0; j < STEP; j++) any_bad |= bad[j];
    *largest = F(largest_of)(lane, STEP);
    return any_bad == 0;
}

/* One sweep, with the largest among the others. Returns 0 where that is not good enough: rows too sure of their
 * largest, NaN, +inf, logits out of range, or far above those that the scale was taken from. */
static ALWAYS_INLINE int F(softmax_fast)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                                         const int with_value) {
    REAL padded[STEP], term[STEP], value[STEP], lane[STEP], start, largest;
    F(lanes) sum = {{0}}, sum_value = {{0}};
    F(klfast_exponential) e = row->temperature->F(of);
    double fraction_start, fraction;
    /* distances are best measured from the very largest; for the scale a few will do */
    if (!with_value) start = F(largest_of)(x, length < STEP ? length : STEP);
    else if (!F(find_largest)(x, length, &start)) return 0;
    if (!(start <= e.limit && start >= -e.limit)) return 0;
    REAL K = F(exponent_of_exp)(start, &fraction_start, row->temperature);
    F(exponent_scale) scale = F(scale_by)(K, &e);
    klfast_ahead ahead = F(further_on)(x, LOGITS_BLOCK);
    for (int j = 0; j < STEP; j++) lane[j] = start;

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(prefetch_step)(&ahead, i);
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(a[j], scale, &e), held = a[j] < scale.lowest ? scale.lowest : a[j];
            term[j] = part;
            lane[j] = a[j] > lane[j] ? a[j] : lane[j];
            if (with_value) value[j] = part * (start - held);
        }
        F(fold)(&sum, term);
        F(end_run)(&sum);
        if (with_value) F(fold)(&sum_value, value);
        if (with_value) F(end_run)(&sum_value);
    }
    largest = F(largest_of)(lane, STEP);
    wide_sum total = F(lane_total)(&sum);
    if (!(largest <= e.limit && (largest - start) * e.inverse <= 40 && total.high < HUGE_VAL)) return 0;
    double of_largest = (double)F(scaled_exp)(largest, scale, &e);
    if (!(total.high > 2 * of_largest)) return 0;
    add_number(&total, -of_largest);
    double unit = F(exponent_of_exp)(largest, &fraction, row->temperature) - K;
    unit = 1.0 / (fraction * power_of_two_f64(unit));
    state->largest = largest;
    state->count = 1;
    state->rest = scaled_sum(total, unit);
    state->value = scaled_sum(F(lane_total)(&sum_value), unit);
    return 1;
}

static void F(softmax_unusual)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                               const int with_value);

/* The same with all that equal the largest counted, and the others summed without them. */
static void F(softmax_careful)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                               const int with_value) {
    REAL padded[STEP], rest[STEP], value[STEP], largest;
    INTEGER count_lane[STEP] = {0};
    F(lanes) sum_rest = {{0}}, sum_value = {{0}};
    F(klfast_exponential) e = row->temperature->F(of);
    if (!F(find_largest)(x, length, &largest)) {
        state->flags = HAS_NAN;
        return;
    }
    if (largest == -INFINITY) return;
    if (!(largest <= e.limit && largest >= -e.limit)) {
        F(softmax_unusual)(state, x, length, row, with_value);
        return;
    }
    double fraction_largest;
    REAL K = F(exponent_of_exp)(largest, &fraction_largest, row->temperature);
    F(exponent_scale) scale = F(scale_by)(K, &e);

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(a[j], scale, &e), held = a[j] < scale.lowest ? scale.lowest : a[j];
            rest[j] = a[j] == largest ? 0 : part;
            count_lane[j] += a[j] == largest;
            value[j] = part * (largest - held);
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
    if (state->rest.high < SMALLEST_REST && state->count < (double)length)
        F(softmax_unusual)(state, x, length, row, with_value);
}

static void F(softmax_any)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                           const int with_value) {
    memset(state, 0, sizeof *state);
    if (with_value ? F(softmax_fast)(state, x, length, row, 1) : F(softmax_fast)(state, x, length, row, 0)) return;
    F(softmax_careful)(state, x, length, row, with_value);
}
