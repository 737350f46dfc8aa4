/* Renyi's divergence: joining blocks, and from the whole row to the number. See renyi.inc.h. */
#ifndef KLFAST_RENYI_H
#define KLFAST_RENYI_H

enum { PIECE_OF_LOGS = 512 };

/* Its largest ratio is 0, which is more than that of other pieces may be. */
static int is_empty_piece(const renyi_state *s) {
    int has_weight = s->weights.mass.high != 0 || s->weights.second.high != 0 || s->weights.flags;
    return !has_weight && s->log_p.count == 0 && s->log_q.count == 0;
}

static void renyi_join(klfast_state *into, const klfast_state *next, const klfast_row *row) {
    if (is_empty_piece(&next->renyi)) return;
    if (is_empty_piece(&into->renyi)) {
        into->renyi = next->renyi;
        return;
    }
    klfast_state weights = {.weights = next->renyi.weights}, mine = {.weights = into->renyi.weights};
    weights_join(&mine, &weights, row);
    into->renyi.weights = mine.weights;
    join_softmax(&into->renyi.log_p, next->renyi.log_p, row);
    join_softmax(&into->renyi.log_q, next->renyi.log_q, row);
    join_softmax(&into->renyi.product, next->renyi.product, row);
    into->renyi.largest_ratio = fmax(into->renyi.largest_ratio, next->renyi.largest_ratio);
}

static double log_sum(const softmax_state *s) { return s->count == 0 ? -HUGE_VAL : s->largest + log_total(s); }

/* From the logarithms. */
static double renyi_from_logs(const renyi_state *s, double order) {
    double p = log_sum(&s->log_p), q = log_sum(&s->log_q), product = log_sum(&s->product), value;
    if (p == -HUGE_VAL || q == -HUGE_VAL) return NAN;
    if (order == HUGE_VAL) return s->largest_ratio - (p - q) > 0 ? s->largest_ratio - (p - q) : 0.0;
    if (product == -HUGE_VAL) return HUGE_VAL;
    value = order < 0.5 ? ((q - product) + order * (p - q)) / (1 - order)
                        : ((product - p) - (order - 1) * (p - q)) / (order - 1);
    return value > 0 ? value : 0.0;
}

/* From the sums; -1 if they do not tell. */
static double renyi_from_sums(const weights_state *s, double order) {
    double p = sum_value(s->mass), f = sum_value(s->first) / p, w = -sum_value(s->second) / p;
    if (order == 0) return log1p_any(f);
    if (order == HUGE_VAL) return fmax(log1p_any(s->largest + w * (1 + s->largest)), 0);
    if (!(f < 0.75 && f > -HUGE_VAL)) return -1.0;
    if (fabs(f) > 0.25) return log1p_any(-f) / (order - 1);
    return f / (1 - order) * log1p_ratio(-f) + 0.0; /* 0.0 where that is -0.0 */
}

/* Whether c was close enough: its error w takes order*(1 - order)*w^2/2 off f, and changes what is left by (1 - order)*w.
 * Orders 0 and infinity do not need it: f is not of second order there, or w is taken out exactly. */
static int renyi_is_certain(const weights_state *s, double order) {
    double w = sum_value(s->second) / sum_value(s->mass), f = sum_value(s->first) / sum_value(s->mass);
    if (order == 0 || order == HUGE_VAL) return 1;
    return !(w * w > 0x1p-53 * (f / order / (1 - order)) || fabs((1 - order) * w) > 0x1p-51);
}

/* Whether p - c*q is less than it has to be (see least_distance): f is order*(1 - order)/2 times its square, and of infinite
 * order the result is about the largest. */
static int renyi_is_next_to_nothing(const weights_state *s, double order, double distance) {
    double p = sum_value(s->mass), w = -sum_value(s->second) / p;
    if (order == HUGE_VAL) return s->largest + w * (1 + s->largest) < distance;
    return order != 0 && 2 * (sum_value(s->first) / p / order / (1 - order)) < distance * distance;
}

/* After a walk of sums. */
static void renyi_sums_finish(const weights_state *s, klfast_row *row) {
    wide_sum p = s->mass, q = s->second;
    int can_be_scaled = is_moderate(sum_value(p)) && is_moderate(sum_value(q)), is_first = row->walk == WALK_SUMS;
    row->walk = can_be_scaled ? WALK_CAREFUL : WALK_TERMS;
    if (is_first) set_quotient(row, p, q);
    else if (can_be_scaled && s->q_beside_largest_p > 0) {
        bring_to(1.0, &row->scale_p, &p);
        bring_to(1.0, &row->scale_q, &q);
        set_quotient(row, p, q);
        row->walk = row->walk_after;
        if (row->walk == WALK_ANCHORED) find_anchor(s, row);
    } else row->walk = WALK_TERMS;
}

static int renyi_finish(const klfast_state *state, klfast_row *row, double *result) {
    const renyi_state *s = &state->renyi;
    const weights_state *sums = &s->weights;
    double order = row->parameters->order;
    *result = NAN;
    if (is_sums(row->walk)) {
        renyi_sums_finish(sums, row);
        return 1;
    }
    if (sums->flags & HAS_NAN) return 0;
    if (row->walk == WALK_TERMS) {
        double value = renyi_from_logs(s, order);
        *result = value >= 0 && order > 1 && sums->flags & IS_INFINITE ? HUGE_VAL : value;
        return 0;
    }
    if (sums->flags & IS_INFINITE && !(sums->flags & OUT_OF_SCALE)) {
        *result = HUGE_VAL;
        return 0;
    }
    double w = -sum_value(sums->second) / sum_value(sums->mass);
    int is_out = sums->flags & OUT_OF_SCALE;
    int is_near = !is_out && renyi_is_next_to_nothing(sums, order, least_distance_of(row));
    if (!is_scaled_walk(row->walk) && (is_out || is_near)) {
        row->walk = WALK_WIDE_SUMS;
        row->walk_after = is_near ? WALK_ANCHORED : WALK_ONE_BY_ONE;
        row->repeats = 0;
        return 1;
    }
    if (row->repeats < 3 && !is_out && fabs(w) < 0.5 && !renyi_is_certain(sums, order)) {
        row->repeats++;
        if (row->walk == WALK_ANCHORED) move_anchor(row, w);
        else refine_constant(row, w);
        return 1;
    }
    double value = is_out ? -1.0 : renyi_from_sums(sums, order);
    if (!(value >= 0)) {
        row->walk = WALK_TERMS;
        return 1;
    }
    *result = value;
    return 0;
}

#endif
