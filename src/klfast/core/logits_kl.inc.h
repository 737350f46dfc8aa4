/* Blocks of the KL of two rows of logits, the fast way.
 *
 * With p = softmax(x/T) and d = ((x - y) - centre)/T, KL = E[d] + log1p(E[exp(-d) - 1]) for ANY centre. If the centre is
 * close to the mean of x - y under p, E[d] is small, exp(-d) - 1 = (d + exp(-d) - 1) - d, and the sum of p*(d + exp(-d)
 * - 1) has no negative term. One exp of x, one of -d, none of y; and where all of a block's d are small, the second is
 * a short series.
 *
 * The centre is guessed from the largest logits of a block, which its survey looks at anyway, and where rows lie apart from
 * a sample; it is corrected once if the sums say so. Where both x and y are -inf, a copy has numbers so low that nothing is
 * left of them. What is not taken (-inf in one of the two, NaN, x far below y) is for the careful way: there the mean is found
 * in a sweep of its own.
 *
 * x - y keeps its rounding error, so a constant between x and y costs no digits. */

/* How far apart the rows are: all |d| <= 2, d >= DEEP_BELOW, d >= -30, anything; or so far that the plain formula has all
 * digits. Below DEEP_BELOW, exp(-d) takes more than the rounded d. */
enum { F(NEAR), F(APART), F(DEEP), F(FAR), F(PLAIN) };

/* p*(d + exp(-d) - 1) for d = apart/T; DEEP, for d = (apart + low)/T. FAR gives p*(d - 1) where d < DEEP_BELOW, and
 * p*exp(-d) is summed elsewhere. As exp_terms_of, but `apart` itself goes through exp, because d is rounded. Largest error, not
 * counting that of p: NEAR 8 u, else 5 u. */
static ALWAYS_INLINE REAL F(logits_gap)(REAL p, REAL apart, REAL low, REAL d, const F(klfast_exponential) *e,
                                        const int distance) {
    if (distance == F(NEAR)) return p * (d * d * F(widest_exp_polynomial)(-d));
    REAL size = F(from_bits)(F(bits)(d) & (INTEGER)(~(UNSIGNED)0 >> 1));
    int is_beyond = apart > e->negligible, is_far = distance == F(FAR) && d < DEEP_BELOW;
    REAL x = is_beyond ? -e->negligible : is_far ? 0 : -apart, shifted = F(fma)(x, e->per_ln2, EXPONENT_SHIFT);
    shifted = size < EXP_TERMS_NEAR ? EXPONENT_SHIFT : shifted;
    REAL k = shifted - EXPONENT_SHIFT, f = F(fma)(-k, e->ln2_low, F(fma)(-k, e->ln2_high, x)) * e->inverse;
    REAL power = F(power_at)(shifted), less = power - 1;
    REAL base = F(fma)(-k, LN2_LOW, F(fma)(-k, LN2_HIGH, less)), near = f * f * F(middle_exp_polynomial)(f);
    REAL gap = F(fma)(power, near, F(fma)(less, f, base));
    if (distance == F(DEEP)) gap = F(fma)(-low * e->inverse, F(fma)(power, f + near, less), gap);
    return p * (is_beyond | is_far ? d - 1 : gap);
}

/* x - y - center, with the rounding error of x - y; far out where x is no probability at all. */
static ALWAYS_INLINE REAL F(centred_difference)(REAL x, REAL y, REAL center) {
    REAL difference = x - y;
    return (difference - center) + F(lost_of)(x, y, difference);
}

/* The same for a centre in two parts, and what is lost in rounding it. */
static ALWAYS_INLINE REAL F(deep_difference)(REAL x, REAL y, REAL center, REAL center_low, REAL *low) {
    REAL difference = x - y, apart = difference - center;
    REAL lost = F(lost_of)(x, y, difference) + F(lost_of)(difference, center, apart) - center_low, sum = apart + lost;
    *low = (apart - sum) + lost;
    return sum;
}

/* From sums in units of 2^K to the state of a block: total, g = E[d + exp(-d) - 1] and w = E[d] for the centre that
 * `state->ratio` and `state->inside` are. */
static void F(conclude_logits)(logits_kl_state *state, REAL largest_x, double fraction, double g, double w) {
    /* KL = w + log1p(g - w), written so that a small KL keeps its digits: g - [u - log1p(u)] with u = g - w. */
    double u = g - w, inside = log1p_any(u), kl = u < 0.5 ? g - gap_any(1.0, 1.0 + u, -u) : w + inside;
    state->largest_x = largest_x;
    state->total = scaled_sum(state->total, 1.0 / fraction);
    add_sum(&state->inside, wide_log1p(u));
    memset(&state->gap, 0, sizeof state->gap);
    add_number(&state->gap, sum_value(state->total) * (kl < 0 ? 0.0 : kl)); /* NaN stays NaN */
}

/* ---- the fast way ---- */

/* The largest x with the x - y beside it, lane by lane; the largest y; the range of x - y. NaN is not noticed here. */
typedef struct {
    REAL largest[LANES], beside[LANES], largest_y[LANES], lowest[LANES], highest[LANES];
} F(survey);

static ALWAYS_INLINE void F(look)(F(survey) *seen, const REAL *x, const REAL *y, int count) {
    AS_LOOP
    for (int j = 0; j < count; j++) {
        REAL difference = x[j] - y[j];
        INTEGER larger = -(INTEGER)(x[j] > seen->largest[j]); /* as bits: a choice would become a branch */
        seen->beside[j] = F(from_bits)((F(bits)(difference) & larger) | (F(bits)(seen->beside[j]) & ~larger));
        seen->largest[j] = x[j] > seen->largest[j] ? x[j] : seen->largest[j];
        seen->largest_y[j] = y[j] > seen->largest_y[j] ? y[j] : seen->largest_y[j];
        seen->lowest[j] = difference < seen->lowest[j] ? difference : seen->lowest[j];
        seen->highest[j] = difference > seen->highest[j] ? difference : seen->highest[j];
    }
}

static void F(look_at_block)(F(survey) *result, const REAL *x, const REAL *y, ptrdiff_t length) {
    F(survey) seen;
    ptrdiff_t i = 0;
    for (int j = 0; j < LANES; j++) {
        seen.largest[j] = seen.largest_y[j] = seen.highest[j] = -INFINITY;
        seen.lowest[j] = INFINITY;
        seen.beside[j] = 0;
    }
    for (; i + LANES <= length; i += LANES) F(look)(&seen, x + i, y + i, LANES);
    F(look)(&seen, x + i, y + i, (int)(length - i));
    *result = seen;
}

/* What the sweeps over a block share: exponentials of x are in units of 2^K, those of y of 2^K_y. */
typedef struct {
    F(klfast_exponential) e;
    F(exponent_scale) scale, scale_y;
    REAL center, largest_x, largest_y, lowest, highest, K, K_y;
    klfast_ahead ahead_x, ahead_y;
    double fraction;
} F(logits_plan);

/* The mean of x - y over the largest of each lane, weighted as the mean over the block will be. */
static REAL F(guess_center)(const F(survey) *seen, const F(logits_plan) *plan) {
    REAL weight = 0, product = 0;
    for (int j = 0; j < LANES; j++) {
        REAL part = F(scaled_exp)(seen->largest[j], plan->scale, &plan->e);
        weight += part;
        product += part * seen->beside[j];
    }
    return product / weight;
}

enum { F(SAMPLED_LINES) = 16 };

/* The same over more of the block, where rows lie apart and many classes share p: also over every so many lines, each for those
 * that it stands for. Returns about what the KL will be. A poor guess costs time, and no digit. */
static NOINLINE double F(guess_closer)(const F(survey) *seen, const REAL *x, const REAL *y, ptrdiff_t length,
                                       F(logits_plan) *plan) {
    REAL weight[LANES], product[LANES], other[LANES];
    ptrdiff_t lines = (length / LANES + F(SAMPLED_LINES) - 1) / F(SAMPLED_LINES);
    F(klfast_exponential) e = plan->e;
    F(exponent_scale) scale = plan->scale, scale_y = plan->scale_y;
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        weight[j] = F(scaled_exp)(seen->largest[j], scale, &e);
        product[j] = weight[j] * seen->beside[j];
        other[j] = F(scaled_exp)(seen->largest_y[j], scale_y, &e);
    }
    for (ptrdiff_t i = 0; i + LANES <= length; i += lines * LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL part = F(scaled_exp)(x[i + j], scale, &e) * (REAL)lines;
            weight[j] += part;
            product[j] += part * (x[i + j] - y[i + j]);
            other[j] += F(scaled_exp)(y[i + j], scale_y, &e) * (REAL)lines;
        }
    }
    for (int j = 1; j < LANES; j++) {
        weight[0] += weight[j];
        product[0] += product[j];
        other[0] += other[j];
    }
    plan->center = product[0] / weight[0];
    double ratio = log_ratio_any((double)weight[0], (double)other[0]) + (double)(plan->K - plan->K_y) * LN2_DOUBLE;
    return (double)(plan->center * e.inverse) - ratio;
}

/* The sums of p = exp(x/T)/2^K, p*d, and p*(d + exp(-d) - 1); the last of exp(y/T)/2^K, with y's own K, if PLAIN. */
static ALWAYS_INLINE void F(logits_sweep)(wide_sum sums[3], const REAL *x, const REAL *y, ptrdiff_t length,
                                          const F(logits_plan) *plan, const int distance) {
    REAL padded_x[STEP], padded_y[STEP];
    F(lanes) total = {{0}}, mean = {{0}}, gap = {{0}};
    F(klfast_exponential) e = plan->e;
    F(exponent_scale) scale = plan->scale, scale_y = plan->scale_y;
    REAL center = plan->center;
    klfast_ahead ahead_x = plan->ahead_x, ahead_y = plan->ahead_y;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        /* behind the end p = 0 and d is about 0 */
        const REAL *a = F(whole_step)(x, i, length, scale.lowest, padded_x);
        const REAL *b =
            F(whole_step)(y, i, length, distance == F(PLAIN) ? scale_y.lowest : scale.lowest - center, padded_y);
        F(prefetch_step)(&ahead_x, i);
        F(prefetch_step)(&ahead_y, i);
        AS_LOOP
        for (int j = 0; j < LANES; j++) { /* column by column: see softmax_step */
            REAL p[STEP / LANES], first[STEP / LANES], second[STEP / LANES];
            FULLY_UNROLLED
            for (int k = 0; k < STEP / LANES; k++) {
                REAL u = a[k * LANES + j], v = b[k * LANES + j], low = 0;
                REAL apart = distance == F(PLAIN)  ? (u - v) - center
                             : distance == F(DEEP) ? F(deep_difference)(u, v, center, 0, &low)
                                                   : F(centred_difference)(u, v, center);
                REAL d = apart * e.inverse;
                p[k] = F(scaled_exp)(u, scale, &e);
                first[k] = p[k] * d;
                second[k] =
                    distance == F(PLAIN) ? F(scaled_exp)(v, scale_y, &e) : F(logits_gap)(p[k], apart, low, d, &e, distance);
            }
            total.run[j] += F(folded)(p[0], p[1], p[2], p[3]);
            mean.run[j] += F(folded)(first[0], first[1], first[2], first[3]);
            gap.run[j] += F(folded)(second[0], second[1], second[2], second[3]);
        }
        if (!F(ends_run)(i, length)) continue;
        F(end_run)(&total);
        F(end_run)(&mean);
        F(end_run)(&gap);
    }
    sums[0] = F(lane_total)(&total);
    sums[1] = F(lane_total)(&mean);
    sums[2] = F(lane_total)(&gap);
}

static NOINLINE void F(sweep_near)(wide_sum sums[3], const REAL *x, const REAL *y, ptrdiff_t length,
                                   const F(logits_plan) *plan) {
    F(logits_sweep)(sums, x, y, length, plan, F(NEAR));
}
static NOINLINE void F(sweep_apart)(wide_sum sums[3], const REAL *x, const REAL *y, ptrdiff_t length,
                                    const F(logits_plan) *plan) {
    F(logits_sweep)(sums, x, y, length, plan, F(APART));
}
static NOINLINE void F(sweep_deep)(wide_sum sums[3], const REAL *x, const REAL *y, ptrdiff_t length,
                                   const F(logits_plan) *plan) {
    F(logits_sweep)(sums, x, y, length, plan, F(DEEP));
}
static NOINLINE void F(sweep_plain)(wide_sum sums[3], const REAL *x, const REAL *y, ptrdiff_t length,
                                    const F(logits_plan) *plan) {
    F(logits_sweep)(sums, x, y, length, plan, F(PLAIN));
}

/* Whether all d are small. */
static int F(is_near)(const F(logits_plan) *plan) {
    return (plan->highest - plan->center) * plan->e.inverse <= 2 && (plan->lowest - plan->center) * plan->e.inverse >= -2;
}

/* KL = E[x - y]/T - log(sum exp x/T / sum exp y/T), where it is so large that their errors do not count: returns 0
 * otherwise. Each is off by u times 2 or 3 times its size, and E|x - y - centre| is at most KL + 2. */
static int F(logits_kl_plain)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                              F(logits_plan) *plan, const klfast_temperature *temperature) {
    wide_sum sums[3];
    F(sweep_plain)(sums, x, y, length, plan);
    double total = sum_value(sums[0]), w = sum_value(sums[1]) / total, center = (double)plan->center;
    wide_sum ratio = times_ln2((double)(plan->K - plan->K_y));
    add_sum(&ratio, wide_log(total / sum_value(sums[2])));
    double kl = (w + center * temperature->inverse) - sum_value(ratio);
    if (!(kl >= LEAST_PLAIN && fabs(center) * temperature->inverse <= 2 * kl && kl < LARGEST_LOGITS_GAP)) return 0;
    state->flags = HAS_Y;
    state->largest_x = plan->largest_x;
    state->total = scaled_sum(sums[0], 1.0 / plan->fraction);
    /* in scores, and apart from that what these have lost in rounding */
    state->ratio.high = sum_value(ratio) * temperature->value;
    state->inside = wide_over(state->ratio.high, temperature);
    add_number(&state->inside, -ratio.high);
    add_number(&state->inside, -ratio.low);
    add_number(&state->gap, sum_value(state->total) * kl);
    return 1;
}

/* What is known of a block before its sweeps. Returns 0 if they cannot take it. */
static ALWAYS_INLINE int F(plan_logits)(F(logits_plan) *plan, F(survey) *seen, const REAL *x, const REAL *y, ptrdiff_t length,
                                        const klfast_row *row) {
    F(look_at_block)(seen, x, y, length);
    REAL limit = row->temperature->F(of).limit, lowest = INFINITY;
    for (int j = 0; j < LANES; j++) lowest = seen->lowest[j] < lowest ? seen->lowest[j] : lowest;
    plan->largest_x = F(largest_of)(seen->largest);
    plan->largest_y = F(largest_of)(seen->largest_y);
    plan->highest = F(largest_of)(seen->highest);
    plan->lowest = lowest;
    if (!(plan->largest_x <= limit && plan->largest_x >= -limit && lowest >= -limit && plan->highest <= limit)) return 0;
    plan->e = row->temperature->F(of);
    plan->ahead_x = F(ahead_or)(&row->ahead_a, x, LOGITS_BLOCK);
    plan->ahead_y = F(ahead_or)(&row->ahead_b, y, LOGITS_BLOCK);
    plan->K = F(exponent_of_exp)(plan->largest_x, &plan->fraction, row->temperature);
    plan->scale = F(scale_by)(plan->K, &plan->e);
    plan->center = F(guess_center)(seen, plan);
    return 1;
}

/* Whether y has exponentials in units of 2^K_y; then that is set. */
static int F(plan_y)(F(logits_plan) *plan, const klfast_temperature *temperature) {
    double fraction_y;
    if (!(plan->largest_y <= plan->e.limit && plan->largest_y >= -plan->e.limit)) return 0;
    plan->K_y = F(exponent_of_exp)(plan->largest_y, &fraction_y, temperature);
    plan->scale_y = F(scale_by)(plan->K_y, &plan->e);
    return 1;
}

/* The least mean gap that a sweep may have found: a p below the normal numbers is 0 there, and so is what exp(-d) makes of it,
 * where d is not below `below`. */
static double F(least_gap)(REAL below, ptrdiff_t length) {
    double lost = (double)length * exp_any(-(double)below) * power_of_two_f64((double)LOWEST_EXPONENT);
    return fmax(SMALLEST_LOGITS_GAP, lost * (double)((INTEGER)1 << MANTISSA_BITS) * 8);
}

/* Returns 0, with the state as it was, if the sums say that the block is not for it. */
static NOINLINE int F(logits_kl_planned)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                         const F(survey) *seen, F(logits_plan) plan, const klfast_row *row) {
    wide_sum sums[3];
    if (!F(is_near)(&plan) && F(plan_y)(&plan, row->temperature) && F(guess_closer)(seen, x, y, length, &plan) >= LEAST_PLAIN &&
        F(logits_kl_plain)(state, x, y, length, &plan, row->temperature))
        return 1;
    for (int attempt = 0; attempt < 2; attempt++) {
        REAL below = (plan.lowest - plan.center) * plan.e.inverse;
        if (!(below >= -29)) return 0;
        if (F(is_near)(&plan)) F(sweep_near)(sums, x, y, length, &plan);
        else if (below < DEEP_BELOW) F(sweep_deep)(sums, x, y, length, &plan);
        else F(sweep_apart)(sums, x, y, length, &plan);
        double mass = sum_value(sums[0]), w = sum_value(sums[1]) / mass, g = sum_value(sums[2]) / mass, u = g - w;
        /* also where anything is NaN */
        if (!(g >= F(least_gap)(below, length) && g < LARGEST_LOGITS_GAP)) return 0;
        /* What is taken off again must not be much more than what is left. */
        if (u >= 0.5 ? -w <= 0.5 * log1p_any(u) : gap_any(1.0, 1.0 + u, -u) <= 0.5 * g) {
            state->flags = HAS_Y;
            state->total = sums[0];
            state->ratio.high = (double)plan.center;
            F(conclude_logits)(state, plan.largest_x, plan.fraction, g, w);
            return 1;
        }
        plan.center += (REAL)(w * row->temperature->value);
    }
    return 0;
}

/* Copies a block with `of_x` and `of_y` where both are -inf; returns whether there was any such place. */
static int F(fill_holes)(REAL *restrict filled_x, REAL *restrict filled_y, const REAL *restrict x, const REAL *restrict y,
                         ptrdiff_t length, REAL of_x, REAL of_y) {
    INTEGER any = 0;
    for (ptrdiff_t i = 0; i < length; i++) {
        INTEGER is_hole = (x[i] == -INFINITY) & (y[i] == -INFINITY);
        any |= is_hole;
        filled_x[i] = is_hole ? of_x : x[i];
        filled_y[i] = is_hole ? of_y : y[i];
    }
    return any != 0;
}

/* The same for a block with holes, -1 if it has none: in the copy, p = 0 and d is about 0. Nothing is left of y either, whose
 * largest is at least about that of x less the mean of x - y, less log(length)*T. */
static NOINLINE int F(logits_kl_filled)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                        const F(survey) *seen, const F(logits_plan) *plan, const klfast_row *row) {
    REAL filled_x[LOGITS_BLOCK], filled_y[LOGITS_BLOCK], lowest = plan->scale.lowest;
    if (!F(fill_holes)(filled_x, filled_y, x, y, length, lowest, lowest - plan->center)) return -1;
    return F(logits_kl_planned)(state, filled_x, filled_y, length, seen, *plan, row);
}

/* Returns 0, with the state as it was, if the block is not for it. The sums of one with holes are NaN; where these are likely,
 * because of a mask or at the ends of a vocabulary, that is not waited for. */
static int F(logits_kl_fast)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                             const klfast_row *row) {
    F(survey) seen;
    F(logits_plan) plan;
    if (!F(plan_logits)(&plan, &seen, x, y, length, row)) return 0;
    int is_likely = row->expects_zeros || x[0] == -INFINITY || x[length - 1] == -INFINITY;
    int taken = is_likely ? F(logits_kl_filled)(state, x, y, length, &seen, &plan, row) : -1;
    if (taken < 0) taken = F(logits_kl_planned)(state, x, y, length, &seen, plan, row);
    if (!taken && !is_likely) taken = F(logits_kl_filled)(state, x, y, length, &seen, &plan, row);
    return taken > 0;
}
