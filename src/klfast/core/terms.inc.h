/* The terms of klfast_term_operation: see terms.h. Every element is computed by itself: its bits depend on nothing else, so
 * that rows may be walked in any company. What a vector loop cannot do well (far out, inf, NaN) it leaves to terms_unusual.h,
 * element by element. */

/* The number where `is_counted`, else 0. */
static ALWAYS_INLINE REAL F(counted)(INTEGER is_counted, REAL x) { return F(from_bits)(F(bits)(x) & -is_counted); }

/* |x|, and its bits: as integers they are in the same order, with NaN above all. */
static ALWAYS_INLINE INTEGER F(size_bits)(REAL x) { return F(bits)(x) & (INTEGER)(~(UNSIGNED)0 >> 1); }
static ALWAYS_INLINE REAL F(size_of)(REAL x) { return F(from_bits)(F(size_bits)(x)); }
static ALWAYS_INLINE INTEGER F(wider)(INTEGER a, INTEGER b) { return a > b ? a : b; }

/* So many elements are computed before it is seen whether one of them needs more care. */
enum { F(TERM_STEP) = 512 / sizeof(REAL) }; /* at most RUN_LENGTH */

/* Where some elements of a block begin. */
typedef struct {
    const REAL *input[TERM_INPUTS];
    const char *mask;
    REAL *value[TERM_VALUES];
} F(term_place);

/* What they are told. */
typedef struct {
    REAL clip, free_bits;
} F(term_constants);

/* exp_terms_of(d + low). */
static ALWAYS_INLINE F(exp_terms) F(exp_terms_with)(REAL d, REAL low) {
    F(exp_terms) e = F(exp_terms_of)(d, 0);
    return (F(exp_terms)){F(fma)(low, e.expm1, e.gap), F(fma)(low, e.exp, e.expm1), F(fma)(low, e.exp, e.exp)};
}

/* ---- tokens ---- */

/* The estimators of KL, or their derivatives with respect to logp; the log-ratio is limited to -clip .. clip. Returns whether
 * an element needs more care; with `is_near`, which saves half the work, a log-ratio beyond EXP_TERMS_NEAR does. */
static ALWAYS_INLINE INTEGER F(token_step)(const REAL *restrict logp, const REAL *restrict other, const char *restrict mask,
                                           REAL *restrict value, ptrdiff_t length, REAL clip, const int kind,
                                           const int is_near, const int has_mask) {
    const int is_far_reaching = kind == TERMS_K3 || kind == TERMS_K3_GRAD;
    INTEGER widest = 0, highest = 0;
    for (ptrdiff_t j = 0; j < length; j++) {
        INTEGER is_counted = has_mask ? mask[j] != 0 : 1;
        REAL given = F(counted)(is_counted, other[j] - logp[j]), low = given < -clip ? -clip : given;
        REAL r = low > clip ? clip : low, size = F(size_of)(r);
        REAL inside = F(counted)((given == r) & is_counted, 1), slope = 0;
        if (kind == TERMS_K1) value[j] = 0 - r; /* never -0 */
        if (kind == TERMS_K2) value[j] = (REAL)0.5 * r * r;
        if (kind == TERMS_ABS) value[j] = size;
        if (kind == TERMS_K1_GRAD) slope = 1;
        if (kind == TERMS_K2_GRAD) slope = 0 - r;
        if (kind == TERMS_ABS_GRAD) slope = F(counted)(r < 0, 1) - F(counted)(r > 0, 1);
        if (is_far_reaching) {
            REAL lost = F(counted)((given == r) & is_counted, F(lost_of)(other[j], logp[j], other[j] - logp[j]));
            F(exp_terms) e = is_near ? F(exp_terms_of)(r, 1) : F(exp_terms_with)(r, lost);
            if (kind == TERMS_K3) value[j] = e.gap;
            if (kind == TERMS_K3_GRAD) slope = 0 - e.expm1;
        }
        if (is_far_reaching) widest = F(wider)(widest, F(size_bits)(r));
        if (is_far_reaching && !is_near) highest = F(wider)(highest, F(bits)(r));
        if (kind >= TERMS_K1_GRAD) value[j] = r == r ? slope * inside : r;
    }
    if (is_near) return widest >= F(bits)(EXP_TERMS_NEAR);
    return (widest > F(bits)(-EXP_TERMS_LOWEST)) | (highest >= F(bits)(EXP_TERMS_HIGHEST));
}

/* ---- importance ratios ---- */

/* r, e^r - 1 - r, (e^r - 1)^2, e^2r, e^r, and once more r, -inf where it does not count. Far out, on either side, what r lost
 * in rounding shows in e^r, which may be the largest that there is. */
static ALWAYS_INLINE INTEGER F(ratio_step)(const REAL *logp, const REAL *other, const char *mask,
                                           REAL (*values)[F(TERM_STEP)], ptrdiff_t length, const int has_mask) {
    INTEGER widest = 0;
    for (ptrdiff_t j = 0; j < length; j++) {
        INTEGER is_counted = has_mask ? mask[j] != 0 : 1;
        REAL r = F(counted)(is_counted, logp[j] - other[j]);
        F(exp_terms) e = F(exp_terms_with)(r, F(counted)(is_counted, F(lost_of)(logp[j], other[j], r)));
        values[0][j] = r;
        values[1][j] = e.gap;
        values[2][j] = e.expm1 * e.expm1;
        values[3][j] = F(counted)(is_counted, e.exp * e.exp);
        values[4][j] = F(counted)(is_counted, e.exp);
        values[5][j] = is_counted ? r : -INFINITY;
        widest = F(wider)(widest, F(size_bits)(r));
    }
    return widest >= F(bits)(EXP_TERMS_HIGHEST);
}

/* ---- Gaussians ---- */

/* KL of N(mu, e^logvar) against N(0, 1), and its derivatives; below `free_bits` it counts as that, and has none. */
static ALWAYS_INLINE INTEGER F(gaussian_step)(const REAL *restrict means, const REAL *restrict logvars,
                                              const char *restrict mask, REAL *restrict value, REAL *restrict to_mean,
                                              REAL *restrict to_logvar, ptrdiff_t length, REAL free_bits, const int kind,
                                              const int has_mask) {
    INTEGER widest = 0, farthest = 0;
    for (ptrdiff_t j = 0; j < length; j++) {
        INTEGER is_counted = has_mask ? mask[j] != 0 : 1;
        REAL mu = F(counted)(is_counted, means[j]), logvar = F(counted)(is_counted, logvars[j]);
        F(exp_terms) e = F(exp_terms_of)(logvar, 0);
        REAL term = (REAL)0.5 * F(fma)(mu, mu, e.gap), kept = F(counted)((term >= free_bits) & is_counted, 1);
        value[j] = F(counted)(is_counted, term < free_bits ? free_bits : term);
        if (kind == TERMS_GAUSSIAN_GRAD) to_mean[j] = mu * kept;
        if (kind == TERMS_GAUSSIAN_GRAD) to_logvar[j] = (REAL)0.5 * e.expm1 * kept;
        widest = F(wider)(widest, F(size_bits)(logvar));
        farthest = F(wider)(farthest, F(size_bits)(mu));
    }
    return (widest > F(bits)(-EXP_TERMS_LOWEST)) | (farthest > F(bits)(LARGEST_MEAN));
}

/* KL of N(mu1, e^logvar1) against N(mu2, e^logvar2). */
static ALWAYS_INLINE INTEGER F(gaussian_pair_step)(const REAL *restrict means1, const REAL *restrict logvars1,
                                                   const REAL *restrict means2, const REAL *restrict logvars2,
                                                   const char *restrict mask, REAL *restrict value, ptrdiff_t length,
                                                   REAL free_bits, const int has_mask) {
    INTEGER widest = 0, highest = 0, farthest = 0;
    for (ptrdiff_t j = 0; j < length; j++) {
        INTEGER is_counted = has_mask ? mask[j] != 0 : 1;
        REAL mu = F(counted)(is_counted, means1[j] - means2[j]), logvar = F(counted)(is_counted, logvars2[j]);
        REAL d = F(counted)(is_counted, logvars1[j] - logvars2[j]);
        REAL lost = F(counted)(is_counted, F(lost_of)(logvars1[j], logvars2[j], d));
        REAL gap = F(exp_terms_with)(d, lost).gap, precision = F(exp_terms_of)(-logvar, 0).exp;
        REAL term = (REAL)0.5 * F(fma)(mu, mu * precision, gap);
        value[j] = F(counted)(is_counted, term < free_bits ? free_bits : term);
        widest = F(wider)(widest, F(wider)(F(size_bits)(d), F(size_bits)(logvar)));
        highest = F(wider)(highest, F(bits)(d));
        farthest = F(wider)(farthest, F(size_bits)(mu));
    }
    return (widest > F(bits)(-EXP_TERMS_LOWEST)) | (highest >= F(bits)(EXP_TERMS_HIGHEST)) |
           (farthest > F(bits)(LARGEST_MEAN));
}

/* ---- the element that needs more care ---- */

static void F(mend_ratio)(const F(term_place) *at, ptrdiff_t j, double shift) {
    exact_difference r = difference_of((double)at->input[0][j], (double)at->input[1][j]);
    if (shift != 0) r = less(r, shift);
    exp_terms_f64 e = exp_terms_any(r);
    double values[] = {r.high, e.gap, e.expm1 * e.expm1, e.exp * e.exp, e.exp, r.high};
    for (int k = 0; k < TERM_VALUES; k++) at->value[k][j] = (REAL)values[k];
}

static void F(mend_gaussian)(const F(term_place) *at, ptrdiff_t j, double free_bits, int kind) {
    double mu = (double)at->input[0][j];
    exp_terms_f64 e = exp_terms_any((exact_difference){(double)at->input[1][j], 0.0});
    double term = gaussian_any(mu, e);
    at->value[0][j] = (REAL)at_least(term, free_bits);
    if (kind != TERMS_GAUSSIAN_GRAD) return;
    at->value[1][j] = (REAL)(term < free_bits ? 0.0 : term == term ? mu : term);
    at->value[2][j] = (REAL)(term < free_bits ? 0.0 : term == term ? 0.5 * e.expm1 : term);
}

static void F(mend_pair)(const F(term_place) *at, ptrdiff_t j, double free_bits) {
    exp_terms_f64 e = exp_terms_any(difference_of((double)at->input[1][j], (double)at->input[3][j]));
    double mu = (double)at->input[0][j] - (double)at->input[2][j];
    at->value[0][j] = (REAL)at_least(gaussian_pair_any(mu, (double)at->input[3][j], e), free_bits);
}

/* Only those elements that the vector loop found outside: the others keep what it made of them. Ratios that are shifted are all
 * far out, but for some that count nothing beside these. */
static NOINLINE void F(mend_step)(const F(term_place) *at, ptrdiff_t length, const klfast_parameters *parameters, int kind) {
    const double low = (double)EXP_TERMS_LOWEST, high = (double)EXP_TERMS_HIGHEST;
    for (ptrdiff_t j = 0; j < length; j++) {
        if (at->mask && !at->mask[j]) continue;
        double first = (double)at->input[0][j], second = (double)at->input[1][j];
        if (kind == TERMS_K3 || kind == TERMS_K3_GRAD) {
            REAL clip = (REAL)parameters->clip, r = at->input[1][j] - at->input[0][j];
            if (is_far((double)(r < -clip ? -clip : r > clip ? clip : r), low, high))
                at->value[0][j] = (REAL)token_term_any(first, second, parameters->clip, kind == TERMS_K3_GRAD);
        } else if (kind == TERMS_RATIO_STATS) {
            REAL r = at->input[0][j] - at->input[1][j];
            if (parameters->shift != 0 || is_far((double)r, -high, high)) F(mend_ratio)(at, j, parameters->shift);
        } else if (kind == TERMS_GAUSSIAN_PAIR) {
            double mu = (double)(at->input[0][j] - at->input[2][j]), d = (double)(at->input[1][j] - at->input[3][j]);
            if (is_far(d, low, high) || is_far((double)at->input[3][j], low, -low) ||
                is_far(fabs(mu), 0.0, (double)LARGEST_MEAN))
                F(mend_pair)(at, j, parameters->free_bits);
        } else if (is_far(second, low, -low) || is_far(fabs(first), 0.0, (double)LARGEST_MEAN))
            F(mend_gaussian)(at, j, parameters->free_bits, kind);
    }
}

/* ---- blocks ---- */

static ALWAYS_INLINE INTEGER F(term_step)(const F(term_place) *at, ptrdiff_t length, F(term_constants) told, const int kind,
                                          const int has_mask) {
    const REAL *const *x = at->input;
    if (kind == TERMS_K3 || kind == TERMS_K3_GRAD)
        if (!F(token_step)(x[0], x[1], at->mask, at->value[0], length, told.clip, kind, 1, has_mask)) return 0;
    if (kind < TERMS_RATIO_STATS)
        return F(token_step)(x[0], x[1], at->mask, at->value[0], length, told.clip, kind, 0, has_mask);
    if (kind == TERMS_GAUSSIAN_PAIR)
        return F(gaussian_pair_step)(x[0], x[1], x[2], x[3], at->mask, at->value[0], length, told.free_bits, has_mask);
    if (kind != TERMS_RATIO_STATS)
        return F(gaussian_step)(x[0], x[1], at->mask, at->value[0], at->value[1], at->value[2], length, told.free_bits, kind,
                                has_mask);
    REAL memory[TERM_VALUES][F(TERM_STEP)]; /* of which the compiler knows that it is nothing else */
    INTEGER unusual = F(ratio_step)(x[0], x[1], at->mask, memory, length, has_mask);
    for (int k = 0; k < TERM_VALUES; k++) memcpy(at->value[k], memory[k], (size_t)length * sizeof(REAL));
    return unusual;
}

/* Ask for what is needed a little later. */
static ALWAYS_INLINE void F(prefetch_terms)(const char *start, const int size) {
    for (int line = 0; line < F(TERM_STEP) * size; line += KLFAST_LINE_BYTES) __builtin_prefetch(start + line);
}

enum { F(SHORT_LANES) = 8 };

/* The last terms of a short row, and zeros. */
static ALWAYS_INLINE void F(short_end)(REAL *restrict end, const REAL *restrict term, ptrdiff_t length) {
#ifdef __AVX__ /* a load under a mask, see padded_step */
    INTEGER left = (INTEGER)length;
    for (INTEGER j = 0; j < F(SHORT_LANES); j++) end[j] = j < left ? term[j] : 0;
#else
    for (int j = 0; j < F(SHORT_LANES); j++) end[j] = 0;
    memcpy(end, term, (size_t)length * sizeof(REAL));
#endif
}

/* Of a short row: eight lanes, whatever the type, halved again and again. */
static ALWAYS_INLINE double F(short_sum)(const REAL *term, ptrdiff_t length) {
    double lane[F(SHORT_LANES)] = {0};
    REAL end[F(SHORT_LANES)];
    ptrdiff_t whole = length & -F(SHORT_LANES);
    for (ptrdiff_t i = 0; i < whole; i += F(SHORT_LANES)) {
        AS_LOOP
        for (int j = 0; j < F(SHORT_LANES); j++) lane[j] += (double)term[i + j];
    }
    if (whole < length) {
        F(short_end)(end, term + whole, length - whole);
        AS_LOOP
        for (int j = 0; j < F(SHORT_LANES); j++) lane[j] += (double)end[j];
    }
    for (int half = F(SHORT_LANES) / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) lane[j] += lane[half + j];
    return lane[0];
}

/* Of a long one, TERM_STEP terms after the other. */
static ALWAYS_INLINE void F(add_terms)(F(lanes) *sum, const REAL *term, ptrdiff_t length) {
    REAL padded[STEP];
    for (ptrdiff_t i = 0; i < length; i += F(TERM_STEP)) {
        for (ptrdiff_t r = i; r < length && r < i + F(TERM_STEP); r += STEP)
            F(fold)(sum, F(whole_step)(term, r, length, 0, padded));
        F(end_run)(sum);
    }
}

static ALWAYS_INLINE double F(row_sum)(const F(lanes) *sum, const REAL *term, ptrdiff_t length) {
    return length > KLFAST_SHORT_ROW ? sum_value(F(lane_total)(sum)) : F(short_sum)(term, length);
}

/* sums[r] for each of `rows` rows of terms, one behind the other. */
static void F(sum_rows)(double *sums, const void *terms, ptrdiff_t rows, ptrdiff_t length) {
    const REAL *term = terms;
    if (length <= KLFAST_SHORT_ROW) {
        for (ptrdiff_t r = 0; r < rows; r++, term += length) sums[r] = F(short_sum)(term, length);
        return;
    }
    for (ptrdiff_t r = 0; r < rows; r++, term += length) {
        F(lanes) sum = {{0}};
        F(add_terms)(&sum, term, length);
        sums[r] = sum_value(F(lane_total)(&sum));
    }
}

static ALWAYS_INLINE void F(term_loop)(const klfast_term_block *block, double *sums, const int kind, const int inputs,
                                       const int values, const int summed, const int has_mask) {
    const klfast_parameters *parameters = block->parameters;
    F(term_constants) told = {(REAL)parameters->clip, (REAL)parameters->free_bits};
    F(lanes) sum[TERM_VALUES] = {{{0}}};
    int is_shifted = kind == TERMS_RATIO_STATS && parameters->shift != 0;
    for (ptrdiff_t i = 0; i < block->length; i += F(TERM_STEP)) {
        ptrdiff_t length = block->length - i < F(TERM_STEP) ? block->length - i : F(TERM_STEP);
        F(term_place) at = {.mask = has_mask ? block->mask + i : NULL};
        for (int k = 0; k < inputs; k++) {
            at.input[k] = (const REAL *)block->input[k] + i;
            F(prefetch_terms)((const char *)(at.input[k] + F(AHEAD)), sizeof(REAL));
        }
        if (has_mask) F(prefetch_terms)(at.mask + F(AHEAD), 1);
        for (int k = 0; k < values; k++) {
            at.value[k] = (REAL *)block->value[k] + i;
            if (block->is_output) F(prefetch_terms)((const char *)(at.value[k] + F(AHEAD)), sizeof(REAL));
        }
        INTEGER unusual = F(term_step)(&at, length, told, kind, has_mask);
        if (unusual || is_shifted) F(mend_step)(&at, length, parameters, kind);
        for (int k = 0; sums && k < summed; k++) F(add_terms)(&sum[k], at.value[k], length);
    }
    for (int k = 0; sums && k < summed; k++) sums[k] = F(row_sum)(&sum[k], block->value[k], block->length);
}

#define TERMS(NAME, KIND, INPUTS, VALUES, SUMMED) \
    static void F(NAME)(const klfast_term_block *block, double *sums) { \
        if (block->mask) F(term_loop)(block, sums, KIND, INPUTS, VALUES, SUMMED, 1); \
        else F(term_loop)(block, sums, KIND, INPUTS, VALUES, SUMMED, 0); \
    }
TERMS(terms_k1, TERMS_K1, 2, 1, 1)
TERMS(terms_k2, TERMS_K2, 2, 1, 1)
TERMS(terms_k3, TERMS_K3, 2, 1, 1)
TERMS(terms_abs, TERMS_ABS, 2, 1, 1)
TERMS(terms_k1_grad, TERMS_K1_GRAD, 2, 1, 1)
TERMS(terms_k2_grad, TERMS_K2_GRAD, 2, 1, 1)
TERMS(terms_k3_grad, TERMS_K3_GRAD, 2, 1, 1)
TERMS(terms_abs_grad, TERMS_ABS_GRAD, 2, 1, 1)
TERMS(terms_ratio_stats, TERMS_RATIO_STATS, 2, 6, 5)
TERMS(terms_gaussian, TERMS_GAUSSIAN, 2, 1, 1)
TERMS(terms_gaussian_grad, TERMS_GAUSSIAN_GRAD, 2, 3, 1)
TERMS(terms_gaussian_pair, TERMS_GAUSSIAN_PAIR, 4, 1, 1)
#undef TERMS

/* ---- what is done with terms ---- */

/* Multiplies terms by a number of any size. Never -0: a reward of nothing is 0. What does not count stays 0, also beside an
 * infinite factor. */
static void F(scale_terms)(void *target, const void *terms, const char *mask, ptrdiff_t length, double factor) {
    const REAL *term = terms;
    REAL *to = target;
    for (ptrdiff_t i = 0; i < length; i++) to[i] = (REAL)((double)term[i] * factor + 0.0);
    if (fabs(factor) <= 0x1.fffffffffffffp1023) return;
    for (ptrdiff_t i = 0; mask && i < length; i++) to[i] = mask[i] ? to[i] : 0;
}

static void F(scale_each)(void *terms, const double *factors, const char *mask, ptrdiff_t length) {
    REAL *term = terms;
    for (ptrdiff_t i = 0; i < length; i++) term[i] = (REAL)((double)term[i] * factors[i] + 0.0);
    for (ptrdiff_t i = 0; mask && i < length; i++) term[i] = mask[i] ? term[i] : 0;
}

static double F(largest_term)(const void *terms, ptrdiff_t length) {
    const REAL *term = terms;
    INTEGER is_nan = 0;
    for (ptrdiff_t i = 0; i < length; i++) is_nan |= term[i] != term[i];
    return is_nan ? NAN : (double)F(find_largest)(term, length);
}
