/* Divergences that are a sum over f(p, q), f >= 0: Jensen-Shannon, total variation, Hellinger, Jeffreys, chi-squared.
 *
 * All are taken of p and c*q with c = sum p / sum q in two parts, through d = p - c*q, which is rounded once: nothing is
 * lost when p and q are close. One loop serves long rows and tiles (short rows, one in each lane). It takes zeros; what it
 * cannot do is noticed at the end of the block, and done by the functions of unusual_comparison.h. */

#include "js.inc.h"

/* f(p, c*q); d = p - c*q. Largest error 7.5 u (Jensen-Shannon), 7 u (Hellinger), 1 u (total variation; 2 u without FMA),
 * 6 u (others). A p or q of 0 is taken, also both; where the answer is infinite it is not, and any number comes out. */
static ALWAYS_INLINE REAL F(comparison_term)(REAL p, REAL cq, REAL d, const int kind) {
    if (kind == JENSEN_SHANNON) return F(js_term)(p, cq, d);
    if (kind == TOTAL_VARIATION) return F(absolute)(d);
    if (kind == HELLINGER) { /* (sqrt p - sqrt cq)^2 without the difference, and (sqrt p + sqrt cq)^2 without a square */
        REAL sum = F(fma)(2 * F(root)(p), F(root)(cq), p + cq);
        return d * (d / (sum > 0 ? sum : 1));
    }
    REAL least = cq > SMALLEST_NORMAL ? cq : SMALLEST_NORMAL;
    if (kind == CHI_SQUARED) return d * (d / least);
    return d * F(log_ratio_from)(p > SMALLEST_NORMAL ? p : SMALLEST_NORMAL, least, d);
}

/* A number less its last bit; of 0 a NaN, which no comparison takes for the smaller one. So what these sweeps watch for as the
 * smallest entry but zero is what lies just below it. */
static ALWAYS_INLINE REAL F(just_below)(REAL x) { return F(from_bits)(F(bits)(x) - 1); }

static ALWAYS_INLINE void F(watch_quotients)(F(sweep) *sums, const REAL *restrict p, const REAL *restrict q) {
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = p[part + j], b = q[part + j], below = F(just_below)(b);
            sums->lowest[j] = below < sums->lowest[j] ? below : sums->lowest[j];
            sums->sign[j] |= F(bits)(a) | F(bits)(b);
            sums->impossible[j] |= F(bits)(below) & ~(F(bits)(a) - 1); /* negative where b is zero and a is not */
        }
    }
}

/* The same where nothing is impossible, and it counts whether p and q have an event in common. For Jensen-Shannon small p
 * are as bad as small q (`both`). */
static ALWAYS_INLINE void F(watch_both)(F(sweep) *sums, const REAL *restrict p, const REAL *restrict q, const int both) {
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = p[part + j], b = q[part + j], lower = a < b ? a : b, lowest = sums->lowest[j];
            REAL below_a = both ? F(just_below)(a) : INFINITY, below_b = F(just_below)(b);
            lowest = below_a < lowest ? below_a : lowest;
            sums->lowest[j] = below_b < lowest ? below_b : lowest;
            sums->largest[j] = lower > sums->largest[j] ? lower : sums->largest[j];
            sums->sign[j] |= F(bits)(a) | F(bits)(b);
        }
    }
}

static ALWAYS_INLINE void F(comparison_terms)(REAL *restrict term, const REAL *restrict p, const REAL *restrict q,
                                              const REAL *restrict d, const F(constants) *restrict row, int *restrict later,
                                              const int kind) {
    if (kind == JENSEN_SHANNON) {
        F(js_terms_of_step)(term, p, q, d, row->c, later);
        return;
    }
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            term[part + j] = F(comparison_term)(p[part + j], row->c[j] * q[part + j], d[part + j], kind);
    }
}

/* The step at `start`. */
static ALWAYS_INLINE void F(comparison_step)(F(sweep) *local, const REAL *restrict p, const REAL *restrict q, ptrdiff_t start,
                                             const F(constants) *restrict row, int *restrict later, const int kind) {
    REAL first[STEP], second[STEP];
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            second[part + j] = F(fma)(-row->c_low[j], q[part + j], F(difference)(p[part + j], row->c[j], q[part + j]));
    }
    F(comparison_terms)(first, p, q, second, row, later, kind);
    if (kind == JENSEN_SHANNON) F(watch_both)(local, p, q, 1);
    else if (kind == TOTAL_VARIATION || kind == HELLINGER) F(watch_both)(local, p, q, 0);
    else F(watch_quotients)(local, p, q);
    if (kind == JEFFREYS) F(watch_quotients)(local, q, p); /* p = 0 < q is as bad as q = 0 < p */
    F(fold)(&local->mass, p);
    F(fold)(&local->first, first);
    F(fold)(&local->second, second);
    if (!row->first) return;
    memcpy(row->first + start, first, sizeof first);
    memcpy(row->second + start, second, sizeof second);
}

static ALWAYS_INLINE void F(comparison_sweep)(F(sweep) *sums, const REAL *p, const REAL *q, ptrdiff_t length,
                                              const F(constants) *row, const int kind) {
    F(sweep) local;
    int later = 0; /* for how many steps what is watched for is not */
    F(begin_sweep)(&local);
    const ptrdiff_t run = kind_is_close(kind) ? CLOSE_RUN : RUN_LENGTH;
    ptrdiff_t whole = length - length % STEP;
    for (ptrdiff_t i = 0; i < whole; i += run) {
        for (ptrdiff_t r = i; r < whole && r < i + run; r += STEP) {
            F(prefetch_step)(&row->ahead_p, r);
            F(prefetch_step)(&row->ahead_q, r);
            F(comparison_step)(&local, p + r, q + r, r, row, &later, kind);
        }
        F(end_runs)(&local);
    }
    if (whole < length) {
        REAL last_p[STEP], last_q[STEP];
        F(padded_step)(last_p, p + whole, length - whole, 0);
        F(padded_step)(last_q, q + whole, length - whole, 0);
        later = 1; /* a variant less of the longest of steps */
        F(comparison_step)(&local, last_p, last_q, whole, row, &later, kind);
        F(end_runs)(&local);
    }
    F(store_sweep)(sums, &local);
}

#define COMPARISON_SWEEP(KIND) \
    static NOINLINE void F(sweep_##KIND)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length, \
                                         const F(constants) *row) { \
        F(comparison_sweep)(s, p, q, length, row, KIND); \
    }
COMPARISON_SWEEP(JENSEN_SHANNON)
COMPARISON_SWEEP(TOTAL_VARIATION)
COMPARISON_SWEEP(HELLINGER)
COMPARISON_SWEEP(JEFFREYS)
COMPARISON_SWEEP(CHI_SQUARED)
#undef COMPARISON_SWEEP

#include "sparse.inc.h"

typedef void F(sweep_function)(F(sweep) *s, const REAL *p, const REAL *q, ptrdiff_t length, const F(constants) *row);
static F(sweep_function) *const F(comparison_sweeps)[] = {F(sweep_JENSEN_SHANNON), F(sweep_TOTAL_VARIATION),
                                                          F(sweep_HELLINGER), F(sweep_JEFFREYS), F(sweep_CHI_SQUARED)};

static void F(comparison_unusual)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                                  const klfast_row *row, int kind);

static void F(comparison_any)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length,
                              const klfast_row *row, int kind) {
    REAL c = (REAL)row->constant, c_low = (REAL)((row->constant - (double)c) + row->constant_low);
    int in_range = !is_scaled_walk(row->walk) && row->scale_p == 1.0 && row->scale_q == 1.0 &&
                   (double)c >= LOWEST_WEIGHT && (double)c <= 1 / LOWEST_WEIGHT;
    memset(state, 0, sizeof *state);
    if (in_range) {
        F(constants) constants = F(same_constants)(c, c_low, 0, p, q, row);
        F(sweep) sums;
        REAL lowest = LOWEST_WEIGHT / (c < 1 ? c : 1);
        ptrdiff_t begin = 0;
        if (kind == JENSEN_SHANNON && F(is_sparse)(p, q, length)) {
            ptrdiff_t whole = length - length % F(GROUP);
            if (F(js_sparse)(state, p, q, whole, &constants, row, lowest)) begin = whole;
        }
        klfast_state rest;
        memset(&rest, 0, sizeof rest);
        F(comparison_sweeps)[kind](&sums, p + begin, q + begin, length - begin, &constants);
        int usual = F(conclude)(&rest.weights, &sums, lowest, 1);
        klfast_state all = {.weights = *state};
        weights_join(&all, &rest, row);
        *state = all.weights;
        if (usual && (state->first.high <= HIGHEST_SUM || has_infinite_term(state, kind))) return;
        memset(state, 0, sizeof *state);
    }
    F(comparison_unusual)(state, p, q, length, row, kind);
}

/* The row that is alone in a tile: its terms are kept, to be added up as a lane of a tile is. */
static NOINLINE void F(comparison_of_row)(F(sweep) *sums, const REAL *p, const REAL *q, ptrdiff_t length, F(constants) *row,
                                          const klfast_row *told, int kind) {
    REAL first[KLFAST_SHORT_DISTRIBUTION + STEP], second[KLFAST_SHORT_DISTRIBUTION + STEP];
    row->first = first;
    row->second = second;
    F(comparison_sweeps)[kind](sums, p, q, length, row);
    F(watch_row)(sums, told);
    void (*add_row)(F(lanes) *, const REAL *, ptrdiff_t) =
        kind_is_close(kind) ? F(add_row_as_closely_compared) : F(add_row_as_compared);
    add_row(&sums->mass, p, told->alone);
    add_row(&sums->first, first, told->alone);
    add_row(&sums->second, second, told->alone);
}

/* What a lane comes to; returns whether its constant was close enough. A function of its own: the loop around it would be there
 * for every kind, which makes a hundredth of the library. */
static NOINLINE int F(compare_lane)(double *result, const F(tile_sums) *tile, int j, double distance, int kind, int raw) {
    weights_state s = {.mass.high = tile->mass[j], .first.high = tile->first[j], .second.high = tile->second[j],
                       .largest = tile->largest[j], .flags = tile->is_infinite[j] ? IS_INFINITE : 0};
    *result = comparison_value(&s, raw ? 1.0 : tile->mass[j], kind, raw);
    return raw || comparison_is_certain(&s, kind, sizeof(REAL) == sizeof(float), distance);
}

/* A tile; its results are first/p, not yet what the user asked for. */
static unsigned F(comparison_tile)(double *result, const REAL *p, const REAL *q, ptrdiff_t length,
                                   const klfast_row *told, int kind, const int raw) {
    double p_sum[LANES], q_sum[LANES];
    REAL lowest[LANES];
    F(constants) row = F(same_constants)(1, 0, 0, p, q, told);
    F(sweep) sums;
    F(tile_sums) tile;
    int certain[LANES];
    for (int j = 0; j < LANES; j++) lowest[j] = LOWEST_WEIGHT;
    if (!raw) {
        F(wide_line_sums)(p_sum, p, length, told);
        F(wide_line_sums)(q_sum, q, length, told);
        F(tile_quotients)(&row, lowest, p_sum, q_sum);
    }
    memset(certain, 0, sizeof certain);
    for (int attempt = 0, is_left = 1; is_left && attempt < 2; attempt++) {
        if (told->alone) F(comparison_of_row)(&sums, p, q, length, &row, told, kind);
        else F(comparison_sweeps)[kind](&sums, p, q, length, &row);
        F(tile_conclude)(&tile, &sums, lowest);
        is_left = 0;
        for (int j = 0; j < LANES; j++) {
            if (certain[j]) continue; /* as in any company */
            int is_infinite = tile.is_infinite[j] && kind_has_infinity(kind); /* whatever its terms add up to */
            int usual = tile.is_sound[j] && (tile.first[j] <= HIGHEST_SUM || is_infinite);
            double distance = least_distance((double)row.c[j], (double)row.c_low[j]);
            certain[j] = F(compare_lane)(&result[j], &tile, j, distance, kind, raw) && usual;
            if (certain[j] || !usual) continue;
            /* once more with what the sum of p - c*q says of c, which is more than the rounded sums of p and q do */
            row.c_low[j] += row.c[j] * (REAL)(tile.second[j] / tile.mass[j]);
            is_left |= CARRY && kind == TOTAL_VARIATION;
        }
    }
    return lane_bits(certain, LANES);
}
