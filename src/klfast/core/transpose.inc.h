/* Rows -> lanes and back: what lies one behind the other in memory is laid out side by side.
 *
 * It goes through registers: one element at a time would take longer than the kernels. A vector has PIECES pieces of 16 bytes,
 * and no shuffle crosses them: that would take twice as long. */

enum { F(PIECE) = 16 / sizeof(REAL), F(LINE) = PIECES * F(PIECE) /* elements of a piece, and of a vector */ };

#if defined(__GNUC__) || defined(__clang__)
typedef REAL F(pieces) __attribute__((vector_size(PIECES * 16), aligned(sizeof(REAL)), may_alias));

/* Pieces that lie `stride` elements apart -> one vector. GCC 12 has no vector code that takes them from memory as they are put
 * into place, and needs half as long again. */
static ALWAYS_INLINE F(pieces) F(join_pieces)(const REAL *source, ptrdiff_t stride) {
#if PIECES == 4
    __m512 all = _mm512_castps128_ps512(_mm_loadu_ps((const float *)source));
    all = _mm512_insertf32x4(all, _mm_loadu_ps((const float *)(source + stride)), 1);
    all = _mm512_insertf32x4(all, _mm_loadu_ps((const float *)(source + 2 * stride)), 2);
    return (F(pieces))_mm512_insertf32x4(all, _mm_loadu_ps((const float *)(source + 3 * stride)), 3);
#elif PIECES == 2
    __m256 first = _mm256_castps128_ps256(_mm_loadu_ps((const float *)source));
    return (F(pieces))_mm256_insertf128_ps(first, _mm_loadu_ps((const float *)(source + stride)), 1);
#else
    (void)stride;
    return *(const F(pieces) *)source;
#endif
}

static ALWAYS_INLINE void F(part_pieces)(REAL *target, ptrdiff_t stride, F(pieces) v) {
#if PIECES == 4
    _mm_storeu_ps((float *)target, _mm512_castps512_ps128((__m512)v));
    _mm_storeu_ps((float *)(target + stride), _mm512_extractf32x4_ps((__m512)v, 1));
    _mm_storeu_ps((float *)(target + 2 * stride), _mm512_extractf32x4_ps((__m512)v, 2));
    _mm_storeu_ps((float *)(target + 3 * stride), _mm512_extractf32x4_ps((__m512)v, 3));
#elif PIECES == 2
    _mm_storeu_ps((float *)target, _mm256_castps256_ps128((__m256)v));
    _mm_storeu_ps((float *)(target + stride), _mm256_extractf128_ps((__m256)v, 1));
#else
    (void)stride;
    *(F(pieces) *)target = v;
#endif
}

/* In every piece rows become columns: each round lays the elements of two vectors, half of all vectors apart, alternately. */
static ALWAYS_INLINE void F(transpose_pieces)(F(pieces) *v) {
    for (int round = 1; round < F(PIECE); round *= 2) {
        F(pieces) w[F(PIECE)];
        for (int i = 0; i < F(PIECE); i++) w[i] = v[i];
        for (int i = 0; i < F(PIECE) / 2; i++) {
            v[2 * i] = SHUFFLED(INTEGER, w[i], w[i + F(PIECE) / 2], OF_PIECES(INTERLEAVE_LOW));
            v[2 * i + 1] = SHUFFLED(INTEGER, w[i], w[i + F(PIECE) / 2], OF_PIECES(INTERLEAVE_HIGH));
        }
    }
}

/* LINE rows of PIECE elements -> PIECE rows of LINE. */
static ALWAYS_INLINE void F(gather_rows)(REAL *target, ptrdiff_t target_stride, const REAL *source, ptrdiff_t source_stride) {
    F(pieces) v[F(PIECE)];
    for (int i = 0; i < F(PIECE); i++) v[i] = F(join_pieces)(source + i * source_stride, F(PIECE) * source_stride);
    F(transpose_pieces)(v);
    for (int i = 0; i < F(PIECE); i++) *(F(pieces) *)(target + i * target_stride) = v[i];
}

/* PIECE rows of LINE elements -> LINE rows of PIECE. */
static ALWAYS_INLINE void F(scatter_rows)(REAL *target, ptrdiff_t target_stride, const REAL *source, ptrdiff_t source_stride) {
    F(pieces) v[F(PIECE)];
    for (int i = 0; i < F(PIECE); i++) v[i] = *(const F(pieces) *)(source + i * source_stride);
    F(transpose_pieces)(v);
    for (int i = 0; i < F(PIECE); i++) F(part_pieces)(target + i * target_stride, F(PIECE) * target_stride, v[i]);
}
#else
static void F(gather_rows)(REAL *target, ptrdiff_t target_stride, const REAL *source, ptrdiff_t source_stride) {
    for (int i = 0; i < F(LINE); i++)
        for (int j = 0; j < F(PIECE); j++) target[j * target_stride + i] = source[i * source_stride + j];
}
static void F(scatter_rows)(REAL *target, ptrdiff_t target_stride, const REAL *source, ptrdiff_t source_stride) {
    for (int i = 0; i < F(PIECE); i++)
        for (int j = 0; j < F(LINE); j++) target[j * target_stride + i] = source[i * source_stride + j];
}
#endif

/* Where the part of a row that should begin at `i` does begin: the last may do some elements again. */
static ALWAYS_INLINE ptrdiff_t F(begin_part)(ptrdiff_t i, ptrdiff_t part, ptrdiff_t length) {
    return i + part <= length ? i : length - part;
}

static void F(transpose)(void *target, ptrdiff_t target_stride, const void *source, ptrdiff_t source_stride,
                         ptrdiff_t rows, ptrdiff_t columns) {
    REAL *to = target;
    const REAL *from = source;
    if (rows >= F(LINE) && columns >= F(PIECE))
        for (ptrdiff_t k = 0; k < rows; k += F(LINE))
            for (ptrdiff_t i = 0; i < columns; i += F(PIECE)) {
                ptrdiff_t r = F(begin_part)(k, F(LINE), rows), c = F(begin_part)(i, F(PIECE), columns);
                F(gather_rows)(to + c * target_stride + r, target_stride, from + r * source_stride + c, source_stride);
            }
    else if (columns >= F(LINE) && rows >= F(PIECE))
        for (ptrdiff_t i = 0; i < rows; i += F(PIECE))
            for (ptrdiff_t k = 0; k < columns; k += F(LINE)) {
                ptrdiff_t r = F(begin_part)(i, F(PIECE), rows), c = F(begin_part)(k, F(LINE), columns);
                F(scatter_rows)(to + c * target_stride + r, target_stride, from + r * source_stride + c, source_stride);
            }
    else
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t c = 0; c < columns; c++) to[c * target_stride + r] = from[r * source_stride + c];
}
