/* Threads of the OpenMP runtime. It lends the threads and nothing else: no loop is cut up and nothing added up by it.
 *
 * The number of threads is asked for region by region and never set, so nobody else's regions change; what others set
 * (threadpoolctl, for one) can be read. */
#include "job.h"

#ifdef _OPENMP
#include <omp.h>

int klfast_openmp_version(void) { return _OPENMP; }
int klfast_openmp_threads(void) { return omp_get_max_threads(); }
int klfast_openmp_processors(void) { return omp_get_num_procs(); }

void klfast_share_openmp(klfast_job *job, int n_threads) {
    if (omp_in_parallel()) { /* all threads are at work already */
        klfast_work(job, 0);
        return;
    }
#pragma omp parallel num_threads(n_threads)
    klfast_work(job, omp_get_thread_num());
}
#else
int klfast_openmp_version(void) { return 0; }
int klfast_openmp_threads(void) { return 0; }
int klfast_openmp_processors(void) { return 0; }

void klfast_share_openmp(klfast_job *job, int n_threads) {
    (void)n_threads;
    klfast_work(job, 0);
}
#endif
