/* The largest logits of a row: what topk.c does with the elements of a block. */

/* maxima[g]: the largest of group number g of `group` elements; NaN is not noticed. */
static void F(group_maxima)(double *maxima, const void *logits, ptrdiff_t length, ptrdiff_t group) {
    const REAL *x = logits;
    for (ptrdiff_t i = 0; i < length; i += group) {
        ptrdiff_t count = length - i < group ? length - i : group;
        *maxima++ = group == 1 ? (double)x[i] : (double)F(find_largest)(x + i, count);
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

/* Adds exp((x - largest)/T) of all x below `limit`, and counts those that equal it; NaN makes the sum NaN. `largest` is at most
 * as large as exp takes it. What is below the smallest normal number beside exp(largest/T) counts 0; returns whether that
 * cannot matter. */
static int F(mass_below)(wide_sum *mass, double *equal, const void *logits, ptrdiff_t length, double limit, double largest,
                         const klfast_temperature *temperature) {
    const REAL *x = logits;
    REAL padded[STEP], part[STEP], below = (REAL)limit;
    INTEGER lane[STEP] = {0}, count = 0;
    F(lanes) sum = {{0}};
    F(klfast_exponential) e = temperature->F(of);
    double fraction;
    F(exponent_scale) scale = F(scale_by)(F(exponent_of_exp)((REAL)largest, &fraction, temperature), &e);
    klfast_ahead ahead = F(further_on)(x, LOGITS_BLOCK);
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = F(whole_step)(x, i, length, -INFINITY, padded);
        F(prefetch_step)(&ahead, i);
        for (int j = 0; j < STEP; j++) {
            REAL value = F(scaled_exp)(a[j] >= below ? -INFINITY : a[j], scale, &e);
            part[j] = value;
            lane[j] += a[j] == below;
        }
        F(fold)(&sum, part);
        F(end_run)(&sum);
    }
    for (int j = 0; j < STEP; j++) count += lane[j];
    wide_sum total = scaled_sum(F(lane_total)(&sum), 1.0 / fraction);
    add_sum(mass, total);
    *equal += (double)count;
    return total.high >= SMALLEST_REST;
}
