/* The types that arrays may have besides float and double: their values and byte orders. */
#ifndef KLFAST_ELEMENT_TYPES_H
#define KLFAST_ELEMENT_TYPES_H

#include "scalar.h"

static inline uint16_t swap_16(uint16_t x) { return (uint16_t)(x << 8 | x >> 8); }
static inline uint32_t swap_32(uint32_t x) { return (uint32_t)swap_16((uint16_t)x) << 16 | swap_16((uint16_t)(x >> 16)); }
static inline uint64_t swap_64(uint64_t x) { return (uint64_t)swap_32((uint32_t)x) << 32 | swap_32((uint32_t)(x >> 32)); }

/* Exact for all bits: the exponent is moved into the wider field and set right by a product, which makes subnormal
 * numbers normal as well; inf and NaN keep the highest exponent. */
static inline float half_value(uint16_t bits) {
    int32_t magnitude = (int32_t)(bits & 0x7fff) << 13, sign = (int32_t)((uint32_t)(bits & 0x8000) << 16);
    int32_t finite = bits_f32(from_bits_f32(magnitude) * 0x1p112f), special = magnitude | 0x7f800000;
    return from_bits_f32((magnitude >= 0x0f800000 ? special : finite) | sign);
}

/* bfloat16: the upper half of a float. */
static inline float brain_value(uint16_t bits) { return from_bits_f32((int32_t)((uint32_t)bits << 16)); }

static inline float single_value(uint32_t bits) { return from_bits_f32((int32_t)bits); }
static inline double double_value(uint64_t bits) { return from_bits_f64((int64_t)bits); }

#endif
