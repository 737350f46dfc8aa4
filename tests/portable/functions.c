/* The functions of one number that kernels are made of: see elementary.c. */
#include "portable.h"

#define DECLARE(NAME) \
    void test_##NAME##_f32(float *result, const float *a, const float *b, ptrdiff_t count); \
    void test_##NAME##_f64(double *result, const double *a, const double *b, ptrdiff_t count);
#define DECLARE_DOUBLE(NAME) void test_##NAME##_f64(double *result, const double *a, const double *b, ptrdiff_t count);

DECLARE(log_ratio)
DECLARE(gap)
DECLARE(careful_gap)
DECLARE(scaled_exp)
DECLARE(logits_gap_near)
DECLARE(logits_gap_apart)
DECLARE(exp_gap_terms)
DECLARE(exp_expm1_terms)
DECLARE(exp_exp_terms)
DECLARE(near_exp_gap_terms)
DECLARE(near_exp_expm1_terms)
DECLARE(near_exp_exp_terms)
DECLARE_DOUBLE(exp_over)
DECLARE_DOUBLE(log1p_any)
DECLARE_DOUBLE(exp_any)
DECLARE_DOUBLE(exp_gap)
DECLARE_DOUBLE(exp_to_the_end)
DECLARE_DOUBLE(exp_gap_any)
DECLARE_DOUBLE(expm1_any)
DECLARE_DOUBLE(exp_any_difference)

/* What a function is given: two positive numbers; a number and a temperature; a number and its difference to another one; a
 * number, some close to 0. */
enum { POSITIVE, TEMPERATURE, DIFFERENCE, NUMBER };

typedef struct {
    const char *name;
    void (*of_f32)(float *result, const float *a, const float *b, ptrdiff_t count);
    void (*of_f64)(double *result, const double *a, const double *b, ptrdiff_t count);
    int kind;
    double low[TYPES], high[TYPES];
} function;

#define BOTH(NAME) #NAME, test_##NAME##_f32, test_##NAME##_f64
#define DOUBLE_ALONE(NAME) #NAME, NULL, test_##NAME##_f64

static const function FUNCTIONS[] = {
    {BOTH(log_ratio), POSITIVE, {0}, {0}},
    {BOTH(gap), POSITIVE, {0}, {0}},
    {BOTH(careful_gap), POSITIVE, {0}, {0}},
    {BOTH(scaled_exp), TEMPERATURE, {-86, -700}, {86, 700}},
    {BOTH(logits_gap_near), NUMBER, {-2, -2}, {2, 2}},
    {BOTH(logits_gap_apart), NUMBER, {-30, -30}, {80, 80}},
    {BOTH(exp_gap_terms), NUMBER, {-64, -700}, {64, 700}},
    {BOTH(exp_expm1_terms), NUMBER, {-64, -700}, {64, 700}},
    {BOTH(exp_exp_terms), NUMBER, {-64, -700}, {64, 700}},
    {BOTH(near_exp_gap_terms), NUMBER, {-0.5, -0.5}, {0.5, 0.5}},
    {BOTH(near_exp_expm1_terms), NUMBER, {-0.5, -0.5}, {0.5, 0.5}},
    {BOTH(near_exp_exp_terms), NUMBER, {-0.5, -0.5}, {0.5, 0.5}},
    {DOUBLE_ALONE(exp_over), TEMPERATURE, {0, -700}, {0, 700}},
    {DOUBLE_ALONE(log1p_any), NUMBER, {0, -0.99}, {0, 1000}},
    {DOUBLE_ALONE(exp_any), NUMBER, {0, -700}, {0, 700}},
    {DOUBLE_ALONE(exp_gap), NUMBER, {0, -30}, {0, 30}},
    {DOUBLE_ALONE(exp_to_the_end), NUMBER, {0, 600}, {0, 709}},
    {DOUBLE_ALONE(exp_gap_any), DIFFERENCE, {0, -700}, {0, 700}},
    {DOUBLE_ALONE(expm1_any), DIFFERENCE, {0, -700}, {0, 700}},
    {DOUBLE_ALONE(exp_any_difference), DIFFERENCE, {0, -700}, {0, 700}},
};

static void draw_arguments(const function *one, int type, double *x, double *y) {
    static const double temperatures[] = {1.0, 0.75, 0.125, 3.0, 1000.0};
    double low = one->low[type], high = one->high[type];
    if (one->kind == POSITIVE) {
        double base = between(1, 2) * small_factor(20);
        *y = base;
        *x = draw() & 1 ? base * (1 + between(-0.75, 0.75) * small_factor(20)) : between(1, 2) * small_factor(20);
    } else if (one->kind == TEMPERATURE) {
        *y = temperatures[(draw() >> 40) % 5];
        *x = between(low, high) * *y * small_factor(3);
    } else if (one->kind == DIFFERENCE) {
        *x = between(low, high);
        *y = *x - between(low, high) * small_factor(20);
    } else {
        *x = *y = low * high < 0 ? between(low, high) * small_factor(20) : between(low, high);
    }
}

static void print_function(const function *one, int type, ptrdiff_t count) {
    char a[8 * 4096], b[8 * 4096], result[8 * 4096];
    for (ptrdiff_t i = 0; i < count; i++) {
        double x, y;
        draw_arguments(one, type, &x, &y);
        set_number(type, a, i, x);
        set_number(type, b, i, y);
    }
    if (type == FLOAT32) one->of_f32((float *)result, (const float *)a, (const float *)b, count);
    else one->of_f64((double *)result, (const double *)a, (const double *)b, count);
    for (ptrdiff_t i = 0; i < count; i++) {
        printf("function %s %s", one->name, TYPE_NAME[type]);
        print_bits(type, a, i);
        print_bits(type, b, i);
        print_bits(type, result, i);
        putchar('\n');
    }
}

void print_functions(void) {
    for (size_t k = 0; k < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; k++)
        for (int type = 0; type < TYPES; type++) {
            seed(k);
            if (type == FLOAT64 || FUNCTIONS[k].of_f32) print_function(&FUNCTIONS[k], type, amount == LONG ? 4000 : 16);
        }
}
