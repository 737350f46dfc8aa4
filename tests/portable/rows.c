/* Every operation of the table, over rows of many lengths, contents and layouts. */
#include "portable.h"

static const char *const NAME[OPERATIONS] = {
    [KL_DIVERGENCE] = "kl_divergence",
    [CROSS_ENTROPY] = "cross_entropy",
    [ENTROPY] = "entropy",
    [RAW_KL_DIVERGENCE] = "raw_kl_divergence",
    [RAW_CROSS_ENTROPY] = "raw_cross_entropy",
    [RAW_ENTROPY] = "raw_entropy",
    [JS_DIVERGENCE] = "js_divergence",
    [TOTAL_VARIATION_DISTANCE] = "total_variation",
    [HELLINGER_DISTANCE] = "hellinger",
    [JEFFREYS_DIVERGENCE] = "jeffreys",
    [CHI2_DIVERGENCE] = "chi2_divergence",
    [RAW_JS_DIVERGENCE] = "raw_js_divergence",
    [RAW_TOTAL_VARIATION_DISTANCE] = "raw_total_variation",
    [RAW_HELLINGER_DISTANCE] = "raw_hellinger",
    [RAW_JEFFREYS_DIVERGENCE] = "raw_jeffreys",
    [RAW_CHI2_DIVERGENCE] = "raw_chi2_divergence",
    [RENYI_DIVERGENCE] = "renyi_divergence",
    [LOGITS_KL_DIVERGENCE] = "logits_kl_divergence",
    [LOGITS_JS_DIVERGENCE] = "logits_js_divergence",
    [LOGITS_ENTROPY] = "logits_entropy",
    [LOGITS_LOGSUMEXP] = "logits_logsumexp",
    [LOGITS_SOFTMAX] = "logits_softmax",
    [LOGITS_LOG_SOFTMAX] = "logits_log_softmax",
    [LOGITS_CROSS_ENTROPY] = "logits_cross_entropy",
    [LOGITS_SMOOTHED_CROSS_ENTROPY] = "logits_smoothed_cross_entropy",
    [LOGITS_SOFT_CROSS_ENTROPY] = "logits_soft_cross_entropy",
    [LOGITS_TOKEN_LOGPROBS] = "logits_token_logprobs",
};

/* What rows hold: unlike numbers; two rows that hardly differ; zeros (-inf), and sums that are not 1; one entry that has nearly
 * everything; numbers near the ends of the range. */
enum { PLAIN, NEAR, SPARSE, PEAKED, EXTREME, CONTENTS };
static const char *const CONTENT_NAME[CONTENTS] = {"plain", "near", "sparse", "peaked", "extreme"};

/* Elements side by side; with one between them, which a mask or a negative stride may go with; rows side by side. */
enum { SIDE_BY_SIDE, APART, MASKED, BACKWARDS, ACROSS, LAYOUTS };
static const char *const LAYOUT_NAME[LAYOUTS] = {"contiguous", "apart", "masked", "backwards", "across"};

enum { ROWS = 20, SHOWN = 2 };

typedef struct {
    int operation, type, content, layout;
    ptrdiff_t length;
} row_case;

static double weight(int content, int type, ptrdiff_t i, double *other) {
    double p = between(0, 1) + 0x1p-20, q = between(0, 1) + 0x1p-20;
    double end = type == FLOAT32 ? 0x1p-100 : 0x1p-900;
    switch (content) {
    case NEAR: q = p * (1 + between(-1, 1) * 0x1p-12); break;
    case SPARSE:
        p = draw() & 3 ? 8 * p : 0;
        q = p > 0 || draw() & 1 ? 3 * q : 0;
        break;
    case PEAKED:
        p *= i == 0 ? 1 : 0x1p-30;
        q *= i == 0 ? 1 : 0x1p-28;
        break;
    case EXTREME:
        p *= draw() & 1 ? end : 0x1p60;
        q *= draw() & 1 ? end : 1 / end;
        break;
    }
    *other = q;
    return p;
}

static double score(int content, ptrdiff_t i, double *other) {
    double x = between(-4, 4), y = between(-4, 4);
    switch (content) {
    case NEAR: y = x + between(-1, 1) * 0x1p-10; break;
    case SPARSE:
        x = draw() & 3 ? x : -HUGE_VAL;
        y = draw() & 1 ? y : x;
        break;
    case PEAKED:
        x += i == 0 ? 40 : 0;
        y += i == 0 ? 42 : 0;
        break;
    case EXTREME:
        x *= 0x1p16;
        y *= 0x1p12;
        break;
    }
    *other = y;
    return x;
}

static int is_logits(int operation) { return operation >= LOGITS_KL_DIVERGENCE; }

/* The second array of these holds weights of classes, or probabilities. */
static int has_weights_beside(int operation) {
    return operation == LOGITS_SMOOTHED_CROSS_ENTROPY || operation == LOGITS_SOFT_CROSS_ENTROPY;
}

static klfast_array array_of(const row_case *one, char *data) {
    ptrdiff_t size = one->type == FLOAT32 ? 4 : 8, step = one->layout == SIDE_BY_SIDE ? 1 : 2;
    klfast_array array = {data, 0, one->length * step * size, step * size, 2 * (one->type == FLOAT32 ? SINGLE : DOUBLE)};
    if (one->layout == BACKWARDS) {
        array.data += (one->length - 1) * array.stride;
        array.stride = -array.stride;
    }
    if (one->layout == ACROSS) {
        array.row_stride = size;
        array.stride = ROWS * size;
    }
    return array;
}

static void put(const row_case *one, const klfast_array *array, ptrdiff_t row, ptrdiff_t i, double value) {
    set_number(one->type, (char *)array->data + row * array->row_stride + i * array->stride, 0, value);
}

static void fill(const row_case *one, const klfast_rows *rows, char *mask) {
    for (ptrdiff_t row = 0; row < ROWS; row++)
        for (ptrdiff_t i = 0; i < one->length; i++) {
            double other, value = is_logits(one->operation) ? score(one->content, i, &other)
                                                            : weight(one->content, one->type, i, &other);
            if (has_weights_beside(one->operation)) other = between(0, 1) + 0x1p-20;
            if (i == row % one->length && value < -1e300) value = 0;
            put(one, &rows->a, row, i, value);
            put(one, &rows->b, row, i, other);
            mask[row * one->length + i] = i == row % one->length || (draw() & 7) != 0;
        }
}

static void show_row(const row_case *one, const klfast_array *array, const char *name, ptrdiff_t row) {
    printf("input %s", name);
    for (ptrdiff_t i = 0; i < one->length; i++)
        print_bits(one->type, array->data + row * array->row_stride + i * array->stride, 0);
    putchar('\n');
}

/* Renyi's order for short and for long rows. */
static const double orders[CONTENTS][2] = {
    [PLAIN] = {1.5, 1.75}, [NEAR] = {0.5, 0.75}, [SPARSE] = {3, 3}, [PEAKED] = {2, 2}, [EXTREME] = {1.5, 1.5}};

static void tell_parameters(klfast_parameters *parameters, const row_case *one) {
    memset(parameters, 0, sizeof *parameters);
    parameters->order = orders[one->content][one->length >= 100];
    parameters->temperature = one->content == PEAKED ? 0.75 : 1.0;
    parameters->beta = 0.5;
    parameters->smoothing = one->operation == LOGITS_SMOOTHED_CROSS_ENTROPY ? 0.125 : 0.0;
    parameters->softcap = one->operation == LOGITS_CROSS_ENTROPY && one->content == PEAKED ? 30.0 : 0.0;
    parameters->ignored = NAN;
    parameters->clip = INFINITY;
}

static void print_case(const row_case *one, uint64_t number) {
    ptrdiff_t size = one->type == FLOAT32 ? 4 : 8, area = 2 * ROWS * one->length * size;
    char *a = memory(area), *b = memory(area), *mask = memory(area), *out_a = memory(area), *out_b = memory(area);
    int64_t labels[2 * ROWS];
    double results[2 * ROWS] = {0}; /* which a softmax has none of */
    klfast_rows rows = {.outer_count = 1, .row_count = ROWS, .length = one->length, .operation_id = one->operation};
    const klfast_operation *operation = &klfast_tested.operation[one->operation][one->type];
    rows.level = &klfast_tested;
    rows.type = one->type;
    rows.label_count = one->operation == LOGITS_TOKEN_LOGPROBS ? 2 : 1;
    rows.a = array_of(one, a);
    rows.b = array_of(one, b);
    if (one->layout == MASKED) rows.mask = (klfast_array){mask, 0, one->length, 1, 2 * UINT8};
    tell_parameters(&rows.parameters, one);
    seed(number);
    fill(one, &rows, mask);
    for (ptrdiff_t i = 0; i < 2 * ROWS; i++) labels[i] = i / rows.label_count % one->length;
    if (one->operation >= LOGITS_CROSS_ENTROPY && one->operation != LOGITS_SOFT_CROSS_ENTROPY)
        rows.labels = (klfast_array){(char *)labels, 0, 8 * rows.label_count, 8, 2 * INT64};
    if (operation->write) rows.out_a = array_of(one, out_a);
    if (operation->write && operation->inputs == 2 && !has_weights_beside(one->operation)) rows.out_b = array_of(one, out_b);
    klfast_plan(&rows, 1);
    void *scratch = memory(rows.scratch_bytes);
    for (ptrdiff_t unit = 0; unit < rows.units; unit++) klfast_walk_unit(&rows, unit, results, scratch);
    printf("row %s %s %s %s %td", NAME[one->operation], TYPE_NAME[one->type], CONTENT_NAME[one->content],
           LAYOUT_NAME[one->layout], one->length);
    for (ptrdiff_t i = 0; i < SHOWN; i++) print_bits(FLOAT64, results, i * rows.label_count);
    printf(" %016" PRIx64, digest_of(FLOAT64, results, ROWS * rows.label_count));
    printf(" %016" PRIx64 "\n", digest_of(one->type, out_a, area / size) ^ 31 * digest_of(one->type, out_b, area / size));
    for (ptrdiff_t row = 0; amount == WITH_INPUTS && row < SHOWN; row++) {
        show_row(one, &rows.a, "a", row);
        show_row(one, &rows.b, "b", row);
    }
    free(a), free(b), free(mask), free(out_a), free(out_b), free(scratch);
}

void print_rows(void) {
    static const ptrdiff_t lengths[] = {7, 300, 1, 128, 200, 1025, 9001};
    uint64_t number = 0;
    for (int operation = 0; operation < OPERATIONS; operation++)
        for (int type = 0; type < TYPES; type++)
            for (int content = 0; content < CONTENTS; content++)
                for (int layout = 0; layout < LAYOUTS; layout++)
                    for (int k = 0; k < (amount == LONG ? 7 : 2); k++) {
                        row_case one = {operation, type, content, layout, lengths[k]};
                        number++;
                        int is_usual = layout == SIDE_BY_SIDE || layout == content;
                        if ((amount != LONG || lengths[k] > 1000) && !is_usual) continue;
                        if (klfast_tested.operation[operation][type].block) print_case(&one, number);
                    }
}
