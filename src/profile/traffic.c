/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run brings from beyond a cache: the plan's steps touch the lines of their operands in the order in
 * which the kernels do, and a model of the cache says which of them were no longer there. All that runs touch
 * is numbered as if it lay in one memory, line by line:
 *
 *     | arena | scratch | pixels | weights of step 0 | weights of step 1 | ...
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "kernels/gemm/dense.h"
#include "kernels/gemm/gemm_i8.h"
#include "kernels/table.h"
#include "model/mode.h"
#include "model/model_private.h"
#include "profile/lru.h"

#define LINE ((size_t)64)
#define FLOATS_OF_LINE (LINE / sizeof(float))
#define CODEBOOK_BYTES ((size_t)1024) /* 256 floats */
#define KEY_BLOCK ((size_t)256)       /* of src/kernels/attention/attention.c */
#define MAX_BATCH 1024

typedef struct trace {
    const lutra_model *model;
    const lutra_kernels *kernels;
    lutra_mode mode;
    size_t batch;
    lutra_lru *lru;
    uint64_t capacity;               /* lines of the cache, perhaps more than this machine could number */
    size_t scratch, pixels, weights; /* first lines; `weights` of the step at hand */
    uint64_t misses;                 /* lines, of the step at hand */
} trace;

static void touch_lines(trace *t, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        t->misses += !lutra_lru_touch(t->lru, i);
}

/* `n` bytes from `offset` on of a part of memory that begins with line `first`. */
static void touch_bytes(trace *t, size_t first, size_t offset, size_t n)
{
    if (n)
        touch_lines(t, first + offset / LINE, (offset + n - 1) / LINE - offset / LINE + 1);
}

/* Columns of row `row` of the whole batch, where a picture has `rows`. */
static void touch_row(trace *t, const lutra_operand *operand, size_t rows, size_t row, size_t column,
                      size_t n)
{
    const size_t at = operand->base[LUTRA_LAYOUT_TIGHT] * t->batch + operand->offset +
                      row / rows * operand->stride + row % rows * operand->ld + column;
    touch_bytes(t, 0, at * sizeof(float), n * sizeof(float));
}

/* ---- products ---------------------------------------------------------------------------------- */

/* A product as its kernel goes about it: groups of panels, each with all rows of activations. */
typedef struct product {
    const lutra_step *step;
    const lutra_matrix *matrix;
    bool i8;
    size_t columns;      /* of a group */
    size_t panel_bytes;  /* of 16 outputs, where they lie in memory */
    size_t order_bytes;  /* of 16 outputs: the order of their tiles, where the level has one */
    size_t bring_bytes;  /* of 16 outputs, brought to scratch; 0: used where they lie */
    size_t row_bytes;    /* of a row of activations in 8 bits, in scratch */
    size_t matrix_bytes; /* all panels, then all orders, scales, bias and LayerScale */
} product;

static product product_of(const trace *t, const lutra_step *step)
{
    const lutra_matrix *matrix = &step->linear.weight->matrix;
    const bool i8 = t->mode == LUTRA_MODE_INT8;
    const size_t k_padded =
        matrix->dense ? lutra_round_up(matrix->k, LUTRA_TILE_INPUTS) : matrix->layout.k_padded;
    const size_t n_panels = lutra_divide_up(matrix->n, LUTRA_PANEL);
    product p = {.step = step, .matrix = matrix, .i8 = i8};
    p.columns = LUTRA_PANEL * (i8 ? LUTRA_TILE_PANELS_I8 : t->kernels->tile_panels);
    if (!matrix->dense)
        p.panel_bytes = matrix->layout.block_bytes;
    else
        p.panel_bytes =
            i8 ? LUTRA_PANEL * k_padded : LUTRA_PANEL * matrix->k * lutra_dense_size(matrix->dtype);
    if (i8 && t->kernels->form_i8 == LUTRA_ORDERED_I8)
        p.order_bytes =
            lutra_order_numbers_i8(lutra_divide_up(matrix->k, LUTRA_TILE_INPUTS)) * sizeof(uint16_t);
    if (!i8 || !matrix->dense)
        p.bring_bytes = LUTRA_PANEL * k_padded * (i8 ? 1 : sizeof(float));
    if (i8)
        p.row_bytes = lutra_row_bytes_i8(matrix->k);
    p.matrix_bytes = lutra_round_up(n_panels * (p.panel_bytes + p.order_bytes), LINE) +
                     n_panels * LUTRA_PANEL * 3 * sizeof(float) + CODEBOOK_BYTES;
    return p;
}

static void touch_activations(trace *t, const product *p, size_t first_row, size_t row)
{
    if (p->i8)
        touch_bytes(t, t->scratch, (row - first_row) * p->row_bytes, p->matrix->k);
    else
        touch_row(t, &p->step->a, p->step->rows, row, 0, p->matrix->k);
}

static void quantise(trace *t, const product *p, size_t first_row, size_t m)
{
    for (size_t row = first_row; row < first_row + m; row++) {
        touch_row(t, &p->step->a, p->step->rows, row, 0, p->matrix->k);
        touch_activations(t, p, first_row, row);
    }
}

static void bring_group(trace *t, const product *p, size_t first, size_t n, size_t scratch)
{
    const size_t n_panels = lutra_divide_up(p->matrix->n, LUTRA_PANEL);
    const size_t panel = first / LUTRA_PANEL, panels = lutra_divide_up(n, LUTRA_PANEL);
    const size_t orders = n_panels * p->panel_bytes;
    const size_t numbers = lutra_round_up(orders + n_panels * p->order_bytes, LINE);
    touch_bytes(t, t->weights, panel * p->panel_bytes, panels * p->panel_bytes);
    touch_bytes(t, t->weights, orders + panel * p->order_bytes, panels * p->order_bytes);
    touch_bytes(t, t->weights, numbers + first * 3 * sizeof(float), n * 3 * sizeof(float));
    touch_bytes(t, t->scratch + scratch, 0, panels * p->bring_bytes);
}

/* Rows that follow each other tightly share lines. */
static size_t activation_lines(const product *p, size_t m)
{
    const size_t k = p->matrix->k;
    const size_t ld = p->step->rows == 1 ? p->step->a.stride : p->step->a.ld;
    if (p->i8)
        return m * lutra_divide_up(k, LINE);
    return ld == k ? lutra_divide_up(m * k, FLOATS_OF_LINE) : m * lutra_divide_up(k, FLOATS_OF_LINE);
}

/* Lines that a group touches beside the activations. */
static size_t group_lines(const product *p, size_t m)
{
    const size_t bytes = p->columns / LUTRA_PANEL * (p->panel_bytes + p->order_bytes + p->bring_bytes);
    return lutra_divide_up(bytes, LINE) +
           m * lutra_divide_up(p->columns, FLOATS_OF_LINE) * (p->step->has_residual ? 2 : 1);
}

/*
 * Every group reads all the activations again. Line by line, that would take minutes for large models. It is
 * left out where the outcome is known: activations that fill the cache by themselves are always gone when
 * they are read again, and as long as what came in between fills less than half of the cache, they are there.
 */
typedef enum reading { READ, ALL_THERE, ALL_GONE } reading;

static reading reading_of(const trace *t, const product *p, size_t m, size_t since)
{
    const size_t activations = activation_lines(p, m);
    if (activations >= t->capacity)
        return ALL_GONE;
    return activations + since + group_lines(p, m) < t->capacity / 2 ? ALL_THERE : READ;
}

static void multiply_rows(trace *t, const product *p, size_t first_row, size_t m)
{
    const lutra_step *step = p->step;
    const size_t n = p->matrix->n, n_groups = lutra_divide_up(n, p->columns);
    const size_t scratch = lutra_divide_up(m * p->row_bytes, LINE);
    size_t since = 0; /* lines touched since the activations were */
    if (p->i8 && !lutra_step_passes_i8(step, t->mode, t->batch))
        quantise(t, p, first_row, m);
    for (size_t group = 0; group < n_groups; group++) {
        const size_t first = group * p->columns, width = lutra_smaller(p->columns, n - first);
        reading how = group == 0 || group + 1 == n_groups ? READ : reading_of(t, p, m, since);
        bring_group(t, p, first, width, scratch);
        since = how == READ ? 0 : since + group_lines(p, m);
        if (how == ALL_GONE)
            t->misses += activation_lines(p, m);
        for (size_t row = first_row; row < first_row + m; row++) {
            if (how == READ)
                touch_activations(t, p, first_row, row);
            if (step->has_residual)
                touch_row(t, &step->residual, step->rows, row, first, width);
            touch_row(t, &step->c, step->rows, row, first, width);
        }
    }
}

static void trace_gemm(trace *t, const lutra_step *step)
{
    const product p = product_of(t, step);
    const size_t n_calls = lutra_step_is_even(step) ? 1 : t->batch;
    const size_t m = t->batch * step->rows / n_calls;
    for (size_t call = 0; call < n_calls; call++)
        multiply_rows(t, &p, call * m, m);
}

/* ---- other steps ------------------------------------------------------------------------------- */

static void attend_head(trace *t, const lutra_step *step, size_t image, size_t head)
{
    const size_t dim = t->model->vit.dim, n = t->model->vit.n_tokens, width = dim / t->model->vit.n_heads;
    const size_t packed =
        (width + lutra_round_up(width, LUTRA_PANEL)) * sizeof(float); /* of a key and value */
    for (size_t key = 0; key < n; key++) {
        touch_row(t, &step->a, n, image * n + key, dim + head * width, width);
        touch_row(t, &step->a, n, image * n + key, 2 * dim + head * width, width);
        touch_bytes(t, t->scratch, key % KEY_BLOCK * packed, packed);
    }
    for (size_t query = 0; query < n && query < step->rows; query++) {
        touch_row(t, &step->a, n, image * n + query, head * width, width);
        touch_row(t, &step->c, n, image * n + query, head * width, width);
    }
}

static void trace_attention(trace *t, const lutra_step *step)
{
    for (size_t image = 0; image < t->batch; image++)
        for (size_t head = 0; head < t->model->vit.n_heads; head++)
            attend_head(t, step, image, head);
}

/* What reads row by row and writes row by row. */
static void trace_rows(trace *t, const lutra_step *step, const lutra_operand *a, size_t rows_in,
                       size_t columns)
{
    const size_t rows = rows_in > step->rows ? rows_in : step->rows;
    for (size_t i = 0; i < t->batch; i++)
        for (size_t row = 0; row < rows; row++) {
            if (row < rows_in)
                touch_row(t, a, rows_in, i * rows_in + row, 0, columns);
            if (row < step->rows)
                touch_row(t, &step->c, step->rows, i * step->rows + row, 0, columns);
        }
}

/* Beside f32, which is written where somebody watches the steps, as he does who wants to know what they
 * bring. */
static void trace_quantised_rows(trace *t, const lutra_step *step, size_t columns)
{
    for (size_t row = 0; row < t->batch * step->rows; row++)
        touch_bytes(t, t->scratch, row * lutra_row_bytes_i8(columns), columns);
}

/* Bytes of weights of a step in memory. */
static size_t weight_bytes(const trace *t, const lutra_step *step)
{
    lutra_step_info info;
    if (step->op == LUTRA_OP_GEMM)
        return product_of(t, step).matrix_bytes;
    lutra_step_describe(&t->model->vit, step, &info);
    return (size_t)info.weight_bytes; /* in memory, so it fits */
}

static void trace_step(trace *t, const lutra_step *step)
{
    const lutra_vit *vit = &t->model->vit;
    if (step->op != LUTRA_OP_GEMM)
        touch_bytes(t, t->weights, 0, weight_bytes(t, step));
    switch (step->op) {
    case LUTRA_OP_GEMM:
        trace_gemm(t, step);
        break;
    case LUTRA_OP_ATTENTION:
        trace_attention(t, step);
        break;
    case LUTRA_OP_PATCHES:
        touch_bytes(t, t->pixels, 0, t->batch * t->model->info.input_bytes);
        trace_rows(t, step, &step->c, 0, lutra_step_columns(vit, step));
        if (lutra_step_passes_i8(step, t->mode, t->batch))
            trace_quantised_rows(t, step, lutra_step_columns(vit, step));
        break;
    case LUTRA_OP_TOKENS:
    case LUTRA_OP_MEAN:
        trace_rows(t, step, &step->a, vit->n_patches, vit->dim);
        break;
    case LUTRA_OP_AVERAGE:
        trace_rows(t, step, &step->residual, 1, step->c.ld);
        trace_rows(t, step, &step->a, 1, step->c.ld);
        break;
    case LUTRA_OP_LAYER_NORM:
        trace_rows(t, step, &step->a, step->rows, vit->dim);
        if (lutra_step_passes_i8(step, t->mode, t->batch))
            trace_quantised_rows(t, step, vit->dim);
        break;
    case LUTRA_OP_COPY:
        trace_rows(t, step, &step->a, step->rows, vit->dim);
        break;
    }
}

/* ---- a run ------------------------------------------------------------------------------------- */

static void trace_run(trace *t, uint64_t *bytes /* [n_steps] */)
{
    const lutra_plan *plan = &t->model->plan;
    const size_t first = t->weights;
    for (size_t i = 0; i < plan->n_steps; i++) {
        t->misses = 0;
        trace_step(t, &plan->steps[i]);
        bytes[i] = t->misses * LINE;
        t->weights += lutra_divide_up(weight_bytes(t, &plan->steps[i]), LINE);
    }
    t->weights = first;
}

/* More than any step's: activations in 8 bits, and two panels; or a block of keys and values. */
static bool scratch_lines(const trace *t, size_t *lines)
{
    const lutra_vit *vit = &t->model->vit;
    const size_t row = t->model->plan.max_k + 4 * LINE, panels = LUTRA_MAX_TILE_COLUMNS * row * sizeof(float);
    const size_t keys = 3 * KEY_BLOCK * (vit->dim / vit->n_heads + LUTRA_PANEL) * sizeof(float);
    size_t rows = 1, bytes;
    for (size_t i = 0; i < t->model->plan.n_steps; i++)
        rows = t->model->plan.steps[i].rows > rows ? t->model->plan.steps[i].rows : rows;
    if (!lutra_size_multiply(rows * t->batch, row, &bytes) || !lutra_size_add(bytes, panels + keys, &bytes))
        return false;
    *lines = lutra_divide_up(bytes, LINE);
    return true;
}

static bool lay_out(trace *t, size_t *n_lines)
{
    size_t scratch, arena;
    if (!scratch_lines(t, &scratch) || !lutra_size_multiply(t->model->plan.arena_floats[LUTRA_LAYOUT_TIGHT],
                                                            t->batch * sizeof(float), &arena))
        return false;
    t->scratch = lutra_divide_up(arena, LINE);
    t->pixels = t->scratch + scratch;
    t->weights = t->pixels + lutra_divide_up(t->batch * t->model->info.input_bytes, LINE);
    *n_lines = t->weights;
    for (size_t i = 0; i < t->model->plan.n_steps; i++)
        *n_lines += lutra_divide_up(weight_bytes(t, &t->model->plan.steps[i]), LINE);
    return true;
}

lutra_status lutra_model_traffic(const lutra_model *model, lutra_mode mode, size_t batch,
                                 uint64_t cache_bytes, uint64_t *bytes, lutra_error *error)
{
    trace t = {.model = model, .mode = mode, .batch = batch, .capacity = cache_bytes / LINE};
    size_t n_lines;
    if (batch < 1 || batch > MAX_BATCH)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "a batch of %zu: 1 to %d",
                          batch, MAX_BATCH);
    lutra_status status = lutra_kernels_select(&t.kernels, error);
    if (status)
        return status;
    if (t.mode == LUTRA_MODE_AUTO)
        t.mode = lutra_choose_mode(model, t.kernels);
    if (!lay_out(&t, &n_lines))
        return lutra_fail_memory(error, SIZE_MAX, "a model of a cache");
    /* More than all lines together need not be held. */
    const size_t held = t.capacity < n_lines ? (size_t)t.capacity : n_lines;
    if ((status = lutra_lru_create(n_lines, held, &t.lru, error)))
        return status;
    /* The first run fills the cache; what it leaves there, every later one finds. */
    trace_run(&t, bytes);
    trace_run(&t, bytes);
    lutra_lru_free(t.lru);
    return LUTRA_OK;
}
