/* The names that the .inc.h files use, for double. */
#define REAL double
#define INTEGER int64_t
#define UNSIGNED uint64_t
#define F(name) name##_f64
/* A step of 32 doubles is folded, four to one, onto 8 lanes; after four steps they are added to sums that carry their rounding
 * errors along. */
#define LANES 8
#define STEP 32
#define RUN_LENGTH (4 * STEP)
#define CLOSE_RUN RUN_LENGTH
#define CARRY 1
#define SHORTENED odd_float
/* the signs in 64 bits of numbers */
#define SIGN_BITS 0x8000000000000000ULL
#define MANTISSA_BITS 52
#define ONE_EXPONENT 0x0010000000000000LL
#define HALF_EXPONENT 0x0008000000000000LL
#define EXPONENT_MASK ((int64_t)0xfff0000000000000ULL)
#define LN2 0x1.62e42fefa39efp-1
#define LN2_PER_FIELD (LN2 * FIELD_UNIT_f64)
/* ln 2 in two parts; the first has few bits, so that its product with any k in use is exact also without FMA. */
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define LOG2_E 0x1.71547652b82fep0
/* ln 2 in two parts again, see prepare_exp: leaves all bits, or 32 where products round. */
#define SPLITTER (KLFAST_FMA ? 2.0 : 0x1p21 + 1.0)
#define ROUNDING_SHIFT 0x1.8p52
#define LOWEST_EXPONENT (-1023.0)
#define LOWEST_EXPONENT_LEFT 63.0
#define SMALLEST_NORMAL 0x1p-1022
/* |x| up to here goes through exp as it is. */
#define EXP_LIMIT 524288.0
/* exp(-x) and less is nothing beside x - 1. */
#define EXP_NEGLIGIBLE 700
/* Logits: a block with its exponentials stays in the nearest cache. Beyond these a block is computed again in double. */
#define LOGITS_BLOCK 1024
#define SOFTMAX_BLOCK 2048
#define SMALLEST_LOGITS_GAP 0x1p-900
#define LARGEST_LOGITS_GAP 0x1p900
#define SMALLEST_REST 0x1p-900
/* Probabilities: what the vector kernels take. Below SAFE a term may sink under the normal numbers. */
#define LOWEST_WEIGHT 0x1p-900
#define HIGHEST_SUM 0x1p900
#define SAFE_WEIGHT 0x1p-900
#define SAFE_SUM 0x1p-800
/* Transposing: the halves of piece k of two vectors, laid alternately. */
#define INTERLEAVE_LOW(k) 2 * (k), 2 * (PIECES + (k))
#define INTERLEAVE_HIGH(k) 2 * (k) + 1, 2 * (PIECES + (k)) + 1
/* e^d: below the one and from the other on, element by element; from there on, exp multiplies too much of what the difference d
 * lost in rounding. */
#define EXP_TERMS_NEAR (REAL)0.52
#define EXP_TERMS_LOWEST (-700.0)
#define EXP_TERMS_HIGHEST 8.0
#define LARGEST_MEAN 0x1p500
/* |log(p/q)| up to here: Jensen-Shannon as a series in it. */
#define JS_NEAR 1.5
