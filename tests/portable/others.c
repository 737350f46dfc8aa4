/* Functions of elements, every type of element, terms, and the largest logits. */
#include "portable.h"

static const double INFINITE = HUGE_VAL;

static void print_digests(int type, const void *first, ptrdiff_t first_count, const void *second, ptrdiff_t second_count) {
    for (ptrdiff_t i = 0; i < 2; i++) print_bits(FLOAT64, first, i);
    printf(" %016" PRIx64 " %016" PRIx64 "\n", digest_of(FLOAT64, first, first_count), digest_of(type, second, second_count));
}

/* ---- one result for each element ---- */

static void print_elementwise(int operation, int type) {
    static const char *const names[ELEMENTWISE] = {[ENTR] = "entr", [REL_ENTR] = "rel_entr", [KL_DIV] = "kl_div"};
    enum { COUNT = 2000 };
    double p[COUNT], q[COUNT], out[COUNT];
    seed((uint64_t)operation);
    for (ptrdiff_t i = 0; i < COUNT; i++) {
        double first = between(0, 4) * small_factor(30);
        set_number(type, p, i, draw() & 15 ? first : 0);
        set_number(type, q, i, draw() & 1 ? first * (1 + between(-1, 1) * small_factor(20)) : between(0, 4));
    }
    klfast_tested.elementwise[operation][type](out, p, q, NULL, COUNT);
    for (ptrdiff_t i = 0; i < (amount == LONG ? COUNT : 16); i++) {
        printf("element %s %s", names[operation], TYPE_NAME[type]);
        print_bits(type, p, i);
        print_bits(type, q, i);
        print_bits(type, out, i);
        putchar('\n');
    }
}

/* ---- reading and storing every type ---- */

static void print_reading(int element, int type) {
    enum { COUNT = 1000 };
    char source[8 * COUNT], copy[8 * COUNT];
    double numbers[COUNT];
    seed((uint64_t)element);
    for (ptrdiff_t i = 0; i < 8 * COUNT; i++) source[i] = (char)(draw() >> 32);
    memset(numbers, 0, sizeof numbers);
    klfast_tested.read[type][element](numbers, source, 8, COUNT);
    printf("read %d %s %016" PRIx64 "\n", element, TYPE_NAME[type], digest_of(type, numbers, COUNT));
    if (element >= 2 * INT8) return;
    for (ptrdiff_t i = 0; i < COUNT; i++) set_number(type, numbers, i, between(-2, 2) * small_factor(40));
    memset(copy, 0, sizeof copy);
    klfast_tested.store[type][element](copy, 8, numbers, COUNT);
    printf("store %d %s %016" PRIx64 "\n", element, TYPE_NAME[type], digest_of(FLOAT64, copy, COUNT));
}

void print_elements(void) {
    for (int type = 0; type < TYPES; type++) {
        for (int operation = 0; operation < ELEMENTWISE; operation++) print_elementwise(operation, type);
        for (int element = 0; element < 2 * ELEMENTS; element++) print_reading(element, type);
    }
}

/* ---- terms ---- */

static void set_up_terms(klfast_term_call *call, int operation, int type, ptrdiff_t count, ptrdiff_t length,
                         char *memory_of[6]) {
    ptrdiff_t size = type == FLOAT32 ? 4 : 8;
    memset(call, 0, sizeof *call);
    call->operation_id = operation;
    call->rows.level = &klfast_tested;
    call->rows.type = type;
    call->rows.outer_count = 1;
    call->rows.row_count = count;
    call->rows.length = length;
    call->rows.parameters.temperature = 1.0;
    call->rows.parameters.clip = INFINITE;
    klfast_array array = {NULL, 0, length * size, size, 2 * (type == FLOAT32 ? SINGLE : DOUBLE)};
    for (int k = 0; k < 6; k++) {
        memory_of[k] = memory(count * length * size);
        array.data = memory_of[k];
        if (k < TERM_INPUTS) call->input[k] = array;
        else if (k - TERM_INPUTS < klfast_tested.terms[operation].values - klfast_tested.terms[operation].written)
            call->output[k - TERM_INPUTS] = array;
        for (ptrdiff_t i = 0; i < count * length && k < TERM_INPUTS; i++)
            set_number(type, memory_of[k], i, operation >= TERMS_GAUSSIAN ? between(-2, 2) : -between(0, 6));
    }
}

static void print_terms_of(int operation, int type, ptrdiff_t length) {
    enum { COUNT = 6, FIELDS = 16 };
    klfast_term_call call;
    char *memory_of[6];
    double results[COUNT * FIELDS] = {0};
    seed((uint64_t)(operation * 10 + type));
    set_up_terms(&call, operation, type, COUNT, length, memory_of);
    klfast_plan_terms(&call);
    for (ptrdiff_t i = 0; i < COUNT * call.fields; i++)
        results[i] = i % call.fields < call.operation->summed ? 0 : -INFINITE;
    void *scratch = memory(call.scratch_bytes);
    klfast_term_state *states = memory(call.pieces * (ptrdiff_t)sizeof *states);
    for (ptrdiff_t piece = 0; piece < call.pieces; piece++) klfast_walk_terms(&call, piece, results, states, scratch);
    klfast_join_terms(&call, results, states);
    printf("terms %d %s %td", operation, TYPE_NAME[type], length);
    print_digests(type, results, COUNT * call.fields, memory_of[4], COUNT * length);
    for (int k = 0; k < 6; k++) free(memory_of[k]);
    free(scratch);
    free(states);
}

void print_terms(void) {
    static const ptrdiff_t lengths[] = {5, 300, 5000, 70000};
    for (int operation = 0; operation < TERM_OPERATIONS; operation++)
        for (int type = 0; type < TYPES; type++)
            for (int k = 0; k < (amount == LONG ? 4 : 2); k++) print_terms_of(operation, type, lengths[k]);
}

/* ---- the largest logits ---- */

static void print_topk_of(int type, ptrdiff_t length) {
    enum { COUNT = 4, K = 5 };
    ptrdiff_t size = type == FLOAT32 ? 4 : 8, ids[COUNT * K];
    double logprobs[COUNT * K], numbers[COUNT * K], tails[COUNT];
    char *x = memory(COUNT * length * size);
    klfast_topk_call call = {.k = K};
    seed((uint64_t)length);
    for (ptrdiff_t i = 0; i < COUNT * length; i++) set_number(type, x, i, between(-8, 8));
    call.rows.level = &klfast_tested;
    call.rows.type = type;
    call.rows.outer_count = 1;
    call.rows.row_count = COUNT;
    call.rows.length = length;
    call.rows.label_count = 1;
    call.rows.parameters.temperature = 1.0;
    call.rows.a = call.rows.b = (klfast_array){x, 0, length * size, size, 2 * (type == FLOAT32 ? SINGLE : DOUBLE)};
    klfast_plan_topk(&call);
    void *scratch = memory(call.scratch_bytes);
    for (ptrdiff_t unit = 0; unit < call.rows.units; unit++) klfast_walk_topk(&call, unit, logprobs, ids, tails, scratch);
    for (ptrdiff_t i = 0; i < COUNT * K; i++) numbers[i] = (double)ids[i];
    printf("topk %s %td %016" PRIx64, TYPE_NAME[type], length, digest_of(FLOAT64, tails, COUNT));
    print_digests(FLOAT64, logprobs, COUNT * K, numbers, COUNT * K);
    free(x);
    free(scratch);
}

void print_topk(void) {
    static const ptrdiff_t lengths[] = {20, 700, 5000, 40000};
    for (int type = 0; type < TYPES; type++)
        for (int k = 0; k < (amount == LONG ? 4 : 2); k++) print_topk_of(type, lengths[k]);
}
