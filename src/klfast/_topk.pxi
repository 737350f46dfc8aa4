# ---- the k largest logits of every row ----

ctypedef struct walked_topk:
    const klfast_topk_call *call
    double *logprobs
    Py_ssize_t *ids
    double *tails
    char *scratch


cdef void walk_topk_units(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked_topk *common = <walked_topk *> context
    cdef Py_ssize_t unit
    for unit in range(first, last):
        klfast_walk_topk(common.call, unit, common.logprobs, common.ids, common.tails,
                         common.scratch + thread * common.call.scratch_bytes)


def topk(int compute, shape, array, int element, mask, double[:, ::1] logprobs, Py_ssize_t[:, ::1] ids, double[::1] tails,
         int n_threads, dict parameters):
    """Writes log-probabilities and ids of the largest logits of every row, and the mass of the others.

    Shape, array and mask are as for `reduce`; the second axis of logprobs says how many are wanted.
    """
    cdef klfast_topk_call call
    cdef Memory a = Memory(array, element), included
    cdef walked_topk common = walked_topk(&call, &logprobs[0, 0], &ids[0, 0], &tails[0], NULL)
    cdef Py_ssize_t units
    begin(&call.rows)
    call.rows.a = call.rows.b = a.array
    call.rows.outer_count, call.rows.row_count, call.rows.length = shape
    if mask is not None:
        included = Memory(mask, 2 * UINT8)
        call.rows.mask = included.array
    call.rows.parameters = told(parameters)
    call.rows.type, call.rows.level, call.k = compute, chosen, logprobs.shape[1]
    klfast_plan_topk(&call)
    units = call.rows.units
    n_threads = <int> max(1, min(<Py_ssize_t> n_threads, units))
    if units * call.rows.unit * call.rows.length < LITTLE_WORK:
        n_threads = 1
    try:
        common.scratch = <char *> PyMem_Malloc(call.scratch_bytes * n_threads)
        if common.scratch == NULL:
            raise MemoryError()
        with nogil:
            klfast_share(walk_topk_units, &common, units, n_threads)
    finally:
        PyMem_Free(common.scratch)
