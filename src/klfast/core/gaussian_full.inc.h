/* KL of Gaussians with full covariances, a pair at a time, in coordinates in which the second one is the standard normal one.
 *
 * There the first has the covariance I + E. If E is small it is made from the difference of the covariances, and so keeps its
 * digits: the pivots of I + E are 1 + p, and the sum of all E[k][k] - log(1 + p[k]) is one of remainders and squares, none of
 * them negative. If not, I + E = M M^T with M lower triangular: of every dimension counts its diagonal entry as the standard
 * deviation, and the others as means. Matrices lie row by row. Included for double alone. */

/* How far from the identity, by its norm, a covariance may be to be called close to it. */
#define CLOSE_TO_IDENTITY 0.5

/* So many rows are subtracted together: the row that they are subtracted from is read and written once for all of them. */
enum { ROWS_AT_ONCE = 4, COLUMNS_AT_ONCE = 64 };

/* row -= the sum of factor[k]*(row number k of `others`, which lie `stride` apart). */
static ALWAYS_INLINE void subtract_rows(double *restrict row, const double *others, ptrdiff_t stride, const double *factor,
                                        ptrdiff_t factor_stride, const int count, ptrdiff_t length) {
    double by[ROWS_AT_ONCE];
    for (int k = 0; k < count; k++) by[k] = factor[k * factor_stride];
    for (ptrdiff_t j = 0; j < length; j++) {
        double left = row[j];
        FULLY_UNROLLED
        for (int k = 0; k < count; k++) left = fma_f64(-by[k], others[k * stride + j], left);
        row[j] = left;
    }
}

/* U with C = U^T U, upper triangular, from the lower triangle of C. Returns whether there is one: C is positive definite. */
static int factor_covariance(double *u, const double *covariance, ptrdiff_t d) {
    for (ptrdiff_t k = 0; k < d; k++)
        for (ptrdiff_t j = k; j < d; j++) u[k * d + j] = covariance[j * d + k];
    for (ptrdiff_t first = 0; first < d; first += ROWS_AT_ONCE) {
        ptrdiff_t next = smaller(first + ROWS_AT_ONCE, d);
        for (ptrdiff_t k = first; k < next; k++) {
            double *row = u + k * d, root;
            for (ptrdiff_t i = first; i < k; i++) subtract_rows(row + k, u + i * d + k, d, u + i * d + k, d, 1, d - k);
            if (!(row[k] > 0)) return 0;
            root = sqrt(row[k]);
            for (ptrdiff_t j = k; j < d; j++) row[j] /= root;
        }
        for (ptrdiff_t i = next; i < d; i++)
            subtract_rows(u + i * d + i, u + first * d + i, d, u + first * d + i, d, ROWS_AT_ONCE, d - i);
    }
    return 1;
}

static void transpose_square(double *to, const double *from, ptrdiff_t d) {
    for (ptrdiff_t i = 0; i < d; i++)
        for (ptrdiff_t j = 0; j < d; j++) to[i * d + j] = from[j * d + i];
}

/* x -> X with L X = x, for x of d rows of `width` entries, L lower triangular. `is_lower`: so is x. */
static void solve_rows(double *x, const double *lower, ptrdiff_t d, ptrdiff_t width, int is_lower) {
    for (ptrdiff_t start = 0; start < width; start += COLUMNS_AT_ONCE) {
        ptrdiff_t length = smaller(COLUMNS_AT_ONCE, width - start), first = is_lower ? start : 0;
        for (ptrdiff_t i = first; i < d; i++) {
            const double *factor = lower + i * d;
            double *row = x + i * width + start, pivot = factor[i];
            ptrdiff_t k = first;
            for (; k + ROWS_AT_ONCE <= i; k += ROWS_AT_ONCE)
                subtract_rows(row, x + k * width + start, width, factor + k, 1, ROWS_AT_ONCE, length);
            for (; k < i; k++) subtract_rows(row, x + k * width + start, width, factor + k, 1, 1, length);
            for (ptrdiff_t j = 0; j < length; j++) row[j] /= pivot;
        }
    }
}

static double sum_of_squares(const double *x, ptrdiff_t length) {
    double lane[4] = {0};
    ptrdiff_t j = 0;
    for (; j + 4 <= length; j += 4)
        for (int k = 0; k < 4; k++) lane[k] = fma_f64(x[j + k], x[j + k], lane[k]);
    for (int k = 0; j + k < length; k++) lane[k] = fma_f64(x[j + k], x[j + k], lane[k]);
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

/* E of two covariances: L2^-1 (C1 - C2) L2^-T. `half` is memory for the product without its last factor. */
static void find_excess(double *e, double *half, const double *covariance1, const double *covariance2, const double *lower2,
                        ptrdiff_t d) {
    for (ptrdiff_t i = 0; i < d; i++)
        for (ptrdiff_t j = 0; j <= i; j++) half[i * d + j] = half[j * d + i] = covariance1[i * d + j] - covariance2[i * d + j];
    solve_rows(half, lower2, d, d, 0);
    transpose_square(e, half, d);
    solve_rows(e, lower2, d, d, 0);
}

/* trace(E) - log det(I + E). */
static double divergence_of_close(double *e, ptrdiff_t d) {
    double total = 0;
    for (ptrdiff_t k = 0; k < d; k++) {
        double *row = e + k * d, pivot = 1 + row[k];
        total += log_gap(row[k]) + sum_of_squares(row + k + 1, d - k - 1) / pivot;
        for (ptrdiff_t i = k + 1; i < d; i++) {
            double factor = row[i] / pivot;
            subtract_rows(e + i * d + i, row + i, d, &factor, 1, 1, d - i);
        }
    }
    return total;
}

/* The same from the factors; that of the first becomes M. */
static double divergence_of_distant(double *lower1, const double *lower2, ptrdiff_t d) {
    double total = 0;
    for (ptrdiff_t k = 0; k < d; k++) {
        double deviation1 = lower1[k * d + k], deviation2 = lower2[k * d + k];
        total += product_ratio_gap_any(deviation1, deviation1, deviation2, deviation2, 1);
    }
    solve_rows(lower1, lower2, d, d, 1);
    for (ptrdiff_t k = 0; k < d; k++) total += sum_of_squares(lower1 + k * d, k);
    return total;
}

/* The factor of a covariance, lower triangular; `upper` is memory. */
static void find_lower(double *lower, double *upper, const double *covariance, ptrdiff_t d) {
    factor_covariance(upper, covariance, d);
    for (ptrdiff_t i = 0; i < d; i++)
        for (ptrdiff_t j = 0; j < d; j++) lower[i * d + j] = j <= i ? upper[j * d + i] : 0;
}

static int are_finite(const double *x, ptrdiff_t length) {
    int64_t all = -1;
    for (ptrdiff_t j = 0; j < length; j++) all &= (x[j] < INFINITY) & (x[j] > -INFINITY) ? -1 : 0;
    return all != 0;
}

/* Whether a covariance is positive definite, or has a number that is not finite. */
static int may_be_covariance(const double *covariance, ptrdiff_t d, double *scratch) {
    return !are_finite(covariance, d * d) || factor_covariance(scratch, covariance, d);
}

/* NaN where a number is not finite. The covariances are positive definite; `scratch` has room for 3*d*d + d doubles. */
static double gaussian_full(const double *mean1, const double *covariance1, const double *mean2, const double *covariance2,
                            ptrdiff_t d, double *scratch) {
    double *lower2 = scratch, *first = lower2 + d * d, *second = first + d * d, *mu = second + d * d, of_covariances;
    if (!are_finite(mean1, d) || !are_finite(mean2, d) || !are_finite(covariance1, d * d) || !are_finite(covariance2, d * d))
        return NAN;
    find_lower(lower2, first, covariance2, d);
    for (ptrdiff_t k = 0; k < d; k++) mu[k] = mean1[k] - mean2[k];
    solve_rows(mu, lower2, d, 1, 0);
    for (ptrdiff_t k = 0; k < d; k++) mu[k] *= 0.5; /* half a square may be in the range where the square is not */
    find_excess(first, second, covariance1, covariance2, lower2, d);
    if (sum_of_squares(first, d * d) <= CLOSE_TO_IDENTITY * CLOSE_TO_IDENTITY) of_covariances = divergence_of_close(first, d);
    else {
        find_lower(first, second, covariance1, d);
        of_covariances = divergence_of_distant(first, lower2, d);
    }
    return 0.5 * of_covariances + 2 * sum_of_squares(mu, d);
}
