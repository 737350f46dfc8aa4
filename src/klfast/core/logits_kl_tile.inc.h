/* Short rows of two arrays of logits, LANES pairs side by side: the KL as in logits_kl.inc.h, with the mean of x - y found in
 * a sweep of its own. Lanes with -inf, NaN, logits out of range, x far below y, or next to no divergence are reported. */

/* `inside` is log1p(u), so that log(p/q) = (x - y - center)/T + inside. */
typedef struct {
    REAL largest[LANES], start[LANES], lowest[LANES], highest[LANES], bottom[LANES], center[LANES], shift[LANES];
    INTEGER bad[LANES], differs[LANES];
    double total[LANES], mean[LANES], gap[LANES], inside[LANES];
} F(kl_tile);

static ALWAYS_INLINE void F(survey_tile)(F(kl_tile) *tile, const REAL *x, const REAL *y, ptrdiff_t length,
                                         const F(klfast_exponential) *e) {
    REAL limit = e->limit;
    for (int j = 0; j < LANES; j++) {
        tile->largest[j] = tile->highest[j] = -INFINITY;
        tile->lowest[j] = INFINITY;
        tile->start[j] = 0;
        tile->bad[j] = tile->differs[j] = 0;
    }
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            REAL a = x[i + j], b = y[i + j], difference = a - b;
            INTEGER larger = -(INTEGER)(a > tile->largest[j]);
            tile->start[j] = F(from_bits)((F(bits)(difference) & larger) | (F(bits)(tile->start[j]) & ~larger));
            tile->largest[j] = a > tile->largest[j] ? a : tile->largest[j];
            tile->lowest[j] = difference < tile->lowest[j] ? difference : tile->lowest[j];
            tile->highest[j] = difference > tile->highest[j] ? difference : tile->highest[j];
            tile->bad[j] |= !((a <= limit) & (a >= -limit) & (b <= limit) & (b >= -limit));
            tile->differs[j] |= a != b;
        }
    }
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        REAL shifted, held = tile->bad[j] ? 0 : tile->largest[j];
        (void)F(exp_at)(held, e, &shifted);
        REAL K = shifted - ROUNDING_SHIFT;
        tile->start[j] = tile->bad[j] ? 0 : tile->start[j];
        F(exponent_scale) scale = F(scale_by)(K, e);
        tile->bottom[j] = scale.lowest;
        tile->shift[j] = scale.shift;
    }
}

/* The sums of p, p*d, and (with_gap) p*(d + exp(-d) - 1) for d = (x - y - center)/T. */
static ALWAYS_INLINE void F(kl_tile_sweep)(F(kl_tile) *tile, const REAL *x, const REAL *y, ptrdiff_t length,
                                           const F(klfast_exponential) *exponential, const REAL *center,
                                           const int with_gap) {
    REAL padded_x[STEP], padded_y[STEP], p[STEP], first[STEP], second[STEP], bottom_y[LANES];
    F(lanes) total = {{0}}, mean = {{0}}, gap = {{0}};
    F(klfast_exponential) e = *exponential;
    for (int j = 0; j < LANES; j++) bottom_y[j] = tile->bottom[j] - center[j];
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *a = x + i, *b = y + i;
        if (length - i < STEP) { /* behind the end p = 0 and d is about 0 */
            F(padded_step)(padded_x, a, length - i, tile->bottom);
            F(padded_step)(padded_y, b, length - i, bottom_y);
            a = padded_x;
            b = padded_y;
        }
        for (int part = 0; part < STEP; part += LANES) {
            AS_LOOP
            for (int j = 0; j < LANES; j++) {
                F(exponent_scale) scale = {tile->bottom[j], tile->shift[j]};
                REAL apart = F(centred_difference)(a[part + j], b[part + j], center[j]), d = apart * e.inverse;
                REAL share = F(scaled_exp)(a[part + j], scale, &e);
                p[part + j] = share;
                first[part + j] = share * d;
                if (with_gap) second[part + j] = F(logits_gap)(share, apart, d, &e, F(APART));
            }
        }
        F(fold)(&total, p);
        F(end_run)(&total);
        F(fold)(&mean, first);
        F(end_run)(&mean);
        if (with_gap) F(fold)(&gap, second);
        if (with_gap) F(end_run)(&gap);
    }
    F(lane_values)(tile->total, &total);
    F(lane_values)(tile->mean, &mean);
    F(lane_values)(tile->gap, &gap);
}

/* The entry of a class that has nearly all of p: from the others, as in balance. */
static void F(balance_tile)(REAL *out, const REAL *x, ptrdiff_t length, ptrdiff_t count, const F(kl_tile) *tile,
                            const klfast_exponential_f64 *e) {
    for (ptrdiff_t j = 0; j < count; j++) {
        double shifted, largest = exp_at_f64(tile->bad[j] ? 0.0 : (double)tile->largest[j], e, &shifted);
        if (tile->bad[j] || !(largest > 0.5 * tile->total[j])) continue;
        ptrdiff_t likeliest = j;
        wide_sum others = {0, 0};
        while (x[likeliest] != tile->largest[j]) likeliest += LANES;
        for (ptrdiff_t i = j; i < length; i += LANES)
            if (i != likeliest) add_number(&others, (double)out[i]);
        out[likeliest] = (REAL)-sum_value(others);
    }
}

/* p*(d - KL) and q - p, as in write_kl; q is p*exp(-d), since no d here is below -29. */
static void F(write_kl_tile)(REAL *restrict to_x, REAL *restrict to_y, const REAL *x, const REAL *y, ptrdiff_t length,
                             const F(kl_tile) *tile, const double *value, const klfast_row *row) {
    F(klfast_exponential) e = row->temperature->F(of);
    REAL share[LANES], growth[LANES], inside[LANES], kl[LANES], unit[LANES];
    for (int j = 0; j < LANES; j++) {
        share[j] = (REAL)(1.0 / tile->total[j]);
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
            REAL lost = (d <= 1) & (d >= -1) ? near : far;
            to_x[i + j] = unit[j] * (p * (d - kl[j]));
            to_y[i + j] = -unit[j] * (p * lost);
        }
    }
}

static unsigned F(tile_logits_kl)(double *result, const void *logits, const void *other, ptrdiff_t length, ptrdiff_t count,
                                  const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits, *y = other;
    F(klfast_exponential) e = row->temperature->F(of);
    F(kl_tile) tile;
    int certain[LANES];
    F(survey_tile)(&tile, x, y, length, &e);
    F(kl_tile_sweep)(&tile, x, y, length, &e, tile.start, 0);
    for (int j = 0; j < LANES; j++)
        tile.center[j] = tile.start[j] + (REAL)(tile.mean[j] / tile.total[j] * row->temperature->value);
    F(kl_tile_sweep)(&tile, x, y, length, &e, tile.center, 1);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        /* KL = w + log1p(u) with u = g - w; w is next to nothing */
        double w = tile.mean[j] / tile.total[j], g = tile.gap[j] / tile.total[j], u = g - w;
        double near = u <= 2.0 ? u : 2.0, s = near / (2.0 + near), z = s * s, whole = 1.0 + u;
        double of_near = fma_f64(s * z, wide_log_polynomial_f64(z), 2.0 * s), of_far = log_ratio_f64(whole, 1.0);
        double inside = u <= 2.0 ? of_near : of_far, kl = w + inside;
        int in_range = (g >= SMALLEST_LOGITS_GAP) & (g < LARGEST_LOGITS_GAP) & (fabs(w) <= 0x1p-10 * kl);
        int is_near = (tile.lowest[j] - tile.center[j]) * e.inverse >= -29;
        certain[j] = (tile.bad[j] == 0) & ((tile.differs[j] == 0) | (in_range & is_near));
        result[j] = tile.differs[j] ? kl : 0.0;
        tile.inside[j] = tile.differs[j] ? inside : 0.0;
    }
    if (out_a) {
        F(write_kl_tile)(out_a, out_b, x, y, length, &tile, result, row);
        F(balance_tile)(out_a, x, length, count, &tile, &row->temperature->of_f64);
    }
    return lane_bits(certain, LANES);
}
