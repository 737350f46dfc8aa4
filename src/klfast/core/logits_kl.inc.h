/* Blocks of the KL of two rows of logits.
 *
 * With p = softmax(x/T) and d = ((x - y) - centre)/T, KL = E[d] + log1p(E[exp(-d) - 1]) for ANY centre. If the centre is
 * close to the mean of x - y under p, E[d] is small, exp(-d) - 1 = (d + exp(-d) - 1) - d, and the sum of p*(d + exp(-d)
 * - 1) has no negative term. One exp of x, one of -d, none of y; and where all of a block's d are small, the second is
 * a short series.
 *
 * The fast way guesses the centre from the largest logits of a block, which its survey looks at anyway, and corrects it
 * once if the sums say so. What it does not take (-inf, NaN, x far below y) goes to the careful way: there the mean is
 * found in a sweep of its own.
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

/* The same, and what is lost in rounding it. */
static ALWAYS_INLINE REAL F(deep_difference)(REAL x, REAL y, REAL center, REAL *low) {
    REAL difference = x - y, apart = difference - center;
    REAL lost = F(lost_of)(x, y, difference) + F(lost_of)(difference, center, apart), sum = apart + lost;
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
    add_number(&state->inside, inside);
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

/* The mean of x - y over the largest of each lane, weighted as the mean over the block will be. */
static REAL F(guess_center)(const F(survey) *seen, F(exponent_scale) scale, const F(klfast_exponential) *e) {
    REAL weight = 0, product = 0;
    for (int j = 0; j < LANES; j++) {
        REAL part = F(scaled_exp)(seen->largest[j], scale, e);
        weight += part;
        product += part * seen->beside[j];
    }
    return product / weight;
}

/* What the sweeps over a block share. `largest_y` and `scale_y` are for PLAIN alone. */
typedef struct {
    F(klfast_exponential) e;
    F(exponent_scale) scale, scale_y;
    REAL center, largest_x, largest_y;
    klfast_ahead ahead_x, ahead_y;
    double fraction;
} F(logits_plan);

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
                             : distance == F(DEEP) ? F(deep_difference)(u, v, center, &low)
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

/* KL = E[x - y]/T - log(sum exp x/T / sum exp y/T), where it is so large that their errors do not count: returns 0
 * otherwise. Each is off by u times 2 or 3 times its size, and E|x - y - centre| is at most KL + 2. */
static int F(logits_kl_plain)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                              F(logits_plan) *plan, const klfast_temperature *temperature) {
    wide_sum sums[3];
    double fraction_y;
    REAL K = F(exponent_of_exp)(plan->largest_x, &plan->fraction, temperature),
         K_y = F(exponent_of_exp)(plan->largest_y, &fraction_y, temperature);
    plan->scale_y = F(scale_by)(K_y, &plan->e);
    F(sweep_plain)(sums, x, y, length, plan);
    double total = sum_value(sums[0]), w = sum_value(sums[1]) / total, center = (double)plan->center;
    double ratio = log_ratio_any(total, sum_value(sums[2])) + (double)(K - K_y) * LN2_DOUBLE;
    double kl = (w + center * temperature->inverse) - ratio;
    if (!(kl >= 2 && fabs(center) * temperature->inverse <= 2 * kl && kl < LARGEST_LOGITS_GAP)) return 0;
    state->flags = HAS_Y;
    state->largest_x = plan->largest_x;
    state->total = scaled_sum(sums[0], 1.0 / plan->fraction);
    state->ratio.high = ratio * temperature->value;
    add_number(&state->gap, sum_value(state->total) * kl);
    return 1;
}

/* Returns 0, with the state as it was, if the block is not for it. */
static int F(logits_kl_fast)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                             const klfast_row *row) {
    F(survey) seen;
    F(logits_plan) plan;
    wide_sum sums[3];
    F(look_at_block)(&seen, x, y, length);
    REAL largest_x = F(largest_of)(seen.largest), highest = F(largest_of)(seen.highest),
         lowest = INFINITY, limit = row->temperature->F(of).limit, inverse = row->temperature->F(of).inverse;
    for (int j = 0; j < LANES; j++) lowest = seen.lowest[j] < lowest ? seen.lowest[j] : lowest;
    if (!(largest_x <= limit && largest_x >= -limit && lowest >= -limit && highest <= limit)) return 0;
    plan.e = row->temperature->F(of);
    plan.largest_x = largest_x;
    plan.ahead_x = F(ahead_or)(&row->ahead_a, x, LOGITS_BLOCK);
    plan.ahead_y = F(ahead_or)(&row->ahead_b, y, LOGITS_BLOCK);
    plan.largest_y = F(largest_of)(seen.largest_y);
    plan.scale = F(scale_by)(F(exponent_of_exp)(largest_x, &plan.fraction, row->temperature), &plan.e);
    plan.scale_y = plan.scale;
    plan.center = F(guess_center)(&seen, plan.scale, &plan.e);
    if ((highest - lowest) * inverse > 12 && plan.largest_y <= limit && plan.largest_y >= -limit &&
        F(logits_kl_plain)(state, x, y, length, &plan, row->temperature))
        return 1;
    for (int attempt = 0; attempt < 2; attempt++) {
        REAL above = (highest - plan.center) * inverse, below = (lowest - plan.center) * inverse;
        if (!(below >= -29)) return 0;
        int is_near = above <= 2 && below >= -2;
        if (is_near) F(sweep_near)(sums, x, y, length, &plan);
        else if (below < DEEP_BELOW) F(sweep_deep)(sums, x, y, length, &plan);
        else F(sweep_apart)(sums, x, y, length, &plan);
        double mass = sum_value(sums[0]), w = sum_value(sums[1]) / mass, g = sum_value(sums[2]) / mass, u = g - w;
        /* also where anything is NaN */
        if (!(g >= SMALLEST_LOGITS_GAP && g < LARGEST_LOGITS_GAP)) return 0;
        /* What is taken off again must not be much more than what is left. */
        if (u >= 0.5 ? -w <= 0.5 * log1p_any(u) : gap_any(1.0, 1.0 + u, -u) <= 0.5 * g) {
            state->flags = HAS_Y;
            state->total = sums[0];
            state->ratio.high = (double)plan.center;
            F(conclude_logits)(state, largest_x, plan.fraction, g, w);
            return 1;
        }
        plan.center += (REAL)(w * row->temperature->value);
    }
    return 0;
}

/* ---- the careful way ---- */

static void F(logits_kl_unusual)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                 const klfast_row *row);

/* 1 if all differences are the same: then a gap of 0 is the truth and not an underflow. */
static int F(is_constant)(const REAL *d, ptrdiff_t length) {
    for (ptrdiff_t i = 1; i < length; i++)
        if (d[i] != d[0]) return 0;
    return 1;
}

/* Which blocks have x > -inf where y = -inf. */
static int F(find_impossible)(const REAL *x, const REAL *y, ptrdiff_t length) {
    INTEGER found = 0;
    for (ptrdiff_t i = 0; i < length; i++) found |= (y[i] == -INFINITY) & (x[i] > -INFINITY);
    return found != 0;
}

/* The sum of exp(y/T) in units of exp(largest_y/T), summed where x - y is far below its mean or x is -inf. */
static wide_sum F(far_mass)(const REAL *y, const REAL *d, REAL center, ptrdiff_t length, REAL largest_y,
                            const klfast_temperature *temperature) {
    REAL term[STEP], padded_y[STEP], padded_d[STEP];
    double fraction;
    F(klfast_exponential) e = temperature->F(of);
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)(largest_y, &fraction, temperature), &e);
    F(lanes) sum = {{0}};
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *b = F(whole_step)(y, i, length, -INFINITY, padded_y), *a = F(whole_step)(d, i, length, 0, padded_d);
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(b[j], scale, &e);
            term[j] = (a[j] - center) * e.inverse < DEEP_BELOW ? part : 0;
        }
        F(fold)(&sum, term);
        F(end_run)(&sum);
    }
    return scaled_sum(F(lane_total)(&sum), 1.0 / fraction);
}

static void F(logits_kl_careful)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                                 const klfast_row *row) {
    REAL p[LOGITS_BLOCK], d[LOGITS_BLOCK], padded_x[STEP], padded_y[STEP], term[STEP], largest_x, largest_y;
    F(lanes) total = {{0}}, mean = {{0}}, gap = {{0}};
    INTEGER far[STEP] = {0}, any_far = 0;
    const klfast_temperature *temperature = row->temperature;
    F(klfast_exponential) e = temperature->F(of);
    largest_x = F(find_largest)(x, length);
    largest_y = F(find_largest)(y, length);
    if (!F(are_usable)(x, length) || !F(are_usable)(y, length)) {
        state->flags = HAS_NAN;
        return;
    }
    if (largest_y > -INFINITY) state->flags = HAS_Y;
    if (is_beyond_scale((double)largest_x) || is_beyond_scale((double)largest_y)) state->flags |= OUT_OF_SCALE;
    if (largest_x == -INFINITY) {
        F(softmax_any)(&state->lonely_y, y, length, row, 0);
        return;
    }
    if (F(find_impossible)(x, y, length)) {
        state->flags |= IS_INFINITE;
        state->total.high = 1.0;
        return;
    }
    if (row->scale_p != 1.0 || !(fmax(fabs((double)largest_x), fabs((double)largest_y)) <= (double)e.limit)) {
        F(logits_kl_unusual)(state, x, y, length, row);
        return;
    }
    double fraction_largest;
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)(largest_x, &fraction_largest, temperature), &e);
    /* The difference of the maxima and what it lost in rounding: nothing is left of d where x - y is that for every class. */
    REAL start = largest_x - largest_y, missing = -(REAL)0x1p20 / e.inverse;
    REAL start_low = (REAL)rounding_of_difference((double)largest_x, (double)largest_y, (double)start);

    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded_x),
                   *b = F(whole_step)(y, i, length, -INFINITY, padded_y);
        for (int j = 0; j < STEP; j++) {
            REAL part = F(scaled_exp)(a[j], scale, &e), from_start = F(centred_difference)(a[j], b[j], start) - start_low;
            p[i + j] = part;
            d[i + j] = a[j] > -(REAL)1.25 * e.limit ? from_start : missing;
            term[j] = part > 0 ? part * d[i + j] : 0;
        }
        F(fold)(&total, p + i);
        F(fold)(&mean, term);
        F(end_run)(&total);
        F(end_run)(&mean);
    }
    state->total = F(lane_total)(&total);
    double mass = sum_value(state->total), average = sum_value(F(lane_total)(&mean)) / mass;
    REAL center = (REAL)average;
    ptrdiff_t padded_length = (length + STEP - 1) / STEP * STEP;
    for (ptrdiff_t i = 0; i < padded_length; i += STEP) {
        for (int j = 0; j < STEP; j++) {
            REAL apart = d[i + j] - center, from_center = apart * e.inverse;
            term[j] = F(logits_gap)(p[i + j], apart, 0, from_center, &e, F(FAR));
            far[j] |= from_center < DEEP_BELOW;
        }
        F(fold)(&gap, term);
        F(end_run)(&gap);
    }
    for (int j = 0; j < STEP; j++) any_far |= far[j];
    state->gap = F(lane_total)(&gap);
    if (any_far && largest_y > -INFINITY) {
        wide_sum far_mass = F(far_mass)(y, d, center, length, largest_y, temperature);
        /* In units of p: times exp(largest_y + centre) / 2^K, and largest_y + centre = largest_x + the small parts. */
        add_sum(&state->gap, scaled_sum(far_mass, fraction_largest * exp_over((double)center, temperature)));
    }
    double g = sum_value(state->gap) / mass, w = (average - (double)center) * temperature->inverse;
    if (!(g < LARGEST_LOGITS_GAP) || (g < SMALLEST_LOGITS_GAP && !F(is_constant)(d, length))) {
        F(logits_kl_unusual)(state, x, y, length, row);
        return;
    }
    memset(&state->ratio, 0, sizeof state->ratio);
    state->ratio = (wide_sum){(double)start, (double)start_low};
    state->inside.high = -(double)center * temperature->inverse;
    F(conclude_logits)(state, largest_x, fraction_largest, g, w);
}

static void F(logits_kl_block)(logits_kl_state *state, const REAL *x, const REAL *y, ptrdiff_t length,
                               const klfast_row *row) {
    memset(state, 0, sizeof *state);
    if (row->scale_p != 1.0 || !F(logits_kl_fast)(state, x, y, length, row)) F(logits_kl_careful)(state, x, y, length, row);
}
