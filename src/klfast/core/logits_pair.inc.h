/* Two rows of logits whose totals are known: p, q, d = log(p/q) and p - q of every class, with all digits however close they
 * are; from these the terms of Jensen-Shannon, and every gradient.
 *
 * Where |d| <= 1 (JS_NEAR, if the scores go through exp as they are), p - q = p*(1 - exp(-d)) and q is what is left of p; else
 * both are what their exponentials say. */

typedef struct {
    F(klfast_exponential) e;
    F(exponent_scale) scale;
    REAL largest_x, largest_y, bottom_x, bottom_y, lowest, share_x, share_y, offset, offset_low, inside, beta, rest;
    double wide_offset, wide_inverse, wide_inside;
} F(pair_plan);

/* d + d_low has more digits than d, if those were asked for; else d_low is 0. */
typedef struct {
    REAL p[STEP], q[STEP], d[STEP], d_low[STEP], difference[STEP];
} F(pair_step);

/* Below 2^-100 (2^-960) nothing is left of a probability: its products stay normal numbers. */
static F(pair_plan) F(plan_pair)(const klfast_row *row) {
    F(pair_plan) plan;
    REAL size_x = (REAL)fabs(row->largest_x), size_y = (REAL)fabs(row->largest_y);
    plan.e = row->temperature->F(of);
    plan.scale = F(scale_by)(0, &plan.e);
    plan.lowest = (LOWEST_EXPONENT + LOWEST_EXPONENT_LEFT) * plan.e.ln2;
    plan.largest_x = (REAL)row->largest_x;
    plan.largest_y = (REAL)row->largest_y;
    /* For -inf, of which no difference can be taken: so far down that no rounding hides how far. */
    REAL below = (size_x > size_y ? size_x : size_y) / 4 - 2 * plan.lowest;
    plan.bottom_x = plan.largest_x - below;
    plan.bottom_y = plan.largest_y - below;
    plan.share_x = (REAL)(1.0 / row->total_x);
    plan.share_y = (REAL)(1.0 / row->total_y);
    /* d = (x - y - offset)/T + inside. What of `inside` shows in the offset goes there: nothing large is added at the end that
     * takes digits of a small d. The rest, however small, stays apart. */
    double shift = row->inside * row->temperature->value;
    plan.offset = (REAL)(row->offset - shift);
    shift = plan.offset == (REAL)row->offset ? 0 : shift;
    double left = ((row->offset - (double)plan.offset) - shift) + row->offset_low;
    plan.offset_low = (REAL)left;
    plan.inside = (REAL)(shift == 0 ? row->inside : ((double)plan.offset_low - left) * row->temperature->inverse);
    plan.wide_offset = row->offset;
    plan.wide_inverse = row->temperature->inverse;
    plan.wide_inside = row->inside - row->offset_low * plan.wide_inverse;
    plan.beta = (REAL)row->parameters->beta;
    plan.rest = (REAL)(1.0 - row->parameters->beta);
    return plan;
}

/* exp((x - largest)/T)*share. What the difference rounds away is put back: it counts up to 90 times on its way through exp.
 * `held` is x, or any finite number where x is -inf. */
static ALWAYS_INLINE REAL F(share_of)(REAL x, REAL held, REAL largest, REAL share, REAL lowest, F(exponent_scale) scale,
                                      const F(klfast_exponential) *e) {
    REAL distance = held - largest, error = F(lost_of)(held, largest, distance) * e->inverse;
    REAL fraction = F(scaled_exp)(distance, scale, e), whole = F(fma)(fraction, error, fraction) * share;
    return x - largest > lowest ? whole : 0;
}

/* apart/T + inside; the rounding of 1/T would count twice. */
static ALWAYS_INLINE REAL F(over_temperature)(REAL apart, REAL inside, const F(klfast_exponential) *e) {
    return F(fma)(apart, e->inverse, F(fma)(apart, e->inverse_low, inside));
}

/* q and p - q from p, from what exp(y/T) says of q, and from d = log(p/q), or d + d_low if `has_low`. */
static ALWAYS_INLINE REAL F(part_ways)(REAL p, REAL *q, REAL d, REAL d_low, const int has_low) {
    REAL small = d < 1 ? d : 1;
    small = small > -1 ? small : -1;
    REAL whole = p * small, lost = F(fma)(-whole, small * F(wide_exp_polynomial)(-small), whole), far = p - *q;
    REAL near = has_low ? F(fma)(p - lost, d_low, lost) : lost;
    INTEGER is_near = (d <= 1) & (d >= -1);
    *q = is_near ? p - lost : *q;
    return is_near ? near : far;
}

/* `is_wide`: d of floats in double. Where scores lie on a grid, roundings that depend on d alone are the same in many classes:
 * they add up, and count in the entry of a class that is nearly sure. */
static ALWAYS_INLINE void F(look_at_pair)(F(pair_step) *step, const REAL *x, const REAL *y, const F(pair_plan) *plan,
                                          const int is_wide) {
    for (int j = 0; j < STEP; j++) {
        REAL a = x[j] > -INFINITY ? x[j] : plan->bottom_x, b = y[j] > -INFINITY ? y[j] : plan->bottom_y;
        REAL p = F(share_of)(x[j], a, plan->largest_x, plan->share_x, plan->lowest, plan->scale, &plan->e);
        REAL q = F(share_of)(y[j], b, plan->largest_y, plan->share_y, plan->lowest, plan->scale, &plan->e);
        REAL d, d_low = 0;
        if (is_wide) {
            double wide = fma_f64(((double)a - (double)b) - plan->wide_offset, plan->wide_inverse, plan->wide_inside);
            d = (REAL)wide;
            d_low = (REAL)(wide - (double)d);
        } else
            d = F(over_temperature)(F(centred_difference)(a, b, plan->offset) - plan->offset_low, plan->inside, &plan->e);
        step->p[j] = p;
        step->d[j] = d;
        step->d_low[j] = d_low;
        step->difference[j] = F(part_ways)(p, &q, d, d_low, is_wide);
        step->q[j] = q;
    }
}

/* ---- from the exponentials of the scores as they are ---- */

static ALWAYS_INLINE REAL F(held_near)(REAL d) {
    REAL held = d < JS_NEAR ? d : JS_NEAR;
    return held > -JS_NEAR ? held : -JS_NEAR;
}

/* p - q for |d| <= JS_NEAR. Largest error, not counting those of p and d: 4 u. */
static ALWAYS_INLINE REAL F(difference_near)(REAL p, REAL d) {
    REAL whole = p * d;
    return F(fma)(-whole, d * F(widest_exp_polynomial)(-d), whole);
}

/* p is in units of exp(largest_x/T)/2^K, and so is q when it is multiplied by `share_y`; `unit` is one of them. Below its cut a
 * score has no probability in a gradient. */
typedef struct {
    F(klfast_exponential) e;
    F(exponent_scale) scale_x, scale_y;
    REAL bottom_x, bottom_y, cut_x, cut_y, offset, offset_low, inside, share_y;
    klfast_ahead ahead_x, ahead_y;
    double unit;
} F(power_plan);

static F(power_plan) F(plan_powers)(const F(pair_plan) *told, const REAL *x, const REAL *y, const klfast_row *row) {
    F(power_plan) plan;
    F(pair_plan) pair = *told;
    double fraction_x, fraction_y;
    REAL K_x = F(exponent_of_exp)(pair.largest_x, &fraction_x, row->temperature),
         K_y = F(exponent_of_exp)(pair.largest_y, &fraction_y, row->temperature);
    plan.e = pair.e;
    plan.scale_x = F(scale_by)(K_x, &plan.e);
    plan.scale_y = F(scale_by)(K_y, &plan.e);
    plan.bottom_x = pair.bottom_x;
    plan.bottom_y = pair.bottom_y;
    plan.cut_x = pair.largest_x + pair.lowest;
    plan.cut_y = pair.largest_y + pair.lowest;
    plan.offset = pair.offset;
    plan.offset_low = pair.offset_low;
    plan.inside = pair.inside;
    plan.unit = 1 / (row->total_x * fraction_x);
    plan.share_y = (REAL)(row->total_x * fraction_x / (row->total_y * fraction_y));
    plan.ahead_x = F(ahead_or)(&row->ahead_a, x, LOGITS_BLOCK);
    plan.ahead_y = F(ahead_or)(&row->ahead_b, y, LOGITS_BLOCK);
    return plan;
}

/* As look_at_pair, with p and q from the exponentials of the scores as they are, in the plan's units. */
static ALWAYS_INLINE void F(look_at_powers)(F(pair_step) *restrict step, const REAL *restrict x, const REAL *restrict y,
                                            const F(power_plan) *restrict plan) {
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        REAL a = x[j] > -INFINITY ? x[j] : plan->bottom_x, b = y[j] > -INFINITY ? y[j] : plan->bottom_y;
        REAL apart = F(centred_difference)(a, b, plan->offset) - plan->offset_low;
        REAL d = F(over_temperature)(apart, plan->inside, &plan->e);
        REAL of_x = F(scaled_exp)(x[j], plan->scale_x, &plan->e), of_y = F(scaled_exp)(y[j], plan->scale_y, &plan->e);
        REAL p = x[j] > plan->cut_x ? of_x : 0, q = y[j] > plan->cut_y ? of_y * plan->share_y : 0;
        REAL near = F(difference_near)(p, F(held_near)(d)), rest = p - near, far = p - q;
        INTEGER is_near = F(absolute)(d) <= JS_NEAR;
        step->p[j] = p;
        step->d[j] = d;
        step->q[j] = is_near ? rest : q;
        step->difference[j] = is_near ? near : far;
    }
}

#include "logits_js.inc.h"

static void F(kl_of_pair)(klfast_state *state, const void *x, const void *y, ptrdiff_t length, const klfast_row *row) {
    if (row->walk == WALK_SUMS) {
        F(softmax_any)(&state->pair.x, x, length, row, 0);
        F(softmax_any)(&state->pair.y, y, length, row, 0);
    } else F(logits_kl_block)(&state->pair.kl, x, y, length, row);
}

static void F(js_of_pair)(klfast_state *state, const void *x, const void *y, ptrdiff_t length, const klfast_row *row) {
    if (row->walk == WALK_TERMS) F(js_terms)(&state->pair, x, y, length, row);
    else if (row->walk == WALK_WIDE_TERMS) F(js_wide_terms)(&state->pair, x, y, length, row);
    else F(kl_of_pair)(state, x, y, length, row);
}

/* Scores that are too large for their differences: see HIGHEST_SCORE. */
static void F(lower)(REAL *lowered, const REAL *x, ptrdiff_t length, const klfast_row *row) {
    for (ptrdiff_t i = 0; i < length; i++) lowered[i] = x[i] * (REAL)row->scale_p;
}

static NOINLINE void F(lowered_block)(void (*block)(klfast_state *, const void *, const void *, ptrdiff_t, const klfast_row *),
                                      klfast_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                      const klfast_row *row) {
    REAL lowered_x[LOGITS_BLOCK], lowered_y[LOGITS_BLOCK];
    lowered_row lowered;
    F(lower)(lowered_x, x, length, row);
    F(lower)(lowered_y, y, length, row);
    block(state, lowered_x, lowered_y, length, lower_row(&lowered, row));
}

/* The blocks of the table. */

static void F(logits_kl)(klfast_state *state, const void *x, const void *y, ptrdiff_t length, const klfast_row *row) {
    if (row->scale_p == 1.0) F(kl_of_pair)(state, x, y, length, row);
    else F(lowered_block)(F(kl_of_pair), state, x, y, length, row);
}

static void F(logits_js)(klfast_state *state, const void *x, const void *y, ptrdiff_t length, const klfast_row *row) {
    if (row->scale_p == 1.0) F(js_of_pair)(state, x, y, length, row);
    else F(lowered_block)(F(js_of_pair), state, x, y, length, row);
}
