/* Closed forms of KL between distributions of one family: one number for each element, from the parameters of two
 * distributions; and of Dirichlet distributions, one number for each row. All in double. */
#ifndef KLFAST_FAMILIES_H
#define KLFAST_FAMILIES_H

#include "scalar.h"

enum {
    FAMILY_BERNOULLI,
    FAMILY_BERNOULLI_LOGITS,
    FAMILY_POISSON,
    FAMILY_EXPONENTIAL,
    FAMILY_LAPLACE,
    FAMILY_GAMMA,
    FAMILY_BETA,
    FAMILIES,
};

enum {
    FAMILY_PARAMETERS = 4, /* at most: those of the first distribution, then those of the second */
    FAMILY_BLOCK = 256,    /* so many numbers are computed together */
    DIRICHLETS = 32,       /* and so many Dirichlet distributions: what is known of them stays in the nearest cache */
};

/* One pair of Dirichlet distributions while its components are read, twice: a belongs to the first, b to the second. */
typedef struct {
    /* The sums of a, b and b - a of all components but the one of the largest a, and what it has of them. */
    wide_sum others_a, others_b, others_difference;
    double largest_a, largest_b;
    ptrdiff_t components, largest; /* how many there have been, and the number of the one of the largest a */
    int is_invalid, is_unusual;    /* a component is no positive finite number, or beyond what the vector loop takes */
    int is_different;              /* b is not a */
    /* Told from all of them. */
    int way; /* see dirichlet.inc.h */
    double sum_a, sum_b, sum_difference, c, c_low; /* c is sum_b/sum_a, in two parts */
    /* Of the second reading. */
    wide_sum terms;
} klfast_dirichlet;

#endif
