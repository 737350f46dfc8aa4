/* Rows of terms -> sums, and results of the input's size, in one reading of the memory. Nothing here depends on the CPU level.
 *
 * A row is added up in blocks of TERM_BLOCK terms, counted from its beginning, and blocks are added in order: so the sum of a
 * row depends on its terms alone. Short rows go through one block together, several rows whose elements lie apart (an axis
 * that is not the last) as well; a long row is shared out in pieces of TERM_PIECE. */
#include "terms_places.h"

enum {
    MOST_ROWS = 64,   /* that are computed together */
    WIDE_BLOCK = 256, /* elements that are computed together, where floats do not do */
};

/* Terms of float sums outside: a term may have left the range of floats; the block is computed again in double. */
#define SMALLEST_TERM_SUM 0x1p-80
#define LARGEST_TERM_SUM 0x1p120

static int is_any_across(const klfast_term_call *call) {
    int across = 0;
    for (int k = 0; k < call->operation->inputs; k++) across |= is_across(&call->input[k]);
    return across && !call->offsets;
}

void klfast_plan_terms(klfast_term_call *call) {
    klfast_rows *rows = &call->rows;
    const klfast_term_operation *operation = &rows->level->terms[call->operation_id];
    ptrdiff_t length = rows->length > 0 ? rows->length : 1, line = KLFAST_LINE_BYTES / type_size(rows->type);
    call->operation = operation;
    call->fields = operation->summed + operation->largest + 2 * operation->is_tokens;
    int across = is_any_across(call);
    call->group = length > TERM_BLOCK ? 1 : smaller(TERM_BLOCK / length, MOST_ROWS);
    if (across) call->group = (call->group + line - 1) / line * line;
    if (!call->offsets) {
        call->pieces_of_row = length <= TERM_BLOCK || across ? 1 : (length + TERM_PIECE - 1) / TERM_PIECE;
        call->pieces = rows->outer_count * ((rows->row_count + call->group - 1) / call->group) * call->pieces_of_row;
    }
    ptrdiff_t block = across ? call->group * smaller(length, TERM_BLOCK) : TERM_BLOCK;
    call->scratch_bytes = block * ((operation->inputs + operation->values) * type_size(rows->type) + 1);
    call->scratch_bytes = (call->scratch_bytes + KLFAST_LINE_BYTES - 1) / KLFAST_LINE_BYTES * KLFAST_LINE_BYTES;
}

/* ---- what a row adds up to ---- */

static void begin_state(klfast_term_state *state) {
    memset(state, 0, sizeof *state);
    for (int k = 0; k < TERM_LARGEST; k++) state->largest[k] = -HUGE_VAL;
    state->last = -1;
}

static double larger(double a, double b) { return a != a || a > b ? a : b; }

static void join_states(klfast_term_state *into, const klfast_term_state *next) {
    for (int k = 0; k < TERM_VALUES; k++) add_sum(&into->sum[k], next->sum[k]);
    for (int k = 0; k < TERM_LARGEST; k++) into->largest[k] = larger(next->largest[k], into->largest[k]);
    into->count += next->count;
    if (next->last >= 0) into->last = next->last;
}

static void finish_row(const klfast_term_call *call, const klfast_term_state *state, double *result) {
    const klfast_term_operation *operation = call->operation;
    for (int k = 0; k < operation->summed; k++) *result++ = sum_value(state->sum[k]);
    for (int k = 0; k < operation->largest; k++) *result++ = state->largest[k];
    if (!operation->is_tokens) return;
    *result++ = state->count;
    *result = state->last;
}

static void find_largest(const klfast_term_call *call, klfast_term_state *state, void *const *values, ptrdiff_t offset,
                         ptrdiff_t length, int type) {
    const klfast_term_operation *operation = call->operation;
    for (int k = 0; k < operation->largest; k++) {
        const char *terms = (const char *)values[operation->values - operation->largest + k] + offset * type_size(type);
        state->largest[k] = larger(call->rows.level->largest_term[type](terms, length), state->largest[k]);
    }
}

/* Whether no term of a float sum can have left the range of floats, below or above. */
static int is_in_range(double sum) { return fabs(sum) >= SMALLEST_TERM_SUM && fabs(sum) <= LARGEST_TERM_SUM; }

/* Elements of a row, read and computed in double. */
typedef struct {
    double input[TERM_INPUTS][WIDE_BLOCK], value[TERM_VALUES][WIDE_BLOCK], sums[TERM_VALUES];
} wide_block;

static void read_wide(const klfast_term_call *call, const slice *row, const klfast_array *array, ptrdiff_t start,
                      ptrdiff_t length, double *target) {
    const char *source = begin_of(array, call, row) + start * array->stride;
    call->rows.level->read[FLOAT64][array->element](target, source, array->stride, length);
}

static void compute_wide(const klfast_term_call *call, const slice *row, const char *mask, ptrdiff_t start, ptrdiff_t length,
                         wide_block *wide) {
    klfast_term_block block = {.length = length, .parameters = &call->rows.parameters, .mask = mask ? mask + start : NULL};
    for (int k = 0; k < call->operation->inputs; k++) {
        read_wide(call, row, &call->input[k], start, length, wide->input[k]);
        block.input[k] = wide->input[k];
    }
    for (int k = 0; k < TERM_VALUES; k++) block.value[k] = wide->value[k];
    call->operation->compute[FLOAT64](&block, wide->sums);
}

static void add_up_wide(const klfast_term_call *call, klfast_term_state *state, const slice *row, const char *mask) {
    wide_block wide;
    void *values[TERM_VALUES];
    for (int k = 0; k < TERM_VALUES; k++) values[k] = wide.value[k];
    begin_state(state);
    for (ptrdiff_t i = 0; i < row->length; i += WIDE_BLOCK) {
        ptrdiff_t length = smaller(WIDE_BLOCK, row->length - i);
        compute_wide(call, row, mask, i, length, &wide);
        for (int k = 0; k < call->operation->summed; k++) add_number(&state->sum[k], wide.sums[k]);
        find_largest(call, state, values, 0, length, FLOAT64);
    }
}

/* Where the last token stands that counts, or -1; 32 at a time, because padding can be most of a row. */
static ptrdiff_t find_last(const char *mask, ptrdiff_t length) {
    uint64_t words[4];
    for (; length >= (ptrdiff_t)sizeof words; length -= (ptrdiff_t)sizeof words) {
        memcpy(words, mask + length - (ptrdiff_t)sizeof words, sizeof words);
        if (words[0] | words[1] | words[2] | words[3]) break;
    }
    while (length > 0 && !mask[length - 1]) length--;
    return length - 1;
}

static ptrdiff_t count_true(const char *mask, ptrdiff_t length) {
    enum { LANES = 64 };
    unsigned char lane[LANES] = {0}; /* at most TERM_BLOCK/LANES each */
    ptrdiff_t i = 0, count = 0;
    for (; i + LANES <= length; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += mask[i + j] != 0;
    for (int j = 0; j < LANES; j++) count += lane[j];
    for (; i < length; i++) count += mask[i] != 0;
    return count;
}

static void count_tokens(klfast_term_state *state, const char *mask, ptrdiff_t start, ptrdiff_t length) {
    ptrdiff_t last = mask ? find_last(mask, length) : length - 1;
    state->count = (double)(mask ? count_true(mask, length) : length);
    state->last = last >= 0 ? (double)(start + last) : -1;
}

/* ---- walking ---- */

typedef double row_sums[TERM_VALUES][MOST_ROWS];

/* What the slice's part of row number `k` of it comes down to; its terms begin at `offset`. */
static void end_row(const klfast_term_call *call, klfast_term_state *state, const slice *part, ptrdiff_t k, row_sums sums,
                    ptrdiff_t offset, ptrdiff_t length, const klfast_term_block *block) {
    const klfast_term_operation *operation = call->operation;
    const char *mask = block->mask ? block->mask + offset : NULL;
    int is_usual = 1;
    begin_state(state);
    for (int i = 0; i < operation->summed; i++) {
        state->sum[i].high = sums[i][k];
        is_usual &= is_in_range(sums[i][k]);
    }
    if (call->rows.type == FLOAT32 && !is_usual) {
        slice one = {part->outer, part->first + k, 1, part->start, length};
        add_up_wide(call, state, &one, mask);
    } else
        find_largest(call, state, block->value, offset, length, call->rows.type);
    if (operation->is_tokens) count_tokens(state, mask, part->start, length);
}

static ptrdiff_t length_in(const klfast_term_call *call, const slice *part, ptrdiff_t k) {
    return call->offsets && part->count > 1 ? row_length(call, part->first + k) : part->length;
}

/* ---- outputs ---- */

/* Whether floats have lost a term that its factor brings back: one beyond their range, or, of those that are squares where they
 * are small, one below it. */
static int is_lost(float term, double factor, int is_square) {
    if (fabs(factor) < 1) return !(fabsf(term) <= 0x1.fffffep127f);
    return is_square && fabs(factor) > 1 && fabsf(term) < 0x1p-126f;
}

/* Whether a row may have such terms. One beyond the range shows in the sum; of those below it, none between equal numbers. */
static int may_be_lost(const klfast_term_call *call, const klfast_term_block *block, ptrdiff_t offset, ptrdiff_t length,
                       double sum, double factor) {
    if (call->rows.type != FLOAT32) return 0;
    if (!(fabs(sum) <= LARGEST_TERM_SUM)) return 1;
    if (!call->operation->is_square || !(fabs(factor) > 1)) return 0;
    const float *term = (const float *)block->value[0] + offset, *x = (const float *)block->input[0] + offset,
                *y = (const float *)block->input[1] + offset;
    int is_any = 0;
    for (ptrdiff_t i = 0; i < length; i++) is_any |= fabsf(term[i]) < 0x1p-126f;
    for (ptrdiff_t i = 0; is_any && i < length; i++)
        if (fabsf(term[i]) < 0x1p-126f && x[i] != y[i]) return 1;
    return 0;
}

/* Terms of float times their factors, one for each; those that are lost are computed again in double. */
static void scale_lost(const klfast_term_call *call, const slice *row, const char *mask, ptrdiff_t start, ptrdiff_t length,
                       int which, const double *factors, float *terms) {
    wide_block wide;
    float kept[WIDE_BLOCK];
    const double *exact = wide.value[which];
    compute_wide(call, row, mask, start, length, &wide);
    memcpy(kept, terms, (size_t)length * sizeof *terms);
    call->rows.level->scale_each[FLOAT32](terms, factors, mask ? mask + start : NULL, length);
    for (ptrdiff_t i = 0; i < length; i++)
        if (is_lost(kept[i], factors[i], call->operation->is_square) && (!mask || mask[start + i]))
            terms[i] = (float)(exact[i] * factors[i] + 0.0);
}

/* Terms number `which` of a row times the factors of the elements, or of the row. */
static void scale_row(const klfast_term_call *call, const slice *row, const char *mask, int which, int is_any_lost,
                      double factor_of_row, char *values) {
    const klfast_rows *rows = &call->rows;
    double factors[WIDE_BLOCK];
    for (ptrdiff_t i = 0; i < row->length; i += WIDE_BLOCK) {
        ptrdiff_t length = smaller(WIDE_BLOCK, row->length - i);
        if (call->factor.data) read_wide(call, row, &call->factor, i, length, factors);
        else
            for (ptrdiff_t j = 0; j < length; j++) factors[j] = factor_of_row;
        char *here = values + i * type_size(rows->type);
        if (is_any_lost) scale_lost(call, row, mask, i, length, which, factors, (float *)here);
        else rows->level->scale_each[rows->type](here, factors, mask ? mask + i : NULL, length);
    }
}

/* Terms of one row, to be multiplied by *factor unless it is NULL -> the output. */
static void store_row(const klfast_term_call *call, const slice *row, const klfast_array *array, const char *mask,
                      const double *factor, char *values) {
    const klfast_rows *rows = &call->rows;
    char *target = (char *)begin_of(array, call, row);
    if (factor) {
        int is_direct = is_native(rows, array) && array->stride == type_size(rows->type);
        rows->level->scale_terms[rows->type](is_direct ? target : values, values, mask, row->length, *factor);
        if (is_direct) return;
    }
    store_chosen(rows, array, target, call->operation->is_kept ? mask : NULL, values, row->length);
}

static int is_stored(const klfast_term_call *call, const slice *part, const klfast_term_block *block, int k) {
    const klfast_array *output = &call->output[k];
    int which = call->operation->written + k;
    return which < call->operation->values && output->data && block->value[which] != begin_of(output, call, part);
}

/* Row by row: what is stored may take the place of the inputs, which lost terms are computed from. */
static void store_outputs(const klfast_term_call *call, const slice *part, const klfast_term_block *block, row_sums sums) {
    const double *factor = call->rows.gradients;
    int written = call->operation->written, stored[TERM_OUTPUTS], is_any = 0;
    for (int k = 0; k < TERM_OUTPUTS; k++) is_any |= stored[k] = is_stored(call, part, block, k);
    if (factor) factor += part->outer * call->rows.row_count + part->first;
    for (ptrdiff_t r = 0, offset = 0; is_any && r < part->count; r++) {
        slice row = {part->outer, part->first + r, 1, part->start, length_in(call, part, r)};
        const char *mask = block->mask ? block->mask + offset : NULL;
        ptrdiff_t begin = offset * type_size(call->rows.type);
        int is_any_lost = is_scaled(call) && may_be_lost(call, block, offset, row.length, sums[0][r], factor ? factor[r] : 0);
        int is_apart = call->factor.data || is_any_lost;
        for (int k = 0; is_apart && k < TERM_OUTPUTS; k++)
            if (stored[k])
                scale_row(call, &row, mask, written + k, is_any_lost, factor ? factor[r] : 0,
                          (char *)block->value[written + k] + begin);
        for (int k = 0; k < TERM_OUTPUTS; k++)
            if (stored[k])
                store_row(call, &row, &call->output[k], mask, factor && !is_apart ? &factor[r] : NULL,
                          (char *)block->value[written + k] + begin);
        offset += row.length;
    }
}

/* Rows, of which most are short, added up when they are all computed. */
static void sum_rows(const klfast_term_call *call, const slice *part, const char *value, double *sums) {
    const klfast_rows *rows = &call->rows;
    if (!call->offsets) {
        rows->level->sum_rows[rows->type](sums, value, part->count, part->length);
        return;
    }
    for (ptrdiff_t k = 0; k < part->count; k++) {
        ptrdiff_t length = length_in(call, part, k);
        rows->level->sum_rows[rows->type](&sums[k], value, 1, length);
        value += length * type_size(rows->type);
    }
}

/* Row by row, each added up while it is computed. */
static void compute_rows(const klfast_term_call *call, const slice *part, const klfast_term_block *block, row_sums sums) {
    const klfast_term_operation *operation = call->operation;
    ptrdiff_t size = type_size(call->rows.type);
    klfast_term_block row = *block;
    double sum[TERM_VALUES];
    for (ptrdiff_t k = 0; k < part->count; k++) {
        row.length = length_in(call, part, k);
        operation->compute[call->rows.type](&row, sum);
        for (int i = 0; i < operation->summed; i++) sums[i][k] = sum[i];
        for (int i = 0; i < operation->inputs; i++) row.input[i] = (const char *)row.input[i] + row.length * size;
        for (int i = 0; i < operation->values; i++) row.value[i] = (char *)row.value[i] + row.length * size;
        if (row.mask) row.mask += row.length;
    }
}

/* Computes a slice, and adds it up row by row: states[k] for row first + k; or, where that is all there is to know, results[k],
 * if `results` is not NULL. */
static void walk_slice(const klfast_term_call *call, const slice *part, klfast_term_state *states, double *results,
                       char *scratch) {
    const klfast_term_operation *operation = call->operation;
    int type = call->rows.type, is_plain = results && operation->summed == 1 && !operation->largest && !operation->is_tokens;
    ptrdiff_t area = elements_of(call, part) * type_size(type);
    klfast_term_block block = {.length = elements_of(call, part), .parameters = &call->rows.parameters};
    row_sums sums;
    for (int k = 0; k < operation->inputs; k++, scratch += area)
        block.input[k] = take_input(call, part, &call->input[k], scratch);
    for (int k = 0; k < operation->values; k++, scratch += area) {
        int which = k - operation->written;
        block.value[k] = which >= 0 && which < TERM_OUTPUTS ? place_output(call, part, &call->output[which], scratch) : scratch;
        block.is_output |= block.value[k] != scratch;
    }
    block.mask = take_mask(call, part, scratch);
    if (block.length > part->count * KLFAST_SHORT_ROW) compute_rows(call, part, &block, sums);
    else {
        operation->compute[type](&block, NULL);
        for (int i = 0; i < operation->summed; i++) sum_rows(call, part, block.value[i], sums[i]);
    }
    for (ptrdiff_t k = 0, offset = 0; k < part->count; k++) {
        ptrdiff_t length = length_in(call, part, k);
        klfast_term_state state;
        if (is_plain && (type == FLOAT64 || is_in_range(sums[0][k]))) results[k] = sums[0][k];
        else {
            end_row(call, &state, part, k, sums, offset, length, &block);
            if (results) finish_row(call, &state, results + k * call->fields);
            else join_states(&states[k], &state);
        }
        offset += length;
    }
    store_outputs(call, part, &block, sums);
}

/* Elements start .. end of rows of one length, block by block. */
static void walk_blocks(const klfast_term_call *call, slice part, ptrdiff_t end, klfast_term_state *states, char *scratch) {
    for (ptrdiff_t k = 0; k < part.count; k++) begin_state(&states[k]);
    for (; part.start < end; part.start += TERM_BLOCK) {
        part.length = smaller(TERM_BLOCK, end - part.start);
        walk_slice(call, &part, states, NULL, scratch);
    }
}

static double *results_of(const klfast_term_call *call, const slice *part, double *results) {
    return results + (part->outer * call->rows.row_count + part->first) * call->fields;
}

/* Whole rows of one length. */
static void walk_rows(const klfast_term_call *call, slice part, double *results, char *scratch) {
    klfast_term_state states[KLFAST_GROUP];
    double *mine = results_of(call, &part, results);
    part.length = row_length(call, part.first);
    if (part.length <= TERM_BLOCK) {
        walk_slice(call, &part, NULL, mine, scratch);
        return;
    }
    walk_blocks(call, part, part.length, states, scratch);
    for (ptrdiff_t k = 0; k < part.count; k++) finish_row(call, &states[k], mine + k * call->fields);
}

/* Rows of any lengths: as many as fit into a block together, long ones by themselves. */
static void walk_ragged(const klfast_term_call *call, ptrdiff_t row, ptrdiff_t end, double *results, char *scratch) {
    while (row < end) {
        slice part = {0, row, 1, 0, row_length(call, row)};
        while (part.first + part.count < end && part.count < MOST_ROWS &&
               part.length + row_length(call, part.first + part.count) <= TERM_BLOCK)
            part.length += row_length(call, part.first + part.count++);
        if (part.count == 1) walk_rows(call, part, results, scratch);
        else walk_slice(call, &part, NULL, results_of(call, &part, results), scratch);
        row += part.count;
    }
}

/* The rows of a piece, or the part of a long row. */
static slice place_piece(const klfast_term_call *call, ptrdiff_t piece) {
    slice part = {0};
    if (call->offsets) {
        ptrdiff_t next = piece + 1 < call->pieces ? call->piece_row[piece + 1] : call->rows.row_count;
        part.first = call->piece_row[piece];
        part.start = call->piece_start[piece];
        part.count = next > part.first ? next - part.first : 1;
        return part;
    }
    ptrdiff_t groups = (call->rows.row_count + call->group - 1) / call->group, group = piece / call->pieces_of_row;
    part.outer = group / groups;
    part.first = group % groups * call->group;
    part.count = smaller(call->group, call->rows.row_count - part.first);
    part.start = piece % call->pieces_of_row * TERM_PIECE;
    return part;
}

static int is_shared_out(const klfast_term_call *call, const slice *part) {
    return call->offsets ? row_length(call, part->first) > TERM_PIECE : call->pieces_of_row > 1;
}

void klfast_walk_terms(const klfast_term_call *call, ptrdiff_t piece, double *results, klfast_term_state *states,
                       void *scratch) {
    slice part = place_piece(call, piece);
    ptrdiff_t end = smaller(part.start + TERM_PIECE, row_length(call, part.first));
    if (is_shared_out(call, &part)) walk_blocks(call, part, end, &states[piece], scratch);
    else if (call->offsets) walk_ragged(call, part.first, part.first + part.count, results, scratch);
    else walk_rows(call, part, results, scratch);
}

void klfast_join_terms(const klfast_term_call *call, double *results, const klfast_term_state *states) {
    klfast_term_state whole;
    for (ptrdiff_t piece = 0; piece < call->pieces; piece++) {
        slice part = place_piece(call, piece);
        if (!is_shared_out(call, &part)) continue;
        if (part.start == 0) begin_state(&whole);
        join_states(&whole, &states[piece]);
        if (part.start + TERM_PIECE >= row_length(call, part.first)) finish_row(call, &whole, results_of(call, &part, results));
    }
}
