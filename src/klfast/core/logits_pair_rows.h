/* Pairs of rows of logits, KL and Jensen-Shannon: joining two neighbouring pieces, and from the whole row to the number. As in
 * logits_rows.h. */
#ifndef KLFAST_LOGITS_PAIR_ROWS_H
#define KLFAST_LOGITS_PAIR_ROWS_H

/* Below this, the terms of a divergence may have left the normal floats. */
#define SMALLEST_FLOAT_DIVERGENCE 0x1p-50

/* Pairs of rows with scores beyond this are walked again with scores and temperature LOWERED, which changes nothing else: a
 * difference of two, or the sum of many, would leave the range. */
#define HIGHEST_SCORE 0x1p900
#define LOWERED 0x1p-40

/* Where log(p/q) is below this, a float's rounding of it shows in p/q: see logits_kl.inc.h. */
#define DEEP_BELOW (-4)

/* From here on a KL is the difference of two numbers that are hardly larger: see logits_kl.inc.h. */
#define LEAST_PLAIN 2

static int is_beyond_scale(double score) { return fabs(score) > HIGHEST_SCORE && fabs(score) < HUGE_VAL; }

static void prepare_temperature(klfast_temperature *temperature, double value);

/* What a row is told whose scores are lowered, if they are. */
typedef struct {
    klfast_row row;
    klfast_temperature temperature;
} lowered_row;

static const klfast_row *lower_row(lowered_row *lowered, const klfast_row *row) {
    if (row->scale_p == 1.0) return row;
    prepare_temperature(&lowered->temperature, row->temperature->value * row->scale_p);
    lowered->row = *row;
    lowered->row.temperature = &lowered->temperature;
    lowered->row.gradient *= row->scale_p;
    return &lowered->row;
}

/* ---- KL ---- */

/* A divergence beyond the range stays what it is, but for a piece of which nothing is left. */
static wide_sum scaled_gap(wide_sum gap, double factor) {
    if (factor == 0) return (wide_sum){0, 0};
    return gap.high == HUGE_VAL ? gap : scaled_sum(gap, factor);
}

/* As below, where t leaves the range: in scores, beside which T counts nothing. `share` is that of the piece with the higher
 * ratio, which takes on that of the lower one. */
static double join_far_apart(logits_kl_state *higher, const logits_kl_state *lower, double largest, double share,
                             const klfast_temperature *temperature) {
    double apart = (higher->ratio.high - lower->ratio.high) -
                   (higher->inside.high - lower->inside.high) * temperature->value;
    double inside = fmax(lower->largest_x - largest, (higher->largest_x - largest) - apart);
    higher->ratio = lower->ratio;
    higher->inside = lower->inside;
    add_number(&higher->ratio, -inside);
    return (share * apart + inside) * temperature->inverse;
}

/* By how much the log ratio of `a` is above that of `b`, plus (higher - lower)/T. In scores first, hundreds of which may
 * cancel, and in two parts: what is lost in rounding, exp makes a relative error. */
static wide_sum apart(const logits_kl_state *a, const logits_kl_state *b, double higher, double lower,
                      const klfast_temperature *temperature) {
    wide_sum scores = {higher, 0};
    add_number(&scores, -lower);
    add_number(&scores, a->ratio.high);
    add_number(&scores, -b->ratio.high);
    scores.low += a->ratio.low - b->ratio.low;
    wide_sum all = wide_over(scores.high, temperature);
    add_number(&all, scores.low * temperature->inverse);
    add_number(&all, -a->inside.high);
    add_number(&all, b->inside.high);
    all.low += b->inside.low - a->inside.low;
    return all;
}

/* Two pieces with shares alpha + beta = 1 of the whole, whose log ratios differ by t: the chain rule adds
 * alpha*(ratio_a - ratio) + beta*(ratio_b - ratio) >= 0, the KL of the shares. */
static void join_logits_kl(logits_kl_state *a, const logits_kl_state *other, const klfast_row *row) {
    logits_kl_state b = *other;
    int flags = a->flags | b.flags;
    join_softmax(&a->lonely_y, b.lonely_y, row);
    b.lonely_y = a->lonely_y;
    if (a->total.high == 0) *a = b;
    else if (b.total.high > 0) {
        double largest = fmax(a->largest_x, b.largest_x);
        double own_a = sum_value(a->total), own_b = sum_value(b.total);
        double factor_a = exp_over_difference(a->largest_x, largest, row->temperature),
               factor_b = exp_over_difference(b.largest_x, largest, row->temperature);
        a->total = scaled_sum(a->total, factor_a);
        a->gap = scaled_gap(a->gap, factor_a);
        b.total = scaled_sum(b.total, factor_b);
        b.gap = scaled_gap(b.gap, factor_b);
        double mass_a = sum_value(a->total), mass_b = sum_value(b.total), total = mass_a + mass_b;
        double alpha = mass_a / total, beta = mass_b / total, kl;
        wide_sum more = apart(a, &b, 0, 0, row->temperature);
        double t = sum_value(more), t_low = more.low - (t - more.high);
        if (fabs(t) <= 4) {
            double spread = alpha * exp_gap(beta * t) + beta * exp_gap(-alpha * t);
            kl = log1p_any(spread);
            if (beta * t == 0 && alpha * t == 0) kl = 0;
            /* from the piece with the larger share, so that little is added to what is known exactly */
            if (alpha < beta) {
                a->ratio = b.ratio;
                a->inside = b.inside;
                add_number(&a->inside, -alpha * t);
            } else add_number(&a->inside, beta * t);
            add_number(&a->inside, kl);
        } else if (t == HUGE_VAL) kl = join_far_apart(a, &b, largest, alpha, row->temperature);
        else if (t == -HUGE_VAL) {
            kl = join_far_apart(&b, a, largest, beta, row->temperature);
            a->ratio = b.ratio;
            a->inside = b.inside;
        } else {
            /* The same from the piece with the larger share, beside which what is left of the other, however little, counts. */
            int is_first = alpha >= beta;
            double share = is_first ? beta : alpha, own = is_first ? own_b : own_a;
            /* what y has in the other piece over what it has in this one is own/total times exp of this */
            wide_sum log_y = is_first ? apart(a, &b, b.largest_x, largest, row->temperature)
                                      : apart(&b, a, a->largest_x, largest, row->temperature);
            double beyond = is_first ? t : -t, low = is_first ? t_low : -t_low, power = exp_any(beyond);
            double log_inside = log1p_any(share * (fma_f64(power, low, power) - 1));
            if (beyond > 700 || (beyond > 0 && share < 0x1p-900)) log_inside = scaled_softplus(own / total, log_y);
            kl = log_inside - share * beyond;
            if (!is_first) {
                a->ratio = b.ratio;
                a->inside = b.inside;
            }
            add_number(&a->inside, log_inside);
        }
        a->largest_x = largest;
        add_sum(&a->total, b.total);
        add_sum(&a->gap, b.gap);
        add_number(&a->gap, kl * row->scale_p * total);
    }
    a->flags = flags;
}

/* log(1 + lonely y / other y): what the ratio does not know of yet. */
static double log_of_lonely(const logits_kl_state *s, const klfast_row *row) {
    if (s->lonely_y.count == 0) return 0.0;
    logits_kl_state lonely = {.largest_x = s->lonely_y.largest};
    wide_sum share = apart(s, &lonely, lonely.largest_x, s->largest_x, row->temperature);
    return scaled_softplus(softmax_total(&s->lonely_y) / sum_value(s->total), share);
}

/* What the pair's terms are computed from; sum exp(x/T) = total*exp(largest_x/T), and that of x over that of y is
 * exp(offset/T - inside). */
static void settle_pair(klfast_row *row, double largest_x, double total_x, wide_sum offset, double inside) {
    wide_sum beside_largest = {largest_x, 0}; /* of y, but for what `inside` adds: so that total_y is no exp of a logarithm */
    add_number(&beside_largest, -offset.high);
    add_number(&beside_largest, -offset.low);
    row->largest_x = largest_x;
    row->total_x = total_x;
    row->largest_y = row->is_float ? (double)(float)beside_largest.high : beside_largest.high;
    add_number(&beside_largest, -row->largest_y);
    add_number(&beside_largest, inside * row->temperature->value);
    row->total_y = total_x * exp_over(sum_value(beside_largest), row->temperature);
    row->offset = offset.high;
    row->offset_low = offset.low;
    row->inside = inside;
}

/* Where the KL's sums do not tell: from both softmaxes. */
static void settle_from_softmaxes(const logits_pair_state *s, klfast_row *row) {
    wide_sum offset = {s->x.largest, 0};
    add_number(&offset, -s->y.largest);
    settle_pair(row, s->x.largest, softmax_total(&s->x), offset, log_total(&s->y) - log_total(&s->x));
    row->largest_y = s->y.largest;
    row->total_y = softmax_total(&s->y);
}

static void settle_from_kl(const logits_kl_state *s, klfast_row *row) {
    wide_sum inside = s->inside;
    add_number(&inside, log_of_lonely(s, row));
    settle_pair(row, s->largest_x, sum_value(s->total), s->ratio, sum_value(inside));
}

static int has_no_kl(const logits_kl_state *s) { return s->flags & HAS_NAN || s->total.high == 0 || !(s->flags & HAS_Y); }

static int is_close(const logits_kl_state *s, const klfast_row *row) {
    return !(s->flags & IS_INFINITE) && s->gap.high <= s->total.high * row->scale_p;
}

/* Whether the row is to be walked again, with its scores lowered. */
static int lower_scores(const logits_kl_state *s, klfast_row *row) {
    if (!(s->flags & OUT_OF_SCALE) || row->scale_p != 1.0) return 0;
    row->scale_p = LOWERED;
    return 1;
}

static double kl_of(const logits_kl_state *s, const klfast_row *row) {
    if (s->flags & IS_INFINITE) return HUGE_VAL;
    return sum_value(s->gap) / sum_value(s->total) / row->scale_p + log_of_lonely(s, row);
}

/* For a gradient, rows far apart are walked once more, for both softmaxes. */
static int finish_kl(const klfast_state *state, klfast_row *row, double *result) {
    const logits_kl_state *s = &state->pair.kl;
    if (row->walk == WALK_SUMS) {
        settle_from_softmaxes(&state->pair, row);
        return 0;
    }
    *result = row->value = NAN;
    row->is_undefined = has_no_kl(s);
    if (row->is_undefined) return 0;
    if (lower_scores(s, row)) return 1;
    *result = row->value = kl_of(s, row);
    if (!row->is_written) return 0;
    if (is_close(s, row)) settle_from_kl(s, row);
    else row->walk = WALK_SUMS;
    return row->walk == WALK_SUMS;
}

/* ---- Jensen-Shannon ---- */

static void join_pair(klfast_state *into, const klfast_state *other, const klfast_row *row) {
    logits_pair_state *a = &into->pair;
    const logits_pair_state *b = &other->pair;
    if (row->walk == WALK_SUMS) {
        join_softmax(&a->x, b->x, row);
        join_softmax(&a->y, b->y, row);
    } else if (row->walk == WALK_FAST) join_logits_kl(&a->kl, &b->kl, row);
    else {
        add_sum(&a->value, b->value);
        add_sum(&a->of_x, b->of_x);
        add_sum(&a->of_y, b->of_y);
        add_sum(&a->excess, b->excess);
    }
}

/* An error e of the log ratio of the totals shows in the sum of p - q. It changes the value by e*(1 - beta)*KL(q || m), and by
 * e^2/8: where one of these counts, it is put right and the row walked again. Of floats less is asked, also in double, but for
 * what is so small that their totals may be no guide. */
static int correct_offset(const logits_pair_state *s, klfast_row *row, double value) {
    double spread = sqrt(value), excess = sum_value(s->excess);
    int is_narrow = row->is_float && (row->walk != WALK_WIDE_TERMS || value >= SMALLEST_FLOAT_DIVERGENCE);
    double allowed = is_narrow ? fmin(0x1p-24, 0x1p-11 * spread) : fmin(0x1p-51, 0x1p-26 * spread);
    if (row->repeats == 2 || !(fabs(excess) > allowed)) return 0;
    row->inside -= excess;
    row->total_y *= 1.0 - excess;
    row->repeats++;
    return 1;
}

/* The entropy of the shares: what the divergence of distributions with nothing in common is, and no other exceeds. */
static double largest_js(double beta) { return -(beta * log_ratio_any(beta, 1.0) + (1.0 - beta) * log1p_any(-beta)); }

/* Whether exp takes the scores as they are. */
static int are_within(const klfast_row *row, double limit) {
    return fabs(row->largest_x) <= limit && fabs(row->largest_y) <= limit;
}

/* Whether the terms are those of beta = 1/2, which take exp of the scores as they are. */
static int has_even_terms(const klfast_row *row, double limit) {
    return row->parameters->beta == 0.5 && are_within(row, limit);
}

static int walk_of_terms(const klfast_row *row) {
    return row->is_float && !has_even_terms(row, (double)row->temperature->of_f32.limit) ? WALK_WIDE_TERMS : WALK_TERMS;
}

/* First the totals, and the log of their ratio, to all digits where the rows are close. Then the sums; in double where they
 * are so small that float terms may have left the normal numbers. */
static int finish_js(const klfast_state *state, klfast_row *row, double *result) {
    const logits_pair_state *s = &state->pair;
    int walk = row->walk;
    if (walk == WALK_TERMS || walk == WALK_WIDE_TERMS) {
        *result = fmin(sum_value(s->value), largest_js(row->parameters->beta));
        row->value = sum_value(s->of_x);
        row->value_y = sum_value(s->of_y);
        if (correct_offset(s, row, *result)) return 1;
        if (walk == WALK_WIDE_TERMS || !row->is_float || *result >= SMALLEST_FLOAT_DIVERGENCE) return 0;
        row->walk = WALK_WIDE_TERMS;
        return 1;
    }
    *result = row->value = row->value_y = NAN;
    if (walk == WALK_FAST) {
        row->kl = NAN;
        row->is_undefined = has_no_kl(&s->kl);
        if (row->is_undefined) return 0;
        if (lower_scores(&s->kl, row)) return 1;
        row->kl = kl_of(&s->kl, row);
        if (is_close(&s->kl, row)) settle_from_kl(&s->kl, row);
        if (is_close(&s->kl, row) && s->kl.gap.high == 0 && s->kl.lonely_y.count == 0) { /* the same distribution */
            *result = row->value = row->value_y = 0.0;
            return 0;
        }
        row->walk = is_close(&s->kl, row) ? walk_of_terms(row) : WALK_SUMS;
        return 1;
    }
    settle_from_softmaxes(s, row);
    row->walk = walk_of_terms(row);
    return 1;
}

/* As the table holds them. */

static void logits_pair_join(klfast_state *into, const klfast_state *other, const klfast_row *row) {
    lowered_row lowered;
    join_pair(into, other, lower_row(&lowered, row));
}

static int finish_pair(int (*finish)(const klfast_state *, klfast_row *, double *), const klfast_state *state, klfast_row *row,
                       double *result) {
    lowered_row lowered;
    const klfast_temperature *given = row->temperature;
    row->temperature = lower_row(&lowered, row)->temperature;
    int is_left = finish(state, row, result);
    row->temperature = given;
    return is_left;
}

static int logits_kl_finish(const klfast_state *state, klfast_row *row, double *result) {
    return finish_pair(finish_kl, state, row, result);
}

static int logits_js_finish(const klfast_state *state, klfast_row *row, double *result) {
    return finish_pair(finish_js, state, row, result);
}

#endif
