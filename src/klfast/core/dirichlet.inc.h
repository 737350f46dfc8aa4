/* KL of Dirichlet distributions: the remainders of log gamma at the components, less that at their sum. Components are read
 * twice: what they add up to tells how the second reading takes them. Included for double alone.
 *
 * The remainder of log gamma is that of x*log(x), half of that of -log(x), and that of the rest of Stirling's formula. Of
 * x*log(x), the remainders at the components less that at their sum are sum_b times a KL divergence, which is a sum of gaps; of
 * -log(x), they are half a divergence and a sum that is never negative. Only the last remainder, of the rest, is subtracted. */

enum {
    DIRICHLET_USUAL,
    DIRICHLET_ALONE,   /* one component is nearly the sum: what the others change of it is no difference of large numbers */
    DIRICHLET_UNUSUAL, /* a component is beyond what the vector loop takes */
    DIRICHLET_INVALID,
};

static void begin_dirichlet(klfast_dirichlet *row) {
    memset(row, 0, sizeof *row); /* the largest so far is 0, and less than any that will come */
}

/* A sum and one number more; `is_usual` says that neither is infinite. */
static ALWAYS_INLINE wide_sum sum_with(wide_sum sum, double x, const int is_usual) {
    if (!is_usual) {
        add_number(&sum, x);
        return sum;
    }
    double total = sum.high + x, part = total - sum.high;
    return (wide_sum){total, sum.low + ((sum.high - (total - part)) + (x - part))};
}

/* Components that are all usual, or at least valid. */
static ALWAYS_INLINE void add_valid(klfast_dirichlet *row, const double *a, const double *b, ptrdiff_t length,
                                    const int is_usual) {
    wide_sum others_a = row->others_a, others_b = row->others_b, others_difference = row->others_difference;
    double largest_a = row->largest_a, largest_b = row->largest_b;
    ptrdiff_t largest = row->largest;
    for (ptrdiff_t j = 0; j < length; j++) {
        double other_a = a[j], other_b = b[j];
        if (a[j] > largest_a) { /* what was the largest, if there was one, is one of the others */
            other_a = largest_a;
            other_b = largest_b;
            largest_a = a[j];
            largest_b = b[j];
            largest = row->components + j;
        }
        others_a = sum_with(others_a, other_a, is_usual);
        others_b = sum_with(others_b, other_b, is_usual);
        others_difference = sum_with(others_difference, other_b - other_a, is_usual);
    }
    row->others_a = others_a;
    row->others_b = others_b;
    row->others_difference = others_difference;
    row->largest_a = largest_a;
    row->largest_b = largest_b;
    row->largest = largest;
}

/* The first reading: components that follow on those before. */
static void add_components(klfast_dirichlet *row, const double *a, const double *b, ptrdiff_t length) {
    int64_t are_usual = -1, are_valid = -1, are_equal = -1;
    for (ptrdiff_t j = 0; j < length; j++) {
        are_equal &= a[j] == b[j] ? -1 : 0;
        are_usual &= in_usual_range(a[j]) & in_usual_range(b[j]);
        are_valid &= (a[j] > 0) & (a[j] < INFINITY) & (b[j] > 0) & (b[j] < INFINITY) ? -1 : 0;
    }
    row->is_different |= !are_equal;
    row->is_unusual |= !are_usual;
    row->is_invalid |= !are_valid;
    if (!row->is_unusual) add_valid(row, a, b, length, 1);
    else if (are_valid) add_valid(row, a, b, length, 0);
    row->components += length;
}

/* Whether the quotients that log_gamma_gap_beside works with stay in the range. */
static int may_be_alone(double largest_a, double largest_b) {
    double growth = fabs(largest_b - largest_a) / largest_a, smaller_one = largest_a < largest_b ? largest_a : largest_b;
    return growth / (smaller_one < 1 ? smaller_one : 1) < 0x1p1000;
}

/* What the second reading must know. */
static void tell_dirichlet(klfast_dirichlet *row) {
    double more_a = sum_value(row->others_a), more_b = sum_value(row->others_b);
    wide_sum sum_a = sum_with(row->others_a, row->largest_a, 0), sum_b = sum_with(row->others_b, row->largest_b, 0);
    wide_sum difference = sum_with(row->others_difference, row->largest_b - row->largest_a, 0);
    row->sum_a = sum_value(sum_a);
    row->sum_b = sum_value(sum_b);
    row->sum_difference = sum_value(difference);
    row->c = row->sum_b / row->sum_a;
    double low_a = sum_a.low + (sum_a.high - row->sum_a), low_b = sum_b.low + (sum_b.high - row->sum_b);
    row->c_low = (difference_f64(row->sum_b, row->c, row->sum_a) + (low_b - row->c * low_a)) / row->sum_a;
    /* how small the others must be for the largest to be set apart; close to that, both ways are good */
    int is_alone = more_a < 0.25 && more_a < row->largest_a / 8 && more_b < row->largest_b / 8;
    row->way = row->is_unusual ? DIRICHLET_UNUSUAL : DIRICHLET_USUAL;
    if (is_alone && may_be_alone(row->largest_a, row->largest_b)) row->way = DIRICHLET_ALONE;
    if (row->is_invalid || !row->components) row->way = DIRICHLET_INVALID;
}

/* ---- the second reading ---- */

/* What a component of a row needs of the row. `half_beside` is half the share of all components but this one; of the largest it
 * may be far less than 1 less its own. */
typedef struct {
    double c[FAMILY_BLOCK], c_low[FAMILY_BLOCK], half_of_sum[FAMILY_BLOCK], half_beside[FAMILY_BLOCK];
} dirichlet_constants;

static void spread_constants(dirichlet_constants *all, const klfast_dirichlet *row, ptrdiff_t at, const double *a,
                             ptrdiff_t first, ptrdiff_t length) {
    double half = 0.5 / row->sum_a, half_of_sum = 0.5 / row->sum_b;
    for (ptrdiff_t j = 0; j < length; j++) {
        all->c[at + j] = row->c;
        all->c_low[at + j] = row->c_low;
        all->half_of_sum[at + j] = half_of_sum;
        all->half_beside[at + j] = half * (row->sum_a - a[j]);
    }
    if (row->largest >= first && row->largest < first + length)
        all->half_beside[at + row->largest - first] = half * sum_value(row->others_a);
}

/* Terms of usual components. */
static void usual_terms(double *restrict term, dirichlet_constants *restrict of, const double *restrict a,
                        const double *restrict b, ptrdiff_t length) {
    log_gamma_pairs pairs;
    for (ptrdiff_t j = 0; j < length; j++) {
        pairs.a[j] = a[j];
        pairs.b[j] = b[j];
        pairs.difference[j] = b[j] - a[j];
    }
    find_rests(&pairs, length);
    for (ptrdiff_t j = 0; j < length; j++) {
        double scaled = of->c[j] * a[j], d = fma_f64(-of->c_low[j], a[j], difference_f64(b[j], of->c[j], a[j]));
        log_parts_f64 parts = split_log_f64(b[j], scaled, d), back = {-parts.k, -parts.s, -parts.tail, parts.field};
        double there = gap_of_parts_f64(b[j], parts, d, d), reverse = gap_of_parts_f64(scaled, back, -d, -d);
        term[j] = (there + pairs.rest[j]) + fma_f64(of->half_of_sum[j], reverse, of->half_beside[j] * pairs.gap[j]);
    }
}

/* The same for a component of any size, with its rest. The quotient of the sums may be beyond the range. */
static double unusual_term(const klfast_dirichlet *row, double a, double b, int is_largest) {
    double scaled = a / row->sum_a * row->sum_b, d = b - scaled, gap = ratio_gap_any(b, a, b - a, 1);
    double log_ratio = log_ratio_any(b, row->sum_b) - log_ratio_any(a, row->sum_a);
    int is_near = scaled > 0 && fabs(log_ratio) < 0.5;
    double there = is_near ? gap_any(b, scaled, d) : (b * log_ratio - b) + scaled;
    double reverse = is_near ? gap_any(scaled, b, -d) : (b - scaled) - scaled * log_ratio;
    double beside = is_largest ? sum_value(row->others_a) : row->sum_a - a;
    return there + 0.5 * (reverse / row->sum_b + beside / row->sum_a * gap) + stirling_rest_any(a, b, b - a);
}

static double sum_of_terms(const double *term, ptrdiff_t length) {
    double lane[8] = {0};
    ptrdiff_t j = 0;
    for (; j + 8 <= length; j += 8)
        for (int k = 0; k < 8; k++) lane[k] += term[j + k];
    for (int k = 0; j + k < length; k++) lane[k] += term[j + k];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* The second reading of components that follow on those before: `length` of each of `count` rows, one row behind the other, at
 * most FAMILY_BLOCK together. */
static void add_dirichlet_terms(klfast_dirichlet *rows, ptrdiff_t count, const double *a, const double *b, ptrdiff_t first,
                                ptrdiff_t length) {
    double term[FAMILY_BLOCK];
    dirichlet_constants constants;
    for (ptrdiff_t r = 0; r < count; r++)
        spread_constants(&constants, &rows[r], r * length, a + r * length, first, length);
    usual_terms(term, &constants, a, b, count * length);
    for (ptrdiff_t r = 0, at = 0; r < count; r++, at += length) {
        klfast_dirichlet *row = &rows[r];
        for (ptrdiff_t j = 0; row->way != DIRICHLET_USUAL && j < length; j++) {
            int is_largest = first + j == row->largest;
            if (row->way == DIRICHLET_UNUSUAL) term[at + j] = unusual_term(row, a[at + j], b[at + j], is_largest);
            else if (row->way == DIRICHLET_ALONE)
                term[at + j] = is_largest ? 0 : log_gamma_gap(a[at + j], b[at + j], b[at + j] - a[at + j]);
        }
        add_number(&row->terms, sum_of_terms(term + at, length));
    }
}

static double finish_dirichlet(const klfast_dirichlet *row, double rest_of_sum) {
    double terms = sum_value(row->terms);
    if (row->way == DIRICHLET_INVALID) return NAN;
    if (row->components == 1 || !row->is_different) return 0;
    if (!(row->sum_a < HUGE_VAL && row->sum_b < HUGE_VAL)) return HUGE_VAL;
    if (row->way == DIRICHLET_ALONE)
        terms += log_gamma_gap_beside(row->largest_a, row->largest_b, sum_value(row->others_a), sum_value(row->others_b),
                                      sum_value(row->others_difference));
    else if (terms < HUGE_VAL) terms -= rest_of_sum;
    return terms < 0 ? 0 : terms;
}

/* After the second reading: the results. At most DIRICHLETS rows. */
static void finish_dirichlets(double *results, const klfast_dirichlet *rows, ptrdiff_t count) {
    log_gamma_pairs sums;
    for (ptrdiff_t r = 0; r < count; r++) {
        int is_usual_sum = rows[r].way == DIRICHLET_USUAL;
        sums.a[r] = is_usual_sum ? rows[r].sum_a : 1;
        sums.b[r] = is_usual_sum ? rows[r].sum_b : 1;
        sums.difference[r] = is_usual_sum ? rows[r].sum_difference : 0;
    }
    find_rests(&sums, count);
    for (ptrdiff_t r = 0; r < count; r++) {
        const klfast_dirichlet *row = &rows[r];
        if (row->way == DIRICHLET_UNUSUAL) sums.rest[r] = stirling_rest_any(row->sum_a, row->sum_b, row->sum_difference);
        results[r] = finish_dirichlet(row, sums.rest[r]);
    }
}

/* ---- beta distributions: Dirichlet distributions of two components, of which the usual ones are computed side by side ---- */

static double one_dirichlet(const double *a, const double *b, ptrdiff_t length) {
    klfast_dirichlet row;
    double result;
    begin_dirichlet(&row);
    add_components(&row, a, b, length);
    tell_dirichlet(&row);
    add_dirichlet_terms(&row, 1, a, b, 0, length);
    finish_dirichlets(&result, &row, 1);
    return result;
}

/* What `length` usual distributions come to: the first components, and `length` places further on the second ones. */
typedef struct {
    double a[FAMILY_BLOCK], b[FAMILY_BLOCK], term[FAMILY_BLOCK];
    int64_t is_usual[FAMILY_BLOCK];
    dirichlet_constants constants;
    log_gamma_pairs sums;
} beta_block;

/* The same as add_components, tell_dirichlet and spread_constants find. */
static void tell_betas(beta_block *restrict all, ptrdiff_t length) {
    dirichlet_constants *told = &all->constants;
    for (ptrdiff_t j = 0; j < length; j++) {
        double a1 = all->a[j], a2 = all->a[length + j], b1 = all->b[j], b2 = all->b[length + j];
        exact_pair sum_a = exact_sum(a1, a2), sum_b = exact_sum(b1, b2);
        double c = sum_b.high / sum_a.high, rest = difference_f64(sum_b.high, c, sum_a.high) + (sum_b.low - c * sum_a.low);
        double largest_a = a1 >= a2 ? a1 : a2, largest_b = a1 >= a2 ? b1 : b2, half = 0.5 / sum_a.high;
        double other_a = a1 >= a2 ? a2 : a1, other_b = a1 >= a2 ? b2 : b1, beside = half * (sum_a.high - other_a);
        int64_t is_alone = (other_a < 0.25) & (other_a < largest_a / 8) & (other_b < largest_b / 8) ? -1 : 0;
        int64_t is_in_range = in_usual_range(a1) & in_usual_range(a2) & in_usual_range(b1) & in_usual_range(b2);
        all->is_usual[j] = is_in_range & ~is_alone;
        told->c[j] = told->c[length + j] = c;
        told->c_low[j] = told->c_low[length + j] = rest / sum_a.high;
        told->half_of_sum[j] = told->half_of_sum[length + j] = 0.5 / sum_b.high;
        told->half_beside[j] = a1 >= a2 ? half * other_a : beside;
        told->half_beside[length + j] = a1 >= a2 ? beside : half * other_a;
        all->sums.a[j] = sum_a.high;
        all->sums.b[j] = sum_b.high;
        all->sums.difference[j] = (b1 - a1) + (b2 - a2);
    }
}

static void family_beta(double *restrict out, const double *const *x, ptrdiff_t length) {
    beta_block all;
    for (ptrdiff_t i = 0; i < length; i += FAMILY_STEP) {
        ptrdiff_t here = smaller(FAMILY_STEP, length - i);
        const double *const given[] = {x[0] + i, x[1] + i, x[2] + i, x[3] + i};
        for (ptrdiff_t j = 0; j < here; j++) {
            all.a[j] = given[0][j];
            all.a[here + j] = given[1][j];
            all.b[j] = given[2][j];
            all.b[here + j] = given[3][j];
        }
        tell_betas(&all, here);
        usual_terms(all.term, &all.constants, all.a, all.b, 2 * here);
        find_rests(&all.sums, here);
        for (ptrdiff_t j = 0; j < here; j++) {
            double total = (all.term[j] + all.term[here + j]) - all.sums.rest[j];
            out[i + j] = total < 0 ? 0 : total;
        }
        for (ptrdiff_t j = 0; j < here; j++) {
            double a[] = {given[0][j], given[1][j]}, b[] = {given[2][j], given[3][j]};
            if (!all.is_usual[j]) out[i + j] = one_dirichlet(a, b, 2);
        }
    }
}
