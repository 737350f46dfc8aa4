# ---- contiguous arrays and their last axis: no checks to make, no strides to work out ----

cdef object ndarray = numpy.ndarray
cdef object empty = numpy.empty
cdef object float64 = numpy.float64

# In the place of an array: results go to one that is not there yet.
NEW_MEMORY = object()


cdef class Contiguous:
    """The memory of an array of contiguous rows, which stays there as long as this object does."""
    cdef object array
    cdef Py_buffer view

    def __cinit__(self, array, int flags=0):
        self.array = array
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


cdef Contiguous contiguous(array, int flags=0):
    """The memory of a contiguous array that is not empty; None if it is none, or cannot be had: that of dates, for one."""
    cdef Contiguous seen
    cdef Py_ssize_t stride
    cdef int axis
    if type(array) is not ndarray:
        return None
    try:
        seen = Contiguous(array, flags)
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


cdef bint have_one_shape(Contiguous a, Contiguous b) noexcept:
    cdef int axis
    if a is None or b is None or a.view.ndim != b.view.ndim:
        return False
    for axis in range(a.view.ndim):
        if a.view.shape[axis] != b.view.shape[axis]:
            return False
    return True


cdef bint are_alike(Contiguous a, Contiguous b) noexcept:
    """Whether these are two such arrays of one shape and type."""
    return are_numbers(a) and are_numbers(b) and a.view.itemsize == b.view.itemsize and have_one_shape(a, b)


cdef bint is_row_of(Contiguous row, Contiguous whole) noexcept:
    """Whether the one is a vector as long as the rows of the other, and of its type."""
    if not (are_numbers(row) and are_numbers(whole)) or row.view.itemsize != whole.view.itemsize or row.view.ndim != 1:
        return False
    return row.view.shape[0] == whole.view.shape[whole.view.ndim - 1]


cdef bint is_one_for_each_row(Contiguous a, Contiguous whole) noexcept:
    """Whether an array has as many elements as the other has rows, in their shape."""
    cdef int axis
    if a is None or a.view.ndim != whole.view.ndim - 1:
        return False
    for axis in range(a.view.ndim):
        if a.view.shape[axis] != whole.view.shape[axis]:
            return False
    return True


cdef bint are_classes(Contiguous ids, Contiguous logits, double ignored) noexcept:
    """Whether these are class ids, one for each row of the logits, as the kernels take them: of 4 or 8 bytes; or ignored."""
    cdef Py_ssize_t n_classes = logits.view.shape[logits.view.ndim - 1], i
    cdef int64_t label
    if not is_one_for_each_row(ids, logits) or not ids.has_native("ilq") or <size_t> ids.view.buf % ids.view.itemsize:
        return False
    for i in range(ids.view.len // ids.view.itemsize):
        label = (<const int64_t *> ids.view.buf)[i] if ids.view.itemsize == 8 else (<const int32_t *> ids.view.buf)[i]
        if not 0 <= label < n_classes and label != ignored:
            return False
    return True


cdef bint is_apart(Contiguous out, Contiguous a) noexcept:
    """Whether two arrays have no memory in common."""
    cdef const char *first = <const char *> out.view.buf
    cdef const char *second = <const char *> a.view.buf
    return first + out.view.len <= second or second + a.view.len <= first


cdef bint is_apart_from_all(Contiguous out, tuple arrays):
    """The same for several arrays, of which some are None."""
    cdef Contiguous one
    for one in arrays:
        if one is not None and not is_apart(out, one):
            return False
    return True


cdef Contiguous place_of_results(out, Contiguous whole, tuple others):
    """Where one number a row is written: in `out`, None for new memory. None if `out` will not do."""
    cdef Contiguous place
    if out is None:
        return Contiguous(empty(whole.array.shape[: whole.view.ndim - 1]), PyBUF_WRITABLE)
    place = contiguous(out, PyBUF_WRITABLE)
    if not is_one_for_each_row(place, whole) or not place.has_native("d") or not is_apart_from_all(place, others):
        return None
    return place


cdef Contiguous place_like(out, Contiguous a, tuple inputs, tuple others):
    """Where results of the size of an array are written: in `out`, or in NEW_MEMORY. None if `out` will not do; it may be
    exactly one of the inputs."""
    cdef Contiguous place, one
    if out is NEW_MEMORY:
        return Contiguous(empty(a.array.shape, a.array.dtype), PyBUF_WRITABLE)
    place = contiguous(out, PyBUF_WRITABLE)
    if not are_alike(place, a) or not is_apart_from_all(place, others):
        return None
    for one in inputs:
        if not is_apart(place, one) and not (place.view.buf == one.view.buf and are_alike(place, one)):
            return None
    return place


cdef void lay(klfast_rows *rows, Contiguous a, Contiguous b, Contiguous whole) noexcept:
    """A call on the rows of two arrays, of which one may be a single row; `whole` is one that is not."""
    cdef int element = 2 * (SINGLE if whole.view.itemsize == sizeof(float) else DOUBLE)
    begin(rows)
    rows.type = FLOAT32 if whole.view.itemsize == sizeof(float) else FLOAT64
    rows.a, rows.b = a.laid(whole, element), b.laid(whole, element)
    rows.length = whole.view.shape[whole.view.ndim - 1]
    rows.outer_count, rows.row_count = 1, whole.view.len // whole.view.itemsize // rows.length


cdef bint is_much(const klfast_rows *rows) noexcept:
    """Whether it is worth asking for threads."""
    return rows.row_count * rows.length >= LITTLE_WORK


cdef Contiguous filled(Py_ssize_t count, double value):
    """So many doubles, all alike."""
    cdef Contiguous numbers = Contiguous(empty(count), PyBUF_WRITABLE)
    cdef Py_ssize_t i
    for i in range(count):
        (<double *> numbers.view.buf)[i] = value
    return numbers


def quick(str operation, arrays, axis, n_threads, resolve, dict parameters, compute, out=None, written=None, factor=None,
          ids=None, label_weights=None):
    """The results of one or two contiguous arrays along their last axis, a number for vectors. None if anything is out of the
    ordinary: arrays that are not of one type and shape, nor rows and a single row to go with each of them; `ids` that are not
    class ids of all rows of the first; memory for results that will not do.

    `compute` is the type to compute with (a name in COMPUTE), None for that of the arrays. `resolve` makes a number of threads
    of `n_threads`, and is asked only if there is enough work or something to resolve. `out` takes the results. With `written`,
    which says of each array where results of its size go (NEW_MEMORY is not there yet, None: not wanted), these follow:
    (results, those of the first array, those of the second). `factor` is what gradients are multiplied by, `label_weights` what
    each row counts: doubles, as many as there are ids.
    """
    cdef list given = list(arrays)
    cdef klfast_rows rows
    cdef Contiguous a = contiguous(given[0]), b = a if len(given) == 1 else contiguous(given[1])
    cdef Contiguous whole = a, labels = None, first = None, second = None, results = None, gradients, row_weights
    cdef double result = 0
    if not are_alike(a, b):
        if is_row_of(a, b) and written is None:
            whole = b
        elif not is_row_of(b, a) or (written is not None and len(written) > 1):
            return None
    if type(axis) is not int or (axis != -1 and axis != whole.view.ndim - 1):
        return None
    lay(&rows, a, b, whole)
    rows.operation_id, rows.parameters = OPERATIONS[operation], told(parameters)
    if compute is not None:
        rows.type = COMPUTE[compute]
    if ids is not None:
        labels = contiguous(ids)
        if not are_classes(labels, whole, rows.parameters.ignored):
            return None
        rows.labels = klfast_array(<const char *> labels.view.buf, 0, labels.view.itemsize, labels.view.itemsize,
                                   2 * (INT32 if labels.view.itemsize == 4 else INT64))
    if label_weights is not None:
        row_weights = Contiguous(label_weights)
        rows.label_weights = <const double *> row_weights.view.buf
    if written is not None:
        inputs, others = ((a,), (b if b is not a else None, labels)) if len(written) == 1 else ((a, b), (labels,))
        if written[0] is not None:
            first = place_like(written[0], a, inputs, others)
            if first is None:
                return None
            rows.out_a = first.laid(whole, rows.a.element)
        if len(written) > 1 and written[1] is not None:
            second = place_like(written[1], b, inputs, (*others, first))
            if second is None:
                return None
            rows.out_b = second.laid(whole, rows.a.element)
    if factor is not None:
        gradients = filled(rows.row_count, factor)
        rows.gradients = <const double *> gradients.view.buf
    if whole.view.ndim > 1 or out is not None:
        results = place_of_results(out, whole, (a, b, labels))
        if results is None:
            return None
    n_threads = resolve(n_threads) if is_much(&rows) or n_threads is not None else 1
    walk(&rows, &result if results is None else <double *> results.view.buf, n_threads)
    numbers = float64(result) if results is None else results.array
    if written is None:
        return numbers
    return numbers, None if first is None else first.array, None if second is None else second.array


def quick_terms(int operation_id, arrays, mask, double[:, ::1] results, n_threads, resolve, dict parameters, written=(),
                factor=None):
    """Writes the numbers of every row into its row of `results`, which holds what they begin with, and returns the arrays that
    results of the size of the arrays went to, for each of `written`. None if these are not contiguous arrays of one shape and
    type (and `mask` bools of that shape, or None), as many rows as `results` has, or if memory for results will not do.

    All but `mask` and `results` is as for `quick`, but no output may be an input.
    """
    cdef klfast_term_call call
    cdef Contiguous first = contiguous(arrays[0]), one, included, place, gradients
    cdef int k, element
    if not are_numbers(first):
        return None
    begin_terms(&call)
    lay(&call.rows, first, first, first)
    element = call.rows.a.element
    held = []
    for k in range(len(arrays)):
        one = contiguous(arrays[k])
        if not are_alike(one, first):
            return None
        held.append(one)
        call.input[k] = one.laid(first, element)
    if mask is not None:
        included = contiguous(mask)
        if not have_one_shape(included, first) or not included.has_native("?"):
            return None
        call.rows.mask = included.laid(first, 2 * UINT8)
        held.append(included)
    for k in range(len(written)):
        place = place_like(written[k], first, (), tuple(held))
        if place is None:
            return None
        held.append(place)
        call.output[k] = place.laid(first, element)
    if factor is not None:
        gradients = filled(call.rows.row_count, factor)
        call.rows.gradients = <const double *> gradients.view.buf
    call.operation_id, call.rows.parameters = operation_id, told(parameters)
    n_threads = resolve(n_threads) if is_much(&call.rows) or n_threads is not None else 1
    walk_terms(&call, &results[0, 0], n_threads)
    return [(<Contiguous> place).array for place in held[len(held) - len(written):]]
