/* The terms of Jensen-Shannon of two rows of logits whose totals are known: for beta = 1/2 from log(p/q), for any other beta
 * from p - q. A sweep also adds up p - q, which tells how far off the log ratio of the totals is. */

/* ---- beta = 1/2 ---- */

/* (p*log(p/m) + q*log(q/m))/2 with m = (p + q)/2, for d = log(p/q), |d| <= JS_NEAR. Largest error as below. */
static ALWAYS_INLINE REAL F(js_near)(REAL p, REAL d) { return p * (d * d * F(js_of_ratio_polynomial)(d)); }

/* The same for any d: beyond, with v the smaller of p and q over the larger, larger*((1 + v)*log(2/(1 + v)) - v*|d|)/2, where
 * little is lost because v is small. Largest error, not counting those of p, q and d: 8 u. 0 where p and q are, for a finite
 * d. */
static ALWAYS_INLINE REAL F(js_of_ratio)(REAL p, REAL q, REAL d) {
    REAL size = F(absolute)(d), held = F(held_near)(d), lower = p < q ? p : q, higher = p < q ? q : p;
    REAL v = lower / (higher > SMALLEST_NORMAL ? higher : SMALLEST_NORMAL);
    REAL near = F(js_near)(p, held), far = (REAL)0.5 * higher * F(fma)(-v, size, F(js_beyond_polynomial)(v));
    return size <= JS_NEAR ? near : far;
}

/* p*log(p/m) - q*log(q/m) - (p - q) with m = (p + q)/2, given d and p - q (for d held near): gradients need the divergence of
 * each from m. Beyond JS_NEAR, with v as above, it is +-larger*((1 - v)*(log(2/(1 + v)) - 1) + v*|d|). Largest error 8 u of the
 * sum of both divergences. */
static ALWAYS_INLINE REAL F(skew_near)(REAL p, REAL d, REAL difference) {
    REAL z = d * d;
    return F(fma)((REAL)-0.5, difference, p) * (d * z * F(js_skew_polynomial)(z));
}
static ALWAYS_INLINE REAL F(js_skew)(REAL p, REAL q, REAL d, REAL near_difference) {
    REAL size = F(absolute)(d), lower = p < q ? p : q, higher = p < q ? q : p;
    REAL v = lower / (higher > SMALLEST_NORMAL ? higher : SMALLEST_NORMAL);
    REAL near = F(skew_near)(p, F(held_near)(d), near_difference);
    REAL far = (p < q ? -higher : higher) * F(fma)(v, size, F(js_skew_beyond_polynomial)(v));
    return size <= JS_NEAR ? near : far;
}

/* d of every class; returns whether all are near. */
static ALWAYS_INLINE int F(find_log_ratios)(REAL *restrict d, const REAL *restrict x, const REAL *restrict y,
                                            const F(power_plan) *restrict plan) {
    INTEGER beyond = 0;
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        REAL a = x[j] > plan->bottom_x ? x[j] : plan->bottom_x, b = y[j] > plan->bottom_y ? y[j] : plan->bottom_y;
        REAL apart = F(centred_difference)(a, b, plan->offset) - plan->offset_low;
        d[j] = F(over_temperature)(apart, plan->inside, &plan->e);
        beyond |= -(INTEGER)(F(absolute)(d[j]) > JS_NEAR);
    }
    return beyond == 0;
}

typedef struct {
    F(lanes) value, excess, skew;
} F(js_lanes);

static ALWAYS_INLINE void F(js_step)(F(js_lanes) *sums, const REAL *restrict x, const REAL *restrict y, const REAL *restrict d,
                                     const F(power_plan) *restrict plan, const int is_near, const int with_skew) {
    REAL value[STEP], difference[STEP], skew[STEP];
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        REAL p = F(scaled_exp)(x[j], plan->scale_x, &plan->e);
        REAL near = F(difference_near)(p, is_near ? d[j] : F(held_near)(d[j]));
        REAL q = is_near ? p - near : F(scaled_exp)(y[j], plan->scale_y, &plan->e) * plan->share_y;
        value[j] = is_near ? F(js_near)(p, d[j]) : F(js_of_ratio)(p, q, d[j]);
        difference[j] = is_near || F(absolute)(d[j]) <= JS_NEAR ? near : p - q;
        if (with_skew) skew[j] = is_near ? F(skew_near)(p, d[j], near) : F(js_skew)(p, q, d[j], near);
    }
    F(fold)(&sums->value, value);
    F(fold)(&sums->excess, difference);
    if (with_skew) F(fold)(&sums->skew, skew);
}

/* Each on its own: together they would not leave each other enough registers. */
#define JS_STEP(NAME, IS_NEAR, WITH_SKEW) \
    static NOINLINE void F(NAME)(F(js_lanes) *sums, const REAL *x, const REAL *y, const REAL *d, const F(power_plan) *plan) { \
        F(js_step)(sums, x, y, d, plan, IS_NEAR, WITH_SKEW); \
    }
JS_STEP(near_js_step, 1, 0)
JS_STEP(far_js_step, 0, 0)
JS_STEP(near_skewed_step, 1, 1)
JS_STEP(far_skewed_step, 0, 1)
#undef JS_STEP

static NOINLINE void F(even_js_sweep)(logits_pair_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                      const klfast_row *row) {
    REAL padded_x[STEP], padded_y[STEP], d[STEP];
    F(pair_plan) pair = F(plan_pair)(row);
    F(power_plan) plan = F(plan_powers)(&pair, x, y, row);
    F(js_lanes) sums = {{{0}}, {{0}}, {{0}}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        /* behind the end p = 0 and d is about 0 */
        const REAL *a = F(whole_step)(x, i, length, plan.scale_x.lowest, padded_x);
        const REAL *b = F(whole_step)(y, i, length, plan.scale_x.lowest - plan.offset, padded_y);
        F(prefetch_step)(&plan.ahead_x, i);
        F(prefetch_step)(&plan.ahead_y, i);
        int is_near = F(find_log_ratios)(d, a, b, &plan);
        if (row->is_written) (is_near ? F(near_skewed_step) : F(far_skewed_step))(&sums, a, b, d, &plan);
        else (is_near ? F(near_js_step) : F(far_js_step))(&sums, a, b, d, &plan);
        if (!F(ends_run)(i, length)) continue;
        F(end_run)(&sums.value);
        F(end_run)(&sums.excess);
        F(end_run)(&sums.skew);
    }
    state->value = scaled_sum(F(lane_total)(&sums.value), plan.unit);
    state->excess = scaled_sum(F(lane_total)(&sums.excess), plan.unit);
    if (!row->is_written) return;
    wide_sum half = scaled_sum(F(lane_total)(&sums.skew), 0.5 * plan.unit);
    state->of_x = state->of_y = state->value;
    add_sum(&state->of_x, half);
    add_sum(&state->of_y, scaled_sum(half, -1));
}

/* ---- any beta ---- */

/* beta*gap(p, m) + (1 - beta)*gap(q, m) with m = beta*p + (1 - beta)*q, and the gaps themselves. */
typedef struct {
    REAL value, of_x, of_y;
} F(js_class);

/* Where p/m is not within a factor 2, the gap is that of the rounded m: the error of m has no effect of first order then. */
static ALWAYS_INLINE F(js_class) F(js_gaps)(REAL p, REAL q, REAL difference, REAL beta, REAL rest) {
    REAL middle = F(fma)(beta, p, rest * q), of_x = F(gap_between)(p, middle, rest * difference, p - middle),
         of_y = F(gap_between)(q, middle, -beta * difference, q - middle);
    return (F(js_class)){F(fma)(beta, of_x, rest * of_y), of_x, of_y};
}

/* The value is for doubles: where p/q is near 2 or 1/2, gaps of floats have too few digits. */
static void F(js_sweep)(logits_pair_state *state, const REAL *x, const REAL *y, ptrdiff_t length, const klfast_row *row) {
    REAL padded_x[STEP], padded_y[STEP], value[STEP], of_x[STEP], of_y[STEP];
    F(pair_step) step;
    F(pair_plan) plan = F(plan_pair)(row);
    F(lanes) sum = {{0}}, sum_x = {{0}}, sum_y = {{0}}, excess = {{0}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x);
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        F(look_at_pair)(&step, a, b, &plan, 0);
        for (int j = 0; j < STEP; j++) {
            F(js_class) one = F(js_gaps)(step.p[j], step.q[j], step.difference[j], plan.beta, plan.rest);
            of_x[j] = one.of_x;
            of_y[j] = one.of_y;
            value[j] = one.value;
        }
        F(fold)(&sum, value);
        F(fold)(&sum_x, of_x);
        F(fold)(&sum_y, of_y);
        F(fold)(&excess, step.difference);
        if (!F(ends_run)(i, length)) continue;
        F(end_run)(&sum);
        F(end_run)(&sum_x);
        F(end_run)(&sum_y);
        F(end_run)(&excess);
    }
    state->value = F(lane_total)(&sum);
    state->of_x = F(lane_total)(&sum_x);
    state->of_y = F(lane_total)(&sum_y);
    state->excess = F(lane_total)(&excess);
}

static void F(js_terms)(logits_pair_state *state, const REAL *x, const REAL *y, ptrdiff_t length, const klfast_row *row) {
    if (has_even_terms(row, (double)row->temperature->F(of).limit)) F(even_js_sweep)(state, x, y, length, row);
    else F(js_sweep)(state, x, y, length, row);
}

/* The same in double, for any beta, and for sums so small that floats may have left the normal numbers. */
static void F(js_wide_terms)(logits_pair_state *state, const REAL *x, const REAL *y, ptrdiff_t length, const klfast_row *row);
