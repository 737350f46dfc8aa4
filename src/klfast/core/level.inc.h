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

#include "kernels.h"
#include "polynomials.h"

#include "real_f32.inc.h"
#include "lanes.inc.h"
#include "elementary.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "lanes.inc.h"
#include "elementary.inc.h"
#include "real_end.inc.h"

#include "scalar_math.h"
#include "weights.h"
#include "logits_rows.h"

#include "real_f32.inc.h"
#include "probability.inc.h"
#include "softmax.inc.h"
#include "logits_kl.inc.h"
#include "logits_unusual.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "probability.inc.h"
#include "softmax.inc.h"
#include "logits_kl.inc.h"
#include "logits_unusual.inc.h"
#include "real_end.inc.h"

#include "unusual.h"
#include "logits_js.h"

#include "real_f32.inc.h"
#include "table.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
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

#define BOTH(NAME, JOIN, FINISH, BLOCK_F32, BLOCK_F64, NEEDS_CONSTANT) \
    {{NAME##_f32, JOIN, FINISH, BLOCK_F32, NEEDS_CONSTANT}, {NAME##_f64, JOIN, FINISH, BLOCK_F64, NEEDS_CONSTANT}}
#define WEIGHTS(NAME, JOIN, FINISH) BOTH(NAME, JOIN, FINISH, 8192, 4096, 1)
#define RAW(NAME, JOIN, FINISH) BOTH(NAME, JOIN, FINISH, 8192, 4096, 0)
#define LOGITS(NAME, JOIN, FINISH) BOTH(NAME, JOIN, FINISH, logits_block_f32, logits_block_f64, 0)

const klfast_level KLFAST_LEVEL = {
    .operation =
        {
            [KL_DIVERGENCE] = WEIGHTS(kl_divergence, weights_join, divergence_finish),
            [CROSS_ENTROPY] = WEIGHTS(cross_entropy, weights_join, cross_entropy_finish),
            [ENTROPY] = WEIGHTS(entropy, weights_join, cross_entropy_finish),
            [RAW_KL_DIVERGENCE] = RAW(raw_kl_divergence, weights_join, raw_divergence_finish),
            [RAW_CROSS_ENTROPY] = RAW(cross_entropy, weights_join, raw_finish),
            [RAW_ENTROPY] = RAW(entropy, weights_join, raw_finish),
            [LOGITS_KL_DIVERGENCE] = LOGITS(logits_kl, logits_kl_join, logits_kl_finish),
            [LOGITS_JS_DIVERGENCE] = LOGITS(logits_js, logits_js_join, logits_js_finish),
            [LOGITS_ENTROPY] = LOGITS(logits_entropy, softmax_join, logits_entropy_finish),
            [LOGITS_LOGSUMEXP] = LOGITS(logsumexp, softmax_join, logsumexp_finish),
            [LOGITS_CROSS_ENTROPY] = LOGITS(logsumexp, softmax_join, logits_cross_entropy_finish),
        },
    .read_sum = read_sum,
};
