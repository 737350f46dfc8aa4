/* One CPU level: every kernel, and the table of them. Included by the level_*.c files, which are compiled with the
 * flags of their level and define KLFAST_LEVEL (the table's name) and KLFAST_FMA. Everything else is static, so the
 * linker cannot mix levels up. */

#if defined(__GNUC__) || defined(__clang__) /* clang-cl does not call itself GNU */
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

/* Between the two halves of a long chain of operations. What the first has found goes to memory, where a compiler would carry
 * it over in registers: with 16 of them it keeps too few operations going at a time. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__AVX512F__) && !defined(__aarch64__)
#define END_OF_STAGE __asm__ volatile("" ::: "memory")
#else
#define END_OF_STAGE (void)0
#endif

/* For loops that GCC, which lays operations side by side before it gives them registers (setup.py), makes slower by it: with 16
 * registers too many of the values of a divergence go to memory, which costs up to 10 % of its time. The bits are the same. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX__) && !defined(__AVX512F__)
#define AS_WRITTEN NOINLINE __attribute__((optimize("no-schedule-insns")))
#else
#define AS_WRITTEN NOINLINE
#endif

/* For loops over coefficients, so that the loop around them becomes vectors. */
#if defined(__GNUC__) || defined(__clang__)
#define FULLY_UNROLLED _Pragma("GCC unroll 16")
#else
#define FULLY_UNROLLED
#endif

/* The elements of two vectors that the numbers name, those of the second counted on from those of the first. Clang has no
 * __builtin_shuffle, and GCC before 12 nothing else. */
#if defined(__clang__)
#define SHUFFLED(INTEGER, A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)
#else
#define SHUFFLED(INTEGER, A, B, ...) \
    __builtin_shuffle(A, B, (INTEGER __attribute__((vector_size(sizeof(A))))){__VA_ARGS__})
#endif

#ifdef __AVX__
#include <immintrin.h>
#endif

/* Of 16 bytes: what a vector has. The numbers of a shuffle that does not cross pieces are X(k) for every piece. */
#if defined(__AVX512F__)
#define PIECES 4
#define OF_PIECES(X) X(0), X(1), X(2), X(3)
#elif defined(__AVX__)
#define PIECES 2
#define OF_PIECES(X) X(0), X(1)
#else
#define PIECES 1
#define OF_PIECES(X) X(0)
#endif

#include "element_types.h"
#include "kernels.h"
#include "polynomials.h"

/* Flags of 8 or 16 lanes as bits. GCC would halve them until one number is left. */
static ALWAYS_INLINE unsigned lane_bits(const int *flags, const int lanes) {
#ifdef __AVX512VL__
    if (lanes == 8) return _mm256_test_epi32_mask(_mm256_loadu_si256((const void *)flags), _mm256_set1_epi32(-1));
    return _mm512_test_epi32_mask(_mm512_loadu_si512(flags), _mm512_set1_epi32(-1));
#else
    unsigned bits = 0;
    for (int j = 0; j < lanes; j++) bits |= (unsigned)(flags[j] != 0) << j;
    return bits;
#endif
}

#include "real_f32.inc.h"
#include "reading.inc.h"
#include "transpose.inc.h"
#include "lanes.inc.h"
#include "elementary.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "reading.inc.h"
#include "transpose.inc.h"
#include "lanes.inc.h"
#include "elementary.inc.h"
#include "real_end.inc.h"

#include "scalar_math.h"
#include "weights.h"
#include "comparison.h"
#include "logits_rows.h"
#include "logits_pair_rows.h"
#include "renyi.h"

#include "real_f32.inc.h"
#include "probability.inc.h"
#include "cross_entropy.inc.h"
#include "across.inc.h"
#include "tile_sums.inc.h"
#include "tile.inc.h"
#include "comparison.inc.h"
#include "softmax.inc.h"
#include "logits_cross.inc.h"
#include "logits_kl.inc.h"
#include "logits_kl_careful.inc.h"
#include "logits_unusual.inc.h"
#include "logits_pair.inc.h"
#include "logits_write.inc.h"
#include "logits_write_pair.inc.h"
#include "logits_tile.inc.h"
#include "logits_cross_tile.inc.h"
#include "logits_kl_tile.inc.h"
#include "logits_js_tile.inc.h"
#include "topk.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "probability.inc.h"
#include "cross_entropy.inc.h"
#include "across.inc.h"
#include "tile_sums.inc.h"
#include "tile.inc.h"
#include "comparison.inc.h"
#include "softmax.inc.h"
#include "logits_cross.inc.h"
#include "logits_kl.inc.h"
#include "logits_kl_careful.inc.h"
#include "logits_unusual.inc.h"
#include "logits_pair.inc.h"
#include "logits_write.inc.h"
#include "logits_write_pair.inc.h"
#include "logits_tile.inc.h"
#include "logits_cross_tile.inc.h"
#include "logits_kl_tile.inc.h"
#include "logits_js_tile.inc.h"
#include "topk.inc.h"
#include "real_end.inc.h"

#include "terms_unusual.h"
#include "unusual.h"
#include "unusual_comparison.h"
#include "logits_wide.h"

#include "real_f32.inc.h"
#include "terms.inc.h"
#include "table.inc.h"
#include "real_end.inc.h"

#include "real_f64.inc.h"
#include "renyi.inc.h"
#include "elementwise.inc.h"
#include "terms.inc.h"
#include "table.inc.h"
#include "remainders.inc.h"
#include "families_unusual.h"
#include "families.inc.h"
#include "dirichlet.inc.h"
#include "gaussian_full.inc.h"
#include "real_end.inc.h"

/* How many numbers are at least `bound`; NaN is not. */
static ptrdiff_t count_reaching(const double *numbers, ptrdiff_t count, double bound) {
    int64_t reach = 0;
    for (ptrdiff_t i = 0; i < count; i++) reach += numbers[i] >= bound;
    return (ptrdiff_t)reach;
}

static double read_sum(const double *array, ptrdiff_t length) {
    double lane[32] = {0}, total = 0;
    ptrdiff_t i = 0;
    for (; i + 32 <= length; i += 32)
        for (int j = 0; j < 32; j++) lane[j] += array[i + j];
    for (; i < length; i++) lane[0] += array[i];
    for (int j = 0; j < 32; j++) total += lane[j];
    return total;
}

/* The numbers of many rows, in eight sums, so that no addition waits for the one before it; each in twice the precision. */
static double add_up(const double *numbers, ptrdiff_t count) {
    enum { SUMS = 8 };
    double high[SUMS] = {0}, low[SUMS] = {0};
    ptrdiff_t whole = count - count % SUMS;
    for (ptrdiff_t i = 0; i < whole; i += SUMS)
        for (int j = 0; j < SUMS; j++) {
            double x = numbers[i + j], total = high[j] + x, part = total - high[j];
            low[j] += (high[j] - (total - part)) + (x - part);
            high[j] = total;
        }
    wide_sum sum = {0.0, 0.0};
    for (ptrdiff_t i = whole; i < count; i++) add_number(&sum, numbers[i]);
    for (int j = 0; j < SUMS; j++) {
        add_number(&sum, high[j]);
        if (fabs(sum.high) < INFINITY) sum.low += low[j]; /* inf and NaN have no rounding error */
    }
    return sum_value(sum);
}

static void prepare_temperature(klfast_temperature *temperature, double value) {
    double wide = value * LN2_DOUBLE, low = -difference_f64(wide, value, LN2_DOUBLE) + value * LN2_DOUBLE_LOW;
    temperature->value = value;
    temperature->inverse = 1.0 / value;
    prepare_exp_f32(&temperature->of_f32, value, wide, low);
    prepare_exp_f64(&temperature->of_f64, value, wide, low);
}

static void copy_lines(void *target, const char *source, ptrdiff_t stride, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) memcpy((char *)target + i * 64, source + i * stride, 64);
}

#define ROW(NAME, TYPE, JOIN, FINISH, ACROSS, TILE, WRITE, UNWRITTEN, BLOCK, CONSTANT, INPUTS, NEUTRAL, NEUTRAL_B, SHORT) \
    {NAME##_##TYPE, JOIN, FINISH, ACROSS, TILE, WRITE, UNWRITTEN, BLOCK, CONSTANT, INPUTS, NEUTRAL, NEUTRAL_B, SHORT}
#define WEIGHTS(NAME, FINISH, ACROSS, TILE, CONSTANT, INPUTS) \
    {ROW(NAME, f32, weights_join, FINISH, across_##ACROSS##_f32, TILE##_f32, NULL, 0.0, 8192, CONSTANT, INPUTS, 0.0, 0.0, \
         KLFAST_SHORT_DISTRIBUTION), \
     ROW(NAME, f64, weights_join, FINISH, across_##ACROSS##_f64, TILE##_f64, NULL, 0.0, 4096, CONSTANT, INPUTS, 0.0, 0.0, \
         KLFAST_SHORT_DISTRIBUTION)}
#define COMPARISON(NAME) WEIGHTS(NAME, NAME##_finish, none, tile_##NAME, EXACT_QUOTIENT, 2)
#define RAW_COMPARISON(NAME) WEIGHTS(raw_##NAME, raw_##NAME##_finish, none, tile_raw_##NAME, NO_CONSTANT, 2)
#define SCORES(NAME, JOIN, FINISH, TILE, WRITE, UNWRITTEN, INPUTS, BLOCK, NEUTRAL_B, SHORT) \
    {ROW(NAME, f32, JOIN, FINISH, NULL, TILE##_f32, WRITE##_f32, UNWRITTEN, BLOCK##_f32, NO_CONSTANT, INPUTS, -HUGE_VAL, \
         NEUTRAL_B, SHORT), \
     ROW(NAME, f64, JOIN, FINISH, NULL, TILE##_f64, WRITE##_f64, UNWRITTEN, BLOCK##_f64, NO_CONSTANT, INPUTS, -HUGE_VAL, \
         NEUTRAL_B, SHORT)}
#define SOFTMAX(NAME, JOIN, FINISH, TILE, WRITE, UNWRITTEN) \
    SCORES(NAME, JOIN, FINISH, TILE, WRITE, UNWRITTEN, 1, softmax_block, -HUGE_VAL, KLFAST_SHORT_DISTRIBUTION)
#define LOGITS(NAME, JOIN, FINISH, TILE, WRITE) \
    SCORES(NAME, JOIN, FINISH, TILE, WRITE, 0.0, 2, logits_block, -HUGE_VAL, KLFAST_SHORT_ROW)
/* What an operation has not got. */
#define none_f32 NULL
#define none_f64 NULL
#define across_none_f32 NULL
#define across_none_f64 NULL
#define TERMS(NAME, INPUTS, VALUES, SUMMED, LARGEST, IS_TOKENS, IS_SQUARE, WRITTEN) \
    {{terms_##NAME##_f32, terms_##NAME##_f64}, INPUTS, VALUES, SUMMED, LARGEST, IS_TOKENS, IS_SQUARE, WRITTEN, 0}
#define ELEMENTS_AS_TERMS(NAME, INPUTS) \
    {.compute = {terms_##NAME##_f32, terms_##NAME##_f64}, .inputs = INPUTS, .values = 1, .is_kept = 1}
/* In the order of the element types in kernels.h. */
#define READER(NAME, TYPE) read_##NAME##_##TYPE, read_##NAME##_swapped_##TYPE
#define STORER(NAME, TYPE) store_##NAME##_##TYPE, store_##NAME##_swapped_##TYPE
#define STORERS(TYPE) {STORER(half, TYPE), STORER(brain, TYPE), STORER(single, TYPE), STORER(double, TYPE)}
#define READERS(TYPE) \
    {READER(half, TYPE),  READER(brain, TYPE),  READER(single, TYPE), READER(double, TYPE), \
     READER(int8, TYPE),  READER(uint8, TYPE),  READER(int16, TYPE),  READER(uint16, TYPE), \
     READER(int32, TYPE), READER(uint32, TYPE), READER(int64, TYPE),  READER(uint64, TYPE)}

const klfast_level KLFAST_LEVEL = {
    .operation =
        {
            [KL_DIVERGENCE] =
                WEIGHTS(kl_divergence, divergence_finish, kl_divergence, tile_kl_divergence, QUOTIENT, 2),
            [CROSS_ENTROPY] =
                WEIGHTS(cross_entropy, cross_entropy_finish, cross_entropy, tile_cross_entropy, SUM_OF_Q, 2),
            [ENTROPY] = WEIGHTS(entropy, cross_entropy_finish, entropy, tile_cross_entropy, SUM_OF_Q, 1),
            [RAW_KL_DIVERGENCE] = WEIGHTS(raw_kl_divergence, raw_divergence_finish, raw_kl_divergence,
                                          tile_raw_kl_divergence, NO_CONSTANT, 2),
            [RAW_CROSS_ENTROPY] =
                WEIGHTS(cross_entropy, raw_finish, cross_entropy, tile_raw_cross_entropy, NO_CONSTANT, 2),
            [RAW_ENTROPY] = WEIGHTS(entropy, raw_finish, entropy, tile_raw_cross_entropy, NO_CONSTANT, 1),
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
            [RENYI_DIVERGENCE] = {[FLOAT64] = ROW(renyi_divergence, f64, renyi_join, renyi_finish, NULL,
                                                  tile_renyi_divergence_f64, NULL, 0.0, 4096, SUMMED_QUOTIENT, 2, 0.0, 0.0,
                                                  KLFAST_SHORT_DISTRIBUTION)},
            [LOGITS_KL_DIVERGENCE] = LOGITS(logits_kl, logits_pair_join, logits_kl_finish, tile_logits_kl, write_kl),
            [LOGITS_JS_DIVERGENCE] = LOGITS(logits_js, logits_pair_join, logits_js_finish, tile_js, write_js),
            [LOGITS_ENTROPY] = SOFTMAX(logits_entropy, softmax_join, logits_entropy_finish, tile_logits_entropy,
                                       write_entropy, 0.0),
            [LOGITS_LOGSUMEXP] = SOFTMAX(logsumexp, softmax_join, logsumexp_finish, tile_logsumexp, none, 0.0),
            [LOGITS_SOFTMAX] = SOFTMAX(logsumexp, softmax_join, logsumexp_finish, tile_softmax, write_softmax, 0.0),
            [LOGITS_LOG_SOFTMAX] =
                SOFTMAX(logsumexp, softmax_join, logsumexp_finish, tile_log_softmax, write_log_softmax, -HUGE_VAL),
            [LOGITS_CROSS_ENTROPY] = SOFTMAX(logsumexp, softmax_join, logits_cross_entropy_finish,
                                             tile_logits_cross_entropy, write_cross_entropy, 0.0),
            [LOGITS_SMOOTHED_CROSS_ENTROPY] =
                LOGITS(logits_cross, logits_cross_join, smoothed_cross_entropy_finish, tile_smoothed_cross_entropy,
                       write_cross_entropy),
            [LOGITS_SOFT_CROSS_ENTROPY] =
                SCORES(logits_cross, logits_cross_join, soft_cross_entropy_finish, tile_soft_cross_entropy,
                       write_cross_entropy, 0.0, 2, logits_block, 0.0 /* a mask leaves no weight in the target */,
                       KLFAST_SHORT_ROW),
            [LOGITS_TOKEN_LOGPROBS] =
                SOFTMAX(logsumexp, softmax_join, token_logprobs_finish, tile_token_logprobs, none, 0.0),
        },
    .elementwise = {[ENTR] = {entr_f32, entr_f64},
                    [REL_ENTR] = {rel_entr_f32, rel_entr_f64},
                    [KL_DIV] = {kl_div_f32, kl_div_f64}},
    .terms = {[TERMS_K1] = TERMS(k1, 2, 1, 1, 0, 1, 0, 0),
              [TERMS_K2] = TERMS(k2, 2, 1, 1, 0, 1, 1, 0),
              [TERMS_K3] = TERMS(k3, 2, 1, 1, 0, 1, 1, 0),
              [TERMS_ABS] = TERMS(abs, 2, 1, 1, 0, 1, 0, 0),
              [TERMS_K1_GRAD] = TERMS(k1_grad, 2, 1, 1, 0, 1, 0, 0),
              [TERMS_K2_GRAD] = TERMS(k2_grad, 2, 1, 1, 0, 1, 0, 0),
              [TERMS_K3_GRAD] = TERMS(k3_grad, 2, 1, 1, 0, 1, 0, 0),
              [TERMS_ABS_GRAD] = TERMS(abs_grad, 2, 1, 1, 0, 1, 0, 0),
              [TERMS_RATIO_STATS] = TERMS(ratio_stats, 2, 6, 5, 2, 1, 0, TERM_VALUES),
              [TERMS_GAUSSIAN] = TERMS(gaussian, 2, 1, 1, 0, 0, 0, TERM_VALUES),
              [TERMS_GAUSSIAN_GRAD] = TERMS(gaussian_grad, 2, 3, 1, 0, 0, 0, 1),
              [TERMS_GAUSSIAN_PAIR] = TERMS(gaussian_pair, 4, 1, 1, 0, 0, 0, TERM_VALUES),
              [TERMS_ENTR] = ELEMENTS_AS_TERMS(entr, 1),
              [TERMS_REL_ENTR] = ELEMENTS_AS_TERMS(rel_entr, 2),
              [TERMS_KL_DIV] = ELEMENTS_AS_TERMS(kl_div, 2)},
    .family = {[FAMILY_BERNOULLI] = family_bernoulli,
               [FAMILY_BERNOULLI_LOGITS] = family_bernoulli_logits,
               [FAMILY_POISSON] = family_poisson,
               [FAMILY_EXPONENTIAL] = family_exponential,
               [FAMILY_LAPLACE] = family_laplace,
               [FAMILY_GAMMA] = family_gamma,
               [FAMILY_BETA] = family_beta},
    .begin_dirichlet = begin_dirichlet,
    .add_components = add_components,
    .tell_dirichlet = tell_dirichlet,
    .add_dirichlet_terms = add_dirichlet_terms,
    .finish_dirichlets = finish_dirichlets,
    .may_be_covariance = may_be_covariance,
    .gaussian_full = gaussian_full,
    .multiple_lanes = {multiple_lanes_f32, multiple_lanes_f64},
    .sum_rows = {sum_rows_f32, sum_rows_f64},
    .scale_terms = {scale_terms_f32, scale_terms_f64},
    .scale_each = {scale_each_f32, scale_each_f64},
    .largest_term = {largest_term_f32, largest_term_f64},
    .group_maxima = {group_maxima_f32, group_maxima_f64},
    .find_candidates = {find_candidates_f32, find_candidates_f64},
    .count_reaching = count_reaching,
    .group_masses = {group_masses_f32, group_masses_f64},
    .mass_below = {mass_below_f32, mass_below_f64},
    .exp_limit = {exp_limit_f32, exp_limit_f64},
    .exp_over_difference = exp_over_difference,
    .log1p = log1p_any,
    .read = {READERS(f32), READERS(f64)},
    .store = {STORERS(f32), STORERS(f64)},
    .transpose = {transpose_f32, transpose_f64},
    .copy_lines = copy_lines,
    .exclude = {exclude_f32, exclude_f64},
    .cap = {cap_scores_f32, cap_scores_f64},
    .prepare_temperature = prepare_temperature,
    .read_sum = read_sum,
    .add_up = add_up,
};
