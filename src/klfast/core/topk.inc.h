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
        for (int j = 1; j < LANES; j++) F(raise)(turned[0], turned[j]);
        for (ptrdiff_t k = 0; k < found; k++) *maxima++ = (double)turned[0][k];
    }
}

/* Whether an element is at least `limit`. */
static ALWAYS_INLINE int F(reaches)(const REAL *x, REAL limit, const int count) {
#ifdef __AVX512VL__ /* GCC would halve the flags until one is left; elsewhere it has nothing better */
    int flags[LANES] = {0};
    for (int part = 0; part < count; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) flags[j] |= x[part + j] >= limit;
    }
    return lane_bits(flags, LANES) != 0;
#else
    INTEGER found = 0;
    AS_LOOP
    for (int j = 0; j < count; j++) found |= -(INTEGER)(x[j] >= limit);
    return found != 0;
#endif
}

/* Adds the elements that are at least `limit` (or above it, if `is_strict`) of a few. */
static ALWAYS_INLINE void F(add_candidates)(klfast_candidates *found, const REAL *x, ptrdiff_t first, ptrdiff_t length,
                                            REAL limit, int is_strict) {
    for (ptrdiff_t j = 0; j < length; j++) {
        found->memory[found->count] = (klfast_candidate){(double)x[j], first + j};
        found->count += is_strict ? x[j] > limit : x[j] >= limit;
    }
}

/* The same for many, until there are `room` candidates. Returns how many elements have been looked at. */
static ptrdiff_t F(find_candidates)(klfast_candidates *found, const void *logits, ptrdiff_t first, ptrdiff_t length,
                                    double least, int is_strict, ptrdiff_t room) {
    const REAL *x = logits;
    REAL limit = (REAL)least;
    ptrdiff_t i = 0;
    for (; i + STEP <= length; i += STEP) {
        if (found->count + STEP > room) return i;
        if (!F(reaches)(x + i, limit, STEP)) continue;
        for (ptrdiff_t part = i; part < i + STEP; part += LANES)
            if (F(reaches)(x + part, limit, LANES)) F(add_candidates)(found, x + part, first + part, LANES, limit, is_strict);
    }
    if (found->count + length - i > room) return i;
    F(add_candidates)(found, x + i, first + i, length - i, limit, is_strict);
    return length;
}

/* masses[g]: the sum of exp((x - *reference)/T) of group number g of `group` elements, of which the largest is maxima[g]. The
 * reference is the largest of the block, or the limit that exp takes. What is below the smallest normal number beside
 * exp(*reference/T) counts 0; NaN makes a sum NaN. */
static void F(group_masses)(double *masses, double *reference, const double *maxima, const void *logits, ptrdiff_t length,
                            ptrdiff_t group, const klfast_temperature *temperature) {
    const REAL *x = logits;
    REAL padded[STEP], part[STEP];
    F(klfast_exponential) e = temperature->F(of);
    double limit = (double)e.limit, fraction;
    klfast_ahead ahead = F(further_on)(x, length);
    *reference = -limit;
    for (ptrdiff_t g = 0; g * group < length; g++) *reference = maxima[g] > *reference ? maxima[g] : *reference;
    if (*reference > limit) *reference = limit;
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)((REAL)*reference, &fraction, temperature), &e);
    for (ptrdiff_t first = 0; first < length; first += group) {
        ptrdiff_t end = length - first < group ? length : first + group;
        F(lanes) sum = {{0}};
        for (ptrdiff_t i = first; i < end; i += STEP) {
            const REAL *a = F(whole_step)(x, i, end, -INFINITY, padded);
            F(prefetch_far)(&ahead, i);
            for (int j = 0; j < STEP; j++) part[j] = F(scaled_exp)(a[j], scale, &e);
            F(fold)(&sum, part);
            if (F(ends_run)(i, end)) F(end_run)(&sum);
        }
        *masses++ = sum_value(F(lane_total)(&sum)) / fraction;
    }
}

/* Adds exp((x - largest)/T) of all x below `limit`, and counts those that equal it; NaN makes the sum NaN. `largest` is at most
 * as large as exp takes it. What is below the smallest normal number beside exp(largest/T) counts 0. The logits are in a cache,
 * so that there is time to ask for what is `next`. */
static void F(mass_below)(wide_sum *mass, double *equal, const void *logits, const void *next, ptrdiff_t length, double limit,
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
        if (F(reaches)(a, below, STEP)) { /* few do */
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
    add_sum(mass, scaled_sum(F(lane_total)(&sum), 1.0 / fraction));
    *equal += (double)count;
}
