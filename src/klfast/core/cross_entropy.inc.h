/* Blocks of cross-entropy and entropy (`same`: q is p, and one array is read), as those of probability.inc.h.
 *
 * In a careful walk the one q above `limit` is set aside (`largest`) and the others summed without it, so that a row
 * that is nearly one-hot keeps the digits of its small rest. */

/* One step; `rest` is q, or this with zeros behind the end of the row. */
static ALWAYS_INLINE void F(cross_entropy_step)(F(sweep) *local, F(lines) p, F(lines) q, F(lines) rest,
                                                const F(constants) *restrict row, const int careful, const int same) {
    REAL term[STEP], beside[STEP];
    FULLY_UNROLLED
    for (int k = 0; k < STEP / LANES; k++) {
        const REAL *a = p.line[k], *b = q.line[k];
        const int at = k * LANES;
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            /* beside q = 0 either p is 0 or the result infinite; 1, because arithmetic near the smallest number is slow */
            REAL other = careful && !(b[j] > 0) ? 1 : b[j];
            term[at + j] = a[j] * F(log_ratio)(row->c[j], other);
            if (careful) beside[at + j] = b[j] > row->limit[j] ? 0 : b[j];
        }
    }
    FULLY_UNROLLED
    for (int k = 0; k < STEP / LANES; k++) F(watch_part)(local, p.line[k], q.line[k], careful);
    F(fold)(&local->first, term);
    F(fold_lines)(&local->second, careful ? F(lines_of)(beside) : rest);
    if (careful) {
        FULLY_UNROLLED
        for (int k = 0; k < STEP / LANES; k++) {
            const REAL *b = q.line[k];
            AS_LOOP
            for (int j = 0; j < LANES; j++) {
                REAL large = b[j] > row->limit[j] ? b[j] : 0;
                local->largest[j] = large > local->largest[j] ? large : local->largest[j];
            }
        }
    }
    if (careful || !same) F(fold_lines)(&local->mass, p);
}

static ALWAYS_INLINE void F(cross_entropy_sweep)(F(sweep) *sums, const REAL *p, const REAL *q, ptrdiff_t length,
                                                 const F(constants) *row, const int careful, const int same) {
    F(sweep) local;
    F(begin_sweep)(&local);
    ptrdiff_t whole = length - length % STEP;
    for (ptrdiff_t i = 0; i < whole; i += CLOSE_RUN) {
        for (ptrdiff_t r = i; r < whole && r < i + CLOSE_RUN; r += STEP) {
            F(prefetch_step)(&row->ahead_p, r);
            if (!same) F(prefetch_step)(&row->ahead_q, r);
            F(lines) of_p = F(lines_of)(same ? q + r : p + r), of_q = F(lines_of)(q + r);
            F(cross_entropy_step)(&local, of_p, of_q, of_q, row, careful, same);
        }
        F(end_runs)(&local);
    }
    if (whole < length) { /* behind the end p = 0 and q = c; zeros are for the careful loop */
        REAL last_p[STEP], last_q[STEP], rest[STEP];
        F(padded_step)(last_p, p + whole, length - whole, 0);
        F(padded_step)(last_q, q + whole, length - whole, careful ? 0 : row->c[0]);
        F(padded_step)(rest, q + whole, length - whole, 0);
        F(cross_entropy_step)(&local, F(lines_of)(last_p), F(lines_of)(last_q), F(lines_of)(rest), row, careful, same);
        F(end_runs)(&local);
    }
    F(store_sweep)(sums, &local);
}

static NOINLINE void F(cross_entropy_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                           const F(constants) *row) {
    F(cross_entropy_sweep)(s, p, q, length, row, 0, 0);
}
static NOINLINE void F(entropy_fast)(F(sweep) *s, const REAL *p, ptrdiff_t length, const F(constants) *row) {
    F(cross_entropy_sweep)(s, p, p, length, row, 0, 1);
    s->mass = s->second;
}
static NOINLINE void F(cross_entropy_careful)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                              const F(constants) *row) {
    F(cross_entropy_sweep)(s, p, q, length, row, 1, 0);
}

static void F(cross_entropy_unusual)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                     const klfast_row *row);

static ALWAYS_INLINE int F(cross_entropy_in_range)(const klfast_row *row) {
    REAL c = (REAL)row->constant;
    return row->scale_p == 1.0 && row->scale_q == 1.0 && c >= SMALLEST_NORMAL && (double)c <= HIGHEST_SUM;
}

static ALWAYS_INLINE void F(cross_entropy_any)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                               const klfast_row *row, const int same) {
    F(sweep) sums;
    memset(state, 0, sizeof *state);
    REAL c = (REAL)row->constant;
    if (!F(cross_entropy_in_range)(row)) {
        F(cross_entropy_unusual)(state, p, q, length, row);
        return;
    }
    F(constants) constants = F(same_constants)(c, 0, row->walk == WALK_CAREFUL ? (REAL)LARGE_SHARE * c : INFINITY,
                                               p, q, row);
    if (row->walk == WALK_FAST && !row->expects_zeros) {
        if (same) F(entropy_fast)(&sums, p, length, &constants);
        else F(cross_entropy_fast)(&sums, p, q, length, &constants);
        if (F(conclude)(state, &sums, SMALLEST_NORMAL, 0)) return;
        memset(state, 0, sizeof *state);
    }
    F(cross_entropy_careful)(&sums, p, q, length, &constants);
    if (F(conclude)(state, &sums, SMALLEST_NORMAL, 1)) return;
    memset(state, 0, sizeof *state);
    F(cross_entropy_unusual)(state, p, q, length, row);
}
