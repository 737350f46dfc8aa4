/* Arrays -> what the kernels read: in place where they can, else through scratch memory that the caller lends, one block
 * (or one tile) at a time. */
#include "rows.h"

void klfast_read_row(const klfast_rows *rows, const klfast_array *array, ptrdiff_t row, ptrdiff_t start,
                     ptrdiff_t length, void *target) {
    const char *source = array->data + row * array->row_stride + start * array->stride;
    rows->level->read[rows->type][array->element](target, source, array->stride, length);
}

/* `count` rows, one behind the other, `target_stride` elements apart. */
void klfast_read_rows(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, ptrdiff_t start,
                      ptrdiff_t length, char *target, ptrdiff_t target_stride) {
    ptrdiff_t size = type_size(rows->type);
    double lines[LONGEST_LINE * KLFAST_GROUP];
    if (count == 1 || !is_across(array)) {
        for (ptrdiff_t row = 0; row < count; row++)
            klfast_read_row(rows, array, row, start, length, target + row * target_stride * size);
        return;
    }
    int in_place = is_native(rows, array) && array->row_stride == size;
    for (ptrdiff_t i = 0; i < length; i += LONGEST_LINE) {
        const char *source = array->data + (start + i) * array->stride;
        ptrdiff_t here = smaller(LONGEST_LINE, length - i), line_stride = array->stride / size;
        if (!in_place) {
            for (ptrdiff_t k = 0; k < here; k++)
                rows->level->read[rows->type][array->element]((char *)lines + k * KLFAST_GROUP * size,
                                                              source + k * array->stride, array->row_stride, count);
            source = (const char *)lines;
            line_stride = KLFAST_GROUP;
        }
        rows->level->transpose[rows->type](target + i * size, target_stride, source, line_stride, here, count);
    }
}

/* Short rows side by side: element i of all of them begins at i * KLFAST_LINE_BYTES. */
void klfast_read_tile(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, double *target) {
    ptrdiff_t size = type_size(rows->type), lanes = rows->unit, length = rows->length;
    double apart[LONG_TILE_DOUBLES];
    if (count < lanes) memset(target, 0, (size_t)(length * KLFAST_LINE_BYTES));
    if (is_across(array)) {
        if (is_native(rows, array) && array->row_stride == size && count == lanes)
            rows->level->copy_lines(target, array->data, array->stride, length);
        else
            for (ptrdiff_t i = 0; i < length; i++)
                rows->level->read[rows->type][array->element]((char *)target + i * KLFAST_LINE_BYTES,
                                                              array->data + i * array->stride, array->row_stride,
                                                              count);
        return;
    }
    const char *source = array->data;
    ptrdiff_t source_stride = in_elements(rows->type, array->row_stride);
    if (array->stride != size || !is_native(rows, array)) {
        int is_shared = array->row_stride == 0; /* one row for all lanes */
        source_stride = is_shared ? 0 : length;
        klfast_read_rows(rows, array, is_shared ? 1 : count, 0, length, (char *)apart, length);
        source = (const char *)apart;
    }
    rows->level->transpose[rows->type](target, lanes, source, source_stride, count, length);
}

/* ---- masks ---- */

static int is_whole_row(const char *row, ptrdiff_t stride, ptrdiff_t length) {
    if (*row == 0) return 0;
    return stride == 0 || (stride == 1 && memcmp(row, row + 1, (size_t)length - 1) == 0);
}

const klfast_rows *klfast_unmasked(const klfast_rows *rows, const klfast_group *group, klfast_rows *unmasked) {
    if (!rows->mask.data) return rows;
    klfast_array mask = part_of(&rows->mask, group->outer, group->first);
    for (ptrdiff_t k = 0; k < group->count; k++)
        if (!is_whole_row(mask.data + k * mask.row_stride, mask.stride, rows->length)) return rows;
    *unmasked = *rows;
    unmasked->mask.data = NULL;
    return unmasked;
}

/* ---- blocks ---- */

static klfast_piece take(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, ptrdiff_t start,
                         ptrdiff_t length, char *scratch, int is_read) {
    klfast_array part = part_of(array, group->outer, group->first);
    if (is_in_place(rows, array)) return (klfast_piece){part.data + start * part.stride, part.row_stride};
    ptrdiff_t stride = smaller(rows->length, rows->operation->block_length);
    int is_shared = part.row_stride == 0 && !rows->mask.data && !rows->excluded; /* one row for the whole group */
    if (!is_read) klfast_read_rows(rows, &part, is_shared ? 1 : group->count, start, length, scratch, stride);
    return (klfast_piece){scratch, is_shared ? 0 : stride * type_size(rows->type)};
}

static void exclude_masked(const klfast_rows *rows, klfast_piece values, klfast_piece mask, ptrdiff_t count,
                           ptrdiff_t length, double neutral) {
    for (ptrdiff_t k = 0; k < count; k++)
        rows->level->exclude[rows->type]((char *)values.data + k * values.row_stride, mask.data + k * mask.row_stride,
                                         length, neutral);
}

static void cap_rows(const klfast_rows *rows, klfast_piece values, ptrdiff_t count, ptrdiff_t length) {
    for (ptrdiff_t k = 0; k < (values.row_stride ? count : 1); k++)
        rows->level->cap[rows->type]((char *)values.data + k * values.row_stride, length, rows->parameters.softcap);
}

/* The first of the places that is not below `start`. */
static ptrdiff_t first_from(const ptrdiff_t *places, ptrdiff_t count, ptrdiff_t start) {
    ptrdiff_t low = 0, high = count;
    while (low < high) {
        ptrdiff_t middle = low + (high - low) / 2;
        if (places[middle] < start) low = middle + 1;
        else high = middle;
    }
    return low;
}

void klfast_leave_out(const klfast_rows *rows, ptrdiff_t row, ptrdiff_t start, ptrdiff_t length, void *values, ptrdiff_t step) {
    const ptrdiff_t *places = rows->excluded + row * rows->excluded_count;
    double *left_out = rows->left_out ? rows->left_out + row * rows->excluded_count : NULL;
    double neutral = rows->operation->neutral;
    for (ptrdiff_t k = first_from(places, rows->excluded_count, start);
         k < rows->excluded_count && places[k] < start + length; k++) {
        ptrdiff_t at = (places[k] - start) * step;
        if (left_out) left_out[k] = rows->type == FLOAT32 ? (double)((float *)values)[at] : ((double *)values)[at];
        if (rows->type == FLOAT32) ((float *)values)[at] = (float)neutral;
        else ((double *)values)[at] = neutral;
    }
}

static void leave_out(const klfast_rows *rows, const klfast_group *group, klfast_piece values, ptrdiff_t start,
                      ptrdiff_t length) {
    for (ptrdiff_t k = 0; k < group->count; k++)
        klfast_leave_out(rows, first_row(rows, group) + k, start, length, (char *)values.data + k * values.row_stride, 1);
}

void klfast_take_block(const klfast_rows *rows, const klfast_group *group, ptrdiff_t start, ptrdiff_t length,
                       char *scratch, int is_read, klfast_piece *a, klfast_piece *b) {
    ptrdiff_t area = rows->scratch_bytes / AREAS;
    *a = take(rows, group, &rows->a, start, length, scratch, is_read);
    *b = has_two(rows) ? take(rows, group, &rows->b, start, length, scratch + area, is_read) : *a;
    if (is_read) return;
    if (rows->parameters.softcap > 0 && !rows->is_capped) cap_rows(rows, *a, group->count, length);
    if (rows->excluded) leave_out(rows, group, *a, start, length);
    if (rows->excluded && has_two(rows)) leave_out(rows, group, *b, start, length);
    if (!rows->mask.data) return;
    klfast_piece mask = take(rows, group, &rows->mask, start, length, scratch + 2 * area, 0);
    exclude_masked(rows, *a, mask, group->count, length, rows->operation->neutral);
    if (has_two(rows)) exclude_masked(rows, *b, mask, group->count, length, rows->operation->neutral_b);
}
