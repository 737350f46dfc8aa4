/* Short rows of two arrays of logits, LANES pairs side by side: the KL as in logits_kl.inc.h, with the mean of x - y found in a
 * sweep of its own. Classes that x excludes, or of which nothing is left in p, take no part in the sweeps, which are given a
 * copy; what q has there is added where it counts. Lanes with NaN, logits out of range, q = 0 < p, or next to no divergence are
 * reported. */

/* `inside` is log1p(u), so that log(p/q) = (x - y - center)/T + inside, and `over_y` is 1/(1 + u): of a large `inside`, exp has
 * fewer digits. `start` is x - y of the largest x; `lowest` the least x - y - center, `moved` 0 where that is 0 in every class,
 * and `widest` the largest |p*d|. `lonely` is the largest y where p is 0, and `rest` what q has there, in units of the total,
 * if it counts. */
typedef struct {
    REAL largest[LANES], start[LANES], start_low[LANES], lowest[LANES], bottom[LANES], shift[LANES], cut[LANES], center[LANES],
        center_low[LANES], lonely[LANES], widest[LANES];
    INTEGER bad[LANES], moved[LANES], has_low;
    double total[LANES], inverse[LANES], mean[LANES], gap[LANES], rest[LANES], inside[LANES], over_y[LANES];
} F(kl_tile);

/* What a row that is alone has: of classes that are equally likely, the first counts, as in a lane. */
static ALWAYS_INLINE void F(survey_row)(REAL *largest, REAL *lowest, REAL *beside, INTEGER *bad, const REAL *x, const REAL *y,
                                        ptrdiff_t length) {
    REAL of_row = F(largest_of_row)(largest), least = F(lowest_of_row)(lowest);
    INTEGER any_bad = F(any_of_row)(bad);
    ptrdiff_t place = 0;
    while (x[place] != of_row && place + 1 < length) place++;
    for (int j = 0; j < LANES; j++) {
        largest[j] = of_row;
        lowest[j] = least;
        beside[j] = y[place];
        bad[j] = any_bad;
    }
}

/* Scores below the limit are nothing beside a largest above half of it: x may have them, and y where x has. */
static ALWAYS_INLINE void F(survey_tile)(F(kl_tile) *tile, const REAL *x, const REAL *y, ptrdiff_t length,
                                         const F(klfast_exponential) *e, const klfast_row *row) {
    REAL limit = e->limit, largest[LANES], lowest[LANES], beside[LANES];
    INTEGER bad[LANES];
    for (int j = 0; j < LANES; j++) {
        largest[j] = -INFINITY;
        lowest[j] = INFINITY;
        beside[j] = 0;
        bad[j] = 0;
    }
    tile->has_low = 0;
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = x[i + j], b = y[i + j];
            INTEGER larger = -(INTEGER)(a > largest[j]);
            beside[j] = F(from_bits)((F(bits)(b) & larger) | (F(bits)(beside[j]) & ~larger));
            largest[j] = a > largest[j] ? a : largest[j];
            lowest[j] = a < lowest[j] ? a : lowest[j];
            bad[j] |= (!((a <= limit) & (b <= limit))) | ((a >= -limit) & (b < -limit));
        }
    }
    if (row->alone) F(survey_row)(largest, lowest, beside, bad, x, y, length);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        INTEGER is_bad = (bad[j] != 0) | (!(largest[j] >= -limit / 2));
        REAL shifted, held = is_bad ? 0 : largest[j], other = is_bad ? 0 : beside[j];
        (void)F(exp_at)(held, e, &shifted);
        F(exponent_scale) scale = F(scale_by)(shifted - ROUNDING_SHIFT, e);
        tile->bad[j] = is_bad;
        tile->largest[j] = held;
        tile->start[j] = held - other;
        tile->start_low[j] = F(lost_of)(held, other, held - other);
        tile->bottom[j] = scale.lowest;
        tile->shift[j] = scale.shift;
        tile->lonely[j] = -INFINITY;
        tile->cut[j] = scale.lowest + e->ln2;
        tile->has_low |= lowest[j] < tile->cut[j];
    }
}

/* Copies a tile with numbers, of which nothing is left, where p is 0, or is taken for that. Some of these may be impossible. */
static NOINLINE void F(set_low_apart)(F(kl_tile) *restrict tile, REAL *restrict held_x, REAL *restrict held_y,
                                      const REAL *restrict x, const REAL *restrict y, ptrdiff_t length,
                                      const klfast_row *row) {
    REAL lonely[LANES];
    INTEGER impossible[LANES] = {0};
    for (int j = 0; j < LANES; j++) lonely[j] = -INFINITY;
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = x[i + j], b = y[i + j], bottom = tile->bottom[j], below = bottom - tile->start[j], least = -INFINITY;
            REAL of_y = a < tile->cut[j] ? b : least;
            lonely[j] = of_y > lonely[j] ? of_y : lonely[j];
            impossible[j] |= (a > least) & (b == least);
            held_x[i + j] = a < tile->cut[j] ? bottom : a;
            held_y[i + j] = a < tile->cut[j] ? below : b;
        }
    }
    REAL of_row = row->alone ? F(largest_of_row)(lonely) : -INFINITY;
    INTEGER any_impossible = row->alone ? F(any_of_row)(impossible) : 0;
    for (int j = 0; j < LANES; j++) {
        tile->lonely[j] = row->alone ? of_row : lonely[j];
        tile->bad[j] |= impossible[j] | any_impossible;
    }
}

/* A centre of two doubles as two numbers of the lane. */
static ALWAYS_INLINE void F(set_center)(F(kl_tile) *tile, int lane, double high, double more) {
    double center = high + more, lost = rounding_of_difference(high, -more, center);
    tile->center[lane] = (REAL)center;
    tile->center_low[lane] = (REAL)((center - (double)tile->center[lane]) + lost);
}

/* exp(x/T) in units of 2^K, element by element, and its sum; and where x - y has its mean, in two parts: what is lost beside a
 * constant between x and y is more than the distance of rows that are close. */
static ALWAYS_INLINE void F(find_center)(F(kl_tile) *tile, REAL *restrict share, const REAL *x, const REAL *y, ptrdiff_t length,
                                         const klfast_row *row) {
    REAL beside[LANES * KLFAST_SHORT_ROW];
    F(lanes) total, mean;
    F(klfast_exponential) e = row->temperature->F(of);
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        F(prefetch_line)(&row->ahead_a, i);
        F(prefetch_line)(&row->ahead_b, i);
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            F(exponent_scale) scale = {tile->bottom[j], tile->shift[j]};
            share[i + j] = F(scaled_exp)(x[i + j], scale, &e);
            beside[i + j] = share[i + j] * (x[i + j] - y[i + j] - tile->start[j]);
        }
    }
    F(add_up)(&total, share, length, row);
    F(add_up)(&mean, beside, length, row);
    F(lane_values)(tile->total, &total);
    F(lane_values)(tile->mean, &mean);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        tile->rest[j] = 0;
        tile->inverse[j] = 1 / tile->total[j];
        F(set_center)(tile, j, (double)tile->start[j], (double)tile->start_low[j] + tile->mean[j] * tile->inverse[j]);
    }
}

/* The sums of p*d and p*(d + exp(-d) - 1) for d = (x - y - center)/T. */
static ALWAYS_INLINE void F(add_gaps)(F(kl_tile) *tile, const REAL *restrict share, const REAL *x, const REAL *y,
                                      ptrdiff_t length, const klfast_row *row) {
    REAL first[LANES * KLFAST_SHORT_ROW], second[LANES * KLFAST_SHORT_ROW];
    F(lanes) mean, gap;
    F(klfast_exponential) e = row->temperature->F(of);
    for (int j = 0; j < LANES; j++) {
        tile->lowest[j] = INFINITY;
        tile->widest[j] = 0;
        tile->moved[j] = 0;
    }
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL low, apart = F(deep_difference)(x[i + j], y[i + j], tile->center[j], tile->center_low[j], &low);
            REAL d = apart * e.inverse;
            tile->lowest[j] = apart < tile->lowest[j] ? apart : tile->lowest[j];
            tile->moved[j] |= F(bits)(apart);
            REAL part = share[i + j] * d, size = F(from_bits)(F(bits)(part) & (INTEGER)(~(UNSIGNED)0 >> 1));
            tile->widest[j] = size > tile->widest[j] ? size : tile->widest[j];
            first[i + j] = part;
            second[i + j] = F(logits_gap)(share[i + j], apart, low, d, &e, F(DEEP));
        }
    }
    F(add_up)(&mean, first, length, row);
    F(add_up)(&gap, second, length, row);
    F(lane_values)(tile->mean, &mean);
    F(lane_values)(tile->gap, &gap);
    if (!row->alone) return;
    INTEGER any_moved = F(any_of_row)(tile->moved);
    REAL least = F(lowest_of_row)(tile->lowest), widest = F(largest_of_row)(tile->widest);
    for (int j = 0; j < LANES; j++) {
        tile->lowest[j] = least;
        tile->widest[j] = widest;
        tile->moved[j] = any_moved;
    }
}

/* Moves the centres of lanes to where w will be next to nothing: x - y has lost more in rounding than the distance of the rows.
 * Returns whether there are any. */
static NOINLINE int F(move_centers)(F(kl_tile) *tile, const int *is_off, double temperature) {
    int any = 0;
    for (int j = 0; j < LANES; j++) {
        if (!is_off[j]) continue;
        double more = tile->mean[j] * tile->inverse[j] * temperature;
        F(set_center)(tile, j, (double)tile->center[j], (double)tile->center_low[j] + more);
        any = 1;
    }
    return any;
}

/* What q has, in units of the total, where p is 0 in a row: exp((y - largest + center)/T) times that of the largest x. */
static double F(lonely_of_row)(const F(kl_tile) *tile, int lane, const REAL *x, const REAL *y, ptrdiff_t count,
                               ptrdiff_t distance, const klfast_temperature *temperature) {
    F(klfast_exponential) e = temperature->F(of);
    F(exponent_scale) scale = {tile->bottom[lane], tile->shift[lane]};
    double largest = (double)tile->largest[lane], center = (double)tile->center[lane];
    double of_largest = (double)F(scaled_exp)(tile->largest[lane], scale, &e);
    wide_sum sum = {0, 0};
    for (ptrdiff_t at = 0; at < count * distance; at += distance)
        if (x[at] < tile->cut[lane] && y[at] > -INFINITY)
            add_number(&sum, exp_over_centred((double)y[at], largest, center, temperature));
    return sum_value(sum) * (1 + (double)tile->center_low[lane] * temperature->inverse) * of_largest;
}

/* Where p is 0, p*(d + exp(-d) - 1) is q: finds that where it is not next to nothing beside g. Returns whether there is any. */
static NOINLINE int F(find_lonely)(F(kl_tile) *tile, const REAL *x, const REAL *y, ptrdiff_t length, const klfast_row *row) {
    ptrdiff_t count = row->alone ? row->alone : length / LANES, distance = F(row_step)(row);
    int any = 0;
    for (int j = 0; j < (row->alone ? 1 : LANES); j++) {
        double scores = (double)tile->lonely[j] + (double)tile->center[j] - (double)tile->largest[j];
        double reach = scores * row->temperature->of_f64.per_ln2 + (MANTISSA_BITS + 17), g = tile->gap[j] * tile->inverse[j];
        if (tile->bad[j] || tile->lonely[j] == -INFINITY) continue;
        if (tile->moved[j] && !(reach >= (double)((bits_f64(g) >> 52) - 1023))) continue;
        INTEGER differs = 0; /* rows that are the same have the same there, too */
        for (ptrdiff_t at = j; at < j + count * distance; at += distance) differs |= x[at] != y[at];
        if (!differs) continue;
        tile->moved[j] = 1;
        tile->rest[j] = F(lonely_of_row)(tile, j, x + j, y + j, count, distance, row->temperature);
        any = 1;
    }
    for (int j = 1; row->alone && j < LANES; j++) {
        tile->moved[j] = tile->moved[0];
        tile->rest[j] = tile->rest[0];
    }
    return any;
}

/* KL = w + log1p(u) with u = g - w: where it is small, g less what is left of u. Only what is hardly smaller than that may be
 * taken off again; and w may not be so large that its rounding hides the d of a gradient. */
static NOINLINE void F(conclude_lanes)(double *restrict result, int *restrict certain, int *restrict is_off,
                                       F(kl_tile) *restrict tile, const klfast_temperature *temperature) {
    double lowest = -(double)temperature->F(of).negligible;
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double w = tile->mean[j] * tile->inverse[j], g = (tile->gap[j] + tile->rest[j]) * tile->inverse[j], u = g - w;
        log_parts_f64 parts = split_log_f64(1, 1 + u, -u);
        double inside = -log_of_parts_f64(parts), left = parts.tail - parts.s * u, near = g - left, far = w + inside;
        double taken = u < 0.5 ? left : -w, whole = u < 0.5 ? g : inside, value = u < 0.5 ? near : far;
        int is_centred = (taken <= 0.5 * whole) & (fabs(tile->mean[j]) <= 0.5 * (double)tile->widest[j]);
        int is_in_range = (tile->bad[j] == 0) & (g >= SMALLEST_LOGITS_GAP) & (g < LARGEST_LOGITS_GAP) &
                          ((double)tile->lowest[j] >= lowest);
        int is_same = (tile->bad[j] == 0) & (tile->moved[j] == 0) & (tile->center_low[j] == 0);
        is_off[j] = is_in_range & (is_centred == 0);
        certain[j] = is_same | (is_in_range & is_centred);
        result[j] = is_same ? 0.0 : value;
        tile->inside[j] = is_same ? 0.0 : inside;
        tile->over_y[j] = 1 / (1 + u);
    }
}

/* The place of a class that has most of p, lane by lane; -1 where there is none. Returns whether there is any. */
static int F(find_likeliest_of_lanes)(ptrdiff_t *place, const REAL *x, ptrdiff_t count, const F(kl_tile) *tile,
                                      const klfast_row *row) {
    int is_any = 0;
    for (ptrdiff_t j = 0; j < LANES; j++) {
        double shifted, score = tile->bad[j] ? 0.0 : (double)tile->largest[j];
        double largest = exp_at_f64(score, &row->temperature->of_f64, &shifted);
        place[j] = -1;
        if (j >= count || tile->bad[j] || !(largest > 0.5 * tile->total[j])) continue;
        place[j] = j;
        while (x[place[j]] != tile->largest[j]) place[j] += F(row_step)(row);
        is_any = 1;
    }
    return is_any;
}

/* The same for a row that is alone. */
static void F(balance_row)(REAL *out, ptrdiff_t length, ptrdiff_t place) {
    double high = 0, low = 0;
    if (place < 0) return;
    out[place] = 0;
    for (ptrdiff_t i = 0; i < length; i++) F(add_run)(&high, &low, out[i]);
    out[place] = (REAL)-(high + low);
}

/* Their entries: from the others, as in balance. */
static void F(balance_tile)(REAL *out, ptrdiff_t length, const ptrdiff_t *place, const klfast_row *row) {
    double high[LANES] = {0}, low[LANES] = {0};
    if (row->alone) {
        F(balance_row)(out, row->alone, place[0]);
        return;
    }
    for (int j = 0; j < LANES; j++)
        if (place[j] >= 0) out[place[j]] = 0;
    for (ptrdiff_t i = 0; i < length; i += LANES) F(add_line)(high, low, out + i);
    for (int j = 0; j < LANES; j++)
        if (place[j] >= 0) out[place[j]] = (REAL)-(high[j] + low[j]);
}

/* p*(d - KL) and q - p, as in write_kl; q is p*exp(-d), or that from the largest of p where p is 0. */
static void F(write_kl_tile)(REAL *restrict to_x, REAL *restrict to_y, const REAL *x, const REAL *y, ptrdiff_t length,
                             const F(kl_tile) *tile, const double *value, const klfast_row *row) {
    F(klfast_exponential) e = row->temperature->F(of);
    REAL share[LANES], share_y[LANES], largest[LANES], inside[LANES], kl[LANES], unit[LANES], nearest[LANES];
    for (int j = 0; j < LANES; j++) {
        F(exponent_scale) scale = {tile->bottom[j], tile->shift[j]};
        share[j] = (REAL)tile->inverse[j];
        /* the same rows have nothing to write */
        share_y[j] = value[j] == 0 ? 0 : (REAL)(tile->inverse[j] * tile->over_y[j]);
        largest[j] = F(scaled_exp)(tile->largest[j], scale, &e);
        inside[j] = (REAL)tile->inside[j];
        nearest[j] = inside[j] <= 1 ? 1 : -1; /* a small d that is a difference of large numbers has lost its digits */
        kl[j] = (REAL)value[j];
        unit[j] = (REAL)(row->labels->gradient[j] * row->temperature->inverse);
    }
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            F(exponent_scale) scale = {tile->bottom[j], tile->shift[j]};
            REAL at = x[i + j], whole = F(scaled_exp)(at, scale, &e), p = whole * share[j], top = tile->largest[j];
            REAL of_top = largest[j], part = at < tile->cut[j] ? of_top : whole, a = at < tile->cut[j] ? top : at, low;
            REAL apart = F(deep_difference)(a, y[i + j], tile->center[j], tile->center_low[j], &low);
            REAL d = F(fma)(apart, e.inverse, inside[j]), held = apart > e.negligible ? -e.negligible : -apart;
            REAL shifted, fraction = F(exp_beyond)(held, &e, EXPONENT_SHIFT, &shifted), power = fraction * F(power_at)(shifted);
            power = F(fma)(power, -low * e.inverse, power);
            /* p may be too small for its digits where q is not; nothing is left of q where y is -inf, and apart NaN */
            REAL any_q = part * power * share_y[j], q = apart <= e.negligible ? any_q : 0;
            REAL small = d < 1 ? d : 1;
            small = small > -1 ? small : -1;
            REAL near = p * F(fma)(small * small, F(wide_exp_polynomial)(-small), -small), far = q - p;
            REAL both = ((d <= nearest[j]) & (d >= -nearest[j])) ? near : far, of_y = at < tile->cut[j] ? q : both;
            REAL of_x = unit[j] * (p * (d - kl[j]));
            to_x[i + j] = at < tile->cut[j] ? 0 : of_x;
            to_y[i + j] = unit[j] * of_y;
        }
    }
}

static unsigned F(tile_logits_kl)(double *result, const void *logits, const void *other, ptrdiff_t length, ptrdiff_t count,
                                  const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits, *y = other;
    const REAL *held_x = x, *held_y = y;
    REAL share[LANES * KLFAST_SHORT_ROW], copy_x[LANES * KLFAST_SHORT_ROW], copy_y[LANES * KLFAST_SHORT_ROW];
    F(klfast_exponential) e = row->temperature->F(of);
    F(kl_tile) tile;
    int certain[LANES], is_off[LANES];
    ptrdiff_t place[LANES];
    F(survey_tile)(&tile, x, y, length, &e, row);
    if (tile.has_low) {
        F(set_low_apart)(&tile, copy_x, copy_y, x, y, length, row);
        held_x = copy_x;
        held_y = copy_y;
    }
    F(find_center)(&tile, share, held_x, held_y, length, row);
    int left = 2; /* times that centres may be moved */
    do {
        F(add_gaps)(&tile, share, held_x, held_y, length, row);
        F(conclude_lanes)(result, certain, is_off, &tile, row->temperature);
    } while (left-- > 0 && F(move_centers)(&tile, is_off, row->temperature->value));
    if (tile.has_low && F(find_lonely)(&tile, x, y, length, row))
        F(conclude_lanes)(result, certain, is_off, &tile, row->temperature);
    if (out_a) {
        F(write_kl_tile)(out_a, out_b, x, y, length, &tile, result, row);
        if (F(find_likeliest_of_lanes)(place, x, count, &tile, row)) {
            F(balance_tile)(out_a, length, place, row);
            F(balance_tile)(out_b, length, place, row);
        }
    }
    return lane_bits(certain, LANES);
}
