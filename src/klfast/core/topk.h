/* The k largest logits of every row, as log-probabilities, and the mass of all others. */
#ifndef KLFAST_TOPK_H
#define KLFAST_TOPK_H

#include "states.h"

enum {
    LONGEST_TOPK_GROUP = 256, /* so many elements have one maximum looked at first */
    SHORTEST_TOPK_GROUP = 16,
};

typedef struct {
    double value;
    ptrdiff_t id;
} klfast_candidate;

typedef struct {
    klfast_candidate *memory;
    ptrdiff_t count;
} klfast_candidates;

#endif
