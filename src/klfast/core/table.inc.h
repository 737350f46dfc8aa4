/* The block functions as the table holds them. */

enum { F(logits_block) = LOGITS_BLOCK, F(softmax_block) = SOFTMAX_BLOCK, F(exp_limit) = (int)EXP_LIMIT };

static void F(kl_divergence)(klfast_state *state, const void *p, const void *q, ptrdiff_t length,
                             const klfast_row *row) {
    if (is_sums(row->walk)) F(sums)(&state->weights, p, q, length, row);
    else if (row->walk == WALK_MULTIPLES) F(multiples)(&state->weights, p, q, length);
    else F(divergence_any)(&state->weights, p, q, length, row, 0);
}

static void F(raw_kl_divergence)(klfast_state *state, const void *p, const void *q, ptrdiff_t length,
                                 const klfast_row *row) {
    F(divergence_any)(&state->weights, p, q, length, row, 1);
}

static void F(cross_entropy)(klfast_state *state, const void *p, const void *q, ptrdiff_t length,
                             const klfast_row *row) {
    if (is_sums(row->walk)) F(sums)(&state->weights, p, q, length, row);
    else F(cross_entropy_any)(&state->weights, p, q, length, row, 0);
}

static void F(entropy)(klfast_state *state, const void *p, const void *q, ptrdiff_t length, const klfast_row *row) {
    (void)q;
    if (is_sums(row->walk)) F(sums)(&state->weights, p, p, length, row);
    else F(cross_entropy_any)(&state->weights, p, p, length, row, 1);
}

static void F(logsumexp)(klfast_state *state, const void *x, const void *y, ptrdiff_t length, const klfast_row *row) {
    (void)y;
    F(softmax_any)(&state->softmax, x, length, row, 0);
}

static void F(logits_entropy)(klfast_state *state, const void *x, const void *y, ptrdiff_t length,
                              const klfast_row *row) {
    (void)y;
    F(softmax_any)(&state->softmax, x, length, row, 1);
}

#define COMPARISON(NAME, KIND) \
    static void F(NAME)(klfast_state *state, const void *p, const void *q, ptrdiff_t length, const klfast_row *row) { \
        if (is_sums(row->walk)) F(sums)(&state->weights, p, q, length, row); \
        else if (row->walk == WALK_MULTIPLES) F(multiples)(&state->weights, p, q, length); \
        else F(comparison_any)(&state->weights, p, q, length, row, KIND); \
    } \
    static void F(raw_##NAME)(klfast_state *state, const void *p, const void *q, ptrdiff_t length, \
                              const klfast_row *row) { \
        F(comparison_any)(&state->weights, p, q, length, row, KIND); \
    } \
    static unsigned F(tile_##NAME)(double *result, const void *p, const void *q, ptrdiff_t length, ptrdiff_t count, \
                                   const klfast_row *told, void *out_a, void *out_b) { \
        (void)count, (void)out_a, (void)out_b; \
        return F(comparison_tile)(result, p, q, length, told, KIND, 0); \
    } \
    static unsigned F(tile_raw_##NAME)(double *result, const void *p, const void *q, ptrdiff_t length, \
                                       ptrdiff_t count, const klfast_row *told, void *out_a, void *out_b) { \
        (void)count, (void)out_a, (void)out_b; \
        return F(comparison_tile)(result, p, q, length, told, KIND, 1); \
    }
COMPARISON(js_divergence, JENSEN_SHANNON)
COMPARISON(total_variation, TOTAL_VARIATION)
COMPARISON(hellinger, HELLINGER)
COMPARISON(jeffreys, JEFFREYS)
COMPARISON(chi2_divergence, CHI_SQUARED)
#undef COMPARISON
