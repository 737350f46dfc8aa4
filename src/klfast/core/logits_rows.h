/* Logits family: joining two neighbouring pieces, and from the whole row to the number. See states.h for the fields. */
#ifndef KLFAST_LOGITS_ROWS_H
#define KLFAST_LOGITS_ROWS_H

static double softmax_total(const softmax_state *s) { return s->count + sum_value(s->rest); }

/* log(count + rest): how far log sum exp is above the largest logit. */
static double log_total(const softmax_state *s) {
    return log1p_any(sum_value(s->rest) / s->count) + log_ratio_any(s->count, 1.0);
}

static void join_softmax(softmax_state *a, softmax_state b) {
    int flags = a->flags | b.flags;
    if (a->count == 0 || (b.count > 0 && b.largest > a->largest)) {
        softmax_state lower = *a;
        *a = b;
        b = lower;
    }
    a->flags = flags;
    if (b.count == 0) return;
    if (b.largest == a->largest) {
        a->count += b.count;
        add_sum(&a->rest, b.rest);
        add_sum(&a->value, b.value);
        return;
    }
    double distance = a->largest - b.largest, factor = exp_any(-distance);
    if (factor == 0) return;
    add_number(&b.rest, b.count);
    add_sum(&b.value, scaled_sum(b.rest, distance));
    add_sum(&a->rest, scaled_sum(b.rest, factor));
    add_sum(&a->value, scaled_sum(b.value, factor));
}

static void softmax_join(klfast_state *into, const klfast_state *other) {
    join_softmax(&into->softmax, other->softmax);
}

static int logsumexp_finish(const klfast_state *state, klfast_row *row, double *result) {
    const softmax_state *s = &state->softmax;
    (void)row;
    *result = s->flags & HAS_NAN ? NAN : s->count == 0 ? -HUGE_VAL : s->largest + log_total(s);
    return 0;
}

static int logits_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const softmax_state *s = &state->softmax;
    (void)row;
    *result = s->flags & HAS_NAN || s->count == 0 ? NAN : log_total(s) + sum_value(s->value) / softmax_total(s);
    return 0;
}

static int logits_cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const softmax_state *s = &state->softmax;
    *result = s->flags & HAS_NAN || s->count == 0 ? NAN : log_total(s) + (s->largest - row->label_logit);
    return 0;
}

/* Two pieces with shares alpha + beta = 1 of the whole, whose log ratios differ by t: the chain rule adds
 * alpha*(ratio_a - ratio) + beta*(ratio_b - ratio) >= 0, the KL of the shares. */
static void join_logits_kl(logits_kl_state *a, const logits_kl_state *other) {
    logits_kl_state b = *other;
    int flags = a->flags | b.flags;
    join_softmax(&a->lonely_y, b.lonely_y);
    b.lonely_y = a->lonely_y;
    if (a->total.high == 0) *a = b;
    else if (b.total.high > 0) {
        double largest = fmax(a->largest_x, b.largest_x), shift_a = a->largest_x - largest,
               shift_b = b.largest_x - largest;
        double log_a = shift_a + log_ratio_any(sum_value(a->total), 1.0),
               log_b = shift_b + log_ratio_any(sum_value(b.total), 1.0);
        a->total = scaled_sum(a->total, exp_any(shift_a));
        a->gap = scaled_sum(a->gap, exp_any(shift_a));
        b.total = scaled_sum(b.total, exp_any(shift_b));
        b.gap = scaled_sum(b.gap, exp_any(shift_b));
        double mass_a = sum_value(a->total), mass_b = sum_value(b.total), total = mass_a + mass_b;
        double alpha = mass_a / total, beta = mass_b / total,
               t = (a->ratio.high - b.ratio.high) + (a->ratio.low - b.ratio.low), kl;
        if (fabs(t) <= 30) {
            double spread = alpha * exp_gap(beta * t) + beta * exp_gap(-alpha * t);
            kl = log1p_any(spread);
            if (beta * t == 0 && alpha * t == 0) kl = 0;
            /* from the piece with the larger share, so that little is added to what is known exactly */
            if (alpha < beta) {
                a->ratio = b.ratio;
                add_number(&a->ratio, alpha * t);
            } else add_number(&a->ratio, -beta * t);
            add_number(&a->ratio, -kl);
        } else {
            double log_total = log_ratio_any(total, 1.0);
            double inside = t > 0 ? beta + exp_any(log_a - log_total - t) : alpha + exp_any(log_b - log_total + t);
            double log_inside = log_ratio_any(inside, 1.0);
            kl = (t > 0 ? alpha * t : -beta * t) + log_inside;
            if (t > 0) a->ratio = b.ratio;
            add_number(&a->ratio, -log_inside);
        }
        a->largest_x = largest;
        add_sum(&a->total, b.total);
        add_sum(&a->gap, b.gap);
        add_number(&a->gap, kl * total);
    }
    a->flags = flags;
}

static void logits_kl_join(klfast_state *into, const klfast_state *other) {
    join_logits_kl(&into->logits_kl, &other->logits_kl);
}

/* log(lonely y / other y): what the ratio does not know of yet. */
static double log_lonely_share(const logits_kl_state *s) {
    double log_x = s->largest_x + log_ratio_any(sum_value(s->total), 1.0), log_y = log_x - sum_value(s->ratio);
    return s->lonely_y.count == 0 ? -HUGE_VAL : s->lonely_y.largest + log_total(&s->lonely_y) - log_y;
}

static int logits_kl_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_kl_state *s = &state->logits_kl;
    (void)row;
    *result = NAN;
    if (s->flags & HAS_NAN || s->total.high == 0 || !(s->flags & HAS_Y)) return 0;
    if (s->flags & IS_INFINITE) *result = HUGE_VAL;
    else
        *result =
            sum_value(s->gap) / sum_value(s->total) + (s->lonely_y.count > 0 ? softplus(log_lonely_share(s)) : 0.0);
    return 0;
}

static void logits_js_join(klfast_state *into, const klfast_state *other) {
    logits_js_state *a = &into->logits_js;
    const logits_js_state *b = &other->logits_js;
    join_softmax(&a->x, b->x);
    join_softmax(&a->y, b->y);
    join_logits_kl(&a->kl, &b->kl);
    add_sum(&a->value, b->value);
    add_sum(&a->excess, b->excess);
}

/* How far the log ratio of the totals was off shows in the sum of p - q, which it moves by (1 - total variation) times
 * as much. It moves the value by about its square root: where that counts, 1 is returned and the row walked again. */
static int correct_offset(const logits_js_state *s, klfast_row *row) {
    double value = sum_value(s->value), excess = 2.0 * sum_value(s->excess), spread = sqrt(value);
    if (row->repeats == 2 || !(fabs(excess) > (row->is_float ? 0x1p-25 : 0x1p-51) * spread)) return 0;
    wide_sum offset = {row->offset, row->offset_low};
    add_number(&offset, excess / (1.0 - fmin(spread, 0.7)));
    row->offset = offset.high;
    row->offset_low = offset.low;
    row->repeats++;
    return 1;
}

/* First walk: the totals, and the log of their ratio, to all digits where the rows are close. Then the sum. */
static int logits_js_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_js_state *s = &state->logits_js;
    if (row->walk == WALK_TERMS) {
        *result = sum_value(s->value);
        return correct_offset(s, row);
    }
    *result = NAN;
    if ((s->x.flags | s->y.flags) & HAS_NAN || s->x.count == 0 || s->y.count == 0) return 0;
    row->largest_x = s->x.largest;
    row->largest_y = s->y.largest;
    row->total_x = softmax_total(&s->x);
    row->total_y = softmax_total(&s->y);
    wide_sum offset = s->kl.ratio;
    int is_close = !(s->kl.flags & IS_INFINITE) && s->kl.total.high > 0 && s->kl.gap.high <= s->kl.total.high;
    if (is_close) {
        if (s->kl.lonely_y.count > 0) add_number(&offset, -softplus(log_lonely_share(&s->kl)));
        add_number(&offset, -row->largest_x);
        add_number(&offset, row->largest_y);
    } else {
        offset.high = log_total(&s->x) - log_total(&s->y);
        offset.low = 0;
    }
    row->offset = offset.high;
    row->offset_low = offset.low;
    row->walk = WALK_TERMS;
    return 1;
}

#endif
