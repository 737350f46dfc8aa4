/* entr, rel_entr, kl_div: one result for each element, in double, with what rounding lost carried along in a second
 * double. Floats are widened, need no second double, and their results are rounded once. Included for double alone.
 *
 * Largest error, however close p and q are: of doubles 1.5 units in the last place of the result, 2 where the result is
 * subnormal; of floats 0.53. */

/* A number in two parts. */
typedef struct {
    double high, low;
} exact_pair;

static ALWAYS_INLINE exact_pair exact_sum(double a, double b) {
    double total = a + b, part = total - a;
    return (exact_pair){total, (a - (total - part)) + (b - part)};
}

static ALWAYS_INLINE exact_pair exact_product(double a, double b) {
    double product = a * b;
    return (exact_pair){product, -difference_f64(product, a, b)};
}

/* log(a/b) = k*ln2 + 2*(s + s_low) + tail; see split_log. */
typedef struct {
    double k, s, s_low, tail;
    int64_t field; /* of k */
} exact_log;

static ALWAYS_INLINE exact_log split_exactly(double a, double b) {
    exact_log parts;
    int64_t field = field_between_f64(bits_f64(a) - bits_f64(b));
    double scaled = from_bits_f64(bits_f64(a) - field), d = scaled - b;
    parts.field = field;
    exact_pair sum = exact_sum(scaled, b);
    parts.k = exponent_f64(field) * FIELD_UNIT_f64;
    parts.s = d / sum.high;
    parts.s_low = (difference_f64(d, parts.s, sum.high) - parts.s * sum.low) / sum.high;
    double z = parts.s * parts.s;
    parts.tail = parts.s * z * middle_log_polynomial_f64(z);
    return parts;
}

/* The logarithm itself; `shift` is added to k. */
static ALWAYS_INLINE exact_pair exact_value(exact_log parts, double shift) {
    double k = parts.k + shift;
    exact_pair total = exact_sum(k * LN2_HIGH, 2 * parts.s);
    total.low += fma_f64(k, LN2_LOW, fma_f64(2, parts.s_low, parts.tail));
    return total;
}

/* p*log(p/q), for p, q > 0 within 2^-900 .. 2^900. */
static ALWAYS_INLINE double rel_entr_usual(double p, double q) {
    exact_pair log_ratio = exact_value(split_exactly(p, q), 0), product = exact_product(p, log_ratio.high);
    return product.high + fma_f64(p, log_ratio.low, product.low);
}

/* p*log(p/q) - p + q, likewise. Within a factor 2 it is s*(p - q) + p*tail; further apart all parts are added up. */
static ALWAYS_INLINE double kl_div_usual(double p, double q) {
    exact_log parts = split_exactly(p, q);
    exact_pair near = exact_product(parts.s, p - q), log_ratio = exact_value(parts, 0);
    double near_value = near.high + (near.low + fma_f64(parts.s_low, p - q, p * parts.tail));
    exact_pair product = exact_product(p, log_ratio.high), rest = exact_sum(q, -p);
    exact_pair total = exact_sum(product.high, rest.high);
    double far_value = total.high + (total.low + rest.low + fma_f64(p, log_ratio.low, product.low));
    return parts.field ? far_value : near_value;
}

/* log(a/b) as in split_log, of which half the digits are needed: so it may lose a power of four, which is found sooner. */
static ALWAYS_INLINE log_parts_f64 split_shortly(double a, double b) {
    log_parts_f64 parts;
    int64_t difference = bits_f64(a) - bits_f64(b);
    int64_t field = (difference + ONE_EXPONENT) & (2 * EXPONENT_MASK);
    double scaled = from_bits_f64(bits_f64(a) - field);
    parts.field = field;
    parts.k = exponent_f64(field);
    parts.s = (scaled - b) / (scaled + b);
    double z = parts.s * parts.s;
    parts.tail = parts.s * z * short_log_polynomial_f64(z);
    return parts;
}

/* Both for p and q that are floats (subnormal ones too): p - q is exact, or nearly so. Largest error 2^-27. */
static ALWAYS_INLINE double of_floats(double p, double q, const int kind) {
    log_parts_f64 parts = split_shortly(p, q);
    double log_ratio = fma_f64(parts.k, LN2_PER_FIELD, fma_f64(2, parts.s, parts.tail));
    if (kind != KL_DIV) return p * log_ratio;
    return parts.field ? fma_f64(p, log_ratio - 1, q) : fma_f64(parts.s, p - q, p * parts.tail);
}

static ALWAYS_INLINE double usual_value(double p, double q, const int kind, const int is_float) {
    if (is_float) return of_floats(p, q, kind);
    return kind == KL_DIV ? kl_div_usual(p, q) : rel_entr_usual(p, q);
}

static ALWAYS_INLINE int is_usual(double x) { return (x >= 0x1p-900) & (x <= 0x1p900); }

/* A power of two that brings x to the middle of the range, as its exponent. */
static double middle_shift(double x) { return x < 0x1p-400 ? 600 : x > 0x1p400 ? -600 : 0; }

/* p*log(p/q) for any positive finite p and q, in units of 2^-*unit. */
static double rel_entr_scaled(double p, double q, double *unit) {
    double shift_p = middle_shift(p), shift_q = middle_shift(q);
    double near_p = p * power_of_two_f64(shift_p), near_q = q * power_of_two_f64(shift_q);
    exact_pair log_ratio = exact_value(split_exactly(near_p, near_q), shift_q - shift_p);
    exact_pair product = exact_product(near_p, log_ratio.high);
    *unit = shift_p;
    return product.high + fma_f64(near_p, log_ratio.low, product.low);
}

static double rel_entr_any(double p, double q) {
    double unit, value;
    if (!(p >= 0 && q >= 0)) return p < 0 || q < 0 ? (p != p || q != q ? NAN : HUGE_VAL) : NAN;
    if (p == 0) return 0.0;
    if (q == 0) return HUGE_VAL;
    if (p == HUGE_VAL || q == HUGE_VAL) return p == q ? NAN : p == HUGE_VAL ? HUGE_VAL : -HUGE_VAL;
    value = rel_entr_scaled(p, q, &unit);
    return value * power_of_two_f64(-unit);
}

static double kl_div_any(double p, double q) {
    double unit, part;
    if (!(p >= 0 && q >= 0)) return p < 0 || q < 0 ? (p != p || q != q ? NAN : HUGE_VAL) : NAN;
    if (p == 0) return q;
    if (q == 0) return HUGE_VAL;
    if (p == HUGE_VAL || q == HUGE_VAL) return p == q ? NAN : HUGE_VAL;
    double shift = middle_shift(p);
    if (p < 0x1p200 * q && q < 0x1p200 * p) /* close enough to be moved together */
        return kl_div_usual(p * power_of_two_f64(shift), q * power_of_two_f64(shift)) * power_of_two_f64(-shift);
    part = rel_entr_scaled(p, q, &unit);
    return (part - p * power_of_two_f64(unit)) * power_of_two_f64(-unit) + q;
}

static double elementwise_any(double p, double q, int kind, int is_float) {
    if (is_usual(p) && is_usual(q)) { /* the same bits whatever the neighbours are */
        double value = usual_value(p, q, kind, is_float);
        return kind == ENTR ? 0.0 - value : value;
    }
    if (kind == KL_DIV) return kl_div_any(p, q);
    if (kind == REL_ENTR) return rel_entr_any(p, q);
    return p < 0 ? -HUGE_VAL : p == 0 ? 0.0 : 0.0 - rel_entr_any(p, 1.0);
}

/* a where mask is 0, b where it is -1; with bits, because GCC makes branches of choices that hang together. */
static ALWAYS_INLINE double either(int64_t mask, double a, double b) {
    return from_bits_f64((bits_f64(a) & ~mask) | (bits_f64(b) & mask));
}

/* Whether all elements of a step are positive, and none is near the ends of the range. */
static ALWAYS_INLINE int all_usual(const double *restrict p, const double *restrict q, const int kind) {
    double lowest[LANES], total[LANES];
    int usual = 1;
    for (int j = 0; j < LANES; j++) lowest[j] = 1, total[j] = 0;
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            double a = p[part + j], b = kind == ENTR ? a : q[part + j], lower = a < b ? a : b;
            lowest[j] = lower < lowest[j] ? lower : lowest[j];
            total[j] += kind == ENTR ? a : a + b; /* keeps inf and NaN */
        }
    }
    for (int j = 0; j < LANES; j++) usual &= is_usual(lowest[j]) & is_usual(total[j]);
    return usual;
}

static ALWAYS_INLINE void usual_step(double *restrict out, const double *restrict p, const double *restrict q, const int kind,
                                     const int is_float) {
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        double value = usual_value(p[j], kind == ENTR ? 1.0 : q[j], kind, is_float);
        out[j] = kind == ENTR ? 0.0 - value : value;
    }
}

/* Zeros are taken along; what is unusual otherwise sends the step to the functions above. */
static ALWAYS_INLINE void elementwise_step(double *restrict out, const double *restrict p, const double *restrict q,
                                           const int kind, const int is_float) {
    int64_t unusual = 0;
    AS_LOOP
    for (int j = 0; j < STEP; j++) {
        double a = p[j], b = kind == ENTR ? 1.0 : q[j];
        int64_t no_a = -(int64_t)(a == 0), no_b = -(int64_t)(b == 0);
        double held_a = either(no_a, a, 1.0), held_b = either(no_b, b, 1.0);
        double value = usual_value(held_a, held_b, kind, is_float);
        value = either(no_a, either(no_b, value, INFINITY), kind == KL_DIV ? b : 0.0);
        out[j] = kind == ENTR ? 0.0 - value : value;
        unusual |= (int64_t)!(is_usual(held_a) & is_usual(held_b));
    }
    if (unusual)
        for (int j = 0; j < STEP; j++) out[j] = elementwise_any(p[j], kind == ENTR ? 1.0 : q[j], kind, is_float);
}

/* Results where mask (if there is one) is not 0; out is left alone elsewhere. */
#define ELEMENTWISE_LOOP(NAME, TYPE, KIND) \
    static void NAME(void *out, const void *p, const void *q, const char *mask, ptrdiff_t length) { \
        double wide_p[STEP], wide_q[STEP], result[STEP]; \
        TYPE *to = out; \
        const TYPE *from_p = p, *from_q = KIND == ENTR ? p : q; \
        for (int j = 0; j < STEP; j++) wide_p[j] = wide_q[j] = 1; \
        for (ptrdiff_t i = 0; i < length; i += STEP) { \
            ptrdiff_t count = length - i < STEP ? length - i : STEP; \
            for (int line = 0; line < STEP * (int)sizeof(TYPE); line += KLFAST_LINE_BYTES) { \
                __builtin_prefetch((const char *)(to + i) + 4096 + line); \
                __builtin_prefetch((const char *)(from_p + i) + 4096 + line); \
                if (KIND != ENTR) __builtin_prefetch((const char *)(from_q + i) + 4096 + line); \
            } \
            if (count == STEP) \
                for (int j = 0; j < STEP; j++) { \
                    wide_p[j] = from_p[i + j]; \
                    if (KIND != ENTR) wide_q[j] = from_q[i + j]; \
                } \
            else \
                for (int j = 0; j < count; j++) wide_p[j] = from_p[i + j], wide_q[j] = from_q[i + j]; \
            if (all_usual(wide_p, wide_q, KIND)) usual_step(result, wide_p, wide_q, KIND, sizeof(TYPE) < sizeof(double)); \
            else elementwise_step(result, wide_p, wide_q, KIND, sizeof(TYPE) < sizeof(double)); \
            if (mask) \
                for (int j = 0; j < count; j++) to[i + j] = mask[i + j] ? (TYPE)result[j] : to[i + j]; \
            else if (count == STEP) \
                for (int j = 0; j < STEP; j++) to[i + j] = (TYPE)result[j]; \
            else \
                for (int j = 0; j < count; j++) to[i + j] = (TYPE)result[j]; \
        } \
    }
ELEMENTWISE_LOOP(entr_f32, float, ENTR)
ELEMENTWISE_LOOP(entr_f64, double, ENTR)
ELEMENTWISE_LOOP(rel_entr_f32, float, REL_ENTR)
ELEMENTWISE_LOOP(rel_entr_f64, double, REL_ENTR)
ELEMENTWISE_LOOP(kl_div_f32, float, KL_DIV)
ELEMENTWISE_LOOP(kl_div_f64, double, KL_DIV)
#undef ELEMENTWISE_LOOP

/* The same as terms, which are read and written in any layout. */
#define ELEMENTWISE_TERMS(NAME) \
    static void terms_##NAME(const klfast_term_block *block, double *sums) { \
        (void)sums; \
        NAME(block->value[0], block->input[0], block->input[1], block->mask, block->length); \
    }
ELEMENTWISE_TERMS(entr_f32)
ELEMENTWISE_TERMS(entr_f64)
ELEMENTWISE_TERMS(rel_entr_f32)
ELEMENTWISE_TERMS(rel_entr_f64)
ELEMENTWISE_TERMS(kl_div_f32)
ELEMENTWISE_TERMS(kl_div_f64)
#undef ELEMENTWISE_TERMS
