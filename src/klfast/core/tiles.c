/* Short rows, LANES of them side by side: how tiles are read, told, walked and written. What a tile cannot finish is walked as
 * a row like any other. */
#include "rows.h"
#include "write.h"

/* A tile in memory. What is written of one array goes where a second one would be; of two, it comes behind each: pairs that
 * have such results leave that half free. */
typedef struct {
    double a[LONG_TILE_DOUBLES], b[LONG_TILE_DOUBLES], mask[LONG_TILE_DOUBLES];
} tile_memory;

static double *out_a_of(const klfast_rows *rows, tile_memory *tile) {
    return has_two(rows) ? tile->a + TILE_DOUBLES : tile->b;
}
static double *out_b_of(tile_memory *tile) { return tile->b + TILE_DOUBLES; }

static void take_lane(const klfast_rows *rows, char *row, const double *tile, ptrdiff_t lane, ptrdiff_t alone) {
    ptrdiff_t size = type_size(rows->type), distance = alone ? size : KLFAST_LINE_BYTES;
    for (ptrdiff_t i = 0; i < rows->length; i++)
        memcpy(row + i * size, (const char *)tile + i * distance + lane * size, (size_t)size);
}

static void put_lane(const klfast_rows *rows, const char *row, double *tile, ptrdiff_t lane, ptrdiff_t alone) {
    ptrdiff_t size = type_size(rows->type), distance = alone ? size : KLFAST_LINE_BYTES;
    for (ptrdiff_t i = 0; i < rows->length; i++)
        memcpy((char *)tile + i * distance + lane * size, row + i * size, (size_t)size);
}

/* Whether a lane holds nothing but what is read where a mask excludes an entry. */
static int is_empty_lane(const klfast_rows *rows, const double *tile, ptrdiff_t lane, ptrdiff_t alone, double neutral) {
    ptrdiff_t distance = alone ? 1 : rows->unit, end = lane + rows->length * distance;
    const float *narrow = (const float *)tile;
    for (ptrdiff_t at = lane; at < end; at += distance)
        if ((rows->type == FLOAT32 ? (double)narrow[at] : tile[at]) != neutral) return 0;
    return 1;
}

/* What is found of a row of which nothing is left, without walking it: no block of it would add anything. */
static void finish_empty_row(const klfast_rows *rows, const klfast_group *group, ptrdiff_t lane, ptrdiff_t which,
                             double *result) {
    klfast_row told;
    klfast_state nothing;
    ptrdiff_t row = group->first + lane;
    klfast_array a = part_of(&rows->a, group->outer, row), mask = rows->mask;
    if (mask.data) mask = part_of(&rows->mask, group->outer, row);
    klfast_tell_rows(&told, rows, group->outer, row, 1);
    if (rows->labels.data) klfast_tell_label(&told, rows, &a, &mask, first_row(rows, group) + lane, which);
    memset(&nothing, 0, sizeof nothing);
    while (rows->operation->finish(&nothing, &told, result)) continue;
}

/* One row of a tile that the tile could not finish. */
static void walk_lane(const klfast_rows *rows, tile_memory *tile, ptrdiff_t lane, ptrdiff_t alone, ptrdiff_t number,
                      ptrdiff_t which, double *result) {
    double row_a[KLFAST_SHORT_DISTRIBUTION], row_b[KLFAST_SHORT_DISTRIBUTION], of_a[KLFAST_SHORT_DISTRIBUTION],
        of_b[KLFAST_SHORT_ROW];
    double scratch[AREAS * KLFAST_SHORT_DISTRIBUTION];
    ptrdiff_t size = type_size(rows->type);
    int element = 2 * (rows->type == FLOAT32 ? SINGLE : DOUBLE);
    take_lane(rows, (char *)row_a, tile->a, lane, alone);
    take_lane(rows, (char *)row_b, has_two(rows) ? tile->b : tile->a, lane, alone);
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
    klfast_walk_group(&one, 0, 0, result, (char *)scratch);
    if (!rows->is_written) return;
    put_lane(rows, (const char *)of_a, out_a_of(rows, tile), lane, alone);
    if (has_two(rows)) put_lane(rows, (const char *)of_b, out_b_of(tile), lane, alone);
}

static void read_tile_of(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, double *target,
                         ptrdiff_t alone) {
    klfast_array part = part_of(array, group->outer, group->first);
    if (alone) klfast_read_row(rows, &part, 0, 0, alone, target);
    else klfast_read_tile(rows, &part, group->count, target);
}

/* Fills the last line of a row that is alone: nothing that is true of all its elements changes. */
static void fill_up(const klfast_rows *rows, double *tile, ptrdiff_t alone) {
    ptrdiff_t size = type_size(rows->type), end = (alone * size + KLFAST_LINE_BYTES - 1) & -KLFAST_LINE_BYTES;
    for (ptrdiff_t at = alone * size; at < end; at += size) memcpy((char *)tile + at, tile, (size_t)size);
}

/* What the rows of a tile are told; of their labels, number `which`. The tile is masked and capped already. Rows that are to be
 * ignored may hold anything. */
static void tell_lanes(klfast_labels *labels, const klfast_rows *rows, const klfast_group *group, const double *a,
                       ptrdiff_t which, ptrdiff_t alone) {
    ptrdiff_t first = first_row(rows, group), lanes = alone ? 1 : rows->unit;
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

/* A row that is alone lies in all lanes. */
static void tell_all_lanes(klfast_labels *labels) {
    for (int k = 1; k < KLFAST_GROUP; k++) {
        labels->logit[k] = labels->logit[0];
        labels->weight[k] = labels->weight[0];
        labels->gradient[k] = labels->gradient[0];
        labels->place[k] = labels->place[0];
        labels->is_ignored[k] = labels->is_ignored[0];
    }
}

static void read_tiles(const klfast_rows *rows, const klfast_group *group, tile_memory *tile, ptrdiff_t alone) {
    ptrdiff_t step = alone ? 1 : rows->unit, length = rows->length * step;
    read_tile_of(rows, group, &rows->a, tile->a, alone);
    if (has_two(rows)) read_tile_of(rows, group, &rows->b, tile->b, alone);
    if (rows->parameters.softcap > 0) rows->level->cap[rows->type](tile->a, length, rows->parameters.softcap);
    for (ptrdiff_t k = 0; rows->excluded && k < group->count; k++) {
        ptrdiff_t row = first_row(rows, group) + k, lane = k * type_size(rows->type);
        klfast_leave_out(rows, row, 0, rows->length, (char *)tile->a + lane, step);
        if (has_two(rows)) klfast_leave_out(rows, row, 0, rows->length, (char *)tile->b + lane, step);
    }
    if (!rows->mask.data) return;
    read_tile_of(rows, group, &rows->mask, tile->mask, alone);
    rows->level->exclude[rows->type](tile->a, tile->mask, length, rows->operation->neutral);
    if (has_two(rows)) rows->level->exclude[rows->type](tile->b, tile->mask, length, rows->operation->neutral_b);
}

static void write_tiles(const klfast_rows *rows, const klfast_group *group, tile_memory *tile, ptrdiff_t alone) {
    double *out[] = {out_a_of(rows, tile), out_b_of(tile)};
    const klfast_array *array[] = {&rows->out_a, &rows->out_b};
    for (int k = 0; k < 2; k++) {
        if (!array[k]->data) continue;
        if (rows->mask.data)
            rows->level->exclude[rows->type](out[k], tile->mask, rows->length * (alone ? 1 : rows->unit),
                                             rows->operation->unwritten);
        klfast_store_tile(rows, group, array[k], out[k], alone);
    }
}

/* Returns how many elements all lanes have together. */
static ptrdiff_t prepare_tile(const klfast_rows *rows, const klfast_group *group, klfast_row *told, tile_memory *tile) {
    ptrdiff_t lanes = in_elements(rows->type, KLFAST_LINE_BYTES);
    read_tiles(rows, group, tile, told->alone);
    if (!told->alone) {
        told->ahead_a = klfast_foresee(rows, group, &rows->a, 0);
        told->ahead_b = klfast_foresee(rows, group, has_two(rows) ? &rows->b : &rows->a, 0);
        return rows->length * lanes;
    }
    fill_up(rows, tile->a, told->alone);
    if (has_two(rows)) fill_up(rows, tile->b, told->alone);
    told->ahead_a = told->ahead_b = (klfast_ahead){(const char *)tile, 0, 0}; /* nothing */
    return (told->alone + lanes - 1) / lanes * lanes;
}

/* Whether rows of floats that their tile could not finish are worth a tile of doubles: weights with entries below 1e-30, as
 * softmaxes have, and pairs of logits that have such softmaxes, or are next to equal. */
static int has_wide_tile(const klfast_rows *rows) {
    int is_pair = has_two(rows) && !rows->labels.data && rows->operation->neutral == rows->operation->neutral_b;
    ptrdiff_t longest = has_two(rows) ? KLFAST_SHORT_ROW : KLFAST_SHORT_DISTRIBUTION;
    return rows->type == FLOAT32 && (is_pair || rows->operation->neutral == 0.0) && rows->length <= longest;
}

enum { WIDE_LANES = KLFAST_LINE_BYTES / sizeof(double) };

/* Lanes first, first + 1, ... of every line as doubles; all of a row that is alone. Returns how many these are. */
static ptrdiff_t widen_lanes(const klfast_rows *rows, double *wide, const double *tile, ptrdiff_t first, ptrdiff_t alone) {
    const float *narrow = (const float *)tile + first;
    ptrdiff_t distance = alone ? WIDE_LANES : rows->unit, lines = alone ? (alone + WIDE_LANES - 1) / WIDE_LANES : rows->length;
    for (ptrdiff_t i = 0; i < lines; i++)
        for (ptrdiff_t k = 0; k < WIDE_LANES; k++) wide[i * WIDE_LANES + k] = (double)narrow[i * distance + k];
    return lines * WIDE_LANES;
}

/* Takes the lanes that are `left` in double, for their results only; returns those that it could not finish either. Two such
 * tiles take the place of the mask, which is read again if it is still needed. */
static unsigned walk_wide(const klfast_rows *rows, const klfast_group *group, const klfast_row *told, tile_memory *tile,
                          unsigned left, double *results) {
    klfast_row wide = *told;
    double found[WIDE_LANES], *a = tile->mask, *b = has_two(rows) ? tile->mask + TILE_DOUBLES : a;
    wide.ahead_a = wide.ahead_b = (klfast_ahead){(const char *)tile, 0, 0};
    for (ptrdiff_t first = 0; left >> first; first += WIDE_LANES) {
        unsigned mine = left >> first & ((1u << WIDE_LANES) - 1);
        if (!mine) continue;
        ptrdiff_t length = widen_lanes(rows, a, tile->a, first, told->alone);
        if (has_two(rows)) widen_lanes(rows, b, tile->b, first, told->alone);
        mine &= rows->level->operation[rows->operation_id][FLOAT64].tile(
            found, a, b, length, smaller(WIDE_LANES, group->count - first), &wide, NULL, NULL);
        for (ptrdiff_t lane = 0; mine >> lane; lane++)
            if (mine >> lane & 1) results[first + lane] = found[lane];
        left &= ~(mine << first);
    }
    if (rows->is_written && rows->mask.data) read_tile_of(rows, group, &rows->mask, tile->mask, told->alone);
    return left;
}

/* Whether rows are divided by their sums and compared: where b is a multiple of a, that is 0. */
static int has_quotient(const klfast_rows *rows) {
    return rows->operation->constant != NO_CONSTANT && rows->operation->constant != SUM_OF_Q;
}

/* What the lanes of a tile come to that it has `left`; `results` are those of label number `which`. */
static void walk_left(const klfast_rows *rows, const klfast_group *group, const klfast_row *told, tile_memory *tile,
                      unsigned left, ptrdiff_t which, double *results) {
    for (ptrdiff_t lane = 0; !rows->is_written && left >> lane; lane++) {
        if (!(left >> lane & 1) || !is_empty_lane(rows, tile->a, lane, told->alone, rows->operation->neutral) ||
            (has_two(rows) && !is_empty_lane(rows, tile->b, lane, told->alone, rows->operation->neutral_b)))
            continue;
        finish_empty_row(rows, group, lane, which, &results[lane * rows->label_count]);
        left &= ~(1u << lane);
    }
    if (left && has_quotient(rows)) {
        ptrdiff_t length = rows->length * rows->unit;
        unsigned same = left & rows->level->multiple_lanes[rows->type](tile->a, tile->b, length, told->alone);
        for (ptrdiff_t lane = 0; same >> lane; lane++)
            if (same >> lane & 1) results[lane] = 0.0;
        left &= ~same;
    }
    unsigned unknown = left && has_wide_tile(rows) ? walk_wide(rows, group, told, tile, left, results) : left;
    if (!rows->is_written) left = unknown;
    for (ptrdiff_t lane = 0; left >> lane; lane++) {
        double written, *result = unknown >> lane & 1 ? &results[lane * rows->label_count] : &written;
        if (left >> lane & 1) walk_lane(rows, tile, lane, told->alone, first_row(rows, group) + lane, which, result);
    }
}

static void walk_tile(const klfast_rows *rows, const klfast_group *group, klfast_row *told, klfast_labels *labels,
                      tile_memory *tile, double *results) {
    double values[KLFAST_GROUP];
    ptrdiff_t length = prepare_tile(rows, group, told, tile);
    const double *b = has_two(rows) ? tile->b : tile->a;
    double *out_a = rows->is_written ? out_a_of(rows, tile) : NULL, *out_b = rows->is_written ? out_b_of(tile) : NULL;
    double *mine = klfast_results_of(group, rows, results);
    int is_direct = group->count == rows->unit && rows->label_count == 1;
    for (ptrdiff_t which = 0; which < rows->label_count; which++) {
        if (rows->labels.data || rows->is_written) {
            tell_lanes(labels, rows, group, tile->a, which, told->alone);
            if (told->alone) tell_all_lanes(labels);
        }
        double *found = is_direct ? mine : values;
        unsigned certain = rows->operation->tile(found, tile->a, b, length, group->count, told, out_a, out_b);
        for (ptrdiff_t lane = 0; !is_direct && lane < group->count; lane++)
            mine[lane * rows->label_count + which] = values[lane];
        unsigned left = ~certain & ((1u << group->count) - 1);
        walk_left(rows, group, told, tile, left, which, mine + which);
    }
    if (rows->is_written) write_tiles(rows, group, tile, told->alone);
}

/* Whether rows take less time one by one than beside each other: as measured, one for every 16 entries, of any operation. */
static int are_alone(const klfast_rows *rows, ptrdiff_t count) {
    return 16 * count <= rows->length + 8 && 2 * count <= rows->unit;
}

static void walk_alone(const klfast_rows *rows, const klfast_group *group, klfast_row *told, klfast_labels *labels,
                       tile_memory *tile, double *results) {
    klfast_group one = *group;
    told->alone = rows->length;
    for (one.count = 1; one.first < group->first + group->count; one.first++)
        walk_tile(rows, &one, told, labels, tile, results);
    told->alone = 0;
}

void klfast_walk_tiles(const klfast_rows *rows, ptrdiff_t unit, double *results) {
    tile_memory tile;
    klfast_group group;
    klfast_rows unmasked;
    klfast_labels labels = {.is_ignored = {0}};
    klfast_row told = {.parameters = &rows->parameters, .temperature = &rows->temperature, .labels = &labels};
    for (int k = 0; k < KLFAST_GROUP; k++) labels.weight[k] = labels.gradient[k] = 1;
    klfast_place_group(&group, rows, unit, 0);
    ptrdiff_t end = smaller(group.first + rows->strip, rows->row_count);
    while (group.first < end) {
        const klfast_rows *mine = klfast_unmasked(rows, &group, &unmasked);
        if (are_alone(mine, group.count)) walk_alone(mine, &group, &told, &labels, &tile, results);
        else walk_tile(mine, &group, &told, &labels, &tile, results);
        group.part++;
        group.first += rows->unit;
        group.count = smaller(rows->unit, end - group.first);
    }
}
