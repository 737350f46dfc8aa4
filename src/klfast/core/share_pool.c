/* Threads of klfast's own, where OpenMP cannot be had or must not be used: a second runtime beside another library's crashes
 * on some systems, and none survives a fork.
 *
 * Threads are started when a call first wants them, sleep when there is nothing to do, and end with the process. The caller
 * works too, and never waits for a thread to begin: it takes its job off the list when no tasks are left, and waits only for
 * those that are still at one. So nothing can hang, also if no thread could be started. Callers share the threads. */
#include "job.h"

#include "system_threads.h"

static system_lock lock = SYSTEM_LOCK;
static system_condition is_offered = SYSTEM_CONDITION, is_left = SYSTEM_CONDITION;
static klfast_job *jobs; /* those that still want threads */
static int workers;

/* Takes the job off the list; it may not be there any more. */
static void withdraw(const klfast_job *job) {
    for (klfast_job **place = &jobs; *place; place = &(*place)->after)
        if (*place == job) {
            *place = job->after;
            return;
        }
}

SYSTEM_THREAD(serve, unused) {
    (void)unused;
    acquire(&lock);
    for (;;) {
        while (!jobs) wait_for(&is_offered, &lock);
        klfast_job *job = jobs;
        int thread = ++job->joined;
        job->active++;
        if (--job->wanted == 0) withdraw(job);
        release(&lock);
        klfast_work(job, thread);
        acquire(&lock);
        if (--job->active == 0) wake_all(&is_left);
    }
    return 0;
}

void klfast_share_pool(klfast_job *job, int n_threads) {
    acquire(&lock);
    job->wanted = n_threads - 1;
    job->after = jobs;
    jobs = job;
    while (workers < n_threads - 1 && start_thread(serve)) workers++;
    for (int i = 0; i < job->wanted; i++) wake_one(&is_offered);
    release(&lock);
    klfast_work(job, 0);
    acquire(&lock);
    withdraw(job);
    while (job->active) wait_for(&is_left, &lock);
    release(&lock);
}

void klfast_forget_pool(void) {
    renew(&lock, &is_offered, &is_left);
    jobs = NULL;
    workers = 0;
}
