/* What reading, walking and writing rows share. Only for walk.c, tiles.c, tell.c, read.c and write.c. */
#ifndef KLFAST_ROWS_H
#define KLFAST_ROWS_H

#include "kernels.h"

enum {
    TILE_DOUBLES = 8 * KLFAST_SHORT_ROW, /* 8 lanes of double, or 16 of float */
    LONG_TILE_DOUBLES = 8 * KLFAST_SHORT_DISTRIBUTION, /* twice as many: see tile_memory */
    LONGEST_LINE = 64,                   /* elements that a group reads or stores at a time */
    AREAS = 5,                           /* scratch memory: a, b, mask, two outputs */
};

static inline ptrdiff_t type_size(int type) {
    return type == FLOAT32 ? (ptrdiff_t)sizeof(float) : (ptrdiff_t)sizeof(double);
}

/* The same the other way round; no division by a number that the compiler does not know, which takes long. */
static inline ptrdiff_t in_elements(int type, ptrdiff_t bytes) {
    return type == FLOAT32 ? bytes / (ptrdiff_t)sizeof(float) : bytes / (ptrdiff_t)sizeof(double);
}

/* Whether neighbouring rows share the lines of memory that a row's elements are spread over. */
static inline int is_across(const klfast_array *array) {
    ptrdiff_t row = array->row_stride < 0 ? -array->row_stride : array->row_stride;
    return row != 0 && row < (array->stride < 0 ? -array->stride : array->stride);
}

/* Whether the kernels can take the array's elements as they are, were they only side by side. */
static inline int is_native(const klfast_rows *rows, const klfast_array *array) {
    uintptr_t places = (uintptr_t)array->data | (uintptr_t)array->row_stride | (uintptr_t)array->stride;
    uintptr_t below = (uintptr_t)type_size(rows->type) - 1; /* a power of two: no division, this is asked for every row */
    return array->element == 2 * (rows->type == FLOAT32 ? SINGLE : DOUBLE) && (places & below) == 0;
}

/* Whether the kernels can read the rows of an array where they lie. */
static inline int is_in_place(const klfast_rows *rows, const klfast_array *array) {
    int is_changed = rows->mask.data || rows->excluded || (rows->parameters.softcap > 0 && !rows->is_capped);
    return !is_changed && array->stride == type_size(rows->type) && is_native(rows, array);
}

static inline int is_written_in_place(const klfast_rows *rows, const klfast_array *out) {
    return out->data && out->stride == type_size(rows->type) && is_native(rows, out);
}

static inline int has_two_of(const klfast_operation *operation) { return operation->inputs == 2; }

static inline int has_two(const klfast_rows *rows) { return has_two_of(rows->operation); }

/* The array of one unit: `data` is where its first row begins. */
static inline klfast_array part_of(const klfast_array *array, ptrdiff_t outer, ptrdiff_t first) {
    klfast_array part = *array;
    part.data += outer * array->outer_stride + first * array->row_stride;
    return part;
}

/* The number of a group's first row among all. */
static inline ptrdiff_t first_row(const klfast_rows *rows, const klfast_group *group) {
    return group->outer * rows->row_count + group->first;
}

/* walk.c */
/* The rows of a part of a unit. */
void klfast_place_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part);
/* Which lines to ask for while a group is computed. `steps` have been taken in this part. */
klfast_ahead klfast_foresee(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, ptrdiff_t steps);
double *klfast_results_of(const klfast_group *group, const klfast_rows *rows, double *results);
void klfast_walk_group(const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part, double *results, char *scratch);

/* tiles.c */
void klfast_walk_tiles(const klfast_rows *rows, ptrdiff_t unit, double *results);

/* tell.c */
void klfast_tell_rows(klfast_row *told, const klfast_rows *rows, ptrdiff_t outer, ptrdiff_t first, ptrdiff_t count);
/* In KLFAST_SAMPLES places, `gap` elements apart, so many elements of a row tell what it is likely to sum to; 0 for a row that
 * is not sampled. */
ptrdiff_t klfast_sample(const klfast_rows *rows, ptrdiff_t *gap);
/* Label number `which` of a row: what it counts, and its logit, -inf where a mask excludes it. `a` and `mask` begin at the
 * row. */
void klfast_tell_label(klfast_row *told, const klfast_rows *rows, const klfast_array *a, const klfast_array *mask,
                       ptrdiff_t row, ptrdiff_t which);

/* read.c */
void klfast_read_row(const klfast_rows *rows, const klfast_array *array, ptrdiff_t row, ptrdiff_t start, ptrdiff_t length,
                     void *target);
void klfast_read_rows(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, ptrdiff_t start,
                      ptrdiff_t length, char *target, ptrdiff_t target_stride);
/* Sets the excluded places among elements start, start + 1, ... of a row (`row` is its number among all) to what a mask would:
 * `values` holds them `step` elements apart. What stood there goes to `left_out`. */
void klfast_leave_out(const klfast_rows *rows, ptrdiff_t row, ptrdiff_t start, ptrdiff_t length, void *values, ptrdiff_t step);
/* The call itself or, where it is easily seen that the mask excludes no entry of a group's rows, a copy without a mask. */
const klfast_rows *klfast_unmasked(const klfast_rows *rows, const klfast_group *group, klfast_rows *unmasked);
void klfast_read_tile(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, double *target);

/* A block of the rows of a group, as the kernels read it. */
typedef struct {
    const char *data;
    ptrdiff_t row_stride; /* in bytes */
} klfast_piece;

/* a and b of a block, in place or in scratch memory; `is_read` says that they are there already. */
void klfast_take_block(const klfast_rows *rows, const klfast_group *group, ptrdiff_t start, ptrdiff_t length,
                       char *scratch, int is_read, klfast_piece *a, klfast_piece *b);

#endif
