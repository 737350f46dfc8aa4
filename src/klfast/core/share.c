/* The choice between the drivers, and the work that is the same in all of them. */
#include "job.h"

#ifdef _WIN32
static int process_number(void) { return 0; } /* there is no fork */
#else
#include <unistd.h>

static int process_number(void) { return (int)getpid(); }
#endif

static int driver = SERIAL_DRIVER;
static int home; /* the process in which the driver was chosen */

int klfast_driver(void) { return driver; }

void klfast_use_driver(int wanted) {
    driver = wanted;
    home = process_number();
}

void klfast_after_fork(void) {
    klfast_forget_pool();
    klfast_use_driver(driver == OPENMP_DRIVER ? POOL_DRIVER : driver);
}

/* How many tasks a thread takes where `next` is the first that nobody has taken; 0 when all are. Many at first: what comes next
 * in memory a thread asks for ahead, but where it begins nothing was asked for, or only by its neighbour. Ever fewer then, so
 * that nobody waits long for a thread that was held up; and never so many that those that take long, which may be side by side,
 * are all in one share. */
static ptrdiff_t share_from(const klfast_job *job, ptrdiff_t next) {
    ptrdiff_t left = job->count - next, share = left / (4 * job->n_threads);
    return share > 0 ? share : left > 0;
}

void klfast_work(klfast_job *job, int thread) {
    ptrdiff_t next = atomic_load(&job->next), share;
    while ((share = share_from(job, next)) > 0) {
        if (!atomic_compare_exchange_strong(&job->next, &next, next + share)) continue; /* another was faster; `next` is new */
        job->task(job->context, next, next + share, thread);
        next = atomic_load(&job->next);
    }
}

void klfast_share(klfast_task *task, void *context, ptrdiff_t count, int n_threads) {
    if (driver == SERIAL_DRIVER || n_threads <= 1 || count <= 1) {
        task(context, 0, count, 0);
        return;
    }
    klfast_job job = {.task = task, .context = context, .count = count, .n_threads = n_threads};
    /* Python tells of its forks; this is for those that it knows nothing of. */
    if (process_number() != home) klfast_after_fork();
    if (driver == OPENMP_DRIVER)
        klfast_share_openmp(&job, n_threads);
    else
        klfast_share_pool(&job, n_threads);
}
