/* The terms of Jensen-Shannon of p and c*q, given d = p - c*q: a step in two stages, because what comes behind a division is a
 * long chain of operations. */

#if CARRY
/* The gaps of both from their middle (p + c*q)/2, whose rounding has no effect of first order. The larger one is always within
 * a factor 2 of it. */
typedef struct {
    double larger, smaller;
    int64_t field; /* of the smaller one */
} js_slopes_f64;

static ALWAYS_INLINE js_slopes_f64 js_slopes(double p, double cq, double d) {
    double smaller = p < cq ? p : cq, larger = p < cq ? cq : p, half = 0.5 * absolute_f64(d), middle = 0.5 * (p + cq);
    js_slopes_f64 slopes;
    slopes.larger = half / (larger + middle + SMALLEST_NORMAL);
    slopes.smaller = log_slope_f64(smaller, middle, -half, &slopes.field);
    return slopes;
}

static ALWAYS_INLINE double js_from_slopes(double p, double cq, double d, js_slopes_f64 slopes) {
    double smaller = p < cq ? p : cq, larger = p < cq ? cq : p, half = 0.5 * absolute_f64(d);
    double s = slopes.larger, z = s * s, gap = fma_f64(larger, s * z * middle_log_polynomial_f64(z), s * half);
    return gap + gap_of_parts_f64(smaller, log_parts_from_f64(slopes.smaller, slopes.field), -half, -half);
}

static ALWAYS_INLINE double js_term_f64(double p, double cq, double d) {
    return js_from_slopes(p, cq, d, js_slopes(p, cq, d));
}

static ALWAYS_INLINE void js_terms_of_step_f64(double *restrict term, const double *restrict p, const double *restrict q,
                                               const double *restrict d, const double *restrict c, int *restrict later) {
    double larger[STEP], smaller[STEP];
    int64_t field[STEP];
    (void)later;
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            js_slopes_f64 slopes = js_slopes(p[part + j], c[j] * q[part + j], d[part + j]);
            larger[part + j] = slopes.larger;
            smaller[part + j] = slopes.smaller;
            field[part + j] = slopes.field;
        }
    }
    END_OF_STAGE;
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            js_slopes_f64 slopes = {larger[part + j], smaller[part + j], field[part + j]};
            term[part + j] = js_from_slopes(p[part + j], c[j] * q[part + j], d[part + j], slopes);
        }
    }
}
#else
enum { JS_STEPS_UNWATCHED = 7 }; /* few enough to notice soon where rows become close */

/* With m = p + c*q, s = d/m and the share h = min(p, c*q)/m: d*s times a series in s*s up to |s| = 0.645, for d knows more
 * than s; beyond, m*((1 - h)*log(2*(1 - h)) + h*log(2*h)), the first as a polynomial: they cancel each other the more the
 * larger h is. One division for both: `inverse` is 1/m. */
static ALWAYS_INLINE float js_inverse(float p, float cq) { return 1 / (p + cq + SMALLEST_NORMAL); }

/* Negative where h is too small for the series. */
static ALWAYS_INLINE float js_reserve(float p, float cq) { return fma_f32(-0.1775f, p + cq, p < cq ? p : cq); }

static ALWAYS_INLINE float js_near(float d, float inverse) {
    float s = d * inverse;
    return d * s * js_polynomial_f32(s * s);
}

static ALWAYS_INLINE float js_far(float m, float h) {
    int32_t twice = bits_f32(h) + ONE_EXPONENT, field = (twice - TWO_THIRDS_BITS) & EXPONENT_MASK;
    float t = from_bits_f32(twice - field) - 1, k = exponent_f32(field);
    float log_2h = fma_f32(k, LN2_PER_FIELD, t * log1p_polynomial_f32(t));
    return m * fma_f32(h, log_2h, js_far_polynomial_f32(h));
}

static ALWAYS_INLINE float js_from_inverse(float p, float cq, float d, float inverse) {
    float near = js_near(d, inverse), far = js_far(p + cq, (p < cq ? p : cq) * inverse);
    return bits_f32(js_reserve(p, cq)) < 0 ? far : near;
}

static ALWAYS_INLINE float js_term_f32(float p, float cq, float d) {
    return js_from_inverse(p, cq, d, js_inverse(p, cq));
}

/* What a step divides by; with `watch`, returns whether all of it is near. */
static ALWAYS_INLINE int js_inverses(float *restrict inverse, const float *restrict p, const float *restrict q,
                                     const float *restrict c, const int watch) {
    int32_t signs[LANES] = {0}, sign = 0;
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) {
            float a = p[part + j], b = c[j] * q[part + j];
            inverse[part + j] = js_inverse(a, b);
            if (watch) signs[j] |= bits_f32(js_reserve(a, b));
        }
    }
    AS_LOOP
    for (int j = 0; j < LANES; j++) sign |= signs[j];
    return sign >= 0;
}

/* Where p and q are close, whole steps are, and need no logarithm; the bits are the same. After one that is not, a few steps
 * are not looked at: `later` says how many. */
static ALWAYS_INLINE void js_terms_of_step_f32(float *restrict term, const float *restrict p, const float *restrict q,
                                               const float *restrict d, const float *restrict c, int *restrict later) {
    int is_near = 0;
    if (*later > 0) {
        js_inverses(term, p, q, c, 0);
        *later -= 1;
    } else {
        is_near = js_inverses(term, p, q, c, 1);
        if (!is_near) *later = JS_STEPS_UNWATCHED;
    }
    END_OF_STAGE;
    for (int part = 0; is_near && part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) term[part + j] = js_near(d[part + j], term[part + j]);
    }
    if (is_near) return;
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            term[part + j] = js_from_inverse(p[part + j], c[j] * q[part + j], d[part + j], term[part + j]);
    }
}
#endif
