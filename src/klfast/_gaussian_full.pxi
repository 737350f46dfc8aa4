# ---- Gaussians with full covariances ----

# What a thread takes at a time, in entries of covariances.
cdef enum:
    ENTRIES_AT_ONCE = 4096


# `covariances` of a call that only looks at them; or all four arguments, and for each pair the places of its parts in them.
ctypedef struct full_call:
    const double *covariances
    unsigned char *may_be
    const double *given[4]
    const Py_ssize_t *places[4]
    double *out
    double *scratch
    Py_ssize_t count, at_once, d, room


cdef void look_at_covariances(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef full_call *call = <full_call *> context
    cdef Py_ssize_t i
    for i in range(first * call.at_once, min(call.count, last * call.at_once)):
        call.may_be[i] = chosen.may_be_covariance(call.covariances + i * call.d * call.d, call.d,
                                                  call.scratch + thread * call.room)


cdef const double *part_of_pair(const full_call *call, int k, Py_ssize_t pair) noexcept nogil:
    return call.given[k] + call.places[k][pair] * (call.d if k % 2 == 0 else call.d * call.d)


cdef void walk_pairs(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef full_call *call = <full_call *> context
    cdef Py_ssize_t i
    for i in range(first * call.at_once, min(call.count, last * call.at_once)):
        call.out[i] = chosen.gaussian_full(part_of_pair(call, 0, i), part_of_pair(call, 1, i), part_of_pair(call, 2, i),
                                           part_of_pair(call, 3, i), call.d, call.scratch + thread * call.room)


cdef int share_pairs(klfast_task *task, full_call *call, int n_threads) except -1:
    cdef Py_ssize_t tasks
    call.at_once = max(<Py_ssize_t> 1, ENTRIES_AT_ONCE // (call.d * call.d))
    call.room = (3 * call.d + 1) * call.d
    tasks = (call.count + call.at_once - 1) // call.at_once
    n_threads = <int> max(1, min(<Py_ssize_t> n_threads, tasks))
    call.scratch = <double *> allocated(call.room * n_threads * sizeof(double))
    with nogil:
        klfast_share(task, call, tasks, n_threads)
    PyMem_Free(call.scratch)
    return 0


def first_indefinite(const double[:, :, ::1] covariances, int n_threads):
    """The place of the first matrix that is not positive definite, with numbers that are all finite; None if there is none.

    Only lower triangles are looked at, and there is at least one entry.
    """
    cdef full_call call
    may_be = numpy.empty(covariances.shape[0], numpy.uint8)
    cdef unsigned char[::1] answers = may_be
    call.covariances, call.may_be = &covariances[0, 0, 0], &answers[0]
    call.count, call.d = covariances.shape[0], covariances.shape[1]
    share_pairs(look_at_covariances, &call, n_threads)
    place = int(may_be.argmin())
    return None if may_be[place] else place


def gaussian_full(const double[:, ::1] mean1, const double[:, :, ::1] cov1, const double[:, ::1] mean2,
                  const double[:, :, ::1] cov2, places, double[::1] out, int n_threads):
    """Writes one number per pair into out. `places` says where the four parts of each pair are; at least one dimension."""
    cdef full_call call
    cdef const Py_ssize_t[::1] one
    cdef int k
    call.given[0], call.given[1], call.given[2], call.given[3] = &mean1[0, 0], &cov1[0, 0, 0], &mean2[0, 0], &cov2[0, 0, 0]
    for k in range(4):
        one = places[k]
        call.places[k] = &one[0]
    call.out, call.count, call.d = &out[0], out.shape[0], mean1.shape[1]
    share_pairs(walk_pairs, &call, n_threads)
