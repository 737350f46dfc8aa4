/* Blocks of the probability family: each element is read once. What the fast loop cannot do (zeros, very small or large
 * numbers, NaN) is noticed at the end of the block, and the block is done again: first by the careful variant of the
 * same loop, then, if need be, by the functions of unusual.h. So rare input costs only the block that it is in. */

/* What a sweep gathers. `lowest`: the smallest q; `careful`: the smallest but zero. */
typedef struct {
    F(lanes) mass, first, second;
    REAL lowest[LANES], largest[LANES];
    INTEGER sign[LANES], impossible[LANES];
} F(sweep);

static ALWAYS_INLINE void F(begin_sweep)(F(sweep) *sums) {
    memset(sums, 0, sizeof *sums);
    for (int j = 0; j < LANES; j++) sums->lowest[j] = INFINITY;
}

static ALWAYS_INLINE void F(watch)(F(sweep) *sums, const REAL *restrict p, const REAL *restrict q, const int careful) {
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = p[part + j], b = q[part + j], low = careful ? (b > 0 ? b : INFINITY) : b;
            sums->lowest[j] = low < sums->lowest[j] ? low : sums->lowest[j];
            sums->sign[j] |= careful ? F(bits)(a) | F(bits)(b) : F(bits)(a);
            /* negative where b is zero and a is not */
            if (careful) sums->impossible[j] |= (F(bits)(b) - 1) & ~(F(bits)(a) - 1);
        }
    }
}

static ALWAYS_INLINE void F(end_runs)(F(sweep) *sums) {
    F(end_run)(&sums->mass);
    F(end_run)(&sums->first);
    F(end_run)(&sums->second);
}

/* The sums of a sweep; returns 0 if they cannot be trusted: zeros or negative entries where the loop expects none, or
 * numbers that leave the range in which its terms are exact. */
static int F(conclude)(weights_state *state, const F(sweep) *sums, REAL lowest_allowed, const int careful) {
    F(sweep) s = *sums;
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) {
            s.lowest[j] = s.lowest[half + j] < s.lowest[j] ? s.lowest[half + j] : s.lowest[j];
            s.largest[j] = s.largest[half + j] > s.largest[j] ? s.largest[half + j] : s.largest[j];
            s.sign[j] |= s.sign[half + j];
            s.impossible[j] |= s.impossible[half + j];
        }
    REAL lowest = s.lowest[0], largest = s.largest[0];
    INTEGER sign = s.sign[0], impossible = s.impossible[0];
    state->mass = F(lane_total)(&sums->mass);
    state->first = F(lane_total)(&sums->first);
    state->second = F(lane_total)(&sums->second);
    state->largest = (double)largest;
    if (careful && impossible < 0) state->flags |= IS_INFINITE;
    int in_range = state->mass.high <= HIGHEST_SUM && fabs(state->second.high) <= HIGHEST_SUM;
    int tiny =
        (lowest < SAFE_WEIGHT && state->first.high < SAFE_SUM) || (state->mass.high > 0 && state->mass.high < SAFE_SUM);
    return sign >= 0 && lowest >= lowest_allowed && in_range && !tiny && largest < INFINITY;
}

static void F(wide_sums)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length, const klfast_row *row);

/* p and q summed: what the constant of a row is found with. */
static void F(sums)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length, const klfast_row *row) {
    REAL padded_p[STEP], padded_q[STEP];
    F(lanes) mass, other;
    memset(state, 0, sizeof *state);
    memset(&mass, 0, sizeof mass);
    memset(&other, 0, sizeof other);
    if (row->walk == WALK_WIDE_SUMS) {
        F(wide_sums)(state, p, q, length, row);
        return;
    }
    for (ptrdiff_t i = 0; i < length; i += RUN_LENGTH) {
        for (ptrdiff_t r = i; r < length && r < i + RUN_LENGTH; r += STEP) {
            F(fold)(&mass, F(whole_step)(p, r, length, 0, padded_p));
            F(fold)(&other, F(whole_step)(q, r, length, 0, padded_q));
        }
        F(end_run)(&mass);
        F(end_run)(&other);
    }
    state->mass = F(lane_total)(&mass);
    state->second = F(lane_total)(&other);
}

/* ---- divergence: the sums of gap and excess ---- */

/* One step; `mass` is p, or p with zeros behind the end of the row. */
static ALWAYS_INLINE void F(divergence_step)(F(sweep) *local, const REAL *restrict p, const REAL *restrict q,
                                             const REAL *restrict mass, REAL c, REAL c_low, const int careful,
                                             const int raw) {
    REAL first[STEP], second[STEP];
    for (int j = 0; j < STEP; j++) first[j] = F(gap)(p[j], q[j], c, c_low, &second[j], careful, raw);
    F(watch)(local, p, q, careful);
    F(fold)(&local->mass, mass);
    F(fold)(&local->first, first);
    F(fold)(&local->second, second);
}

static ALWAYS_INLINE void F(divergence_sweep)(F(sweep) *sums, const REAL *p, const REAL *q, ptrdiff_t length, REAL c,
                                              REAL c_low, const int careful, const int raw) {
    F(sweep) local = *sums;
    ptrdiff_t whole = length - length % STEP;
    for (ptrdiff_t i = 0; i < whole; i += RUN_LENGTH) {
        for (ptrdiff_t r = i; r < whole && r < i + RUN_LENGTH; r += STEP) {
            F(prefetch_step)(p + r + F(AHEAD));
            F(prefetch_step)(q + r + F(AHEAD));
            F(divergence_step)(&local, p + r, q + r, p + r, c, c_low, careful, raw);
        }
        F(end_runs)(&local);
    }
    if (whole < length) { /* behind the end p = c*q, whose gap is 0; zeros are for the careful loop */
        REAL last_p[STEP], last_q[STEP], mass[STEP];
        F(padded_step)(last_p, p + whole, length - whole, careful ? 0 : c);
        F(padded_step)(last_q, q + whole, length - whole, careful ? 0 : 1);
        F(padded_step)(mass, p + whole, length - whole, 0);
        F(divergence_step)(&local, last_p, last_q, mass, c, c_low, careful, raw);
        F(end_runs)(&local);
    }
    *sums = local;
}

/* One variant of each loop, so that each is compiled once. */
static NOINLINE void F(divergence_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length, REAL c) {
    F(divergence_sweep)(s, p, q, length, c, 0, 0, 0);
}
static NOINLINE void F(divergence_careful)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length, REAL c,
                                           REAL c_low) {
    F(divergence_sweep)(s, p, q, length, c, c_low, 1, 0);
}
static NOINLINE void F(raw_divergence_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length) {
    F(divergence_sweep)(s, p, q, length, 1, 0, 0, 1);
}
static NOINLINE void F(raw_divergence_careful)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length) {
    F(divergence_sweep)(s, p, q, length, 1, 0, 1, 1);
}

static void F(divergence_unusual)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                  const klfast_row *row, int raw);

static ALWAYS_INLINE void F(divergence_any)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                            const klfast_row *row, const int raw) {
    F(sweep) sums;
    memset(state, 0, sizeof *state);
    REAL c = (REAL)row->constant, c_low = (REAL)((row->constant - (double)c) + row->constant_low);
    int in_range = row->walk != WALK_ANCHORED && row->scale_p == 1.0 && row->scale_q == 1.0 &&
                   (double)c >= LOWEST_WEIGHT && (double)c <= 1 / LOWEST_WEIGHT;
    if (!in_range) {
        F(divergence_unusual)(state, p, q, length, row, raw);
        return;
    }
    REAL lowest = LOWEST_WEIGHT / (c < 1 ? c : 1); /* c*q and q are both to stay normal */
    if (row->walk == WALK_FAST) {
        F(begin_sweep)(&sums);
        if (raw) F(raw_divergence_fast)(&sums, p, q, length);
        else F(divergence_fast)(&sums, p, q, length, c);
        if (F(conclude)(state, &sums, lowest, 0)) return;
        memset(state, 0, sizeof *state);
        c_low = 0;
    }
    F(begin_sweep)(&sums);
    if (raw) F(raw_divergence_careful)(&sums, p, q, length);
    else F(divergence_careful)(&sums, p, q, length, c, c_low);
    if (F(conclude)(state, &sums, lowest, 1)) return;
    memset(state, 0, sizeof *state);
    F(divergence_unusual)(state, p, q, length, row, raw);
}

/* ---- cross-entropy and entropy (`same`: q is p, and one array is read) ----
 *
 * In a careful walk the one q above `limit` is set aside (`largest`) and the others summed without it, so that a row
 * that is nearly one-hot keeps the digits of its small rest. */

/* One step; `mass` and `rest` are p and q, or these with zeros behind the end of the row. */
static ALWAYS_INLINE void F(cross_entropy_step)(F(sweep) *local, const REAL *restrict p, const REAL *restrict q,
                                                const REAL *restrict mass, const REAL *restrict rest, REAL c,
                                                REAL limit, const int careful, const int same) {
    REAL term[STEP], beside[STEP];
    for (int j = 0; j < STEP; j++) {
        REAL other = careful && !(q[j] > SMALLEST_NORMAL) ? SMALLEST_NORMAL : q[j];
        term[j] = p[j] * F(log_ratio)(c, other);
        if (careful) beside[j] = q[j] > limit ? 0 : q[j];
    }
    F(watch)(local, p, q, careful);
    F(fold)(&local->first, term);
    F(fold)(&local->second, careful ? beside : rest);
    if (careful)
        for (int j = 0; j < STEP; j++) {
            REAL large = q[j] > limit ? q[j] : 0;
            local->largest[j % LANES] = large > local->largest[j % LANES] ? large : local->largest[j % LANES];
        }
    if (careful || !same) F(fold)(&local->mass, mass);
}

static ALWAYS_INLINE void F(cross_entropy_sweep)(F(sweep) *sums, const REAL *p, const REAL *q, ptrdiff_t length,
                                                 REAL c, REAL limit, const int careful, const int same) {
    F(sweep) local = *sums;
    ptrdiff_t whole = length - length % STEP;
    for (ptrdiff_t i = 0; i < whole; i += RUN_LENGTH) {
        for (ptrdiff_t r = i; r < whole && r < i + RUN_LENGTH; r += STEP) {
            F(prefetch_step)(q + r + F(AHEAD));
            if (!same) F(prefetch_step)(p + r + F(AHEAD));
            F(cross_entropy_step)(&local, same ? q + r : p + r, q + r, p + r, q + r, c, limit, careful, same);
        }
        F(end_runs)(&local);
    }
    if (whole < length) { /* behind the end p = 0 and q = c; zeros are for the careful loop */
        REAL last_p[STEP], last_q[STEP], rest[STEP];
        F(padded_step)(last_p, p + whole, length - whole, 0);
        F(padded_step)(last_q, q + whole, length - whole, careful ? 0 : c);
        F(padded_step)(rest, q + whole, length - whole, 0);
        F(cross_entropy_step)(&local, last_p, last_q, last_p, rest, c, limit, careful, same);
        F(end_runs)(&local);
    }
    *sums = local;
}

static NOINLINE void F(cross_entropy_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length, REAL c) {
    F(cross_entropy_sweep)(s, p, q, length, c, INFINITY, 0, 0);
}
static NOINLINE void F(entropy_fast)(F(sweep) *s, const REAL *p, ptrdiff_t length, REAL c) {
    F(cross_entropy_sweep)(s, p, p, length, c, INFINITY, 0, 1);
    s->mass = s->second;
}
static NOINLINE void F(cross_entropy_careful)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length, REAL c,
                                              REAL limit) {
    F(cross_entropy_sweep)(s, p, q, length, c, limit, 1, 0);
}

static void F(cross_entropy_unusual)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                     const klfast_row *row);

static ALWAYS_INLINE void F(cross_entropy_any)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                               const klfast_row *row, const int same) {
    F(sweep) sums;
    memset(state, 0, sizeof *state);
    REAL c = (REAL)row->constant;
    int in_range = row->scale_p == 1.0 && row->scale_q == 1.0 && c >= SMALLEST_NORMAL && (double)c <= HIGHEST_SUM;
    if (!in_range) {
        F(cross_entropy_unusual)(state, p, q, length, row);
        return;
    }
    if (row->walk == WALK_FAST) {
        F(begin_sweep)(&sums);
        if (same) F(entropy_fast)(&sums, p, length, c);
        else F(cross_entropy_fast)(&sums, p, q, length, c);
        if (F(conclude)(state, &sums, SMALLEST_NORMAL, 0)) return;
        memset(state, 0, sizeof *state);
    }
    F(begin_sweep)(&sums);
    F(cross_entropy_careful)(&sums, p, q, length, c, row->walk == WALK_CAREFUL ? (REAL)LARGE_SHARE * c : INFINITY);
    if (F(conclude)(state, &sums, SMALLEST_NORMAL, 1)) return;
    memset(state, 0, sizeof *state);
    F(cross_entropy_unusual)(state, p, q, length, row);
}
