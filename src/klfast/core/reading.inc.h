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

/* Squares of SQUARE x SQUARE elements go through registers: one element at a time would take longer than the kernels.
 * Every round lays the elements of two vectors, half of all vectors apart, alternately; after log2(SQUARE) rounds rows have
 * become columns. */
#if defined(__GNUC__) || defined(__clang__)
typedef REAL F(vector) __attribute__((vector_size(SQUARE * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

static ALWAYS_INLINE void F(interleave)(F(vector) *to, const F(vector) *from) {
    for (int i = 0; i < SQUARE / 2; i++) {
        to[2 * i] = SHUFFLED(INTEGER, from[i], from[i + SQUARE / 2], INTERLEAVE_LOW);
        to[2 * i + 1] = SHUFFLED(INTEGER, from[i], from[i + SQUARE / 2], INTERLEAVE_HIGH);
    }
}

static ALWAYS_INLINE void F(transpose_square)(REAL *target, ptrdiff_t target_stride, const REAL *source,
                                              ptrdiff_t source_stride) {
    F(vector) v[SQUARE], w[SQUARE];
    for (int i = 0; i < SQUARE; i++) v[i] = *(const F(vector) *)(source + i * source_stride);
    F(interleave)(w, v);
    F(interleave)(v, w);
    if (SQUARE == 8) F(interleave)(w, v);
    for (int i = 0; i < SQUARE; i++) *(F(vector) *)(target + i * target_stride) = SQUARE == 8 ? w[i] : v[i];
}
#else
static ALWAYS_INLINE void F(transpose_square)(REAL *target, ptrdiff_t target_stride, const REAL *source,
                                              ptrdiff_t source_stride) {
    for (int i = 0; i < SQUARE; i++)
        for (int j = 0; j < SQUARE; j++) target[j * target_stride + i] = source[i * source_stride + j];
}
#endif

static void F(transpose)(void *target, ptrdiff_t target_stride, const void *source, ptrdiff_t source_stride,
                         ptrdiff_t rows, ptrdiff_t columns) {
    REAL *to = target;
    const REAL *from = source;
    ptrdiff_t whole_rows = columns < SQUARE ? 0 : rows - rows % SQUARE;
    for (ptrdiff_t r = 0; r < whole_rows; r += SQUARE)
        for (ptrdiff_t i = 0; i < columns; i += SQUARE) {
            ptrdiff_t c = i + SQUARE <= columns ? i : columns - SQUARE; /* the last square may do some columns again */
            F(transpose_square)(to + c * target_stride + r, target_stride, from + r * source_stride + c, source_stride);
        }
    for (ptrdiff_t r = whole_rows; r < rows; r++)
        for (ptrdiff_t c = 0; c < columns; c++) to[c * target_stride + r] = from[r * source_stride + c];
}

static void F(exclude)(void *array, const void *mask, ptrdiff_t length, double neutral) {
    REAL *restrict values = array, other = (REAL)neutral;
    const REAL *restrict included = mask;
    for (ptrdiff_t i = 0; i < length; i++) values[i] = included[i] != 0 ? values[i] : other;
}
