# ---- contiguous arrays and their last axis: no checks to make, no strides to work out ----

cdef object ndarray = numpy.ndarray
cdef object empty = numpy.empty
cdef object float64 = numpy.float64

# In the place of an array: results go to one that is not there yet.
NEW_MEMORY = object()

# At most so many arrays has a call: inputs, masks, class ids, and all that is written.
cdef enum:
    MOST_VIEWS = 10

ctypedef const Py_buffer view


# The memory of the arrays of a call, in the order in which they were looked at. It stays there until they are released.
# (An object for each of them would take a third of the time of a small call.)
ctypedef struct views:
    Py_buffer seen[MOST_VIEWS]
    int count


cdef void release(views *held) noexcept:
    while held.count > 0:
        held.count -= 1
        PyBuffer_Release(&held.seen[held.count])


cdef view *see(views *held, array, int flags=0) except? NULL:
    """The memory of a contiguous array that is not empty; NULL if it is none, or cannot be had: that of dates, for one."""
    cdef Py_buffer *seen = &held.seen[held.count]
    cdef Py_ssize_t stride
    cdef int axis
    if type(array) is not ndarray:
        return NULL
    try:
        PyObject_GetBuffer(array, seen, PyBUF_FORMAT | PyBUF_STRIDES | flags)
    except (ValueError, BufferError):
        return NULL
    held.count += 1
    stride = seen.itemsize
    for axis in range(seen.ndim - 1, -1, -1):
        if seen.strides[axis] != stride or seen.shape[axis] == 0:
            return NULL
        stride *= seen.shape[axis]
    return seen


cdef bint has_native(view *a, const char *formats) noexcept:
    """Whether the elements are of one of these types, each a letter of module struct, in native byte order."""
    while formats[0] != 0 and formats[0] != a.format[0]:
        formats += 1
    return formats[0] != 0 and a.format[1] == 0


cdef bint are_numbers(view *a) noexcept:
    """Whether these are rows of floats or doubles."""
    return a != NULL and a.ndim > 0 and has_native(a, "fd")


cdef bint have_axes(view *a, view *b, int count) noexcept:
    """Whether the first `count` axes of the one are all that the other has, of the same lengths."""
    cdef int axis
    if b.ndim != count:
        return False
    for axis in range(count):
        if a.shape[axis] != b.shape[axis]:
            return False
    return True


cdef bint are_alike(view *a, view *b) noexcept:
    """Whether these are two such arrays of one shape and type."""
    return are_numbers(a) and are_numbers(b) and a.itemsize == b.itemsize and have_axes(a, b, a.ndim)


cdef bint is_row_of(view *row, view *whole) noexcept:
    """Whether the one is a vector as long as the rows of the other, and of its type."""
    if not (are_numbers(row) and are_numbers(whole)) or row.itemsize != whole.itemsize or row.ndim != 1:
        return False
    return row.shape[0] == whole.shape[whole.ndim - 1]


cdef bint is_one_for_each_row(view *a, view *whole) noexcept:
    """Whether an array has as many elements as the other has rows, in their shape."""
    return a != NULL and have_axes(whole, a, whole.ndim - 1)


cdef bint are_classes(view *ids, view *logits, double ignored) noexcept:
    """Whether these are class ids, one for each row of the logits, as the kernels take them: of 4 or 8 bytes; or ignored."""
    cdef Py_ssize_t n_classes = logits.shape[logits.ndim - 1], i
    cdef int64_t label
    if not is_one_for_each_row(ids, logits) or not has_native(ids, "ilq") or <size_t> ids.buf % ids.itemsize:
        return False
    for i in range(ids.len // ids.itemsize):
        label = (<const int64_t *> ids.buf)[i] if ids.itemsize == 8 else (<const int32_t *> ids.buf)[i]
        if not 0 <= label < n_classes and label != ignored:
            return False
    return True


cdef bint is_apart(view *a, view *b) noexcept:
    """Whether two arrays have no memory in common."""
    cdef const char *first = <const char *> a.buf
    cdef const char *second = <const char *> b.buf
    return first + a.len <= second or second + b.len <= first


cdef view *see_place(views *held, out, int in_place=0) except? NULL:
    """The memory of an array to write to; NULL if it will not do. It must be apart from that of all others, but may be exactly
    one of the first `in_place`."""
    cdef int others = held.count, i
    cdef view *place = see(held, out, PyBUF_WRITABLE)
    if place == NULL:
        return NULL
    for i in range(others):
        if not is_apart(place, &held.seen[i]):
            if i >= in_place or place.buf != held.seen[i].buf or not are_alike(place, &held.seen[i]):
                return NULL
    return place


cdef klfast_array laid(view *a, view *whole, int element) noexcept:
    """Where rows lie, along the last axis; `element` is the number of their type. A single row is that of all of `whole`."""
    cdef Py_ssize_t row_stride = a.shape[a.ndim - 1] * a.itemsize if a.ndim == whole.ndim else 0
    return klfast_array(<const char *> a.buf, a.len, row_stride, a.itemsize, element)


cdef void lay(klfast_rows *rows, view *a, view *b, view *whole) noexcept:
    """A call on the rows of two arrays, of which one may be a single row; `whole` is one that is not."""
    cdef int element = 2 * (SINGLE if whole.itemsize == sizeof(float) else DOUBLE)
    begin(rows)
    rows.type = FLOAT32 if whole.itemsize == sizeof(float) else FLOAT64
    rows.a, rows.b = laid(a, whole, element), laid(b, whole, element)
    rows.length = whole.shape[whole.ndim - 1]
    rows.outer_count, rows.row_count = 1, whole.len // whole.itemsize // rows.length


cdef const double *filled(views *held, Py_ssize_t count, double value) except NULL:
    """So many doubles, all alike."""
    cdef double *numbers = <double *> see(held, empty(count), PyBUF_WRITABLE).buf
    cdef Py_ssize_t i
    for i in range(count):
        numbers[i] = value
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
    cdef views held
    held.count = 0
    try:
        return walk_quickly(&held, operation, list(arrays), axis, n_threads, resolve, parameters, compute, out, written, factor,
                            ids, label_weights)
    finally:
        release(&held)


cdef object walk_quickly(views *held, str operation, list given, axis, n_threads, resolve, dict parameters, compute, out,
                         written, factor, ids, label_weights):
    cdef klfast_rows rows
    cdef view *a = see(held, given[0])
    cdef view *b = a if len(given) == 1 else see(held, given[1])
    cdef view *whole = a
    cdef view *labels
    cdef view *results
    cdef double result = 0
    if not are_alike(a, b):
        if is_row_of(a, b) and written is None:
            whole = b
        elif not is_row_of(b, a) or (written is not None and len(written) > 1):
            return None
    if type(axis) is not int or (axis != -1 and axis != whole.ndim - 1):
        return None
    lay(&rows, a, b, whole)
    rows.operation_id, rows.parameters = OPERATIONS[operation], told(parameters)
    if compute is not None:
        rows.type = COMPUTE[compute]
    if ids is not None:
        labels = see(held, ids)
        if not are_classes(labels, whole, rows.parameters.ignored):
            return None
        rows.labels = klfast_array(<const char *> labels.buf, 0, labels.itemsize, labels.itemsize,
                                   2 * (INT32 if labels.itemsize == 4 else INT64))
    if label_weights is not None:
        rows.label_weights = <const double *> see(held, label_weights).buf
    if written is not None:
        written = new_where_wanted(written, given[0])
        if not lay_outputs(held, &rows, written, a, whole):
            return None
    if factor is not None:
        rows.gradients = filled(held, rows.row_count, factor)
    if whole.ndim == 1 and out is None:
        walk(&rows, &result, threads_for(&rows, n_threads, resolve))
        out = float64(result)
    else:
        if out is None:
            out = empty((given[0] if whole == a else given[1]).shape[: whole.ndim - 1])
        results = see_place(held, out)
        if not is_one_for_each_row(results, whole) or not has_native(results, "d"):
            return None
        walk(&rows, <double *> results.buf, threads_for(&rows, n_threads, resolve))
    return out if written is None else (out, *written)


cdef int threads_for(const klfast_rows *rows, n_threads, resolve) except -1:
    if n_threads is None and rows.row_count * rows.length < LITTLE_WORK:
        return 1
    return resolve(n_threads)


cdef list new_where_wanted(written, array):
    """`written` with an array like another in the place of NEW_MEMORY."""
    return [empty(array.shape, array.dtype) if out is NEW_MEMORY else out for out in written]


cdef bint lay_outputs(views *held, klfast_rows *rows, list written, view *a, view *whole) except -1:
    """Where results of the arrays' size go. False if that will not do."""
    cdef view *place
    cdef int k, count = len(written)
    for k in range(count):
        if written[k] is not None:
            place = see_place(held, written[k], count)
            if not are_alike(place, a):
                return False
            if k == 0:
                rows.out_a = laid(place, whole, rows.a.element)
            else:
                rows.out_b = laid(place, whole, rows.a.element)
    return True


def quick_terms(int operation_id, arrays, mask, double[:, ::1] results, n_threads, resolve, dict parameters, written=(),
                factor=None):
    """Writes the numbers of every row into its row of `results`, which holds what they begin with, and returns the arrays that
    results of the size of the arrays went to, for each of `written`. None if these are not contiguous arrays of one shape and
    type (and `mask` bools of that shape, or None), or if memory for results will not do.

    All but `mask` and `results` is as for `quick`, but no output may be an input.
    """
    cdef views held
    held.count = 0
    try:
        return walk_terms_quickly(&held, operation_id, arrays, mask, results, n_threads, resolve, parameters, written, factor)
    finally:
        release(&held)


cdef object walk_terms_quickly(views *held, int operation_id, arrays, mask, double[:, ::1] results, n_threads, resolve,
                               dict parameters, written, factor):
    cdef klfast_term_call call
    cdef view *first = see(held, arrays[0])
    cdef view *one
    cdef int k, element
    if not are_numbers(first):
        return None
    begin_terms(&call)
    lay(&call.rows, first, first, first)
    element = call.rows.a.element
    call.input[0] = call.rows.a
    for k in range(1, len(arrays)):
        one = see(held, arrays[k])
        if not are_alike(one, first):
            return None
        call.input[k] = laid(one, first, element)
    if mask is not None:
        one = see(held, mask)
        if one == NULL or not have_axes(first, one, first.ndim) or not has_native(one, "?"):
            return None
        call.rows.mask = laid(one, first, 2 * UINT8)
    written = new_where_wanted(written, arrays[0])
    for k in range(len(written)):
        one = see_place(held, written[k])
        if not are_alike(one, first):
            return None
        call.output[k] = laid(one, first, element)
    if factor is not None:
        call.rows.gradients = filled(held, call.rows.row_count, factor)
    call.operation_id, call.rows.parameters = operation_id, told(parameters)
    walk_terms(&call, &results[0, 0], threads_for(&call.rows, n_threads, resolve))
    return written
