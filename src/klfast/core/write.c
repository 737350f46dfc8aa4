/* Results of the input's size: blocks of finished rows are computed, in place where the output lies as the kernels write it,
 * else in scratch memory, and stored from there. The output may be the input itself: a block is read before it is written, and
 * nothing of a row is written before all of it is known. */
#include "write.h"

/* `count` rows that lie `source_stride` elements apart -> their places in the array. */
static void store_rows(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, ptrdiff_t start,
                       ptrdiff_t length, const char *source, ptrdiff_t source_stride) {
    ptrdiff_t size = type_size(rows->type);
    char *target = (char *)array->data + start * array->stride;
    double lines[LONGEST_LINE * KLFAST_GROUP];
    if (count == 1 || !is_across(array)) {
        for (ptrdiff_t k = 0; k < count; k++)
            rows->level->store[rows->type][array->element](target + k * array->row_stride, array->stride,
                                                           source + k * source_stride * size, length);
        return;
    }
    if (is_native(rows, array) && array->row_stride == size) {
        rows->level->transpose[rows->type](target, array->stride / size, source, source_stride, count, length);
        return;
    }
    for (ptrdiff_t i = 0; i < length; i += LONGEST_LINE) {
        ptrdiff_t here = smaller(LONGEST_LINE, length - i);
        rows->level->transpose[rows->type](lines, KLFAST_GROUP, source + i * size, source_stride, count, here);
        for (ptrdiff_t k = 0; k < here; k++)
            rows->level->store[rows->type][array->element](target + (i + k) * array->stride, array->row_stride,
                                                           (const char *)lines + k * KLFAST_GROUP * size, count);
    }
}

/* Where a block of a group's results is computed. */
static klfast_piece place(const klfast_rows *rows, const klfast_group *group, const klfast_array *out, ptrdiff_t start,
                          char *scratch) {
    ptrdiff_t stride = smaller(rows->length, rows->operation->block_length) * type_size(rows->type);
    if (!is_written_in_place(rows, out)) return (klfast_piece){scratch, stride};
    klfast_array part = part_of(out, group->outer, group->first);
    return (klfast_piece){part.data + start * part.stride, part.row_stride};
}

static void put_number(const klfast_rows *rows, char *block, ptrdiff_t index, double value) {
    if (rows->type == FLOAT32) ((float *)block)[index] = (float)value;
    else ((double *)block)[index] = value;
}

static void store(const klfast_rows *rows, const klfast_group *group, const klfast_array *out, ptrdiff_t start,
                  ptrdiff_t length, klfast_piece piece) {
    if (!out->data || is_written_in_place(rows, out)) return;
    klfast_array part = part_of(out, group->outer, group->first);
    store_rows(rows, &part, group->count, start, length, piece.data, piece.row_stride / type_size(rows->type));
}

void klfast_write_rows(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                       char *scratch, int is_read) {
    ptrdiff_t start = block * rows->operation->block_length, area = rows->scratch_bytes / AREAS;
    ptrdiff_t length = smaller(rows->length - start, rows->operation->block_length);
    ptrdiff_t mask_stride = smaller(rows->length, rows->operation->block_length) * type_size(rows->type);
    klfast_piece a, b, out_a = place(rows, group, &rows->out_a, start, scratch + 3 * area),
                       out_b = place(rows, group, &rows->out_b, start, scratch + 4 * area);
    klfast_take_block(rows, group, start, length, scratch, is_read, &a, &b);
    for (ptrdiff_t k = 0; k < group->count; k++) {
        const klfast_row *told = &group->told[k];
        klfast_remainder *remainder = states[k].remainder;
        char *of_a = (char *)out_a.data + k * out_a.row_stride, *of_b = (char *)out_b.data + k * out_b.row_stride;
        const char *mask = scratch + 2 * area + k * mask_stride;
        remainder[0] = remainder[1] = (klfast_remainder){.likeliest = -1};
        rows->operation->write(of_a, of_b, a.data + k * a.row_stride, b.data + k * b.row_stride, length, told, remainder);
        for (int side = 0; side < 2; side++) remainder[side].likeliest += remainder[side].likeliest < 0 ? 0 : start;
        if (told->label >= start && told->label < start + length && !told->is_undefined)
            put_number(rows, of_a, told->label - start, told->at_label);
        if (!rows->mask.data) continue;
        rows->level->exclude[rows->type](of_a, mask, length, rows->operation->unwritten);
        rows->level->exclude[rows->type](of_b, mask, length, rows->operation->unwritten);
    }
    store(rows, group, &rows->out_a, start, length, out_a);
    store(rows, group, &rows->out_b, start, length, out_b);
}

void klfast_write_block(const klfast_unit *unit, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                        void *scratch) {
    for (ptrdiff_t part = 0; part < unit->parts; part++)
        klfast_write_rows(&unit->group[part], rows, block, states + part * rows->unit, scratch, 0);
}

void klfast_join_remainders(const klfast_group *group, klfast_state *into, const klfast_state *next) {
    for (ptrdiff_t k = 0; k < group->count; k++) {
        for (int side = 0; side < 2; side++) {
            wide_sum others = into[k].remainder[side].others;
            add_sum(&others, next[k].remainder[side].others);
            if (next[k].remainder[side].likeliest >= 0) into[k].remainder[side] = next[k].remainder[side];
            into[k].remainder[side].others = others;
        }
    }
}

/* The gradients of a row add up to 0. What they do add up to is what one error, of the logarithm of the totals' ratio or of
 * the divergence, does to all of them, to each by its probability. It only counts where one class has most of that, whose
 * entry is a small difference of large numbers: there, it is taken off. Written so that the others alone say what a sure
 * class has. */
static void settle_remainder(const klfast_rows *rows, const klfast_array *out, const klfast_row *told,
                             const klfast_remainder *remainder) {
    if (!out->data || remainder->likeliest < 0) return;
    double share = 1 / told->total_x, left = (told->total_x - 1) / told->total_x;
    double number = remainder->entry * left - sum_value(remainder->others) * share;
    float narrow = (float)number;
    rows->level->store[rows->type][out->element]((char *)out->data + remainder->likeliest * out->stride, out->stride,
                                                 rows->type == FLOAT32 ? (const void *)&narrow : &number, 1);
}

void klfast_settle_remainders(const klfast_group *group, const klfast_rows *rows, const klfast_state *states) {
    for (ptrdiff_t k = 0; k < group->count; k++) {
        klfast_array out_a = part_of(&rows->out_a, group->outer, group->first + k),
                     out_b = part_of(&rows->out_b, group->outer, group->first + k);
        settle_remainder(rows, &out_a, &group->told[k], &states[k].remainder[0]);
        settle_remainder(rows, &out_b, &group->told[k], &states[k].remainder[1]);
    }
}

void klfast_join_written(const klfast_unit *unit, const klfast_rows *rows, klfast_state *states, ptrdiff_t blocks) {
    for (ptrdiff_t part = 0; part < unit->parts; part++) {
        klfast_state *mine = states + part * rows->unit;
        for (ptrdiff_t block = 1; block < blocks; block++)
            klfast_join_remainders(&unit->group[part], mine, mine + block * rows->strip);
    }
}

void klfast_settle_unit(const klfast_unit *unit, const klfast_rows *rows, const klfast_state *states) {
    for (ptrdiff_t part = 0; part < unit->parts; part++)
        klfast_settle_remainders(&unit->group[part], rows, states + part * rows->unit);
}

void klfast_store_tile(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, const double *tile,
                       ptrdiff_t alone) {
    ptrdiff_t size = type_size(rows->type), lanes = KLFAST_LINE_BYTES / size;
    klfast_array part = part_of(array, group->outer, group->first);
    double apart[LONG_TILE_DOUBLES];
    if (alone) store_rows(rows, &part, 1, 0, alone, (const char *)tile, alone);
    else if (is_across(array)) {
        for (ptrdiff_t i = 0; i < rows->length; i++)
            rows->level->store[rows->type][array->element]((char *)part.data + i * part.stride, part.row_stride,
                                                           (const char *)tile + i * KLFAST_LINE_BYTES, group->count);
    } else if (array->stride == size && is_native(rows, array))
        rows->level->transpose[rows->type]((char *)part.data, part.row_stride / size, tile, lanes, rows->length,
                                           group->count);
    else {
        rows->level->transpose[rows->type](apart, rows->length, tile, lanes, rows->length, group->count);
        store_rows(rows, &part, group->count, 0, rows->length, (const char *)apart, rows->length);
    }
}
