/* Which levels this CPU can run (asked of the CPU and the operating system), and what does not depend on the level. */
#include "kernels.h"

extern const klfast_level klfast_baseline;
#if KLFAST_X86_LEVELS
extern const klfast_level klfast_x86_64_v3, klfast_x86_64_v4;

#include <cpuid.h>

/* The register sets that the operating system saves (XCR0). */
static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_bits(unsigned value, unsigned bits) { return (value & bits) == bits; }

/* 2, 3 or 4: the highest x86-64 level whose features are all there. */
static int x86_level(void) {
    unsigned a, b, c, d, b7, c7, d7, extended_c;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_bits(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C | bit_MOVBE))
        return 2;
    if (!has_bits(saved_registers(), 0x06)) return 2;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !has_bits(b7, bit_AVX2 | bit_BMI | bit_BMI2)) return 2;
    if (!__get_cpuid(0x80000001, &a, &b, &extended_c, &d) || !has_bits(extended_c, bit_LZCNT)) return 2;
    if (!has_bits(saved_registers(), 0xe6)) return 3;
    return has_bits(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL) ? 4 : 3;
}
#endif

void klfast_find_targets(klfast_target targets[KLFAST_TARGETS]) {
    const char *names[KLFAST_TARGETS] = {"baseline", "x86-64-v3", "x86-64-v4"};
    const klfast_level *levels[KLFAST_TARGETS] = {&klfast_baseline, NULL, NULL};
#if KLFAST_X86_LEVELS
    int level = x86_level();
    if (level >= 3) levels[1] = &klfast_x86_64_v3;
    if (level >= 4) levels[2] = &klfast_x86_64_v4;
#endif
    for (int i = 0; i < KLFAST_TARGETS; i++) targets[i] = (klfast_target){names[i], levels[i]};
}

/* The constant of the first walk. A row that looks normalised is taken for it. Others are summed first if they fit into
 * one block; longer ones get what a sample lets expect. A guess that proves too poor costs a second walk, never an
 * error. */
enum { SAMPLES = 8, SHORT_ROW = 64 };

static double element(const char *address, int type) {
    float narrow;
    double wide;
    if (type == FLOAT64) {
        memcpy(&wide, address, sizeof wide);
        return wide;
    }
    memcpy(&narrow, address, sizeof narrow);
    return narrow;
}

/* The sum that a sample lets expect for the whole row; 0 if it makes no sense. */
static double expected_sum(const char *array, ptrdiff_t stride, ptrdiff_t length, ptrdiff_t sample_length, int type) {
    double sum[4] = {0};
    for (ptrdiff_t sample = 0; sample < SAMPLES; sample++) {
        const char *start = array + (length - sample_length) / (SAMPLES - 1) * sample * stride;
        for (ptrdiff_t i = 0; i < sample_length; i++) sum[i % 4] += element(start + i * stride, type);
    }
    double total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * ((double)length / (double)(SAMPLES * sample_length));
    return total >= 0x1p-900 && total <= 0x1p900 ? total : 0.0;
}

static int looks_normalised(double sum) { return sum > 0.125 && sum < 8.0; }

void klfast_begin_row(klfast_row *row, const klfast_operation *operation, int operation_id, int type, const char *a,
                      ptrdiff_t stride_a, const char *b, ptrdiff_t stride_b, ptrdiff_t length) {
    memset(row, 0, sizeof *row);
    row->is_float = type == FLOAT32;
    row->scale_p = row->scale_q = row->constant = 1.0;
    row->walk = WALK_FAST;
    if (!operation->needs_constant) return;
    int is_long = length > operation->block_length;
    if (length < SHORT_ROW) {
        row->walk = WALK_SUMS;
        return;
    }
    ptrdiff_t sample_length = is_long ? 128 : 4;
    double q = expected_sum(b, stride_b, length, sample_length, type);
    double p = operation_id == ENTROPY ? q : expected_sum(a, stride_a, length, sample_length, type);
    if (looks_normalised(p) && looks_normalised(q)) return;
    if (!is_long) {
        row->walk = WALK_SUMS;
        return;
    }
    double guess = operation_id != KL_DIVERGENCE ? q : p > 0 ? p / q : 0.0;
    if (guess > 0x1p-100 && guess < 0x1p100) row->constant = row->is_float ? (double)(float)guess : guess;
}

void klfast_gather(char *target, const char *source, ptrdiff_t stride, ptrdiff_t size, ptrdiff_t length) {
    if (size == 8)
        for (ptrdiff_t i = 0; i < length; i++) memcpy(target + 8 * i, source + i * stride, 8);
    else
        for (ptrdiff_t i = 0; i < length; i++) memcpy(target + 4 * i, source + i * stride, 4);
}
