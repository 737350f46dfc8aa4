/* Which levels this CPU can run: asked of the CPU and the operating system. */
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
