/* Gradients of KL and Jensen-Shannon of two rows of logits: see logits_pair.inc.h for what they are made of. */

/* As add_number, for a line of sums; those of a block of floats need no more than a double. */
static ALWAYS_INLINE void F(add_line)(double *restrict high, double *restrict low, const REAL *x) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double value = (double)x[j], total = high[j] + value, part = total - high[j];
        if (sizeof(REAL) == sizeof(double)) low[j] += (high[j] - (total - part)) + (value - part);
        high[j] = total;
    }
}

/* For the end of the row: see write.c. */
static void F(leave_remainder)(klfast_remainder *remainder, REAL *out, ptrdiff_t length, ptrdiff_t likeliest) {
    double high[LANES] = {0}, low[LANES] = {0};
    ptrdiff_t i = 0;
    remainder->likeliest = likeliest;
    if (likeliest >= 0) {
        remainder->entry = (double)out[likeliest];
        out[likeliest] = 0;
    }
    for (; i + LANES <= length; i += LANES) F(add_line)(high, low, out + i);
    for (int j = 0; j < LANES; j++) add_sum(&remainder->others, (wide_sum){high[j], low[j]});
    for (; i < length; i++) add_number(&remainder->others, (double)out[i]);
}

/* Whether a class has most of p, so clearly that its p is above a half however it is rounded. */
static ALWAYS_INLINE int F(has_likeliest)(const F(pair_plan) *plan) { return plan->share_x > (REAL)0.51; }

/* The place of a probability above a half, if the step has one. */
static ALWAYS_INLINE void F(find_likeliest)(ptrdiff_t *found, const REAL *p, ptrdiff_t start, REAL half) {
    INTEGER is_there = 0;
    for (int j = 0; j < STEP; j++) is_there |= p[j] > half;
    if (!is_there) return;
    for (int j = 0; j < STEP; j++)
        if (p[j] > half) *found = start + j;
}

/* Where one class has most of p, floats are looked at in double; the bound of doubles leaves room enough. */
static ALWAYS_INLINE int F(is_wide)(const F(pair_plan) *plan) {
    return sizeof(REAL) == sizeof(float) && F(has_likeliest)(plan);
}

/* How a step is looked at: from the exponentials of the scores as they are, in units that the plan says; or from those of
 * their distances from the largest: for scores out of range, floats of which one class has most, and any beta but 1/2 (a third
 * variant would be no faster). */
enum { F(POWERS), F(SHARES) };

typedef struct {
    F(power_plan) powers;
    F(pair_plan) shares;
    REAL unit, half; /* what probabilities are multiplied by to be those, and what a half comes to */
    int way;
} F(write_plan);

static ALWAYS_INLINE F(write_plan) F(plan_writing)(const F(pair_plan) *pair, const REAL *x, const REAL *y,
                                                   const klfast_row *row, int are_usual) {
    are_usual &= are_within(row, (double)pair->e.limit) && !F(is_wide)(pair);
    F(write_plan) plan = {.shares = *pair, .unit = 1, .half = (REAL)0.5, .way = are_usual ? F(POWERS) : F(SHARES)};
    if (!are_usual) return plan;
    plan.powers = F(plan_powers)(pair, x, y, row);
    plan.unit = (REAL)plan.powers.unit;
    plan.half = (REAL)(0.5 / plan.powers.unit);
    return plan;
}

static ALWAYS_INLINE void F(look_at_step)(F(pair_step) *step, const REAL *x, const REAL *y, const F(write_plan) *plan,
                                          const int way) {
    if (way == F(POWERS)) F(look_at_powers)(step, x, y, &plan->powers);
    else F(look_at_pair)(step, x, y, &plan->shares, sizeof(REAL) == sizeof(float));
}

/* p*(d - KL) and q - p. Where KL is infinite, the first is undefined for every class that is possible, however small p is. */
static ALWAYS_INLINE void F(write_kl_of_steps)(REAL *out_x, REAL *out_y, const REAL *x, const REAL *y, ptrdiff_t length,
                                               const klfast_row *row, const F(write_plan) *plan, klfast_remainder *remainder,
                                               const int way) {
    REAL padded_x[STEP], padded_y[STEP], of_x[STEP], of_y[STEP];
    REAL unit = (REAL)(row->gradient * row->temperature->inverse * (double)plan->unit), kl = (REAL)row->value;
    int is_infinite = row->value == HUGE_VAL, has_likeliest = F(has_likeliest)(&plan->shares);
    F(pair_step) step;
    ptrdiff_t likeliest = -1;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x);
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        F(look_at_step)(&step, a, b, plan, way);
        AS_LOOP
        for (int j = 0; j < STEP; j++) {
            REAL p = step.p[j], d = p > 0 ? step.d[j] : 0, other = way == F(SHARES) ? step.d_low[j] - kl : -kl;
            of_x[j] = unit * F(fma)(p, d, p * other);
            of_y[j] = -unit * step.difference[j];
        }
        for (int j = 0; is_infinite && j < STEP; j++) of_x[j] = a[j] > -INFINITY ? NAN : 0;
        if (has_likeliest) F(find_likeliest)(&likeliest, step.p, i, plan->half);
        F(put_step)(out_x + i, of_x, length - i);
        F(put_step)(out_y + i, of_y, length - i);
    }
    if (!has_likeliest) return;
    if (!is_infinite) F(leave_remainder)(&remainder[0], out_x, length, likeliest);
    F(leave_remainder)(&remainder[1], out_y, length, likeliest);
}

static void F(write_kl_of_pair)(void *out_x, void *out_y, const void *x, const void *y, ptrdiff_t length,
                                const klfast_row *row, klfast_remainder *remainder) {
    if (F(is_settled)(out_x, length, row) & F(is_settled)(out_y, length, row)) return;
    F(pair_plan) pair = F(plan_pair)(row);
    /* Where the likeliest class is nearly all, or nothing differs but next to impossible classes, small entries are all there
     * is. Elsewhere they are not worth the time that products below the normal numbers take. */
    int is_small = (float)row->total_x == 1 || row->value < SMALLEST_FLOAT_DIVERGENCE;
    if (is_small) pair.lowest = (LOWEST_EXPONENT + 1) * pair.e.ln2;
    F(write_plan) plan = F(plan_writing)(&pair, x, y, row, 1);
    if (plan.way == F(POWERS)) F(write_kl_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, F(POWERS));
    else F(write_kl_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, F(SHARES));
}

/* log(p/m) and log(q/m) with m = (p + q)/2: that of the larger from the difference, the other is |d| less, of which it is at
 * least a half. Largest error, not counting those of p - q and d: 3 u and 5 u. Any number beside a p or q of 0. */
static ALWAYS_INLINE void F(logs_to_middle)(REAL *log_p, REAL *log_q, REAL p, REAL q, REAL d, REAL difference) {
    REAL half = (REAL)0.5 * F(absolute)(difference), higher = p < q ? q : p, sum = F(fma)(2, higher, -half);
    REAL s = half / (sum > SMALLEST_NORMAL ? sum : SMALLEST_NORMAL), z = s * s, tail = s * z * F(middle_log_polynomial)(z);
    REAL near = F(fma)(2, s, tail), far = F(fma)(2, s, -F(absolute)(d)) + tail;
    *log_p = d < 0 ? far : near;
    *log_q = d < 0 ? near : far;
}

/* The same with m = beta*p + rest*q. */
static ALWAYS_INLINE void F(logs_to_mixture)(REAL *log_p, REAL *log_q, REAL p, REAL q, REAL difference, REAL beta, REAL rest) {
    REAL middle = F(fma)(beta, p, rest * q), held = middle > 0 ? middle : 1;
    REAL held_p = p > 0 ? p : held, held_q = q > 0 ? q : held;
    *log_p = F(log_ratio_from)(held_p, held, p > 0 ? rest * difference : 0);
    *log_q = F(log_ratio_from)(held_q, held, q > 0 ? -beta * difference : 0);
}

/* beta*p*(log(p/m) - KL(p || m)) and (1 - beta)*q*(log(q/m) - KL(q || m)). */
static ALWAYS_INLINE void F(write_js_of_steps)(REAL *out_x, REAL *out_y, const REAL *x, const REAL *y, ptrdiff_t length,
                                               const klfast_row *row, const F(write_plan) *plan, klfast_remainder *remainder,
                                               const int way) {
    REAL padded_x[STEP], padded_y[STEP], of_x[STEP], of_y[STEP];
    REAL beta = plan->shares.beta, rest = plan->shares.rest, mean_x = (REAL)row->value, mean_y = (REAL)row->value_y;
    REAL unit = (REAL)(row->gradient * row->temperature->inverse * (double)plan->unit);
    REAL unit_x = unit * beta, unit_y = unit * rest;
    int has_likeliest = F(has_likeliest)(&plan->shares);
    F(pair_step) step;
    ptrdiff_t likeliest_x = -1, likeliest_y = -1;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x);
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        F(look_at_step)(&step, a, b, plan, way);
        AS_LOOP
        for (int j = 0; j < STEP; j++) {
            REAL p = step.p[j], q = step.q[j], log_p, log_q;
            if (way == F(POWERS)) F(logs_to_middle)(&log_p, &log_q, p, q, step.d[j], step.difference[j]);
            else F(logs_to_mixture)(&log_p, &log_q, p, q, step.difference[j], beta, rest);
            of_x[j] = unit_x * F(fma)(p, log_p, -p * mean_x);
            of_y[j] = unit_y * F(fma)(q, log_q, -q * mean_y);
        }
        if (has_likeliest) F(find_likeliest)(&likeliest_x, step.p, i, plan->half);
        if (has_likeliest) F(find_likeliest)(&likeliest_y, step.q, i, plan->half);
        F(put_step)(out_x + i, of_x, length - i);
        F(put_step)(out_y + i, of_y, length - i);
    }
    if (!has_likeliest) return;
    F(leave_remainder)(&remainder[0], out_x, length, likeliest_x);
    F(leave_remainder)(&remainder[1], out_y, length, likeliest_y);
}

static void F(write_js_of_pair)(void *out_x, void *out_y, const void *x, const void *y, ptrdiff_t length,
                                const klfast_row *row, klfast_remainder *remainder) {
    if (F(is_settled)(out_x, length, row) & F(is_settled)(out_y, length, row)) return;
    F(pair_plan) pair = F(plan_pair)(row);
    F(write_plan) plan = F(plan_writing)(&pair, x, y, row, row->parameters->beta == 0.5);
    if (plan.way == F(POWERS)) F(write_js_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, F(POWERS));
    else F(write_js_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, F(SHARES));
}

static NOINLINE void F(write_lowered)(void (*write)(void *, void *, const void *, const void *, ptrdiff_t, const klfast_row *,
                                                    klfast_remainder *),
                                      void *out_x, void *out_y, const REAL *x, const REAL *y, ptrdiff_t length,
                                      const klfast_row *row, klfast_remainder *remainder) {
    REAL lowered_x[LOGITS_BLOCK], lowered_y[LOGITS_BLOCK];
    lowered_row lowered;
    F(lower)(lowered_x, x, length, row);
    F(lower)(lowered_y, y, length, row);
    write(out_x, out_y, lowered_x, lowered_y, length, lower_row(&lowered, row), remainder);
}

static void F(write_kl)(void *out_x, void *out_y, const void *x, const void *y, ptrdiff_t length, const klfast_row *row,
                        klfast_remainder *remainder) {
    if (row->scale_p == 1.0) F(write_kl_of_pair)(out_x, out_y, x, y, length, row, remainder);
    else F(write_lowered)(F(write_kl_of_pair), out_x, out_y, x, y, length, row, remainder);
}

static void F(write_js)(void *out_x, void *out_y, const void *x, const void *y, ptrdiff_t length, const klfast_row *row,
                        klfast_remainder *remainder) {
    if (row->scale_p == 1.0) F(write_js_of_pair)(out_x, out_y, x, y, length, row, remainder);
    else F(write_lowered)(F(write_js_of_pair), out_x, out_y, x, y, length, row, remainder);
}
