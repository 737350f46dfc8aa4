/* Short rows of logits with a row of weights beside each, as in logits_cross.inc.h: LANES of them side by side. Lanes that need
 * more care (see logits_tile.inc.h and needs_care) are reported, and so are those with weights that are none. */

/* What becomes of the sums: the loss is label_weight*nll(label) + spread*(sum of b*nll) + z*lse^2. */
typedef struct {
    double mass[LANES], cross[LANES], count[LANES], label_weight[LANES], spread[LANES], beside[LANES];
    int is_sound[LANES], is_impossible[LANES];
} F(cross_tile);

/* What was found in any lane, of a row that is alone; its first entry stands behind the end as well. */
static ALWAYS_INLINE void F(weights_of_row)(INTEGER *counted, INTEGER *bad, INTEGER *impossible, INTEGER skips_first,
                                            ptrdiff_t copies) {
    INTEGER any_bad = F(any_of_row)(bad), any_impossible = F(any_of_row)(impossible), all = 0;
    for (int j = 0; j < LANES; j++) all += counted[j];
    for (int j = 0; j < LANES; j++) {
        counted[j] = all - (1 + skips_first) * (INTEGER)copies;
        bad[j] = any_bad;
        impossible[j] = any_impossible;
    }
}

/* The sums of b and b*(largest - x), and how many entries count. `has_labels`: b are the weights of classes, and -inf where a
 * mask leaves out. */
static ALWAYS_INLINE void F(look_at_weights)(F(cross_tile) *sums, const F(softmax_tile) *tile, const REAL *x, const REAL *b,
                                             ptrdiff_t length, const klfast_row *row, const int has_labels) {
    REAL mass[LANES * KLFAST_SHORT_ROW], product[LANES * KLFAST_SHORT_ROW];
    INTEGER counted[LANES] = {0}, bad[LANES] = {0}, impossible[LANES] = {0};
    INTEGER skips_impossible = -(INTEGER)row->parameters->smooths_finite;
    F(lanes) sum_mass, sum_product;
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        F(prefetch_line)(&row->ahead_b, i);
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            INTEGER is_impossible = -(INTEGER)(x[i + j] == -INFINITY);
            INTEGER is_skipped = F(is_left_out)(is_impossible, b[i + j], -(INTEGER)has_labels, skips_impossible);
            /* as bits: choices that hang together would become branches */
            REAL weight = F(from_bits)(F(bits)(b[i + j]) & ~is_skipped), distance = tile->largest[j] - x[i + j];
            INTEGER has_weight = -(INTEGER)(weight > 0);
            mass[i + j] = weight;
            product[i + j] = weight * F(from_bits)(F(bits)(distance) & has_weight & ~is_impossible);
            counted[j] += 1 + is_skipped;
            bad[j] |= !(weight >= 0) | !(weight < INFINITY);
            impossible[j] |= is_impossible & has_weight;
        }
    }
    if (row->alone) {
        INTEGER skips_first = F(is_left_out)(-(INTEGER)(x[0] == -INFINITY), b[0], -(INTEGER)has_labels, skips_impossible);
        F(weights_of_row)(counted, bad, impossible, skips_first, length - row->alone);
    }
    F(add_up_closely)(&sum_mass, mass, length, row);
    F(add_up_closely)(&sum_product, product, length, row);
    F(lane_values)(sums->mass, &sum_mass);
    F(lane_values)(sums->cross, &sum_product);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sums->count[j] = (double)counted[j];
        sums->is_impossible[j] = impossible[j] != 0;
        sums->is_sound[j] = tile->is_sound[j] & (bad[j] == 0);
    }
}

/* The loss of every lane but for its label, and whether the sums are in range. */
static ALWAYS_INLINE void F(conclude_weights)(double *result, F(cross_tile) *sums, const F(softmax_tile) *tile,
                                              const klfast_row *row) {
    double inverse = row->temperature->inverse, z = row->parameters->z_loss;
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double mass = sums->mass[j], cross = sums->cross[j], lse = (double)tile->largest[j] * inverse + tile->log_total[j];
        double others = (tile->count[j] - 1) + tile->rest[j], held = others < 1 ? others : 1;
        double loss = sums->spread[j] * (cross * inverse + mass * tile->log_total[j]);
        int is_large = !((mass <= HIGHEST_SUM) & (cross * inverse < HUGE_VAL));
        int is_small = (mass < SMALLEST_REST) | ((cross < SMALLEST_REST) & (mass * held < SMALLEST_REST));
        loss = sums->is_impossible[j] ? HUGE_VAL : loss;
        result[j] = (sums->spread[j] == 0 ? 0 : loss) + z * lse * lse;
        sums->beside[j] = sums->spread[j] * mass + 2 * z * lse;
        sums->is_sound[j] &= ((mass == 0) & (cross == 0)) | !(is_large | is_small);
    }
}

/* The gradient of every entry, in double where one class has most of p: there, p - b may be far smaller than both, and 1 - p is
 * taken from the others. */
static ALWAYS_INLINE void F(write_weights)(REAL *restrict out, const REAL *x, const REAL *b, ptrdiff_t length,
                                           const F(cross_tile) *sums, const F(softmax_tile) *tile, const klfast_row *row,
                                           const int has_labels) {
    double of_p[LANES], of_b[LANES], others[LANES];
    REAL scale[LANES], likeliest[LANES];
    INTEGER skips_impossible = -(INTEGER)row->parameters->smooths_finite;
    for (int j = 0; j < LANES; j++) {
        double unit = row->labels->gradient[j] * row->temperature->inverse;
        of_p[j] = unit * (sums->label_weight[j] + sums->beside[j]);
        of_b[j] = -unit * sums->spread[j];
        scale[j] = (REAL)of_b[j];
        double left = ((tile->count[j] - 1) + tile->rest[j]) / (tile->count[j] + tile->rest[j]);
        others[j] = of_p[j] * left;
        likeliest[j] = left > 0.5 ? INFINITY : tile->largest[j];
    }
    F(write_tile_shares)(out, x, length, tile, of_p, row);
    for (ptrdiff_t i = 0; i < length; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            INTEGER is_impossible = -(INTEGER)(x[i + j] == -INFINITY);
            INTEGER is_skipped = F(is_left_out)(is_impossible, b[i + j], -(INTEGER)has_labels, skips_impossible);
            REAL weight = F(from_bits)(F(bits)(b[i + j]) & ~is_skipped);
            REAL at_largest = (REAL)((of_p[j] + of_b[j] * (double)weight) - others[j]);
            out[i + j] = x[i + j] == likeliest[j] ? at_largest : out[i + j] + scale[j] * weight;
        }
    }
    F(lower_by_cap)(out, x, length, row);
}

/* Class ids with smoothing: b are the class weights. */
static unsigned F(tile_smoothed_cross_entropy)(double *result, const void *logits, const void *weights, ptrdiff_t length,
                                               ptrdiff_t count, const klfast_row *row, void *out_a, void *out_b) {
    const klfast_labels *labels = row->labels;
    double inverse = row->temperature->inverse, smoothing = row->parameters->smoothing, at_label[LANES], taken[LANES];
    F(softmax_tile) tile;
    F(cross_tile) sums;
    (void)out_b;
    F(look_at_tile)(&tile, logits, length, row, 0);
    F(look_at_weights)(&sums, &tile, logits, weights, length, row, 1);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sums.label_weight[j] = (1 - smoothing) * labels->weight[j];
        sums.spread[j] = smoothing / sums.count[j];
    }
    F(conclude_weights)(result, &sums, &tile, row);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double loss = tile.log_total[j] + ((double)tile.largest[j] - labels->logit[j]) * inverse;
        loss = sums.label_weight[j] == 0 ? 0 : sums.label_weight[j] * loss;
        result[j] = labels->is_ignored[j] ? 0 : loss + result[j];
        sums.is_sound[j] |= labels->is_ignored[j];
    }
    if (!out_a) return lane_bits(sums.is_sound, LANES);
    F(write_weights)(out_a, logits, weights, length, &sums, &tile, row, 1);
    for (int j = 0; j < LANES; j++) {
        int is_counted = !(row->parameters->smooths_finite && labels->logit[j] == -HUGE_VAL);
        taken[j] = is_counted ? sums.spread[j] * labels->weight[j] : 0;
    }
    F(find_at_labels)(at_label, &tile, sums.label_weight, sums.beside, taken, row);
    F(put_at_labels)(out_a, length, count, at_label, row);
    return lane_bits(sums.is_sound, LANES);
}

/* Target probabilities b. */
static unsigned F(tile_soft_cross_entropy)(double *result, const void *logits, const void *weights, ptrdiff_t length,
                                           ptrdiff_t count, const klfast_row *row, void *out_a, void *out_b) {
    int is_raw = row->parameters->is_raw;
    F(softmax_tile) tile;
    F(cross_tile) sums;
    (void)count, (void)out_b;
    F(look_at_tile)(&tile, logits, length, row, 0);
    F(look_at_weights)(&sums, &tile, logits, weights, length, row, 0);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sums.label_weight[j] = 0;
        sums.spread[j] = 1 / (is_raw ? 1 : sums.mass[j]);
        sums.is_sound[j] &= is_raw | (sums.mass[j] > 0);
    }
    F(conclude_weights)(result, &sums, &tile, row);
    if (out_a) F(write_weights)(out_a, logits, weights, length, &sums, &tile, row, 0);
    return lane_bits(sums.is_sound, LANES);
}
