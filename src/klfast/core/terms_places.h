/* Where the elements of rows of terms are read and written. Only for terms.c. */
#ifndef KLFAST_TERMS_PLACES_H
#define KLFAST_TERMS_PLACES_H

#include "rows.h"

/* Some rows, and the part of them that is looked at. */
typedef struct {
    ptrdiff_t outer, first, count; /* rows first, first + 1, ... */
    ptrdiff_t start, length;       /* elements start, start + 1, ... of each; ragged: of the first row, and of all together */
} slice;

static ptrdiff_t row_begin(const klfast_term_call *call, ptrdiff_t row) { return call->offsets ? call->offsets[row] : 0; }

static ptrdiff_t row_length(const klfast_term_call *call, ptrdiff_t row) {
    return call->offsets ? call->offsets[row + 1] - call->offsets[row] : call->rows.length;
}

static const char *begin_of(const klfast_array *array, const klfast_term_call *call, const slice *part) {
    ptrdiff_t element = row_begin(call, part->first) + part->start;
    ptrdiff_t row = call->offsets ? 0 : part->first;
    return array->data + part->outer * array->outer_stride + row * array->row_stride + element * array->stride;
}

/* Whether the slice lies in the array as the kernels take it: all elements side by side. */
static int is_side_by_side(const klfast_array *array, const klfast_term_call *call, const slice *part, ptrdiff_t size) {
    return array->stride == size && (part->count == 1 || call->offsets || array->row_stride == part->length * size);
}

static klfast_array at_slice(const klfast_array *array, const klfast_term_call *call, const slice *part) {
    klfast_array here = *array;
    here.data = begin_of(array, call, part);
    return here;
}

static ptrdiff_t elements_of(const klfast_term_call *call, const slice *part) {
    return call->offsets ? part->length : part->count * part->length;
}

static const void *take_input(const klfast_term_call *call, const slice *part, const klfast_array *array, char *scratch) {
    const klfast_rows *rows = &call->rows;
    klfast_array here = at_slice(array, call, part);
    if (is_native(rows, array) && is_side_by_side(array, call, part, type_size(rows->type))) return here.data;
    ptrdiff_t count = call->offsets ? 1 : part->count, row = part->length * type_size(rows->type);
    for (ptrdiff_t k = 0; k < count; k += KLFAST_GROUP, here.data += KLFAST_GROUP * here.row_stride)
        klfast_read_rows(rows, &here, smaller(KLFAST_GROUP, count - k), 0, part->length, scratch + k * row, part->length);
    return scratch;
}

static const char *take_mask(const klfast_term_call *call, const slice *part, char *scratch) {
    const klfast_array *mask = &call->rows.mask;
    if (!mask->data) return NULL;
    const char *begin = begin_of(mask, call, part);
    if (is_side_by_side(mask, call, part, 1)) return begin;
    ptrdiff_t count = call->offsets ? 1 : part->count;
    for (ptrdiff_t k = 0; k < count; k++)
        for (ptrdiff_t i = 0; i < part->length; i++)
            scratch[k * part->length + i] = begin[k * mask->row_stride + i * mask->stride];
    return scratch;
}

static int is_scaled(const klfast_term_call *call) { return call->rows.gradients || call->factor.data; }

/* Where the values for an output are computed: in place if nothing is to be done to them afterwards, and if they are not to
 * overwrite an input, which may have to be looked at again. */
static void *place_output(const klfast_term_call *call, const slice *part, const klfast_array *array, char *scratch) {
    int is_direct = array->data && !is_scaled(call) && is_native(&call->rows, array) &&
                    is_side_by_side(array, call, part, type_size(call->rows.type));
    for (int k = 0; k < call->operation->inputs; k++) is_direct &= array->data != call->input[k].data;
    return is_direct ? (char *)begin_of(array, call, part) : scratch;
}

/* Values -> their places in an output; those only where `chosen`, unless it is NULL, is not 0. */
static void store_chosen(const klfast_rows *rows, const klfast_array *array, char *target, const char *chosen,
                         const char *values, ptrdiff_t length) {
    void (*store)(char *, ptrdiff_t, const void *, ptrdiff_t) = rows->level->store[rows->type][array->element];
    for (ptrdiff_t begin = 0, end; begin < length; begin = end + 1) {
        end = chosen ? begin : length;
        while (end < length && chosen[end]) end++;
        if (end > begin)
            store(target + begin * array->stride, array->stride, values + begin * type_size(rows->type), end - begin);
    }
}

#endif
