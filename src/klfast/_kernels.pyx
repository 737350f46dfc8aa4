# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Walks rows and blocks and adds up block results in order. No arithmetic of its own, no errors: see klfast._dispatch.

It keeps nothing between calls but the choice of CPU level and threading driver, made at import: calls from several threads do
not meet, whether Python has a global lock or not.

Few long rows and many rows both use all threads: rows are shared out if there are enough of them, else the blocks of a row
are. Blocks have a fixed length and are added up in their order either way, so the result does not depend on it.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc cimport math
from libc.stdint cimport int32_t, int64_t

import os
import sys

import numpy

OPERATIONS = {
    "kl_divergence": KL_DIVERGENCE,
    "cross_entropy": CROSS_ENTROPY,
    "entropy": ENTROPY,
    "raw_kl_divergence": RAW_KL_DIVERGENCE,
    "raw_cross_entropy": RAW_CROSS_ENTROPY,
    "raw_entropy": RAW_ENTROPY,
    "js_divergence": JS_DIVERGENCE,
    "total_variation": TOTAL_VARIATION_DISTANCE,
    "hellinger": HELLINGER_DISTANCE,
    "jeffreys": JEFFREYS_DIVERGENCE,
    "chi2_divergence": CHI2_DIVERGENCE,
    "raw_js_divergence": RAW_JS_DIVERGENCE,
    "raw_total_variation": RAW_TOTAL_VARIATION_DISTANCE,
    "raw_hellinger": RAW_HELLINGER_DISTANCE,
    "raw_jeffreys": RAW_JEFFREYS_DIVERGENCE,
    "raw_chi2_divergence": RAW_CHI2_DIVERGENCE,
    "renyi_divergence": RENYI_DIVERGENCE,
    "logits_kl_divergence": LOGITS_KL_DIVERGENCE,
    "logits_js_divergence": LOGITS_JS_DIVERGENCE,
    "logits_entropy": LOGITS_ENTROPY,
    "logits_logsumexp": LOGITS_LOGSUMEXP,
    "logits_softmax": LOGITS_SOFTMAX,
    "logits_log_softmax": LOGITS_LOG_SOFTMAX,
    "logits_cross_entropy": LOGITS_CROSS_ENTROPY,
    "logits_smoothed_cross_entropy": LOGITS_SMOOTHED_CROSS_ENTROPY,
    "logits_soft_cross_entropy": LOGITS_SOFT_CROSS_ENTROPY,
    "logits_token_logprobs": LOGITS_TOKEN_LOGPROBS,
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


include "_sharing.pxi"


# ---- types ----

# What kernels compute with.
COMPUTE = {"float32": FLOAT32, "float64": FLOAT64}

# The element types that are read, by their name in dtype.str; in the foreign byte order one more.
cdef dict numbered(str order):
    names = {HALF: "f2", SINGLE: "f4", DOUBLE: "f8", INT16: "i2", UINT16: "u2", INT32: "i4", UINT32: "u4", INT64: "i8",
             UINT64: "u8"}
    native, foreign = ("<", ">") if order == "little" else (">", "<")
    numbers = {"|i1": 2 * INT8, "|u1": 2 * UINT8, "|b1": 2 * UINT8}
    for number, name in names.items():
        numbers[native + name] = 2 * number
        numbers[foreign + name] = 2 * number + 1
    return numbers


ELEMENTS = numbered(sys.byteorder)
# The same for bfloat16, by the name of the unsigned integers that hold its bits.
BFLOAT16_ELEMENTS = {name: number - 2 * UINT16 + 2 * BRAIN for name, number in ELEMENTS.items() if name[1:] == "u2"}


# ---- the rows of a call, shared out over threads ----

# Rows of logits up to this length are computed side by side, where the operation has a way to.
SHORT_ROW = KLFAST_SHORT_ROW

# Below this many elements a call is not worth waking threads for.
cdef enum:
    LITTLE_WORK = 32768

SMALL_WORK = LITTLE_WORK

# Few long rows: so many blocks are shared out at a time, for each thread. Of single rows, more: their states are then as large
# as ten blocks.
cdef enum:
    BLOCKS_PER_THREAD = 64
    STATES_PER_THREAD = 1024


# What is done to a block, and how what that leaves is joined: one of each pair of functions in kernels.h.
ctypedef void block_task(const klfast_unit *, const klfast_rows *, Py_ssize_t, klfast_state *, void *) noexcept nogil
ctypedef void join_task(const klfast_unit *, const klfast_rows *, klfast_state *, Py_ssize_t) noexcept nogil


# What the threads of a call have in common. `scratch` has room for each of them. Where blocks are shared out: those of the
# `count` units from number `first` on, a few at a time, each with its states in one of the `places` of its unit. Those in the
# places from `begin` to `end` are now blocks start + begin to start + end; place 0 has what comes before them.
ctypedef struct walked:
    const klfast_rows *rows
    double *results
    char *scratch
    klfast_unit *units
    klfast_state *states
    block_task *do_block
    join_task *join
    Py_ssize_t blocks, places, first, count, start, begin, end


cdef void walk_units(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked *call = <walked *> context
    cdef Py_ssize_t unit
    for unit in range(first, last):
        klfast_walk_unit(call.rows, unit, call.results, call.scratch + thread * call.rows.scratch_bytes)


cdef void begin_units(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked *call = <walked *> context
    cdef Py_ssize_t i
    for i in range(first, last):
        klfast_begin_unit(&call.units[i], call.rows, call.first + i)


cdef klfast_state *states_at(walked *call, Py_ssize_t unit, Py_ssize_t place) noexcept nogil:
    return call.states + (unit * call.places + place) * call.rows.strip


cdef void do_blocks(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked *call = <walked *> context
    cdef Py_ssize_t i, unit, place
    for i in range(first, last):
        unit, place = i // (call.end - call.begin), call.begin + i % (call.end - call.begin)
        call.do_block(&call.units[unit], call.rows, call.start + place, states_at(call, unit, place),
                      call.scratch + thread * call.rows.scratch_bytes)


cdef void join_blocks(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked *call = <walked *> context
    cdef Py_ssize_t i
    for i in range(first, last):
        call.join(&call.units[i], call.rows, states_at(call, i, 0), call.end)


cdef void finish_units(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked *call = <walked *> context
    cdef Py_ssize_t i
    for i in range(first, last):
        klfast_finish_unit(&call.units[i], call.rows, states_at(call, i, 0), call.results)


cdef void settle_units(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked *call = <walked *> context
    cdef Py_ssize_t i
    for i in range(first, last):
        klfast_settle_unit(&call.units[i], call.rows, states_at(call, i, 0))


cdef void share_all_blocks(walked *call, block_task *do_block, join_task *join, int n_threads) noexcept nogil:
    """Does this to all blocks of all units, as many as there are places at a time, which are then joined in their order."""
    call.do_block, call.join = do_block, join
    call.start = call.begin = 0
    call.end = min(call.places, call.blocks)
    while call.begin < call.end:
        klfast_share(do_blocks, call, call.count * (call.end - call.begin), n_threads)
        klfast_share(join_blocks, call, call.count, n_threads)
        call.start += call.end - 1
        call.begin = 1
        call.end = min(call.places, call.blocks - call.start)


cdef void share_blocks(walked *call, int n_threads) noexcept nogil:
    """Threads walk the blocks of `count` units."""
    cdef bint is_unfinished = True
    cdef Py_ssize_t i
    klfast_share(begin_units, call, call.count, n_threads)
    while is_unfinished:
        share_all_blocks(call, klfast_walk_block, klfast_join_blocks, n_threads)
        klfast_share(finish_units, call, call.count, n_threads)
        is_unfinished = False
        for i in range(call.count):
            is_unfinished |= call.units[i].is_unfinished != 0
    if call.rows.is_written:
        share_all_blocks(call, klfast_write_block, klfast_join_written, n_threads)
        klfast_share(settle_units, call, call.count, n_threads)


cdef void *allocated(size_t size) except? NULL:
    """Memory of this size; NULL for none."""
    if size == 0:
        return NULL
    cdef void *memory = PyMem_Malloc(size)
    if memory == NULL:
        raise MemoryError()
    return memory


cdef int walk(klfast_rows *rows, double *results, int n_threads) except -1:
    """Writes one number per row (or per label) into results. `rows` names arrays, lengths and the operation."""
    rows.level = chosen
    if rows.outer_count * rows.row_count * rows.length < LITTLE_WORK:
        n_threads = 1
    klfast_plan(rows, n_threads)
    cdef Py_ssize_t blocks = (rows.length + rows.operation.block_length - 1) // rows.operation.block_length
    cdef Py_ssize_t at_a_time = n_threads * max(<Py_ssize_t> BLOCKS_PER_THREAD, STATES_PER_THREAD // rows.strip)
    cdef Py_ssize_t places = min(blocks, at_a_time + 1)  # the longest rows need no more memory than others
    cdef walked call = walked(rows, results, NULL, NULL, NULL, NULL, NULL, blocks, places, 0, 0, 0, 0, 0)
    cdef bint by_unit = n_threads <= 1 or blocks == 1 or rows.units >= 4 * n_threads
    # enough units at a time that each thread has several blocks: it must not wait for the others at the end of every row
    cdef Py_ssize_t at_once = rows.units if by_unit else min(rows.units, at_a_time // blocks + 1)
    n_threads = <int> max(1, min(<Py_ssize_t> n_threads, at_once if by_unit else at_once * blocks))  # each needs memory
    try:
        call.scratch = <char *> allocated(rows.scratch_bytes * n_threads)
        if by_unit:
            with nogil:
                klfast_share(walk_units, &call, rows.units, n_threads)
            return 0
        call.units = <klfast_unit *> allocated(at_once * sizeof(klfast_unit))
        call.states = <klfast_state *> allocated(at_once * places * rows.strip * sizeof(klfast_state))
        with nogil:
            while call.first < rows.units:
                call.count = min(at_once, rows.units - call.first)
                share_blocks(&call, n_threads)
                call.first += at_once
    finally:
        PyMem_Free(call.scratch)
        PyMem_Free(call.units)
        PyMem_Free(call.states)
    return 0


cdef class Memory:
    """Where the rows of an array lie; its memory stays there as long as this object does."""
    cdef Py_buffer view
    cdef klfast_array array

    def __cinit__(self, tuple laid, int element, bint is_written=False):
        """`laid`: the array, and its strides from one outer row to the next, one row to the next and within a row."""
        strides = laid[1]
        PyObject_GetBuffer(laid[0], &self.view, PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if is_written else 0))
        self.array.data = <const char *> self.view.buf
        self.array.outer_stride, self.array.row_stride, self.array.stride = strides[0], strides[1], strides[2]
        self.array.element = element

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


# What an operation is told besides its arrays, as it is when nobody tells it anything: klfast_parameters in states.h.
PARAMETERS = {"order": 1.0, "temperature": 1.0, "beta": 0.5, "smoothing": 0.0, "z_loss": 0.0, "softcap": 0.0,
              "ignored": math.NAN, "smooths_finite": False, "is_raw": False, "clip": math.INFINITY, "shift": 0.0,
              "free_bits": 0.0}

cdef klfast_parameters usual_parameters = PARAMETERS


cdef void begin(klfast_rows *rows) noexcept:
    """A call with no more than it must have."""
    cdef klfast_array nothing = klfast_array(NULL, 0, 0, 0, 0)
    rows.mask = rows.out_a = rows.out_b = rows.labels = nothing
    rows.label_weights = rows.gradients = NULL
    rows.counted = NULL
    rows.excluded = NULL
    rows.excluded_count = 0
    rows.left_out = rows.kl = NULL
    rows.label_count, rows.is_capped = 1, 0
    rows.parameters = usual_parameters


cdef klfast_parameters told(dict parameters) except *:
    """What an operation is told, and else what is usual."""
    if not parameters:
        return usual_parameters
    complete = PARAMETERS | parameters
    if len(complete) > len(PARAMETERS):
        raise KeyError(f"none of the parameters: {parameters.keys() - PARAMETERS.keys()}")
    return complete


def reduce(int operation_id, int compute, shape, arrays, elements, mask, double[::1] out, int n_threads, dict parameters,
           outputs=(), output_elements=(), labels=None, int label_element=0, const double[::1] label_weights=None,
           const double[::1] gradients=None, const unsigned char[::1] counted=None,
           const Py_ssize_t[:, ::1] excluded=None, double[:, ::1] left_out=None, double[::1] kl=None):
    """Writes one number per row of the arrays into out, or one for each of its labels.

    One or two arrays, each with its strides, of the same `shape` (outer rows, rows, length), and the numbers of their element
    types (ELEMENTS); `compute` is the type to compute with (COMPUTE). `mask` is None, or bools of the same shape. `outputs`
    take results of the arrays' size, one for each array; None where one is not wanted. `labels` has the shape (rows, labels
    of a row), contiguous; `label_weights` and `gradients` one number for each row. Rows where `counted` is 0 are left alone,
    results and outputs. `excluded` holds for every row the places that are as if masked, in order; of a single array, what
    stands in them is written to `left_out`. With Jensen-Shannon of logits `kl` takes the KL of rows longer than SHORT_ROW.
    """
    cdef klfast_rows rows
    cdef Memory a = Memory(arrays[0], elements[0]), b = Memory(arrays[len(arrays) - 1], elements[len(arrays) - 1])
    cdef Memory included, ids, first, second
    begin(&rows)
    rows.a, rows.b = a.array, b.array
    rows.outer_count, rows.row_count, rows.length = shape
    if mask is not None:
        included = Memory(mask, 2 * UINT8)
        rows.mask = included.array
    if labels is not None:
        ids = Memory((labels, (0, labels.strides[0], labels.strides[1])), label_element)
        rows.labels = ids.array
        rows.label_count = ids.view.shape[1]
    if label_weights is not None:
        rows.label_weights = &label_weights[0]
    if gradients is not None:
        rows.gradients = &gradients[0]
    if counted is not None:
        rows.counted = <const char *> &counted[0]
    if excluded is not None and excluded.shape[1] > 0:
        rows.excluded, rows.excluded_count = &excluded[0, 0], excluded.shape[1]
        if left_out is not None:
            rows.left_out = &left_out[0, 0]
    if kl is not None:
        rows.kl = &kl[0]
    if len(outputs) > 0 and outputs[0] is not None:
        first = Memory(outputs[0], output_elements[0], True)
        rows.out_a = first.array
    if len(outputs) > 1 and outputs[1] is not None:
        second = Memory(outputs[1], output_elements[1], True)
        rows.out_b = second.array
    rows.operation_id, rows.type = operation_id, compute
    rows.parameters = told(parameters)
    walk(&rows, &out[0], n_threads)


include "_terms.pxi"
include "_topk.pxi"
include "_quick.pxi"
include "_elementwise.pxi"
include "_families.pxi"
include "_gaussian_full.pxi"
include "_memory_limit.pxi"
