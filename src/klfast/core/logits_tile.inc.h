/* Short rows of logits: LANES of them side by side, one in each lane, as in tile.inc.h. The largest logit of every lane is
 * looked for first and set apart, as in the careful way for long rows. Lanes that need more care (NaN, +inf, nothing but -inf,
 * logits out of range, a rest below the normal numbers) are reported, and walked one by one. */

/* The softmax of every lane; see softmax_state. `unit` is exp(-largest/T) times the power of two in which sums are. */
typedef struct {
    REAL largest[LANES], lowest[LANES], shift[LANES];
    double unit[LANES], count[LANES], rest[LANES], value[LANES], log_total[LANES];
    int is_sound[LANES];
} F(softmax_tile);

/* The largest logit of every lane, and the power of two to count in. */
static ALWAYS_INLINE void F(survey_logits)(F(softmax_tile) *tile, const REAL *x, ptrdiff_t length, const klfast_row *row) {
    REAL largest[LANES];
    INTEGER bad[LANES] = {0};
    F(klfast_exponential) e = row->temperature->F(of);
    klfast_exponential_f64 wide_e = row->temperature->of_f64;
    for (int j = 0; j < LANES; j++) largest[j] = -INFINITY;
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            largest[j] = x[i + j] > largest[j] ? x[i + j] : largest[j];
            bad[j] |= !(x[i + j] < INFINITY);
        }
    }
    if (row->alone) {
        REAL of_row = F(largest_of_row)(largest);
        INTEGER any_bad = F(any_of_row)(bad);
        for (int j = 0; j < LANES; j++) largest[j] = of_row;
        for (int j = 0; j < LANES; j++) bad[j] = any_bad;
    }
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        int is_in_range = (largest[j] <= e.limit) & (largest[j] >= -e.limit) & !bad[j];
        double shifted;
        tile->largest[j] = is_in_range ? largest[j] : 0;
        tile->unit[j] = exp_at_f64(-(double)tile->largest[j], &wide_e, &shifted);
        F(exponent_scale) scale = F(scale_by)((REAL)(0x1.8p52 - shifted), &e);
        tile->lowest[j] = scale.lowest;
        tile->shift[j] = scale.shift;
        tile->is_sound[j] = is_in_range;
    }
}

/* How often the largest is in a row that is alone. */
static ALWAYS_INLINE void F(count_in_row)(INTEGER *count, const REAL *x, ptrdiff_t length, const F(softmax_tile) *tile,
                                          const klfast_row *row) {
    INTEGER all = 0, copies = x[0] == tile->largest[0] ? (INTEGER)(length - row->alone) : 0;
    for (int j = 0; j < LANES; j++) all += count[j];
    for (int j = 0; j < LANES; j++) count[j] = all - copies;
}

/* Lanes of which next to nothing is left beside the largest are sound after all where nothing is: where all other logits are so
 * far below it that not even a double has a number for their exponentials. */
static NOINLINE void F(look_for_nothing)(F(softmax_tile) *tile, const int *is_poor, const INTEGER *count, const REAL *x,
                                         ptrdiff_t length, INTEGER elements, const klfast_row *row) {
    INTEGER none[LANES] = {0}, all = 0;
    REAL below[LANES];
    for (int j = 0; j < LANES; j++) below[j] = tile->largest[j] - (REAL)(760 * row->temperature->value);
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) none[j] += x[i + j] < below[j];
    }
    for (int j = 0; j < LANES; j++) all += none[j];
    if (row->alone && x[0] < below[0]) all -= (INTEGER)(length - row->alone);
    for (int j = 0; j < LANES; j++) tile->is_sound[j] |= is_poor[j] & (count[j] + (row->alone ? all : none[j]) == elements);
}

static ALWAYS_INLINE void F(look_at_tile)(F(softmax_tile) *tile, const REAL *x, ptrdiff_t length, const klfast_row *row,
                                          const int with_value) {
    REAL rest[LANES * KLFAST_SHORT_DISTRIBUTION], value[LANES * KLFAST_SHORT_DISTRIBUTION];
    INTEGER count[LANES] = {0};
    F(lanes) sum_rest, sum_value = {{0}};
    F(klfast_exponential) e = row->temperature->F(of);
    F(survey_logits)(tile, x, length, row);
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        F(prefetch_line)(&row->ahead_a, i);
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            F(exponent_scale) scale = {tile->lowest[j], tile->shift[j]};
            REAL at = x[i + j], whole = F(scaled_exp)(at, scale, &e);
            REAL clipped = at < tile->lowest[j] ? tile->lowest[j] : at;
            INTEGER is_top = -(INTEGER)(at == tile->largest[j]);
            rest[i + j] = F(from_bits)(F(bits)(whole) & ~is_top);
            count[j] -= is_top;
            if (with_value) value[i + j] = whole * (tile->largest[j] - clipped);
        }
    }
    if (row->alone) F(count_in_row)(count, x, length, tile, row);
    F(add_up_closely)(&sum_rest, rest, length, row);
    F(lane_values)(tile->rest, &sum_rest);
    if (with_value) F(add_up_closely)(&sum_value, value, length, row);
    F(lane_values)(tile->value, &sum_value);
    INTEGER elements = (INTEGER)(row->alone ? row->alone : length / LANES);
    int is_poor[LANES], any_poor = 0;
    for (int j = 0; j < LANES; j++) {
        is_poor[j] = tile->is_sound[j] & !((tile->rest[j] >= SMALLEST_REST) | (count[j] == elements));
        any_poor |= is_poor[j];
        tile->is_sound[j] &= !is_poor[j];
    }
    if (any_poor) F(look_for_nothing)(tile, is_poor, count, x, length, elements, row);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        tile->count[j] = (double)count[j];
        tile->rest[j] *= tile->unit[j];
        tile->value[j] *= tile->unit[j];
        /* as log1p where the largest is alone: nothing of a small rest is lost */
        tile->log_total[j] = log_ratio_from_f64(tile->count[j] + tile->rest[j], 1.0, (tile->count[j] - 1) + tile->rest[j]);
    }
}

/* factor*p of every element. */
static ALWAYS_INLINE void F(write_tile_shares)(REAL *restrict out, const REAL *x, ptrdiff_t length,
                                               const F(softmax_tile) *tile, const double *factor, const klfast_row *row) {
    F(klfast_exponential) e = row->temperature->F(of);
    REAL share[LANES];
    for (int j = 0; j < LANES; j++)
        share[j] = (REAL)(factor[j] * tile->unit[j] / (tile->count[j] + tile->rest[j]));
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            F(exponent_scale) scale = {tile->lowest[j], tile->shift[j]};
            out[i + j] = F(scaled_exp)(x[i + j], scale, &e) * share[j];
        }
    }
}

static unsigned F(tile_logsumexp)(double *result, const void *x, const void *y, ptrdiff_t length, ptrdiff_t count,
                                  const klfast_row *row, void *out_a, void *out_b) {
    F(softmax_tile) tile;
    (void)y, (void)count, (void)out_a, (void)out_b;
    F(look_at_tile)(&tile, x, length, row, 0);
    for (int j = 0; j < LANES; j++)
        result[j] = (double)tile.largest[j] * row->temperature->inverse + tile.log_total[j];
    return lane_bits(tile.is_sound, LANES);
}

static unsigned F(tile_softmax)(double *result, const void *logits, const void *y, ptrdiff_t length, ptrdiff_t count,
                                const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits;
    REAL *restrict out = out_a, likeliest[LANES];
    F(softmax_tile) tile;
    double factor[LANES];
    INTEGER is_sure[LANES], is_any_sure = 0;
    (void)result, (void)y, (void)count, (void)out_b;
    F(look_at_tile)(&tile, x, length, row, 0);
    for (int j = 0; j < LANES; j++) {
        double total = tile.count[j] + tile.rest[j];
        factor[j] = row->labels->gradient[j];
        likeliest[j] = (REAL)(factor[j] / total);
        is_sure[j] = F(is_nearly_sure)(total);
        is_any_sure |= is_sure[j];
    }
    F(write_tile_shares)(out, x, length, &tile, factor, row);
    for (ptrdiff_t i = 0; is_any_sure && i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            out[i + j] = (is_sure[j] & (x[i + j] == tile.largest[j])) ? likeliest[j] : out[i + j];
    }
    return lane_bits(tile.is_sound, LANES);
}

static unsigned F(tile_log_softmax)(double *result, const void *logits, const void *y, ptrdiff_t length, ptrdiff_t count,
                                    const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits;
    REAL *restrict out = out_a, total[LANES], inverse = row->temperature->F(of).inverse;
    F(softmax_tile) tile;
    (void)result, (void)y, (void)count, (void)out_b;
    F(look_at_tile)(&tile, x, length, row, 0);
    for (int j = 0; j < LANES; j++) total[j] = (REAL)tile.log_total[j];
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) out[i + j] = (x[i + j] - tile.largest[j]) * inverse - total[j];
    }
    return lane_bits(tile.is_sound, LANES);
}

static unsigned F(tile_logits_entropy)(double *result, const void *logits, const void *y, ptrdiff_t length, ptrdiff_t count,
                                       const klfast_row *row, void *out_a, void *out_b) {
    const REAL *x = logits;
    REAL *restrict out = out_a, inverse = row->temperature->F(of).inverse;
    F(softmax_tile) tile;
    (void)y, (void)count, (void)out_b;
    F(look_at_tile)(&tile, x, length, row, 1);
    double mean[LANES];
    for (int j = 0; j < LANES; j++) {
        mean[j] = tile.value[j] * row->temperature->inverse / (tile.count[j] + tile.rest[j]);
        result[j] = tile.log_total[j] + mean[j];
    }
    if (out) {
        REAL above[LANES], bottom[LANES], largest[LANES];
        double factor[LANES];
        for (int j = 0; j < LANES; j++) {
            factor[j] = row->labels->gradient[j] * row->temperature->inverse;
            above[j] = (REAL)mean[j];
            largest[j] = tile.largest[j] + 0; /* as in write_entropy */
            bottom[j] = largest[j] + 2 * (LOWEST_EXPONENT + 1) * row->temperature->F(of).ln2;
        }
        F(write_tile_shares)(out, x, length, &tile, factor, row);
        for (ptrdiff_t i = 0; i < length; i += LANES) {
            AS_LOOP
            for (int j = 0; j < LANES; j++) {
                REAL held = x[i + j] > bottom[j] ? x[i + j] : bottom[j];
                out[i + j] *= (largest[j] - held) * inverse - above[j];
            }
        }
    }
    return lane_bits(tile.is_sound, LANES);
}

/* The gradient at the labels, as settle_gradient finds it, lane by lane: all weights but the label's are `beside`, and `taken`
 * is taken off. */
static ALWAYS_INLINE void F(find_at_labels)(double *at_label, const F(softmax_tile) *tile, const double *label_weight,
                                            const double *beside, const double *taken, const klfast_row *row) {
    const klfast_labels *labels = row->labels;
    klfast_exponential_f64 e = row->temperature->of_f64;
    double inverse = row->temperature->inverse, lowest = -700.0 * row->temperature->value;
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double shifted, total = tile->count[j] + tile->rest[j], distance = labels->logit[j] - (double)tile->largest[j];
        double held = distance > lowest ? distance : lowest, fraction = exp_at_f64(held, &e, &shifted);
        double part = fraction * power_of_two_f64(shifted - 0x1.8p52);
        double p = (distance > lowest ? part : 0) / total, of_others = ((tile->count[j] - 1) + tile->rest[j]) / total;
        double others = distance == 0 ? of_others : 1 - p;
        at_label[j] = labels->gradient[j] * inverse * (p * beside[j] - label_weight[j] * others - taken[j]);
    }
}

/* Puts them in; rows that do not count have a gradient of 0. */
static ALWAYS_INLINE void F(put_at_labels)(REAL *out, ptrdiff_t length, ptrdiff_t count, const double *at_label,
                                           const klfast_row *row) {
    const klfast_labels *labels = row->labels;
    ptrdiff_t step = F(row_step)(row);
    for (int j = 0; j < count; j++) {
        if (labels->is_ignored[j])
            for (ptrdiff_t i = j; i < length; i += step) out[i] = 0;
        else out[labels->place[j] * step + j] = (REAL)(at_label[j] * below_cap(labels->logit[j], row->parameters));
    }
}

/* What a softcap leaves of a derivative. */
static ALWAYS_INLINE void F(lower_by_cap)(REAL *restrict out, const REAL *x, ptrdiff_t length, const klfast_row *row) {
    REAL cap = (REAL)row->parameters->softcap;
    for (ptrdiff_t i = 0; cap > 0 && i < length; i++) {
        REAL share = x[i] > -INFINITY ? x[i] / cap : 1;
        out[i] *= (1 - share) * (1 + share);
    }
}

/* Rows that do not count have the result 0, whatever they hold. */
static unsigned F(tile_logits_cross_entropy)(double *result, const void *logits, const void *y, ptrdiff_t length,
                                             ptrdiff_t count, const klfast_row *row, void *out_a, void *out_b) {
    const klfast_labels *labels = row->labels;
    const REAL *x = logits;
    REAL *restrict out = out_a;
    double inverse = row->temperature->inverse, z = row->parameters->z_loss, factor[LANES], beside[LANES], at_label[LANES];
    static const double nothing[LANES] = {0};
    F(softmax_tile) tile;
    (void)y, (void)out_b;
    F(look_at_tile)(&tile, x, length, row, 0);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double loss = tile.log_total[j] + ((double)tile.largest[j] - labels->logit[j]) * inverse;
        double lse = (double)tile.largest[j] * inverse + tile.log_total[j];
        loss = labels->weight[j] == 0 ? 0 : labels->weight[j] * loss;
        result[j] = labels->is_ignored[j] ? 0 : loss + z * lse * lse;
        beside[j] = 2 * z * lse;
        factor[j] = labels->is_ignored[j] ? 0 : labels->gradient[j] * inverse * (labels->weight[j] + beside[j]);
        tile.is_sound[j] |= labels->is_ignored[j];
    }
    if (!out) return lane_bits(tile.is_sound, LANES);
    F(write_tile_shares)(out, x, length, &tile, factor, row);
    F(lower_by_cap)(out, x, length, row);
    F(find_at_labels)(at_label, &tile, labels->weight, beside, nothing, row);
    F(put_at_labels)(out, length, count, at_label, row);
    return lane_bits(tile.is_sound, LANES);
}

static unsigned F(tile_token_logprobs)(double *result, const void *x, const void *y, ptrdiff_t length, ptrdiff_t count,
                                       const klfast_row *row, void *out_a, void *out_b) {
    unsigned sound = F(tile_logits_cross_entropy)(result, x, y, length, count, row, out_a, out_b);
    for (int j = 0; j < LANES; j++) result[j] = 0 - result[j];
    return sound;
}
