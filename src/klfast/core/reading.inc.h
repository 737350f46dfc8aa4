/* Arrays of any type -> contiguous REALs, and rows <-> lanes. Everything that is read but cannot be read in place comes
 * through here, a block at a time: half precision, integers, a foreign byte order, elements that lie apart. */

/* One loop for neighbours, which becomes vector code, and one for elements that lie apart. */
#define READ_LOOPS(NAME, BITS, VALUE) \
    static void F(NAME)(void *target, const char *source, ptrdiff_t stride, ptrdiff_t length) { \
        REAL *restrict to = target; \
        BITS raw; \
        if (stride == (ptrdiff_t)sizeof raw) \
            for (ptrdiff_t i = 0; i < length; i++) { \
                memcpy(&raw, source + i * (ptrdiff_t)sizeof raw, sizeof raw); \
                to[i] = (REAL)(VALUE); \
            } \
        else \
            for (ptrdiff_t i = 0; i < length; i++) { \
                memcpy(&raw, source + i * stride, sizeof raw); \
                to[i] = (REAL)(VALUE); \
            } \
    }
#define READ_BOTH(NAME, BITS, SWAP, CONVERT) \
    READ_LOOPS(NAME, BITS, CONVERT(raw)) \
    READ_LOOPS(NAME##_swapped, BITS, CONVERT(SWAP(raw)))
#define ONE_BYTE(x) (x)

#if !CARRY && defined(__F16C__)
/* half_value in one instruction. GCC 12 has no vector code for it, and the cross-entropy of float16 logits takes a fifth
 * longer with what half_value becomes. */
static void read_half_f32(void *target, const char *source, ptrdiff_t stride, ptrdiff_t length) {
    float *to = target;
    ptrdiff_t i = 0;
    uint16_t raw;
    if (stride == (ptrdiff_t)sizeof raw)
        for (; i + 8 <= length; i += 8)
            _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(source + i * 2))));
    for (; i < length; i++) {
        memcpy(&raw, source + i * stride, sizeof raw);
        to[i] = half_value(raw);
    }
}
READ_LOOPS(read_half_swapped, uint16_t, half_value(swap_16(raw)))
#else
READ_BOTH(read_half, uint16_t, swap_16, half_value)
#endif
READ_BOTH(read_brain, uint16_t, swap_16, brain_value)
READ_BOTH(read_single, uint32_t, swap_32, single_value)
READ_BOTH(read_double, uint64_t, swap_64, double_value)
READ_BOTH(read_int8, int8_t, ONE_BYTE, ONE_BYTE)
READ_BOTH(read_uint8, uint8_t, ONE_BYTE, ONE_BYTE)
READ_BOTH(read_int16, uint16_t, swap_16, (int16_t))
READ_BOTH(read_uint16, uint16_t, swap_16, (uint16_t))
READ_BOTH(read_int32, uint32_t, swap_32, (int32_t))
READ_BOTH(read_uint32, uint32_t, swap_32, (uint32_t))
READ_BOTH(read_int64, uint64_t, swap_64, (int64_t))
READ_BOTH(read_uint64, uint64_t, swap_64, (uint64_t))

#undef ONE_BYTE
#undef READ_LOOPS
#undef READ_BOTH

/* REALs -> arrays of any floating type. */
#define STORE_LOOPS(NAME, BITS, CONVERT) \
    static void F(NAME)(char *target, ptrdiff_t stride, const void *source, ptrdiff_t length) { \
        const REAL *restrict from = source; \
        BITS raw; \
        if (stride == (ptrdiff_t)sizeof raw) \
            for (ptrdiff_t i = 0; i < length; i++) { \
                raw = CONVERT; \
                memcpy(target + i * (ptrdiff_t)sizeof raw, &raw, sizeof raw); \
            } \
        else \
            for (ptrdiff_t i = 0; i < length; i++) { \
                raw = CONVERT; \
                memcpy(target + i * stride, &raw, sizeof raw); \
            } \
    }
#define STORE_BOTH(NAME, BITS, SWAP, CONVERT) \
    STORE_LOOPS(NAME, BITS, CONVERT) \
    STORE_LOOPS(NAME##_swapped, BITS, SWAP(CONVERT))

STORE_BOTH(store_half, uint16_t, swap_16, half_bits(SHORTENED(from[i])))
STORE_BOTH(store_brain, uint16_t, swap_16, brain_bits(SHORTENED(from[i])))
STORE_BOTH(store_single, uint32_t, swap_32, single_bits((float)from[i]))
STORE_BOTH(store_double, uint64_t, swap_64, double_bits((double)from[i]))

#undef STORE_LOOPS
#undef STORE_BOTH

static void F(exclude)(void *array, const void *mask, ptrdiff_t length, double neutral) {
    REAL *restrict values = array, other = (REAL)neutral;
    const REAL *restrict included = mask;
    for (ptrdiff_t i = 0; i < length; i++) values[i] = included[i] != 0 ? values[i] : other;
}
