/* The names that the .inc.h files use, for float. */
#define REAL float
#define INTEGER int32_t
#define UNSIGNED uint32_t
#define F(name) name##_f32
/* A step of 64 floats is folded, four to one, onto 16 lanes; after two steps they are added to doubles. */
#define LANES 16
#define STEP 64
#define RUN_LENGTH (2 * STEP)
/* The same for entropy and cross-entropy, of which four units are promised. */
#define CLOSE_RUN STEP
#define CARRY 0
#define SHORTENED same_float
/* the signs in 64 bits of numbers */
#define SIGN_BITS 0x8000000080000000ULL
#define MANTISSA_BITS 23
#define ONE_EXPONENT 0x00800000
#define HALF_EXPONENT 0x00400000
#define TWO_THIRDS_BITS 0x3f2aaaab
#define EXPONENT_MASK ((int32_t)0xff800000)
#define LN2 0x1.62e43p-1f
#define LN2_PER_FIELD (LN2 * FIELD_UNIT_f32)
/* ln 2 in two parts; the first has few bits, so that its product with any k in use is exact also without FMA. */
#define LN2_HIGH 0x1.63p-1f
#define LN2_LOW (-0x1.bd0106p-13f)
#define LOG2_E 0x1.715476p0f
/* ln 2 in two parts again, see prepare_exp: leaves the upper 24 bits of a double, or 10 where products round. */
#define SPLITTER (KLFAST_FMA ? 0x1p29 + 1.0 : 0x1p43 + 1.0)
#define ROUNDING_SHIFT 0x1.8p23f
#define LOWEST_EXPONENT (-127.0f)
#define LOWEST_EXPONENT_LEFT 27.0f
#define SMALLEST_NORMAL 0x1p-126f
/* |x| up to here goes through exp as it is. */
#define EXP_LIMIT 8192.0f
/* exp(-x) and less is nothing beside x - 1. */
#define EXP_NEGLIGIBLE 87
/* Logits: a block with its exponentials stays in the nearest cache. Beyond these a block is computed again in double. */
#define LOGITS_BLOCK 2048
#define SOFTMAX_BLOCK 4096
#define SMALLEST_LOGITS_GAP 0x1p-80
#define LARGEST_LOGITS_GAP 0x1p60
#define SMALLEST_REST 0x1p-80
/* Probabilities: what the vector kernels take. Below SAFE a term may sink under the normal numbers. */
#define LOWEST_WEIGHT 0x1p-96f
#define HIGHEST_SUM 0x1p100
#define SAFE_WEIGHT 0x1p-76f
#define SAFE_SUM 0x1p-90
/* Transposing: the halves of piece k of two vectors, laid alternately. */
#define INTERLEAVE_LOW(k) 4 * (k), 4 * (PIECES + (k)), 4 * (k) + 1, 4 * (PIECES + (k)) + 1
#define INTERLEAVE_HIGH(k) 4 * (k) + 2, 4 * (PIECES + (k)) + 2, 4 * (k) + 3, 4 * (PIECES + (k)) + 3
/* e^d: below the one and from the other on, element by element; from there on, exp multiplies too much of what the difference d
 * lost in rounding. */
#define EXP_TERMS_NEAR (REAL)0.52
#define EXP_TERMS_LOWEST (-64.0f)
#define EXP_TERMS_HIGHEST 8.0f
#define LARGEST_MEAN 0x1p30f
/* |log(p/q)| up to here: Jensen-Shannon as a series in it. */
#define JS_NEAR 2.0f
