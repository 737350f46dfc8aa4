/* What a block of a row comes down to, and what all blocks of a row are told.
 *
 * Blocks of a row are added up in order (`join`); then the row is finished, or walked once more (`finish`). A state of
 * zeros is the empty piece. All of it is scalar double arithmetic, shared by every type. */
#ifndef KLFAST_STATES_H
#define KLFAST_STATES_H

#include "scalar.h"

/* Flags of a piece. */
enum {
    HAS_NAN = 1,     /* NaN, a negative probability, +inf: the row has no answer */
    IS_INFINITE = 2, /* p > 0 where q = 0 */
    OUT_OF_SCALE =
        4,     /* numbers so large or small that sums or products leave the normal ones: bring the row into range */
    HAS_Y = 8, /* at least one y above -inf */
};

/* Probabilities. All blocks of a row use the same constant c (see klfast_row), so their sums simply add:
 *   divergence:     first = sum p*log(p/(c*q)) - p + c*q >= 0, second = sum p - c*q
 *   cross-entropy:  first = sum p*log(c/q), second = sum q of all but the one entry above c/2, if there is one */
typedef struct {
    wide_sum mass, first, second; /* mass = sum p */
    double largest, largest_p, largest_q, q_beside_largest_p;
    int flags;
} weights_state;

/* Softmax of one row of logits, in units of exp(largest): total = count + rest; value = sum e*(largest - x). */
typedef struct {
    wide_sum rest, value;
    double largest, count;
    int flags;
} softmax_state;

/* KL of two rows of logits. total = sum exp(x - largest_x); gap = total * KL inside the piece; ratio: the log of
 * (sum exp x)/(sum exp y), in two parts, so that differences between pieces keep all digits. y where the whole piece
 * has x = -inf is counted apart. */
typedef struct {
    wide_sum total, gap, ratio;
    double largest_x;
    softmax_state lonely_y;
    int flags;
} logits_kl_state;

/* Jensen-Shannon of two rows of logits: first both softmaxes and the KL, then, with their totals known, the sum; and
 * half the sum of p - q, which is 0 if the totals were right. */
typedef struct {
    softmax_state x, y;
    logits_kl_state kl;
    wide_sum value, excess;
} logits_js_state;

/* Renyi: as for the other divergences of probabilities, or, in a second walk, the sums of exponentials of logarithms. */
typedef struct {
    weights_state weights;
    softmax_state log_p, log_q, product;
    double largest_ratio;
} renyi_state;

/* Large enough for any of them. */
typedef union {
    weights_state weights;
    softmax_state softmax;
    logits_kl_state logits_kl;
    logits_js_state logits_js;
    renyi_state renyi;
} klfast_state;

/* Which walk over a row this is. */
enum {
    WALK_SUMS,      /* probabilities: only add up p and q, to know c */
    WALK_WIDE_SUMS, /* the same, scaled and one element at a time: for rows whose sums leave the range */
    WALK_FAST,      /* with a c that may be a guess or rounded */
    WALK_CAREFUL,   /* with the c that the sums of an earlier walk gave, to the last bit */
    WALK_ANCHORED, /* with c = p/q of the largest p, which then adds nothing at all, not even a rounding error */
    WALK_ONE_BY_ONE, /* comparisons: in double, scaled so that both sums are near 1 */
    WALK_TERMS,     /* logits, Jensen-Shannon: the totals are known */
};

/* What memory to ask for while a block is computed: with every step of the kernel, of 256 bytes, four lines of 64 bytes.
 * Where it is not set, that is what comes a little later in the same array. */
typedef struct {
    const char *start;
    ptrdiff_t step, line; /* distances in bytes */
} klfast_ahead;

typedef struct {
    klfast_ahead ahead_a, ahead_b;
    int walk, repeats, was_summed, is_float, expects_zeros;
    double scale_p, scale_q; /* powers of two that bring extreme rows into range; 1 for all others */
    double constant,
        constant_low;          /* c of the probability kernels: close to sum p / sum q, or to sum q (cross-entropy) */
    double anchor_p, anchor_q; /* for WALK_ANCHORED, scaled */
    double label_logit;        /* cross-entropy of logits: the logit of the label */
    double parameter;          /* of the operation, where it has one */
    double largest_x, largest_y, total_x, total_y, offset, offset_low; /* Jensen-Shannon, second walk */
} klfast_row;

#endif
