/* Terms: one number (or several) for each element, added up along rows. Estimators of KL from log-probabilities of tokens,
 * and KL of Gaussians; and the functions of elements, of which nothing is added up. What one call is, and how the table of a
 * level names what computes it. */
#ifndef KLFAST_TERMS_H
#define KLFAST_TERMS_H

#include "states.h"

enum {
    TERMS_K1,
    TERMS_K2,
    TERMS_K3,
    TERMS_ABS,
    TERMS_K1_GRAD,
    TERMS_K2_GRAD,
    TERMS_K3_GRAD,
    TERMS_ABS_GRAD,
    TERMS_RATIO_STATS,
    TERMS_GAUSSIAN,
    TERMS_GAUSSIAN_GRAD,
    TERMS_GAUSSIAN_PAIR,
    TERMS_ENTR,
    TERMS_REL_ENTR,
    TERMS_KL_DIV,
    TERM_OPERATIONS,
};

enum {
    TERM_INPUTS = 4,
    TERM_OUTPUTS = 2,
    TERM_VALUES = 6,    /* arrays of terms, at most */
    TERM_LARGEST = 2,   /* of these, the largest terms of at most so many are wanted */
    TERM_BLOCK = 2048, /* so many terms of a row are added up before they join the sum of the row */
    TERM_PIECE = 65536, /* so many elements of a long row are the work of one thread at a time */
};

/* Some elements of the inputs, side by side -> their terms. `mask` is NULL where all count; else one byte for each. */
typedef struct {
    const void *input[TERM_INPUTS];
    const char *mask;
    void *value[TERM_VALUES];
    ptrdiff_t length;
    int is_output; /* at least one of the values is where the user wants it */
    const klfast_parameters *parameters;
} klfast_term_block;

typedef struct {
    /* For float and for double. If `sums` is not NULL, the block is a row, or part of one, and the sum of each value goes
     * there: they are added up while memory is waited for. */
    void (*compute[2])(const klfast_term_block *block, double *sums);
    int inputs, values;
    int summed;    /* so many values are added up, from the first on */
    int largest;   /* of so many values the largest is wanted, from the last on; it then comes behind the sums */
    int is_tokens; /* how many elements count, and which is the last of them, comes behind these */
    int is_square; /* the terms are of the size of r^2 where r = input 1 - input 0 is small, and may sink below the range */
    int written;   /* the outputs take the values from this one on */
    int is_kept;   /* where the mask is 0 outputs keep what they hold; else they are set to 0 there */
} klfast_term_operation;

#endif
