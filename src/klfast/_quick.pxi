# ---- contiguous arrays and their last axis: no checks to make, no strides to work out ----

cdef object ndarray = numpy.ndarray
cdef object empty = numpy.empty
cdef object float64 = numpy.float64


cdef class Contiguous:
    """The memory of an array of contiguous rows, which stays there as long as this object does."""
    cdef Py_buffer view

    def __cinit__(self, array, int flags=0):
        PyObject_GetBuffer(array, &self.view, PyBUF_FORMAT | PyBUF_STRIDES | flags)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cdef bint has_native(self, const char *formats) noexcept:
        """Whether the elements are of one of these types, each a letter of module struct, in native byte order."""
        cdef const char *own = self.view.format
        while formats[0] != 0 and formats[0] != own[0]:
            formats += 1
        return formats[0] != 0 and own[1] == 0

    cdef klfast_array laid(self, Contiguous whole, int element) noexcept:
        """Where its rows lie, along the last axis; `element` is the number of their type. One row is that of all of `whole`."""
        cdef const Py_buffer *view = &self.view
        cdef Py_ssize_t row_stride = view.shape[view.ndim - 1] * view.itemsize if view.ndim == whole.view.ndim else 0
        return klfast_array(<const char *> view.buf, view.len, row_stride, view.itemsize, element)


cdef Contiguous contiguous(array):
    """The memory of a contiguous array that is not empty; None if it is none, or cannot be seen: that of dates, for one."""
    cdef Contiguous seen
    cdef Py_ssize_t stride
    cdef int axis
    if type(array) is not ndarray:
        return None
    try:
        seen = Contiguous(array)
    except (ValueError, BufferError):
        return None
    stride = seen.view.itemsize
    for axis in range(seen.view.ndim - 1, -1, -1):
        if seen.view.strides[axis] != stride or seen.view.shape[axis] == 0:
            return None
        stride *= seen.view.shape[axis]
    return seen


cdef bint are_numbers(Contiguous a) noexcept:
    """Whether these are rows of floats or doubles."""
    return a is not None and a.view.ndim > 0 and a.has_native("fd")


cdef bint are_alike(Contiguous a, Contiguous b) noexcept:
    """Whether these are two such arrays of one shape and type."""
    cdef int axis
    if not (are_numbers(a) and are_numbers(b)) or a.view.ndim != b.view.ndim or a.view.itemsize != b.view.itemsize:
        return False
    for axis in range(a.view.ndim):
        if a.view.shape[axis] != b.view.shape[axis]:
            return False
    return True


cdef bint is_row_of(Contiguous row, Contiguous whole) noexcept:
    """Whether the one is a vector as long as the rows of the other, and of its type."""
    if not (are_numbers(row) and are_numbers(whole)) or row.view.itemsize != whole.view.itemsize or row.view.ndim != 1:
        return False
    return row.view.shape[0] == whole.view.shape[whole.view.ndim - 1]


cdef bint are_classes(Contiguous ids, Contiguous logits) noexcept:
    """Whether these are class ids, one for each row of the logits, as the kernels take them: of 4 or 8 bytes."""
    cdef Py_ssize_t n_classes = logits.view.shape[logits.view.ndim - 1], i
    cdef int axis
    if ids is None or ids.view.ndim != logits.view.ndim - 1 or <size_t> ids.view.buf % ids.view.itemsize:
        return False
    if not ids.has_native("ilq"):
        return False
    for axis in range(ids.view.ndim):
        if ids.view.shape[axis] != logits.view.shape[axis]:
            return False
    for i in range(ids.view.len // ids.view.itemsize):
        if not 0 <= ((<const int64_t *> ids.view.buf)[i] if ids.view.itemsize == 8
                     else (<const int32_t *> ids.view.buf)[i]) < n_classes:
            return False
    return True


def quick(str operation, arrays, axis, n_threads, resolve, dict parameters, compute, ids=None, factor=None, written=None):
    """The results of one or two contiguous arrays along their last axis, a number for vectors. None if anything is out of the
    ordinary: arrays that are not of one type and shape, nor rows and a single row to go with each of them; `ids` that are not
    class ids of all rows of the first.

    `compute` is the type to compute with (a name in COMPUTE), None for that of the arrays. `resolve` makes a number of threads
    of `n_threads`, and is asked only if there is enough work or something to resolve. `factor` is what gradients are multiplied
    by. With `written`, which tells of each array whether results of its size are wanted, these follow: (results, those of the
    first array, those of the second), None where they are not wanted.
    """
    cdef list given = list(arrays)
    p, q = given[0], given[len(given) - 1]
    cdef klfast_rows rows
    cdef Contiguous a = contiguous(p), b = a if q is p else contiguous(q), whole = a, labels, first, second
    if not are_alike(a, b):
        if is_row_of(a, b) and written is None:
            whole = b
        elif not is_row_of(b, a) or (written is not None and len(written) > 1):
            return None
    if type(axis) is not int or (axis != -1 and axis != whole.view.ndim - 1):
        return None
    cdef Py_ssize_t size = whole.view.len // whole.view.itemsize
    cdef int threads = resolve(n_threads) if size >= LITTLE_WORK or n_threads is not None else 1
    cdef int element = 2 * (SINGLE if whole.view.itemsize == sizeof(float) else DOUBLE)
    begin(&rows)
    rows.operation_id = OPERATIONS[operation]
    rows.type = COMPUTE[compute] if compute is not None else FLOAT32 if element == 2 * SINGLE else FLOAT64
    rows.parameters = told(parameters)
    rows.a, rows.b = a.laid(whole, element), b.laid(whole, element)
    rows.length = whole.view.shape[whole.view.ndim - 1]
    rows.outer_count, rows.row_count = 1, size // rows.length
    if ids is not None:
        labels = contiguous(ids)
        if not are_classes(labels, whole):
            return None
        rows.labels = klfast_array(<const char *> labels.view.buf, 0, labels.view.itemsize, labels.view.itemsize,
                                   2 * (INT32 if labels.view.itemsize == 4 else INT64))
    if written is None:
        return walk_quickly(&rows, p if whole is a else q, whole.view.ndim, factor, threads)
    outputs = [empty(p.shape, p.dtype) if is_wanted else None for is_wanted in written]
    if outputs[0] is not None:
        first = Contiguous(outputs[0], PyBUF_WRITABLE)
        rows.out_a = first.laid(whole, element)
    if len(outputs) > 1 and outputs[1] is not None:
        second = Contiguous(outputs[1], PyBUF_WRITABLE)
        rows.out_b = second.laid(whole, element)
    return (walk_quickly(&rows, p, whole.view.ndim, factor, threads), *outputs)


cdef object walk_quickly(klfast_rows *rows, array, int n_dimensions, factor, int n_threads):
    """The results of all rows: a number for vectors."""
    cdef double result = 0
    cdef double[::1] results
    cdef const double[::1] gradients
    if factor is not None:
        gradients = numpy.full(rows.row_count, factor, float64)
        rows.gradients = &gradients[0]
    if n_dimensions == 1:
        walk(rows, &result, n_threads)
        return float64(result)
    numbers = empty(array.shape[: n_dimensions - 1])
    results = numbers.reshape(-1)
    walk(rows, &results[0], n_threads)
    return numbers
