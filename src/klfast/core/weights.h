/* Probability family: what a whole row is told before its blocks are walked, and from the added-up blocks to the number. */
#ifndef KLFAST_WEIGHTS_H
#define KLFAST_WEIGHTS_H

/* An entry with more than this share of q is set aside when a row is walked with care. Below it, entropy and cross-entropy
 * are at least log(1/0.6) = 0.51, and rounding the sum of q costs nothing that counts. */
#define LARGE_SHARE 0.6
#define SMALL_CROSS_ENTROPY 0.5

static void weights_join(klfast_state *into, const klfast_state *other) {
    weights_state *a = &into->weights;
    const weights_state *b = &other->weights;
    a->flags |= b->flags;
    add_sum(&a->mass, b->mass);
    add_sum(&a->first, b->first);
    add_sum(&a->second, b->second);
    a->largest = fmax(a->largest, b->largest);
    a->largest_p = fmax(a->largest_p, b->largest_p);
    a->largest_q = fmax(a->largest_q, b->largest_q);
}

/* The fast float kernel uses a float. Whatever is lost by rounding is kept apart, for the careful walk. */
static void set_constant(klfast_row *row, double high, double low) {
    double rounded = row->is_float && high < 0x1p120 && high > 0x1p-120 ? (double)(float)high : high;
    row->constant = rounded;
    row->constant_low = (high - rounded) + low;
}

static int is_moderate(double sum) { return sum >= 0x1p-900 && sum <= 0x1p900; }

/* The power of two that brings a row with this largest entry to where neither sums nor terms leave the normal numbers. */
static double row_scale(double largest) {
    if (largest > 0x1p850) return 0x1p-600;
    return largest > 0 && largest < 0x1p-800 ? 0x1p600 : 1.0;
}

/* 1 if the row must be walked again with the scales now set in `row`. */
static int needs_scaling(const weights_state *s, klfast_row *row) {
    if (!(s->flags & OUT_OF_SCALE) || row->scale_p != 1.0 || row->scale_q != 1.0) return 0;
    row->scale_p = row_scale(s->largest_p);
    row->scale_q = row_scale(s->largest_q);
    row->constant = 1.0;
    row->constant_low = 0.0;
    row->walk = WALK_FAST;
    return row->scale_p != 1.0 || row->scale_q != 1.0;
}

/* KL = first/p - (w - log(1 + w)) with 1 + w = c * sum q / sum p: exact for every c, and without cancellation if c is close to
 * sum p / sum q. If it was not close enough, the sums now say what it is, and the row is walked again. */
static int divergence_finish(const klfast_state *state, klfast_row *row, double *result) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass), q = sum_value(s->second);
    if (row->walk == WALK_SUMS) {
        int known = is_moderate(p) && is_moderate(q);
        set_constant(row, known ? p / q : 1.0, 0.0);
        row->constant_low = 0.0;
        row->walk = WALK_FAST;
        return 1;
    }
    *result = NAN;
    if (s->flags & HAS_NAN) return 0;
    if (needs_scaling(s, row)) return 1;
    double w = -q / p, whole = 1.0 + w;
    if (!(p > 0 && whole > 0)) return 0;
    if (s->flags & IS_INFINITE) { *result = HUGE_VAL; return 0; }
    double correction = gap_any(1.0, whole, -w), value = sum_value(s->first) / p - correction;
    int certain = correction <= 0.5 * value || (sum_value(s->first) == 0 && q == 0);
    if (!certain && row->repeats < 3) {
        row->repeats++;
        row->walk = WALK_CAREFUL;
        double c = row->constant, c_low = row->repeats > 1 ? row->constant_low : 0.0, step = -w / whole;
        wide_sum fresh = {c, c_low};
        add_number(&fresh, c * step);
        set_constant(row, fresh.high, fresh.low + c_low * step);
        return 1;
    }
    *result = value > 0 ? value : 0.0;
    return 0;
}

static int raw_finish(const klfast_state *state, klfast_row *row, double *result) {
    const weights_state *s = &state->weights;
    (void)row;
    *result = s->flags & HAS_NAN ? NAN : s->flags & IS_INFINITE ? HUGE_VAL : sum_value(s->first);
    return 0;
}

/* p*log(p/q) = gap + (p - q), where the kernel took it apart. */
static int raw_divergence_finish(const klfast_state *state, klfast_row *row, double *result) {
    klfast_state whole = *state;
    add_sum(&whole.weights.first, state->weights.second);
    return raw_finish(&whole, row, result);
}

/* first/p + log(sum q / c); no term is negative if c is the sum of q. */
static int cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass), q = sum_value(s->second) + s->largest;
    if (row->walk == WALK_SUMS) {
        set_constant(row, is_moderate(q) ? q : 1.0, 0.0);
        row->walk = WALK_FAST;
        return 1;
    }
    *result = NAN;
    if (s->flags & HAS_NAN) return 0;
    if (needs_scaling(s, row)) return 1;
    if (!(p > 0 && q > 0)) return 0;
    if (s->flags & IS_INFINITE) { *result = HUGE_VAL; return 0; }
    double excess = s->largest > 0 ? (s->largest - row->constant) + sum_value(s->second) : (s->second.high - row->constant) + s->second.low;
    double correction = log1p_any(excess / row->constant), value = sum_value(s->first) / p + correction;
    if (row->repeats == 0 && !(value >= SMALL_CROSS_ENTROPY && fabs(correction) <= 0.25 * value)) {
        row->repeats = 1;
        row->walk = WALK_CAREFUL;
        set_constant(row, q, 0.0);
        return 1;
    }
    *result = value > 0 ? value : 0.0;
    return 0;
}

#endif
