/* Plain x86-64-v2, or whatever the compiler takes as its default elsewhere; aarch64 always has FMA. */
#define KLFAST_LEVEL klfast_baseline
#if defined(__aarch64__)
#define KLFAST_FMA 1
#else
#define KLFAST_FMA 0
#endif
#include "level.inc.h"
