# ---- functions of elements ----

ELEMENTWISE = {"entr": ENTR, "rel_entr": REL_ENTR, "kl_div": KL_DIV}

# What a thread takes at a time, in elements: small enough for the nearest cache.
cdef enum:
    ELEMENTS_AT_ONCE = 4096

cdef fused real:
    float
    double


ctypedef struct elements_of_a_call:
    const char *p
    const char *q
    const char *mask
    char *out
    Py_ssize_t length, size
    void (*function)(void *, const void *, const void *, const char *, Py_ssize_t) noexcept nogil


cdef void each_block(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef elements_of_a_call *call = <elements_of_a_call *> context
    cdef Py_ssize_t start = first * ELEMENTS_AT_ONCE, at = start * call.size
    cdef Py_ssize_t length = min(call.length, last * ELEMENTS_AT_ONCE) - start
    cdef const char *mask = call.mask
    if mask != NULL:
        mask += start
    call.function(call.out + at, call.p + at, call.q + at, mask, length)


cdef void share_elements(elements_of_a_call *call, int operation_id, int n_threads) noexcept:
    """All blocks of contiguous arrays of floats or doubles, whose places, length and size of an element are set."""
    call.function = chosen.elementwise[operation_id][FLOAT32 if call.size == sizeof(float) else FLOAT64]
    with nogil:
        klfast_share(each_block, call, (call.length + ELEMENTS_AT_ONCE - 1) // ELEMENTS_AT_ONCE, n_threads)


def elementwise(int operation_id, const real[::1] p, const real[::1] q, const unsigned char[::1] mask, real[::1] out,
                int n_threads):
    """Writes one result per element into out, where mask (None: everywhere) is not 0."""
    cdef elements_of_a_call call
    call.p, call.q, call.out = <const char *> &p[0], <const char *> &q[0], <char *> &out[0]
    call.mask = NULL
    if mask is not None:
        call.mask = <const char *> &mask[0]
    call.length, call.size = p.shape[0], sizeof(real)
    share_elements(&call, operation_id, 1 if call.length < LITTLE_WORK else n_threads)


def quick_elementwise(str operation, arrays, n_threads, resolve):
    """The results for contiguous arrays of one shape and type; None if that is not what they are. All is as for `quick`."""
    cdef views held
    held.count = 0
    try:
        return walk_elements_quickly(&held, operation, list(arrays), n_threads, resolve)
    finally:
        release(&held)


cdef object walk_elements_quickly(views *held, str operation, list given, n_threads, resolve):
    cdef elements_of_a_call call
    cdef view *a = see(held, given[0])
    cdef view *b = a if len(given) == 1 else see(held, given[1])
    if not are_alike(a, b):
        return None
    call.length, call.size = a.len // a.itemsize, a.itemsize
    cdef int threads = resolve(n_threads) if call.length >= LITTLE_WORK or n_threads is not None else 1
    out = empty(given[0].shape, given[0].dtype)
    call.p, call.q, call.mask = <const char *> a.buf, <const char *> b.buf, NULL
    call.out = <char *> see(held, out, PyBUF_WRITABLE).buf
    share_elements(&call, ELEMENTWISE[operation], threads)
    return out
