/* Closed forms of KL: parameters of every size, some of them close, some beyond what the vector loops take; and Gaussians with
 * full covariances. */
#include "portable.h"

static double parameter(int family, int place) {
    double size = between(0.0625, 16) * small_factor(draw() & 7 ? 8 : 400);
    if (draw() & 1) size = 1 / size;
    if (family == FAMILY_BERNOULLI) return between(0, 1) * small_factor(3);
    if (family == FAMILY_BERNOULLI_LOGITS || (family == FAMILY_LAPLACE && place % 2 == 0)) return between(-20, 20);
    return size;
}

static void print_family(int family) {
    enum { COUNT = 600 };
    double x[FAMILY_PARAMETERS][COUNT], out[COUNT];
    const double *parameters[FAMILY_PARAMETERS] = {x[0], x[1], x[2], x[3]};
    int half = family < FAMILY_LAPLACE ? 1 : 2;
    seed((uint64_t)family);
    for (ptrdiff_t i = 0; i < COUNT; i++) {
        int is_close = draw() & 1;
        double factor = 1 + between(-1, 1) * small_factor(20);
        for (int k = 0; k < 2 * half; k++) x[k][i] = is_close && k >= half ? x[k - half][i] * factor : parameter(family, k);
    }
    klfast_tested.family[family](out, parameters, COUNT);
    for (ptrdiff_t i = 0; i < (amount == LONG ? COUNT : 8); i++) {
        printf("family %d", family);
        for (int k = 0; k < 2 * half; k++) print_bits(FLOAT64, x[k], i);
        print_bits(FLOAT64, out, i);
        putchar('\n');
    }
    printf("family %d %016" PRIx64 "\n", family, digest_of(FLOAT64, out, COUNT));
}

static void print_dirichlet(ptrdiff_t length) {
    enum { COUNT = 40 };
    double *a = memory(COUNT * length * 8), *b = memory(COUNT * length * 8), results[COUNT];
    klfast_rows rows = {.outer_count = 1, .row_count = COUNT, .length = length, .type = FLOAT64, .level = &klfast_tested};
    seed((uint64_t)length);
    for (ptrdiff_t i = 0; i < COUNT * length; i++) {
        a[i] = parameter(FAMILY_BETA, 0);
        b[i] = i / length & 1 ? a[i] * (1 + between(-1, 1) * small_factor(20)) : parameter(FAMILY_BETA, 0);
    }
    rows.a = (klfast_array){(const char *)a, 0, length * 8, 8, 2 * DOUBLE};
    rows.b = (klfast_array){(const char *)b, 0, length * 8, 8, 2 * DOUBLE};
    ptrdiff_t at_once = klfast_dirichlet_group(&rows);
    for (ptrdiff_t group = 0; group * at_once < COUNT; group++) klfast_walk_dirichlets(&rows, group, results);
    printf("dirichlet %td", length);
    for (ptrdiff_t i = 0; i < 4; i++) print_bits(FLOAT64, results, i);
    printf(" %016" PRIx64 "\n", digest_of(FLOAT64, results, COUNT));
    free(a);
    free(b);
}

/* Covariances with large entries on the diagonal: positive definite. */
static void print_gaussian(ptrdiff_t d, int is_close) {
    double *given = memory((2 * d * d + 2 * d) * 8), *scratch = memory((3 * d + 1) * d * 8);
    double *cov1 = given, *cov2 = cov1 + d * d, *mean1 = cov2 + d * d, *mean2 = mean1 + d, value;
    seed((uint64_t)d);
    for (ptrdiff_t i = 0; i < d; i++) {
        for (ptrdiff_t j = 0; j <= i; j++) {
            cov2[i * d + j] = cov2[j * d + i] = between(-1, 1) + (i == j ? 2 * (double)d : 0);
            cov1[i * d + j] = cov1[j * d + i] =
                is_close ? cov2[i * d + j] * (1 + between(-1, 1) * 0x1p-10) : between(-1, 1) + (i == j ? (double)d : 0);
        }
        mean1[i] = between(-2, 2);
        mean2[i] = between(-2, 2);
    }
    value = klfast_tested.gaussian_full(mean1, cov1, mean2, cov2, d, scratch);
    printf("gaussian %td %d %d", d, is_close, klfast_tested.may_be_covariance(cov1, d, scratch));
    print_bits(FLOAT64, &value, 0);
    putchar('\n');
    free(given);
    free(scratch);
}

void print_families(void) {
    for (int family = 0; family < FAMILIES; family++) print_family(family);
    for (ptrdiff_t length = 1; length < 1000; length *= 3) print_dirichlet(length);
    for (ptrdiff_t d = 1; d < 150; d = 2 * d + 1)
        for (int is_close = 0; is_close < 2; is_close++) print_gaussian(d, is_close);
}
