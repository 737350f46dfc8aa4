/* Jensen-Shannon of rows that are mostly zeros. An event that only one of p and q knows adds its weight times log 2: there
 * is no logarithm to compute. So groups of neighbours in which p or q is nothing are set aside, and only added up. */

enum {
    F(GROUP) = 32 / sizeof(REAL), /* what is kept or set aside together */
    F(SPARSE_PIECE) = 1024,       /* elements that are gone through at a time */
};

/* 1 if half of the first step are events that p or q does not know. */
static int F(is_sparse)(const REAL *p, const REAL *q, ptrdiff_t length) {
    int alone = 0;
    if (length < STEP) return 0;
    for (int j = 0; j < STEP; j++) alone += (p[j] == 0) | (q[j] == 0);
    return 2 * alone >= STEP;
}

typedef struct {
    REAL kept_p[F(SPARSE_PIECE) + STEP], kept_q[F(SPARSE_PIECE) + STEP];
    REAL aside_p[F(SPARSE_PIECE) + STEP], aside_q[F(SPARSE_PIECE) + STEP];
    ptrdiff_t kept, aside;
    uint64_t bits; /* all bits that any number has */
} F(parted);

/* The bits of a group, all in one. */
static ALWAYS_INLINE uint64_t F(group_bits)(const REAL *group) {
    uint64_t words[4];
    memcpy(words, group, sizeof words);
    return (words[0] | words[1]) | (words[2] | words[3]);
}

static ALWAYS_INLINE void F(copy_group)(REAL *to, const REAL *from) { memcpy(to, from, F(GROUP) * sizeof(REAL)); }

/* Without branches: every group is written to the end of both parts, and counted in one. */
static void F(part)(F(parted) *parts, const REAL *p, const REAL *q, ptrdiff_t length) {
    ptrdiff_t kept = 0, aside = 0;
    uint64_t bits = 0;
    for (ptrdiff_t i = 0; i < length; i += F(GROUP)) {
        uint64_t bits_p = F(group_bits)(p + i), bits_q = F(group_bits)(q + i), any = bits_p | bits_q;
        F(copy_group)(parts->kept_p + kept, p + i);
        F(copy_group)(parts->kept_q + kept, q + i);
        F(copy_group)(parts->aside_p + aside, p + i);
        F(copy_group)(parts->aside_q + aside, q + i);
        ptrdiff_t alone = (bits_p == 0) | (bits_q == 0), something = any != 0;
        kept += F(GROUP) & (alone - 1);
        aside += F(GROUP) & -(alone & something);
        bits |= any;
    }
    parts->kept = kept;
    parts->aside = aside;
    parts->bits = bits;
}

/* The state of a block whose length is a multiple of GROUP; 0 if its numbers are not for the fast kernels. */
static int F(js_sparse)(weights_state *state, const REAL *p, const REAL *q, ptrdiff_t length, const F(constants) *row,
                        const klfast_row *told, REAL lowest) {
    F(parted) parts;
    F(constants) here = *row;
    klfast_state total = {.weights = *state}, piece;
    wide_sum alone_p = {0.0, 0.0}, alone_q = {0.0, 0.0};
    uint64_t bits = 0;
    here.ahead_p = here.ahead_q = (klfast_ahead){(const char *)parts.kept_p, 0, 0};
    for (ptrdiff_t i = 0; i < length; i += F(SPARSE_PIECE)) {
        F(sweep) sums;
        F(lanes) sum_p, sum_q;
        F(part)(&parts, p + i, q + i, length - i < F(SPARSE_PIECE) ? length - i : F(SPARSE_PIECE));
        bits |= parts.bits;
        F(lane_sums)(&sum_p, &sum_q, parts.aside_p, parts.aside_q, parts.aside);
        add_sum(&alone_p, F(lane_total)(&sum_p));
        add_sum(&alone_q, F(lane_total)(&sum_q));
        if (parts.kept == 0) continue;
        memset(&piece, 0, sizeof piece);
        F(sweep_JENSEN_SHANNON)(&sums, parts.kept_p, parts.kept_q, parts.kept, &here);
        if (!F(conclude)(&piece.weights, &sums, lowest, 1)) return 0;
        weights_join(&total, &piece, told);
    }
    if (bits & SIGN_BITS || !(alone_p.high <= HIGHEST_SUM && alone_q.high <= HIGHEST_SUM)) return 0;
    double c = (double)row->c[0], c_low = (double)row->c_low[0];
    wide_sum scaled_q = scaled_sum(alone_q, c), scaled_p = scaled_sum(alone_p, LN2_DOUBLE);
    add_number(&scaled_q, c_low * alone_q.high);
    add_sum(&total.weights.mass, alone_p);
    add_sum(&total.weights.first, scaled_p);
    add_sum(&total.weights.first, scaled_sum(scaled_q, LN2_DOUBLE));
    add_sum(&total.weights.second, alone_p);
    add_sum(&total.weights.second, scaled_sum(scaled_q, -1.0));
    *state = total.weights;
    return 1;
}
