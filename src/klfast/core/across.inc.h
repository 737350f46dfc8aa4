/* Rows of probabilities whose elements lie apart, while those of neighbouring rows share lines of memory: a strip of up to
 * KLFAST_PARTS lines, with LANES rows in each, is walked together, without being laid out row by row first.
 *
 * Vectors run across the rows, as in a tile. What a step folds are the same four entries of every row that the row's own
 * sweep would fold onto its lane j, and they are folded onto lane j of that row here: the bits are the same. Only the fast
 * variant is here; rows that it does not take are reported, and walked one by one.
 *
 * Memory sets the pace. All lines of an element are asked for together, a little before they are taken: lines that lie apart
 * come slowly, and where their distance is a power of two, there is no place in the cache for many of them. Every step asks
 * for as many: asked for at once, they fill the queue of lines under way, and what is computed has to wait behind them. */

enum {
    F(STRETCH) = RUN_LENGTH, /* so many elements of every row are taken lane by lane */
    F(LANES_AHEAD) = 1,      /* so many lanes before they are taken, lines are asked for */
    F(ONLY_SUMS) = OPERATIONS, /* what else than an operation a walk may be for */
};

/* Lanes between two runs. */
typedef struct {
    double high[LANES];
#if CARRY
    double low[LANES];
#endif
} F(ended);

/* The sums of the rows of one line: lane j of row k is at [j].high[k]. What is watched is watched for all lanes at once. */
typedef struct {
    F(ended) mass[LANES], first[LANES], second[LANES];
    REAL lowest[LANES];
    INTEGER sign[LANES], impossible[LANES];
} F(side);

/* Some elements of a strip: where they begin. */
typedef struct {
    const char *p, *q;
    ptrdiff_t length;
} F(stretch);

static ALWAYS_INLINE void F(load_ended)(F(lanes) *local, const F(ended) *sum) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        local->high[j] = sum->high[j];
#if CARRY
        local->low[j] = sum->low[j];
#endif
    }
}

static ALWAYS_INLINE void F(store_ended)(F(ended) *sum, const F(lanes) *local) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sum->high[j] = local->high[j];
#if CARRY
        sum->low[j] = local->low[j];
#endif
    }
}

static ALWAYS_INLINE void F(begin_side)(F(side) *side) {
    memset(side, 0, sizeof *side);
    for (int j = 0; j < LANES; j++) side->lowest[j] = INFINITY;
}

static ALWAYS_INLINE void F(keep_watch)(F(side) *side, const F(sweep) *local) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        side->lowest[j] = local->lowest[j] < side->lowest[j] ? local->lowest[j] : side->lowest[j];
        side->sign[j] |= local->sign[j];
        side->impossible[j] |= local->impossible[j];
    }
}

/* Asks for all lines of one element, and for what they reach into if they do not begin where the cache's lines do. They are to
 * come no nearer than the second cache: the nearest is full of sums. */
static ALWAYS_INLINE void F(prefetch_element)(const char *lines, ptrdiff_t parts) {
    for (ptrdiff_t part = 0; part < parts; part++) __builtin_prefetch(lines + part * KLFAST_LINE_BYTES, 0, 2);
    __builtin_prefetch(lines + parts * KLFAST_LINE_BYTES - 1, 0, 2);
}

/* What is asked for while a lane is computed: elements LANES apart, `at_once` in every step. */
typedef struct {
    const F(stretch) *stretch;
    ptrdiff_t next, at_once;
} F(ahead);

static ALWAYS_INLINE void F(prefetch_some)(F(ahead) *ahead, const klfast_strip *strip, const int same) {
    for (ptrdiff_t k = 0; k < ahead->at_once; k++, ahead->next += LANES) {
        if (ahead->next >= ahead->stretch->length) break;
        F(prefetch_element)(ahead->stretch->p + ahead->next * strip->p_stride, strip->parts);
        if (!same) F(prefetch_element)(ahead->stretch->q + ahead->next * strip->q_stride, strip->parts);
    }
}

/* The entries first, first + LANES, ... of every row of a line; behind the end `neutral`. `stride` is in bytes. */
static ALWAYS_INLINE F(lines) F(lines_from)(const char *lines, ptrdiff_t stride, ptrdiff_t first, ptrdiff_t length,
                                            const REAL *neutral, const int is_whole) {
    F(lines) step;
    FULLY_UNROLLED
    for (int k = 0; k < STEP / LANES; k++) {
        ptrdiff_t i = first + k * LANES;
        step.line[k] = is_whole || i < length ? (const REAL *)(lines + i * stride) : neutral;
    }
    return step;
}

/* A step as in the row's own sweep: the last one of the divergence takes zeros, in that of the cross-entropy q is c behind the
 * end: `other`. */
static ALWAYS_INLINE void F(across_step)(F(sweep) *local, F(lines) p, F(lines) q, F(lines) other,
                                         const F(constants) *row, const int operation, const int is_last) {
    if (operation == F(ONLY_SUMS)) {
        F(fold_lines)(&local->mass, p);
        F(fold_lines)(&local->second, q);
    } else if (operation == KL_DIVERGENCE) F(divergence_step)(local, p, q, row, is_last, F(SCALED));
    else if (operation == RAW_KL_DIVERGENCE) F(divergence_step)(local, p, q, row, is_last, F(RAW));
    else F(cross_entropy_step)(local, p, other, q, row, 0, operation == ENTROPY);
}

/* Lane j of the rows of one line. */
static ALWAYS_INLINE void F(across_lane)(F(side) *side, const F(stretch) *stretch, F(ahead) *ahead,
                                         const klfast_strip *strip, int j, const F(constants) *row, const int operation) {
    const int is_closely_summed = operation == CROSS_ENTROPY || operation == ENTROPY;
    const int run = is_closely_summed ? CLOSE_RUN : RUN_LENGTH;
    F(sweep) local;
    F(begin_sweep)(&local);
    F(load_ended)(&local.mass, &side->mass[j]);
    F(load_ended)(&local.first, &side->first[j]);
    F(load_ended)(&local.second, &side->second[j]);
    ptrdiff_t first = 0, length = stretch->length;
    for (; first + STEP <= length; first += STEP) {
        F(lines) p = F(lines_from)(stretch->p, strip->p_stride, first + j, length, NULL, 1);
        F(lines) q = F(lines_from)(stretch->q, strip->q_stride, first + j, length, NULL, 1);
        F(prefetch_some)(ahead, strip, operation == ENTROPY);
        F(across_step)(&local, p, q, q, row, operation, 0);
        if ((first + STEP) % run == 0) F(end_runs)(&local);
    }
    if (first % run != 0) F(end_runs)(&local);
    if (first < length) {
        F(lines) p = F(lines_from)(stretch->p, strip->p_stride, first + j, length, F(zeros), 0);
        F(lines) q = F(lines_from)(stretch->q, strip->q_stride, first + j, length, F(zeros), 0);
        F(lines) other = F(lines_from)(stretch->q, strip->q_stride, first + j, length, row->c, 0);
        F(prefetch_some)(ahead, strip, operation == ENTROPY);
        F(across_step)(&local, p, q, other, row, operation, 1);
        F(end_runs)(&local);
    }
    F(keep_watch)(side, &local);
    F(store_ended)(&side->mass[j], &local.mass);
    F(store_ended)(&side->first[j], &local.first);
    F(store_ended)(&side->second[j], &local.second);
}

/* A stretch, lane by lane, while lines of its later lanes and of the `next` one are asked for; a short one has fewer steps than
 * the next may need. */
static ALWAYS_INLINE void F(across_stretch)(F(side) *sides, const F(stretch) *stretch, const F(stretch) *next,
                                            const klfast_strip *strip, const F(constants) *row, const int operation) {
    ptrdiff_t parts = strip->parts, at_once = (STEP / LANES + parts - 1) / parts;
    for (int j = 0; j < LANES; j++) {
        int later = j + F(LANES_AHEAD);
        F(ahead) ahead = {later < LANES ? stretch : next, later % LANES, at_once};
        for (ptrdiff_t part = 0; part < parts; part++) {
            F(stretch) line = {stretch->p + part * KLFAST_LINE_BYTES, stretch->q + part * KLFAST_LINE_BYTES, stretch->length};
            F(across_lane)(&sides[part], &line, &ahead, strip, j, &row[part], operation);
        }
        while (ahead.next < ahead.stretch->length) F(prefetch_some)(&ahead, strip, operation == ENTROPY);
    }
}

/* Asks for what later rows will be sampled at, as far as it lies among elements start ... start + STRETCH - 1. */
static NOINLINE void F(prefetch_sample)(const klfast_strip *strip, ptrdiff_t start, int same) {
    for (ptrdiff_t sample = 0; sample < KLFAST_SAMPLES; sample++) {
        ptrdiff_t first = sample * strip->sample_gap, end = smaller(first + strip->sample_length, start + F(STRETCH));
        for (ptrdiff_t i = first > start ? first : start; i < end; i++) {
            F(prefetch_element)(strip->later_p + i * strip->p_stride, strip->parts);
            if (!same) F(prefetch_element)(strip->later_q + i * strip->q_stride, strip->parts);
        }
    }
}

static ALWAYS_INLINE F(stretch) F(stretch_at)(const klfast_strip *strip, ptrdiff_t start) {
    F(stretch) stretch = {strip->p + start * strip->p_stride, strip->q + start * strip->q_stride,
                          smaller(strip->length - start, F(STRETCH))};
    if (start >= strip->length) stretch = (F(stretch)){strip->next_p, strip->next_q, smaller(strip->length, F(STRETCH))};
    return stretch;
}

static ALWAYS_INLINE void F(across_sweep)(F(side) *sides, const klfast_strip *strip, const F(constants) *row,
                                          const int operation) {
    F(stretch) stretch = F(stretch_at)(strip, 0);
    for (ptrdiff_t part = 0; part < strip->parts; part++) F(begin_side)(&sides[part]);
    for (ptrdiff_t start = 0; start < strip->length; start += F(STRETCH)) {
        F(stretch) next = F(stretch_at)(strip, start + F(STRETCH));
        if (strip->sample_length > 0) F(prefetch_sample)(strip, strip->start + start, operation == ENTROPY);
        F(across_stretch)(sides, &stretch, &next, strip, row, operation);
        stretch = next;
    }
}

/* The lanes of every row as one sum, as lane_total adds them: for all rows of a line at once. */
static ALWAYS_INLINE void F(side_totals)(wide_sum *totals, const F(ended) *sums) {
    double high[LANES * LANES], low[LANES * LANES];
    for (int j = 0; j < LANES; j++) {
        AS_LOOP
        for (int k = 0; k < LANES; k++) {
            high[j * LANES + k] = sums[j].high[k];
#if CARRY
            low[j * LANES + k] = sums[j].low[k];
#endif
        }
    }
    for (int half = LANES / 2; half > 0; half /= 2) F(halve)(high, low, half * LANES);
    for (int k = 0; k < LANES; k++) {
        totals[k] = (wide_sum){high[k], 0.0};
#if CARRY
        if (fabs(high[k]) <= 0x1.fffffffffffffp1023) totals[k].low = low[k];
#endif
    }
}

/* What the sweep of row k alone would have concluded of these sums. */
static ALWAYS_INLINE int F(conclude_row)(weights_state *state, const F(side) *side, int k, const klfast_row *told,
                                         const int operation) {
    const int is_divergence = operation == KL_DIVERGENCE || operation == RAW_KL_DIVERGENCE;
    if (operation == F(ONLY_SUMS)) return 1;
    int in_range = is_divergence ? F(divergence_in_range)(told) : F(cross_entropy_in_range)(told);
    REAL allowed = is_divergence ? F(lowest_of_divergence)((REAL)told->constant) : SMALLEST_NORMAL;
    return in_range & F(is_trusted)(state, side->lowest[k], side->sign[k], side->impossible[k], allowed);
}

static ALWAYS_INLINE unsigned F(conclude_side)(klfast_state *states, const F(side) *side, const klfast_row *told,
                                               const int operation) {
    wide_sum mass[LANES], first[LANES], second[LANES];
    unsigned taken = 0;
    F(side_totals)(first, side->first);
    F(side_totals)(second, side->second);
    F(side_totals)(mass, operation == ENTROPY ? side->second : side->mass);
    for (int k = 0; k < LANES; k++) {
        weights_state *state = &states[k].weights;
        memset(state, 0, sizeof *state);
        state->mass = mass[k];
        state->first = first[k];
        state->second = second[k];
        taken |= (unsigned)F(conclude_row)(state, side, k, &told[k], operation) << k;
    }
    return taken;
}

static ALWAYS_INLINE void F(across)(klfast_state *const *states, const klfast_strip *strip, const klfast_row *const *told,
                                    unsigned *taken, const int operation) {
    F(side) sides[KLFAST_PARTS];
    F(constants) row[KLFAST_PARTS];
    for (ptrdiff_t part = 0; part < strip->parts; part++)
        for (int j = 0; j < LANES; j++) {
            row[part].c[j] = (REAL)told[part][j].constant;
            row[part].c_low[j] = 0;
            row[part].limit[j] = INFINITY;
        }
    F(across_sweep)(sides, strip, row, operation);
    for (ptrdiff_t part = 0; part < strip->parts; part++)
        taken[part] = F(conclude_side)(states[part], &sides[part], told[part], operation);
}

static NOINLINE void F(across_sums)(klfast_state *const *states, const klfast_strip *strip, const klfast_row *const *told,
                                    unsigned *taken) {
    F(across)(states, strip, told, taken, F(ONLY_SUMS));
}

#define ACROSS(NAME, OPERATION, HOW) \
    static HOW void F(across_fast_##NAME)(klfast_state *const *states, const klfast_strip *strip, \
                                          const klfast_row *const *told, unsigned *taken) { \
        F(across)(states, strip, told, taken, OPERATION); \
    } \
    static void F(across_##NAME)(klfast_state *const *states, const klfast_strip *strip, const klfast_row *const *told, \
                                 unsigned *taken) { \
        if (told[0]->walk == WALK_SUMS) F(across_sums)(states, strip, told, taken); \
        else F(across_fast_##NAME)(states, strip, told, taken); \
    }
ACROSS(kl_divergence, KL_DIVERGENCE, AS_WRITTEN)
ACROSS(raw_kl_divergence, RAW_KL_DIVERGENCE, AS_WRITTEN)
ACROSS(cross_entropy, CROSS_ENTROPY, NOINLINE)
ACROSS(entropy, ENTROPY, NOINLINE)
#undef ACROSS
