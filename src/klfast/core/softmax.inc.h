/* Blocks of log sum exp and entropy of logits. Softmax is never stored.
 *
 * exp(x/T) is taken as fraction * 2^k from x itself and scaled by 2^(k - K): see exp_at.
 *
 * The largest logit is looked for first, in a sweep over what is in the nearest cache then, and set apart: a sure row
 * (entropy, or cross-entropy of its top class, close to 0) lives on the small rest. */

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

/* The largest of a power of two of numbers, halved again and again; NaN is not noticed. */
static ALWAYS_INLINE REAL F(largest_of)(const REAL *lane, const int count) {
    REAL left[STEP];
    for (int j = 0; j < count; j++) left[j] = lane[j];
    for (int half = count / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) left[j] = left[half + j] > left[j] ? left[half + j] : left[j];
    return left[0];
}

/* The largest logit; NaN is not noticed. */
static ALWAYS_INLINE REAL F(find_largest)(const REAL *x, ptrdiff_t length) {
    REAL lane[STEP], padded[STEP];
    for (int j = 0; j < STEP; j++) lane[j] = -INFINITY;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        for (int j = 0; j < STEP; j++) lane[j] = a[j] > lane[j] ? a[j] : lane[j];
    }
    return F(largest_of)(lane, STEP);
}

/* Whether no logit is NaN or +inf. */
static int F(are_usable)(const REAL *x, ptrdiff_t length) {
    INTEGER bad = 0;
    for (ptrdiff_t i = 0; i < length; i++) bad |= !(x[i] < INFINITY);
    return bad == 0;
}

static void F(softmax_unusual)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                               const int with_value);

/* All that equal the largest are counted, the others summed without them. */
static ALWAYS_INLINE void F(softmax_sweep)(softmax_state *state, const REAL *x, ptrdiff_t length, REAL largest,
                                           const klfast_row *row, const int with_value) {
    REAL padded[STEP], rest[STEP], value[STEP];
    INTEGER count_lane[STEP] = {0}, count = 0;
    F(lanes) sum_rest = {{0}}, sum_value = {{0}};
    F(klfast_exponential) e = row->temperature->F(of);
    double fraction;
    REAL K = F(exponent_of_exp)(largest, &fraction, row->temperature);
    F(exponent_scale) scale = F(scale_by)(K, &e);
    klfast_ahead ahead = F(further_on)(x, LOGITS_BLOCK);

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(prefetch_step)(&ahead, i);
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(a[j], scale, &e), held = a[j] < scale.lowest ? scale.lowest : a[j];
            rest[j] = a[j] != largest ? part : 0;
            count_lane[j] += a[j] == largest;
            if (with_value) value[j] = part * (largest - held);
        }
        F(fold)(&sum_rest, rest);
        F(end_run)(&sum_rest);
        if (with_value) F(fold)(&sum_value, value);
        if (with_value) F(end_run)(&sum_value);
    }
    for (int j = 0; j < STEP; j++) count += count_lane[j];
    state->count = (double)count;
    state->largest = largest;
    state->rest = scaled_sum(F(lane_total)(&sum_rest), 1.0 / fraction);
    if (with_value) state->value = scaled_sum(F(lane_total)(&sum_value), 1.0 / fraction);
}

static void F(softmax_any)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                           const int with_value) {
    REAL largest = F(find_largest)(x, length), limit = row->temperature->F(of).limit;
    memset(state, 0, sizeof *state);
    if (!(largest <= limit && largest >= -limit)) {
        if (!F(are_usable)(x, length)) state->flags = HAS_NAN;
        else if (largest > -INFINITY) F(softmax_unusual)(state, x, length, row, with_value);
        return;
    }
    if (with_value) F(softmax_sweep)(state, x, length, largest, row, 1);
    else F(softmax_sweep)(state, x, length, largest, row, 0);
    if (state->rest.high != state->rest.high) state->flags = HAS_NAN;
    /* So far below the maximum that entries may have sunk below the normal numbers: look with a wider exponent. */
    else if (state->rest.high < SMALLEST_REST && state->count < (double)length)
        F(softmax_unusual)(state, x, length, row, with_value);
}
