/* Shares the tasks of a call out over threads: with OpenMP, with a pool of klfast's own, or not at all.
 *
 * Which of them makes no difference to a result: tasks are numbered, have a fixed extent and write to places of their own; what
 * they wrote is added up by the caller, in order. This is the only part of the core that has state: the driver in use, and
 * the pool. */
#ifndef KLFAST_SHARE_H
#define KLFAST_SHARE_H

#include <stddef.h>

enum { SERIAL_DRIVER, POOL_DRIVER, OPENMP_DRIVER, KLFAST_DRIVERS };

/* Does tasks first, first + 1, ... last - 1. `thread` is a number below the call's number of threads that no other thread of
 * the call has: for memory that each thread needs for itself. */
typedef void klfast_task(void *context, ptrdiff_t first, ptrdiff_t last, int thread);

/* Does tasks 0 ... count - 1 with at most `n_threads` threads, the calling one among them, and returns when all are done.
 * May be called by several threads at once, and in a forked child whatever its parent was doing. */
void klfast_share(klfast_task *task, void *context, ptrdiff_t count, int n_threads);

int klfast_driver(void);
void klfast_use_driver(int driver);

/* To be called in a forked child: the threads of its parent do not exist there, so from then on OpenMP, which would wait for
 * them forever, is not entered again; the pool begins anew. */
void klfast_after_fork(void);

/* The date of the OpenMP standard that the build follows; 0 if it was built without. */
int klfast_openmp_version(void);
/* How many threads OpenMP would give the calling thread now, and how many processors it may use; 0 without OpenMP. */
int klfast_openmp_threads(void);
int klfast_openmp_processors(void);

#endif
