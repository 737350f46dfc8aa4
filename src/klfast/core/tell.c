/* What a row is told before it is walked: the constant of the first walk, the logit of its label. */
#include "rows.h"

enum {
    SHORTEST_SAMPLE = 4,
    LONGEST_SAMPLE = 128, /* multiples of four */
    NEVER_SAMPLED = 64,   /* rows below this length are summed at once */
};

/* Every fourth of `length` elements added up, `sum` of each quarter. */
static void add_up_sample(double sum[4], const klfast_rows *rows, const klfast_array *array, const klfast_array *mask,
                          ptrdiff_t start, ptrdiff_t length) {
    double sample[LONGEST_SAMPLE], included[LONGEST_SAMPLE];
    const float *narrow = (const float *)sample;
    klfast_read_row(rows, array, 0, start, length, sample);
    if (mask->data) {
        klfast_read_row(rows, mask, 0, start, length, included);
        rows->level->exclude[rows->type](sample, included, length, 0.0);
    }
    for (ptrdiff_t i = 0; i < length; i++) sum[i % 4] += rows->type == FLOAT32 ? (double)narrow[i] : sample[i];
}

/* The same where nothing stands between the array and its elements, four by four: for rows of a thousand entries the time
 * that this takes counts. */
#define ADD_UP_NATIVE(NAME, TYPE) \
    static inline void NAME##_apart(double sum[4], const char *at, ptrdiff_t stride, ptrdiff_t gap, ptrdiff_t length) { \
        double a = 0, b = 0, c = 0, d = 0; \
        for (ptrdiff_t s = 0; s < KLFAST_SAMPLES; s++, at += gap * stride) \
            for (ptrdiff_t i = 0; i < length; i += 4) { \
                const char *four = at + i * stride; \
                a += (double)*(const TYPE *)four; \
                b += (double)*(const TYPE *)(four + stride); \
                c += (double)*(const TYPE *)(four + 2 * stride); \
                d += (double)*(const TYPE *)(four + 3 * stride); \
            } \
        sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d; \
    } \
    static void NAME(double sum[4], const char *at, ptrdiff_t stride, ptrdiff_t gap, ptrdiff_t length) { \
        if (stride == sizeof(TYPE)) NAME##_apart(sum, at, sizeof(TYPE), gap, length); /* as vectors */ \
        else NAME##_apart(sum, at, stride, gap, length); \
    }
ADD_UP_NATIVE(add_up_floats, float)
ADD_UP_NATIVE(add_up_doubles, double)
#undef ADD_UP_NATIVE

ptrdiff_t klfast_sample(const klfast_rows *rows, ptrdiff_t *gap) {
    int is_long = rows->length > rows->operation->block_length, constant = rows->operation->constant;
    int is_summed = constant == SUMMED_QUOTIENT || (!is_long && constant == EXACT_QUOTIENT);
    if (rows->length < NEVER_SAMPLED || constant == NO_CONSTANT || is_summed) return 0;
    ptrdiff_t length = is_long ? LONGEST_SAMPLE : SHORTEST_SAMPLE;
    *gap = (rows->length - length) / (KLFAST_SAMPLES - 1);
    return length;
}

/* The sum that a sample lets expect for the whole row; 0 if it makes no sense. */
static double expected_sum(const klfast_rows *rows, const klfast_array *array, const klfast_array *mask,
                           ptrdiff_t sample_length, ptrdiff_t gap) {
    double sum[4] = {0};
    if (mask->data || !is_native(rows, array))
        for (ptrdiff_t s = 0; s < KLFAST_SAMPLES; s++) add_up_sample(sum, rows, array, mask, s * gap, sample_length);
    else if (rows->type == FLOAT32) add_up_floats(sum, array->data, array->stride, gap, sample_length);
    else add_up_doubles(sum, array->data, array->stride, gap, sample_length);
    double share = (double)rows->length / (double)(KLFAST_SAMPLES * sample_length);
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
    ptrdiff_t gap, sample_length = klfast_sample(rows, &gap);
    if (sample_length == 0) {
        told->walk = WALK_SUMS;
        return;
    }
    double p = expected_sum(rows, a, mask, sample_length, gap);
    double q = has_two(rows) ? expected_sum(rows, b, mask, sample_length, gap) : p;
    if (looks_normalised(p) && looks_normalised(q)) return;
    if (!is_long || constant == EXACT_QUOTIENT) {
        told->walk = WALK_SUMS;
        return;
    }
    double guess = constant == SUM_OF_Q ? q : p > 0 ? p / q : 0.0;
    if (guess > 0x1p-100 && guess < 0x1p100) told->constant = told->is_float ? (double)(float)guess : guess;
}

static double read_label(const klfast_rows *rows, ptrdiff_t row, ptrdiff_t which) {
    double label;
    const char *place = rows->labels.data + row * rows->labels.row_stride + which * rows->labels.stride;
    rows->level->read[FLOAT64][rows->labels.element](&label, place, 0, 1);
    return label;
}

void klfast_tell_label(klfast_row *told, const klfast_rows *rows, const klfast_array *a, const klfast_array *mask,
                       ptrdiff_t row, ptrdiff_t which) {
    const klfast_level *level = rows->level;
    double label = read_label(rows, row, which), cap = rows->parameters.softcap, is_included = 1.0;
    told->label_weight = rows->label_weights ? rows->label_weights[row] : 1.0;
    told->is_ignored = label == rows->parameters.ignored;
    told->label = -1;
    if (told->is_ignored) return;
    told->label = (ptrdiff_t)label;
    level->read[FLOAT64][a->element](&told->label_logit, a->data + told->label * a->stride, 0, 1);
    if (cap > 0 && !rows->is_capped) level->cap[FLOAT64](&told->label_logit, 1, cap);
    if (mask->data) level->read[FLOAT64][mask->element](&is_included, mask->data + told->label * mask->stride, 0, 1);
    if (is_included == 0) told->label_logit = rows->operation->neutral;
}

void klfast_tell_row(klfast_row *told, const klfast_rows *rows, ptrdiff_t outer, ptrdiff_t row) {
    klfast_array a = part_of(&rows->a, outer, row), b = part_of(&rows->b, outer, row), mask = rows->mask;
    ptrdiff_t number = outer * rows->row_count + row;
    if (mask.data) mask = part_of(&rows->mask, outer, row);
    memset(told, 0, sizeof *told);
    told->is_float = rows->type == FLOAT32;
    told->expects_zeros = rows->mask.data != NULL;
    told->scale_p = told->scale_q = told->aim = told->constant = 1.0;
    told->walk = WALK_FAST;
    told->parameters = &rows->parameters;
    told->temperature = &rows->temperature;
    told->gradient = rows->gradients ? rows->gradients[number] : 1.0;
    told->is_written = rows->is_written;
    told->label = -1;
    if (rows->operation->constant != NO_CONSTANT) find_constant(told, rows, &a, &b, &mask);
    if (!rows->labels.data) return;
    klfast_tell_label(told, rows, &a, &mask, number, 0);
    told->is_skipped = told->is_ignored;
    for (ptrdiff_t which = 1; told->is_skipped && which < rows->label_count; which++)
        told->is_skipped = read_label(rows, number, which) == rows->parameters.ignored;
}
