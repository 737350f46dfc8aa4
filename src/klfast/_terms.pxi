# ---- terms: one number for each element, added up along rows ----

TERMS = {"k1": TERMS_K1, "k2": TERMS_K2, "k3": TERMS_K3, "abs": TERMS_ABS, "k1_grad": TERMS_K1_GRAD,
         "k2_grad": TERMS_K2_GRAD, "k3_grad": TERMS_K3_GRAD, "abs_grad": TERMS_ABS_GRAD, "ratio_stats": TERMS_RATIO_STATS,
         "gaussian": TERMS_GAUSSIAN, "gaussian_grad": TERMS_GAUSSIAN_GRAD, "gaussian_pair": TERMS_GAUSSIAN_PAIR,
         "entr": TERMS_ENTR, "rel_entr": TERMS_REL_ENTR, "kl_div": TERMS_KL_DIV}

# Of rows of any lengths: what is shared out over threads.
PIECE = TERM_PIECE
BLOCK = TERM_BLOCK


ctypedef struct walked_terms:
    const klfast_term_call *call
    klfast_term_state *states
    double *results
    char *scratch


cdef void walk_pieces(void *context, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    cdef walked_terms *common = <walked_terms *> context
    cdef Py_ssize_t piece
    for piece in range(first, last):
        klfast_walk_terms(common.call, piece, common.results, common.states,
                          common.scratch + thread * common.call.scratch_bytes)


cdef void begin_terms(klfast_term_call *call) noexcept:
    """A call with no more than it must have."""
    cdef klfast_array nothing = klfast_array(NULL, 0, 0, 0, 0)
    cdef int k
    begin(&call.rows)
    for k in range(2):
        call.output[k] = nothing
    call.factor = nothing
    call.offsets = call.piece_row = call.piece_start = NULL


def terms(int operation_id, int compute, shape, arrays, elements, mask, outputs, output_elements, double[:, ::1] results,
          int n_threads, dict parameters, const double[::1] factors=None, factor=None, const Py_ssize_t[::1] offsets=None,
          const Py_ssize_t[::1] piece_rows=None, const Py_ssize_t[::1] piece_starts=None):
    """Writes the numbers of every row into its row of `results`.

    Shape, arrays, elements, mask, compute and parameters are as for `reduce`, with one array for each input of the operation;
    `outputs` take results of the arrays' size, None where one is not wanted; `factors` is what those of each row are
    multiplied by, `factor` an array of doubles that they are multiplied by each. Rows of any lengths lie one behind the other
    in arrays of shape (1, 1, elements): row r begins at offsets[r], and piece i of the work at element piece_starts[i] of row
    piece_rows[i].
    """
    cdef klfast_term_call call
    cdef Memory memory
    cdef int k
    begin_terms(&call)
    held = []
    for k in range(len(arrays)):
        memory = Memory(arrays[k], elements[k])
        held.append(memory)
        call.input[k] = memory.array
    call.rows.outer_count, call.rows.row_count, call.rows.length = shape
    if mask is not None:
        memory = Memory(mask, 2 * UINT8)
        held.append(memory)
        call.rows.mask = memory.array
    for k in range(2):
        if k < len(outputs) and outputs[k] is not None:
            memory = Memory(outputs[k], output_elements[k], True)
            held.append(memory)
            call.output[k] = memory.array
    if factor is not None:
        memory = Memory(factor, 2 * DOUBLE)
        held.append(memory)
        call.factor = memory.array
    if factors is not None:
        call.rows.gradients = &factors[0]
    if offsets is not None:
        call.rows.row_count = offsets.shape[0] - 1
        call.offsets, call.piece_row, call.piece_start = &offsets[0], &piece_rows[0], &piece_starts[0]
        call.pieces = piece_rows.shape[0]
    call.rows.parameters = told(parameters)
    call.rows.type, call.operation_id = compute, operation_id
    walk_terms(&call, &results[0, 0], n_threads)


cdef int walk_terms(klfast_term_call *call, double *results, int n_threads) except -1:
    """Writes the numbers of every row into `results`. The call names arrays, lengths and the operation."""
    cdef walked_terms common = walked_terms(call, NULL, results, NULL)
    call.rows.level = chosen
    klfast_plan_terms(call)
    # only long rows are left in pieces
    cdef Py_ssize_t n_states = call.pieces if call.offsets != NULL or call.pieces_of_row > 1 else 1
    if call.offsets == NULL and call.rows.outer_count * call.rows.row_count * call.rows.length < LITTLE_WORK:
        n_threads = 1
    n_threads = <int> max(1, min(<Py_ssize_t> n_threads, call.pieces))
    try:
        common.scratch = <char *> PyMem_Malloc(call.scratch_bytes * n_threads)
        common.states = <klfast_term_state *> PyMem_Malloc(n_states * sizeof(klfast_term_state))
        if common.scratch == NULL or common.states == NULL:
            raise MemoryError()
        with nogil:
            klfast_share(walk_pieces, &common, call.pieces, n_threads)
            klfast_join_terms(call, common.results, common.states)
    finally:
        PyMem_Free(common.scratch)
        PyMem_Free(common.states)
    return 0


def add_up(const double[::1] numbers):
    """Their sum, in twice their precision."""
    cdef double total = 0.0
    if numbers.shape[0]:
        with nogil:
            total = chosen.add_up(&numbers[0], numbers.shape[0])
    return total
