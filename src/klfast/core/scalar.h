/* One number at a time: bits, fused multiply-add, compensated sums. Everything above is written with these.
 *
 * - fma_* is the hardware instruction where the level has it (KLFAST_FMA), else a product and a sum, rounded twice.
 *   Contraction is off, so a fused operation happens only where the source says so: this is why every level with FMA
 *   returns the same bits.
 * - difference_* is p - c*q with ONE rounding on every level: the divergences of nearly equal inputs live on it. */
#ifndef KLFAST_SCALAR_H
#define KLFAST_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

static inline int32_t bits_f32(float x) {
    int32_t i;
    memcpy(&i, &x, sizeof i);
    return i;
}
static inline float from_bits_f32(int32_t i) {
    float x;
    memcpy(&x, &i, sizeof x);
    return x;
}
static inline int64_t bits_f64(double x) {
    int64_t i;
    memcpy(&i, &x, sizeof i);
    return i;
}
static inline double from_bits_f64(int64_t i) {
    double x;
    memcpy(&x, &i, sizeof x);
    return x;
}

#if KLFAST_FMA
static inline float fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float difference_f32(float p, float c, float q) { return __builtin_fmaf(-c, q, p); }
static inline double difference_f64(double p, double c, double q) { return __builtin_fma(-c, q, p); }
#else
static inline float fma_f32(float a, float b, float c) { return a * b + c; }
static inline double fma_f64(double a, double b, double c) { return a * b + c; }

/* The product of two floats is exact in double. */
static inline float difference_f32(float p, float c, float q) { return (float)((double)p - (double)c * (double)q); }

/* The upper 26 bits of x (Veltkamp). */
static inline double upper_half(double x) {
    double scaled = x * 0x1.0000002p27;
    return scaled - (scaled - x);
}

/* The rounded product and its exact error (Dekker). */
static inline double difference_f64(double p, double c, double q) {
    double product = c * q, c_high = upper_half(c), q_high = upper_half(q), c_low = c - c_high, q_low = q - q_high;
    double error = ((c_high * q_high - product) + c_high * q_low + c_low * q_high) + c_low * q_low;
    return (p - product) - error;
}
#endif

/* Whether products with another such number, and what is lost when they are rounded, stay in the range. */
static inline int is_middling(double x) { return (x >= 0x1p-400) & (x <= 0x1p400); }

/* Whether p/q is exactly a/b, for middling a and b; also of two zeros. If p and q leave the range it says no. */
static inline int has_ratio(double p, double q, double a, double b) {
    double one = p * b, other = q * a;
    int is_told = (one >= 0x1p-800) & (one <= 0x1p800) & (difference_f64(one, p, b) == difference_f64(one, q, a));
    return (one == other) & (is_told | ((p == 0) & (q == 0)));
}

/* An exponent field k << 23 (k << 52) as the number k / FIELD_UNIT, exactly. Hardware converts 64-bit integers from
 * AVX-512 on; before, the biased exponent is put into the mantissa of 2^52 instead. */
#define FIELD_UNIT_f32 0x1p-23f
static inline float exponent_f32(int32_t field) { return (float)field; }
#if defined(__AVX512DQ__) || defined(__aarch64__)
#define FIELD_UNIT_f64 0x1p-52
static inline double exponent_f64(int64_t field) { return (double)field; }
#else
#define FIELD_UNIT_f64 1.0
static inline double exponent_f64(int64_t field) {
    uint64_t biased = ((uint64_t)field + 0x8000000000000000ULL) >> 52;
    return from_bits_f64((int64_t)(biased | 0x4330000000000000ULL)) - (0x1p52 + 2048.0);
}
#endif

/* 2^k for an integer k in -127 .. 127 (-1023 .. 1023); the lowest k gives 0. */
static inline float power_of_two_f32(float k) { return from_bits_f32(((int32_t)k + 127) << 23); }
static inline double power_of_two_f64(double k) {
    return from_bits_f64((int64_t)((uint64_t)bits_f64(k + (0x1.8p52 + 1023.0)) << 52));
}

/* A sum carried in twice the working precision: thousands of block results are added, and the last bits are promised. */
typedef struct {
    double high, low;
} wide_sum;

static inline void add_number(wide_sum *sum, double x) {
    double total = sum->high + x, part = total - sum->high;
    if (!(fabs(total) <= 0x1.fffffffffffffp1023)) { /* inf and NaN have no rounding error */
        sum->high = total;
        sum->low = 0.0;
        return;
    }
    sum->low += (sum->high - (total - part)) + (x - part);
    sum->high = total;
}

static inline void add_sum(wide_sum *sum, wide_sum other) {
    add_number(sum, other.high);
    sum->low += other.low;
}

static inline wide_sum scaled_sum(wide_sum sum, double factor) {
    wide_sum product = {sum.high * factor, 0.0};
    product.low = sum.low * factor - difference_f64(product.high, factor, sum.high);
    return product;
}

static inline double sum_value(wide_sum sum) { return sum.high + sum.low; }

#endif
