/* Rows -> blocks -> numbers: how rows are read, what they are told, how they are walked and finished. Nothing here depends
 * on the CPU level; what reads and computes is called through the table.
 *
 * Rows are walked in units: LANES short rows side by side; a group of rows whose elements lie apart while those of
 * neighbouring rows lie side by side (an axis that is not the last); else one row. What cannot be read in place goes
 * through scratch memory that the caller lends, one block at a time. */
#include "kernels.h"

enum {
    LONGEST_LINE = 64,                   /* elements that a group reads at a time */
    TILE_DOUBLES = 8 * KLFAST_SHORT_ROW, /* 8 lanes of double, or 16 of float */
    SAMPLES = 8,
    SHORTEST_SAMPLE = 4,
    LONGEST_SAMPLE = 128,
    LONGEST_STRIP = 1024,                /* in elements: what four lines of each take is not to leave the cache */
    NEVER_SAMPLED = 64,                  /* rows below this length are summed at once */
};

static ptrdiff_t type_size(int type) { return type == FLOAT32 ? (ptrdiff_t)sizeof(float) : (ptrdiff_t)sizeof(double); }

static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

static ptrdiff_t magnitude(ptrdiff_t stride) { return stride < 0 ? -stride : stride; }

/* Whether the kernels can take the array's elements as they are, were they only side by side. */
static int is_native(const klfast_rows *rows, const klfast_array *array) {
    ptrdiff_t size = type_size(rows->type);
    return array->element == 2 * (rows->type == FLOAT32 ? SINGLE : DOUBLE) && (uintptr_t)array->data % (size_t)size == 0 &&
           array->row_stride % size == 0 && array->stride % size == 0;
}

/* Whether the kernels can read the rows of an array where they lie. */
static int is_in_place(const klfast_rows *rows, const klfast_array *array) {
    return !rows->mask.data && array->stride == type_size(rows->type) && is_native(rows, array);
}

/* Whether neighbouring rows share the lines of memory that a row's elements are spread over. */
static int is_across(const klfast_array *array) {
    return array->row_stride != 0 && magnitude(array->row_stride) < magnitude(array->stride);
}

static int has_two_of(const klfast_operation *operation) { return operation->inputs == 2; }

static int has_two(const klfast_rows *rows) { return has_two_of(rows->operation); }

void klfast_plan(klfast_rows *rows) {
    const klfast_operation *operation = &rows->level->operation[rows->operation_id][rows->type];
    ptrdiff_t line = KLFAST_LINE_BYTES / type_size(rows->type);
    int across = is_across(&rows->a) || (has_two_of(operation) && is_across(&rows->b));
    rows->operation = operation;
    rows->is_tiled = operation->tile && rows->length <= KLFAST_SHORT_ROW;
    rows->unit = rows->is_tiled ? line : across ? smaller(line, rows->row_count) : 1;
    /* neighbouring lines are fetched together: four at once cost hardly more than one, if they then stay in the cache */
    rows->strip = rows->unit * (across && rows->length <= LONGEST_STRIP ? 4 : 1);
    rows->units = rows->outer_count * ((rows->row_count + rows->strip - 1) / rows->strip);
    int in_place = is_in_place(rows, &rows->a) && (!has_two(rows) || is_in_place(rows, &rows->b));
    ptrdiff_t area = rows->unit * smaller(rows->length, operation->block_length) * type_size(rows->type);
    rows->scratch_bytes = rows->is_tiled || in_place ? 0 : 3 * area;
}

/* ---- reading ---- */

/* The array of one unit: `data` is where its first row begins. */
static klfast_array part_of(const klfast_array *array, ptrdiff_t outer, ptrdiff_t first) {
    klfast_array part = *array;
    part.data += outer * array->outer_stride + first * array->row_stride;
    return part;
}

static void read_row(const klfast_rows *rows, const klfast_array *array, ptrdiff_t row, ptrdiff_t start,
                     ptrdiff_t length, void *target) {
    const char *source = array->data + row * array->row_stride + start * array->stride;
    rows->level->read[rows->type][array->element](target, source, array->stride, length);
}

/* `count` rows, one behind the other, `target_stride` elements apart. */
static void read_rows(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, ptrdiff_t start,
                      ptrdiff_t length, char *target, ptrdiff_t target_stride) {
    ptrdiff_t size = type_size(rows->type);
    double lines[LONGEST_LINE * KLFAST_GROUP];
    if (count == 1 || !is_across(array)) {
        for (ptrdiff_t row = 0; row < count; row++)
            read_row(rows, array, row, start, length, target + row * target_stride * size);
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
static void read_tile(const klfast_rows *rows, const klfast_array *array, ptrdiff_t count, double *target) {
    ptrdiff_t size = type_size(rows->type), lanes = rows->unit, length = rows->length;
    double apart[TILE_DOUBLES];
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
    ptrdiff_t source_stride = array->row_stride / size;
    if (array->stride != size || !is_native(rows, array)) {
        int is_shared = array->row_stride == 0; /* one row for all lanes */
        source_stride = is_shared ? 0 : length;
        read_rows(rows, array, is_shared ? 1 : count, 0, length, (char *)apart, length);
        source = (const char *)apart;
    }
    rows->level->transpose[rows->type](target, lanes, source, source_stride, count, length);
}

/* ---- what a row is told ---- */

/* The sum that a sample lets expect for the whole row; 0 if it makes no sense. */
static double expected_sum(const klfast_rows *rows, const klfast_array *array, const klfast_array *mask,
                           ptrdiff_t sample_length) {
    double sample[LONGEST_SAMPLE], included[LONGEST_SAMPLE], sum[4] = {0};
    const float *narrow = (const float *)sample;
    ptrdiff_t gap = (rows->length - sample_length) / (SAMPLES - 1);
    for (ptrdiff_t s = 0; s < SAMPLES; s++) {
        read_row(rows, array, 0, s * gap, sample_length, sample);
        if (mask->data) {
            read_row(rows, mask, 0, s * gap, sample_length, included);
            rows->level->exclude[rows->type](sample, included, sample_length, 0.0);
        }
        for (ptrdiff_t i = 0; i < sample_length; i++)
            sum[i % 4] += rows->type == FLOAT32 ? (double)narrow[i] : sample[i];
    }
    double share = (double)rows->length / (double)(SAMPLES * sample_length);
    double total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * share;
    return total >= 0x1p-900 && total <= 0x1p900 ? total : 0.0;
}

static int looks_normalised(double sum) { return sum > 0.125 && sum < 8.0; }

/* The constant of the first walk. A row that looks normalised is taken for it. Others are summed first if they fit into
 * one block; longer ones get what a sample lets expect. A guess that proves too poor costs a second walk, never an
 * error. */
static void find_constant(klfast_row *told, const klfast_rows *rows, const klfast_array *a, const klfast_array *b,
                          const klfast_array *mask) {
    int is_long = rows->length > rows->operation->block_length;
    int constant = rows->operation->constant;
    if (rows->length < NEVER_SAMPLED || constant == SUMMED_QUOTIENT || (!is_long && constant == EXACT_QUOTIENT)) {
        told->walk = WALK_SUMS;
        return;
    }
    ptrdiff_t sample_length = is_long ? LONGEST_SAMPLE : SHORTEST_SAMPLE;
    double p = expected_sum(rows, a, mask, sample_length);
    double q = has_two(rows) ? expected_sum(rows, b, mask, sample_length) : p;
    if (looks_normalised(p) && looks_normalised(q)) return;
    if (!is_long || constant == EXACT_QUOTIENT) {
        told->walk = WALK_SUMS;
        return;
    }
    double guess = constant == SUM_OF_Q ? q : p > 0 ? p / q : 0.0;
    if (guess > 0x1p-100 && guess < 0x1p100) told->constant = told->is_float ? (double)(float)guess : guess;
}

static void begin_row(klfast_row *told, const klfast_rows *rows, ptrdiff_t outer, ptrdiff_t row) {
    klfast_array a = part_of(&rows->a, outer, row), b = part_of(&rows->b, outer, row), mask = rows->mask;
    if (mask.data) mask = part_of(&rows->mask, outer, row);
    memset(told, 0, sizeof *told);
    told->is_float = rows->type == FLOAT32;
    told->expects_zeros = rows->mask.data != NULL;
    told->scale_p = told->scale_q = told->constant = 1.0;
    told->walk = WALK_FAST;
    told->parameter = rows->parameter;
    if (rows->operation->constant != NO_CONSTANT) find_constant(told, rows, &a, &b, &mask);
    if (rows->labels) {
        ptrdiff_t label = (ptrdiff_t)rows->labels[outer * rows->row_count + row];
        rows->level->read[FLOAT64][a.element](&told->label_logit, a.data + label * a.stride, 0, 1);
    }
}

/* ---- walking ---- */

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
    ptrdiff_t parts = rows->strip / rows->unit, size = type_size(rows->type);
    const char *next = part_of(array, group->outer, group->first + (parts - group->part) * rows->unit).data;
    if (array->row_stride == 0) return ahead;
    if (is_across(array)) {
        ptrdiff_t done = group->part * ((rows->length + 3) / 4) + steps;
        ahead.step = parts > 1 ? array->stride : 4 * array->stride;
        ahead.line = parts > 1 ? KLFAST_LINE_BYTES : array->stride;
        ahead.start = next + done * ahead.step;
    } else if (array->row_stride == rows->length * array->stride) /* a step takes 256/size elements */
        ahead = (klfast_ahead){next, 4 * KLFAST_LINE_BYTES / size * array->stride, KLFAST_LINE_BYTES};
    return ahead;
}

static void begin_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part) {
    place_group(group, rows, unit, part);
    for (ptrdiff_t k = 0; k < group->count; k++) {
        group->is_done[k] = 0;
        begin_row(&group->told[k], rows, group->outer, group->first + k);
        if (rows->scratch_bytes == 0 || rows->length > rows->operation->block_length) continue;
        ptrdiff_t steps = k * rows->length / (4 * rows->unit);
        group->told[k].ahead_a = foresee(rows, group, &rows->a, steps);
        group->told[k].ahead_b = foresee(rows, group, has_two(rows) ? &rows->b : &rows->a, steps);
    }
}

static double *results_of(const klfast_group *group, const klfast_rows *rows, double *results) {
    return results + group->outer * rows->row_count + group->first;
}

/* A block of the rows of a group, as the kernels read it. */
typedef struct {
    const char *data;
    ptrdiff_t row_stride; /* in bytes */
} piece;

static piece take(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, ptrdiff_t start,
                  ptrdiff_t length, char *scratch, int is_read) {
    klfast_array part = part_of(array, group->outer, group->first);
    if (is_in_place(rows, array)) return (piece){part.data + start * part.stride, part.row_stride};
    ptrdiff_t stride = smaller(rows->length, rows->operation->block_length);
    int is_shared = part.row_stride == 0 && !rows->mask.data; /* one row for the whole group */
    if (!is_read) read_rows(rows, &part, is_shared ? 1 : group->count, start, length, scratch, stride);
    return (piece){scratch, is_shared ? 0 : stride * type_size(rows->type)};
}

static void exclude_masked(const klfast_rows *rows, piece values, piece mask, ptrdiff_t count, ptrdiff_t length) {
    for (ptrdiff_t k = 0; k < count; k++)
        rows->level->exclude[rows->type]((char *)values.data + k * values.row_stride, mask.data + k * mask.row_stride,
                                         length, rows->operation->neutral);
}

static void walk_block(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                       char *scratch, int is_read) {
    ptrdiff_t start = block * rows->operation->block_length;
    ptrdiff_t length = smaller(rows->length - start, rows->operation->block_length);
    ptrdiff_t area = rows->scratch_bytes / 3;
    piece a = take(rows, group, &rows->a, start, length, scratch, is_read);
    piece b = has_two(rows) ? take(rows, group, &rows->b, start, length, scratch + area, is_read) : a;
    if (rows->mask.data && !is_read) {
        piece mask = take(rows, group, &rows->mask, start, length, scratch + 2 * area, 0);
        exclude_masked(rows, a, mask, group->count, length);
        if (has_two(rows)) exclude_masked(rows, b, mask, group->count, length);
    }
    for (ptrdiff_t k = 0; k < group->count; k++)
        if (!group->is_done[k])
            rows->operation->block(&states[k], a.data + k * a.row_stride, b.data + k * b.row_stride, length,
                                   &group->told[k]);
}

/* Blocks are shared out only where there are no strips. */
void klfast_begin_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit) {
    begin_group(group, rows, unit, 0);
}

void klfast_walk_block(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                       void *scratch) {
    walk_block(group, rows, block, states, scratch, 0);
}

/* Finishes what can be finished; 1 if something is left. */
static int finish_group(klfast_group *group, const klfast_rows *rows, const klfast_state *states, double *results) {
    double *mine = results_of(group, rows, results);
    int is_left = 0;
    for (ptrdiff_t k = 0; k < group->count; k++) {
        if (group->is_done[k]) continue;
        group->is_done[k] = !rows->operation->finish(&states[k], &group->told[k], &mine[k]);
        is_left |= !group->is_done[k];
    }
    return is_left;
}

int klfast_end_group(klfast_group *group, const klfast_rows *rows, klfast_state *states, ptrdiff_t blocks,
                     double *results) {
    for (ptrdiff_t block = 1; block < blocks; block++)
        for (ptrdiff_t k = 0; k < group->count; k++)
            if (!group->is_done[k]) rows->operation->join(&states[k], &states[block * group->count + k]);
    return finish_group(group, rows, states, results);
}

static void walk_group(const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part, double *results, char *scratch) {
    klfast_group group;
    klfast_state totals[KLFAST_GROUP], states[KLFAST_GROUP];
    int walks = 0;
    begin_group(&group, rows, unit, part);
    do {
        /* the only block of a row is still there when the row is walked again */
        walk_block(&group, rows, 0, totals, scratch, walks > 0 && rows->length <= rows->operation->block_length);
        for (ptrdiff_t block = 1; block * rows->operation->block_length < rows->length; block++) {
            walk_block(&group, rows, block, states, scratch, 0);
            for (ptrdiff_t k = 0; k < group.count; k++)
                if (!group.is_done[k]) rows->operation->join(&totals[k], &states[k]);
        }
        walks++;
    } while (finish_group(&group, rows, totals, results));
}

/* One row of a tile that the tile could not finish. */
static double walk_lane(const klfast_rows *rows, const double *a, const double *b, ptrdiff_t lane) {
    double row_a[KLFAST_SHORT_ROW], row_b[KLFAST_SHORT_ROW], result;
    ptrdiff_t size = type_size(rows->type);
    for (ptrdiff_t i = 0; i < rows->length; i++) {
        memcpy((char *)row_a + i * size, (const char *)a + i * KLFAST_LINE_BYTES + lane * size, (size_t)size);
        memcpy((char *)row_b + i * size, (const char *)b + i * KLFAST_LINE_BYTES + lane * size, (size_t)size);
    }
    int element = 2 * (rows->type == FLOAT32 ? SINGLE : DOUBLE);
    klfast_rows one = *rows;
    one.a = (klfast_array){(const char *)row_a, 0, 0, size, element};
    one.b = (klfast_array){(const char *)row_b, 0, 0, size, element};
    one.mask.data = NULL;
    one.outer_count = one.row_count = one.unit = one.strip = one.units = 1;
    walk_group(&one, 0, 0, &result, NULL);
    return result;
}

static void read_tile_of(const klfast_rows *rows, const klfast_group *group, const klfast_array *array,
                         double *target) {
    klfast_array part = part_of(array, group->outer, group->first);
    read_tile(rows, &part, group->count, target);
}

static void walk_tile(const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part, double *results) {
    double a[TILE_DOUBLES], other[TILE_DOUBLES], mask[TILE_DOUBLES], values[KLFAST_GROUP];
    const double *b = has_two(rows) ? other : a;
    klfast_group group;
    place_group(&group, rows, unit, part);
    ptrdiff_t length = rows->length * rows->unit;
    read_tile_of(rows, &group, &rows->a, a);
    if (has_two(rows)) read_tile_of(rows, &group, &rows->b, other);
    if (rows->mask.data) {
        read_tile_of(rows, &group, &rows->mask, mask);
        rows->level->exclude[rows->type](a, mask, length, rows->operation->neutral);
        if (has_two(rows)) rows->level->exclude[rows->type](other, mask, length, rows->operation->neutral);
    }
    klfast_row told = {.ahead_a = foresee(rows, &group, &rows->a, 0),
                       .ahead_b = foresee(rows, &group, has_two(rows) ? &rows->b : &rows->a, 0),
                       .parameter = rows->parameter};
    unsigned certain = rows->operation->tile(values, a, b, length, group.count, &told);
    double *mine = results_of(&group, rows, results);
    for (ptrdiff_t lane = 0; lane < group.count; lane++)
        mine[lane] = certain >> lane & 1 ? values[lane] : walk_lane(rows, a, b, lane);
}

void klfast_walk_unit(const klfast_rows *rows, ptrdiff_t unit, double *results, void *scratch) {
    ptrdiff_t strips = rows->units / rows->outer_count;
    ptrdiff_t left = rows->row_count - unit % strips * rows->strip;
    for (ptrdiff_t part = 0; part * rows->unit < smaller(left, rows->strip); part++) {
        if (rows->is_tiled) walk_tile(rows, unit, part, results);
        else walk_group(rows, unit, part, results, scratch);
    }
}
