/* How walk.c has a finished group written. */
#ifndef KLFAST_WRITE_H
#define KLFAST_WRITE_H

#include "rows.h"

/* Writes a block of the rows of a group; `is_read` says that it is still in scratch memory. */
void klfast_write_rows(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, char *scratch, int is_read);
/* Short rows that lie side by side -> their places in the array. */
void klfast_store_tile(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, const double *tile);

#endif
