/* Blocks of log sum exp and entropy of logits. Softmax is never stored.
 *
 * exp(x/T) is taken as fraction * 2^k from x itself and scaled by 2^(k - K): see exp_at.
 *
 * The largest logit is looked for first, in a sweep over what is in the nearest cache then, and set apart: a sure row
 * (entropy, or cross-entropy of its top class, close to 0) lives on the small rest. */

/* How exponentials are scaled by 2^-K. */
typedef struct {
    REAL lowest, shift;
} F(exponent_scale);

static ALWAYS_INLINE F(exponent_scale) F(scale_by)(REAL K, const F(klfast_exponential) *e) {
    /* at `lowest`, k - K rounds to the exponent whose bits make 0 */
    return (F(exponent_scale)){(K + (LOWEST_EXPONENT + (REAL)0.25)) * e->ln2, EXPONENT_SHIFT - K};
}

/* exp(x/T)/2^K, and 0 for x so low that this is below the normal numbers. NaN for NaN. x <= 1.25*limit, and k - K
 * within the exponents of normal numbers. Largest error 2 u. */
static ALWAYS_INLINE REAL F(scaled_exp)(REAL x, F(exponent_scale) scale, const F(klfast_exponential) *e) {
    REAL shifted, held = x < scale.lowest ? scale.lowest : x, fraction = F(exp_beyond)(held, e, scale.shift, &shifted);
    return fraction * F(power_at)(shifted);
}

/* The exponent of exp(x/T), as a K; and in *fraction exp(x/T)/2^K to double precision. */
static REAL F(exponent_of_exp)(REAL x, double *fraction, const klfast_temperature *temperature) {
    double shifted;
    *fraction = exp_at_f64((double)x, &temperature->of_f64, &shifted);
    return (REAL)(shifted - 0x1.8p52);
}

static ALWAYS_INLINE REAL F(larger)(REAL a, REAL b) { return a > b ? a : b; }

/* The largest of the lanes, halved again and again; NaN is not noticed. */
static ALWAYS_INLINE REAL F(largest_of)(const REAL *lane) {
    REAL left[LANES];
    for (int j = 0; j < LANES; j++) left[j] = lane[j];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) left[j] = F(larger)(left[half + j], left[j]);
    return left[0];
}

/* The largest is looked for, and set apart if it is there, in one part of a block after the other. */
enum { F(PART) = 4 * STEP, F(PARTS) = SOFTMAX_BLOCK / F(PART) };

static ALWAYS_INLINE void F(raise)(REAL *restrict lane, const REAL *restrict line) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) lane[j] = F(larger)(line[j], lane[j]);
}

/* The same with the four lines of a step. */
static ALWAYS_INLINE void F(raise_step)(REAL *restrict lane, const REAL *restrict x) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        REAL a = F(larger)(x[j], x[LANES + j]), b = F(larger)(x[2 * LANES + j], x[3 * LANES + j]);
        lane[j] = F(larger)(F(larger)(a, b), lane[j]);
    }
}

/* The largest of every lane of a part. NaN is not noticed, and may hide what stands beside it: who meets one has no result. */
static ALWAYS_INLINE void F(find_lane_largest)(REAL *largest, const REAL *x, ptrdiff_t length) {
    REAL lane[LANES], padded[STEP];
    ptrdiff_t i = 0;
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    for (; i + STEP <= length; i += STEP) F(raise_step)(lane, x + i);
    if (i < length) F(raise_step)(lane, F(whole_step)(x, i, length, -INFINITY, padded));
    for (int j = 0; j < LANES; j++) largest[j] = lane[j];
}

/* The same of every part of a block, each a row of `lane`; returns the largest of all. */
static NOINLINE REAL F(find_part_largest)(REAL (*lane)[LANES], const REAL *x, ptrdiff_t length) {
    REAL all[LANES];
    ptrdiff_t i = 0;
    for (int j = 0; j < LANES; j++) all[j] = -INFINITY;
    for (; i + F(PART) <= length; i += F(PART), lane++) {
        F(find_lane_largest)(*lane, x + i, F(PART));
        F(raise)(all, *lane);
    }
    if (i < length) {
        F(find_lane_largest)(*lane, x + i, length - i);
        F(raise)(all, *lane);
    }
    return F(largest_of)(all);
}

/* The largest logit; NaN is not noticed. */
static ALWAYS_INLINE REAL F(find_largest)(const REAL *x, ptrdiff_t length) {
    REAL lane[LANES];
    F(find_lane_largest)(lane, x, length);
    return F(largest_of)(lane);
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
    INTEGER count[LANES];
} F(softmax_sums);

/* A step, column by column: what comes of its four lines is folded while it is in registers. */
static ALWAYS_INLINE void F(softmax_step)(F(softmax_sums) *restrict sums, const REAL *restrict a, REAL largest,
                                          F(exponent_scale) scale, const F(klfast_exponential) *restrict e, const int is_lower,
                                          const int with_value) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        REAL rest[STEP / LANES], value[STEP / LANES];
        INTEGER count = 0;
        FULLY_UNROLLED
        for (int k = 0; k < STEP / LANES; k++) {
            REAL x = a[k * LANES + j];
            rest[k] = F(scaled_exp)(x, scale, e);
            if (is_lower) continue;
            rest[k] = x != largest ? rest[k] : 0;
            count += x == largest;
        }
        if (!is_lower) sums->count[j] += count;
        sums->rest.run[j] += F(folded)(rest[0], rest[1], rest[2], rest[3]);
        if (!with_value) continue;
        FULLY_UNROLLED
        for (int k = 0; k < STEP / LANES; k++) {
            REAL x = a[k * LANES + j], held = x < scale.lowest ? scale.lowest : x;
            value[k] = rest[k] * (largest - held);
        }
        sums->value.run[j] += F(folded)(value[0], value[1], value[2], value[3]);
    }
}

/* Of floats, two steps are a run: with the four of a part, five units would be lost, and four are promised of entropy. */
static ALWAYS_INLINE void F(end_softmax_run)(F(softmax_sums) *sums, const int with_value) {
    F(end_run)(&sums->rest);
    if (with_value) F(end_run)(&sums->value);
}

static ALWAYS_INLINE int F(holds)(const REAL *x, REAL largest, const int count) {
    INTEGER found = 0;
    AS_LOOP
    for (int j = 0; j < count; j++) found |= -(INTEGER)(x[j] == largest);
    return found != 0;
}

/* What the sweep over a block is told. */
typedef struct {
    F(klfast_exponential) e;
    F(exponent_scale) scale;
    REAL largest;
    klfast_ahead ahead, output;
} F(softmax_plan);

/* Elements first ... end - 1, whole parts but for the last. Those that equal the largest are counted, the others summed without
 * them; where it is known that none does (`is_lower`), nothing needs to be looked at. */
static ALWAYS_INLINE void F(softmax_steps)(F(softmax_sums) *sums, const REAL *x, ptrdiff_t first, ptrdiff_t end,
                                           const F(softmax_plan) *plan, const int is_lower, const int with_value) {
    REAL padded[STEP], largest = plan->largest;
    F(klfast_exponential) e = plan->e;
    F(exponent_scale) scale = plan->scale;
    klfast_ahead ahead = plan->ahead, output = plan->output;
    for (ptrdiff_t part = first; part < end; part += F(PART)) {
        ptrdiff_t stop = end - part < F(PART) ? end : part + F(PART), i = part;
        for (; i + STEP <= stop; i += STEP) {
            F(prefetch_far)(&ahead, i);
            if (output.start) F(prefetch_step)(&output, i);
            if (is_lower || !F(holds)(x + i, largest, STEP))
                F(softmax_step)(sums, x + i, largest, scale, &e, 1, with_value);
            else F(softmax_step)(sums, x + i, largest, scale, &e, 0, with_value);
            if (!CARRY && i - part == STEP) F(end_softmax_run)(sums, with_value);
        }
        if (i < stop) {
            F(prefetch_far)(&ahead, i);
            F(softmax_step)(sums, F(whole_step)(x, i, stop, -INFINITY, padded), largest, scale, &e, 0, with_value);
        }
        F(end_softmax_run)(sums, with_value);
    }
}

/* One variant of each loop, and each on its own: together they would not leave each other enough registers. */
#define STEPS(NAME, IS_LOWER, WITH_VALUE) \
    static NOINLINE void F(NAME)(F(softmax_sums) *sums, const REAL *x, ptrdiff_t first, ptrdiff_t end, \
                                 const F(softmax_plan) *plan) { \
        F(softmax_steps)(sums, x, first, end, plan, IS_LOWER, WITH_VALUE); \
    }
STEPS(lower_steps, 1, 0)
STEPS(top_steps, 0, 0)
STEPS(lower_value_steps, 1, 1)
STEPS(top_value_steps, 0, 1)
#undef STEPS

static ALWAYS_INLINE void F(softmax_sweep)(softmax_state *state, const REAL *x, ptrdiff_t length, REAL largest,
                                           const REAL (*lane)[LANES], const klfast_row *row, const int with_value) {
    INTEGER count = 0;
    F(softmax_sums) sums = {0};
    double fraction;
    REAL K = F(exponent_of_exp)(largest, &fraction, row->temperature);
    const F(klfast_exponential) *e = &row->temperature->F(of);
    F(softmax_plan) plan = {*e, F(scale_by)(K, e), largest, F(ahead_or)(&row->ahead_a, x, SOFTMAX_BLOCK), row->output};

    for (ptrdiff_t i = 0, end = 0; i < length; i = end) {
        int is_top = F(holds)(*lane, largest, LANES);
        do { /* parts of the same kind are gone through at once */
            end = length - end < F(PART) ? length : end + F(PART);
            lane++;
        } while (end < length && F(holds)(*lane, largest, LANES) == is_top);
        if (with_value && is_top) F(top_value_steps)(&sums, x, i, end, &plan);
        else if (with_value) F(lower_value_steps)(&sums, x, i, end, &plan);
        else if (is_top) F(top_steps)(&sums, x, i, end, &plan);
        else F(lower_steps)(&sums, x, i, end, &plan);
    }
    for (int j = 0; j < LANES; j++) count += sums.count[j];
    state->count = (double)count;
    state->largest = largest;
    state->rest = scaled_sum(F(lane_total)(&sums.rest), 1.0 / fraction);
    if (with_value) state->value = scaled_sum(F(lane_total)(&sums.value), 1.0 / fraction);
}

static void F(softmax_any)(softmax_state *state, const REAL *x, ptrdiff_t length, const klfast_row *row,
                           const int with_value) {
    REAL limit = row->temperature->F(of).limit, lane[F(PARTS)][LANES];
    REAL largest = F(find_part_largest)(lane, x, length);
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
