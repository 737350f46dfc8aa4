# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Walks rows and blocks and adds up block results in order. No arithmetic of its own, no errors: see klfast._dispatch.

Few long rows and many rows both use all threads: rows are shared out if there are enough of them, else the blocks of a row
are. Blocks have a fixed length and are added up in their order either way, so the result does not depend on it.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cython.parallel cimport prange

import os

import numpy

cdef extern from "kernels.h" nogil:
    ctypedef struct klfast_state:
        pass
    ctypedef struct klfast_row:
        int walk
        double label_logit
    ctypedef struct klfast_operation:
        void (*block)(klfast_state *, const void *, const void *, Py_ssize_t, const klfast_row *) noexcept nogil
        void (*join)(klfast_state *, const klfast_state *) noexcept nogil
        int (*finish)(const klfast_state *, klfast_row *, double *) noexcept nogil
        Py_ssize_t block_length
    ctypedef struct klfast_level:
        klfast_operation operation[11][2]
        double (*read_sum)(const double *, Py_ssize_t) noexcept nogil
    ctypedef struct klfast_target:
        const char *name
        const klfast_level *level
    enum:
        KL_DIVERGENCE, CROSS_ENTROPY, ENTROPY, RAW_KL_DIVERGENCE, RAW_CROSS_ENTROPY, RAW_ENTROPY
        LOGITS_KL_DIVERGENCE, LOGITS_JS_DIVERGENCE, LOGITS_ENTROPY, LOGITS_LOGSUMEXP, LOGITS_CROSS_ENTROPY
        FLOAT32, FLOAT64, KLFAST_LONGEST_BLOCK, KLFAST_TARGETS
    void klfast_find_targets(klfast_target *)
    void klfast_begin_row(klfast_row *, const klfast_operation *, int, int,
                          const char *, Py_ssize_t, const char *, Py_ssize_t, Py_ssize_t)
    void klfast_gather(char *, const char *, Py_ssize_t, Py_ssize_t, Py_ssize_t)

cdef extern from "openmp_version.h" nogil:
    int KLFAST_HAS_OPENMP
    int KLFAST_OPENMP_VERSION

OPERATIONS = {
    "kl_divergence": KL_DIVERGENCE,
    "cross_entropy": CROSS_ENTROPY,
    "entropy": ENTROPY,
    "raw_kl_divergence": RAW_KL_DIVERGENCE,
    "raw_cross_entropy": RAW_CROSS_ENTROPY,
    "raw_entropy": RAW_ENTROPY,
    "logits_kl_divergence": LOGITS_KL_DIVERGENCE,
    "logits_js_divergence": LOGITS_JS_DIVERGENCE,
    "logits_entropy": LOGITS_ENTROPY,
    "logits_logsumexp": LOGITS_LOGSUMEXP,
}


# ---- the CPU level, chosen once ----

cdef klfast_target targets[3]
cdef const klfast_level *chosen = NULL
cdef str chosen_name


def cpu_targets():
    """The names of the levels that this CPU can run, best last."""
    return [targets[i].name.decode() for i in range(KLFAST_TARGETS) if targets[i].level != NULL]


def cpu_target():
    """The name of the level in use."""
    return chosen_name


def _choose():
    global chosen, chosen_name
    klfast_find_targets(targets)
    possible = cpu_targets()
    wanted = os.environ.get("KLFAST_CPU") or possible[len(possible) - 1]
    if wanted not in possible:
        raise ImportError(f"KLFAST_CPU={wanted!r} is not possible here; possible are {', '.join(possible)}")
    for i in range(KLFAST_TARGETS):
        if targets[i].level != NULL and targets[i].name.decode() == wanted:
            chosen = targets[i].level
            chosen_name = wanted


_choose()


def has_openmp():
    """Whether this build shares work out over threads."""
    return KLFAST_HAS_OPENMP != 0


def openmp_runtime():
    """The version of the OpenMP standard that the build follows, as its date; empty without OpenMP."""
    return str(KLFAST_OPENMP_VERSION) if KLFAST_HAS_OPENMP else ""


# ---- one block, one row ----

cdef struct rows_t:
    const char *a
    const char *b
    Py_ssize_t row_stride_a, row_stride_b, stride_a, stride_b, length, size
    int operation_id, type
    const klfast_operation *operation


cdef void one_block(const rows_t *rows, Py_ssize_t row, Py_ssize_t start, const klfast_row *told,
                    klfast_state *state) noexcept nogil:
    """The state of the block at `start`; elements that do not lie side by side are gathered into a buffer first."""
    cdef double buffer_a[KLFAST_LONGEST_BLOCK]
    cdef double buffer_b[KLFAST_LONGEST_BLOCK]
    cdef const char *a = rows.a + row * rows.row_stride_a + start * rows.stride_a
    cdef const char *b = rows.b + row * rows.row_stride_b + start * rows.stride_b
    cdef Py_ssize_t length = min(rows.length - start, rows.operation.block_length)
    if rows.stride_a != rows.size:
        klfast_gather(<char *> buffer_a, a, rows.stride_a, rows.size, length)
        a = <const char *> buffer_a
    if rows.stride_b != rows.size:
        klfast_gather(<char *> buffer_b, b, rows.stride_b, rows.size, length)
        b = <const char *> buffer_b
    rows.operation.block(state, a, b, length, told)


cdef void begin(const rows_t *rows, Py_ssize_t row, const double *label_logits, klfast_row *told) noexcept nogil:
    klfast_begin_row(told, rows.operation, rows.operation_id, rows.type, rows.a + row * rows.row_stride_a, rows.stride_a,
                     rows.b + row * rows.row_stride_b, rows.stride_b, rows.length)
    if label_logits != NULL:
        told.label_logit = label_logits[row]


cdef Py_ssize_t chunk(Py_ssize_t count, int n_threads) noexcept nogil:
    """How many rows or blocks a thread takes at a time: few enough that nobody waits long for one that was held up."""
    return max(1, count // (16 * n_threads))


cdef double whole_row(const rows_t *rows, Py_ssize_t row, const double *label_logits) noexcept nogil:
    """Walks one row, as often as the operation wants, on the calling thread."""
    cdef klfast_row told
    cdef klfast_state total, state
    cdef Py_ssize_t start
    cdef double result
    begin(rows, row, label_logits, &told)
    while True:
        one_block(rows, row, 0, &told, &total)
        start = rows.operation.block_length
        while start < rows.length:
            one_block(rows, row, start, &told, &state)
            rows.operation.join(&total, &state)
            start += rows.operation.block_length
        if not rows.operation.finish(&total, &told, &result):
            return result


cdef double shared_row(const rows_t *rows, Py_ssize_t row, const double *label_logits, klfast_state *states,
                       int n_threads) noexcept nogil:
    """The same, with the blocks shared out and then added up in their order."""
    cdef klfast_row told
    cdef klfast_state total
    cdef Py_ssize_t block_length = rows.operation.block_length
    cdef Py_ssize_t blocks = (rows.length + block_length - 1) // block_length
    cdef Py_ssize_t i
    cdef double result
    begin(rows, row, label_logits, &told)
    while True:
        for i in prange(blocks, num_threads=n_threads, schedule="dynamic", chunksize=chunk(blocks, n_threads)):
            one_block(rows, row, i * block_length, &told, &states[i])
        total = states[0]
        for i in range(1, blocks):
            rows.operation.join(&total, &states[i])
        if not rows.operation.finish(&total, &told, &result):
            return result


# ---- many rows ----

cdef fused real:
    float
    double

# Below this many elements a call is not worth waking threads for.
cdef enum:
    SMALL_WORK = 32768


cdef int walk(const rows_t *rows, Py_ssize_t count, const double *label_logits, double[:] out, int n_threads) except -1:
    cdef Py_ssize_t row, blocks = (rows.length + rows.operation.block_length - 1) // rows.operation.block_length
    cdef klfast_state *states
    if n_threads <= 1 or count * rows.length < SMALL_WORK:
        with nogil:
            for row in range(count):
                out[row] = whole_row(rows, row, label_logits)
    elif count >= 4 * n_threads or blocks == 1:
        for row in prange(count, num_threads=n_threads, schedule="dynamic", chunksize=chunk(count, n_threads), nogil=True):
            out[row] = whole_row(rows, row, label_logits)
    else:
        states = <klfast_state *> PyMem_Malloc(blocks * sizeof(klfast_state))
        if states == NULL:
            raise MemoryError()
        with nogil:
            for row in range(count):
                out[row] = shared_row(rows, row, label_logits, states, n_threads)
        PyMem_Free(states)
    return 0


cdef rows_t describe(int operation_id, const real[:, :] a, const real[:, :] b) noexcept:
    cdef rows_t rows
    rows.type = FLOAT32 if real is float else FLOAT64
    rows.operation_id = operation_id
    rows.operation = &chosen.operation[operation_id][rows.type]
    rows.a, rows.b = <const char *> &a[0, 0], <const char *> &b[0, 0]
    rows.row_stride_a, rows.row_stride_b = a.strides[0], b.strides[0]
    rows.stride_a, rows.stride_b = a.strides[1], b.strides[1]
    rows.length, rows.size = a.shape[1], sizeof(real)
    if rows.length == 1:
        rows.stride_a = rows.stride_b = rows.size
    return rows


cdef int reduce_any(int operation_id, const real[:, :] a, const real[:, :] b, double[:] out, int n_threads) except -1:
    cdef rows_t rows = describe(operation_id, a, b)
    return walk(&rows, a.shape[0], NULL, out, n_threads)


cdef int reduce_labels_any(const real[:, :] x, const long long[:] labels, double[:] out, int n_threads) except -1:
    cdef rows_t rows = describe(LOGITS_CROSS_ENTROPY, x, x)
    cdef Py_ssize_t row
    cdef double *label_logits = <double *> PyMem_Malloc(x.shape[0] * sizeof(double))
    if label_logits == NULL:
        raise MemoryError()
    for row in range(x.shape[0]):
        label_logits[row] = x[row, labels[row]]
    try:
        return walk(&rows, x.shape[0], label_logits, out, n_threads)
    finally:
        PyMem_Free(label_logits)


def reduce(int operation_id, a, b, double[:] out, int n_threads):
    """Writes one number per row of a and b into out. Both are (rows, length), of the same type, with any strides."""
    if a.itemsize == sizeof(float):
        reduce_any[float](operation_id, a, b, out, n_threads)
    else:
        reduce_any[double](operation_id, a, b, out, n_threads)


def reduce_labels(x, const long long[:] labels, double[:] out, int n_threads):
    """Writes the cross-entropy of one class id per row of logits into out."""
    if x.itemsize == sizeof(float):
        reduce_labels_any[float](x, labels, out, n_threads)
    else:
        reduce_labels_any[double](x, labels, out, n_threads)


# ---- one contiguous vector: no checks to make, no shapes to work out ----

cdef object ndarray = numpy.ndarray

# Up to this many elements not even the interpreter's lock is worth giving up.
cdef enum:
    QUICK_LENGTH = 4096


cdef bint is_quick(const Py_buffer *view) noexcept:
    """Whether this is a contiguous vector that the kernels take as it is."""
    if view.ndim != 1 or view.strides[0] != view.itemsize or view.shape[0] == 0:
        return False
    return view.format[1] == 0 and (view.format[0] == c"f" or view.format[0] == c"d")


cdef bint can_see_memory(array, Py_buffer *view) except -1:
    """Whether the array's memory can be seen; that of dates, for one, cannot."""
    try:
        PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES)
    except (ValueError, BufferError):
        return False
    return True


def quick(int operation_id, p, q, thread_count):
    """The result for two contiguous vectors of one type, as a float; None if that is not what they are.

    `thread_count` is asked for a number only if there is enough work for it.
    """
    cdef rows_t rows
    cdef double result
    cdef Py_buffer a, b
    if type(p) is not ndarray or type(q) is not ndarray:
        return None
    if not can_see_memory(p, &a):
        return None
    try:
        if not can_see_memory(q, &b):
            return None
        try:
            if not (is_quick(&a) and is_quick(&b) and a.shape[0] == b.shape[0] and a.itemsize == b.itemsize):
                return None
            rows.type = FLOAT32 if a.itemsize == sizeof(float) else FLOAT64
            rows.operation_id = operation_id
            rows.operation = &chosen.operation[operation_id][rows.type]
            rows.a, rows.b = <const char *> a.buf, <const char *> b.buf
            rows.length, rows.size = a.shape[0], a.itemsize
            rows.row_stride_a = rows.row_stride_b = 0
            rows.stride_a = rows.stride_b = rows.size
            if rows.length <= QUICK_LENGTH:
                return whole_row(&rows, 0, NULL)
            walk(&rows, 1, NULL, <double[:1]> &result, thread_count())
            return result
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)


# ---- the memory limit, for benchmarks ----

def read_sum(const double[::1] a, const double[::1] b, int n_threads):
    """Adds up two arrays, or one if b is None, and does nothing else."""
    cdef Py_ssize_t length = a.shape[0], chunk = 4096, chunks = (length + chunk - 1) // chunk, i
    cdef const double *first = &a[0]
    cdef const double *second = NULL if b is None else &b[0]
    cdef double result = 0
    for i in prange(chunks, num_threads=n_threads, schedule="static", nogil=True):
        result += chosen.read_sum(first + i * chunk, min(chunk, length - i * chunk))
        if second != NULL:
            result += chosen.read_sum(second + i * chunk, min(chunk, length - i * chunk))
    return result
