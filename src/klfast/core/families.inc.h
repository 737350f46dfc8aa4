/* Closed forms, element by element: a vector loop for what is usual, and families_unusual.h for the rest. Every element is
 * computed by itself: its bits depend on nothing else. Included for double alone. */

enum { FAMILY_STEP = 64 }; /* so many elements are computed before it is seen whether one of them is unusual */

/* The softplus of x, log(1 + exp(x)), from |x| <= 700. Largest error 5 u. */
static ALWAYS_INLINE double softplus_usual(double x) {
    double k, fraction = exp_parts_f64(x > 0 ? -x : x, &k), power = scale_f64(fraction, k);
    double s = power / (2 + power), z = s * s;
    double log1p = fma_f64(s * z, wide_log_polynomial_f64(z), 2 * s);
    return (x > 0 ? x : 0) + log1p;
}

/* ---- what is usual, and what it gives ---- */

static ALWAYS_INLINE int64_t bernoulli_is_usual(const double *const *x, ptrdiff_t j) {
    double p1 = x[0][j], p2 = x[1][j];
    return (((p1 >= USUAL_LOWEST) | (p1 == 0)) & (p1 <= 1) & (p2 >= USUAL_LOWEST) & (p2 < 1)) ? -1 : 0;
}

/* The terms of successes and failures, each with q - p added, which is never negative and adds up to 0. 1 - p is rounded: the
 * difference is taken from p. */
static ALWAYS_INLINE double bernoulli_usual(const double *const *x, ptrdiff_t j) {
    double p1 = x[0][j], p2 = x[1][j];
    return gap_from_f64(p1, p2, p1 - p2) + gap_from_f64(1 - p1, 1 - p2, p2 - p1);
}

static ALWAYS_INLINE int64_t bernoulli_logits_is_usual(const double *const *x, ptrdiff_t j) {
    return ((x[0][j] >= -700) & (x[0][j] <= 700) & (x[1][j] >= -700) & (x[1][j] <= 700)) ? -1 : 0;
}

static ALWAYS_INLINE double bernoulli_logits_usual(const double *const *x, ptrdiff_t j) {
    double x1 = x[0][j] > 0 ? -x[0][j] : x[0][j], x2 = x[0][j] > 0 ? -x[1][j] : x[1][j]; /* failures, so that p1 <= 1/2 */
    double difference = x2 - x1, k, fraction = exp_parts_f64(x1, &k), odds = scale_f64(fraction, k), p1 = odds / (1 + odds);
    double close = (difference > -1) & (difference < 1) ? difference : 0;
    double gap = close * close * wide_exp_polynomial_f64(close);
    double near = p1 * gap - log_gap(p1 * (close + gap)); /* softplus(x2) - softplus(x1) is log(1 + p1*(exp(x2 - x1) - 1)) */
    double far = (softplus_usual(x2) - softplus_usual(x1)) - p1 * difference;
    return (difference > -1) & (difference < 1) ? near : far;
}

static ALWAYS_INLINE int64_t exponential_is_usual(const double *const *x, ptrdiff_t j) {
    return in_usual_range(x[0][j]) & in_usual_range(x[1][j]);
}

static ALWAYS_INLINE double exponential_usual(const double *const *x, ptrdiff_t j) {
    return ratio_gap(x[1][j], x[0][j], x[1][j] - x[0][j]);
}

static ALWAYS_INLINE int64_t laplace_is_usual(const double *const *x, ptrdiff_t j) {
    double distance = x[0][j] - x[2][j];
    int64_t is_near = (distance >= -USUAL_HIGHEST) & (distance <= USUAL_HIGHEST) ? -1 : 0;
    return is_near & in_usual_range(x[1][j]) & in_usual_range(x[3][j]);
}

/* What the scales cost, and what the distance does; both are never negative. From 40 on, exp(-steps) is nothing beside them. */
static ALWAYS_INLINE double laplace_usual(const double *const *x, ptrdiff_t j) {
    double apart = x[0][j] - x[2][j], distance = apart < 0 ? -apart : apart, scale1 = x[1][j], scale2 = x[3][j];
    double steps = distance / scale1, near = exp_terms_of_f64(steps < 40 ? -steps : -40, 0).gap;
    double of_distance = steps < 40 ? near : steps - 1;
    return fma_f64(scale1 / scale2, of_distance, ratio_gap(scale1, scale2, scale1 - scale2));
}

static ALWAYS_INLINE int64_t gamma_is_usual(const double *const *x, ptrdiff_t j) {
    return in_usual_range(x[0][j]) & in_usual_range(x[1][j]) & in_usual_range(x[2][j]) & in_usual_range(x[3][j]);
}

/* shape2*(r - 1 - log(r)) for the quotient r of the means, whose difference is taken before products are rounded. */
static ALWAYS_INLINE double gamma_of_means(const double *const *x, ptrdiff_t j) {
    exact_pair top = exact_product(x[0][j], x[3][j]), bottom = exact_product(x[1][j], x[2][j]);
    return x[2][j] * ratio_gap(top.high, bottom.high, (top.high - bottom.high) + (top.low - bottom.low));
}

/* ---- loops ---- */

#define FAMILY(NAME, USUAL, ANY) \
    static void NAME(double *restrict out, const double *const *given, ptrdiff_t length) { \
        for (ptrdiff_t i = 0; i < length; i += FAMILY_STEP) { \
            const double *x[FAMILY_PARAMETERS] = {given[0] + i, given[1] + i, given[2] + i, given[3] + i}; \
            ptrdiff_t here = smaller(FAMILY_STEP, length - i); \
            int64_t are_usual = -1; \
            for (ptrdiff_t j = 0; j < here; j++) { \
                out[i + j] = USUAL##_usual(x, j); \
                are_usual &= USUAL##_is_usual(x, j); \
            } \
            for (ptrdiff_t j = 0; !are_usual && j < here; j++) \
                if (!USUAL##_is_usual(x, j)) out[i + j] = ANY; \
        } \
    }
FAMILY(family_bernoulli, bernoulli, bernoulli_any(x[0][j], x[1][j]))
FAMILY(family_bernoulli_logits, bernoulli_logits, bernoulli_logits_any(x[0][j], x[1][j]))
FAMILY(family_exponential, exponential, exponential_any(x[0][j], x[1][j]))
FAMILY(family_laplace, laplace, laplace_any(x[0][j], x[1][j], x[2][j], x[3][j]))
#undef FAMILY

/* That of the elements, to the last digit; but no rate is negative or infinite. */
static void family_poisson(double *restrict out, const double *const *x, ptrdiff_t length) {
    kl_div_f64(out, x[0], x[1], NULL, length);
    for (ptrdiff_t j = 0; j < length; j++) {
        double a = x[0][j], b = x[1][j];
        out[j] = (a >= 0) & (a < INFINITY) & (b >= 0) & (b < INFINITY) ? out[j] + 0.0 : NAN; /* never -0 */
    }
}

/* What the means cost, what the shapes do, and the rest of log gamma: all are never negative. */
static void family_gamma(double *restrict out, const double *const *given, ptrdiff_t length) {
    log_gamma_pairs shapes;
    for (ptrdiff_t i = 0; i < length; i += FAMILY_BLOCK) {
        const double *x[FAMILY_PARAMETERS] = {given[0] + i, given[1] + i, given[2] + i, given[3] + i};
        ptrdiff_t here = smaller(FAMILY_BLOCK, length - i);
        int64_t are_usual = -1;
        for (ptrdiff_t j = 0; j < here; j++) {
            shapes.a[j] = x[0][j];
            shapes.b[j] = x[2][j];
            shapes.difference[j] = x[2][j] - x[0][j];
            out[i + j] = gamma_of_means(x, j);
            are_usual &= gamma_is_usual(x, j);
        }
        find_rests(&shapes, here);
        for (ptrdiff_t j = 0; j < here; j++) out[i + j] += fma_f64(0.5, shapes.gap[j], shapes.rest[j]);
        for (ptrdiff_t j = 0; !are_usual && j < here; j++)
            if (!gamma_is_usual(x, j)) out[i + j] = gamma_any(x[0][j], x[1][j], x[2][j], x[3][j]);
    }
}
