# ---- closed forms of KL between distributions of one family ----

FAMILIES = {"bernoulli": FAMILY_BERNOULLI, "bernoulli_logits": FAMILY_BERNOULLI_LOGITS, "poisson": FAMILY_POISSON,
            "exponential": FAMILY_EXPONENTIAL, "laplace": FAMILY_LAPLACE, "gamma": FAMILY_GAMMA, "beta": FAMILY_BETA}

# What a thread takes at a time, in elements; and what an element costs, in elements of other functions.
cdef enum:
    FAMILY_AT_ONCE = 512
    FAMILY_COST = 8

COST_OF_FAMILIES = FAMILY_COST


ctypedef struct family_call:
    void (*function)(double *, const double * const *, Py_ssize_t) noexcept nogil
    const double *parameters[FAMILY_PARAMETERS]
    double *out
    Py_ssize_t length


cdef void each_of_family(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef family_call *call = <family_call *> context
    cdef Py_ssize_t start = first * FAMILY_AT_ONCE
    cdef const double *here[FAMILY_PARAMETERS]
    cdef int k
    for k in range(FAMILY_PARAMETERS):
        here[k] = call.parameters[k] + start
    call.function(call.out + start, here, min(call.length, last * FAMILY_AT_ONCE) - start)


cdef void share_family(family_call *call, int operation_id, int count, int n_threads) noexcept:
    """All elements of contiguous arrays, of which the first `count` parameters are there."""
    cdef int k
    for k in range(count, FAMILY_PARAMETERS):
        call.parameters[k] = call.parameters[0]
    call.function = chosen.family[operation_id]
    with nogil:
        klfast_share(each_of_family, call, (call.length + FAMILY_AT_ONCE - 1) // FAMILY_AT_ONCE, n_threads)


def family(int operation_id, list parameters, double[::1] out, int n_threads):
    """Writes one number per element into out. All arrays are of doubles, contiguous and of the length of out."""
    cdef family_call call
    cdef const double[::1] one
    cdef int k, count = len(parameters)
    for k in range(count):
        one = parameters[k]
        call.parameters[k] = &one[0]
    call.out, call.length = &out[0], out.shape[0]
    share_family(&call, operation_id, count, n_threads)


def quick_family(str name, parameters, n_threads, resolve, out):
    """The results for contiguous arrays of doubles of one shape; None if that is not what they are. All is as for `quick`."""
    cdef views held
    held.count = 0
    try:
        return walk_family_quickly(&held, FAMILIES[name], list(parameters), n_threads, resolve, out)
    finally:
        release(&held)


cdef object walk_family_quickly(views *held, int operation_id, list given, n_threads, resolve, out):
    cdef family_call call
    cdef view *first = NULL
    cdef view *one
    cdef view *place
    cdef int k, count = len(given), threads = 1
    for k in range(count):
        one = see(held, given[k])
        first = one if k == 0 else first
        if not are_alike(first, one) or first.itemsize != sizeof(double):
            return None
        call.parameters[k] = <const double *> one.buf
    call.length = first.len // first.itemsize
    if n_threads is not None or FAMILY_COST * call.length >= LITTLE_WORK:
        threads = resolve(n_threads)
    if out is None:
        out = empty(given[0].shape)
    place = see_place(held, out)
    if not are_alike(place, first):
        return None
    call.out = <double *> place.buf
    share_family(&call, operation_id, count, threads)
    return out


# ---- Dirichlet distributions, which lie in rows ----

ctypedef struct walked_dirichlets:
    const klfast_rows *rows
    double *results


cdef void walk_dirichlets(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked_dirichlets *call = <walked_dirichlets *> context
    cdef Py_ssize_t group
    for group in range(first, last):
        klfast_walk_dirichlets(call.rows, group, call.results)


cdef void share_dirichlets(klfast_rows *rows, double *results, int n_threads) noexcept:
    cdef walked_dirichlets call = walked_dirichlets(rows, results)
    cdef Py_ssize_t at_once = klfast_dirichlet_group(rows)
    rows.level, rows.type = chosen, FLOAT64
    with nogil:
        klfast_share(walk_dirichlets, &call, rows.outer_count * ((rows.row_count + at_once - 1) // at_once), n_threads)


def dirichlet(shape, arrays, elements, double[::1] out, int n_threads):
    """Writes one number per row into out. Shape, arrays and elements are as for `reduce`, and rows are not empty."""
    cdef klfast_rows rows
    cdef Memory a = Memory(arrays[0], elements[0]), b = Memory(arrays[1], elements[1])
    begin(&rows)
    rows.a, rows.b = a.array, b.array
    rows.outer_count, rows.row_count, rows.length = shape
    share_dirichlets(&rows, &out[0], n_threads)


def quick_dirichlet(arrays, axis, n_threads, resolve, out):
    """The results for two contiguous arrays of one shape along their last axis; None if that is not what they are."""
    cdef views held
    held.count = 0
    try:
        return walk_dirichlets_quickly(&held, list(arrays), axis, n_threads, resolve, out)
    finally:
        release(&held)


cdef object walk_dirichlets_quickly(views *held, list given, axis, n_threads, resolve, out):
    cdef klfast_rows rows
    cdef view *a = see(held, given[0])
    cdef view *b = see(held, given[1])
    cdef view *place
    cdef double result = 0
    cdef int threads = 1
    if not are_alike(a, b) or type(axis) is not int or (axis != -1 and axis != a.ndim - 1):
        return None
    lay(&rows, a, b, a)
    if n_threads is not None or FAMILY_COST * rows.row_count * rows.length >= LITTLE_WORK:
        threads = resolve(n_threads)
    if a.ndim == 1 and out is None:
        share_dirichlets(&rows, &result, threads)
        return float64(result)
    if out is None:
        out = empty(given[0].shape[: a.ndim - 1])
    place = see_place(held, out)
    if not is_one_for_each_row(place, a) or not has_native(place, "d"):
        return None
    share_dirichlets(&rows, <double *> place.buf, threads)
    return out
