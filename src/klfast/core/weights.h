/* Probability family: what a whole row is told before its blocks are walked, and from the added-up blocks to the
 * number. */
#ifndef KLFAST_WEIGHTS_H
#define KLFAST_WEIGHTS_H

/* An entry with more than this share of q is set aside when a row is walked with care. Below it, entropy and
 * cross-entropy are at least log(1/0.6) = 0.51, and rounding the sum of q costs nothing that counts. */
#define LARGE_SHARE 0.6
#define SMALL_CROSS_ENTROPY 0.5

static void weights_join(klfast_state *into, const klfast_state *other, const klfast_row *row) {
    weights_state *a = &into->weights;
    const weights_state *b = &other->weights;
    if (row->walk == WALK_MULTIPLES && a->largest_p > 0 && b->largest_p > 0 &&
        !has_ratio(b->largest_p, b->q_beside_largest_p, a->largest_p, a->q_beside_largest_p))
        a->flags |= NO_MULTIPLE;
    a->flags |= b->flags;
    add_sum(&a->mass, b->mass);
    add_sum(&a->first, b->first);
    add_sum(&a->second, b->second);
    a->largest = fmax(a->largest, b->largest);
    if (b->largest_p > a->largest_p) {
        a->largest_p = b->largest_p;
        a->q_beside_largest_p = b->q_beside_largest_p;
    }
    a->largest_q = fmax(a->largest_q, b->largest_q);
}

/* The fast float kernel uses a float. Whatever is lost by rounding is kept apart, for the careful walk. */
static void set_constant(klfast_row *row, double high, double low) {
    double whole = high + low;
    double rounded = row->is_float && whole < 0x1p120 && whole > 0x1p-120 ? (double)(float)whole : whole;
    row->constant = rounded;
    row->constant_low = (high - rounded) + low;
}

/* The relative error w of c is known: takes it out, so that w is next to nothing after the next walk. */
static void refine_constant(klfast_row *row, double w) {
    double c = row->constant, step = -w / (1.0 + w);
    wide_sum fresh = {c, row->constant_low};
    add_number(&fresh, c * step);
    set_constant(row, fresh.high, fresh.low + row->constant_low * step);
}

static int is_sums(int walk) { return walk == WALK_SUMS || walk == WALK_WIDE_SUMS; }

static int is_moderate(double sum) { return sum >= 0x1p-900 && sum <= 0x1p900; }

/* The power of two that brings a row with this largest entry to where neither sums nor terms leave the normal numbers. */
static double row_scale(double largest) {
    if (largest > 0x1p850) return 0x1p-600;
    return largest > 0 && largest < 0x1p-800 ? 0x1p600 : 1.0;
}

/* 1 if the row must be summed again with the scales now set in `row`. */
static int needs_scaling(const weights_state *s, klfast_row *row) {
    if (!(s->flags & OUT_OF_SCALE) || row->scale_p != 1.0 || row->scale_q != 1.0) return 0;
    row->scale_p = row_scale(s->largest_p);
    row->scale_q = row_scale(s->largest_q);
    row->walk = WALK_WIDE_SUMS;
    return row->scale_p != 1.0 || row->scale_q != 1.0;
}

/* Multiplies a scale by the power of two that brings the sum to `aim` (a power of two) .. 2*aim, as far as the scale stays in
 * the range. */
static void bring_to(double aim, double *scale, wide_sum *sum) {
    double up = aim * from_bits_f64(0x7fe0000000000000LL - (bits_f64(sum->high) & 0x7ff0000000000000LL));
    double most = 0x1p1000 / *scale, least = 0x1p-1070 / *scale;
    up = up > most ? most : up < least ? least : up;
    *scale *= up;
    sum->high *= up;
    sum->low *= up;
}

/* Before a row that differs by so little is walked again: once, to see whether q is a multiple of p. All walks with care, and
 * the slow ones after them, would only show that they cannot tell its divergence from 0. */
static void look_for_multiples(const weights_state *s, klfast_row *row) {
    if (row->looked_for_multiples || !(sum_value(s->first) <= 0x1p-20 * sum_value(s->mass))) return;
    row->looked_for_multiples = 1;
    row->walk_after = row->walk;
    row->walk = WALK_MULTIPLES;
}

/* After that: 1 if it is not. */
static int multiples_finish(const weights_state *s, klfast_row *row, double *result) {
    *result = 0.0;
    row->walk = row->walk_after;
    return (s->flags & NO_MULTIPLE) != 0;
}

/* After a walk of sums: 1 if the row is to be walked with the constant now set, or summed once more in a wider range; 0
 * if it has no answer. */
static int sums_finish(const weights_state *s, klfast_row *row, double p, double q, double constant) {
    row->was_summed = 1;
    if (p == 0) return 0; /* no weight anywhere: nothing that a wider range would show */
    if (is_moderate(p) && is_moderate(q)) {
        set_constant(row, constant, 0.0);
        row->constant_low = 0.0;
        row->walk = WALK_FAST;
        return 1;
    }
    if (row->walk == WALK_SUMS) {
        row->walk = WALK_WIDE_SUMS;
        return 1;
    }
    return !(s->flags & HAS_NAN) && needs_scaling(s, row);
}

/* Walks in double over a row that is scaled. */
static inline int is_scaled_walk(int walk) { return walk == WALK_ONE_BY_ONE || walk == WALK_ANCHORED; }

/* How much has to be left of p - c*q, beside p, so that its rounding and that of c_low take few of its digits. */
static inline double least_distance(double c, double c_low) { return 0.25 * fabs(c_low) / c; }
static double least_distance_of(const klfast_row *row) {
    return row->walk == WALK_ANCHORED ? 0 : least_distance(row->constant, row->constant_low);
}

/* Rows that are all but one-hot, in both p and q alike, or multiples but for their rounding can need a better c: p/q of an
 * entry, which need not be divided (see anchored_difference). */
static void find_anchor(const weights_state *s, klfast_row *row) {
    double p = s->largest_p * row->scale_p, q = s->q_beside_largest_p * row->scale_q;
    int exponent_p, exponent_q;
    row->anchor_p = frexp(p, &exponent_p);
    row->anchor_q = frexp(q, &exponent_q);
    row->anchor_unit = ldexp(1.0, exponent_p - exponent_q);
    row->anchor_rest = (wide_sum){0, 0};
    row->constant = p / q;
    row->constant_low = 0;
    row->walk = WALK_ANCHORED;
}

/* Where the entry is not like others: c is known to be off by w. */
static void move_anchor(klfast_row *row, double w) { add_number(&row->anchor_rest, -w / (1.0 + w) * row->anchor_p); }

/* KL = first/p - (w - log(1 + w)) with 1 + w = c * sum q / sum p: exact for every c, and without cancellation if c is
 * close to sum p / sum q. If it was not close enough, the sums now say what it is, and the row is walked again. */
static int divergence_finish(const klfast_state *state, klfast_row *row, double *result) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass), q = sum_value(s->second);
    if (row->walk == WALK_MULTIPLES) return multiples_finish(s, row, result);
    *result = NAN;
    if (is_sums(row->walk) && row->repeats > 0) {
        find_anchor(s, row);
        return 1;
    }
    if (is_sums(row->walk) && is_moderate(p) && is_moderate(q) && !is_moderate(p / q)) {
        wide_sum near_p = s->mass, near_q = s->second;
        bring_to(1.0, &row->scale_p, &near_p);
        bring_to(1.0, &row->scale_q, &near_q);
        return sums_finish(s, row, near_p.high, near_q.high, near_p.high / near_q.high);
    }
    if (is_sums(row->walk)) return sums_finish(s, row, p, q, p / q);
    if (s->flags & HAS_NAN) return 0;
    if (s->flags & IS_INFINITE && s->largest_q > 0) { /* whatever the constant is */
        *result = HUGE_VAL;
        return 0;
    }
    if (needs_scaling(s, row)) return 1;
    double w = -q / p, whole = 1.0 + w;
    if (!(p > 0)) return 0;
    /* The guess was worth nothing: far below 1, `whole` has lost the digits that its logarithm needs. */
    if (!(whole > 0.25 && whole < 0x1p20) && !row->was_summed) {
        row->walk = WALK_SUMS;
        return 1;
    }
    if (!(whole > 0)) return 0;
    if (s->flags & IS_INFINITE) {
        *result = HUGE_VAL;
        return 0;
    }
    double correction = gap_any(1.0, whole, -w), value = sum_value(s->first) / p - correction;
    double distance = row->repeats > 0 ? least_distance_of(row) : 0;
    int is_close = correction <= 0.5 * value && value >= 0.5 * distance * distance;
    if (!is_close && (sum_value(s->first) != 0 || q != 0) && row->repeats < 5) {
        row->repeats++;
        if (row->walk == WALK_ANCHORED) {
            move_anchor(row, w);
            return 1;
        }
        row->walk = row->repeats > 2 ? WALK_WIDE_SUMS : WALK_CAREFUL;
        if (row->repeats > 2) return 1;
        if (row->repeats == 1) row->constant_low = 0.0; /* the fast walk did not use it */
        refine_constant(row, w);
        look_for_multiples(s, row);
        return 1;
    }
    *result = value > 0 ? value : 0.0;
    return 0;
}

/* A raw sum that has left the range, perhaps on its way to a number, or whose p are so small that its terms sink below the
 * normal numbers, is taken again of p times a power of two; and of q, where a term is that of a ratio. */
static int raw_sum_finish(const weights_state *s, klfast_row *row, double sum, int is_ratio, double *result) {
    double p = sum_value(s->mass);
    int leaves = !(fabs(sum) < HUGE_VAL), sinks = p > 0 && p < 0x1p-900;
    *result = s->flags & HAS_NAN ? NAN : s->flags & IS_INFINITE ? HUGE_VAL : sum / row->scale_p;
    if (s->flags & (HAS_NAN | IS_INFINITE) || row->scale_p != 1.0 || !(leaves || sinks)) return 0;
    row->scale_p = leaves ? 0x1p-200 : 0x1p600;
    row->scale_q = is_ratio ? row->scale_p : 1.0;
    return 1;
}

static int raw_finish(const klfast_state *state, klfast_row *row, double *result) {
    return raw_sum_finish(&state->weights, row, sum_value(state->weights.first), 0, result);
}

/* p*log(p/q) = gap + (p - q), where the kernel took it apart. */
static int raw_divergence_finish(const klfast_state *state, klfast_row *row, double *result) {
    wide_sum whole = state->weights.first;
    add_sum(&whole, state->weights.second);
    return raw_sum_finish(&state->weights, row, sum_value(whole), 1, result);
}

/* first/p + log(sum q / c); no term is negative if c is the sum of q. */
static int cross_entropy_finish(const klfast_state *state, klfast_row *row, double *result) {
    const weights_state *s = &state->weights;
    double p = sum_value(s->mass), q = sum_value(s->second) + s->largest;
    *result = NAN;
    if (is_sums(row->walk)) return sums_finish(s, row, p, q, q);
    if (s->flags & HAS_NAN) return 0;
    if (needs_scaling(s, row)) return 1;
    if (!(p > 0 && q > 0)) return 0;
    if (s->flags & IS_INFINITE) {
        *result = HUGE_VAL;
        return 0;
    }
    double excess = s->largest > 0 ? (s->largest - row->constant) + sum_value(s->second)
                                   : (s->second.high - row->constant) + s->second.low;
    double share = excess / row->constant, value = sum_value(s->first) / p;
    double correction = share > -0.5 ? log1p_any(share) : log_ratio_any(q, row->constant);
    value += correction;
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
