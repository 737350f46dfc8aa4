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

void klfast_work(klfast_job *job, int thread) {
    for (;;) {
        ptrdiff_t first = atomic_fetch_add_explicit(&job->next, job->chunk, memory_order_relaxed);
        if (first >= job->count) return;
        ptrdiff_t last = job->count - first < job->chunk ? job->count : first + job->chunk;
        job->task(job->context, first, last, thread);
    }
}

void klfast_share(klfast_task *task, void *context, ptrdiff_t count, int n_threads) {
    if (driver == SERIAL_DRIVER || n_threads <= 1 || count <= 1) {
        task(context, 0, count, 0);
        return;
    }
    /* Few enough at a time that nobody waits long for a thread that was held up. */
    ptrdiff_t chunk = count / (16 * (ptrdiff_t)n_threads);
    klfast_job job = {.task = task, .context = context, .count = count, .chunk = chunk > 0 ? chunk : 1};
    /* Python tells of its forks; this is for those that it knows nothing of. */
    if (process_number() != home) klfast_after_fork();
    if (driver == OPENMP_DRIVER)
        klfast_share_openmp(&job, n_threads);
    else
        klfast_share_pool(&job, n_threads);
}
