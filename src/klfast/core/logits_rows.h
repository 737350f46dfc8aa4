/* Logits family: joining two neighbouring pieces, and from the whole row to the number. See states.h for the fields. What is
 * measured in logits (largest, value, ratio, cross) is divided by the temperature T only here. */
#ifndef KLFAST_LOGITS_ROWS_H
#define KLFAST_LOGITS_ROWS_H

/* Below this, products of cross-entropy may have left the normal floats. */
#define SMALLEST_FLOAT_CROSS 0x1p-80

/* exp(x/T)*2^power for any x; x/T rounds nowhere. Largest error 2 u. */
static double scaled_exp_over(double x, double power, const klfast_temperature *temperature) {
    double shifted, fraction;
    if (!(x < 709.7 * temperature->value)) return x < 0 || x > 0 ? HUGE_VAL : x;
    fraction = exp_at_f64(fmax(x, -900.0 * temperature->value), &temperature->of_f64, &shifted);
    return scale_f64(fraction, (shifted - 0x1.8p52) + power);
}

static double exp_over(double x, const klfast_temperature *temperature) { return scaled_exp_over(x, 0, temperature); }

/* exp((x - y)/T)*2^power for any finite y: what the difference lost in rounding would be multiplied by it on its way through
 * exp. */
static double scaled_exp_over_difference(double x, double y, double power, const klfast_temperature *temperature) {
    double d = x - y, value = scaled_exp_over(d, power, temperature);
    return fabs(d) < HUGE_VAL ? fma_f64(value, rounding_of_difference(x, y, d) * temperature->inverse, value) : value;
}

/* The same plus a center, which is finite; what both steps lost. */
static double exp_over_centred(double x, double y, double center, const klfast_temperature *temperature) {
    double d = x - y, sum = d + center, value = exp_over(sum, temperature);
    if (!(fabs(d) < HUGE_VAL)) return value;
    double lost = rounding_of_difference(x, y, d) + rounding_of_difference(d, -center, sum);
    return fma_f64(value, lost * temperature->inverse, value);
}

/* The power of two by which exponentials may be larger, so that those below the normal numbers, which may have a normal sum,
 * keep their digits: 2^200 or, where a product with a distance might leave the range, 1. */
static double spare_power(const klfast_temperature *temperature) { return temperature->value < 0x1p500 ? 200 : 0; }

/* x/T in twice the precision; products at the ends of the range have no second part. */
static wide_sum wide_over(double x, const klfast_temperature *temperature) {
    double part = x * temperature->inverse;
    double low = x * temperature->of_f64.inverse_low - difference_f64(part, x, temperature->inverse);
    return (wide_sum){part, fabs(low) < 1 ? low : 0};
}

static double exp_over_difference(double x, double y, const klfast_temperature *temperature) {
    return scaled_exp_over_difference(x, y, 0, temperature);
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
    double distance = a->largest - b.largest, power = spare_power(row->temperature);
    double factor = scaled_exp_over_difference(b.largest, a->largest, power, row->temperature), unit = power > 0 ? 0x1p-200 : 1;
    if (factor == 0) return;
    add_number(&b.rest, b.count);
    add_sum(&b.value, scaled_sum(b.rest, distance));
    add_sum(&a->rest, scaled_sum(scaled_sum(b.rest, factor), unit));
    add_sum(&a->value, scaled_sum(scaled_sum(b.value, factor), unit));
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

/* (largest - x)/T, also where the difference alone is beyond the range. */
static double distance_over(double largest, double x, const klfast_temperature *temperature) {
    double distance = largest - x, inverse = temperature->inverse;
    return distance < HUGE_VAL || x == -HUGE_VAL ? distance * inverse : largest * inverse - x * inverse;
}

/* -log p of the label. */
static double label_loss(const softmax_state *s, const klfast_row *row) {
    return row->log_total + distance_over(s->largest, row->label_logit, row->temperature);
}

/* log sum exp for the penalty; 0 if there is none, for it may be infinite. */
static double penalised(const softmax_state *s, const klfast_row *row) {
    return row->parameters->z_loss == 0 ? 0.0 : s->largest * row->temperature->inverse + row->log_total;
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
    lse = penalised(s, row);
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
    double distance = other_largest * row->scale_p - largest * row->scale_p;
    if (has_both && distance > 0) add_sum(&a->cross, scaled_sum(a->mass, distance));
    if (has_both && distance < 0) add_sum(&b.cross, scaled_sum(b.mass, -distance));
    join_softmax(&a->softmax, b.softmax, row);
    add_sum(&a->mass, b.mass);
    add_sum(&a->cross, b.cross);
    a->count += b.count;
}

/* The sum of b*nll, times a factor. */
static double cross_loss(const logits_cross_state *s, const klfast_row *row, double factor) {
    double cross = sum_value(s->cross) * row->temperature->inverse, mass = sum_value(s->mass);
    if (factor == 0) return 0.0;
    if (s->softmax.flags & IS_INFINITE || (row->walk == WALK_CAREFUL && !(cross < HUGE_VAL))) return HUGE_VAL;
    if (row->scale_p != 1.0) return cross * factor / row->scale_p + mass * row->log_total * factor;
    return factor * (cross + mass * row->log_total);
}

/* The power of two that brings the mass to 1 .. 2, as far as both types can multiply with it. */
static double scale_of_mass(double mass, double limit) {
    double held = fmin(fmax(mass, 0x1p-1000), 0x1p1000);
    double up = from_bits_f64(0x7fe0000000000000LL - (bits_f64(held) & 0x7ff0000000000000LL));
    return fmin(fmax(up, 1.0 / limit), limit);
}

/* 1 if the row must be walked again, one element at a time and in double: a sum has left the range, or so little is left that
 * products may have sunk below the normal numbers. */
static int needs_care(const logits_cross_state *s, klfast_row *row, int is_normalised) {
    double mass = sum_value(s->mass), cross = sum_value(s->cross) * row->temperature->inverse;
    double high = row->is_float ? 0x1p100 : 0x1p900, low = row->is_float ? SMALLEST_FLOAT_CROSS : 0x1p-900;
    double others = fmin((s->softmax.count - 1.0) + sum_value(s->softmax.rest), 1.0);
    if (row->walk == WALK_CAREFUL || s->softmax.flags & HAS_NAN || (mass == 0 && cross == 0)) return 0;
    int is_large = !(mass <= high && cross < HUGE_VAL);
    int is_small = mass < low || (sum_value(s->cross) < low && mass * others < low);
    if (!is_large && !is_small) return 0;
    row->walk = WALK_CAREFUL;
    row->scale_p = row->is_float || cross < HUGE_VAL ? 1.0 : 0x1p-200;
    row->scale_q = is_normalised ? scale_of_mass(mass, high) : mass <= high ? 1.0 : 0x1p-100;
    return 1;
}

/* Class ids with smoothing: b are the class weights. */
static int smoothed_cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_cross_state *s = &state->cross;
    const klfast_parameters *parameters = row->parameters;
    if (ignore(row, result)) return 0;
    *result = NAN;
    if (settle_softmax(&s->softmax, row)) return 0;
    if (needs_care(s, row, 0)) return 1;
    double lse = penalised(&s->softmax, row);
    double label_weight = (1.0 - parameters->smoothing) * row->label_weight;
    double spread = parameters->smoothing / s->count / row->scale_q;
    *result = counted(label_weight, label_loss(&s->softmax, row)) + cross_loss(s, row, spread) +
              parameters->z_loss * lse * lse;
    int is_counted = !(parameters->smooths_finite && row->label_logit == -HUGE_VAL);
    settle_gradient(&s->softmax, row, label_weight, spread, sum_value(s->mass),
                    is_counted ? row->label_weight * row->scale_q : 0.0, lse);
    return 0;
}

/* Target probabilities b. */
static int soft_cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const logits_cross_state *s = &state->cross;
    double mass = sum_value(s->mass), share = 1.0 / (row->parameters->is_raw ? row->scale_q : mass);
    *result = NAN;
    row->is_undefined = 1;
    if (!(mass > 0) && !row->parameters->is_raw) return 0;
    if (settle_softmax(&s->softmax, row)) return 0;
    if (needs_care(s, row, !row->parameters->is_raw)) return 1;
    double lse = penalised(&s->softmax, row);
    *result = cross_loss(s, row, share) + row->parameters->z_loss * lse * lse;
    row->label_logit = NAN;
    settle_gradient(&s->softmax, row, 0.0, share, mass, 0.0, lse);
    return 0;
}

#endif
