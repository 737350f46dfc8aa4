/* Renyi's divergence of order alpha, in double whatever the input: included for double alone.
 *
 * With p and c*q of equal sums, sum p^a (c*q)^(1-a) = sum p - sum h, where
 *     h = (1 - a)*gap(p, c*q) - p*(e^y - 1 - y)    with y = (a - 1)*log(p/(c*q))
 * has the sign of 1 - a and loses nothing, neither where p and q are close nor where a is close to 1: for a >= 1 both parts
 * are negative, and down to a = 1/2 the second takes two thirds of the first at most, where |y| <= 1. Where it is more, h is
 * a*p + (1 - a)*c*q - p*e^y. Orders below 1/2 change the parts of p and q, a and 1 - a: so neither is ever taken from 1 where
 * little is left of it. For multiples of 1/2 (up to MOST_POWERS) h is a square times a polynomial and needs no logarithm.
 * Order 0 is log(sum q / sum of q where p > 0), infinite order the log of the largest p/q.
 *
 * Rows at the ends of the range, and those between which there is next to nothing, are scaled, and the latter have c from an
 * anchor (see weights.h). Rows for which that is not enough (numbers at both ends, nearly disjoint supports) are walked once
 * more, as logarithms. */

enum { ORDER_ZERO, ORDER_HALF, ORDER_TWO, ORDER_WHOLE, ORDER_WITH_HALF, ORDER_INFINITE, ORDER_ANY };

/* Up to here a polynomial is faster, and keeps its digits: it is off by some 4 units for each of its powers. They are those of
 * p/q or, for orders that are not whole, of its root. */
enum { MOST_POWERS = 32 };

static int renyi_kind(double order) {
    if (order == 0) return ORDER_ZERO;
    if (order == 0.5) return ORDER_HALF;
    if (order == 2) return ORDER_TWO;
    if (order > 1 && order <= MOST_POWERS && order == (int)order) return ORDER_WHOLE;
    if (order > 1 && 2 * order <= MOST_POWERS && 2 * order == (int)(2 * order)) return ORDER_WITH_HALF;
    return order == HUGE_VAL ? ORDER_INFINITE : ORDER_ANY;
}

/* h of order a >= 1/2 for a step of p and b >= 0, given d = p - b and rest = 1 - a. Where b = 0 < p it is a*p, where p = 0
 * rest*b. First all y and gaps, then all h: one element after the other would wait for itself. */
static ALWAYS_INLINE void renyi_terms(double *restrict h, const double *restrict p, const double *restrict b,
                                      const double *restrict d, double order, double rest) {
    double y[STEP], gap[STEP];
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        double held_p = p[j] > SMALLEST_NORMAL ? p[j] : SMALLEST_NORMAL;
        double held_b = b[j] > SMALLEST_NORMAL ? b[j] : SMALLEST_NORMAL;
        log_parts_f64 parts = split_log_f64(held_p, held_b, d[j]);
        y[j] = -rest * log_of_parts_f64(parts);
        gap[j] = gap_of_parts_f64(p[j], parts, d[j], d[j]);
    }
    END_OF_STAGE;
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        double held = y[j] < 700 ? (y[j] > -700 ? y[j] : -700) : 700;
        exp_terms_f64 grown = exp_terms_of_f64(held, 0);
        double beyond = y[j] > 700 ? INFINITY : held - y[j]; /* what e^y - 1 - y lacks there */
        double near = fma_f64(-p[j], grown.gap + beyond, rest * gap[j]);
        double far = fma_f64(p[j], order - grown.exp, rest * b[j]), alone = order * p[j];
        double term = (rest > 0) & (y[j] < 700) & (fabs(y[j]) > 1) ? far : near;
        h[j] = b[j] > 0 ? term : alone;
    }
}

/* The same of order 1/2, (sqrt p - sqrt b)^2/2, and of order 2, -(p - b)^2/b. */
static ALWAYS_INLINE double renyi_term_half(double p, double b, double d) {
    double roots = sqrt(p) + sqrt(b), difference = d / (roots > SMALLEST_NORMAL ? roots : SMALLEST_NORMAL);
    return 0.5 * difference * difference;
}

static ALWAYS_INLINE double renyi_term_two(double p, double b, double d) {
    double term = d / (b > SMALLEST_NORMAL ? b : SMALLEST_NORMAL) * -d, alone = 2 * p;
    return b > 0 ? term : alone;
}

/* The same of order a = 3/2, 5/2, 3, 7/2, ... With u = p/b of a whole order, and its root, r, of another,
 *     u^a - 1 - a*(u - 1) = (u - 1)^2 * (u^(a-2) + 2*u^(a-3) + ... + (a - 2)*u + a - 1)
 *     r^m - 1 - a*(r^2 - 1) = (r - 1)^2 * (r^(m-2) + 2*r^(m-3) + ... + (m - 2)*r + a - 1)    with m = 2*a
 * where nothing is ever subtracted. */
static ALWAYS_INLINE void renyi_terms_of_powers(double *restrict h, const double *restrict p, const double *restrict b,
                                                const double *restrict d, double order, const int with_half) {
    double x[STEP], square[STEP], factor[STEP];
    int powers = (int)(with_half ? 2 * order : order);
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        double inverse = 1 / (b[j] > SMALLEST_NORMAL ? b[j] : SMALLEST_NORMAL), beyond = d[j] * inverse;
        double root = sqrt(p[j] * inverse), from_one = beyond / (root + 1);
        x[j] = with_half ? root : 1 + beyond;
        square[j] = with_half ? from_one * from_one * b[j] : beyond * d[j];
        factor[j] = powers % 2 ? 0 : 1;
    }
    END_OF_STAGE;
    for (int k = powers % 2 ? 1 : 2; k < powers; k += 2) { /* two at a time, or each would wait for memory */
        double next = k, after = k + 2 < powers ? k + 1 : order - 1;
        AS_LOOP
        for (int j = 0; j < STEP; j++) factor[j] = fma_f64(fma_f64(factor[j], x[j], next), x[j], after);
        END_OF_STAGE;
    }
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        double alone = order * p[j];
        h[j] = b[j] > 0 ? -square[j] * factor[j] : alone;
    }
}

/* p - c*q of the step at `start`. */
static ALWAYS_INLINE void renyi_differences(double *restrict d, const double *restrict p, const double *restrict q,
                                            ptrdiff_t start, const constants_f64 *restrict row) {
    if (row->differences) {
        memcpy(d, row->differences + start, STEP * sizeof *d);
        return;
    }
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            d[part + j] = fma_f64(-row->c_low[j], q[part + j], difference_f64(p[part + j], row->c[j], q[part + j]));
    }
}

/* The step at `start`. */
static ALWAYS_INLINE void renyi_step(sweep_f64 *local, const double *restrict p, const double *restrict q, ptrdiff_t start,
                                     const constants_f64 *restrict row, double order, const int kind) {
    double first[STEP], second[STEP], mass[STEP], beside[STEP], scaled[STEP], opposite[STEP];
    const int of_powers = kind == ORDER_WHOLE || kind == ORDER_WITH_HALF;
    const int has_logarithm = kind != ORDER_HALF && kind != ORDER_TWO && !of_powers; /* which a small p may not have */
    renyi_differences(second, p, q, start, row);
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            double a = p[part + j], b = q[part + j], cb = row->c[j] * b, d = second[part + j], h = 0, m = a;
            if (kind == ORDER_HALF) h = renyi_term_half(a, cb, d);
            if (kind == ORDER_TWO) h = renyi_term_two(a, cb, d);
            if (kind == ORDER_ZERO) {
                h = a > 0 ? 0 : cb;
                m = a > 0 ? cb : 0;
            }
            if (kind == ORDER_INFINITE) {
                double ratio = a > 0 ? d / (cb > SMALLEST_NORMAL ? cb : SMALLEST_NORMAL) : -INFINITY;
                local->largest[j] = ratio > local->largest[j] ? ratio : local->largest[j];
            }
            first[part + j] = h;
            mass[part + j] = m;
            beside[part + j] = a * row->limit[j];
            scaled[part + j] = cb;
            opposite[part + j] = -d;
        }
    }
    if (kind == ORDER_ANY) {
        int is_low = order < 0.5;
        renyi_terms(first, is_low ? scaled : p, is_low ? p : scaled, is_low ? opposite : second,
                    is_low ? 1 - order : order, is_low ? order : 1 - order);
    }
    if (of_powers) renyi_terms_of_powers(first, p, scaled, second, order, kind == ORDER_WITH_HALF);
    watch_quotients_f64(local, p, q);
    if (has_logarithm) watch_quotients_f64(local, q, beside);
    fold_f64(&local->mass, mass);
    fold_f64(&local->first, first);
    fold_f64(&local->second, second);
    if (!row->first) return;
    memcpy(row->mass + start, mass, sizeof mass);
    memcpy(row->first + start, first, sizeof first);
    memcpy(row->second + start, second, sizeof second);
}

/* A step with 0.0 for -0.0; `step` may be `plain` itself. */
static ALWAYS_INLINE const double *without_signs(const double *step, double *plain) {
    for (int j = 0; j < STEP; j++) plain[j] = step[j] + 0.0;
    return plain;
}

/* `signs`: there may be -0.0, which means 0.0. */
static ALWAYS_INLINE void renyi_sweep(sweep_f64 *sums, const double *p, const double *q, ptrdiff_t length,
                                      const constants_f64 *row, double order, const int kind, int signs) {
    double last_p[STEP], last_q[STEP];
    sweep_f64 local;
    begin_sweep_f64(&local);
    for (int j = 0; kind == ORDER_INFINITE && j < LANES; j++) local.largest[j] = -INFINITY; /* it may be below 0 */
    for (ptrdiff_t r = 0; r < length; r += STEP) {
        const double *a = whole_step_f64(p, r, length, 0, last_p), *b = whole_step_f64(q, r, length, 0, last_q);
        if (signs) {
            a = without_signs(a, last_p);
            b = without_signs(b, last_q);
        }
        renyi_step(&local, a, b, r, row, order, kind);
        end_runs_f64(&local);
    }
    store_sweep_f64(sums, &local);
}

#define RENYI_SWEEP(KIND) \
    static NOINLINE void sweep_##KIND##_f64(sweep_f64 *s, const double *p, const double *q, ptrdiff_t n, \
                                            const constants_f64 *row, double order, int signs) { \
        renyi_sweep(s, p, q, n, row, order, KIND, signs); \
    }
RENYI_SWEEP(ORDER_ZERO)
RENYI_SWEEP(ORDER_HALF)
RENYI_SWEEP(ORDER_TWO)
RENYI_SWEEP(ORDER_WHOLE)
RENYI_SWEEP(ORDER_WITH_HALF)
RENYI_SWEEP(ORDER_INFINITE)
RENYI_SWEEP(ORDER_ANY)
#undef RENYI_SWEEP

typedef void renyi_sweep_function(sweep_f64 *s, const double *p, const double *q, ptrdiff_t n, const constants_f64 *row,
                                  double order, int signs);
static renyi_sweep_function *const renyi_sweeps[] = {
    [ORDER_ZERO] = sweep_ORDER_ZERO_f64,
    [ORDER_HALF] = sweep_ORDER_HALF_f64,
    [ORDER_TWO] = sweep_ORDER_TWO_f64,
    [ORDER_WHOLE] = sweep_ORDER_WHOLE_f64,
    [ORDER_WITH_HALF] = sweep_ORDER_WITH_HALF_f64,
    [ORDER_INFINITE] = sweep_ORDER_INFINITE_f64,
    [ORDER_ANY] = sweep_ORDER_ANY_f64,
};

static NOINLINE void add_row_in_steps(lanes_f64 *sum, const double *term, ptrdiff_t length) {
    add_row_as_swept_f64(sum, term, length, STEP);
}

/* The row that is alone in a tile: as comparison_of_row. */
static NOINLINE void renyi_of_row(sweep_f64 *sums, const double *p, const double *q, ptrdiff_t length, constants_f64 *row,
                                  int signs, const klfast_row *told) {
    double mass[KLFAST_SHORT_DISTRIBUTION + STEP], first[KLFAST_SHORT_DISTRIBUTION + STEP],
        second[KLFAST_SHORT_DISTRIBUTION + STEP], order = told->parameters->order;
    row->mass = mass;
    row->first = first;
    row->second = second;
    renyi_sweeps[renyi_kind(order)](sums, p, q, length, row, order, signs);
    watch_row_f64(sums, told);
    add_row_in_steps(&sums->mass, mass, told->alone);
    add_row_in_steps(&sums->first, first, told->alone);
    add_row_in_steps(&sums->second, second, told->alone);
}

/* What a lane whose sums are sound comes to; returns whether they tell. `impossible`: what makes an order above 1 infinite. */
static NOINLINE int renyi_of_lane(double *result, const tile_sums_f64 *tile, int j, double order, double distance,
                                  int impossible) {
    weights_state s = {.mass.high = tile->mass[j], .first.high = tile->first[j], .second.high = tile->second[j],
                       .largest = tile->largest[j]};
    int is_certain = renyi_is_certain(&s, order) && !renyi_is_next_to_nothing(&s, order, distance);
    *result = impossible ? HUGE_VAL : renyi_from_sums(&s, order);
    return impossible || (*result >= 0 && fabs(s.first.high) <= HIGHEST_SUM && is_certain);
}

static int has_impossible(const double *p, const double *q, ptrdiff_t start, ptrdiff_t length, ptrdiff_t distance) {
    for (ptrdiff_t i = start; i < length; i += distance)
        if (q[i] == 0 && p[i] > 0) return 1;
    return 0;
}

static unsigned tile_renyi_divergence_f64(double *result, const void *a, const void *b, ptrdiff_t length, ptrdiff_t count,
                                          const klfast_row *told, void *out_a, void *out_b) {
    (void)out_a, (void)out_b;
    const double *p = a, *q = b;
    double order = told->parameters->order, p_sum[LANES], q_sum[LANES], lowest[LANES];
    constants_f64 row = same_constants_f64(1, 0, 0, p, q, told);
    sweep_f64 sums;
    tile_sums_f64 tile;
    int certain[LANES] = {0};
    wide_line_sums_f64(p_sum, p, length, told);
    wide_line_sums_f64(q_sum, q, length, told);
    tile_quotients_f64(&row, lowest, p_sum, q_sum);
    for (int j = 0; j < LANES; j++) row.limit[j] = 1 / (row.c[j] < 1 ? row.c[j] : 1);
    int signs = 0;
    do { /* the same bits where there are none */
        if (told->alone) renyi_of_row(&sums, p, q, length, &row, signs, told);
        else renyi_sweeps[renyi_kind(order)](&sums, p, q, length, &row, order, signs);
        tile_conclude_f64(&tile, &sums, lowest);
    } while (!all_sound_f64(&tile, count) && signs++ == 0);
    for (int j = 0; j < count; j++) {
        if (!tile.is_sound[j]) continue;
        int is_watched = tile.is_infinite[j] && order > 1; /* both ways, see below */
        int impossible = is_watched && has_impossible(p, q, j, length, told->alone ? 1 : LANES);
        double distance = least_distance(row.c[j], row.c_low[j]);
        certain[j] = renyi_of_lane(&result[j], &tile, j, order, distance, impossible);
    }
    return lane_bits(certain, LANES);
}

/* The logarithms of p, of q, and of p^a q^(1-a), each to be added up as exponentials. */
static void renyi_logs(renyi_state *s, const double *p, const double *q, ptrdiff_t length, const klfast_row *row) {
    double order = row->parameters->order;
    double log_p[PIECE_OF_LOGS], log_q[PIECE_OF_LOGS], product[PIECE_OF_LOGS];
    softmax_state piece;
    for (ptrdiff_t i = 0; i < length; i += PIECE_OF_LOGS) {
        ptrdiff_t count = length - i < PIECE_OF_LOGS ? length - i : PIECE_OF_LOGS;
        for (ptrdiff_t k = 0; k < count; k++) {
            double a = p[i + k], b = q[i + k], ratio = a > 0 && b > 0 ? log_ratio_any(a, b) : 0;
            log_p[k] = a > 0 ? log_ratio_any(a, 1.0) : -HUGE_VAL;
            log_q[k] = b > 0 ? log_ratio_any(b, 1.0) : -HUGE_VAL;
            product[k] = !(a > 0 && b > 0) ? -HUGE_VAL
                         : order == HUGE_VAL ? ratio
                         : order < 0.5       ? log_q[k] + order * ratio
                                             : log_p[k] + (order - 1) * ratio;
            s->largest_ratio = fmax(s->largest_ratio, product[k]);
        }
        softmax_any_f64(&piece, log_p, count, row, 0);
        join_softmax(&s->log_p, piece, row);
        softmax_any_f64(&piece, log_q, count, row, 0);
        join_softmax(&s->log_q, piece, row);
        softmax_any_f64(&piece, product, count, row, 0);
        join_softmax(&s->product, piece, row);
    }
}

/* The constants of a block whose c is row->constant, and the lowest q that is taken beside it; p, which is of the size of c*q,
 * is told in the same units. */
static constants_f64 renyi_constants(double *lowest, const double *p, const double *q, const klfast_row *row) {
    double held = row->constant < 1 ? row->constant : 1;
    int in_range = row->constant >= LOWEST_WEIGHT && row->constant <= 1 / LOWEST_WEIGHT;
    *lowest = in_range ? LOWEST_WEIGHT / held : NAN;
    return same_constants_f64(row->constant, row->constant_low, 1 / held, p, q, row);
}

static int renyi_in_place(weights_state *state, const double *p, const double *q, ptrdiff_t length, const klfast_row *row) {
    double lowest, order = row->parameters->order;
    constants_f64 constants = renyi_constants(&lowest, p, q, row);
    sweep_f64 sums;
    int usual = 0;
    for (int signs = 0; signs <= 1 && !usual; signs++) {
        renyi_sweeps[renyi_kind(order)](&sums, p, q, length, &constants, order, signs);
        usual = conclude_f64(state, &sums, lowest, 1);
    }
    return usual;
}

/* The same of a row that is scaled. */
static int renyi_scaled(weights_state *state, const double *p, const double *q, ptrdiff_t length, const klfast_row *row) {
    double scaled_p[PIECE], scaled_q[PIECE], differences[PIECE], lowest, order = row->parameters->order;
    constants_f64 constants = renyi_constants(&lowest, scaled_p, scaled_q, row);
    int usual = 1;
    constants.differences = differences;
    for (ptrdiff_t i = 0; i < length; i += PIECE) {
        ptrdiff_t count = length - i < PIECE ? length - i : PIECE;
        klfast_state all = {.weights = *state}, piece;
        sweep_f64 sums;
        memset(&piece, 0, sizeof piece);
        memset(differences, 0, sizeof differences);
        for (ptrdiff_t k = 0; k < count; k++) {
            scaled_p[k] = p[i + k] * row->scale_p + 0.0;
            scaled_q[k] = q[i + k] * row->scale_q + 0.0;
            differences[k] = difference_told(scaled_p[k], scaled_q[k], row);
        }
        renyi_sweeps[renyi_kind(order)](&sums, scaled_p, scaled_q, count, &constants, order, 0);
        usual &= conclude_f64(&piece.weights, &sums, lowest, 1);
        if (i > 0) weights_join(&all, &piece, row);
        *state = i > 0 ? all.weights : piece.weights;
    }
    return usual;
}

static void renyi_divergence_f64(klfast_state *state, const void *p, const void *q, ptrdiff_t length,
                                 const klfast_row *row) {
    renyi_state *s = &state->renyi;
    memset(s, 0, sizeof *s);
    s->largest_ratio = -HUGE_VAL;
    if (is_sums(row->walk)) {
        sums_f64(&s->weights, p, q, length, row);
        return;
    }
    if (row->walk == WALK_TERMS) {
        note_special(&s->weights, p, q, length);
        if (!(s->weights.flags & HAS_NAN)) renyi_logs(s, p, q, length, row);
        return;
    }
    int usual = (is_scaled_walk(row->walk) ? renyi_scaled : renyi_in_place)(&s->weights, p, q, length, row);
    /* watched both ways, so it does not say which of p and q is 0 alone */
    int is_watched = s->weights.flags & IS_INFINITE && row->parameters->order > 1;
    if (!(is_watched && has_impossible(p, q, 0, length, 1))) s->weights.flags &= ~IS_INFINITE;
    if (!usual || !(fabs(s->weights.first.high) <= HIGHEST_SUM)) s->weights.flags |= OUT_OF_SCALE;
}
