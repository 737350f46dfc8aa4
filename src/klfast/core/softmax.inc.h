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

/* The largest of every lane, so far. */
static ALWAYS_INLINE void F(find_lane_largest)(REAL *largest, const REAL *x, ptrdiff_t length) {
    REAL lane[STEP], padded[STEP];
    ptrdiff_t i = 0;
    for (int j = 0; j < STEP; j++) lane[j] = -INFINITY;
    for (; i + STEP <= length; i += STEP)
        for (int j = 0; j < STEP; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    if (i < length) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        for (int j = 0; j < STEP; j++) lane[j] = a[j] > lane[j] ? a[j] : lane[j];
    }
    for (int j = 0; j < STEP; j++) largest[j] = lane[j];
}

/* The largest logit; NaN is not noticed. */
static ALWAYS_INLINE REAL F(find_largest)(const REAL *x, ptrdiff_t length) {
    REAL lane[STEP];
    F(find_lane_largest)(lane, x, length);
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

/* The sums of a block. */
typedef struct {
    F(lanes) rest, value;
    INTEGER count[STEP];
} F(softmax_sums);

static ALWAYS_INLINE void F(softmax_step)(F(softmax_sums) *sums, const REAL *a, REAL largest, F(exponent_scale) scale,
                                          const F(klfast_exponential) *e, const int is_lower, const int with_value) {
    REAL rest[STEP], value[STEP];
    for (int j = 0; j < STEP; j++) {
        REAL part = F(scaled_exp)(a[j], scale, e), held = a[j] < scale.lowest ? scale.lowest : a[j];
        rest[j] = is_lower || a[j] != largest ? part : 0;
        if (!is_lower) sums->count[j] += a[j] == largest;
        if (with_value) value[j] = part * (largest - held);
    }
    F(fold)(&sums->rest, rest);
    F(end_run)(&sums->rest);
    if (with_value) F(fold)(&sums->value, value);
    if (with_value) F(end_run)(&sums->value);
}

/* Elements first ... end - 1. Those that equal the largest are counted, the others summed without them; where it is known
 * that none does (`is_lower`), nothing needs to be looked at. */
static ALWAYS_INLINE void F(softmax_steps)(F(softmax_sums) *all, const REAL *x, ptrdiff_t first, ptrdiff_t end, REAL largest,
                                           F(exponent_scale) scale, const F(klfast_exponential) *e,
                                           const klfast_ahead *ahead, const int is_lower, const int with_value) {
    F(softmax_sums) *sums = all;
    REAL padded[STEP];
    ptrdiff_t i = first;
    for (; i + STEP <= end; i += STEP) {
        F(prefetch_step)(ahead, i);
        F(softmax_step)(sums, x + i, largest, scale, e, is_lower, with_value);
    }
    if (i < end) {
        F(prefetch_step)(ahead, i);
        F(softmax_step)(sums, F(whole_step)(x, i, end, -INFINITY, padded), largest, scale, e, 0, with_value);
    }
}

/* The largest is looked for, and set apart if it is there, in one part of a block after the other. */
enum { F(PART) = 4 * STEP, F(PARTS) = SOFTMAX_BLOCK / F(PART) };

static ALWAYS_INLINE void F(softmax_sweep)(softmax_state *state, const REAL *x, ptrdiff_t length, REAL largest,
                                           const REAL (*lane)[STEP], const klfast_row *row, const int with_value) {
    INTEGER count = 0;
    F(softmax_sums) sums = {0};
    F(klfast_exponential) e = row->temperature->F(of);
    double fraction;
    REAL K = F(exponent_of_exp)(largest, &fraction, row->temperature);
    F(exponent_scale) scale = F(scale_by)(K, &e);
    klfast_ahead ahead = F(further_on)(x, SOFTMAX_BLOCK);

    for (ptrdiff_t i = 0; i < length; i += F(PART), lane++) {
        ptrdiff_t end = length - i < F(PART) ? length : i + F(PART);
        INTEGER has_largest = 0;
        for (int j = 0; j < STEP; j++) has_largest |= -(INTEGER)((*lane)[j] == largest);
        if (has_largest) F(softmax_steps)(&sums, x, i, end, largest, scale, &e, &ahead, 0, with_value);
        else F(softmax_steps)(&sums, x, i, end, largest, scale, &e, &ahead, 1, with_value);
    }
    for (int j = 0; j < STEP; j++) count += sums.count[j];
    state->count = (double)count;
    state->largest = largest;
    state->rest = scaled_sum(F(lane_total)(&sums.rest), 1.0 / fraction);
    if (with_value) state->value = scaled_sum(F(lane_total)(&sums.value), 1.0 / fraction);
}

static void F(softmax_any)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                           const int with_value) {
    REAL limit = row->temperature->F(of).limit, lane[F(PARTS)][STEP], all[STEP], largest;
    for (int j = 0; j < STEP; j++) all[j] = -INFINITY;
    for (ptrdiff_t i = 0, part = 0; i < length; i += F(PART), part++) {
        ptrdiff_t left = length - i;
        F(find_lane_largest)(lane[part], x + i, left < F(PART) ? left : F(PART));
        for (int j = 0; j < STEP; j++) all[j] = lane[part][j] > all[j] ? lane[part][j] : all[j];
    }
    largest = F(largest_of)(all, STEP);
    memset(state, 0, sizeof *state);
    if (!(largest <= limit && largest >= -limit)) {
        if (!F(are_usable)(x, length)) state->flags = HAS_NAN;
        else if (largest > -INFINITY) F(softmax_unusual)(state, x, length, row, with_value);
        return;
    }
    if (with_value) F(softmax_sweep)(state, x, length, largest, lane, row, 1);
    else F(softmax_sweep)(state, x, length, largest, lane, row, 0);
    if (state->rest.high != state->rest.high) state->flags = HAS_NAN;
    /* So far below the maximum that entries may have sunk below the normal numbers: look with a wider exponent. */
    else if (state->rest.high < SMALLEST_REST && state->count < (double)length)
        F(softmax_unusual)(state, x, length, row, with_value);
}
