/* Terms that the vector loops leave: far out, infinite, NaN. In double, one element at a time, with what the difference of two
 * numbers lost in rounding: far out, exp multiplies it. */
#ifndef KLFAST_TERMS_UNUSUAL_H
#define KLFAST_TERMS_UNUSUAL_H

/* exp(x) up to the end of the range: exp_any gives up a little earlier. Largest error 6 u. */
static double exp_to_the_end(double x) {
    if (!(x > 700.0)) return exp_any(x);
    double half = exp_any(0.5 * x);
    return half * half;
}

/* x - y in two parts. */
typedef struct {
    double high, low;
} exact_difference;

static exact_difference difference_of(double x, double y) {
    exact_difference d = {x - y, 0.0};
    if (fabs(d.high) < HUGE_VAL) d.low = rounding_of_difference(x, y, d.high);
    return d;
}

/* d - shift, without rounding. */
static exact_difference less(exact_difference d, double shift) {
    exact_difference result = difference_of(d.high, shift);
    result.low += d.low;
    return result;
}

static int is_far(double x, double lowest, double highest) { return !(x >= lowest && x <= highest); }

static double at_least(double term, double free_bits) { return term < free_bits ? free_bits : term; }

/* e^d, e^d - 1 and e^d - 1 - d; d = -inf has an infinite gap, and NaN is NaN throughout. Largest error 8 u. */
static exp_terms_f64 exp_terms_any(exact_difference d) {
    exp_terms_f64 terms;
    double plain = exp_to_the_end(d.high), near_gap = fabs(d.high) <= 1.0 ? exp_gap(-d.high) : 0.0;
    terms.exp = plain < HUGE_VAL ? fma_f64(plain, d.low, plain) : plain;
    terms.expm1 = fabs(d.high) <= 0.5 ? d.high + near_gap : plain - 1.0;
    terms.gap = fabs(d.high) <= 1.0 ? near_gap : plain < HUGE_VAL ? (plain - 1.0) - d.high : plain;
    if (plain < HUGE_VAL) {
        terms.gap = fma_f64(d.low, terms.expm1, terms.gap);
        terms.expm1 = fma_f64(d.low, plain, terms.expm1);
    }
    return terms;
}

/* k3 of a token, or its derivative. */
static double token_term_any(double logp, double other, double clip, int is_gradient) {
    exact_difference r = difference_of(other, logp);
    int is_clipped = fabs(r.high) > clip;
    if (is_clipped) r = (exact_difference){r.high < 0 ? -clip : clip, 0.0};
    exp_terms_f64 terms = exp_terms_any(r);
    if (!is_gradient) return terms.gap;
    return is_clipped ? 0.0 : 0.0 - terms.expm1;
}

/* (e^logvar - 1 - logvar + mu^2)/2. */
static double gaussian_any(double mu, exp_terms_f64 terms) {
    if (fabs(mu) > 0x1p500) return terms.gap == terms.gap ? 0.5 * terms.gap + (mu * 0.5) * mu : terms.gap;
    return 0.5 * fma_f64(mu, mu, terms.gap);
}

/* The same for mu = mu1 - mu2 and a second Gaussian of log-variance logvar2: exp(-logvar2) comes in parts, because it may be as
 * large as mu is small. */
static double gaussian_pair_any(double mu, double logvar2, exp_terms_f64 terms) {
    double quarter = exp_any(-0.25 * logvar2);
    int is_none = mu == 0 || (logvar2 == HUGE_VAL && mu == mu); /* an infinite mean is not far from one so uncertain */
    double distance = is_none ? 0.0 : mu * quarter * quarter;
    return gaussian_any(distance, terms);
}

#endif
