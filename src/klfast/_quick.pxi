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


cdef bint are_classes(const Py_buffer *ids, const Py_buffer *logits) noexcept:
    """Whether these are class ids, one for each row of the logits, as the kernels take them: contiguous, of 4 or 8 bytes."""
    cdef Py_ssize_t stride = ids.itemsize, n_classes = logits.shape[logits.ndim - 1], count = 1, i
    cdef int axis
    if ids.ndim != logits.ndim - 1 or ids.format[1] != 0 or ids.format[0] not in b"ilq" or <size_t> ids.buf % ids.itemsize:
        return False
    for axis in range(ids.ndim - 1, -1, -1):
        if ids.shape[axis] != logits.shape[axis] or ids.strides[axis] != stride:
            return False
        stride *= ids.shape[axis]
        count *= ids.shape[axis]
    for i in range(count):
        if not 0 <= ((<const int64_t *> ids.buf)[i] if ids.itemsize == 8 else (<const int32_t *> ids.buf)[i]) < n_classes:
            return False
    return True


cdef bint can_see_memory(array, Py_buffer *view) except -1:
    """Whether the array's memory can be seen; that of dates, for one, cannot."""
    try:
        PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES)
    except (ValueError, BufferError):
        return False
    return True


cdef void lay_rows(klfast_rows *rows, const Py_buffer *a, const Py_buffer *b) noexcept:
    """Two contiguous arrays of one shape and type, along their last axis."""
    cdef Py_ssize_t length = a.shape[a.ndim - 1]
    begin(rows)
    rows.type = FLOAT32 if a.itemsize == sizeof(float) else FLOAT64
    rows.a = klfast_array(<const char *> a.buf, a.len, length * a.itemsize, a.itemsize,
                          2 * (SINGLE if rows.type == FLOAT32 else DOUBLE))
    rows.b = rows.a
    rows.b.data = <const char *> b.buf
    rows.outer_count, rows.row_count, rows.length = 1, a.len // a.itemsize // length, length


cdef object walk_quickly(klfast_rows *rows, array, int n_dimensions, thread_count):
    """The results of all rows: a float for vectors."""
    cdef double result = 0
    cdef double[::1] results
    n_threads = thread_count() if rows.row_count * rows.length >= SMALL_WORK else 1
    if n_dimensions == 1:
        walk(rows, &result, n_threads)
        return result
    numbers = empty(array.shape[: n_dimensions - 1])
    results = numbers.reshape(-1)
    walk(rows, &results[0], n_threads)
    return numbers


def quick(int operation_id, p, q, axis, double order, thread_count):
    """The results for two contiguous arrays of one shape and type along their last axis, a float for vectors; None if that is
    not what they are.

    `thread_count` is asked for a number only if there is enough work for it.
    """
    cdef klfast_rows rows
    cdef Py_buffer a, b
    if type(p) is not ndarray or type(q) is not ndarray or not can_see_memory(p, &a):
        return None
    try:
        if not can_see_memory(q, &b):
            return None
        try:
            if not (is_quick(&a) and are_alike(&a, &b) and is_quick(&b)) or (axis != -1 and axis != a.ndim - 1):
                return None
            lay_rows(&rows, &a, &b)
            rows.operation_id, rows.parameters.order = operation_id, order
            return walk_quickly(&rows, p, a.ndim, thread_count)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)


def quick_labels(int operation_id, x, ids, axis, thread_count):
    """The same for contiguous logits and the class ids of their rows; None also if an id is that of no class."""
    cdef klfast_rows rows
    cdef Py_buffer a, b
    if type(x) is not ndarray or type(ids) is not ndarray or not can_see_memory(x, &a):
        return None
    try:
        if not can_see_memory(ids, &b):
            return None
        try:
            if not is_quick(&a) or (axis != -1 and axis != a.ndim - 1) or not are_classes(&b, &a):
                return None
            lay_rows(&rows, &a, &a)
            rows.operation_id = operation_id
            rows.labels = klfast_array(<const char *> b.buf, 0, b.itemsize, b.itemsize,
                                       2 * (INT32 if b.itemsize == 4 else INT64))
            return walk_quickly(&rows, x, a.ndim, thread_count)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)
