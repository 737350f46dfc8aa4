/* Rows -> blocks -> numbers: how rows are walked and finished. Nothing here depends on the CPU level; what
 * reads and computes is called through the table.
 *
 * Rows are walked in units: LANES short rows side by side; a group of rows whose elements lie apart while those of
 * neighbouring rows lie side by side (an axis that is not the last); else one row. */
#include "rows.h"
#include "write.h"

enum {
    LONGEST_STRIP = 1024, /* in elements: what four lines of each take is not to leave the cache */
};

void klfast_plan(klfast_rows *rows) {
    const klfast_operation *operation = &rows->level->operation[rows->operation_id][rows->type];
    ptrdiff_t line = KLFAST_LINE_BYTES / type_size(rows->type);
    int across = is_across(&rows->a) || (has_two_of(operation) && is_across(&rows->b));
    rows->operation = operation;
    rows->is_written = rows->out_a.data || rows->out_b.data;
    rows->is_tiled = operation->tile && rows->length <= KLFAST_SHORT_ROW;
    rows->unit = rows->is_tiled ? line : across ? smaller(line, rows->row_count) : 1;
    /* neighbouring lines are fetched together: four at once cost hardly more than one, if they then stay in the cache; and
     * tiles are told the same, four at a time */
    rows->parts = rows->is_tiled || (across && rows->length <= LONGEST_STRIP) ? 4 : 1;
    rows->strip = rows->unit * rows->parts;
    rows->units = rows->outer_count * ((rows->row_count + rows->strip - 1) / rows->strip);
    int in_place = is_in_place(rows, &rows->a) && (!has_two(rows) || is_in_place(rows, &rows->b));
    ptrdiff_t area = rows->unit * smaller(rows->length, operation->block_length) * type_size(rows->type);
    rows->scratch_bytes = rows->is_tiled || (in_place && !rows->is_written) ? 0 : AREAS * area;
    rows->level->prepare_temperature(&rows->temperature, rows->parameters.temperature);
}

/* The rows of a part of a unit; a unit has as many parts as a strip has lines. */
static void place_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part) {
    ptrdiff_t strips = rows->units / rows->outer_count;
    group->part = part;
    group->outer = unit / strips;
    group->first = unit % strips * rows->strip + part * rows->unit;
    group->count = smaller(rows->unit, rows->row_count - group->first);
}

/* Which lines to ask for while part after part of a unit is computed, so that at its end the next one is in the cache.
 * Where the elements of a row lie apart, a step asks for four lines of one element or, without strips, for one line of
 * four elements. `steps` have been taken in this part. */
static klfast_ahead foresee(const klfast_rows *rows, const klfast_group *group, const klfast_array *array,
                            ptrdiff_t steps) {
    klfast_ahead ahead = {array->data, 0, 0};
    int across = is_across(array);
    ptrdiff_t parts = rows->parts, distance = across ? parts - group->part : 1;
    const char *next = part_of(array, group->outer, group->first + distance * rows->unit).data;
    if (array->row_stride == 0) return ahead;
    if (across) {
        ptrdiff_t done = group->part * ((rows->length + 3) / 4) + steps;
        ahead.step = parts > 1 ? array->stride : 4 * array->stride;
        ahead.line = parts > 1 ? KLFAST_LINE_BYTES : array->stride;
        ahead.start = next + done * ahead.step;
    } else if (array->row_stride == rows->length * array->stride) /* a step takes 256/size elements */
        ahead = (klfast_ahead){next, in_elements(rows->type, 4 * KLFAST_LINE_BYTES) * array->stride, KLFAST_LINE_BYTES};
    return ahead;
}

static void begin_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part) {
    place_group(group, rows, unit, part);
    for (ptrdiff_t k = 0; k < group->count; k++) {
        group->is_done[k] = 0;
        klfast_tell_row(&group->told[k], rows, group->outer, group->first + k);
        if (rows->scratch_bytes == 0 || rows->length > rows->operation->block_length) continue;
        ptrdiff_t steps = k * rows->length / (4 * rows->unit);
        group->told[k].ahead_a = foresee(rows, group, &rows->a, steps);
        group->told[k].ahead_b = foresee(rows, group, has_two(rows) ? &rows->b : &rows->a, steps);
        if (is_written_in_place(rows, &rows->out_a))
            group->told[k].output = (klfast_ahead){part_of(&rows->out_a, group->outer, group->first + k).data,
                                                   4 * KLFAST_LINE_BYTES, KLFAST_LINE_BYTES};
    }
}

/* What comes after a block of row `k` of a group. Rows that lie across share the lines of the next block: each asks
 * for a part of them. */
static klfast_ahead next_block(const klfast_rows *rows, const klfast_group *group, const klfast_array *array,
                               ptrdiff_t block, ptrdiff_t k) {
    ptrdiff_t length = rows->operation->block_length, next = (block + 1) * length, stride = array->stride;
    klfast_array row = part_of(array, group->outer, group->first + (is_across(array) ? 0 : k));
    if (is_across(array))
        return (klfast_ahead){row.data + (next + k * (length / rows->unit)) * stride, 4 * stride, stride};
    return (klfast_ahead){row.data + next * stride, 4 * KLFAST_LINE_BYTES / type_size(rows->type) * stride,
                          KLFAST_LINE_BYTES};
}

/* While a block that comes through scratch memory is computed, the next one is asked for where it lies. */
static void look_ahead(klfast_group *group, const klfast_rows *rows, ptrdiff_t block) {
    if (rows->scratch_bytes == 0 || rows->length <= rows->operation->block_length) return;
    for (ptrdiff_t k = 0; k < group->count; k++) {
        group->told[k].ahead_a = next_block(rows, group, &rows->a, block, k);
        group->told[k].ahead_b = next_block(rows, group, has_two(rows) ? &rows->b : &rows->a, block, k);
    }
}

static double *results_of(const klfast_group *group, const klfast_rows *rows, double *results) {
    return results + first_row(rows, group) * rows->label_count;
}

/* Whether lines of memory are what the kernels take for one element of all rows of a whole group. */
static int is_lines(const klfast_rows *rows, const klfast_array *array) {
    return is_across(array) && is_native(rows, array) && array->row_stride == type_size(rows->type);
}

/* The rows of a group that need not be laid out one by one, as bits. */
static unsigned walk_across(const klfast_group *group, const klfast_rows *rows, ptrdiff_t start, ptrdiff_t length,
                            klfast_state *states) {
    const klfast_operation *operation = rows->operation;
    ptrdiff_t lanes = KLFAST_LINE_BYTES / type_size(rows->type);
    if (!operation->across || group->count < lanes || rows->mask.data || rows->excluded) return 0;
    if (!is_lines(rows, &rows->a) || (has_two(rows) && !is_lines(rows, &rows->b))) return 0;
    for (ptrdiff_t k = 0; k < lanes; k++)
        if (group->is_done[k] || group->told[k].walk != WALK_FAST) return 0;
    klfast_array a = part_of(&rows->a, group->outer, group->first), b = a;
    if (has_two(rows)) b = part_of(&rows->b, group->outer, group->first);
    return operation->across(states, a.data + start * a.stride, a.stride, b.data + start * b.stride, b.stride, length,
                             group->told);
}

/* Returns whether the block is in scratch memory now, or was in its place. */
static int walk_block(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                      char *scratch, int is_read) {
    ptrdiff_t start = block * rows->operation->block_length;
    ptrdiff_t length = smaller(rows->length - start, rows->operation->block_length);
    unsigned taken = walk_across(group, rows, start, length, states);
    klfast_piece a, b;
    if (group->count == KLFAST_LINE_BYTES / type_size(rows->type) && taken == (1u << group->count) - 1) return is_read;
    klfast_take_block(rows, group, start, length, scratch, is_read, &a, &b);
    for (ptrdiff_t k = 0; k < group->count; k++)
        if (!(taken >> k & 1) && !group->is_done[k] && !group->told[k].is_skipped)
            rows->operation->block(&states[k], a.data + k * a.row_stride, b.data + k * b.row_stride, length,
                                   &group->told[k]);
    return 1;
}

static void join_block(const klfast_group *group, const klfast_rows *rows, klfast_state *totals,
                       const klfast_state *states) {
    for (ptrdiff_t k = 0; k < group->count; k++)
        if (!group->is_done[k] && !group->told[k].is_skipped)
            rows->operation->join(&totals[k], &states[k], &group->told[k]);
}

/* Blocks are shared out only where there are no strips. */
void klfast_begin_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit) {
    begin_group(group, rows, unit, 0);
}

void klfast_walk_block(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                       void *scratch) {
    walk_block(group, rows, block, states, scratch, 0);
}

/* One number for each of the labels of a row; no such row is walked twice. */
static void finish_labels(klfast_group *group, const klfast_rows *rows, const klfast_state *state, ptrdiff_t k,
                          double *results) {
    klfast_array a = part_of(&rows->a, group->outer, group->first + k), mask = rows->mask;
    if (mask.data) mask = part_of(&rows->mask, group->outer, group->first + k);
    for (ptrdiff_t which = 0; which < rows->label_count; which++) {
        klfast_tell_label(&group->told[k], rows, &a, &mask, first_row(rows, group) + k, which);
        rows->operation->finish(state, &group->told[k], &results[which]);
    }
}

/* Finishes what can be finished; 1 if something is left. */
static int finish_group(klfast_group *group, const klfast_rows *rows, const klfast_state *states, double *results) {
    double *mine = results_of(group, rows, results);
    int is_left = 0;
    for (ptrdiff_t k = 0; k < group->count; k++) {
        if (group->is_done[k]) continue;
        group->is_done[k] = 1;
        if (rows->label_count > 1) finish_labels(group, rows, &states[k], k, mine + k * rows->label_count);
        else group->is_done[k] = !rows->operation->finish(&states[k], &group->told[k], &mine[k]);
        is_left |= !group->is_done[k];
    }
    return is_left;
}

int klfast_end_group(klfast_group *group, const klfast_rows *rows, klfast_state *states, ptrdiff_t blocks,
                     double *results) {
    for (ptrdiff_t block = 1; block < blocks; block++)
        join_block(group, rows, states, states + block * group->count);
    return finish_group(group, rows, states, results);
}

static void walk_group(const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part, double *results, char *scratch) {
    klfast_group group;
    klfast_state totals[KLFAST_GROUP], states[KLFAST_GROUP];
    ptrdiff_t block_length = rows->operation->block_length;
    int is_read = 0, is_one_block = rows->length <= block_length;
    begin_group(&group, rows, unit, part);
    do {
        /* the only block of a row is still there when the row is walked again */
        look_ahead(&group, rows, 0);
        is_read = walk_block(&group, rows, 0, totals, scratch, is_read && is_one_block);
        for (ptrdiff_t block = 1; block * block_length < rows->length; block++) {
            look_ahead(&group, rows, block);
            walk_block(&group, rows, block, states, scratch, 0);
            join_block(&group, rows, totals, states);
        }
    } while (finish_group(&group, rows, totals, results));
    if (!rows->is_written) return;
    for (ptrdiff_t block = 0; block * block_length < rows->length; block++)
        klfast_write_rows(&group, rows, block, scratch, is_one_block);
}

/* A tile in memory, and what is written beside it. */
typedef struct {
    double a[TILE_DOUBLES], b[TILE_DOUBLES], mask[TILE_DOUBLES], out_a[TILE_DOUBLES], out_b[TILE_DOUBLES];
} tile_memory;

static void take_lane(const klfast_rows *rows, char *row, const double *tile, ptrdiff_t lane) {
    ptrdiff_t size = type_size(rows->type);
    for (ptrdiff_t i = 0; i < rows->length; i++)
        memcpy(row + i * size, (const char *)tile + i * KLFAST_LINE_BYTES + lane * size, (size_t)size);
}

static void put_lane(const klfast_rows *rows, const char *row, double *tile, ptrdiff_t lane) {
    ptrdiff_t size = type_size(rows->type);
    for (ptrdiff_t i = 0; i < rows->length; i++)
        memcpy((char *)tile + i * KLFAST_LINE_BYTES + lane * size, row + i * size, (size_t)size);
}

/* One row of a tile that the tile could not finish. */
static void walk_lane(const klfast_rows *rows, tile_memory *tile, ptrdiff_t lane, ptrdiff_t number, ptrdiff_t which,
                      double *result) {
    double row_a[KLFAST_SHORT_ROW], row_b[KLFAST_SHORT_ROW], of_a[KLFAST_SHORT_ROW], of_b[KLFAST_SHORT_ROW];
    double scratch[AREAS * KLFAST_SHORT_ROW];
    ptrdiff_t size = type_size(rows->type);
    int element = 2 * (rows->type == FLOAT32 ? SINGLE : DOUBLE);
    take_lane(rows, (char *)row_a, tile->a, lane);
    take_lane(rows, (char *)row_b, has_two(rows) ? tile->b : tile->a, lane);
    klfast_rows one = *rows;
    one.a = (klfast_array){(const char *)row_a, 0, 0, size, element};
    one.b = (klfast_array){(const char *)row_b, 0, 0, size, element};
    one.out_a = (klfast_array){(const char *)of_a, 0, 0, size, element};
    one.out_b = (klfast_array){(const char *)of_b, 0, 0, size, element};
    one.mask.data = NULL;
    one.excluded = NULL;
    one.is_capped = 1;
    if (one.labels.data) one.labels.data += number * one.labels.row_stride + which * one.labels.stride;
    if (one.label_weights) one.label_weights += number;
    if (one.gradients) one.gradients += number;
    one.outer_count = one.row_count = one.unit = one.parts = one.strip = one.units = one.label_count = 1;
    one.scratch_bytes = sizeof scratch;
    walk_group(&one, 0, 0, result, (char *)scratch);
    if (!rows->is_written) return;
    put_lane(rows, (const char *)of_a, tile->out_a, lane);
    put_lane(rows, (const char *)of_b, tile->out_b, lane);
}

static void read_tile_of(const klfast_rows *rows, const klfast_group *group, const klfast_array *array,
                         double *target) {
    klfast_array part = part_of(array, group->outer, group->first);
    klfast_read_tile(rows, &part, group->count, target);
}

/* What the rows of a tile are told; of their labels, number `which`. The tile is masked and capped already. Rows that are to be
 * ignored may hold anything. */
static void tell_lanes(klfast_labels *labels, const klfast_rows *rows, const klfast_group *group, const double *a,
                       ptrdiff_t which) {
    ptrdiff_t first = first_row(rows, group), lanes = rows->unit;
    size_t size = (size_t)group->count * sizeof(double);
    const float *narrow = (const float *)a;
    double ids[KLFAST_GROUP];
    if (rows->gradients) memcpy(labels->gradient, rows->gradients + first, size);
    if (rows->label_weights) memcpy(labels->weight, rows->label_weights + first, size);
    if (!rows->labels.data) return;
    rows->level->read[FLOAT64][rows->labels.element](
        ids, rows->labels.data + first * rows->labels.row_stride + which * rows->labels.stride, rows->labels.row_stride,
        group->count);
    for (ptrdiff_t k = 0; k < group->count; k++) {
        labels->is_ignored[k] = ids[k] == rows->parameters.ignored;
        labels->place[k] = (ptrdiff_t)(labels->is_ignored[k] ? 0.0 : ids[k]);
    }
    if (rows->type == FLOAT32)
        for (ptrdiff_t k = 0; k < group->count; k++) labels->logit[k] = (double)narrow[labels->place[k] * lanes + k];
    else
        for (ptrdiff_t k = 0; k < group->count; k++) labels->logit[k] = a[labels->place[k] * lanes + k];
}

static void read_tiles(const klfast_rows *rows, const klfast_group *group, tile_memory *tile) {
    ptrdiff_t length = rows->length * rows->unit;
    read_tile_of(rows, group, &rows->a, tile->a);
    if (has_two(rows)) read_tile_of(rows, group, &rows->b, tile->b);
    if (rows->parameters.softcap > 0) rows->level->cap[rows->type](tile->a, length, rows->parameters.softcap);
    for (ptrdiff_t k = 0; rows->excluded && k < group->count; k++) {
        ptrdiff_t row = first_row(rows, group) + k, lane = k * type_size(rows->type);
        klfast_leave_out(rows, row, 0, rows->length, (char *)tile->a + lane, rows->unit);
        if (has_two(rows)) klfast_leave_out(rows, row, 0, rows->length, (char *)tile->b + lane, rows->unit);
    }
    if (!rows->mask.data) return;
    read_tile_of(rows, group, &rows->mask, tile->mask);
    rows->level->exclude[rows->type](tile->a, tile->mask, length, rows->operation->neutral);
    if (has_two(rows)) rows->level->exclude[rows->type](tile->b, tile->mask, length, rows->operation->neutral_b);
}

static void write_tiles(const klfast_rows *rows, const klfast_group *group, tile_memory *tile) {
    double *out[] = {tile->out_a, tile->out_b};
    const klfast_array *array[] = {&rows->out_a, &rows->out_b};
    for (int k = 0; k < 2; k++) {
        if (!array[k]->data) continue;
        if (rows->mask.data)
            rows->level->exclude[rows->type](out[k], tile->mask, rows->length * rows->unit, rows->operation->unwritten);
        klfast_store_tile(rows, group, array[k], out[k]);
    }
}

static void walk_tile(const klfast_rows *rows, const klfast_group *group, klfast_row *told, klfast_labels *labels,
                      tile_memory *tile, double *results) {
    double values[KLFAST_GROUP];
    read_tiles(rows, group, tile);
    const double *b = has_two(rows) ? tile->b : tile->a;
    double *out_a = rows->is_written ? tile->out_a : NULL, *out_b = rows->is_written ? tile->out_b : NULL;
    double *mine = results_of(group, rows, results);
    ptrdiff_t length = rows->length * rows->unit;
    int is_direct = group->count == rows->unit && rows->label_count == 1;
    told->ahead_a = foresee(rows, group, &rows->a, 0);
    told->ahead_b = foresee(rows, group, has_two(rows) ? &rows->b : &rows->a, 0);
    for (ptrdiff_t which = 0; which < rows->label_count; which++) {
        if (rows->labels.data || rows->is_written) tell_lanes(labels, rows, group, tile->a, which);
        double *found = is_direct ? mine : values;
        unsigned certain = rows->operation->tile(found, tile->a, b, length, group->count, told, out_a, out_b);
        for (ptrdiff_t lane = 0; !is_direct && lane < group->count; lane++)
            mine[lane * rows->label_count + which] = values[lane];
        unsigned left = ~certain & ((1u << group->count) - 1);
        for (ptrdiff_t lane = 0; left >> lane; lane++)
            if (left >> lane & 1)
                walk_lane(rows, tile, lane, first_row(rows, group) + lane, which, &mine[lane * rows->label_count + which]);
    }
    if (rows->is_written) write_tiles(rows, group, tile);
}

static void walk_tiles(const klfast_rows *rows, ptrdiff_t unit, double *results) {
    tile_memory tile;
    klfast_group group;
    klfast_labels labels = {.is_ignored = {0}};
    klfast_row told = {.parameters = &rows->parameters, .temperature = &rows->temperature, .labels = &labels};
    for (int k = 0; k < KLFAST_GROUP; k++) labels.weight[k] = labels.gradient[k] = 1;
    place_group(&group, rows, unit, 0);
    ptrdiff_t end = smaller(group.first + rows->strip, rows->row_count);
    while (group.first < end) {
        walk_tile(rows, &group, &told, &labels, &tile, results);
        group.part++;
        group.first += rows->unit;
        group.count = smaller(rows->unit, end - group.first);
    }
}

int klfast_is_idle(const klfast_rows *rows, ptrdiff_t unit) {
    klfast_group group;
    if (!rows->counted) return 0;
    place_group(&group, rows, unit, 0);
    ptrdiff_t count = smaller(rows->strip, rows->row_count - group.first), first = first_row(rows, &group), k = 0;
    while (k < count && !rows->counted[first + k]) k++;
    return k == count;
}

void klfast_walk_unit(const klfast_rows *rows, ptrdiff_t unit, double *results, void *scratch) {
    if (klfast_is_idle(rows, unit)) return;
    if (rows->is_tiled) {
        walk_tiles(rows, unit, results);
        return;
    }
    klfast_group group;
    place_group(&group, rows, unit, 0);
    ptrdiff_t left = rows->row_count - group.first;
    for (ptrdiff_t part = 0; part * rows->unit < smaller(left, rows->strip); part++)
        walk_group(rows, unit, part, results, scratch);
}
