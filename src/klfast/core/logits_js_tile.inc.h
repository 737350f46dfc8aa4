/* Short rows of two arrays of logits, LANES pairs side by side: Jensen-Shannon as in logits_pair.inc.h.
 *
 * The log ratio of the totals comes from both softmaxes. Its error is the same in the log(p/q) of every class, so that it shows
 * in the sum of p - q; a sweep of its own finds that sum, and the next one has the error taken off. Lanes that need more care
 * (NaN, +inf, logits out of range, next to no divergence, an error that is still too large) are reported. */

/* One array. `share` is 1/total in two parts. */
typedef struct {
    REAL largest[LANES], share[LANES], share_low[LANES], cut[LANES], bottom[LANES];
    double total[LANES];
    int is_sound[LANES];
} F(js_side);

/* log(p/q) = apart/T + inside, where apart = x - y - center. */
typedef struct {
    F(js_side) x, y;
    F(klfast_exponential) e;
    REAL center[LANES], center_low[LANES], inside[LANES];
    INTEGER differs[LANES];
} F(js_tile);

typedef struct {
    double value[LANES], of_x[LANES], of_y[LANES], excess[LANES];
} F(js_sums);

/* exp(x/T) of every element, in units that each lane has to itself, and their sums. */
static ALWAYS_INLINE void F(add_up_shares)(F(js_side) *side, double *log_total, REAL *restrict share, const REAL *x,
                                           ptrdiff_t length, const klfast_ahead *ahead, const klfast_row *row) {
    F(softmax_tile) tile;
    F(lanes) sum;
    F(klfast_exponential) e = row->temperature->F(of);
    F(survey_logits)(&tile, x, length, row);
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        F(prefetch_line)(ahead, i);
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            F(exponent_scale) scale = {tile.lowest[j], tile.shift[j]};
            share[i + j] = F(scaled_exp)(x[i + j], scale, &e);
        }
    }
    F(add_up_closely)(&sum, share, length, row);
    F(lane_values)(side->total, &sum);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double inverse = 1 / side->total[j], total = side->total[j] * tile.unit[j];
        side->share[j] = (REAL)inverse;
        side->share_low[j] = (REAL)(inverse - (double)side->share[j]);
        side->largest[j] = tile.largest[j];
        side->is_sound[j] = tile.is_sound[j];
        log_total[j] = log_ratio_from_f64(total, 1, total - 1);
    }
}

/* As plan_pair; a class below `cut` has nothing left of its probability, and below `bottom` its score does not matter. */
static ALWAYS_INLINE void F(plan_js_tile)(F(js_tile) *tile, const double *log_x, const double *log_y, const klfast_row *row) {
    REAL lowest = (LOWEST_EXPONENT + LOWEST_EXPONENT_LEFT) * row->temperature->F(of).ln2;
    tile->e = row->temperature->F(of);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double x = (double)tile->x.largest[j], y = (double)tile->y.largest[j], offset = x - y;
        double more = (log_x[j] - log_y[j]) * row->temperature->value, center = offset + more, part = center - offset;
        double lost = rounding_of_difference(x, y, offset) + ((offset - (center - part)) + (more - part));
        REAL size_x = (REAL)fabs(x), size_y = (REAL)fabs(y), below = (size_x > size_y ? size_x : size_y) / 4 - 2 * lowest;
        tile->center[j] = (REAL)center;
        tile->center_low[j] = (REAL)((center - (double)tile->center[j]) + lost);
        tile->inside[j] = 0;
        tile->x.cut[j] = tile->x.largest[j] + lowest;
        tile->y.cut[j] = tile->y.largest[j] + lowest;
        tile->x.bottom[j] = tile->x.largest[j] - below;
        tile->y.bottom[j] = tile->y.largest[j] - below;
    }
}

static ALWAYS_INLINE REAL F(log_ratio_of)(REAL apart, const F(js_tile) *tile, int lane) {
    return F(over_temperature)(apart, tile->inside[lane], &tile->e);
}

/* Shares -> p and q, and beside them x - y - center. The error of log(p/q) is taken off afterwards. */
static ALWAYS_INLINE void F(find_inside)(F(js_tile) *tile, REAL *restrict p, REAL *restrict q, REAL *restrict apart,
                                         REAL *restrict difference, const REAL *x, const REAL *y, ptrdiff_t length,
                                         const klfast_row *row) {
    INTEGER differs[LANES] = {0};
    double excess[LANES];
    F(lanes) sum;
    ptrdiff_t i = 0;
    do { /* a tile has a line at least */
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = x[i + j], b = y[i + j], of_x = F(fma)(p[i + j], tile->x.share[j], p[i + j] * tile->x.share_low[j]),
                 of_y = F(fma)(q[i + j], tile->y.share[j], q[i + j] * tile->y.share_low[j]);
            REAL held_a = a > tile->x.bottom[j] ? a : tile->x.bottom[j], held_b = b > tile->y.bottom[j] ? b : tile->y.bottom[j];
            differs[j] |= F(bits)(a) ^ F(bits)(b);
            p[i + j] = a > tile->x.cut[j] ? of_x : 0;
            q[i + j] = b > tile->y.cut[j] ? of_y : 0;
            apart[i + j] = F(centred_difference)(held_a, held_b, tile->center[j]) - tile->center_low[j];
            REAL other = q[i + j];
            difference[i + j] = F(part_ways)(p[i + j], &other, F(log_ratio_of)(apart[i + j], tile, j), 0, 0);
        }
    } while ((i += LANES) < length);
    F(add_up)(&sum, difference, length, row);
    F(lane_values)(excess, &sum);
    INTEGER any_differs = row->alone ? F(any_of_row)(differs) : 0;
    for (int j = 0; j < LANES; j++) {
        tile->inside[j] = (REAL)-excess[j];
        tile->differs[j] = differs[j] | any_differs;
    }
}

/* The sums of js_sweep; the value as in even_js_sweep if `is_even`. */
static ALWAYS_INLINE void F(add_js_terms)(F(js_sums) *sums, const F(js_tile) *tile, const REAL *p, const REAL *q,
                                          const REAL *apart, ptrdiff_t length, const klfast_row *row, const int with_gaps,
                                          const int is_even) {
    REAL value[LANES * KLFAST_SHORT_ROW], of_x[LANES * KLFAST_SHORT_ROW], of_y[LANES * KLFAST_SHORT_ROW],
        difference[LANES * KLFAST_SHORT_ROW], beta = (REAL)row->parameters->beta, rest = (REAL)(1 - row->parameters->beta);
    F(lanes) sum;
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL other = q[i + j], d = F(log_ratio_of)(apart[i + j], tile, j);
            difference[i + j] = F(part_ways)(p[i + j], &other, d, 0, 0);
            if (with_gaps) {
                F(js_class) one = F(js_gaps)(p[i + j], other, difference[i + j], beta, rest);
                of_x[i + j] = one.of_x;
                of_y[i + j] = one.of_y;
                value[i + j] = one.value;
            }
            if (is_even) value[i + j] = F(js_of_ratio)(p[i + j], other, d);
        }
    }
    F(add_up)(&sum, value, length, row);
    F(lane_values)(sums->value, &sum);
    F(add_up)(&sum, difference, length, row);
    F(lane_values)(sums->excess, &sum);
    if (!with_gaps) return;
    F(add_up)(&sum, of_x, length, row);
    F(lane_values)(sums->of_x, &sum);
    F(add_up)(&sum, of_y, length, row);
    F(lane_values)(sums->of_y, &sum);
}

/* The place of a probability above a half in a row that is alone; -1 where there is none. */
static ptrdiff_t F(likeliest_of_row)(const REAL *p, const klfast_row *row) {
    for (ptrdiff_t i = 0; i < row->alone; i++)
        if (p[i] > (REAL)0.5) return i;
    return -1;
}

/* beta*p*(log(p/m) - KL(p || m)) and (1 - beta)*q*(log(q/m) - KL(q || m)), as in write_js. */
static ALWAYS_INLINE void F(write_js_tile)(REAL *restrict to_x, REAL *restrict to_y, const F(js_sums) *sums,
                                           const F(js_tile) *tile, const REAL *p, const REAL *q, const REAL *apart,
                                           ptrdiff_t length, const klfast_row *row) {
    REAL beta = (REAL)row->parameters->beta, rest = (REAL)(1 - row->parameters->beta);
    REAL of_x[LANES], of_y[LANES], unit_x[LANES], unit_y[LANES];
    ptrdiff_t place_x[LANES], place_y[LANES];
    INTEGER is_any = 0;
    for (int j = 0; j < LANES; j++) {
        REAL unit = (REAL)(row->labels->gradient[j] * row->temperature->inverse);
        unit_x[j] = unit * beta;
        unit_y[j] = unit * rest;
        of_x[j] = (REAL)sums->of_x[j];
        of_y[j] = (REAL)sums->of_y[j];
        place_x[j] = place_y[j] = -1;
    }
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        INTEGER is_likeliest = 0;
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = p[i + j], b = q[i + j], d = F(log_ratio_of)(apart[i + j], tile, j);
            REAL difference = F(part_ways)(a, &b, d, 0, 0), log_a, log_b;
            F(logs_to_mixture)(&log_a, &log_b, a, b, difference, beta, rest);
            to_x[i + j] = unit_x[j] * F(fma)(a, log_a, -a * of_x[j]);
            to_y[i + j] = unit_y[j] * F(fma)(b, log_b, -b * of_y[j]);
            is_likeliest |= (p[i + j] > (REAL)0.5) | (q[i + j] > (REAL)0.5);
        }
        is_any |= is_likeliest;
        for (int j = 0; is_likeliest && j < LANES; j++) {
            if (p[i + j] > (REAL)0.5) place_x[j] = i + j;
            if (q[i + j] > (REAL)0.5) place_y[j] = i + j;
        }
    }
    if (!is_any) return;
    if (row->alone) {
        place_x[0] = F(likeliest_of_row)(p, row);
        place_y[0] = F(likeliest_of_row)(q, row);
    }
    F(balance_tile)(to_x, length, place_x, row);
    F(balance_tile)(to_y, length, place_y, row);
}

static unsigned F(tile_logits_js)(double *result, const void *logits, const void *other, ptrdiff_t length, ptrdiff_t count,
                                  const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits, *y = other;
    REAL p[LANES * KLFAST_SHORT_ROW], q[LANES * KLFAST_SHORT_ROW], apart[LANES * KLFAST_SHORT_ROW],
        difference[LANES * KLFAST_SHORT_ROW];
    double log_x[LANES], log_y[LANES], highest = largest_js(row->parameters->beta);
    /* As correct_offset and finish_js: what an error may add, and below which terms may have left the normal numbers. */
    const int is_float = sizeof(REAL) == sizeof(float);
    const double largest = is_float ? 0x1p-23 : 0x1p-51, square = is_float ? 0x1p-22 : 0x1p-52,
                 smallest = is_float ? SMALLEST_FLOAT_DIVERGENCE : 0x1p-800;
    /* The center lacks `inside`, beside which a double log(p/q) must not be so small that its rounding shows. */
    const double farthest = is_float ? INFINITY : 32;
    F(js_tile) tile;
    F(js_sums) sums;
    int certain[LANES];
    (void)count;
    F(add_up_shares)(&tile.x, log_x, p, x, length, &row->ahead_a, row);
    F(add_up_shares)(&tile.y, log_y, q, y, length, &row->ahead_b, row);
    F(plan_js_tile)(&tile, log_x, log_y, row);
    F(find_inside)(&tile, p, q, apart, difference, x, y, length, row);
    if (CARRY && row->parameters->beta != 0.5) F(add_js_terms)(&sums, &tile, p, q, apart, length, row, 1, 0);
    else if (out_a) F(add_js_terms)(&sums, &tile, p, q, apart, length, row, 1, 1);
    else F(add_js_terms)(&sums, &tile, p, q, apart, length, row, 0, 1);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double value = sums.value[j], e = fabs(sums.excess[j]);
        double inside = (double)tile.inside[j];
        int is_right = (e <= largest) & (e * e <= square * value) & (value >= smallest) & (inside * inside <= farthest * value);
        result[j] = value < highest ? value : highest;
        certain[j] = tile.x.is_sound[j] & tile.y.is_sound[j] & ((tile.differs[j] == 0) | is_right);
    }
    if (out_a) F(write_js_tile)(out_a, out_b, &sums, &tile, p, q, apart, length, row);
    return lane_bits(certain, LANES);
}
