/* What a block of a row comes down to, and what all blocks of a row are told.
 *
 * Blocks of a row are added up in order (`join`); then the row is finished, or walked once more (`finish`). A state of
 * zeros is the empty piece. All of it is scalar double arithmetic, shared by every type. */
#ifndef KLFAST_STATES_H
#define KLFAST_STATES_H

#include "scalar.h"

enum { EXP_TERMS_f32 = 6, EXP_TERMS_f64 = 12 };

/* exp(x/T) = 2^k * (1 + r*(c0 + c1*r + ...)) with r = x - k*T*ln 2. T, the temperature, is in the constants, so that it costs
 * nothing and no digit of x is lost to a division; coefficients come highest first. */
typedef struct {
    float per_ln2, ln2, ln2_high, ln2_low, inverse, inverse_low, coefficient[EXP_TERMS_f32], limit, negligible;
} klfast_exponential_f32;
typedef struct {
    double per_ln2, ln2, ln2_high, ln2_low, inverse, inverse_low, coefficient[EXP_TERMS_f64], limit, negligible;
} klfast_exponential_f64;

typedef struct {
    double value, inverse;
    klfast_exponential_f32 of_f32;
    klfast_exponential_f64 of_f64;
} klfast_temperature;

/* What an operation is told besides its arrays; each looks at what it knows of. */
typedef struct {
    double order;       /* of the Renyi divergence */
    double temperature; /* logits are divided by it */
    double beta;        /* Jensen-Shannon: the share of x in the mixture */
    double smoothing, z_loss, softcap; /* cross-entropy; 0 for none */
    double ignored;                    /* the class id of rows that do not count; NaN for none */
    double clip, shift;                /* of log-ratios: the largest size, inf for none; what is taken off them */
    double free_bits;                  /* what a dimension of a Gaussian counts at least */
    int smooths_finite, is_raw;        /* smooth over classes above -inf alone; take targets as they are */
} klfast_parameters;

/* Flags of a piece. */
enum {
    HAS_NAN = 1,     /* NaN, a negative probability, +inf: the row has no answer */
    IS_INFINITE = 2, /* p > 0 where q = 0 */
    OUT_OF_SCALE =
        4,     /* numbers so large or small that sums, products or differences leave the normal ones: bring them into range */
    HAS_Y = 8, /* at least one y above -inf */
    HAS_LOW = 16, /* comparisons: a term may have sunk below the normal numbers */
    NO_MULTIPLE = 32, /* q is not p times a number, or that cannot be told */
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
 * (sum exp x)/(sum exp y), in two parts, so that differences between pieces keep all digits, and without `inside`: log(p/q) =
 * x - y - ratio + inside. The ratio may so be x - y of the likeliest class to all its digits, and `inside` as small as log(p/q)
 * of that class is. y where the whole piece has x = -inf is counted apart. */
typedef struct {
    wide_sum total, gap, ratio, inside;
    double largest_x;
    softmax_state lonely_y;
    int flags;
} logits_kl_state;

/* Two rows of logits: the KL alone, where that tells the totals of both, or else both softmaxes; then, with the totals known,
 * Jensen-Shannon, KL(p || m) and KL(q || m) if they are needed, and the sum of p - q, which is 0 if the totals were right. */
typedef struct {
    logits_kl_state kl;
    softmax_state x, y;
    wide_sum value, of_x, of_y, excess;
} logits_pair_state;

/* Renyi: as for the other divergences of probabilities, or, in a second walk, the sums of exponentials of logarithms. */
typedef struct {
    weights_state weights;
    softmax_state log_p, log_q, product;
    double largest_ratio;
} renyi_state;

/* Softmax of one row beside another of weights b: the sums of b and of b*(largest - x), the same where every b is 1, and the
 * number of entries that count. */
typedef struct {
    softmax_state softmax;
    wide_sum mass, cross;
    double count;
} logits_cross_state;

/* What a block of a gradient leaves for the end of its row: the sum of its entries; but that of the class that has most of p
 * is apart, if it is here. */
typedef struct {
    wide_sum others;
    double entry;
    ptrdiff_t likeliest; /* its place, or -1 */
} klfast_remainder;

/* Large enough for any of them. */
typedef union {
    weights_state weights;
    softmax_state softmax;
    logits_pair_state pair;
    logits_cross_state cross;
    renyi_state renyi;
    klfast_remainder remainder[2]; /* while results are written, one for each output */
} klfast_state;

/* Which walk over a row this is. */
enum {
    WALK_SUMS,      /* probabilities: only add up p and q, to know c */
    WALK_WIDE_SUMS, /* the same, scaled and one element at a time: for rows whose sums leave the range */
    WALK_FAST,      /* with a c that may be a guess or rounded */
    WALK_CAREFUL,   /* with the c that the sums of an earlier walk gave, to the last bit */
    WALK_ANCHORED, /* with c = p/q of the largest p, of which no digit is lost, and perhaps a little more */
    WALK_MULTIPLES, /* only to see whether q is p times a number: then no divergence is anything but 0 */
    WALK_ONE_BY_ONE, /* comparisons: in double, scaled so that both sums are near `aim`; Renyi's: near 1 */
    WALK_TERMS,      /* logits, Jensen-Shannon: the totals are known */
    WALK_WIDE_TERMS, /* the same, in double */
};

/* What memory to ask for while a block is computed: with every step of the kernel, of 256 bytes, four lines of 64 bytes.
 * Where it is not set, that is what comes a little later in the same array. */
typedef struct {
    const char *start;
    ptrdiff_t step, line; /* distances in bytes */
} klfast_ahead;

/* What rows that lie side by side are told: their labels, if they have any, and what their gradients are multiplied by. */
typedef struct {
    double logit[16], weight[16], gradient[16];
    ptrdiff_t place[16];
    int is_ignored[16];
} klfast_labels;

typedef struct {
    klfast_ahead ahead_a, ahead_b;
    klfast_ahead output; /* where the row's results of its size will be written, if that is to be asked for */
    const klfast_parameters *parameters;
    const klfast_temperature *temperature;
    const klfast_labels *labels; /* tiles */
    ptrdiff_t alone; /* tiles: the length of the only row, see tile_sums.inc.h; 0 where every lane is a row */
    int walk, repeats, was_summed, looked_for_multiples, walk_after, is_float, expects_zeros;
    /* Powers of two that bring extreme rows into range; 1 for all others. Scores have the first, and so has their KL's gap. */
    double scale_p, scale_q;
    double aim; /* comparisons: what WALK_ONE_BY_ONE brings both sums to, another power of two */
    double constant,
        constant_low;          /* c of the probability kernels: close to sum p / sum q, or to sum q (cross-entropy) */
    /* WALK_ANCHORED: c = anchor_unit*(anchor_p + anchor_rest)/anchor_q, where anchor_unit is a power of two and anchor_p and
     * anchor_q are from 1/2 to 1. */
    double anchor_p, anchor_q, anchor_unit;
    wide_sum anchor_rest;
    /* Cross-entropy of logits: the logit of the label, what the row counts, and what its gradient is multiplied by. */
    double label_logit, label_weight, gradient;
    /* What a gradient is written from; that of Jensen-Shannon is summed with it, too. exp(x/T) of the row adds up to
     * total_x*exp(largest_x/T); log(p/q) is (x - y - offset)/T + inside. */
    double largest_x, largest_y, total_x, total_y, log_total, offset, offset_low, inside, value, value_y;
    double kl; /* Jensen-Shannon: what the first walk found */
    /* Cross-entropy: the gradient is scale_of_p*p + scale_of_b*b, and at the label this; 1 - p of the largest. */
    double scale_of_p, scale_of_b, at_label, others;
    ptrdiff_t label; /* -1 where there is none */
    int is_undefined, is_ignored, is_skipped, is_written;
} klfast_row;

#endif
