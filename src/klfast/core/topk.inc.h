/* The largest logits of a row: what topk.c does with the elements of a block. */

/* maxima[g]: the largest of group number g of `group` elements; NaN is not noticed. The lanes of a few groups are turned into
 * rows, so that the largest of each need not be looked for among 16 neighbours. */
static void F(group_maxima)(double *maxima, const void *logits, ptrdiff_t length, ptrdiff_t group) {
    const REAL *x = logits;
    REAL lane[LANES][LANES], turned[LANES][LANES];
    for (ptrdiff_t i = 0; i < length && group == 1; i++) maxima[i] = (double)x[i];
    if (group == 1) return;
    while (length > 0) {
        ptrdiff_t found = 0;
        for (; found < LANES && length > 0; found++, x += group, length -= group)
            F(find_lane_largest)(lane[found], x, length < group ? length : group);
        for (ptrdiff_t k = found; k < LANES; k++) memcpy(lane[k], lane[0], sizeof lane[0]);
        F(transpose)(turned, LANES, lane, LANES, LANES, LANES);
        for (int j = 1; j < LANES; j++) F(raise)(turned[0], turned[j], LANES);
        for (ptrdiff_t k = 0; k < found; k++) *maxima++ = (double)turned[0][k];
    }
}

/* Adds the elements that are at least `least` (or above it, if `is_strict`) to the candidates, until there are `room` of them.
 * Returns how many elements have been looked at. */
static ptrdiff_t F(find_candidates)(klfast_candidates *found, const void *logits, ptrdiff_t first, ptrdiff_t length,
                                    double least, int is_strict, ptrdiff_t room) {
    const REAL *x = logits;
    REAL limit = (REAL)least;
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        ptrdiff_t count = length - i < STEP ? length - i : STEP;
        INTEGER any = 0;
        if (found->count + count > room) return i;
        for (ptrdiff_t j = 0; j < count; j++) any |= is_strict ? x[i + j] > limit : x[i + j] >= limit;
        if (!any) continue;
        for (ptrdiff_t j = 0; j < count; j++) {
            found->memory[found->count] = (klfast_candidate){(double)x[i + j], first + i + j};
            found->count += is_strict ? x[i + j] > limit : x[i + j] >= limit;
        }
    }
    return length;
}

/* Whether an element of a step is at least `limit`. */
static ALWAYS_INLINE int F(reaches)(const REAL *x, REAL limit) {
    INTEGER found = 0;
    AS_LOOP
    for (int j = 0; j < STEP; j++) found |= -(INTEGER)(x[j] >= limit);
    return found != 0;
}

/* Adds exp((x - largest)/T) of all x below `limit`, and counts those that equal it; NaN makes the sum NaN. `largest` is at most
 * as large as exp takes it. What is below the smallest normal number beside exp(largest/T) counts 0; returns whether that
 * cannot matter. The logits are in a cache, so that there is time to ask for what is `next`. */
static int F(mass_below)(wide_sum *mass, double *equal, const void *logits, const void *next, ptrdiff_t length, double limit,
                         double largest, const klfast_temperature *temperature) {
    const REAL *x = logits;
    REAL padded[STEP], part[STEP], below = (REAL)limit;
    INTEGER lane[STEP] = {0}, count = 0;
    F(lanes) sum = {{0}};
    F(klfast_exponential) e = temperature->F(of);
    double fraction;
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)((REAL)largest, &fraction, temperature), &e);
    klfast_ahead ahead = F(further_on)(next, 0);
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(prefetch_step)(&ahead, i);
        if (F(reaches)(a, below)) { /* few do */
            for (int j = 0; j < STEP; j++) {
                part[j] = F(scaled_exp)(a[j] >= below ? -INFINITY : a[j], scale, &e);
                lane[j] += a[j] == below;
            }
        } else {
            for (int j = 0; j < STEP; j++) part[j] = F(scaled_exp)(a[j], scale, &e);
        }
        F(fold)(&sum, part);
        if (F(ends_run)(i, length)) F(end_run)(&sum);
    }
    for (int j = 0; j < STEP; j++) count += lane[j];
    wide_sum total = scaled_sum(F(lane_total)(&sum), 1.0 / fraction);
    add_sum(mass, total);
    *equal += (double)count;
    return total.high >= SMALLEST_REST;
}
