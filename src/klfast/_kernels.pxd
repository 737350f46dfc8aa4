# The core, as core/kernels.h declares it to Cython.

cdef extern from "kernels.h" nogil:
    ctypedef struct klfast_state:
        pass
    ctypedef struct klfast_unit:
        int is_unfinished
    ctypedef struct klfast_operation:
        Py_ssize_t block_length
    ctypedef struct klfast_level:
        void (*elementwise[3][2])(void *, const void *, const void *, const char *, Py_ssize_t) noexcept nogil
        int (*may_be_covariance)(const double *, Py_ssize_t, double *) noexcept nogil
        double (*gaussian_full)(const double *, const double *, const double *, const double *, Py_ssize_t,
                                double *) noexcept nogil
        void (*family[7])(double *, const double * const *, Py_ssize_t) noexcept nogil
        double (*read_sum)(const double *, Py_ssize_t) noexcept nogil
        double (*add_up)(const double *, Py_ssize_t) noexcept nogil
    ctypedef struct klfast_target:
        const char *name
        const klfast_level *level
    ctypedef struct klfast_array:
        const char *data
        Py_ssize_t outer_stride, row_stride, stride
        int element
    ctypedef struct klfast_parameters:
        double order, temperature, beta, smoothing, z_loss, softcap, ignored, clip, shift, free_bits
        int smooths_finite, is_raw
    ctypedef struct klfast_rows:
        klfast_array a, b, mask, out_a, out_b, labels
        const double *label_weights
        const double *gradients
        const char *counted
        const Py_ssize_t *excluded
        Py_ssize_t excluded_count
        double *left_out
        double *kl
        Py_ssize_t outer_count, row_count, length, label_count
        klfast_parameters parameters
        int operation_id, type
        const klfast_level *level
        const klfast_operation *operation
        Py_ssize_t unit, strip, units, scratch_bytes
        int is_written, is_capped
    ctypedef struct klfast_term_call:
        klfast_rows rows
        klfast_array input[4]
        klfast_array output[2]
        klfast_array factor
        const Py_ssize_t *offsets
        const Py_ssize_t *piece_row
        const Py_ssize_t *piece_start
        Py_ssize_t pieces, fields, scratch_bytes, pieces_of_row
        int operation_id
    ctypedef struct klfast_term_state:
        pass
    ctypedef struct klfast_topk_call:
        klfast_rows rows
        Py_ssize_t k, scratch_bytes
    enum:
        TERMS_K1, TERMS_K2, TERMS_K3, TERMS_ABS, TERMS_K1_GRAD, TERMS_K2_GRAD, TERMS_K3_GRAD, TERMS_ABS_GRAD
        TERMS_RATIO_STATS, TERMS_GAUSSIAN, TERMS_GAUSSIAN_GRAD, TERMS_GAUSSIAN_PAIR, TERMS_ENTR, TERMS_REL_ENTR, TERMS_KL_DIV
        TERM_PIECE, TERM_BLOCK
    enum:
        KL_DIVERGENCE, CROSS_ENTROPY, ENTROPY, RAW_KL_DIVERGENCE, RAW_CROSS_ENTROPY, RAW_ENTROPY
        JS_DIVERGENCE, TOTAL_VARIATION_DISTANCE, HELLINGER_DISTANCE, JEFFREYS_DIVERGENCE, CHI2_DIVERGENCE
        RAW_JS_DIVERGENCE, RAW_TOTAL_VARIATION_DISTANCE, RAW_HELLINGER_DISTANCE, RAW_JEFFREYS_DIVERGENCE
        RAW_CHI2_DIVERGENCE, RENYI_DIVERGENCE
        LOGITS_KL_DIVERGENCE, LOGITS_JS_DIVERGENCE, LOGITS_ENTROPY, LOGITS_LOGSUMEXP, LOGITS_SOFTMAX, LOGITS_LOG_SOFTMAX
        LOGITS_CROSS_ENTROPY, LOGITS_SMOOTHED_CROSS_ENTROPY, LOGITS_SOFT_CROSS_ENTROPY, LOGITS_TOKEN_LOGPROBS
        FLOAT32, FLOAT64, KLFAST_TARGETS, KLFAST_SHORT_ROW
        ENTR, REL_ENTR, KL_DIV
        HALF, BRAIN, SINGLE, DOUBLE, INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64
    enum:
        FAMILY_BERNOULLI, FAMILY_BERNOULLI_LOGITS, FAMILY_POISSON, FAMILY_EXPONENTIAL, FAMILY_LAPLACE, FAMILY_GAMMA
        FAMILY_BETA, FAMILY_PARAMETERS
    void klfast_find_targets(klfast_target *)
    void klfast_plan(klfast_rows *, int)
    void klfast_walk_unit(const klfast_rows *, Py_ssize_t, double *, void *)
    void klfast_begin_unit(klfast_unit *, const klfast_rows *, Py_ssize_t)
    void klfast_walk_block(const klfast_unit *, const klfast_rows *, Py_ssize_t, klfast_state *, void *)
    void klfast_join_blocks(const klfast_unit *, const klfast_rows *, klfast_state *, Py_ssize_t)
    void klfast_finish_unit(klfast_unit *, const klfast_rows *, const klfast_state *, double *)
    void klfast_write_block(const klfast_unit *, const klfast_rows *, Py_ssize_t, klfast_state *, void *)
    void klfast_join_written(const klfast_unit *, const klfast_rows *, klfast_state *, Py_ssize_t)
    void klfast_settle_unit(const klfast_unit *, const klfast_rows *, const klfast_state *)
    void klfast_plan_terms(klfast_term_call *)
    void klfast_walk_terms(const klfast_term_call *, Py_ssize_t, double *, klfast_term_state *, void *)
    void klfast_join_terms(const klfast_term_call *, double *, const klfast_term_state *)
    void klfast_plan_topk(klfast_topk_call *)
    void klfast_walk_topk(const klfast_topk_call *, Py_ssize_t, double *, Py_ssize_t *, double *, void *)
    Py_ssize_t klfast_dirichlet_group(const klfast_rows *)
    void klfast_walk_dirichlets(const klfast_rows *, Py_ssize_t, double *)

cdef extern from "share.h" nogil:
    ctypedef void klfast_task(void *, Py_ssize_t, Py_ssize_t, int) noexcept nogil
    enum:
        SERIAL_DRIVER, POOL_DRIVER, OPENMP_DRIVER, KLFAST_DRIVERS
    void klfast_share(klfast_task *, void *, Py_ssize_t, int)
    int klfast_driver()
    void klfast_use_driver(int)
    void klfast_after_fork()
    int klfast_openmp_version()
    int klfast_openmp_threads()
    int klfast_openmp_processors()
