/* Blocks of the cross-entropy of a row of logits and a row of weights b beside it: target probabilities, or the class
 * weights that smoothing spreads. The softmax as always; then the sums of b and of b*(largest - x), which have no negative
 * term, so that a row that is sure of the right class keeps its digits. */

/* All bits set where an entry does not count. Two rules, each told by all bits or none: where a mask leaves class weights out,
 * both numbers are -inf; smoothing over the finite classes skips all others. */
static ALWAYS_INLINE INTEGER F(is_left_out)(INTEGER is_impossible, REAL b, INTEGER is_masked, INTEGER skips_impossible) {
    return is_impossible & ((is_masked & -(INTEGER)(b == -INFINITY)) | skips_impossible);
}

/* The same one element at a time and in double, told by needs_care: weights times scale_q, distances times scale_p. */
static void F(logits_cross_unusual)(logits_cross_state *s, const REAL *x, const REAL *b, ptrdiff_t length,
                                    const klfast_row *row, const int is_masked) {
    double largest = s->softmax.largest * row->scale_p;
    for (ptrdiff_t i = 0; i < length; i++) {
        double weight = (double)b[i];
        int is_impossible = x[i] == -INFINITY;
        if (is_impossible && (row->parameters->smooths_finite || (is_masked && b[i] == -INFINITY))) continue;
        s->count += 1;
        add_number(&s->mass, weight * row->scale_q);
        if (!(weight >= 0 && weight < HUGE_VAL)) s->softmax.flags |= HAS_NAN;
        else if (is_impossible && weight > 0) s->softmax.flags |= IS_INFINITE;
        else if (weight > 0) add_number(&s->cross, weight * row->scale_q * (largest - (double)x[i] * row->scale_p));
    }
}

static void F(logits_cross)(klfast_state *state, const void *logits, const void *weights, ptrdiff_t length,
                            const klfast_row *row) {
    const REAL *x = logits, *b = weights;
    REAL padded_x[STEP], padded_b[STEP], mass[STEP], product[STEP];
    INTEGER counted[STEP] = {0}, bad[STEP] = {0}, impossible[STEP] = {0}, any_bad = 0, any_impossible = 0;
    F(lanes) sum_mass = {{0}}, sum_product = {{0}};
    logits_cross_state *s = &state->cross;
    memset(s, 0, sizeof *s);
    F(softmax_any)(&s->softmax, x, length, row, 0);
    REAL largest = (REAL)s->softmax.largest;
    /* what a mask excludes is -inf, and so are the class weights beside it; of target probabilities it leaves 0 */
    int has_weights = row->label >= 0;
    INTEGER is_masked = -(INTEGER)has_weights, skips_impossible = -(INTEGER)row->parameters->smooths_finite;
    if (row->walk == WALK_CAREFUL) {
        F(logits_cross_unusual)(s, x, b, length, row, has_weights);
        return;
    }
    for (ptrdiff_t i = 0; i < length; i += STEP) {
        const REAL *at_x = F(whole_step)(x, i, length, -INFINITY, padded_x);
        const REAL *at_b = F(whole_step)(b, i, length, 0, padded_b);
        INTEGER left = length - i < STEP ? (INTEGER)(length - i) : STEP;
        for (int j = 0; j < STEP; j++) {
            INTEGER is_impossible = -(INTEGER)(at_x[j] == -INFINITY), is_behind = -(INTEGER)(j >= left);
            INTEGER is_skipped = F(is_left_out)(is_impossible, at_b[j], is_masked, skips_impossible) | is_behind;
            /* as bits: choices that hang together would become branches */
            REAL weight = F(from_bits)(F(bits)(at_b[j]) & ~is_skipped), distance = largest - at_x[j];
            INTEGER has_weight = -(INTEGER)(weight > 0);
            mass[j] = weight;
            product[j] = weight * F(from_bits)(F(bits)(distance) & has_weight & ~is_impossible);
            counted[j] += 1 + is_skipped;
            bad[j] |= !(weight >= 0) | !(weight < INFINITY);
            impossible[j] |= is_impossible & has_weight;
        }
        F(fold)(&sum_mass, mass);
        F(fold)(&sum_product, product);
        if (!F(ends_run)(i, length)) continue;
        F(end_run)(&sum_mass);
        F(end_run)(&sum_product);
    }
    for (int j = 0; j < STEP; j++) {
        s->count += (double)counted[j];
        any_bad |= bad[j];
        any_impossible |= impossible[j];
    }
    s->mass = F(lane_total)(&sum_mass);
    s->cross = F(lane_total)(&sum_product);
    if (any_bad) s->softmax.flags |= HAS_NAN;
    if (any_impossible) s->softmax.flags |= IS_INFINITE;
}
