/* Rows of probabilities whose elements lie apart, while those of neighbouring rows share lines of memory: LANES rows are walked
 * together, without being laid out one by one first.
 *
 * Vectors run across the rows, as in a tile. What a step folds are the same four entries of every row that the row's own
 * sweep would fold onto its lane j, and they are folded onto sweep j here: the bits are the same. Only the fast variant is
 * here; rows that it does not take are reported, and walked one by one. */

/* The entries first, first + LANES, ... of every row; behind the end `neutral`. `stride` is in bytes. */
static ALWAYS_INLINE void F(gather_step)(REAL *step, const char *lines, ptrdiff_t stride, ptrdiff_t first,
                                         ptrdiff_t length, const REAL *neutral, const int is_whole) {
    FULLY_UNROLLED
    for (int k = 0; k < STEP / LANES; k++) {
        ptrdiff_t i = first + k * LANES;
        const REAL *line = is_whole || i < length ? (const REAL *)(lines + i * stride) : neutral;
        AS_LOOP
        for (int j = 0; j < LANES; j++) step[k * LANES + j] = line[j];
    }
}

/* Where two arrays of rows lie; lines of one element are `stride` bytes apart. */
typedef struct {
    const char *p, *q;
    ptrdiff_t p_stride, q_stride, length;
} F(lines);

/* One step of every lane, from entry `first` on. The last step of a row is as in its own sweep: that of the divergence takes
 * zeros, in that of the cross-entropy q is c behind the end. Lane after lane, so that a step stays within few pages. */
static ALWAYS_INLINE void F(across_step)(F(sweep) *sweeps, const F(lines) *lines, ptrdiff_t first, const F(constants) *row,
                                         const int operation, const int is_whole) {
    const int is_divergence = operation == KL_DIVERGENCE || operation == RAW_KL_DIVERGENCE, same = operation == ENTROPY;
    const int way = operation == RAW_KL_DIVERGENCE ? F(RAW) : F(SCALED);
    for (int j = 0; j < LANES; j++) {
        REAL p[STEP], q[STEP], rest[STEP];
        ptrdiff_t start = first + j, steps = first * LANES + j * STEP;
        F(prefetch_step)(&row->ahead_p, steps);
        if (!same) F(prefetch_step)(&row->ahead_q, steps);
        F(gather_step)(p, lines->p, lines->p_stride, start, lines->length, F(zeros), is_whole);
        F(gather_step)(rest, lines->q, lines->q_stride, start, lines->length, F(zeros), is_whole);
        if (is_divergence) F(divergence_step)(&sweeps[j], p, rest, p, row, !is_whole, way);
        else {
            F(gather_step)(q, lines->q, lines->q_stride, start, lines->length, row->c, is_whole);
            F(cross_entropy_step)(&sweeps[j], p, q, p, rest, row, 0, same);
        }
    }
}

static ALWAYS_INLINE void F(across_sweep)(F(sweep) *sweeps, const F(lines) *lines, const F(constants) *row,
                                          const int operation) {
    const int is_divergence = operation == KL_DIVERGENCE || operation == RAW_KL_DIVERGENCE;
    const int run = is_divergence ? RUN_LENGTH : CLOSE_RUN;
    ptrdiff_t length = lines->length, whole = length - length % STEP;
    for (int j = 0; j < LANES; j++) F(begin_sweep)(&sweeps[j]);
    for (ptrdiff_t i = 0; i < whole; i += run) {
        for (ptrdiff_t r = i; r < whole && r < i + run; r += STEP)
            F(across_step)(sweeps, lines, r, row, operation, 1);
        for (int j = 0; j < LANES; j++) F(end_runs)(&sweeps[j]);
    }
    if (whole == length) return;
    F(across_step)(sweeps, lines, whole, row, operation, 0);
    for (int j = 0; j < LANES; j++) F(end_runs)(&sweeps[j]);
}

static ALWAYS_INLINE void F(pick_lanes)(F(lanes) *own, const F(sweep) *sweeps, size_t field, int row) {
    for (int j = 0; j < LANES; j++) {
        const F(lanes) *sum = (const F(lanes) *)((const char *)&sweeps[j] + field);
        own->high[j] = sum->high[row];
#if CARRY
        own->low[j] = sum->low[row];
#endif
    }
}

/* What the sweep of one row alone would have gathered. */
static ALWAYS_INLINE void F(pick_row)(F(sweep) *own, const F(sweep) *sweeps, int row) {
    F(pick_lanes)(&own->mass, sweeps, offsetof(F(sweep), mass), row);
    F(pick_lanes)(&own->first, sweeps, offsetof(F(sweep), first), row);
    F(pick_lanes)(&own->second, sweeps, offsetof(F(sweep), second), row);
    for (int j = 0; j < LANES; j++) {
        own->lowest[j] = sweeps[j].lowest[row];
        own->sign[j] = sweeps[j].sign[row];
        own->impossible[j] = sweeps[j].impossible[row];
        own->largest[j] = 0;
    }
}

static ALWAYS_INLINE unsigned F(across)(klfast_state *states, const F(lines) *lines, const klfast_row *told,
                                        const int operation) {
    F(sweep) sweeps[LANES], own;
    F(constants) row;
    unsigned taken = 0;
    row.ahead_p = told->ahead_a;
    row.ahead_q = told->ahead_b;
    for (int j = 0; j < LANES; j++) {
        row.c[j] = (REAL)told[j].constant;
        row.c_low[j] = 0;
        row.limit[j] = INFINITY;
    }
    F(across_sweep)(sweeps, lines, &row, operation);
    for (int k = 0; k < LANES; k++) {
        const int is_divergence = operation == KL_DIVERGENCE || operation == RAW_KL_DIVERGENCE;
        int in_range = is_divergence ? F(divergence_in_range)(&told[k]) : F(cross_entropy_in_range)(&told[k]);
        REAL lowest = is_divergence ? F(lowest_of_divergence)(row.c[k]) : SMALLEST_NORMAL;
        memset(&states[k], 0, sizeof states[k]);
        F(pick_row)(&own, sweeps, k);
        if (operation == ENTROPY) own.mass = own.second;
        if (in_range && F(conclude)(&states[k].weights, &own, lowest, 0)) taken |= 1u << k;
    }
    return taken;
}

#define ACROSS(NAME, OPERATION) \
    static unsigned F(across_##NAME)(klfast_state *states, const void *a, ptrdiff_t a_stride, const void *b, \
                                     ptrdiff_t b_stride, ptrdiff_t length, const klfast_row *told) { \
        F(lines) lines = {a, b, a_stride, b_stride, length}; \
        return F(across)(states, &lines, told, OPERATION); \
    }
ACROSS(kl_divergence, KL_DIVERGENCE)
ACROSS(raw_kl_divergence, RAW_KL_DIVERGENCE)
ACROSS(cross_entropy, CROSS_ENTROPY)
ACROSS(entropy, ENTROPY)
#undef ACROSS
