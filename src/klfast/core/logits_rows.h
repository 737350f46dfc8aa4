/* Logits family: joining two neighbouring pieces, and from the whole row to the number. See states.h for the fields. What is
 * measured in logits (largest, value, ratio, cross) is divided by the temperature T only here. */
#ifndef KLFAST_LOGITS_ROWS_H
#define KLFAST_LOGITS_ROWS_H

/* Below this, the terms of a divergence may have left the normal floats. */
#define SMALLEST_FLOAT_DIVERGENCE 0x1p-50

/* exp(x/T) for any x; x/T rounds nowhere. Largest error 2 u. */
static double exp_over(double x, const klfast_temperature *temperature) {
    double shifted, fraction;
    if (!(x < 709.7 * temperature->value)) return x < 0 || x > 0 ? HUGE_VAL : x;
    fraction = exp_at_f64(fmax(x, -800.0 * temperature->value), &temperature->of_f64, &shifted);
    return scale_f64(fraction, shifted - 0x1.8p52);
}

/* exp((x - y)/T) for any finite y: what the difference lost in rounding would be multiplied by it on its way through exp. */
static double exp_over_difference(double x, double y, const klfast_temperature *temperature) {
    double d = x - y, value = exp_over(d, temperature);
    return fabs(d) < HUGE_VAL ? fma_f64(value, rounding_of_difference(x, y, d) * temperature->inverse, value) : value;
}

/* d + exp(-d) - 1 for d = x/T. */
static double gap_over(double d, double x, const klfast_temperature *temperature) {
    return fabs(d) <= 1.0 ? exp_gap(d) : (d - 1.0) + exp_over(-x, temperature);
}

static double softmax_total(const softmax_state *s) { return s->count + sum_value(s->rest); }

/* log(count + rest): how far log sum exp(x/T) is above the largest x/T. */
static double log_total(const softmax_state *s) {
    return log1p_any(sum_value(s->rest) / s->count) + log_ratio_any(s->count, 1.0);
}

static void join_softmax(softmax_state *a, softmax_state b, const klfast_row *row) {
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
    double distance = a->largest - b.largest, factor = exp_over(-distance, row->temperature);
    if (factor == 0) return;
    add_number(&b.rest, b.count);
    add_sum(&b.value, scaled_sum(b.rest, distance));
    add_sum(&a->rest, scaled_sum(b.rest, factor));
    add_sum(&a->value, scaled_sum(b.value, factor));
}

static void softmax_join(klfast_state *into, const klfast_state *other, const klfast_row *row) {
    join_softmax(&into->softmax, other->softmax, row);
}

/* Whether the row has no softmax; and what a gradient is written from. */
static int settle_softmax(const softmax_state *s, klfast_row *row) {
    row->is_undefined = s->flags & HAS_NAN || s->count == 0;
    row->largest_x = s->largest;
    row->total_x = softmax_total(s);
    row->log_total = row->is_undefined ? NAN : log_total(s);
    return row->is_undefined;
}

static int logsumexp_finish(const klfast_state *state, klfast_row *row, double *result) {
    const softmax_state *s = &state->softmax;
    *result = settle_softmax(s, row) ? (s->flags & HAS_NAN ? NAN : -HUGE_VAL)
                                     : s->largest * row->temperature->inverse + row->log_total;
    return 0;
}

static int logits_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const softmax_state *s = &state->softmax;
    *result = NAN;
    if (settle_softmax(s, row)) return 0;
    row->value = sum_value(s->value) * row->temperature->inverse / row->total_x;
    *result = row->log_total + row->value;
    return 0;
}

/* ---- cross-entropy ---- */

/* 0 * inf = 0: what does not count does not matter. */
static double counted(double weight, double loss) { return weight == 0 ? 0.0 : weight * loss; }

/* -log p of the label. */
static double label_loss(const softmax_state *s, const klfast_row *row) {
    return row->log_total + (s->largest - row->label_logit) * row->temperature->inverse;
}

/* What a softcap leaves of a derivative at this score. */
static double below_cap(double score, const klfast_parameters *parameters) {
    double share = score > -HUGE_VAL ? score / parameters->softcap : 1.0;
    return parameters->softcap > 0 ? (1.0 - share) * (1.0 + share) : 1.0;
}

/* Gradient of label_weight*nll + spread*(sum of b*nll) + z*lse^2, per logit: p*(all weights + 2*z*lse) - spread*b, and less
 * label_weight at the label. There, 1 - p is taken from the others, so that a sure row keeps its digits. */
static void settle_gradient(const softmax_state *s, klfast_row *row, double label_weight, double spread, double mass,
                            double b_at_label, double lse) {
    const klfast_parameters *parameters = row->parameters;
    double unit = row->gradient * row->temperature->inverse, beside = spread * mass + 2.0 * parameters->z_loss * lse;
    int is_largest = row->label_logit == s->largest;
    double p = is_largest ? 1.0 / row->total_x
                          : exp_over(row->label_logit - s->largest, row->temperature) / row->total_x;
    double others = is_largest ? ((s->count - 1.0) + sum_value(s->rest)) / row->total_x : 1.0 - p;
    row->others = ((s->count - 1.0) + sum_value(s->rest)) / row->total_x;
    row->scale_of_p = unit * (label_weight + beside);
    row->scale_of_b = -unit * spread;
    row->at_label = unit * (p * beside - label_weight * others - spread * b_at_label) *
                    below_cap(row->label_logit, parameters);
}

static int ignore(klfast_row *row, double *result) {
    *result = 0.0;
    return row->is_ignored;
}

static int logits_cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const softmax_state *s = &state->softmax;
    double z = row->parameters->z_loss, lse;
    if (ignore(row, result)) return 0;
    *result = NAN;
    if (settle_softmax(s, row)) return 0;
    lse = s->largest * row->temperature->inverse + row->log_total;
    *result = counted(row->label_weight, label_loss(s, row)) + z * lse * lse;
    settle_gradient(s, row, row->label_weight, 0.0, 0.0, 0.0, lse);
    return 0;
}

static int token_logprobs_finish(const klfast_state *state, klfast_row *row, double *result) {
    if (ignore(row, result)) return 0;
    *result = settle_softmax(&state->softmax, row) ? NAN : 0.0 - label_loss(&state->softmax, row);
    return 0;
}

static void logits_cross_join(klfast_state *into, const klfast_state *other, const klfast_row *row) {
    logits_cross_state *a = &into->cross, b = other->cross;
    double largest = a->softmax.largest, other_largest = b.softmax.largest;
    int has_both = a->softmax.count > 0 && b.softmax.count > 0;
    if (has_both && largest < other_largest) add_sum(&a->cross, scaled_sum(a->mass, other_largest - largest));
    if (has_both && largest > other_largest) add_sum(&b.cross, scaled_sum(b.mass, largest - other_largest));
    join_softmax(&a->softmax, b.softmax, row);
    add_sum(&a->mass, b.mass);
    add_sum(&a->cross, b.cross);
    a->count += b.count;
}

/* The sum of b*nll. */
static double cross_loss(const logits_cross_state *s, const klfast_row *row) {
    return s->softmax.flags & IS_INFINITE
               ? HUGE_VAL
               : sum_value(s->cross) * row->temperature->inverse + sum_value(s->mass) * row->log_total;
}

/* Class ids with smoothing: b are the class weights. */
static int smoothed_cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_cross_state *s = &state->cross;
    const klfast_parameters *parameters = row->parameters;
    if (ignore(row, result)) return 0;
    *result = NAN;
    if (settle_softmax(&s->softmax, row)) return 0;
    double lse = s->softmax.largest * row->temperature->inverse + row->log_total;
    double label_weight = (1.0 - parameters->smoothing) * row->label_weight, spread = parameters->smoothing / s->count;
    *result = counted(label_weight, label_loss(&s->softmax, row)) + counted(spread, cross_loss(s, row)) +
              parameters->z_loss * lse * lse;
    int is_counted = !(parameters->smooths_finite && row->label_logit == -HUGE_VAL);
    settle_gradient(&s->softmax, row, label_weight, spread, sum_value(s->mass), is_counted ? row->label_weight : 0.0,
                    lse);
    return 0;
}

/* Target probabilities b. */
static int soft_cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_cross_state *s = &state->cross;
    double mass = sum_value(s->mass), share = row->parameters->is_raw ? 1.0 : 1.0 / mass, z = row->parameters->z_loss;
    *result = NAN;
    row->is_undefined = 1;
    if (!(mass > 0) && !row->parameters->is_raw) return 0;
    if (settle_softmax(&s->softmax, row)) return 0;
    double lse = s->softmax.largest * row->temperature->inverse + row->log_total;
    *result = share * cross_loss(s, row) + z * lse * lse;
    row->label_logit = NAN;
    settle_gradient(&s->softmax, row, 0.0, share, mass, 0.0, lse);
    return 0;
}

/* ---- KL ---- */

/* Two pieces with shares alpha + beta = 1 of the whole, whose log ratios differ by t: the chain rule adds
 * alpha*(ratio_a - ratio) + beta*(ratio_b - ratio) >= 0, the KL of the shares. */
static void join_logits_kl(logits_kl_state *a, const logits_kl_state *other, const klfast_row *row) {
    logits_kl_state b = *other;
    double inverse = row->temperature->inverse;
    int flags = a->flags | b.flags;
    join_softmax(&a->lonely_y, b.lonely_y, row);
    b.lonely_y = a->lonely_y;
    if (a->total.high == 0) *a = b;
    else if (b.total.high > 0) {
        double largest = fmax(a->largest_x, b.largest_x), shift_a = (a->largest_x - largest) * inverse,
               shift_b = (b.largest_x - largest) * inverse;
        double log_a = shift_a + log_ratio_any(sum_value(a->total), 1.0),
               log_b = shift_b + log_ratio_any(sum_value(b.total), 1.0);
        double factor_a = exp_over(a->largest_x - largest, row->temperature),
               factor_b = exp_over(b.largest_x - largest, row->temperature);
        a->total = scaled_sum(a->total, factor_a);
        a->gap = scaled_sum(a->gap, factor_a);
        b.total = scaled_sum(b.total, factor_b);
        b.gap = scaled_sum(b.gap, factor_b);
        double mass_a = sum_value(a->total), mass_b = sum_value(b.total), total = mass_a + mass_b;
        double alpha = mass_a / total, beta = mass_b / total,
               of_ratios = ((a->ratio.high - b.ratio.high) + (a->ratio.low - b.ratio.low)) * inverse,
               t = of_ratios - ((a->inside.high - b.inside.high) + (a->inside.low - b.inside.low)), kl;
        if (fabs(t) <= 30) {
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
        } else {
            double log_total = log_ratio_any(total, 1.0);
            double inside = t > 0 ? beta + exp_any(log_a - log_total - t) : alpha + exp_any(log_b - log_total + t);
            double log_inside = log_ratio_any(inside, 1.0);
            if (inside < 0x1p-900) { /* a piece next to which the other's mass is below the range, and so is its share */
                double one = t > 0 ? log_b : log_a, other = t > 0 ? log_a - t : log_b + t;
                log_inside = fmax(one, other) - log_total + log1p_any(exp_any(-fabs(one - other)));
            }
            kl = (t > 0 ? alpha * t : -beta * t) + log_inside;
            if (t > 0) {
                a->ratio = b.ratio;
                a->inside = b.inside;
            }
            add_number(&a->inside, log_inside);
        }
        a->largest_x = largest;
        add_sum(&a->total, b.total);
        add_sum(&a->gap, b.gap);
        add_number(&a->gap, kl * total);
    }
    a->flags = flags;
}

/* log(lonely y / other y): what the ratio does not know of yet. */
static double log_lonely_share(const logits_kl_state *s, const klfast_row *row) {
    double log_x = log_ratio_any(sum_value(s->total), 1.0);
    double distance = (s->lonely_y.largest - s->largest_x) + s->ratio.high;
    return s->lonely_y.count == 0
               ? -HUGE_VAL
               : (distance + s->ratio.low) * row->temperature->inverse - sum_value(s->inside) + log_total(&s->lonely_y) -
                     log_x;
}

/* What the pair's terms are computed from; sum exp(x/T) = total*exp(largest_x/T), and that of x over that of y is
 * exp(offset/T - inside). */
static void settle_pair(klfast_row *row, double largest_x, double total_x, wide_sum offset, double inside) {
    wide_sum log_y = {largest_x, 0};
    add_number(&log_y, -offset.high);
    add_number(&log_y, -offset.low);
    add_number(&log_y, (log_ratio_any(total_x, 1.0) + inside) * row->temperature->value);
    row->largest_x = largest_x;
    row->total_x = total_x;
    row->largest_y = row->is_float ? (double)(float)log_y.high : log_y.high;
    add_number(&log_y, -row->largest_y);
    row->total_y = exp_over(sum_value(log_y), row->temperature);
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
    if (s->lonely_y.count > 0) add_number(&inside, softplus(log_lonely_share(s, row)));
    settle_pair(row, s->largest_x, sum_value(s->total), s->ratio, sum_value(inside));
}

static int has_no_kl(const logits_kl_state *s) { return s->flags & HAS_NAN || s->total.high == 0 || !(s->flags & HAS_Y); }

static int is_close(const logits_kl_state *s) { return !(s->flags & IS_INFINITE) && s->gap.high <= s->total.high; }

/* For a gradient, rows far apart are walked once more, for both softmaxes. */
static int logits_kl_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_kl_state *s = &state->pair.kl;
    if (row->walk == WALK_SUMS) {
        settle_from_softmaxes(&state->pair, row);
        return 0;
    }
    *result = row->value = NAN;
    row->is_undefined = has_no_kl(s);
    if (row->is_undefined) return 0;
    if (s->flags & IS_INFINITE) row->value = HUGE_VAL;
    else
        row->value = sum_value(s->gap) / sum_value(s->total) +
                     (s->lonely_y.count > 0 ? softplus(log_lonely_share(s, row)) : 0.0);
    *result = row->value;
    if (!row->is_written) return 0;
    if (is_close(s)) settle_from_kl(s, row);
    else row->walk = WALK_SUMS;
    return row->walk == WALK_SUMS;
}

/* ---- Jensen-Shannon ---- */

static void logits_pair_join(klfast_state *into, const klfast_state *other, const klfast_row *row) {
    logits_pair_state *a = &into->pair;
    const logits_pair_state *b = &other->pair;
    if (row->walk == WALK_SUMS) {
        join_softmax(&a->x, b->x, row);
        join_softmax(&a->y, b->y, row);
    } else if (row->walk == WALK_FAST) join_logits_kl(&a->kl, &b->kl, row);
    else {
        add_sum(&a->of_x, b->of_x);
        add_sum(&a->of_y, b->of_y);
        add_sum(&a->excess, b->excess);
    }
}

/* An error e of the log ratio of the totals shows in the sum of p - q. It changes the value by e*(1 - beta)*KL(q || m), and by
 * e^2/8: where one of these counts, it is put right and the row walked again. */
static int correct_offset(const logits_pair_state *s, klfast_row *row, double value) {
    double spread = sqrt(value), excess = sum_value(s->excess);
    int is_narrow = row->is_float && row->walk != WALK_WIDE_TERMS;
    double allowed = is_narrow ? fmin(0x1p-24, 0x1p-11 * spread) : fmin(0x1p-51, 0x1p-26 * spread);
    if (row->repeats == 2 || !(fabs(excess) > allowed)) return 0;
    row->inside -= excess;
    row->total_y *= 1.0 - excess;
    row->repeats++;
    return 1;
}

/* First the totals, and the log of their ratio, to all digits where the rows are close. Then the sums; in double where they
 * are so small that float terms may have left the normal numbers. */
static int logits_js_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_pair_state *s = &state->pair;
    int walk = row->walk;
    if (walk == WALK_TERMS || walk == WALK_WIDE_TERMS) {
        double beta = row->parameters->beta, of_x = sum_value(s->of_x), of_y = sum_value(s->of_y);
        *result = beta * of_x + (1.0 - beta) * of_y;
        row->value = of_x;
        row->value_y = of_y;
        if (correct_offset(s, row, *result)) return 1;
        if (walk == WALK_WIDE_TERMS || !row->is_float || *result >= SMALLEST_FLOAT_DIVERGENCE) return 0;
        row->walk = WALK_WIDE_TERMS;
        return 1;
    }
    *result = row->value = row->value_y = NAN;
    if (walk == WALK_FAST) {
        row->is_undefined = has_no_kl(&s->kl);
        if (row->is_undefined) return 0;
        if (is_close(&s->kl)) settle_from_kl(&s->kl, row);
        if (is_close(&s->kl) && s->kl.gap.high == 0 && s->kl.lonely_y.count == 0) { /* the same distribution */
            *result = row->value = row->value_y = 0.0;
            return 0;
        }
        row->walk = is_close(&s->kl) ? WALK_TERMS : WALK_SUMS;
        return 1;
    }
    settle_from_softmaxes(s, row);
    row->walk = WALK_TERMS;
    return 1;
}

#endif
