/* A call's tasks while threads take them. Only for share.c, share_openmp.c and share_pool.c. */
#ifndef KLFAST_JOB_H
#define KLFAST_JOB_H

#include "share.h"

#include <stdatomic.h>

typedef struct klfast_job {
    klfast_task *task;
    void *context;
    ptrdiff_t count;
    ptrdiff_t n_threads;
    _Atomic ptrdiff_t next; /* the first task that nobody has taken */
    /* Of the pool, under its lock: how many threads may still join, how many are at work, the next one's number. */
    int wanted, active, joined;
    struct klfast_job *after;
} klfast_job;

/* Takes tasks until there are none. */
void klfast_work(klfast_job *job, int thread);

void klfast_share_openmp(klfast_job *job, int n_threads);
void klfast_share_pool(klfast_job *job, int n_threads);
void klfast_forget_pool(void);

#endif
