/* What the Cython module sees of the core: the arrays of a call as rows, how rows are walked, per CPU level one table of
 * operations, and which levels this CPU can run.
 *
 * The core allocates nothing, raises nothing, and has no state but these constant tables. */
#ifndef KLFAST_KERNELS_H
#define KLFAST_KERNELS_H

#include "families.h"
#include "states.h"
#include "terms.h"
#include "topk.h"

enum {
    KL_DIVERGENCE,
    CROSS_ENTROPY,
    ENTROPY,
    RAW_KL_DIVERGENCE,
    RAW_CROSS_ENTROPY,
    RAW_ENTROPY,
    JS_DIVERGENCE,
    TOTAL_VARIATION_DISTANCE,
    HELLINGER_DISTANCE,
    JEFFREYS_DIVERGENCE,
    CHI2_DIVERGENCE,
    RAW_JS_DIVERGENCE,
    RAW_TOTAL_VARIATION_DISTANCE,
    RAW_HELLINGER_DISTANCE,
    RAW_JEFFREYS_DIVERGENCE,
    RAW_CHI2_DIVERGENCE,
    RENYI_DIVERGENCE, /* computed in double alone */
    LOGITS_KL_DIVERGENCE,
    LOGITS_JS_DIVERGENCE,
    LOGITS_ENTROPY,
    LOGITS_LOGSUMEXP,
    LOGITS_SOFTMAX,
    LOGITS_LOG_SOFTMAX,
    LOGITS_CROSS_ENTROPY,
    LOGITS_SMOOTHED_CROSS_ENTROPY, /* class ids; the second array holds the class weights */
    LOGITS_SOFT_CROSS_ENTROPY,     /* the second array holds target probabilities */
    LOGITS_TOKEN_LOGPROBS,
    OPERATIONS,
};

/* Functions of elements. */
enum { ENTR, REL_ENTR, KL_DIV, ELEMENTWISE };

/* The constant of an operation's rows. sum p / sum q need only be near, or must be exact, so that a guess may do; or is
 * always taken from the sums. */
enum { NO_CONSTANT, SUM_OF_Q, QUOTIENT, EXACT_QUOTIENT, SUMMED_QUOTIENT };

/* The types that kernels compute with. */
enum { FLOAT32, FLOAT64, TYPES };

/* The types that arrays may have; each also in the other byte order. */
enum { HALF, BRAIN, SINGLE, DOUBLE, INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64, ELEMENTS };

/* No block is longer than this. */
#define KLFAST_LONGEST_BLOCK 8192
/* Rows of up to this many elements are laid side by side, one in each lane: see tile.inc.h. Longer ones, too, of probabilities
 * and of a single array of logits: they need less memory beside them. */
#define KLFAST_SHORT_ROW 256
#define KLFAST_SHORT_DISTRIBUTION 512
/* Rows that are read together where the elements of a row lie apart, but those of neighbouring rows side by side: as many
 * as a line of memory holds, 16 floats or 8 doubles. As many lanes has a tile. */
#define KLFAST_LINE_BYTES 64
#define KLFAST_GROUP 16
/* So far ahead of what is computed memory is asked for: far enough to hide how long it takes, and near enough to stay in the
 * nearest cache until it is read. */
#define KLFAST_AHEAD_BYTES 4096
/* Lines that lie side by side and are walked together: four come from memory hardly later than one. */
#define KLFAST_PARTS 4
/* In so many places rows are sampled: see tell.c. */
#define KLFAST_SAMPLES 8

/* A block of rows that lie side by side: element i of all of them is in `parts` lines of memory, which begin at
 * p + i * p_stride, and of a second array at q + i * q_stride. */
typedef struct {
    const char *p, *q;
    ptrdiff_t p_stride, q_stride; /* in bytes */
    ptrdiff_t length, parts;
    const char *next_p, *next_q; /* what will be read after this, with the same strides */
    /* Rows that will be walked after these are sampled first: see klfast_sample. `start` is the number of the first element
     * here. */
    const char *later_p, *later_q;
    ptrdiff_t start, sample_length, sample_gap;
} klfast_strip;

typedef struct {
    /* One block of a row -> its state (whatever it held before). `a` and `b` are contiguous, `length` <= block_length. */
    void (*block)(klfast_state *state, const void *a, const void *b, ptrdiff_t length, const klfast_row *row);
    /* Adds the piece that comes next. */
    void (*join)(klfast_state *into, const klfast_state *next, const klfast_row *row);
    /* The whole row -> *result, and 0; or 1 if the row must be walked again with what `row` now says. */
    int (*finish)(const klfast_state *state, klfast_row *row, double *result);
    /* The same block of all rows of a strip, all told WALK_FAST or all WALK_SUMS -> their states: states[part] and
     * told[part] are those of one line. taken[part]: bits that say which rows it took; the others have to be walked one
     * by one. NULL where rows are always laid out first. */
    void (*across)(klfast_state *const *states, const klfast_strip *strip, const klfast_row *const *told, unsigned *taken);
    /* Short rows, one in each of the first `count` lanes: element i of all of them begins at i * LANES, and `length` is
     * that of all lanes together; so it is in the outputs, which are NULL where none are wanted. Or one row is alone in the
     * tile, see klfast_row. Returns bits that say which lanes have a result; the others have to be walked one by one. */
    unsigned (*tile)(double *result, const void *a, const void *b, ptrdiff_t length, ptrdiff_t count,
                     const klfast_row *row, void *out_a, void *out_b);
    /* One block of a finished row -> results of its size: the softmax, or a gradient with respect to a, and one to b; and
     * what is left for the end of the row, told beforehand that it is nothing. NULL where there are none. */
    void (*write)(void *out_a, void *out_b, const void *a, const void *b, ptrdiff_t length, const klfast_row *row,
                  klfast_remainder *remainder);
    double unwritten; /* what results hold where a mask excludes an entry */
    ptrdiff_t block_length;
    int constant; /* what the rows are told: see find_constant in tell.c */
    int inputs;
    double neutral, neutral_b; /* what an entry that a mask excludes is read as, in a and in b */
    ptrdiff_t short_row;       /* rows of up to this many elements are short; 0 where none are */
} klfast_operation;

typedef struct {
    klfast_operation operation[OPERATIONS][TYPES];
    /* One result for each of `length` elements, where `mask` (NULL: everywhere) is not 0; `q` is not looked at by entr. */
    void (*elementwise[ELEMENTWISE][TYPES])(void *out, const void *p, const void *q, const char *mask, ptrdiff_t length);
    klfast_term_operation terms[TERM_OPERATIONS];
    /* Lanes of a tile, of `length` elements in all, or a row alone in it -> bits that say in which b is a multiple of a. */
    unsigned (*multiple_lanes[TYPES])(const void *a, const void *b, ptrdiff_t length, ptrdiff_t alone);
    /* Rows of terms, one behind the other -> the sum of each. */
    void (*sum_rows[TYPES])(double *sums, const void *terms, ptrdiff_t rows, ptrdiff_t length);
    /* Terms of one row times `factor`; the target may be the terms themselves. The same with a factor for each term. */
    void (*scale_terms[TYPES])(void *target, const void *terms, const char *mask, ptrdiff_t length, double factor);
    void (*scale_each[TYPES])(void *terms, const double *factors, const char *mask, ptrdiff_t length);
    /* The largest term; NaN if one is NaN. */
    double (*largest_term[TYPES])(const void *terms, ptrdiff_t length);
    /* See topk.inc.h. */
    void (*group_maxima[TYPES])(double *maxima, const void *x, ptrdiff_t length, ptrdiff_t group);
    ptrdiff_t (*find_candidates[TYPES])(klfast_candidates *found, const void *x, ptrdiff_t first, ptrdiff_t length,
                                        double least, int is_strict, ptrdiff_t room);
    ptrdiff_t (*count_reaching)(const double *numbers, ptrdiff_t count, double bound);
    void (*group_masses[TYPES])(double *masses, double *reference, const double *maxima, const void *x, ptrdiff_t length,
                                ptrdiff_t group, const klfast_temperature *temperature);
    void (*mass_below[TYPES])(wide_sum *mass, double *equal, const void *x, const void *next, ptrdiff_t length, double limit,
                              double largest, const klfast_temperature *temperature);
    double exp_limit[TYPES]; /* x/T up to here goes through exp as it is */
    double (*exp_over_difference)(double x, double y, const klfast_temperature *temperature);
    double (*log1p)(double x);
    /* One result for each of `length` elements; the parameters that a family does not have are NULL, or anything else. */
    void (*family[FAMILIES])(double *out, const double *const *parameters, ptrdiff_t length);
    /* See dirichlet.inc.h. */
    void (*begin_dirichlet)(klfast_dirichlet *row);
    void (*add_components)(klfast_dirichlet *row, const double *a, const double *b, ptrdiff_t length);
    void (*tell_dirichlet)(klfast_dirichlet *row);
    void (*add_dirichlet_terms)(klfast_dirichlet *rows, ptrdiff_t count, const double *a, const double *b, ptrdiff_t first,
                                ptrdiff_t length);
    void (*finish_dirichlets)(double *results, const klfast_dirichlet *rows, ptrdiff_t count);
    /* Full covariances: see gaussian_full.inc.h. */
    int (*may_be_covariance)(const double *covariance, ptrdiff_t d, double *scratch);
    double (*gaussian_full)(const double *mean1, const double *covariance1, const double *mean2, const double *covariance2,
                            ptrdiff_t d, double *scratch);
    /* Reads `length` elements that lie `stride` bytes apart: [type to compute with][element, twice + 1 if swapped]. */
    void (*read[TYPES][2 * ELEMENTS])(void *target, const char *source, ptrdiff_t stride, ptrdiff_t length);
    /* The same the other way; only for floating types. */
    void (*store[TYPES][2 * ELEMENTS])(char *target, ptrdiff_t stride, const void *source, ptrdiff_t length);
    /* target[c * target_stride + r] = source[r * source_stride + c]; strides in elements. */
    void (*transpose[TYPES])(void *target, ptrdiff_t target_stride, const void *source, ptrdiff_t source_stride,
                             ptrdiff_t rows, ptrdiff_t columns);
    /* Copies lines of 64 bytes that lie `stride` bytes apart next to each other. */
    void (*copy_lines)(void *target, const char *source, ptrdiff_t stride, ptrdiff_t count);
    /* Sets array[i] to `neutral` where mask[i] is 0. */
    void (*exclude[TYPES])(void *array, const void *mask, ptrdiff_t length, double neutral);
    /* array[i] = cap * tanh(array[i] / cap). */
    void (*cap[TYPES])(void *array, ptrdiff_t length, double cap);
    void (*prepare_temperature)(klfast_temperature *temperature, double value);
    /* The memory limit: adds up the same bytes and does nothing else. */
    double (*read_sum)(const double *array, ptrdiff_t length);
    double (*add_up)(const double *numbers, ptrdiff_t count); /* in twice their precision */
} klfast_level;

/* The tables, best last; NULL where this build or this CPU has not got the level. */
typedef struct {
    const char *name;
    const klfast_level *level;
} klfast_target;
enum { KLFAST_TARGETS = 3 };
void klfast_find_targets(klfast_target targets[KLFAST_TARGETS]);

/* An array as rows of rows: element (outer, row, i) is at data + outer * outer_stride + row * row_stride + i * stride. */
typedef struct {
    const char *data;
    ptrdiff_t outer_stride, row_stride, stride;
    int element; /* twice the element type, + 1 if its bytes are swapped */
} klfast_array;

/* One call: every row of a and b -> one number, or one for each of its labels; and, if wanted, results of its size. */
typedef struct {
    klfast_array a, b, mask;     /* mask.data is NULL where nothing is excluded */
    klfast_array out_a, out_b;   /* data is NULL where nothing is to be written */
    klfast_array labels;         /* class ids, `label_count` for each row, rows in the order of the results; or data is NULL */
    const double *label_weights; /* one for each row, or NULL */
    const double *gradients;     /* what a row's gradient is multiplied by; NULL for 1 */
    const char *counted;         /* rows where it is 0 need not be walked, one byte for each row; NULL where all count */
    const ptrdiff_t *excluded;   /* for each row `excluded_count` places, in order, that are as if masked; NULL for none */
    ptrdiff_t excluded_count;
    double *left_out;            /* takes what stands in a's excluded places, where b is not another array; or NULL */
    double *kl;                  /* Jensen-Shannon of logits, no tiles: takes the KL of each row, found on the way; or NULL */
    ptrdiff_t outer_count, row_count, length, label_count;
    klfast_parameters parameters;
    int operation_id, type;
    const klfast_level *level;
    /* Set by klfast_plan. */
    const klfast_operation *operation;
    klfast_temperature temperature;
    ptrdiff_t unit;          /* how many rows are walked together: a part */
    ptrdiff_t parts, strip;  /* of so many parts, and so many rows, is a unit of work */
    ptrdiff_t units;         /* how many units of work there are */
    ptrdiff_t scratch_bytes; /* memory that each thread has to lend */
    int is_tiled, is_strips, is_written;
    int is_capped; /* a copy of a row to which the softcap has been applied */
} klfast_rows;

/* For so many threads. */
void klfast_plan(klfast_rows *rows, int n_threads);

/* The rows of a unit -> their results. */
void klfast_walk_unit(const klfast_rows *rows, ptrdiff_t number, double *results, void *scratch);

/* A part of a unit while it is walked; a part beyond the last row has a count below 1. */
typedef struct {
    klfast_row told[KLFAST_GROUP];
    int is_done[KLFAST_GROUP];
    ptrdiff_t part, outer, first, count; /* rows first, first + 1, ... */
} klfast_group;

/* A unit in steps, for blocks that are shared out over threads: begin; then all blocks, each with states of its own, one for
 * each row of `strip`, joined in order; then finish, which leaves in `is_unfinished` whether they have to be walked again. */
typedef struct {
    klfast_group group[KLFAST_PARTS];
    int is_left[KLFAST_PARTS], is_unfinished; /* a part, and any of them */
    ptrdiff_t parts;                          /* with rows in them; 0 where no row counts */
} klfast_unit;
void klfast_begin_unit(klfast_unit *unit, const klfast_rows *rows, ptrdiff_t number);
void klfast_walk_block(const klfast_unit *unit, const klfast_rows *rows, ptrdiff_t block, klfast_state *states, void *scratch);
/* The states of so many blocks -> those of the first. */
void klfast_join_blocks(const klfast_unit *unit, const klfast_rows *rows, klfast_state *states, ptrdiff_t blocks);
void klfast_finish_unit(klfast_unit *unit, const klfast_rows *rows, const klfast_state *states, double *results);
/* Then, if results of the input's size are wanted, every block is written, what the blocks leave joined, and settled. */
void klfast_write_block(const klfast_unit *unit, const klfast_rows *rows, ptrdiff_t block, klfast_state *states, void *scratch);
void klfast_join_written(const klfast_unit *unit, const klfast_rows *rows, klfast_state *states, ptrdiff_t blocks);
void klfast_settle_unit(const klfast_unit *unit, const klfast_rows *rows, const klfast_state *states);

/* One call for terms: rows of up to four arrays -> sums, and, if wanted, results of their size. `rows` holds what it shares
 * with other calls: lengths, mask, gradients (what the outputs of a row are multiplied by), parameters, type and level. */
typedef struct {
    klfast_rows rows;
    klfast_array input[TERM_INPUTS], output[TERM_OUTPUTS];
    klfast_array factor; /* what each element of the outputs is multiplied by, in double; `data` is NULL for nothing */
    const ptrdiff_t *offsets; /* ragged: row r begins at element offsets[r] and ends at offsets[r + 1]; else NULL */
    /* Ragged: piece number i begins with element piece_start[i] of row piece_row[i]. */
    const ptrdiff_t *piece_row, *piece_start;
    ptrdiff_t pieces; /* what is shared out over threads */
    int operation_id;
    /* Set by klfast_plan_terms. */
    const klfast_term_operation *operation;
    ptrdiff_t fields;         /* how many numbers a row has */
    ptrdiff_t group;          /* so many rows of equal length are computed together at most */
    ptrdiff_t pieces_of_row;  /* 1 where a piece holds whole rows */
    ptrdiff_t scratch_bytes;
} klfast_term_call;

/* What a piece of a long row comes down to. */
typedef struct {
    wide_sum sum[TERM_VALUES];
    double largest[TERM_LARGEST], count, last;
} klfast_term_state;

void klfast_plan_terms(klfast_term_call *call);
/* The rows of a piece -> `results`, `fields` numbers for each; a piece of a long row -> its state. */
void klfast_walk_terms(const klfast_term_call *call, ptrdiff_t piece, double *results, klfast_term_state *states,
                       void *scratch);
/* Joins the pieces of long rows, in order. */
void klfast_join_terms(const klfast_term_call *call, double *results, const klfast_term_state *states);

/* One call for the k largest: rows of `rows.a`; mask and temperature are as for other calls. */
typedef struct {
    klfast_rows rows;
    ptrdiff_t k;
    /* Set by klfast_plan_topk. */
    ptrdiff_t group, groups; /* elements that have one maximum looked at, and how many such groups a row has */
    ptrdiff_t blocks;        /* of a row */
    ptrdiff_t room;          /* for candidates */
    int has_masses;          /* the groups are long enough to sum up each alone */
    ptrdiff_t scratch_bytes; /* memory that each thread has to lend */
} klfast_topk_call;

void klfast_plan_topk(klfast_topk_call *call);
/* The rows of a unit -> k log-probabilities and ids each, the largest first, and the mass of the others. */
void klfast_walk_topk(const klfast_topk_call *call, ptrdiff_t unit, double *logprobs, ptrdiff_t *ids, double *tails,
                      void *scratch);

/* Dirichlet distributions, which lie in rows of `rows.a` and `rows.b`: so many rows are a group; and group number `group` ->
 * its results. Only arrays, lengths, type (double) and level are looked at. */
ptrdiff_t klfast_dirichlet_group(const klfast_rows *rows);
void klfast_walk_dirichlets(const klfast_rows *rows, ptrdiff_t group, double *results);

#endif
