/* How walk.c has a finished group written. */
#ifndef KLFAST_WRITE_H
#define KLFAST_WRITE_H

#include "rows.h"

/* Writes a block of the rows of a group, and what each leaves for its end to `states`; `is_read` says that the block is still
 * in scratch memory. */
void klfast_write_rows(const klfast_group *group, const klfast_rows *rows, ptrdiff_t block, klfast_state *states,
                       char *scratch, int is_read);
/* Adds what the next block left. */
void klfast_join_remainders(const klfast_group *group, klfast_state *into, const klfast_state *next);
/* Writes what was left for the end. */
void klfast_settle_remainders(const klfast_group *group, const klfast_rows *rows, const klfast_state *states);
/* Short rows that lie side by side, or one that is alone -> their places in the array. */
void klfast_store_tile(const klfast_rows *rows, const klfast_group *group, const klfast_array *array, const double *tile,
                       ptrdiff_t alone);

#endif
