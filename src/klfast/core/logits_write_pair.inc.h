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
static ALWAYS_INLINE void F(find_likeliest)(ptrdiff_t *found, const REAL *p, ptrdiff_t start) {
    INTEGER is_there = 0;
    for (int j = 0; j < STEP; j++) is_there |= p[j] > (REAL)0.5;
    if (!is_there) return;
    for (int j = 0; j < STEP; j++)
        if (p[j] > (REAL)0.5) *found = start + j;
}

/* Where one class has most of p, floats are looked at in double; the bound of doubles leaves room enough. */
static ALWAYS_INLINE int F(is_wide)(const F(pair_plan) *plan) {
    return sizeof(REAL) == sizeof(float) && F(has_likeliest)(plan);
}

/* p*(d - KL) and q - p. Where KL is infinite, the first is undefined for every class that is possible, however small p is. */
static ALWAYS_INLINE void F(write_kl_of_steps)(REAL *out_x, REAL *out_y, const REAL *x, const REAL *y, ptrdiff_t length,
                                               const klfast_row *row, const F(pair_plan) *plan, klfast_remainder *remainder,
                                               const int is_wide) {
    REAL padded_x[STEP], padded_y[STEP], of_x[STEP], of_y[STEP];
    REAL unit = (REAL)(row->gradient * row->temperature->inverse), kl = (REAL)row->value;
    int is_infinite = row->value == HUGE_VAL;
    F(pair_step) step;
    ptrdiff_t likeliest = -1;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x);
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        F(look_at_pair)(&step, a, b, plan, is_wide);
        for (int j = 0; j < STEP; j++) {
            REAL p = step.p[j], d = p > 0 ? step.d[j] : 0, other = is_wide ? step.d_low[j] - kl : -kl;
            of_x[j] = unit * F(fma)(p, d, p * other);
            of_y[j] = -unit * step.difference[j];
        }
        for (int j = 0; is_infinite && j < STEP; j++) of_x[j] = a[j] > -INFINITY ? NAN : 0;
        F(find_likeliest)(&likeliest, step.p, i);
        F(put_step)(out_x + i, of_x, length - i);
        F(put_step)(out_y + i, of_y, length - i);
    }
    if (!F(has_likeliest)(plan)) return;
    if (!is_infinite) F(leave_remainder)(&remainder[0], out_x, length, likeliest);
    F(leave_remainder)(&remainder[1], out_y, length, likeliest);
}

static void F(write_kl_of_pair)(void *out_x, void *out_y, const void *x, const void *y, ptrdiff_t length,
                                const klfast_row *row, klfast_remainder *remainder) {
    if (F(is_settled)(out_x, length, row) & F(is_settled)(out_y, length, row)) return;
    F(pair_plan) plan = F(plan_pair)(row);
    /* Where the likeliest class is nearly all, or nothing differs but next to impossible classes, small entries are all there
     * is. Elsewhere they are not worth the time that products below the normal numbers take. */
    int is_small = (float)row->total_x == 1 || row->value < SMALLEST_FLOAT_DIVERGENCE;
    if (is_small) plan.lowest = (LOWEST_EXPONENT + 1) * plan.e.ln2;
    if (F(is_wide)(&plan)) F(write_kl_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, 1);
    else F(write_kl_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, 0);
}

/* beta*p*(log(p/m) - KL(p || m)) and (1 - beta)*q*(log(q/m) - KL(q || m)). */
static ALWAYS_INLINE void F(write_js_of_steps)(REAL *out_x, REAL *out_y, const REAL *x, const REAL *y, ptrdiff_t length,
                                               const klfast_row *row, const F(pair_plan) *plan, klfast_remainder *remainder,
                                               const int is_wide) {
    REAL padded_x[STEP], padded_y[STEP], of_x[STEP], of_y[STEP];
    REAL beta = plan->beta, rest = plan->rest, mean_x = (REAL)row->value, mean_y = (REAL)row->value_y;
    REAL unit = (REAL)(row->gradient * row->temperature->inverse), unit_x = unit * beta, unit_y = unit * rest;
    F(pair_step) step;
    ptrdiff_t likeliest_x = -1, likeliest_y = -1;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x);
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        F(look_at_pair)(&step, a, b, plan, is_wide);
        for (int j = 0; j < STEP; j++) {
            REAL p = step.p[j], q = step.q[j], middle = F(fma)(beta, p, rest * q), held = middle > 0 ? middle : 1;
            REAL held_p = p > 0 ? p : held, held_q = q > 0 ? q : held, difference = step.difference[j];
            REAL log_p = F(log_ratio_from)(held_p, held, p > 0 ? rest * difference : 0);
            REAL log_q = F(log_ratio_from)(held_q, held, q > 0 ? -beta * difference : 0);
            of_x[j] = unit_x * F(fma)(p, log_p, -p * mean_x);
            of_y[j] = unit_y * F(fma)(q, log_q, -q * mean_y);
        }
        F(find_likeliest)(&likeliest_x, step.p, i);
        F(find_likeliest)(&likeliest_y, step.q, i);
        F(put_step)(out_x + i, of_x, length - i);
        F(put_step)(out_y + i, of_y, length - i);
    }
    if (!F(has_likeliest)(plan)) return;
    F(leave_remainder)(&remainder[0], out_x, length, likeliest_x);
    F(leave_remainder)(&remainder[1], out_y, length, likeliest_y);
}

static void F(write_js_of_pair)(void *out_x, void *out_y, const void *x, const void *y, ptrdiff_t length,
                                const klfast_row *row, klfast_remainder *remainder) {
    if (F(is_settled)(out_x, length, row) & F(is_settled)(out_y, length, row)) return;
    F(pair_plan) plan = F(plan_pair)(row);
    if (F(is_wide)(&plan)) F(write_js_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, 1);
    else F(write_js_of_steps)(out_x, out_y, x, y, length, row, &plan, remainder, 0);
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
