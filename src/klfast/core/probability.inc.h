/* Blocks of the probability family: each element is read once. What the fast loop cannot do (zeros, very small or large
 * numbers, NaN) is noticed at the end of the block, and the block is done again: first by the careful variant of the
 * same loop, then, if need be, by the functions of unusual.h. So rare input costs only the block that it is in. */

/* What a sweep gathers. `lowest`: the smallest q; `careful`: the smallest but zero. */
typedef struct {
    F(lanes) mass, first, second;
    REAL lowest[LANES], largest[LANES];
    INTEGER sign[LANES], impossible[LANES];
} F(sweep);

/* What a sweep is told, once for every lane: all lanes belong to one row, or each to a row of its own (tile.inc.h). */
typedef struct {
    REAL c[LANES], c_low[LANES]; /* divergence: c in two parts; cross-entropy: c */
    REAL limit[LANES];           /* cross-entropy: what is set aside */
    REAL *mass, *first, *second; /* comparisons: where terms are kept as well, or NULL */
    const REAL *differences;     /* Renyi's: p - c*q where that is known better, or NULL */
    klfast_ahead ahead_p, ahead_q;
} F(constants);

static F(constants) F(same_constants)(REAL c, REAL c_low, REAL limit, const REAL *p, const REAL *q,
                                        const klfast_row *row) {
    F(constants) all;
    all.ahead_p = F(ahead_or)(&row->ahead_a, p, F(AHEAD));
    all.ahead_q = F(ahead_or)(&row->ahead_b, q, F(AHEAD));
    all.mass = all.first = all.second = NULL;
    all.differences = NULL;
    for (int j = 0; j < LANES; j++) {
        all.c[j] = c;
        all.c_low[j] = c_low;
        all.limit[j] = limit;
    }
    return all;
}

static ALWAYS_INLINE void F(begin_lanes)(F(lanes) *sum) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sum->high[j] = 0.0;
#if CARRY
        sum->low[j] = 0.0;
#endif
        sum->run[j] = 0;
    }
}

static ALWAYS_INLINE void F(begin_watch)(F(sweep) *sums) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sums->lowest[j] = INFINITY;
        sums->largest[j] = 0;
        sums->sign[j] = sums->impossible[j] = 0;
    }
}

static ALWAYS_INLINE void F(begin_sweep)(F(sweep) *sums) {
    F(begin_lanes)(&sums->mass);
    F(begin_lanes)(&sums->first);
    F(begin_lanes)(&sums->second);
    F(begin_watch)(sums);
}

/* Copies a sweep out of the registers; lane by lane, because GCC copies large structures with slow string instructions. */
static ALWAYS_INLINE void F(store_lanes)(F(lanes) *to, const F(lanes) *from) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        to->high[j] = from->high[j];
#if CARRY
        to->low[j] = from->low[j];
#endif
    }
}

static ALWAYS_INLINE void F(store_watch)(F(sweep) *to, const F(sweep) *from) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        to->lowest[j] = from->lowest[j];
        to->largest[j] = from->largest[j];
        to->sign[j] = from->sign[j];
        to->impossible[j] = from->impossible[j];
    }
}

static ALWAYS_INLINE void F(store_sweep)(F(sweep) *to, const F(sweep) *from) {
    F(store_lanes)(&to->mass, &from->mass);
    F(store_lanes)(&to->first, &from->first);
    F(store_lanes)(&to->second, &from->second);
    F(store_watch)(to, from);
}

static ALWAYS_INLINE void F(watch_part)(F(sweep) *sums, const REAL *restrict p, const REAL *restrict q, const int careful) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        REAL a = p[j], b = q[j], low = careful ? (b > 0 ? b : INFINITY) : b;
        sums->lowest[j] = low < sums->lowest[j] ? low : sums->lowest[j];
        sums->sign[j] |= careful ? F(bits)(a) | F(bits)(b) : F(bits)(a);
        /* negative where b is zero and a is not */
        if (careful) sums->impossible[j] |= (F(bits)(b) - 1) & ~(F(bits)(a) - 1);
    }
}

static ALWAYS_INLINE void F(end_runs)(F(sweep) *sums) {
    F(end_run)(&sums->mass);
    F(end_run)(&sums->first);
    F(end_run)(&sums->second);
}

/* The lowest q beside which a small sum is not suspicious. A divergence allows those that come to LOWEST_WEIGHT times c: in
 * these units its terms are. */
static ALWAYS_INLINE REAL F(safe_weight)(REAL lowest_allowed) {
    REAL scaled = (REAL)(SAFE_WEIGHT / LOWEST_WEIGHT) * lowest_allowed;
    return lowest_allowed > SMALLEST_NORMAL ? scaled : SAFE_WEIGHT;
}

/* Whether the sums of a sweep can be trusted: not where zeros or negative entries are where the loop expects none, or
 * numbers leave the range in which its terms are exact. */
static ALWAYS_INLINE int F(is_trusted)(weights_state *state, REAL lowest, INTEGER sign, INTEGER impossible,
                                       REAL lowest_allowed) {
    if (impossible < 0) state->flags |= IS_INFINITE;
    /* The term of a q of zero or of a huge one is no number, or there is a NaN: not for this loop to say. */
    int unclear = state->first.high != state->first.high;
    int in_range = state->mass.high <= HIGHEST_SUM && fabs(state->second.high) <= HIGHEST_SUM;
    int tiny = (lowest < F(safe_weight)(lowest_allowed) && state->first.high < SAFE_SUM) ||
               (state->mass.high > 0 && state->mass.high < SAFE_SUM);
    return sign >= 0 && lowest >= lowest_allowed && in_range && !tiny && !unclear && state->largest < INFINITY;
}

static ALWAYS_INLINE void F(halve_watch)(F(sweep) *s, const int half, const int careful) {
    AS_LOOP
    for (int j = 0; j < half; j++) {
        s->lowest[j] = s->lowest[half + j] < s->lowest[j] ? s->lowest[half + j] : s->lowest[j];
        s->sign[j] |= s->sign[half + j];
        s->impossible[j] |= s->impossible[half + j];
        if (careful) s->largest[j] = s->largest[half + j] > s->largest[j] ? s->largest[half + j] : s->largest[j];
    }
}

/* The sums of a sweep; returns whether they can be trusted. */
static ALWAYS_INLINE int F(conclude)(weights_state *state, const F(sweep) *sums, REAL lowest_allowed, const int careful) {
    F(sweep) s;
    for (int j = 0; j < LANES; j++) {
        s.lowest[j] = sums->lowest[j];
        s.largest[j] = careful ? sums->largest[j] : 0;
        s.sign[j] = sums->sign[j];
        s.impossible[j] = sums->impossible[j]; /* also of a fast sweep: its last step is a careful one */
    }
    if (LANES == 16) F(halve_watch)(&s, 8, careful);
    F(halve_watch)(&s, 4, careful);
    F(halve_watch)(&s, 2, careful);
    F(halve_watch)(&s, 1, careful);
    state->mass = F(lane_total)(&sums->mass);
    state->first = F(lane_total)(&sums->first);
    state->second = F(lane_total)(&sums->second);
    state->largest = (double)s.largest[0];
    return F(is_trusted)(state, s.lowest[0], s.sign[0], s.impossible[0], lowest_allowed);
}

static void F(wide_sums)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length, const klfast_row *row);

/* p and q summed, lane by lane. */
static void F(lane_sums)(F(lanes) *p_sum, F(lanes) *q_sum, const REAL *p, const REAL *q, ptrdiff_t length) {
    REAL padded_p[STEP], padded_q[STEP];
    F(lanes) mass, other;
    ptrdiff_t whole = length - length % STEP;
    F(begin_lanes)(&mass);
    F(begin_lanes)(&other);
    for (ptrdiff_t i = 0; i < whole; i += RUN_LENGTH) {
        for (ptrdiff_t r = i; r < whole && r < i + RUN_LENGTH; r += STEP) {
            F(fold)(&mass, p + r);
            F(fold)(&other, q + r);
        }
        F(end_run)(&mass);
        F(end_run)(&other);
    }
    if (whole < length) {
        F(padded_step)(padded_p, p + whole, length - whole, 0);
        F(padded_step)(padded_q, q + whole, length - whole, 0);
        F(fold)(&mass, padded_p);
        F(fold)(&other, padded_q);
        F(end_run)(&mass);
        F(end_run)(&other);
    }
    F(store_lanes)(p_sum, &mass);
    F(store_lanes)(q_sum, &other);
}

/* What the constant of a row is found with. */
static void F(sums)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length, const klfast_row *row) {
    F(lanes) mass, other;
    memset(state, 0, sizeof *state);
    if (row->walk == WALK_WIDE_SUMS) {
        F(wide_sums)(state, p, q, length, row);
        return;
    }
    F(lane_sums)(&mass, &other, p, q, length);
    state->mass = F(lane_total)(&mass);
    state->second = F(lane_total)(&other);
}

/* Whether q is a multiple of p: p/q is that of the first entry but zeros everywhere, which is kept for other blocks. */
static NOINLINE void F(multiples)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length) {
    ptrdiff_t i = 0;
    memset(state, 0, sizeof *state);
    while (i < length && p[i] == 0 && q[i] == 0) i++;
    if (i == length) return;
    double a = (double)p[i], b = (double)q[i];
    int is_multiple = is_middling(a) && is_middling(b);
    while (is_multiple && i < length) {
        ptrdiff_t end = smaller(length, i + STEP);
        for (; i < end; i++) is_multiple &= has_ratio((double)p[i], (double)q[i], a, b);
    }
    state->largest_p = a;
    state->q_beside_largest_p = b;
    state->flags = is_multiple ? 0 : NO_MULTIPLE;
}

/* ---- divergence: the sums of gap and excess ---- */

/* How a step takes p and q: with a constant between them, with 1, or as they are. */
enum { F(SCALED), F(UNSCALED), F(RAW) };

/* The gaps and excesses of one to four lines, watched. */
static ALWAYS_INLINE void F(gap_lines)(F(sweep) *local, REAL *restrict first, REAL *restrict second, F(lines) p, F(lines) q,
                                       const F(constants) *restrict row, const int lines, const int careful, const int way) {
    REAL slope[STEP];
    INTEGER field[STEP];
    FULLY_UNROLLED
    for (int k = 0; k < lines; k++) {
        const REAL *a = p.line[k], *b = q.line[k];
        const int at = k * LANES;
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            slope[at + j] = F(gap_slope)(a[j], b[j], way == F(SCALED) ? row->c[j] : 1, row->c_low[j], &second[at + j],
                                         &field[at + j], careful, way == F(RAW));
        F(watch_part)(local, a, b, careful);
    }
    END_OF_STAGE;
    FULLY_UNROLLED
    for (int k = 0; k < lines; k++) {
        const REAL *a = p.line[k];
        const int at = k * LANES;
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            first[at + j] = F(gap_from_slope)(a[j], slope[at + j], second[at + j], field[at + j], way == F(RAW));
    }
}

static ALWAYS_INLINE void F(divergence_step)(F(sweep) *local, F(lines) p, F(lines) q, const F(constants) *restrict row,
                                             const int careful, const int way) {
    REAL first[STEP], second[STEP];
    F(gap_lines)(local, first, second, p, q, row, STEP / LANES, careful, way);
    F(fold_lines)(&local->mass, p);
    F(fold)(&local->first, first);
    F(fold)(&local->second, second);
}

static ALWAYS_INLINE void F(divergence_sweep)(F(sweep) *sums, const REAL *p, const REAL *q, ptrdiff_t length,
                                              const F(constants) *row, const int careful, const int way) {
    F(sweep) local;
    F(begin_sweep)(&local);
    ptrdiff_t whole = length - length % STEP;
    for (ptrdiff_t i = 0; i < whole; i += RUN_LENGTH) {
        for (ptrdiff_t r = i; r < whole && r < i + RUN_LENGTH; r += STEP) {
            F(prefetch_step)(&row->ahead_p, r);
            F(prefetch_step)(&row->ahead_q, r);
            F(divergence_step)(&local, F(lines_of)(p + r), F(lines_of)(q + r), row, careful, way);
        }
        F(end_runs)(&local);
    }
    if (whole < length) { /* zeros behind the end, which are for the careful step: it has the same bits */
        REAL last_p[STEP], last_q[STEP];
        F(padded_step)(last_p, p + whole, length - whole, 0);
        F(padded_step)(last_q, q + whole, length - whole, 0);
        F(divergence_step)(&local, F(lines_of)(last_p), F(lines_of)(last_q), row, 1, way);
        F(end_runs)(&local);
    }
    F(store_sweep)(sums, &local);
}

/* One variant of each loop, so that each is compiled once. Without a constant the bits are those of the constant 1. */
static AS_WRITTEN void F(divergence_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                        const F(constants) *row) {
    F(divergence_sweep)(s, p, q, length, row, 0, F(SCALED));
}
static AS_WRITTEN void F(unscaled_divergence_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                                 const F(constants) *row) {
    F(divergence_sweep)(s, p, q, length, row, 0, F(UNSCALED));
}
static AS_WRITTEN void F(divergence_careful)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                           const F(constants) *row) {
    F(divergence_sweep)(s, p, q, length, row, 1, F(SCALED));
}
static AS_WRITTEN void F(raw_divergence_fast)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                            const F(constants) *row) {
    F(divergence_sweep)(s, p, q, length, row, 0, F(RAW));
}
static AS_WRITTEN void F(raw_divergence_careful)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length,
                                               const F(constants) *row) {
    F(divergence_sweep)(s, p, q, length, row, 1, F(RAW));
}

static void F(divergence_unusual)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                  const klfast_row *row, int raw);

/* Whether the sweeps take a row's constant. */
static ALWAYS_INLINE int F(divergence_in_range)(const klfast_row *row) {
    REAL c = (REAL)row->constant;
    return row->walk != WALK_ANCHORED && row->scale_p == 1.0 && row->scale_q == 1.0 && (double)c >= LOWEST_WEIGHT &&
           (double)c <= 1 / LOWEST_WEIGHT;
}

/* The lowest q that they take beside it: c*q and q are both to stay normal. */
static ALWAYS_INLINE REAL F(lowest_of_divergence)(REAL c) { return LOWEST_WEIGHT / (c < 1 ? c : 1); }

static ALWAYS_INLINE void F(divergence_any)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                            const klfast_row *row, const int raw) {
    F(sweep) sums;
    memset(state, 0, sizeof *state);
    REAL c = (REAL)row->constant, c_low = (REAL)((row->constant - (double)c) + row->constant_low);
    if (!F(divergence_in_range)(row)) {
        F(divergence_unusual)(state, p, q, length, row, raw);
        return;
    }
    REAL lowest = F(lowest_of_divergence)(c);
    F(constants) constants = F(same_constants)(c, row->walk == WALK_FAST ? 0 : c_low, 0, p, q, row);
    if (row->walk == WALK_FAST && !row->expects_zeros) {
        if (raw) F(raw_divergence_fast)(&sums, p, q, length, &constants);
        else if (c == 1) F(unscaled_divergence_fast)(&sums, p, q, length, &constants);
        else F(divergence_fast)(&sums, p, q, length, &constants);
        if (F(conclude)(state, &sums, lowest, 0)) return;
        memset(state, 0, sizeof *state);
    }
    if (raw) F(raw_divergence_careful)(&sums, p, q, length, &constants);
    else F(divergence_careful)(&sums, p, q, length, &constants);
    if (F(conclude)(state, &sums, lowest, 1)) return;
    memset(state, 0, sizeof *state);
    F(divergence_unusual)(state, p, q, length, row, raw);
}
