#define KLFAST_LEVEL klfast_x86_64_v4
#define KLFAST_FMA 1
#include "level.inc.h"
