/* The types that arrays may have besides float and double: their values and byte orders. */
#ifndef KLFAST_ELEMENT_TYPES_H
#define KLFAST_ELEMENT_TYPES_H

#include "scalar.h"

static inline uint16_t swap_16(uint16_t x) { return (uint16_t)(x << 8 | x >> 8); }
static inline uint32_t swap_32(uint32_t x) { return (uint32_t)swap_16((uint16_t)x) << 16 | swap_16((uint16_t)(x >> 16)); }
static inline uint64_t swap_64(uint64_t x) { return (uint64_t)swap_32((uint32_t)x) << 32 | swap_32((uint32_t)(x >> 32)); }

/* Exact for all bits: the exponent is moved into the wider field and its bias changed; inf and NaN keep the highest exponent.
 * A subnormal number, m*2^-24, is what 2^-14*(1 + m*2^-10) has more than 2^-14. It is never taken for a subnormal float: some
 * CPUs need a hundred times as long for a product with one. */
static inline float half_value(uint16_t bits) {
    int32_t magnitude = (int32_t)(bits & 0x7fff) << 13, sign = (int32_t)((uint32_t)(bits & 0x8000) << 16);
    int32_t normal = magnitude + 0x38000000, special = magnitude | 0x7f800000;
    int32_t subnormal = bits_f32(from_bits_f32(magnitude + 0x38800000) - 0x1p-14f);
    int32_t finite = magnitude < 0x00800000 ? subnormal : normal;
    return from_bits_f32((magnitude >= 0x0f800000 ? special : finite) | sign);
}

/* bfloat16: the upper half of a float. */
static inline float brain_value(uint16_t bits) { return from_bits_f32((int32_t)((uint32_t)bits << 16)); }

/* The nearest, ties to even. NaN stays NaN, whatever its bits. */
static inline uint16_t half_bits(float x) {
    uint32_t bits = (uint32_t)bits_f32(x), magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
    /* a sum with 0.5 rounds to multiples of 2^-24, the smallest half */
    uint32_t subnormal = (uint32_t)bits_f32(from_bits_f32((int32_t)magnitude) + 0.5f) - 0x3f000000;
    uint32_t normal = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
    uint32_t finite = magnitude < 0x38800000 ? subnormal : normal;
    uint32_t result = magnitude > 0x7f800000 ? 0x7e00 : magnitude >= 0x477ff000 ? 0x7c00 : finite;
    return (uint16_t)(result | sign);
}
static inline uint16_t brain_bits(float x) {
    uint32_t bits = (uint32_t)bits_f32(x), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x == x ? rounded : 0x7fc0);
}
static inline uint32_t single_bits(float x) { return (uint32_t)bits_f32(x); }
static inline uint64_t double_bits(double x) { return (uint64_t)bits_f64(x); }

/* A double as the float from which it rounds on to any shorter type as it would itself: to odd. */
static inline float odd_float(double x) {
    float nearest = (float)x;
    int32_t bits = bits_f32(nearest), is_exact = (double)nearest == x || x != x || nearest - nearest != 0;
    int32_t toward_zero = bits - (fabs((double)nearest) > fabs(x));
    return is_exact ? nearest : from_bits_f32(toward_zero | 1);
}
static inline float same_float(float x) { return x; }

static inline float single_value(uint32_t bits) { return from_bits_f32((int32_t)bits); }
static inline double double_value(uint64_t bits) { return from_bits_f64((int64_t)bits); }

#endif
