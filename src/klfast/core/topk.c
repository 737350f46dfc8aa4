/* The k largest logits of every row.
 *
 * First the maxima of groups of elements are found, block by block, and while a block is in the nearest cache, the mass of each
 * group. What at least k of the maxima reach, at least k elements reach, and only the groups that do are looked at once more:
 * for the elements, and for the mass of what is below the k-th largest logit in them. So nearly nothing but one sweep over the
 * row costs time. Where groups are too short for that, the mass is summed in a second sweep. */
#include "rows.h"

/* What is counted 0 beside exp(largest/T) is nothing beside this share of it: in sums of floats, and in those of doubles. */
#define SURE_OF_FLOATS 0x1p-80
#define SURE_OF_DOUBLES 0x1p-900

enum {
    SHORTEST_SUMMED_GROUP = 128, /* elements: of shorter groups, the sums would cost more than another sweep */
    MOST_HALVINGS = 24, /* then the bound is as good as it gets, or numbers are equal */
    CAREFUL_BLOCK = 256, /* elements that are computed together in double; a divisor of the blocks' length */
};

void klfast_plan_topk(klfast_topk_call *call) {
    klfast_rows *rows = &call->rows;
    rows->operation_id = LOGITS_LOGSUMEXP;
    klfast_plan(rows, 1);
    rows->is_tiled = 0;
    rows->parts = 1;
    rows->unit = rows->strip = is_across(&rows->a) ? smaller(KLFAST_LINE_BYTES / type_size(rows->type), rows->row_count) : 1;
    rows->units = rows->outer_count * ((rows->row_count + rows->unit - 1) / rows->unit);
    rows->scratch_bytes = AREAS * rows->unit * smaller(rows->length, rows->operation->block_length) * 8;
    call->group = LONGEST_TOPK_GROUP; /* enough of them for a good bound */
    while (call->group > SHORTEST_TOPK_GROUP && rows->length / call->group < 2 * call->k) call->group /= 2;
    if (rows->length / call->group < 2 * call->k) call->group = 1;
    call->groups = (rows->length + call->group - 1) / call->group;
    call->has_masses = call->group >= SHORTEST_SUMMED_GROUP;
    call->blocks = (rows->length + rows->operation->block_length - 1) / rows->operation->block_length;
    call->room = smaller(4 * call->k, rows->length) + LONGEST_TOPK_GROUP;
    ptrdiff_t numbers = rows->unit * (call->groups + (call->has_masses ? call->groups + call->blocks : 0));
    call->scratch_bytes = rows->scratch_bytes + numbers * (ptrdiff_t)sizeof(double) +
                          call->room * (ptrdiff_t)sizeof(klfast_candidate);
    call->scratch_bytes = (call->scratch_bytes + KLFAST_LINE_BYTES - 1) / KLFAST_LINE_BYTES * KLFAST_LINE_BYTES;
}

/* ---- selecting ---- */

/* The bits of a number as integers in the order of the numbers, and back: the same. */
static int64_t ordered(int64_t bits) { return bits < 0 ? bits ^ INT64_MAX : bits; }

/* Halfway between two numbers; or, between their bits, which gets on where they are far apart, or one is infinite. */
static double halfway(double low, double high, int of_bits) {
    int64_t a = ordered(bits_f64(low)), b = ordered(bits_f64(high));
    double middle = 0.5 * low + 0.5 * high;
    if (!of_bits && middle > low && middle < high) return middle;
    return from_bits_f64(ordered((a >> 1) + (b >> 1) + (a & b & 1))); /* their sum may be too large */
}

/* A bound that at least k of `count` numbers reach, and hardly more of them, found by halving. NaN reaches nothing. */
static double bound_of_largest(const klfast_level *level, const double *numbers, ptrdiff_t count, ptrdiff_t k) {
    double low = -HUGE_VAL, high = -HUGE_VAL;
    ptrdiff_t enough = k + k / 8;
    for (ptrdiff_t i = 0; i < count; i++) high = numbers[i] > high ? numbers[i] : high;
    if (k == 1) return high;
    for (int step = 0; step < MOST_HALVINGS && low < high; step++) {
        double bound = halfway(low, high, step % 2 == 0);
        ptrdiff_t reach = level->count_reaching(numbers, count, bound);
        if (reach < k) high = bound;
        else low = bound;
        if (reach >= k && reach <= enough) break;
    }
    return low;
}

/* Larger logits first; of equal ones the lower id. */
static int comes_before(klfast_candidate a, klfast_candidate b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
}

/* Shell's sort, each gap four ninths of the one before: there are hardly more candidates than k, and mostly some dozens. */
static void keep_best(klfast_candidates *found, ptrdiff_t k) {
    klfast_candidate *memory = found->memory;
    ptrdiff_t gap = found->count;
    while (gap > 1) {
        gap = gap > 4 ? 4 * gap / 9 : 1;
        for (ptrdiff_t i = gap; i < found->count; i++) {
            klfast_candidate moved = memory[i];
            ptrdiff_t place = i;
            for (; place >= gap && comes_before(moved, memory[place - gap]); place -= gap) memory[place] = memory[place - gap];
            memory[place] = moved;
        }
    }
    found->count = smaller(found->count, k);
}

/* ---- one row ---- */

typedef struct {
    const klfast_topk_call *call;
    const klfast_group *group;
    ptrdiff_t k;             /* which row of the group */
    const double *maxima;    /* of its groups of elements */
    const double *masses, *references; /* of its groups, in units of exp(reference/T) of their block */
    char *scratch;           /* for blocks */
    klfast_candidates found;
} row_search;

static const char *block_of_row(const row_search *search, ptrdiff_t start, ptrdiff_t length) {
    klfast_piece a, b;
    klfast_take_block(&search->call->rows, search->group, start, length, search->scratch, 0, &a, &b);
    return a.data + search->k * a.row_stride;
}

/* Elements first .. first + length, which lie at x. Where there is no room left, only the best are kept, and from then on only
 * what is larger than all but k of them, as equal ones have higher ids. */
static void look_for_candidates(row_search *search, const char *x, ptrdiff_t first, ptrdiff_t length, double *least,
                                int *is_strict) {
    const klfast_topk_call *call = search->call;
    ptrdiff_t done = 0, size = type_size(call->rows.type);
    while (done < length) {
        ptrdiff_t seen = call->rows.level->find_candidates[call->rows.type](
            &search->found, x + done * size, first + done, length - done, *least, *is_strict, call->room);
        done += seen;
        if (done == length) break;
        keep_best(&search->found, call->k);
        *least = search->found.memory[call->k - 1].value;
        *is_strict = 1;
    }
}

static void find_best(row_search *search) {
    const klfast_topk_call *call = search->call;
    const klfast_rows *rows = &call->rows;
    ptrdiff_t block = rows->operation->block_length;
    double least = -HUGE_VAL;
    int is_strict = 0;
    search->found.count = 0;
    if (call->groups >= call->k) least = bound_of_largest(rows->level, search->maxima, call->groups, call->k);
    for (ptrdiff_t start = 0; start < rows->length; start += block) {
        ptrdiff_t length = smaller(rows->length - start, block);
        ptrdiff_t group = start / call->group;
        const char *x = NULL;
        for (ptrdiff_t i = 0; i < length; i += call->group, group++) {
            if (!(search->maxima[group] >= least)) continue;
            if (!x) x = block_of_row(search, start, length);
            look_for_candidates(search, x + i * type_size(rows->type), start + i, smaller(call->group, length - i), &least,
                                &is_strict);
        }
    }
    keep_best(&search->found, call->k);
}

/* The same sum in double, from differences, NaN for NaN: for any logits. Its unit is exp(reference/T); a reference of NaN
 * becomes the largest logit below the limit. */
static double careful_mass(const row_search *search, double limit, double *reference, double *equal) {
    klfast_rows wide = search->call->rows;
    double x[CAREFUL_BLOCK], largest = -HUGE_VAL;
    wide_sum mass = {0, 0};
    wide.type = FLOAT64;
    for (int walk = *reference == *reference; walk < 2; walk++) {
        if (walk == 1 && *reference != *reference) *reference = largest;
        for (ptrdiff_t start = 0; start < wide.length; start += CAREFUL_BLOCK) {
            ptrdiff_t length = smaller(wide.length - start, CAREFUL_BLOCK), block = wide.operation->block_length;
            ptrdiff_t begin = start / block * block;
            const char *narrow = block_of_row(search, begin, smaller(wide.length - begin, block));
            ptrdiff_t size = type_size(search->call->rows.type);
            wide.level->read[FLOAT64][2 * (size == 4 ? SINGLE : DOUBLE)](x, narrow + start % block * size, size, length);
            for (ptrdiff_t i = 0; i < length; i++) {
                if (walk == 1) *equal += x[i] == limit;
                if (x[i] >= limit) continue;
                if (walk == 0) largest = fmax(largest, x[i]);
                else add_number(&mass, wide.level->exp_over_difference(x[i], *reference, &wide.temperature));
            }
        }
    }
    return sum_value(mass);
}

/* What lies at the same place of the next row, if rows are read where they lie. */
static const char *beside_in_next_row(const row_search *search, const char *x) {
    const klfast_rows *rows = &search->call->rows;
    return is_in_place(rows, &rows->a) ? x + rows->a.row_stride : x;
}

/* The mass of all elements below `limit` in units of exp(largest/T), by a sweep over the row. */
static double sweep_mass(const row_search *search, double limit, double largest, double *equal) {
    const klfast_rows *rows = &search->call->rows;
    ptrdiff_t block = rows->operation->block_length;
    wide_sum sum = {0, 0};
    for (ptrdiff_t start = 0; start < rows->length; start += block) {
        ptrdiff_t length = smaller(rows->length - start, block);
        const char *x = block_of_row(search, start, length);
        rows->level->mass_below[rows->type](&sum, equal, x, beside_in_next_row(search, x), length, limit, largest,
                                            &rows->temperature);
    }
    return sum_value(sum);
}

/* The same in one block, from the masses of its groups; those that hold `limit` or more are summed anew, without that. */
static void add_masses(wide_sum *sum, const row_search *search, ptrdiff_t start, double limit, double largest, double *equal) {
    const klfast_topk_call *call = search->call;
    const klfast_rows *rows = &call->rows;
    ptrdiff_t block = rows->operation->block_length, length = smaller(rows->length - start, block);
    ptrdiff_t group = start / call->group;
    double share = rows->level->exp_over_difference(search->references[start / block], largest, &rows->temperature);
    const char *x = NULL;
    for (ptrdiff_t i = 0; i < length; i += call->group, group++) {
        if (search->maxima[group] < limit) {
            add_number(sum, search->masses[group] * share);
            continue;
        }
        if (!x) x = block_of_row(search, start, length);
        const char *at = x + i * type_size(rows->type);
        rows->level->mass_below[rows->type](sum, equal, at, at, smaller(call->group, length - i), limit, largest,
                                            &rows->temperature);
    }
}

static double join_masses(const row_search *search, double limit, double largest, double *equal) {
    const klfast_rows *rows = &search->call->rows;
    wide_sum sum = {0, 0};
    for (ptrdiff_t start = 0; start < rows->length; start += rows->operation->block_length)
        add_masses(&sum, search, start, limit, largest, equal);
    return sum_value(sum);
}

/* The mass of all that is not among the best, in units of exp(largest/T). */
static double find_tail(const row_search *search) {
    const klfast_rows *rows = &search->call->rows;
    const klfast_candidate *best = search->found.memory;
    ptrdiff_t k = search->call->k, chosen = 0;
    double largest = best[0].value, limit = best[k - 1].value, equal = 0, mass;
    while (chosen < k && best[k - 1 - chosen].value == limit) chosen++;
    if (limit == -HUGE_VAL) return careful_mass(search, limit, &largest, &equal);
    int is_in_range = fabs(largest) <= rows->level->exp_limit[rows->type] * rows->temperature.value;
    if (!is_in_range) mass = careful_mass(search, limit, &largest, &equal);
    else if (search->call->has_masses) mass = join_masses(search, limit, largest, &equal);
    else mass = sweep_mass(search, limit, largest, &equal);
    double of_equal = (equal - (double)chosen) * rows->level->exp_over_difference(limit, largest, &rows->temperature);
    int is_of_floats = is_in_range && rows->type == FLOAT32;
    if (mass < (is_of_floats ? SURE_OF_FLOATS : SURE_OF_DOUBLES)) { /* once more, in units of the largest of the others */
        double reference = NAN, ignored = 0;
        mass = careful_mass(search, limit, &reference, &ignored);
        mass = mass > 0 ? mass * rows->level->exp_over_difference(reference, largest, &rows->temperature) : 0.0;
    }
    return mass + of_equal;
}

/* A row of nothing but -inf, or with NaN or +inf, has no probabilities. */
static void give_up(const klfast_topk_call *call, double *logprobs, ptrdiff_t *ids, double *tail) {
    for (ptrdiff_t i = 0; i < call->k; i++) {
        ids[i] = i;
        logprobs[i] = NAN;
    }
    *tail = NAN;
}

static void finish_row(const row_search *search, double *logprobs, ptrdiff_t *ids, double *tail) {
    const klfast_rows *rows = &search->call->rows;
    const klfast_candidate *best = search->found.memory;
    ptrdiff_t k = search->call->k;
    if (search->found.count < k || fabs(best[0].value) == HUGE_VAL) {
        give_up(search->call, logprobs, ids, tail);
        return;
    }
    double mass = find_tail(search);
    if (mass != mass) {
        give_up(search->call, logprobs, ids, tail);
        return;
    }
    wide_sum others = {mass, 0};
    for (ptrdiff_t i = 1; i < k; i++)
        add_number(&others, rows->level->exp_over_difference(best[i].value, best[0].value, &rows->temperature));
    double log_total = rows->level->log1p(sum_value(others));
    for (ptrdiff_t i = 0; i < k; i++) {
        ids[i] = best[i].id;
        logprobs[i] = (best[i].value - best[0].value) * rows->temperature.inverse - log_total;
    }
    *tail = mass / (1.0 + sum_value(others));
}

/* What a block's groups come down to, for every row of the group of rows. */
static void sum_up_block(const row_search *search, ptrdiff_t start, double *maxima, double *masses, double *references) {
    const klfast_topk_call *call = search->call;
    const klfast_rows *rows = &call->rows;
    ptrdiff_t block = rows->operation->block_length, length = smaller(rows->length - start, block);
    klfast_piece a, b;
    klfast_take_block(rows, search->group, start, length, search->scratch, 0, &a, &b);
    for (ptrdiff_t k = 0; k < search->group->count; k++) {
        ptrdiff_t at = k * call->groups + start / call->group;
        const char *x = a.data + k * a.row_stride;
        rows->level->group_maxima[rows->type](maxima + at, x, length, call->group);
        if (!call->has_masses) continue;
        double *reference = references + k * call->blocks + start / block;
        rows->level->group_masses[rows->type](masses + at, reference, maxima + at, x, length, call->group, &rows->temperature);
    }
}

void klfast_walk_topk(const klfast_topk_call *call, ptrdiff_t unit, double *logprobs, ptrdiff_t *ids, double *tails,
                      void *memory) {
    const klfast_rows *rows = &call->rows;
    ptrdiff_t strips = rows->units / rows->outer_count, all = rows->unit * call->groups;
    klfast_group group = {.outer = unit / strips, .first = unit % strips * rows->unit};
    double *maxima = (double *)((char *)memory + rows->scratch_bytes), *masses = maxima + all, *references = masses;
    row_search search = {.call = call, .group = &group, .scratch = memory};
    if (call->has_masses) references = masses + all;
    search.found.memory = (klfast_candidate *)(references + (call->has_masses ? rows->unit * call->blocks : 0));
    group.count = smaller(rows->unit, rows->row_count - group.first);
    for (ptrdiff_t start = 0; start < rows->length; start += rows->operation->block_length)
        sum_up_block(&search, start, maxima, masses, references);
    for (ptrdiff_t k = 0; k < group.count; k++) {
        ptrdiff_t row = first_row(rows, &group) + k;
        search.k = k;
        search.maxima = maxima + k * call->groups;
        search.masses = masses + k * call->groups;
        search.references = references + k * call->blocks;
        find_best(&search);
        finish_row(&search, logprobs + row * call->k, ids + row * call->k, tails + row);
    }
}
