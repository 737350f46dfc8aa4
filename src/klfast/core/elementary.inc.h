/* Elementary functions of one number, branch-free so that a loop over lanes becomes vector code.
 *
 * Included once for float and once for double, between real_f32.inc.h / real_f64.inc.h and real_end.inc.h, which define
 * REAL, INTEGER, F(name) and the constants. u is half a unit in the last place: 2^-24 or 2^-53.
 *
 * A choice is written as `mask ? x : y` between values that are both computed before: GCC would otherwise move one of
 * them into a branch and give up on vectors. */

/* The exponent field of a power of two that brings a ratio to within a factor 2 of 1; 0 where it is that already. Rounded
 * towards 0, so that a ratio just outside is brought next to 1: there the terms that are added are larger than their sum. The
 * ratio is told as the difference of the bits of two numbers. */
static ALWAYS_INLINE INTEGER F(field_between)(INTEGER difference) {
    return (difference + (difference < 0 ? ONE_EXPONENT - 1 : 0)) & EXPONENT_MASK;
}

/* The first half of a gap: s and the excess, and the exponent field of the power of two that a has lost. */
static ALWAYS_INLINE REAL F(gap_slope)(REAL a, REAL b, REAL c, REAL c_low, REAL *excess, INTEGER *lost, const int careful,
                                       const int raw) {
    REAL cb = c * b;
    INTEGER field = F(field_between)(F(bits)(a) - F(bits)(cb));
    REAL scaled = F(from_bits)(F(bits)(a) - field);
    REAL d = F(difference)(scaled, c, b), e = F(difference)(a, c, b), sum = scaled + cb;
    if (careful) {
        d = F(fma)(-c_low, b, d);
        e = F(fma)(-c_low, b, e);
        sum = sum > SMALLEST_NORMAL ? sum : SMALLEST_NORMAL;
    }
    REAL near_excess = field ? sum - sum : e;
    *excess = raw ? near_excess : e;
    *lost = field;
    return d / sum;
}

/* The second half. Where no power of two was lost, d is the excess. */
static ALWAYS_INLINE REAL F(gap_from_slope)(REAL a, REAL s, REAL excess, INTEGER field, const int raw) {
    REAL z = s * s, tail = s * z * F(middle_log_polynomial)(z);
    REAL log_base = F(fma)(F(exponent)(field), LN2_PER_FIELD, 2 * s);
    REAL near_base = s * excess, far_base = raw ? a * log_base : F(fma)(a, log_base, -excess);
    REAL base = field ? far_base : near_base;
    return F(fma)(a, tail, base);
}

/* a*log(a/(c*b)) - a + c*b, never negative, and in *excess a - c*b, for a >= 0 and c, b > 0.
 * c is c + c_low if `careful`; then b = 0 = a gives 0 as well. a < 0 or b = 0 < a is the caller's business.
 * Domain: c*b normal; a zero, normal, or (subnormal, and c*b above LOWEST_WEIGHT); all below 2^100 (2^900).
 * Within a factor 2 the value is s*d + a*tail(s) with s = d/(a + c*b): no cancellation however close a and c*b are.
 * Further apart a loses a power of two first, and a*log(a/(c*b)) - (a - c*b) loses little, because the result is then at least
 * a seventh of the larger of a and c*b. Largest error: 7.5 u, 9.5 u where there is no FMA.
 * `raw`: only where a and c*b are within a factor 2; elsewhere a*log(a/(c*b)) and an excess of 0, so that the two still
 * add up to a*log(a/(c*b)), and no digit of a small a is lost against a large b. Where that b is so large that twice as much
 * leaves the range, the excess is NaN, or (there is no FMA) the value. */
static ALWAYS_INLINE REAL F(gap)(REAL a, REAL b, REAL c, REAL c_low, REAL *excess, const int careful, const int raw) {
    INTEGER field;
    REAL s = F(gap_slope)(a, b, c, c_low, excess, &field, careful, raw);
    return F(gap_from_slope)(a, s, *excess, field, raw);
}

/* log(a/b) = k*ln2 + 2s + tail, given d = a - b, which the caller may know better than a and b tell; k = 0 and s small if
 * a and b are within a factor 2, so that nothing is lost however close they are. */
typedef struct {
    REAL k, s, tail;
    INTEGER field; /* of k */
} F(log_parts);

/* s, and the exponent field of the power of two that a has lost. */
static ALWAYS_INLINE REAL F(log_slope)(REAL a, REAL b, REAL d, INTEGER *lost) {
    INTEGER field = F(field_between)(F(bits)(a) - F(bits)(b));
    REAL scaled = F(from_bits)(F(bits)(a) - field), apart = scaled - b, sum = scaled + b;
    REAL distance = field ? apart : d;
    *lost = field;
    return distance / (sum > SMALLEST_NORMAL ? sum : SMALLEST_NORMAL);
}

static ALWAYS_INLINE F(log_parts) F(log_parts_from)(REAL s, INTEGER field) {
    REAL z = s * s;
    return (F(log_parts)){F(exponent)(field), s, s * z * F(middle_log_polynomial)(z), field};
}

static ALWAYS_INLINE F(log_parts) F(split_log)(REAL a, REAL b, REAL d) {
    INTEGER field;
    REAL s = F(log_slope)(a, b, d, &field);
    return F(log_parts_from)(s, field);
}

/* a*log(a/b) - a + b, never negative, given d = a - b, and what to take for it where a and b are not within a factor 2. Domain
 * and largest error as those of gap. */
static ALWAYS_INLINE REAL F(gap_of_parts)(REAL a, F(log_parts) parts, REAL d, REAL far_d) {
    REAL near_base = parts.s * d;
    REAL far_base = F(fma)(a, F(fma)(parts.k, LN2_PER_FIELD, 2 * parts.s), -far_d);
    REAL base = parts.field ? far_base : near_base;
    return F(fma)(a, parts.tail, base);
}

static ALWAYS_INLINE REAL F(gap_between)(REAL a, REAL b, REAL d, REAL far_d) {
    return F(gap_of_parts)(a, F(split_log)(a, b, d), d, far_d);
}

static ALWAYS_INLINE REAL F(gap_from)(REAL a, REAL b, REAL d) { return F(gap_between)(a, b, d, d); }

static ALWAYS_INLINE REAL F(log_of_parts)(F(log_parts) parts) {
    return F(fma)(parts.k, LN2_PER_FIELD, F(fma)(2, parts.s, parts.tail));
}

/* log(a/b), given d = a - b. Domain: normal a, b > 0. Largest error 4 u. */
static ALWAYS_INLINE REAL F(log_ratio_from)(REAL a, REAL b, REAL d) { return F(log_of_parts)(F(split_log)(a, b, d)); }

/* log(a/b) for normal a, b > 0. Largest error 3 u, also where a/b is close to 1. */
static ALWAYS_INLINE REAL F(log_ratio)(REAL a, REAL b) {
    INTEGER field = (F(bits)(a) - F(bits)(b) + HALF_EXPONENT) & EXPONENT_MASK;
    REAL scaled = F(from_bits)(F(bits)(a) - field);
    REAL s = (scaled - b) / (scaled + b), z = s * s, k = F(exponent)(field);
    return F(fma)(k, LN2_PER_FIELD, F(fma)(s * z, F(log_polynomial)(z), 2 * s));
}

/* What x - y has lost in rounding, which exp makes a relative error. */
static ALWAYS_INLINE REAL F(lost_of)(REAL x, REAL y, REAL difference) {
    REAL part = difference - x;
    return (x - (difference - part)) - (y + part);
}

/* exp(x) = fraction * 2^k with k an integer and 0.7 < fraction < 1.42, for |x| <= 1.25*EXP_LIMIT. Largest error 2 u.
 * x is taken as it is: subtracting a maximum first would round, and the rounding of x - max would be multiplied by
 * up to 100 on its way through exp. Scale by 2^(k - K) instead, which is exact. */
static ALWAYS_INLINE REAL F(exp_parts)(REAL x, REAL *k) {
    *k = F(fma)(x, LOG2_E, ROUNDING_SHIFT) - ROUNDING_SHIFT;
    REAL r = F(fma)(-*k, LN2_LOW, F(fma)(-*k, LN2_HIGH, x));
    return 1 + F(fma)(r * r, F(exp_polynomial)(r), r);
}

/* 2^k from k + EXPONENT_SHIFT; 0 for k = LOWEST_EXPONENT. The shift has the bits of an exponent's zero at its end, and what is
 * above k falls out. */
#define EXPONENT_SHIFT (ROUNDING_SHIFT - LOWEST_EXPONENT)
static ALWAYS_INLINE REAL F(power_at)(REAL shifted) {
    return F(from_bits)((INTEGER)((UNSIGNED)F(bits)(shifted) << MANTISSA_BITS));
}

/* e^d - 1 - d, never negative, e^d - 1 and e^d, together. */
typedef struct {
    REAL gap, expm1, exp;
} F(exp_terms);

/* d = k*ln2 + f with k = 0 for |d| < EXP_TERMS_NEAR, so that nothing cancels:
 * 2^k*(e^f - 1 - f) + (2^k - 1)*f + (2^k - 1 - k*ln2). `is_near` says that all d are so; the bits are the same.
 * Domain: EXP_TERMS_LOWEST <= d <= -EXP_TERMS_LOWEST. Largest error 4 u, each relative to itself. */
static ALWAYS_INLINE F(exp_terms) F(exp_terms_of)(REAL d, const int is_near) {
    if (is_near) {
        REAL part = d * d * F(middle_exp_polynomial)(d), whole = d + part;
        return (F(exp_terms)){part, whole, 1 + whole};
    }
    REAL shifted = F(fma)(d, LOG2_E, EXPONENT_SHIFT);
    REAL size = F(from_bits)(F(bits)(d) & (INTEGER)(~(UNSIGNED)0 >> 1)); /* one operation; d < 0 ? -d : d would be two */
    shifted = size < EXP_TERMS_NEAR ? EXPONENT_SHIFT : shifted;
    REAL k = shifted - EXPONENT_SHIFT, f = F(fma)(-k, LN2_LOW, F(fma)(-k, LN2_HIGH, d));
    REAL power = F(power_at)(shifted);
    REAL less = power - 1, base = F(fma)(-k, LN2_LOW, F(fma)(-k, LN2_HIGH, less));
    REAL near = f * f * F(middle_exp_polynomial)(f), grown = f + near;
    return (F(exp_terms)){F(fma)(power, near, F(fma)(less, f, base)), F(fma)(power, grown, less), F(fma)(power, grown, power)};
}

/* The same for exp(x/T); *shifted is k + `shift`, which is an integer near ROUNDING_SHIFT. x/T rounds nowhere: T is in the
 * constants. */
static ALWAYS_INLINE REAL F(exp_beyond)(REAL x, const F(klfast_exponential) *e, REAL shift, REAL *shifted) {
    *shifted = F(fma)(x, e->per_ln2, shift);
    REAL k = *shifted - shift, r = F(fma)(-k, e->ln2_low, F(fma)(-k, e->ln2_high, x));
    REAL value = e->coefficient[0];
    FULLY_UNROLLED
    for (int i = 1; i < F(EXP_TERMS); i++) value = F(fma)(value, r, e->coefficient[i]);
    return F(fma)(value, r, 1);
}

static ALWAYS_INLINE REAL F(exp_at)(REAL x, const F(klfast_exponential) *e, REAL *shifted) {
    return F(exp_beyond)(x, e, ROUNDING_SHIFT, shifted);
}

/* The constants of exp(x/T). T*ln 2 is `wide` + `wide_low`. */
static void F(prepare_exp)(F(klfast_exponential) *e, double temperature, double wide, double wide_low) {
    double power = 1.0 / temperature, part = wide * SPLITTER;
    e->per_ln2 = (REAL)(1.0 / wide);
    e->ln2 = (REAL)wide;
    e->ln2_high = (REAL)(part - (part - wide)); /* so few bits that k*ln2_high - x rounds nowhere, whatever the level */
    e->ln2_low = (REAL)((wide - (double)e->ln2_high) + wide_low);
    e->inverse = (REAL)power;
    double lost = fabs(power) < 0x1p900 && power > 0x1p-900 ? difference_f64(1, temperature, power) * power : 0;
    e->inverse_low = (REAL)((power - (double)e->inverse) + lost);
    e->limit = (REAL)(EXP_LIMIT * temperature);
    e->negligible = (REAL)(EXP_NEGLIGIBLE * temperature);
    e->coefficient[F(EXP_TERMS) - 1] = (REAL)power;
    for (int i = F(EXP_TERMS) - 2; i >= 0; i--) {
        power /= temperature;
        e->coefficient[i] = (REAL)((double)F(exp_polynomial_coefficients)[i] * power);
    }
}

/* fraction * 2^k with k an integer, 0 where k is below the exponents of normal numbers. */
static ALWAYS_INLINE REAL F(scale)(REAL fraction, REAL k) {
    return fraction * F(power_of_two)(k > LOWEST_EXPONENT ? k : LOWEST_EXPONENT);
}

/* cap * tanh(x/cap): expm1(v)/(expm1(v) + 2) with v = 2|x|/cap, by its own series where v is small. -inf stays what it is, a
 * class that is impossible; NaN and +inf become NaN. Largest error 6 u, relative. */
static void F(cap_scores)(void *array, ptrdiff_t length, double cap) {
    REAL *x = array, by = (REAL)(2 / cap), high = (REAL)cap;
    for (ptrdiff_t i = 0; i < length; i++) {
        REAL v = (x[i] < 0 ? -x[i] : x[i]) * by, k, held = v < 80 ? v : 80, small = held < 1 ? held : 1;
        REAL fraction = F(exp_parts)(held, &k), far = F(scale)(fraction, k) - 1;
        REAL near = F(fma)(small * small, F(wide_exp_polynomial)(small), small), grown = v <= 1 ? near : far;
        REAL size = high * (grown / (grown + 2)), capped = x[i] < 0 ? -size : size;
        REAL other = x[i] == -INFINITY ? -INFINITY : NAN;
        x[i] = x[i] < INFINITY && x[i] > -INFINITY ? capped : other;
    }
}
