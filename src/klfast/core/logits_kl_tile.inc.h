/* Short rows of two arrays of logits, LANES pairs side by side: the KL as in logits_kl.inc.h, with the mean of x - y found in
 * a sweep of its own. Lanes with -inf, NaN, logits out of range, x far below y, or next to no divergence are reported. */

/* `inside` is log1p(u), so that log(p/q) = (x - y - center)/T + inside. */
typedef struct {
    REAL largest[LANES], start[LANES], lowest[LANES], bottom[LANES], center[LANES], shift[LANES];
    INTEGER bad[LANES], differs[LANES];
    double total[LANES], inverse[LANES], mean[LANES], gap[LANES], inside[LANES];
} F(kl_tile);

/* What a row that is alone has: of classes that are equally likely, the first counts, as in a lane. */
static ALWAYS_INLINE void F(survey_row)(REAL *largest, REAL *lowest, REAL *start, INTEGER *bad, INTEGER *differs, const REAL *x,
                                        const REAL *y, ptrdiff_t length) {
    REAL of_row = F(largest_of_row)(largest), least = lowest[0];
    INTEGER any_bad = F(any_of_row)(bad), any_differs = F(any_of_row)(differs);
    ptrdiff_t place = 0;
    while (x[place] != of_row && place + 1 < length) place++;
    for (int j = 1; j < LANES; j++) least = lowest[j] < least ? lowest[j] : least;
    for (int j = 0; j < LANES; j++) {
        largest[j] = of_row;
        lowest[j] = least;
        start[j] = x[place] - y[place];
        bad[j] = any_bad;
        differs[j] = any_differs;
    }
}

static ALWAYS_INLINE void F(survey_tile)(F(kl_tile) *tile, const REAL *x, const REAL *y, ptrdiff_t length,
                                         const F(klfast_exponential) *e, const klfast_row *row) {
    const INTEGER all_but_sign = (INTEGER)(~(UNSIGNED)0 >> 1);
    REAL limit = e->limit, largest[LANES], lowest[LANES], start[LANES];
    INTEGER bad[LANES], differs[LANES];
    for (int j = 0; j < LANES; j++) {
        largest[j] = -INFINITY;
        lowest[j] = INFINITY;
        start[j] = 0;
        bad[j] = differs[j] = 0;
    }
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = x[i + j], b = y[i + j], difference = a - b;
            INTEGER larger = -(INTEGER)(a > largest[j]);
            REAL size_a = F(from_bits)(F(bits)(a) & all_but_sign), size_b = F(from_bits)(F(bits)(b) & all_but_sign);
            start[j] = F(from_bits)((F(bits)(difference) & larger) | (F(bits)(start[j]) & ~larger));
            largest[j] = a > largest[j] ? a : largest[j];
            lowest[j] = difference < lowest[j] ? difference : lowest[j];
            bad[j] |= !((size_a <= limit) & (size_b <= limit));
            differs[j] |= F(bits)(a) ^ F(bits)(b);
        }
    }
    if (row->alone) F(survey_row)(largest, lowest, start, bad, differs, x, y, length);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        REAL shifted, held = bad[j] ? 0 : largest[j];
        (void)F(exp_at)(held, e, &shifted);
        F(exponent_scale) scale = F(scale_by)(shifted - ROUNDING_SHIFT, e);
        tile->bad[j] = bad[j];
        tile->differs[j] = differs[j];
        tile->largest[j] = largest[j];
        tile->lowest[j] = lowest[j];
        tile->start[j] = bad[j] ? 0 : start[j];
        tile->bottom[j] = scale.lowest;
        tile->shift[j] = scale.shift;
    }
}

/* exp(x/T) in units of 2^K, element by element, and its sum; and where x - y has its mean, but for rounding errors. */
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
        tile->inverse[j] = 1 / tile->total[j];
        tile->center[j] = tile->start[j] + (REAL)(tile->mean[j] * tile->inverse[j]);
    }
}

/* The sums of p*d and p*(d + exp(-d) - 1) for d = (x - y - center)/T. */
static ALWAYS_INLINE void F(add_gaps)(F(kl_tile) *tile, const REAL *restrict share, const REAL *x, const REAL *y,
                                      ptrdiff_t length, const klfast_row *row) {
    REAL first[LANES * KLFAST_SHORT_ROW], second[LANES * KLFAST_SHORT_ROW];
    F(lanes) mean, gap;
    F(klfast_exponential) e = row->temperature->F(of);
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL low, apart = F(deep_difference)(x[i + j], y[i + j], tile->center[j], &low), d = apart * e.inverse;
            first[i + j] = share[i + j] * d;
            second[i + j] = F(logits_gap)(share[i + j], apart, low, d, &e, F(DEEP));
        }
    }
    F(add_up)(&mean, first, length, row);
    F(add_up)(&gap, second, length, row);
    F(lane_values)(tile->mean, &mean);
    F(lane_values)(tile->gap, &gap);
}

/* The place of a class that has most of p, lane by lane; -1 where there is none. Returns whether there is any. */
static int F(find_likeliest_of_lanes)(ptrdiff_t *place, const REAL *x, ptrdiff_t count, const F(kl_tile) *tile,
                                      const klfast_exponential_f64 *e) {
    int is_any = 0;
    for (ptrdiff_t j = 0; j < LANES; j++) {
        double shifted, largest = exp_at_f64(tile->bad[j] ? 0.0 : (double)tile->largest[j], e, &shifted);
        place[j] = -1;
        if (j >= count || tile->bad[j] || !(largest > 0.5 * tile->total[j])) continue;
        place[j] = j;
        while (x[place[j]] != tile->largest[j]) place[j] += LANES;
        is_any = 1;
    }
    return is_any;
}

/* Their entries: from the others, as in balance. */
static void F(balance_tile)(REAL *out, ptrdiff_t length, const ptrdiff_t *place) {
    double high[LANES] = {0}, low[LANES] = {0};
    for (int j = 0; j < LANES; j++)
        if (place[j] >= 0) out[place[j]] = 0;
    for (ptrdiff_t i = 0; i < length; i += LANES) F(add_line)(high, low, out + i);
    for (int j = 0; j < LANES; j++)
        if (place[j] >= 0) out[place[j]] = (REAL)-(high[j] + low[j]);
}

/* p*(d - KL) and q - p, as in write_kl; q is p*exp(-d), since no d here is below -29. */
static void F(write_kl_tile)(REAL *restrict to_x, REAL *restrict to_y, const REAL *x, const REAL *y, ptrdiff_t length,
                             const F(kl_tile) *tile, const double *value, const klfast_row *row) {
    F(klfast_exponential) e = row->temperature->F(of);
    REAL share[LANES], growth[LANES], inside[LANES], kl[LANES], unit[LANES];
    for (int j = 0; j < LANES; j++) {
        share[j] = (REAL)tile->inverse[j];
        growth[j] = (REAL)exp_any(-tile->inside[j]);
        inside[j] = (REAL)tile->inside[j];
        kl[j] = (REAL)value[j];
        unit[j] = (REAL)(row->labels->gradient[j] * row->temperature->inverse);
    }
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            F(exponent_scale) scale = {tile->bottom[j], tile->shift[j]};
            REAL apart = F(centred_difference)(x[i + j], y[i + j], tile->center[j]), d = F(fma)(apart, e.inverse, inside[j]);
            REAL p = F(scaled_exp)(x[i + j], scale, &e) * share[j], shifted;
            REAL held = apart > e.negligible ? -e.negligible : -apart;
            REAL fraction = F(exp_beyond)(held, &e, EXPONENT_SHIFT, &shifted), power = fraction * F(power_at)(shifted);
            REAL small = d < 1 ? d : 1;
            small = small > -1 ? small : -1;
            REAL near = F(fma)(-small * small, F(wide_exp_polynomial)(-small), small), far = 1 - power * growth[j];
            REAL lost = ((d <= 1) & (d >= -1)) ? near : far;
            to_x[i + j] = unit[j] * (p * (d - kl[j]));
            to_y[i + j] = -unit[j] * (p * lost);
        }
    }
}

static unsigned F(tile_logits_kl)(double *result, const void *logits, const void *other, ptrdiff_t length, ptrdiff_t count,
                                  const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits, *y = other;
    REAL share[LANES * KLFAST_SHORT_ROW];
    F(klfast_exponential) e = row->temperature->F(of);
    F(kl_tile) tile;
    int certain[LANES];
    ptrdiff_t place[LANES];
    F(survey_tile)(&tile, x, y, length, &e, row);
    F(find_center)(&tile, share, x, y, length, row);
    F(add_gaps)(&tile, share, x, y, length, row);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        /* KL = w + log1p(u) with u = g - w; w is next to nothing */
        double w = tile.mean[j] * tile.inverse[j], g = tile.gap[j] * tile.inverse[j], u = g - w;
        double inside = log_ratio_from_f64(1 + u, 1, u), kl = w + inside;
        int in_range = (g >= SMALLEST_LOGITS_GAP) & (g < LARGEST_LOGITS_GAP) & (fabs(w) <= 0x1p-10 * kl);
        int is_near = (tile.lowest[j] - tile.center[j]) * e.inverse >= -29;
        certain[j] = (tile.bad[j] == 0) & ((tile.differs[j] == 0) | (in_range & is_near));
        result[j] = tile.differs[j] ? kl : 0.0;
        tile.inside[j] = tile.differs[j] ? inside : 0.0;
    }
    if (out_a) {
        F(write_kl_tile)(out_a, out_b, x, y, length, &tile, result, row);
        if (F(find_likeliest_of_lanes)(place, x, count, &tile, &row->temperature->of_f64)) {
            F(balance_tile)(out_a, length, place);
            F(balance_tile)(out_b, length, place);
        }
    }
    return lane_bits(certain, LANES);
}
