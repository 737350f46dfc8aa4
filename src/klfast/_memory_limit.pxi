# ---- the memory limit, for benchmarks ----

# What is added up at a time, in elements.
cdef enum:
    READ_AT_ONCE = 4096

ctypedef struct read_arrays:
    const double *first
    const double *second
    Py_ssize_t length
    double *sums


cdef void read_chunks(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef read_arrays *call = <read_arrays *> context
    cdef Py_ssize_t chunk, start, length
    for chunk in range(first, last):
        start = chunk * READ_AT_ONCE
        length = min(call.length - start, <Py_ssize_t> READ_AT_ONCE)
        call.sums[thread] += chosen.read_sum(call.first + start, length)
        if call.second != NULL:
            call.sums[thread] += chosen.read_sum(call.second + start, length)


def read_sum(const double[::1] a, const double[::1] b, int n_threads):
    """Adds up two arrays, or one if b is None, and does nothing else."""
    cdef read_arrays call
    cdef double[::1] sums = numpy.zeros(n_threads)
    call.first, call.second, call.length, call.sums = &a[0], NULL, a.shape[0], &sums[0]
    if b is not None:
        call.second = &b[0]
    with nogil:
        klfast_share(read_chunks, &call, (call.length + READ_AT_ONCE - 1) // READ_AT_ONCE, n_threads)
    return numpy.sum(sums)
