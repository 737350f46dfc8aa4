/* Rows of concentrations -> one number each, in two readings: see dirichlet.inc.h. Nothing here depends on the CPU level. */
#include "rows.h"

ptrdiff_t klfast_dirichlet_group(const klfast_rows *rows) {
    return rows->length < FAMILY_BLOCK ? smaller(FAMILY_BLOCK / (rows->length > 0 ? rows->length : 1), DIRICHLETS) : 1;
}

/* Elements of some rows as doubles, one row behind the other: where they are, or in `memory`. */
static const double *concentrations(const klfast_rows *rows, const klfast_array *array, ptrdiff_t outer, ptrdiff_t first,
                                    ptrdiff_t count, ptrdiff_t start, ptrdiff_t length, double *memory) {
    const ptrdiff_t size = sizeof(double);
    klfast_array here = *array;
    here.data += outer * array->outer_stride + first * array->row_stride;
    int is_in_line = array->stride == size && (count == 1 || array->row_stride == length * size);
    if (is_native(rows, array) && is_in_line) return (const double *)(here.data + start * size);
    for (ptrdiff_t k = 0; k < count; k += KLFAST_GROUP, here.data += KLFAST_GROUP * here.row_stride)
        klfast_read_rows(rows, &here, smaller(KLFAST_GROUP, count - k), start, length, (char *)(memory + k * length), length);
    return memory;
}

/* The group of rows number `group`. */
void klfast_walk_dirichlets(const klfast_rows *rows, ptrdiff_t group, double *results) {
    const klfast_level *level = rows->level;
    ptrdiff_t at_once = klfast_dirichlet_group(rows), groups = (rows->row_count + at_once - 1) / at_once;
    ptrdiff_t outer = group / groups, first = group % groups * at_once, count = smaller(at_once, rows->row_count - first);
    double memory[2][FAMILY_BLOCK];
    klfast_dirichlet pairs[DIRICHLETS];
    for (ptrdiff_t r = 0; r < count; r++) level->begin_dirichlet(&pairs[r]);
    for (int reading = 0; reading < 2; reading++) {
        for (ptrdiff_t start = 0; start < rows->length; start += FAMILY_BLOCK) {
            ptrdiff_t length = smaller(FAMILY_BLOCK, rows->length - start);
            const double *a = concentrations(rows, &rows->a, outer, first, count, start, length, memory[0]);
            const double *b = concentrations(rows, &rows->b, outer, first, count, start, length, memory[1]);
            for (ptrdiff_t r = 0; reading == 0 && r < count; r++)
                level->add_components(&pairs[r], a + r * length, b + r * length, length);
            if (reading == 1) level->add_dirichlet_terms(pairs, count, a, b, start, length);
        }
        for (ptrdiff_t r = 0; reading == 0 && r < count; r++) level->tell_dirichlet(&pairs[r]);
    }
    level->finish_dirichlets(results + outer * rows->row_count + first, pairs, count);
}
