/* One CPU level: every kernel, and the table of them. Included by the level_*.c files, which are compiled with the
 * flags of their level and define KLFAST_LEVEL (the table's name) and KLFAST_FMA. Everything else is static, so the
 * linker cannot mix levels up. */

#if defined(__GNUC__)
#define NOINLINE __attribute__((noinline))
/* For loops that are written once and compiled for each constant value of a flag. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define NOINLINE
#define ALWAYS_INLINE inline
#define __builtin_prefetch(address) ((void)0)
#endif

/* GCC would unroll a loop over the lanes before it looks for vectors, and then find none. */
#if defined(__GNUC__) && !defined(__clang__)
#define AS_LOOP _Pragma("GCC unroll 1")
#else
#define AS_LOOP
#endif

#include "element_types.h"
#include "kernels.h"
#include "polynomials.h"

static unsigned lane_bits(const int *flags, int lanes) {
    unsigned bits = 0;
    for (int j = 0; j < lanes; j++) bits |= (unsigned)(flags[j] != 0) << j;
    return bits;
}

#include "real_f32.inc.h"
#include "reading.inc.h"
#include "lanes.inc.h"
#include "elementary.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "reading.inc.h"
#include "lanes.inc.h"
#include "elementary.inc.h"
#include "real_end.inc.h"

#include "scalar_math.h"
#include "weights.h"
#include "comparison.h"
#include "logits_rows.h"
#include "renyi.h"

#include "real_f32.inc.h"
#include "probability.inc.h"
#include "tile.inc.h"
#include "comparison.inc.h"
#include "softmax.inc.h"
#include "logits_kl.inc.h"
#include "logits_unusual.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "probability.inc.h"
#include "tile.inc.h"
#include "comparison.inc.h"
#include "softmax.inc.h"
#include "logits_kl.inc.h"
#include "logits_unusual.inc.h"
#include "real_end.inc.h"

#include "unusual.h"
#include "unusual_comparison.h"
#include "logits_js.h"

#include "real_f32.inc.h"
#include "table.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "renyi.inc.h"
#include "elementwise.inc.h"
#include "table.inc.h"
#include "real_end.inc.h"

static double read_sum(const double *array, ptrdiff_t length) {
    double lane[32] = {0}, total = 0;
    ptrdiff_t i = 0;
    for (; i + 32 <= length; i += 32)
        for (int j = 0; j < 32; j++) lane[j] += array[i + j];
    for (; i < length; i++) lane[0] += array[i];
    for (int j = 0; j < 32; j++) total += lane[j];
    return total;
}

static void copy_lines(void *target, const char *source, ptrdiff_t stride, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) memcpy((char *)target + i * 64, source + i * stride, 64);
}

/* Operations on probabilities have tiles for short rows; those on logits have not. */
#define ROW(NAME, TYPE, JOIN, FINISH, TILE, BLOCK, CONSTANT, INPUTS, NEUTRAL) \
    {NAME##_##TYPE, JOIN, FINISH, TILE, BLOCK, CONSTANT, INPUTS, NEUTRAL}
#define WEIGHTS(NAME, JOIN, FINISH, TILE, CONSTANT, INPUTS) \
    {ROW(NAME, f32, JOIN, FINISH, TILE##_f32, 8192, CONSTANT, INPUTS, 0.0), \
     ROW(NAME, f64, JOIN, FINISH, TILE##_f64, 4096, CONSTANT, INPUTS, 0.0)}
#define COMPARISON(NAME) WEIGHTS(NAME, weights_join, NAME##_finish, tile_##NAME, EXACT_QUOTIENT, 2)
#define RAW_COMPARISON(NAME) WEIGHTS(raw_##NAME, weights_join, raw_##NAME##_finish, tile_raw_##NAME, NO_CONSTANT, 2)
#define LOGITS(NAME, JOIN, FINISH, INPUTS) \
    {ROW(NAME, f32, JOIN, FINISH, NULL, logits_block_f32, NO_CONSTANT, INPUTS, -HUGE_VAL), \
     ROW(NAME, f64, JOIN, FINISH, NULL, logits_block_f64, NO_CONSTANT, INPUTS, -HUGE_VAL)}
/* In the order of the element types in kernels.h. */
#define READER(NAME, TYPE) read_##NAME##_##TYPE, read_##NAME##_swapped_##TYPE
#define READERS(TYPE) \
    {READER(half, TYPE),  READER(brain, TYPE),  READER(single, TYPE), READER(double, TYPE), \
     READER(int8, TYPE),  READER(uint8, TYPE),  READER(int16, TYPE),  READER(uint16, TYPE), \
     READER(int32, TYPE), READER(uint32, TYPE), READER(int64, TYPE),  READER(uint64, TYPE)}

const klfast_level KLFAST_LEVEL = {
    .operation =
        {
            [KL_DIVERGENCE] = WEIGHTS(kl_divergence, weights_join, divergence_finish, tile_kl_divergence, QUOTIENT, 2),
            [CROSS_ENTROPY] = WEIGHTS(cross_entropy, weights_join, cross_entropy_finish, tile_cross_entropy, SUM_OF_Q, 2),
            [ENTROPY] = WEIGHTS(entropy, weights_join, cross_entropy_finish, tile_cross_entropy, SUM_OF_Q, 1),
            [RAW_KL_DIVERGENCE] =
                WEIGHTS(raw_kl_divergence, weights_join, raw_divergence_finish, tile_raw_kl_divergence, NO_CONSTANT, 2),
            [RAW_CROSS_ENTROPY] = WEIGHTS(cross_entropy, weights_join, raw_finish, tile_raw_cross_entropy, NO_CONSTANT, 2),
            [RAW_ENTROPY] = WEIGHTS(entropy, weights_join, raw_finish, tile_raw_cross_entropy, NO_CONSTANT, 1),
            [JS_DIVERGENCE] = COMPARISON(js_divergence),
            [TOTAL_VARIATION_DISTANCE] = COMPARISON(total_variation),
            [HELLINGER_DISTANCE] = COMPARISON(hellinger),
            [JEFFREYS_DIVERGENCE] = COMPARISON(jeffreys),
            [CHI2_DIVERGENCE] = COMPARISON(chi2_divergence),
            [RAW_JS_DIVERGENCE] = RAW_COMPARISON(js_divergence),
            [RAW_TOTAL_VARIATION_DISTANCE] = RAW_COMPARISON(total_variation),
            [RAW_HELLINGER_DISTANCE] = RAW_COMPARISON(hellinger),
            [RAW_JEFFREYS_DIVERGENCE] = RAW_COMPARISON(jeffreys),
            [RAW_CHI2_DIVERGENCE] = RAW_COMPARISON(chi2_divergence),
            [RENYI_DIVERGENCE] = {[FLOAT64] = ROW(renyi_divergence, f64, renyi_join, renyi_finish, NULL, 4096,
                                                  SUMMED_QUOTIENT, 2, 0.0)},
            [LOGITS_KL_DIVERGENCE] = LOGITS(logits_kl, logits_kl_join, logits_kl_finish, 2),
            [LOGITS_JS_DIVERGENCE] = LOGITS(logits_js, logits_js_join, logits_js_finish, 2),
            [LOGITS_ENTROPY] = LOGITS(logits_entropy, softmax_join, logits_entropy_finish, 1),
            [LOGITS_LOGSUMEXP] = LOGITS(logsumexp, softmax_join, logsumexp_finish, 1),
            [LOGITS_CROSS_ENTROPY] = LOGITS(logsumexp, softmax_join, logits_cross_entropy_finish, 1),
        },
    .elementwise = {[ENTR] = {entr_f32, entr_f64},
                    [REL_ENTR] = {rel_entr_f32, rel_entr_f64},
                    [KL_DIV] = {kl_div_f32, kl_div_f64}},
    .read = {READERS(f32), READERS(f64)},
    .transpose = {transpose_f32, transpose_f64},
    .copy_lines = copy_lines,
    .exclude = {exclude_f32, exclude_f64},
    .read_sum = read_sum,
};
