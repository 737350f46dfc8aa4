/* Remainders f(b) - f(a) - (b - a)*f'(a) of convex functions, of which closed forms are put together: never negative, and as
 * exact as b - a, which is exact for close numbers and comes along as `difference`. Included for double alone.
 *
 * Those of -log(x), called ratio gaps, of x*log(x), which are gaps (elementary.inc.h), and of log gamma. The functions here
 * take numbers from USUAL_LOWEST to USUAL_HIGHEST (ratio gaps products of two such as well), and have no branches; for all
 * others see families_unusual.h. */

#define USUAL_LOWEST 0x1p-200
#define USUAL_HIGHEST 0x1p200

/* Whether a number is such a one; as an integer of all bits, which is what vectors of doubles compare to. */
static ALWAYS_INLINE int64_t in_usual_range(double x) { return ((x >= USUAL_LOWEST) & (x <= USUAL_HIGHEST)) ? -1 : 0; }

/* r - 1 - log(r) for r = top/bottom, with one division for two. Largest error 11 u. */
static ALWAYS_INLINE double ratio_gap(double top, double bottom, double difference) {
    int64_t field = field_between_f64(bits_f64(bottom) - bits_f64(top));
    double scaled = from_bits_f64(bits_f64(bottom) - field), sum = scaled + top, apart = scaled - top;
    double inverse = 1 / (sum * bottom), t = difference * (sum * inverse);
    double s = (field ? apart : -difference) * (bottom * inverse), z = s * s;
    double near = -s * t, far = t + fma_f64(exponent_f64(field), LN2_PER_FIELD, 2 * s), base = field ? far : near;
    return fma_f64(s * z, middle_log_polynomial_f64(z), base);
}

/* t - log(1 + t) for -1/2 <= t <= 1. Largest error 5 u. */
static ALWAYS_INLINE double log_gap(double t) {
    double s = t / (2 + t), z = s * s;
    return s * fma_f64(-z, middle_log_polynomial_f64(z), t);
}

/* ---- log gamma ----
 *
 * log gamma(x) is (x - 1/2)*log(x) - x and a rest, of which Stirling's series is known (polynomials.h). The remainder of the
 * rest is about half a ratio gap of b to a for small numbers, and 1/(3*a) of one for large ones; what is lost of it, is lost
 * relative to that ratio gap: 30 u at most. */

/* The remainder of the rest, for a and b of at least STIRLING_FROM, in terms: that of x^-n is (difference/a)^2/b times Q(n),
 * the sum of (n - j)*(1/a)^(n - 1 - j)*(1/b)^j over j < n; Q(n + 1) is Q(n)/a + H(n + 1), and H(n + 1) is H(n)/a + (1/b)^n. */
static ALWAYS_INLINE double rest_of_large(double a, double b, double difference) {
    double u = 1 / a, v = 1 / b, factor = difference * u, q = 1, h = 1, power = 1, total = STIRLING[0];
    FULLY_UNROLLED
    for (int k = 1; k < STIRLING_TERMS; k++) {
        power *= v;
        h = fma_f64(h, u, power);
        q = fma_f64(q, u, h);
        power *= v;
        h = fma_f64(h, u, power);
        q = fma_f64(q, u, h);
        total = fma_f64(STIRLING[k], q, total);
    }
    return factor * (factor * v) * total;
}

/* What the remainder of x*log(x) grows by from x to x + STIRLING_FROM, and half the ratio gap there. Within a factor 2 the
 * remainders are small; further apart their difference is found from logarithms. */
static ALWAYS_INLINE double growth_of_gaps(double a, double b, double difference) {
    const double step = STIRLING_FROM;
    double far_a = a + step, far_b = b + step;
    log_parts_f64 parts = split_log_f64(far_b, far_a, difference), back = {-parts.k, -parts.s, -parts.tail, parts.field};
    double near = gap_of_parts_f64(far_b, parts, difference, difference) - gap_from_f64(b, a, difference);
    double logs = log_ratio_from_f64(far_b, b, step) - log_ratio_from_f64(far_a, a, step);
    double far = fma_f64(b, logs, step * log_of_parts_f64(parts));
    double half_gap = 0.5 * gap_of_parts_f64(far_a, back, -difference, -difference) / far_a;
    return half_gap + ((b < 2 * a) & (a < 2 * b) ? near : far);
}

/* Pairs of numbers; of each the ratio gap of b to a, and the remainder of the rest from a to b. */
typedef struct {
    double a[FAMILY_BLOCK], b[FAMILY_BLOCK], difference[FAMILY_BLOCK], gap[FAMILY_BLOCK], rest[FAMILY_BLOCK];
} log_gamma_pairs;

static ALWAYS_INLINE int64_t is_small(double a, double b) { return ((a < STIRLING_FROM) | (b < STIRLING_FROM)) ? -1 : 0; }

/* Gaps and rests, from the other three. The rests of small numbers are found from larger ones, because log gamma(x + 1) is
 * log gamma(x) + log(x). */
static void find_rests(log_gamma_pairs *restrict all, ptrdiff_t length) {
    const double step = STIRLING_FROM;
    double more[FAMILY_BLOCK];
    int64_t is_any_small = 0;
    for (; length % 4 != 0; length++) { /* whole vectors: what is left over would be computed one by one */
        all->a[length] = all->b[length] = STIRLING_FROM;
        all->difference[length] = 0;
    }
    for (ptrdiff_t j = 0; j < length; j++) {
        double a = all->a[j], b = all->b[j], up = is_small(a, b) ? step : 0;
        all->gap[j] = ratio_gap(b, a, all->difference[j]);
        all->rest[j] = rest_of_large(a + up, b + up, all->difference[j]);
        is_any_small |= is_small(a, b);
    }
    if (!is_any_small) return;
    for (ptrdiff_t j = 0; j < length; j++) {
        more[j] = 0.5 * all->gap[j];
        FULLY_UNROLLED
        for (int k = 1; k < STIRLING_FROM; k++) more[j] += ratio_gap(all->b[j] + k, all->a[j] + k, all->difference[j]);
    }
    for (ptrdiff_t j = 0; j < length; j++) {
        double a = all->a[j], b = all->b[j], growth = growth_of_gaps(a, b, all->difference[j]);
        all->rest[j] += is_small(a, b) ? more[j] + growth : 0;
    }
}
