/* Results of the input's size: softmax, its logarithm, gradients. Blocks are written from what is known of the whole row, in
 * a second look at memory that the first has brought into the cache. One result (or two, for x and y) per element. */

/* Rows without an answer, and rows that do not count. */
static int F(is_settled)(REAL *out, ptrdiff_t length, const klfast_row *row) {
    REAL value = row->is_ignored ? 0 : NAN;
    if (!row->is_ignored && !row->is_undefined) return 0;
    for (ptrdiff_t i = 0; out && i < length; i++) out[i] = value;
    return 1;
}

/* p of a row, times a factor. */
typedef struct {
    F(klfast_exponential) e;
    F(exponent_scale) scale;
    REAL largest, share, lowest;
    int is_in_range;
} F(share_plan);

static F(share_plan) F(plan_share)(const klfast_row *row, double factor) {
    F(share_plan) plan;
    double fraction;
    plan.e = row->temperature->F(of);
    plan.largest = (REAL)row->largest_x;
    plan.is_in_range = plan.largest <= plan.e.limit && plan.largest >= -plan.e.limit;
    REAL K = plan.is_in_range ? F(exponent_of_exp)(plan.largest, &fraction, row->temperature) : 0;
    plan.scale = F(scale_by)(K, &plan.e);
    plan.lowest = (LOWEST_EXPONENT + 1) * plan.e.ln2;
    plan.share = (REAL)(factor / (row->total_x * (plan.is_in_range ? fraction : 1.0)));
    return plan;
}

static ALWAYS_INLINE void F(look_at_shares)(REAL *restrict p, const REAL *x, const F(share_plan) *plan) {
    F(klfast_exponential) e = plan->e;
    F(exponent_scale) scale = plan->scale;
    REAL largest = plan->largest, share = plan->share, lowest = plan->lowest, bottom = largest + 2 * lowest;
    if (plan->is_in_range)
        for (int j = 0; j < STEP; j++) p[j] = F(scaled_exp)(x[j], scale, &e) * share;
    else
        for (int j = 0; j < STEP; j++)
            p[j] = F(share_of)(x[j], x[j] > bottom ? x[j] : bottom, largest, share, lowest, scale, &e);
}

/* The first `left` results of a step, or all of them; what will be written a little later is asked for. */
static ALWAYS_INLINE void F(put_step)(REAL *to, const REAL *results, ptrdiff_t left) {
    klfast_ahead ahead = F(further_on)(to, F(AHEAD));
    F(prefetch_step)(&ahead, 0);
    if (left >= STEP) memcpy(to, results, STEP * sizeof(REAL));
    else memcpy(to, results, (size_t)left * sizeof(REAL));
}

/* Products of a power and a share may be a unit off. The p of a nearly sure class is 1/total, rounded once, instead: that of a
 * sure one is 1, and none is above 1. */
static ALWAYS_INLINE int F(is_nearly_sure)(double total) { return total < 1.01; }

static void F(write_softmax)(void *out, void *unused, const void *logits, const void *other, ptrdiff_t length,
                             const klfast_row *row, klfast_remainder *remainder) {
    const REAL *x = logits;
    REAL *to = out, padded[STEP], result[STEP];
    (void)unused, (void)other, (void)remainder;
    if (F(is_settled)(to, length, row)) return;
    F(share_plan) plan = F(plan_share)(row, row->gradient);
    REAL likeliest = (REAL)(row->gradient / row->total_x);
    int is_sure = F(is_nearly_sure)(row->total_x);
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(look_at_shares)(result, a, &plan);
        for (int j = 0; is_sure && j < STEP; j++) result[j] = a[j] == plan.largest ? likeliest : result[j];
        F(put_step)(to + i, result, length - i);
    }
}

/* (x - largest)/T - log_total: both parts are negative or 0, so that nothing cancels. Of logits out of range the difference
 * may leave that of numbers; half of it does not. */
static void F(write_log_softmax)(void *out, void *unused, const void *logits, const void *other, ptrdiff_t length,
                                 const klfast_row *row, klfast_remainder *remainder) {
    const REAL *x = logits;
    REAL *to = out, padded[STEP], result[STEP];
    (void)unused, (void)other, (void)remainder;
    if (F(is_settled)(to, length, row)) return;
    REAL largest = (REAL)row->largest_x, inverse = row->temperature->F(of).inverse, total = (REAL)row->log_total;
    REAL limit = row->temperature->F(of).limit, half = largest / 2;
    int is_in_range = largest <= limit && largest >= -limit;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        if (is_in_range)
            for (int j = 0; j < STEP; j++) result[j] = (a[j] - largest) * inverse - total;
        else
            for (int j = 0; j < STEP; j++) result[j] = (a[j] / 2 - half) * inverse * 2 - total;
        F(put_step)(to + i, result, length - i);
    }
}

/* -p*(log p + H) = p*((largest - x)/T - E[(largest - x)/T]). */
static void F(write_entropy)(void *out, void *unused, const void *logits, const void *other, ptrdiff_t length,
                             const klfast_row *row, klfast_remainder *remainder) {
    const REAL *x = logits;
    REAL *to = out, padded[STEP], result[STEP];
    (void)unused, (void)other, (void)remainder;
    if (F(is_settled)(to, length, row)) return;
    F(share_plan) plan = F(plan_share)(row, row->gradient * row->temperature->inverse);
    REAL largest = (REAL)row->largest_x + 0; /* -0.0 is 0.0, or zeros would have its sign where logits are equal */
    REAL inverse = plan.e.inverse, bottom = largest + 2 * plan.lowest, mean = (REAL)row->value;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(look_at_shares)(result, a, &plan);
        for (int j = 0; j < STEP; j++) {
            REAL held = a[j] > bottom ? a[j] : bottom;
            result[j] = result[j] * ((largest - held) * inverse - mean);
        }
        F(put_step)(to + i, result, length - i);
    }
}

/* Adds scale_of_b*b, but where b does not count; scale_q brings weights at the ends of the range to where this is in it. */
static ALWAYS_INLINE void F(add_weights)(REAL *result, const REAL *x, const REAL *b, const klfast_row *row) {
    REAL scale = (REAL)row->scale_of_b, unit = (REAL)row->scale_q;
    INTEGER skips_impossible = row->parameters->smooths_finite;
    for (int j = 0; j < STEP; j++) {
        INTEGER is_skipped = (b[j] == -INFINITY) | (skips_impossible & (x[j] == -INFINITY));
        result[j] += is_skipped ? 0 : scale * (unit * b[j]);
    }
}

/* Where one class has most of p, p - b may be far smaller than both: there, 1 - p is taken from the others. */
static ALWAYS_INLINE void F(set_largest)(REAL *result, const REAL *x, const REAL *b, const klfast_row *row) {
    INTEGER found = 0;
    if (row->others > 0.5) return;
    REAL largest = (REAL)row->largest_x;
    for (int j = 0; j < STEP; j++) found |= x[j] == largest;
    if (!found) return;
    for (int j = 0; j < STEP; j++)
        if (x[j] == largest && b[j] > -INFINITY)
            result[j] = (REAL)((row->scale_of_p + row->scale_of_b * (row->scale_q * (double)b[j])) -
                               row->scale_of_p * row->others);
}

/* scale_of_p*p + scale_of_b*b; the label's entry is put in by the caller. */
static void F(write_cross_entropy)(void *out, void *unused, const void *logits, const void *weights, ptrdiff_t length,
                                   const klfast_row *row, klfast_remainder *remainder) {
    const REAL *x = logits, *b = weights;
    REAL *to = out, padded[STEP], padded_b[STEP], result[STEP], cap = (REAL)row->parameters->softcap;
    (void)unused, (void)remainder;
    if (F(is_settled)(to, length, row)) return;
    F(share_plan) plan = F(plan_share)(row, row->scale_of_p);
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(look_at_shares)(result, a, &plan);
        if (row->scale_of_b != 0) {
            const REAL *beside = F(whole_step)(b, i, length, 0, padded_b);
            F(add_weights)(result, a, beside, row);
            F(set_largest)(result, a, beside, row);
        }
        for (int j = 0; cap > 0 && j < STEP; j++) {
            REAL share = a[j] > -INFINITY ? a[j] / cap : 1;
            result[j] *= (1 - share) * (1 + share);
        }
        F(put_step)(to + i, result, length - i);
    }
}
