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

/* Whether lines of memory are what the kernels take for one element of all rows of a whole group. */
static int is_lines(const klfast_rows *rows, const klfast_array *array) {
    return is_across(array) && is_native(rows, array) && array->row_stride == type_size(rows->type);
}

/* Whether rows side by side are walked together, without being laid out. */
static int takes_strips(const klfast_rows *rows) {
    if (rows->is_tiled || !rows->operation->across || rows->mask.data || rows->excluded) return 0;
    return is_lines(rows, &rows->a) && (!has_two(rows) || is_lines(rows, &rows->b));
}

static ptrdiff_t count_units(const klfast_rows *rows) {
    ptrdiff_t strip = rows->unit * rows->parts;
    return rows->outer_count * ((rows->row_count + strip - 1) / strip);
}

void klfast_plan(klfast_rows *rows, int n_threads) {
    const klfast_operation *operation = &rows->level->operation[rows->operation_id][rows->type];
    ptrdiff_t line = KLFAST_LINE_BYTES / type_size(rows->type);
    int across = is_across(&rows->a) || (has_two_of(operation) && is_across(&rows->b));
    rows->operation = operation;
    rows->is_written = rows->out_a.data || rows->out_b.data;
    rows->is_tiled = rows->length <= operation->short_row;
    rows->unit = rows->is_tiled ? line : across ? smaller(line, rows->row_count) : 1;
    rows->is_strips = rows->unit == line && takes_strips(rows);
    /* neighbouring lines are fetched together: four at once cost hardly more than one, if they then stay in the cache; and
     * tiles are told the same, four at a time */
    int has_parts = rows->is_tiled || rows->is_strips || (across && rows->length <= LONGEST_STRIP);
    /* too few units for all threads: strips are cut into blocks instead, if they have any */
    int has_blocks = rows->is_strips && rows->length > operation->block_length;
    rows->parts = has_parts ? KLFAST_PARTS : 1;
    while (rows->parts > 1 && n_threads > 1 && !has_blocks && count_units(rows) < 4 * n_threads) rows->parts /= 2;
    rows->units = count_units(rows);
    rows->strip = rows->unit * rows->parts;
    int in_place = is_in_place(rows, &rows->a) && (!has_two(rows) || is_in_place(rows, &rows->b));
    ptrdiff_t area = rows->unit * smaller(rows->length, operation->block_length) * type_size(rows->type);
    rows->scratch_bytes = rows->is_tiled || (in_place && !rows->is_written) ? 0 : AREAS * area;
    rows->level->prepare_temperature(&rows->temperature, rows->parameters.temperature);
}

/* The rows of a part of a unit; a unit has as many parts as a strip has lines. */
void klfast_place_group(klfast_group *group, const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part) {
    ptrdiff_t strips = rows->units / rows->outer_count;
    group->part = part;
    group->outer = unit / strips;
    group->first = unit % strips * rows->strip + part * rows->unit;
    group->count = smaller(rows->unit, rows->row_count - group->first);
}

/* Which lines to ask for while part after part of a unit is computed, so that at its end the next one is in the cache; of rows
 * of a few elements, one of those after the next, which would come too late.
 * Where the elements of a row lie apart, a step asks for four lines of one element or, without strips, for one line of
 * four elements. `steps` have been taken in this part. */
klfast_ahead klfast_foresee(const klfast_rows *rows, const klfast_group *group, const klfast_array *array,
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
        ahead.start = next + done * ahead.step + KLFAST_LINE_BYTES - 1; /* if it begins within a line, that is here already */
    } else if (array->row_stride == rows->length * array->stride) { /* a step takes 256/size elements */
        ptrdiff_t unit_bytes = rows->unit * array->row_stride;
        if (unit_bytes < KLFAST_AHEAD_BYTES) next += KLFAST_AHEAD_BYTES - unit_bytes;
        ahead = (klfast_ahead){next, in_elements(rows->type, 4 * KLFAST_LINE_BYTES) * array->stride, KLFAST_LINE_BYTES};
    }
    return ahead;
}

/* What the rows of a group that is placed are told. */
static void begin_group(klfast_group *group, const klfast_rows *rows) {
    klfast_tell_rows(group->told, rows, group->outer, group->first, group->count);
    for (ptrdiff_t k = 0; k < group->count; k++) {
        group->is_done[k] = 0;
        if (rows->scratch_bytes == 0 || rows->length > rows->operation->block_length) continue;
        ptrdiff_t steps = k * rows->length / (4 * rows->unit);
        group->told[k].ahead_a = klfast_foresee(rows, group, &rows->a, steps);
        group->told[k].ahead_b = klfast_foresee(rows, group, has_two(rows) ? &rows->b : &rows->a, steps);
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

double *klfast_results_of(const klfast_group *group, const klfast_rows *rows, double *results) {
    return results + first_row(rows, group) * rows->label_count;
}

/* Whether groups are walked together now: whole ones, no row of them done, and all told to be summed, or to be walked fast. */
static int is_strip(const klfast_rows *rows, const klfast_group *groups, ptrdiff_t parts) {
    int walk = rows->is_strips && parts > 0 ? groups->told[0].walk : WALK_CAREFUL;
    if (walk != WALK_SUMS && walk != WALK_FAST) return 0;
    for (ptrdiff_t part = 0; part < parts; part++) {
        if (groups[part].count < rows->unit) return 0;
        for (ptrdiff_t k = 0; k < rows->unit; k++)
            if (groups[part].is_done[k] || groups[part].told[k].walk != walk) return 0;
    }
    return 1;
}

/* A block of groups that lie side by side -> the states of each, and bits that say which rows have them. */
static void walk_across(const klfast_group *groups, ptrdiff_t parts, const klfast_rows *rows, ptrdiff_t start,
                        ptrdiff_t length, klfast_state *states, unsigned *taken) {
    const klfast_array *b = has_two(rows) ? &rows->b : &rows->a;
    const char *p = part_of(&rows->a, groups->outer, groups->first).data;
    const char *q = part_of(b, groups->outer, groups->first).data;
    ptrdiff_t next = start + length;
    klfast_strip strip = {.p_stride = rows->a.stride, .q_stride = b->stride, .length = length, .parts = parts, .start = start};
    strip.p = p + start * strip.p_stride;
    strip.q = q + start * strip.q_stride;
    strip.later_p = p + parts * KLFAST_LINE_BYTES;
    strip.later_q = q + parts * KLFAST_LINE_BYTES;
    strip.next_p = next < rows->length ? p + next * strip.p_stride : strip.later_p;
    strip.next_q = next < rows->length ? q + next * strip.q_stride : strip.later_q;
    strip.sample_length = klfast_sample(rows, &strip.sample_gap);
    klfast_state *of[KLFAST_PARTS] = {NULL};
    const klfast_row *told[KLFAST_PARTS] = {NULL};
    for (ptrdiff_t part = 0; part < parts; part++) {
        of[part] = states + part * rows->unit;
        told[part] = groups[part].told;
    }
    rows->operation->across(of, &strip, told, taken);
}

/* Whether a block holds nothing but what is read where a mask excludes an entry. The comparisons end at the first entry that is
 * anything else. */
static int is_nothing(const klfast_rows *rows, const char *block, ptrdiff_t length, double neutral) {
    float narrow = (float)neutral;
    size_t size = (size_t)type_size(rows->type);
    if (memcmp(block, rows->type == FLOAT32 ? (const void *)&narrow : &neutral, size) != 0) return 0;
    return memcmp(block, block + size, (size_t)(length - 1) * size) == 0;
}

/* A block of nothing adds nothing. The kernels would find no constant for it, and look at it entry by entry. */
static void walk_row(const klfast_rows *rows, klfast_state *state, const char *a, const char *b, ptrdiff_t length,
                     const klfast_row *told) {
    const klfast_operation *operation = rows->operation;
    int is_empty = is_nothing(rows, a, length, operation->neutral);
    if (is_empty && has_two(rows)) is_empty = is_nothing(rows, b, length, operation->neutral_b);
    if (is_empty) memset(state, 0, sizeof *state);
    else operation->block(state, a, b, length, told);
}

/* Lays out and walks the rows of a block that are not yet `taken`. */
static void walk_one_by_one(const klfast_group *group, const klfast_rows *rows, ptrdiff_t start, ptrdiff_t length,
                            klfast_state *states, char *scratch, int is_read, unsigned taken) {
    klfast_piece a, b;
    klfast_take_block(rows, group, start, length, scratch, is_read, &a, &b);
    for (ptrdiff_t k = 0; k < group->count; k++)
        if (!(taken >> k & 1) && !group->is_done[k] && !group->told[k].is_skipped)
            walk_row(rows, &states[k], a.data + k * a.row_stride, b.data + k * b.row_stride, length, &group->told[k]);
}

/* The block of groups that are a strip; what it does not take is laid out. */
static void walk_strip_block(const klfast_group *groups, ptrdiff_t parts, const klfast_rows *rows, ptrdiff_t block,
                             klfast_state *states, char *scratch) {
    ptrdiff_t start = block * rows->operation->block_length;
    ptrdiff_t length = smaller(rows->length - start, rows->operation->block_length);
    unsigned taken[KLFAST_PARTS];
    walk_across(groups, parts, rows, start, length, states, taken);
    for (ptrdiff_t part = 0; part < parts; part++)
        if (taken[part] != (1u << groups[part].count) - 1)
            walk_one_by_one(&groups[part], rows, start, length, states + part * rows->unit, scratch, 0, taken[part]);
}

/* Returns whether the block is in scratch memory now, or was in its place. */
static int walk_block(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                      char *scratch, int is_read) {
    ptrdiff_t start = block * rows->operation->block_length;
    ptrdiff_t length = smaller(rows->length - start, rows->operation->block_length);
    if (is_strip(rows, group, 1)) {
        walk_strip_block(group, 1, rows, block, states, scratch);
        return 0;
    }
    walk_one_by_one(group, rows, start, length, states, scratch, is_read, 0);
    return 1;
}

static void join_block(const klfast_group *group, const klfast_rows *rows, klfast_state *totals,
                       const klfast_state *states) {
    for (ptrdiff_t k = 0; k < group->count; k++)
        if (!group->is_done[k] && !group->told[k].is_skipped)
            rows->operation->join(&totals[k], &states[k], &group->told[k]);
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
    double *mine = klfast_results_of(group, rows, results);
    int is_left = 0;
    for (ptrdiff_t k = 0; k < group->count; k++) {
        if (group->is_done[k]) continue;
        group->is_done[k] = 1;
        if (rows->label_count > 1) finish_labels(group, rows, &states[k], k, mine + k * rows->label_count);
        else group->is_done[k] = !rows->operation->finish(&states[k], &group->told[k], &mine[k]);
        is_left |= !group->is_done[k];
        if (rows->kl) rows->kl[first_row(rows, group) + k] = group->told[k].kl;
    }
    return is_left;
}

static void begin_parts(klfast_unit *unit, const klfast_rows *rows, ptrdiff_t number, ptrdiff_t parts) {
    unit->parts = parts;
    for (ptrdiff_t part = 0; part < parts; part++) {
        klfast_place_group(&unit->group[part], rows, number, part);
        begin_group(&unit->group[part], rows);
        unit->is_left[part] = 1;
    }
}

static void join_unit(const klfast_unit *unit, const klfast_rows *rows, klfast_state *totals, const klfast_state *states) {
    for (ptrdiff_t part = 0; part < unit->parts; part++)
        join_block(&unit->group[part], rows, totals + part * rows->unit, states + part * rows->unit);
}

void klfast_join_blocks(const klfast_unit *unit, const klfast_rows *rows, klfast_state *states, ptrdiff_t blocks) {
    for (ptrdiff_t block = 1; block < blocks; block++) join_unit(unit, rows, states, states + block * rows->strip);
}

void klfast_finish_unit(klfast_unit *unit, const klfast_rows *rows, const klfast_state *states, double *results) {
    unit->is_unfinished = 0;
    for (ptrdiff_t part = 0; part < unit->parts; part++) {
        unit->is_left[part] = finish_group(&unit->group[part], rows, states + part * rows->unit, results);
        unit->is_unfinished |= unit->is_left[part];
    }
}

/* Walks the rows of a group until all are done. */
static void walk_rows(klfast_group *group, const klfast_rows *rows, double *results, char *scratch) {
    klfast_state totals[KLFAST_GROUP], states[KLFAST_GROUP];
    ptrdiff_t block_length = rows->operation->block_length;
    int is_read = 0, is_one_block = rows->length <= block_length;
    do {
        /* the only block of a row is still there when the row is walked again */
        look_ahead(group, rows, 0);
        is_read = walk_block(group, rows, 0, totals, scratch, is_read && is_one_block);
        for (ptrdiff_t block = 1; block * block_length < rows->length; block++) {
            look_ahead(group, rows, block);
            walk_block(group, rows, block, states, scratch, 0);
            join_block(group, rows, totals, states);
        }
    } while (finish_group(group, rows, totals, results));
    if (!rows->is_written) return;
    klfast_write_rows(group, rows, 0, totals, scratch, is_one_block);
    for (ptrdiff_t block = 1; block * block_length < rows->length; block++) {
        klfast_write_rows(group, rows, block, states, scratch, 0);
        klfast_join_remainders(group, totals, states);
    }
    klfast_settle_remainders(group, rows, totals);
}

void klfast_walk_group(const klfast_rows *rows, ptrdiff_t unit, ptrdiff_t part, double *results, char *scratch) {
    klfast_group group;
    klfast_rows unmasked;
    klfast_place_group(&group, rows, unit, part);
    rows = klfast_unmasked(rows, &group, &unmasked);
    begin_group(&group, rows);
    walk_rows(&group, rows, results, scratch);
}

/* Groups side by side: as long as they are a strip together, they are walked together. Nothing is written. */
static void walk_strip(const klfast_rows *rows, ptrdiff_t number, ptrdiff_t parts, double *results, char *scratch) {
    klfast_unit unit;
    klfast_state totals[KLFAST_PARTS * KLFAST_GROUP], states[KLFAST_PARTS * KLFAST_GROUP];
    begin_parts(&unit, rows, number, parts);
    while (is_strip(rows, unit.group, parts)) {
        walk_strip_block(unit.group, parts, rows, 0, totals, scratch);
        for (ptrdiff_t block = 1; block * rows->operation->block_length < rows->length; block++) {
            walk_strip_block(unit.group, parts, rows, block, states, scratch);
            join_unit(&unit, rows, totals, states);
        }
        klfast_finish_unit(&unit, rows, totals, results);
    }
    for (ptrdiff_t part = 0; part < parts; part++)
        if (unit.is_left[part]) walk_rows(&unit.group[part], rows, results, scratch);
}

/* How many rows a unit has; `first` becomes its first part. */
static ptrdiff_t place_unit(klfast_group *first, const klfast_rows *rows, ptrdiff_t number) {
    klfast_place_group(first, rows, number, 0);
    return smaller(rows->strip, rows->row_count - first->first);
}

/* Whether none of so many rows counts. */
static int is_idle(const klfast_rows *rows, const klfast_group *first, ptrdiff_t count) {
    if (!rows->counted) return 0;
    for (ptrdiff_t k = 0; k < count; k++)
        if (rows->counted[first_row(rows, first) + k]) return 0;
    return 1;
}

void klfast_begin_unit(klfast_unit *unit, const klfast_rows *rows, ptrdiff_t number) {
    ptrdiff_t count = place_unit(&unit->group[0], rows, number);
    int idle = is_idle(rows, &unit->group[0], count);
    begin_parts(unit, rows, number, idle ? 0 : (count + rows->unit - 1) / rows->unit);
}

void klfast_walk_block(const klfast_unit *unit, const klfast_rows *rows, ptrdiff_t block, klfast_state *states, void *scratch) {
    if (is_strip(rows, unit->group, unit->parts)) walk_strip_block(unit->group, unit->parts, rows, block, states, scratch);
    else
        for (ptrdiff_t part = 0; part < unit->parts; part++)
            if (unit->is_left[part]) walk_block(&unit->group[part], rows, block, states + part * rows->unit, scratch, 0);
}

void klfast_walk_unit(const klfast_rows *rows, ptrdiff_t number, double *results, void *scratch) {
    klfast_group first;
    ptrdiff_t count = place_unit(&first, rows, number), part = 0;
    if (is_idle(rows, &first, count)) return;
    if (rows->is_tiled) {
        klfast_walk_tiles(rows, number, results);
        return;
    }
    if (rows->is_strips) part = count / rows->unit;
    if (part > 0) walk_strip(rows, number, part, results, scratch);
    for (; part * rows->unit < count; part++) klfast_walk_group(rows, number, part, results, scratch);
}
