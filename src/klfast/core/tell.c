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

/* The samples of row k. */
static void add_up_samples(double sum[4], const klfast_rows *rows, const klfast_array *array, const klfast_array *mask,
                           ptrdiff_t k, ptrdiff_t length, ptrdiff_t gap) {
    klfast_array row = part_of(array, 0, k), included = mask->data ? part_of(mask, 0, k) : *mask;
    sum[0] = sum[1] = sum[2] = sum[3] = 0;
    for (ptrdiff_t s = 0; s < KLFAST_SAMPLES; s++) add_up_sample(sum, rows, &row, &included, s * gap, length);
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

/* The same for all rows of a line: of each the same sums. A quarter after the other, whose sums stay in registers. */
#define ADD_UP_LINES(NAME, TYPE) \
    static void NAME(double (*sum)[4], const char *at, ptrdiff_t stride, ptrdiff_t gap, ptrdiff_t length) { \
        enum { ROWS = KLFAST_LINE_BYTES / sizeof(TYPE) }; \
        for (ptrdiff_t quarter = 0; quarter < 4; quarter++) { \
            double local[ROWS] = {0}; \
            for (ptrdiff_t s = 0; s < KLFAST_SAMPLES; s++) \
                for (ptrdiff_t i = quarter; i < length; i += 4) { \
                    const TYPE *line = (const TYPE *)(at + (s * gap + i) * stride); \
                    for (int k = 0; k < ROWS; k++) local[k] += (double)line[k]; \
                } \
            for (int k = 0; k < ROWS; k++) sum[k][quarter] = local[k]; \
        } \
    }
ADD_UP_LINES(add_up_lines_of_floats, float)
ADD_UP_LINES(add_up_lines_of_doubles, double)
#undef ADD_UP_LINES

/* The sums that a sample lets expect for whole rows; 0 where it makes no sense. */
static void expect_sums(double *expected, const klfast_rows *rows, const klfast_array *array, const klfast_array *mask,
                        ptrdiff_t count, ptrdiff_t sample_length, ptrdiff_t gap) {
    double sum[KLFAST_GROUP][4], share = (double)rows->length / (double)(KLFAST_SAMPLES * sample_length);
    int is_read = mask->data || !is_native(rows, array), is_line = rows->is_strips && count == rows->unit;
    if (is_line && rows->type == FLOAT32) add_up_lines_of_floats(sum, array->data, array->stride, gap, sample_length);
    else if (is_line) add_up_lines_of_doubles(sum, array->data, array->stride, gap, sample_length);
    for (ptrdiff_t k = 0; k < count; k++) {
        const char *row = array->data + k * array->row_stride;
        if (is_read) add_up_samples(sum[k], rows, array, mask, k, sample_length, gap);
        else if (!is_line && rows->type == FLOAT32) add_up_floats(sum[k], row, array->stride, gap, sample_length);
        else if (!is_line) add_up_doubles(sum[k], row, array->stride, gap, sample_length);
        double total = ((sum[k][0] + sum[k][1]) + (sum[k][2] + sum[k][3])) * share;
        expected[k] = total >= 0x1p-900 && total <= 0x1p900 ? total : 0.0;
    }
}

static int looks_normalised(double sum) { return sum > 0.125 && sum < 8.0; }

/* The constant of the first walk, where p and q are what a sample lets expect of the sums. A row that looks normalised is
 * taken for it. Others are summed first if they fit into one block; longer ones get what a sample lets expect. A guess that
 * proves too poor costs a second walk, never an error. */
static void find_constant(klfast_row *told, const klfast_rows *rows, double p, double q) {
    int is_long = rows->length > rows->operation->block_length, constant = rows->operation->constant;
    if (looks_normalised(p) && looks_normalised(q)) return;
    if (!is_long || constant == EXACT_QUOTIENT) {
        told->walk = WALK_SUMS;
        return;
    }
    double guess = constant == SUM_OF_Q ? q : p > 0 ? p / q : 0.0;
    if (guess > 0x1p-100 && guess < 0x1p100) told->constant = told->is_float ? (double)(float)guess : guess;
}

/* The constants of neighbouring rows, whose samples are taken together where they share lines. */
static void find_constants(klfast_row *told, const klfast_rows *rows, ptrdiff_t outer, ptrdiff_t first, ptrdiff_t count) {
    klfast_array a = part_of(&rows->a, outer, first), b = part_of(&rows->b, outer, first), mask = rows->mask;
    double p[KLFAST_GROUP], q[KLFAST_GROUP];
    ptrdiff_t gap, sample_length = klfast_sample(rows, &gap);
    if (mask.data) mask = part_of(&rows->mask, outer, first);
    if (sample_length > 0) expect_sums(p, rows, &a, &mask, count, sample_length, gap);
    if (sample_length > 0 && has_two(rows)) expect_sums(q, rows, &b, &mask, count, sample_length, gap);
    for (ptrdiff_t k = 0; k < count; k++)
        if (sample_length == 0) told[k].walk = WALK_SUMS;
        else find_constant(&told[k], rows, p[k], has_two(rows) ? q[k] : p[k]);
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

static void tell_row(klfast_row *told, const klfast_rows *rows, ptrdiff_t outer, ptrdiff_t row) {
    ptrdiff_t number = outer * rows->row_count + row;
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
    if (!rows->labels.data) return;
    klfast_array a = part_of(&rows->a, outer, row), mask = rows->mask;
    if (mask.data) mask = part_of(&rows->mask, outer, row);
    klfast_tell_label(told, rows, &a, &mask, number, 0);
    told->is_skipped = told->is_ignored;
    for (ptrdiff_t which = 1; told->is_skipped && which < rows->label_count; which++)
        told->is_skipped = read_label(rows, number, which) == rows->parameters.ignored;
}

void klfast_tell_rows(klfast_row *told, const klfast_rows *rows, ptrdiff_t outer, ptrdiff_t first, ptrdiff_t count) {
    for (ptrdiff_t k = 0; k < count; k++) tell_row(&told[k], rows, outer, first + k);
    if (rows->operation->constant != NO_CONSTANT) find_constants(told, rows, outer, first, count);
}
