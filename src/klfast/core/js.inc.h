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
                                               const double *restrict d, const double *restrict c) {
    double larger[STEP], smaller[STEP];
    int64_t field[STEP];
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
/* With m = p + c*q, s = d/m and the share h = min(p, c*q)/m: d*s times a series in s*s up to |s| = 0.645, for d knows more
 * than s; beyond, m*((1 - h)*log(2*(1 - h)) + h*log(2*h)), the first as a polynomial: they cancel each other the more the
 * larger h is. One division for both: `inverse` is 1/m. */
static ALWAYS_INLINE float js_inverse(float p, float cq) { return 1 / (p + cq + SMALLEST_NORMAL); }

static ALWAYS_INLINE float js_from_inverse(float p, float cq, float d, float inverse) {
    float m = p + cq, s = d * inverse, h = (p < cq ? p : cq) * inverse;
    int32_t twice = bits_f32(h) + ONE_EXPONENT, field = (twice - TWO_THIRDS_BITS) & EXPONENT_MASK;
    float t = from_bits_f32(twice - field) - 1, k = exponent_f32(field);
    float log_2h = fma_f32(k, LN2_PER_FIELD, t * log1p_polynomial_f32(t));
    float near = d * s * js_polynomial_f32(s * s), far = m * fma_f32(h, log_2h, js_far_polynomial_f32(h));
    return h > 0.1775f ? near : far;
}

static ALWAYS_INLINE float js_term_f32(float p, float cq, float d) {
    return js_from_inverse(p, cq, d, js_inverse(p, cq));
}

static ALWAYS_INLINE void js_terms_of_step_f32(float *restrict term, const float *restrict p, const float *restrict q,
                                               const float *restrict d, const float *restrict c) {
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++) term[part + j] = js_inverse(p[part + j], c[j] * q[part + j]);
    }
    END_OF_STAGE;
    for (int part = 0; part < STEP; part += LANES) {
        AS_LOOP
        for (int j = 0; j < LANES; j++)
            term[part + j] = js_from_inverse(p[part + j], c[j] * q[part + j], d[part + j], term[part + j]);
    }
}
#endif
