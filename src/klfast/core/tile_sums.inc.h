/* The sums of tiles: of lanes that are rows, and of a row that is alone in its tile. Such a row's elements lie one behind the
 * other, in all lanes, with copies of the first behind the end: in one lane it would cost as much as LANES rows. Terms are
 * computed in any order; they are added up in that of a lane, and every lane is told what the row has. */

/* From one element of a row to the next. */
static ALWAYS_INLINE ptrdiff_t F(row_step)(const klfast_row *told) { return told->alone ? 1 : LANES; }

static ALWAYS_INLINE void F(lane_values)(double *values, const F(lanes) *sum) {
    for (int j = 0; j < LANES; j++) {
#if CARRY
        values[j] = sum->high[j] + sum->low[j];
#else
        values[j] = sum->high[j];
#endif
    }
}

/* A run of terms, as end_run adds it. */
static ALWAYS_INLINE void F(add_run)(double *high, double *low, REAL term) {
    double run = term, total = *high + run;
#if CARRY
    double part = total - *high;
    *low += (*high - (total - part)) + (run - part);
#endif
    *high = total;
    (void)low;
}

enum { F(COLUMN) = STEP / LANES }; /* terms that are folded */

/* As many folds as there are, each in its place: before they are added up one after the other. */
static ALWAYS_INLINE void F(fold_row)(REAL *fold, const REAL *term, ptrdiff_t folds) {
    for (ptrdiff_t k = 0; k < folds; k++, term += F(COLUMN)) fold[k] = F(folded)(term[0], term[1], term[2], term[3]);
}

/* Folds of whole runs, and of one that may be shorter. */
static ALWAYS_INLINE void F(add_folds)(double *high, double *low, const REAL *fold, ptrdiff_t folds, const int run) {
    for (ptrdiff_t k = 0; k < folds; k += run / STEP) {
        REAL sum = 0;
        for (ptrdiff_t m = k; m < folds && m < k + run / STEP; m++) sum += fold[m];
        F(add_run)(high, low, sum);
    }
}

static ALWAYS_INLINE void F(tell_lanes)(F(lanes) *sum, double high, double low) {
    for (int j = 0; j < LANES; j++) {
        sum->high[j] = high;
#if CARRY
        sum->low[j] = low;
#endif
    }
    (void)low;
}

/* In the order of add_lines. */
static ALWAYS_INLINE void F(add_row_in_runs)(F(lanes) *sum, const REAL *term, ptrdiff_t length, const int run) {
    REAL fold[KLFAST_SHORT_DISTRIBUTION / F(COLUMN)], rest = 0;
    double high = 0, low = 0;
    ptrdiff_t i = length - length % (run / LANES);
    F(fold_row)(fold, term, i / F(COLUMN));
    F(add_folds)(&high, &low, fold, i / F(COLUMN), run);
    for (; (length - i) % F(COLUMN) != 0; i++) rest += term[i];
    for (; i < length; i += F(COLUMN)) rest += F(folded)(term[i], term[i + 1], term[i + 2], term[i + 3]);
    F(add_run)(&high, &low, rest);
    F(tell_lanes)(sum, high, low);
}

static NOINLINE void F(add_row)(F(lanes) *sum, const REAL *term, ptrdiff_t length) {
    F(add_row_in_runs)(sum, term, length, RUN_LENGTH);
}
static NOINLINE void F(add_row_closely)(F(lanes) *sum, const REAL *term, ptrdiff_t length) {
    F(add_row_in_runs)(sum, term, length, CLOSE_RUN);
}

/* In the order of comparison_sweep. */
static ALWAYS_INLINE void F(add_row_as_swept)(F(lanes) *sum, const REAL *term, ptrdiff_t length, const int run) {
    REAL fold[KLFAST_SHORT_DISTRIBUTION / F(COLUMN)], last[F(COLUMN)] = {0};
    double high = 0, low = 0;
    ptrdiff_t folds = length / F(COLUMN), left = length % F(COLUMN);
    F(fold_row)(fold, term, folds);
    F(add_folds)(&high, &low, fold, folds, run);
    for (ptrdiff_t k = 0; k < left; k++) last[k] = term[length - left + k];
    if (left > 0) F(add_run)(&high, &low, F(folded)(last[0], last[1], last[2], last[3]));
    F(tell_lanes)(sum, high, low);
}

static NOINLINE void F(add_row_as_compared)(F(lanes) *sum, const REAL *term, ptrdiff_t length) {
    F(add_row_as_swept)(sum, term, length, RUN_LENGTH);
}
static NOINLINE void F(add_row_as_closely_compared)(F(lanes) *sum, const REAL *term, ptrdiff_t length) {
    F(add_row_as_swept)(sum, term, length, CLOSE_RUN);
}

static ALWAYS_INLINE void F(add_up)(F(lanes) *sum, const REAL *term, ptrdiff_t length, const klfast_row *told) {
    if (told->alone) F(add_row)(sum, term, told->alone);
    else F(add_lines)(sum, term, length);
}
static ALWAYS_INLINE void F(add_up_closely)(F(lanes) *sum, const REAL *term, ptrdiff_t length, const klfast_row *told) {
    if (told->alone) F(add_row_closely)(sum, term, told->alone);
    else F(add_lines_closely)(sum, term, length);
}

/* What was found in any lane, of a row that is alone. */
static ALWAYS_INLINE REAL F(largest_of_row)(const REAL *lane) {
    REAL largest = lane[0];
    for (int j = 1; j < LANES; j++) largest = lane[j] > largest ? lane[j] : largest;
    return largest;
}
static ALWAYS_INLINE REAL F(lowest_of_row)(const REAL *lane) {
    REAL least = lane[0];
    for (int j = 1; j < LANES; j++) least = lane[j] < least ? lane[j] : least;
    return least;
}
static ALWAYS_INLINE INTEGER F(any_of_row)(const INTEGER *lane) {
    INTEGER any = 0;
    for (int j = 0; j < LANES; j++) any |= lane[j];
    return any;
}

/* Sums of lines, and of their products, that floats have not rounded: where the error of c = sum p / sum q is to be less than
 * that of a term. Four lines are folded, as in add_lines. */
#if !CARRY
static ALWAYS_INLINE double F(wide_number)(const REAL *a, const REAL *b, ptrdiff_t i) {
    return b ? (double)a[i] * (double)b[i] : (double)a[i];
}

static ALWAYS_INLINE double F(wide_column)(const REAL *a, const REAL *b, ptrdiff_t i, ptrdiff_t line) {
    return (F(wide_number)(a, b, i) + F(wide_number)(a, b, i + line)) +
           (F(wide_number)(a, b, i + 2 * line) + F(wide_number)(a, b, i + 3 * line));
}
#endif

#if CARRY
static NOINLINE void F(wide_line_sums)(double *result, const REAL *term, ptrdiff_t length, const klfast_row *told) {
    F(lanes) sum;
    F(add_up)(&sum, term, length, told);
    F(lane_values)(result, &sum);
}
#elif PIECES > 1
typedef double F(wide) __attribute__((vector_size(PIECES * 16), aligned(sizeof(double)), may_alias));
enum { F(WIDE) = 2 * PIECES, F(WIDES) = LANES / F(WIDE) };

/* As many floats as a vector has doubles, widened as they are loaded. GCC 12 loads twice as many and widens them with shuffles,
 * which take the place of multiplications: half as long again. */
static ALWAYS_INLINE F(wide) F(widened)(const float *a) {
#if PIECES == 4
    return (F(wide))_mm512_cvtps_pd(_mm256_loadu_ps(a));
#else
    return (F(wide))_mm256_cvtps_pd(_mm_loadu_ps(a));
#endif
}

/* Part k of a line, or of the products of two. */
static ALWAYS_INLINE F(wide) F(wide_term)(const REAL *a, const REAL *b, ptrdiff_t at, int k) {
    F(wide) term = F(widened)(a + at + k * F(WIDE));
    if (b) term *= F(widened)(b + at + k * F(WIDE));
    return term;
}

static ALWAYS_INLINE void F(sum_lines)(double *result, const REAL *a, const REAL *b, ptrdiff_t length) {
    F(wide) sum[F(WIDES)] = {{0}};
    ptrdiff_t i = 0;
    for (; (length - i) % STEP != 0; i += LANES) {
        FULLY_UNROLLED
        for (int k = 0; k < F(WIDES); k++) sum[k] += F(wide_term)(a, b, i, k);
    }
    for (; i < length; i += STEP) {
        FULLY_UNROLLED
        for (int k = 0; k < F(WIDES); k++)
            sum[k] += (F(wide_term)(a, b, i, k) + F(wide_term)(a, b, i + LANES, k)) +
                      (F(wide_term)(a, b, i + 2 * LANES, k) + F(wide_term)(a, b, i + 3 * LANES, k));
    }
    FULLY_UNROLLED
    for (int k = 0; k < F(WIDES); k++) *(F(wide) *)(result + k * F(WIDE)) = sum[k];
}
#else
static ALWAYS_INLINE void F(sum_lines)(double *result, const REAL *a, const REAL *b, ptrdiff_t length) {
    double sum[LANES] = {0};
    ptrdiff_t i = 0;
    for (; (length - i) % STEP != 0; i += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) sum[j] += F(wide_number)(a, b, i + j);
    }
    for (; i < length; i += STEP) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) sum[j] += F(wide_column)(a, b, i + j, LANES);
    }
    for (int j = 0; j < LANES; j++) result[j] = sum[j];
}
#endif

#if !CARRY
/* A row that is alone, as a lane is added up. */
static NOINLINE void F(sum_row)(double *result, const REAL *a, const REAL *b, ptrdiff_t length) {
    double sum = 0;
    ptrdiff_t i = 0;
    for (; (length - i) % (STEP / LANES) != 0; i++) sum += F(wide_number)(a, b, i);
    for (; i < length; i += STEP / LANES) sum += F(wide_column)(a, b, i, 1);
    for (int j = 0; j < LANES; j++) result[j] = sum;
}
static NOINLINE void F(wide_line_sums)(double *result, const REAL *term, ptrdiff_t length, const klfast_row *told) {
    if (told->alone) F(sum_row)(result, term, NULL, told->alone);
    else F(sum_lines)(result, term, NULL, length);
}
static NOINLINE void F(wide_line_products)(double *result, const REAL *a, const REAL *b, ptrdiff_t length,
                                           const klfast_row *told) {
    if (told->alone) F(sum_row)(result, a, b, told->alone);
    else F(sum_lines)(result, a, b, length);
}
#endif
