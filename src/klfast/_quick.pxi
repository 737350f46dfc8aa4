# ---- contiguous arrays and their last axis: no checks to make, no strides to work out ----

cdef object ndarray = numpy.ndarray
cdef object empty = numpy.empty

cdef bint is_quick(const Py_buffer *view) noexcept:
    """Whether this is a contiguous array of rows that the kernels take as it is."""
    cdef Py_ssize_t stride = view.itemsize
    cdef int axis
    if view.ndim == 0:
        return False
    for axis in range(view.ndim - 1, -1, -1):
        if view.strides[axis] != stride or view.shape[axis] == 0:
            return False
        stride *= view.shape[axis]
    return view.format[1] == 0 and (view.format[0] == c"f" or view.format[0] == c"d")


cdef bint are_alike(const Py_buffer *a, const Py_buffer *b) noexcept:
    """Whether two such arrays have one shape and one type."""
    cdef int axis
    if a.ndim != b.ndim or a.itemsize != b.itemsize:
        return False
    for axis in range(a.ndim):
        if a.shape[axis] != b.shape[axis]:
            return False
    return True


cdef bint can_see_memory(array, Py_buffer *view) except -1:
    """Whether the array's memory can be seen; that of dates, for one, cannot."""
    try:
        PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES)
    except (ValueError, BufferError):
        return False
    return True


def quick(int operation_id, p, q, axis, double order, thread_count):
    """The results for two contiguous arrays of one shape and type along their last axis, a float for vectors; None if that is
    not what they are.

    `thread_count` is asked for a number only if there is enough work for it.
    """
    cdef klfast_rows rows
    cdef double result = 0
    cdef double[::1] results
    cdef Py_ssize_t length
    cdef Py_buffer a, b
    if type(p) is not ndarray or type(q) is not ndarray:
        return None
    if not can_see_memory(p, &a):
        return None
    try:
        if not can_see_memory(q, &b):
            return None
        try:
            if not (is_quick(&a) and are_alike(&a, &b) and is_quick(&b)) or (axis != -1 and axis != a.ndim - 1):
                return None
            length = a.shape[a.ndim - 1]
            begin(&rows)
            rows.type = FLOAT32 if a.itemsize == sizeof(float) else FLOAT64
            rows.a.element = rows.b.element = 2 * (SINGLE if rows.type == FLOAT32 else DOUBLE)
            rows.a.data, rows.b.data = <const char *> a.buf, <const char *> b.buf
            rows.a.outer_stride = rows.b.outer_stride = a.len
            rows.a.row_stride = rows.b.row_stride = length * a.itemsize
            rows.a.stride = rows.b.stride = a.itemsize
            rows.outer_count, rows.row_count = 1, a.len // a.itemsize // length
            rows.length, rows.operation_id, rows.parameters.order = length, operation_id, order
            n_threads = thread_count() if a.len // a.itemsize >= SMALL_WORK else 1
            if a.ndim == 1:
                walk(&rows, &result, n_threads)
                return result
            numbers = empty(p.shape[: a.ndim - 1])
            results = numbers.reshape(-1)
            walk(&rows, &results[0], n_threads)
            return numbers
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)
