/* What the Cython module sees of the core: per CPU level one table of operations, and which levels this CPU can run.
 *
 * The core allocates nothing, raises nothing, and has no state but these constant tables. */
#ifndef KLFAST_KERNELS_H
#define KLFAST_KERNELS_H

#include "states.h"

enum {
    KL_DIVERGENCE,
    CROSS_ENTROPY,
    ENTROPY,
    RAW_KL_DIVERGENCE,
    RAW_CROSS_ENTROPY,
    RAW_ENTROPY,
    LOGITS_KL_DIVERGENCE,
    LOGITS_JS_DIVERGENCE,
    LOGITS_ENTROPY,
    LOGITS_LOGSUMEXP,
    LOGITS_CROSS_ENTROPY,
    OPERATIONS,
};
enum { FLOAT32, FLOAT64, TYPES };

/* No block is longer than this. */
#define KLFAST_LONGEST_BLOCK 8192

typedef struct {
    /* One block of a row -> its state (whatever it held before). `a` and `b` are contiguous, `length` <= block_length. */
    void (*block)(klfast_state *state, const void *a, const void *b, ptrdiff_t length, const klfast_row *row);
    /* Adds the piece that comes next. */
    void (*join)(klfast_state *into, const klfast_state *next);
    /* The whole row -> *result, and 0; or 1 if the row must be walked again with what `row` now says. */
    int (*finish)(const klfast_state *state, klfast_row *row, double *result);
    ptrdiff_t block_length;
    int needs_constant; /* whether the row is told one: see klfast_begin_row */
} klfast_operation;

typedef struct {
    klfast_operation operation[OPERATIONS][TYPES];
    /* The memory limit: adds up the same bytes and does nothing else. */
    double (*read_sum)(const double *array, ptrdiff_t length);
} klfast_level;

/* The tables, best last; NULL where this build or this CPU has not got the level. */
typedef struct {
    const char *name;
    const klfast_level *level;
} klfast_target;
enum { KLFAST_TARGETS = 3 };
void klfast_find_targets(klfast_target targets[KLFAST_TARGETS]);

/* Sets `row` up for the first walk. The arrays are given with the distance of their elements in bytes. */
void klfast_begin_row(klfast_row *row, const klfast_operation *operation, int operation_id, int type, const char *a,
                      ptrdiff_t stride_a, const char *b, ptrdiff_t stride_b, ptrdiff_t length);

/* Copies `length` elements of `size` bytes that lie `stride` bytes apart next to each other. */
void klfast_gather(char *target, const char *source, ptrdiff_t stride, ptrdiff_t size, ptrdiff_t length);

#endif
