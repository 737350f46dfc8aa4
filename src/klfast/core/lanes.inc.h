/* A fixed number of lanes, whatever the width of the vector registers: this is what makes the bits the same everywhere.
 *
 * A block is walked in steps of STEP elements. The terms of a step are folded onto LANES running sums: four terms with
 * each other first, as a tree, then onto the lane. A lane takes a few folds (RUN_LENGTH elements) in the type of the terms and
 * then hands over to its sum: that of float lanes is double, so nothing is lost on it, that of double lanes is compensated.
 * Largest error of a sum of non-negative terms: 3 u in float (u = 2^-24), 2 u with runs of one fold, 5 u in double (u = 2^-53).
 * Rows of few values come close to that: there all errors of a value point the same way. */

typedef struct {
    double high[LANES];
#if CARRY
    double low[LANES];
#endif
    REAL run[LANES];
} F(lanes);

/* The lines of a step, wherever each of them lies. */
typedef struct {
    const REAL *line[STEP / LANES];
} F(lines);

static ALWAYS_INLINE F(lines) F(lines_of)(const REAL *step) {
    return (F(lines)){{step, step + LANES, step + 2 * LANES, step + 3 * LANES}};
}

/* A column, the terms of one lane in four lines. */
static ALWAYS_INLINE REAL F(folded)(REAL a, REAL b, REAL c, REAL d) { return (a + b) + (c + d); }

static ALWAYS_INLINE void F(fold_lines)(F(lanes) *sum, F(lines) term) {
    const REAL *a = term.line[0], *b = term.line[1], *c = term.line[2], *d = term.line[3];
    AS_LOOP
    for (int j = 0; j < LANES; j++) sum->run[j] += F(folded)(a[j], b[j], c[j], d[j]);
}

static ALWAYS_INLINE void F(fold)(F(lanes) *sum, const REAL *term) { F(fold_lines)(sum, F(lines_of)(term)); }

/* Ends a run of folds; call it at least every RUN_LENGTH elements. */
static ALWAYS_INLINE void F(end_run)(F(lanes) *sum) {
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        double run = sum->run[j], total = sum->high[j] + run;
#if CARRY
        double part = total - sum->high[j];
        sum->low[j] += (sum->high[j] - (total - part)) + (run - part);
#endif
        sum->high[j] = total;
        sum->run[j] = 0;
    }
}

/* Whether the step at `i` is the last of its run, or the last of all. */
static ALWAYS_INLINE int F(ends_run)(ptrdiff_t i, ptrdiff_t length) {
    return i % RUN_LENGTH == RUN_LENGTH - STEP || i + STEP >= length;
}

/* Adds the upper half of 2*half lanes to the lower one. What doubles lose of the sums of floats is nothing beside what these
 * have lost. */
static ALWAYS_INLINE void F(halve)(double *restrict high, double *restrict low, const int half) {
    AS_LOOP
    for (int j = 0; j < half; j++) {
        double both = high[j] + high[half + j];
#if CARRY
        double part = both - high[j];
        low[j] += low[half + j] + ((high[j] - (both - part)) + (high[half + j] - part));
#endif
        high[j] = both;
    }
    (void)low;
}

/* The lanes as one sum, halved again and again, so that the additions of a level do not wait for each other. */
static ALWAYS_INLINE wide_sum F(lane_total)(const F(lanes) *sum) {
    double high[LANES], low[LANES];
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        high[j] = sum->high[j];
#if CARRY
        low[j] = sum->low[j];
#endif
    }
    if (LANES == 16) F(halve)(high, low, 8);
    F(halve)(high, low, 4);
    F(halve)(high, low, 2);
    F(halve)(high, low, 1);
    wide_sum total = {high[0], 0.0};
#if CARRY
    /* inf and NaN have no rounding error */
    if (fabs(high[0]) <= 0x1.fffffffffffffp1023) total.low = low[0];
#endif
    return total;
}

/* Sums of as many terms for each lane: those of rows that lie side by side (tile.inc.h). What does not fill a step comes first,
 * line by line. Short rows feel every instruction that is here. */
static ALWAYS_INLINE void F(add_lines_in_runs)(F(lanes) *sum, const REAL *restrict term, ptrdiff_t length, const int run) {
    const REAL *end = term + length;
    F(lanes) local = {{0}};
    do {
        const REAL *stop = end - term > run ? term + run : end;
        for (; (stop - term) % STEP != 0; term += LANES) {
            AS_LOOP
            for (int j = 0; j < LANES; j++) local.run[j] += term[j];
        }
        for (; term < stop; term += STEP) F(fold)(&local, term);
        F(end_run)(&local);
    } while (term < end);
    AS_LOOP
    for (int j = 0; j < LANES; j++) {
        sum->high[j] = local.high[j];
#if CARRY
        sum->low[j] = local.low[j];
#endif
    }
}

static NOINLINE void F(add_lines)(F(lanes) *sum, const REAL *restrict term, ptrdiff_t length) {
    F(add_lines_in_runs)(sum, term, length, RUN_LENGTH);
}
static NOINLINE void F(add_lines_closely)(F(lanes) *sum, const REAL *restrict term, ptrdiff_t length) {
    F(add_lines_in_runs)(sum, term, length, CLOSE_RUN);
}

static const REAL F(zeros)[LANES] = {0};

/* The first `length` elements, less than a step, and behind them what every lane takes for nothing. */
static ALWAYS_INLINE void F(padded_step)(REAL *restrict padded, const REAL *restrict array, ptrdiff_t length, REAL neutral) {
#ifdef __AVX__ /* loads under a mask; what comes together from smaller stores cannot be loaded at once */
    INTEGER left = (INTEGER)length;
    for (INTEGER j = 0; j < STEP; j++) padded[j] = j < left ? array[j] : neutral;
#else
    for (int j = 0; j < STEP; j++) padded[j] = neutral;
    memcpy(padded, array, (size_t)length * sizeof(REAL));
#endif
}

/* The address of a whole step at `start`: the array itself, or a copy filled up with `neutral` at the end of the row. */
static ALWAYS_INLINE const REAL *F(whole_step)(const REAL *array, ptrdiff_t start, ptrdiff_t length, REAL neutral,
                                               REAL *padded) {
    if (length - start >= STEP) return array + start;
    F(padded_step)(padded, array + start, length - start, neutral);
    return padded;
}

enum { F(AHEAD) = KLFAST_AHEAD_BYTES / sizeof(REAL) }; /* in elements */

/* Ask for the lines that belong to the step at `start`; an address beyond the array does no harm. */
static ALWAYS_INLINE void F(prefetch_step)(const klfast_ahead *ahead, ptrdiff_t start) {
    const char *line = ahead->start + start / STEP * ahead->step;
    for (int k = 0; k < 4; k++) __builtin_prefetch(line + k * ahead->line);
}

/* The same for what is not read soon, into the second cache: more lines are then under way at a time, and the nearest is left
 * to what is computed. */
static ALWAYS_INLINE void F(prefetch_far)(const klfast_ahead *ahead, ptrdiff_t start) {
    const char *line = ahead->start + start / STEP * ahead->step;
    for (int k = 0; k < 4; k++) __builtin_prefetch(line + k * ahead->line, 0, 2);
}

/* What comes `distance` elements later in the same array. */
static ALWAYS_INLINE klfast_ahead F(further_on)(const REAL *array, ptrdiff_t distance) {
    return (klfast_ahead){(const char *)(array + distance), STEP * sizeof(REAL), 64};
}

/* What a row is told to ask for, or else what comes `distance` elements later. */
static ALWAYS_INLINE klfast_ahead F(ahead_or)(const klfast_ahead *told, const REAL *array, ptrdiff_t distance) {
    return told->start ? *told : F(further_on)(array, distance);
}
