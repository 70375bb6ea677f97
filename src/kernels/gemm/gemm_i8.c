/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes: the rows of activations are quantised once, then the product is cut into tasks as in gemm.c, a
 * group of panels times a part of the rows. Scratch:
 *
 *     | activations [m, whole groups][lutra_row_bytes_i8(k)] | rows [m] |
 *     then for each thread, of which quantising uses some for rows that become a group and a row that is
 *     normalised,
 *     | tiles [LUTRA_TILE_PANELS_I8][k_padded][16], or a group's rows | tile [LUTRA_TILE_ROWS_I8][columns] |
 */
#include "kernels/gemm/gemm_i8.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "kernels/gemm/dense.h"
#include "kernels/gemm/form_i8.h"
#include "kernels/gemm/prefetch.h"
#include "kernels/gemm/row_parts.h"

/* k is padded to whole groups of packed tiles: at most 8 tiles of 4 inputs. */
#define MAX_GROUP_INPUTS ((size_t)32)
/* Rows that a task quantises: enough to be worth handing out, and whole groups and pairs. */
#define ROWS_PER_TASK ((size_t)16)
/* That are normalised before they are quantised: one row alone would wait for its mean, its deviation and its
 * range one after the other. */
#define ROOM_ROWS ((size_t)4)
#define PANELS_PER_TASK ((size_t)4) /* that are ordered */
/* With fewer inputs asking for a tile's outputs takes longer than they would keep it waiting. */
#define MIN_PREFETCH_INPUTS ((size_t)512)
#define GROUP_COLUMNS ((size_t)(LUTRA_TILE_PANELS_I8 * LUTRA_PANEL))

struct job {
    const lutra_kernels *kernels;
    size_t m, k;
    /* What is quantised: a norm, patches, or what is multiplied. */
    const lutra_layer_norm *norm;
    const lutra_patches *patches;
    lutra_pixel_scaling scaling; /* of the patches */
    const lutra_gemm *gemm;
    const lutra_matrix_i8 *weights;
    lutra_form_i8 form;
    bool finishes;
    uint8_t *a;         /* [m][lda], in groups or pairs where the form wants them */
    lutra_row_i8 *rows; /* [m] */
    size_t lda;
    char *scratch; /* of the threads */
    size_t scratch_stride;
    lutra_row_parts parts;
    size_t n_groups; /* of panels */
};

/* ---- weights ----------------------------------------------------------------------------------- */

/* The largest entry that the matrix uses, of a codebook that may be shared with other matrices. */
static float largest_used(const lutra_kernels *kernels, const lutra_matrix *w, lutra_panel_i8 *panel)
{
    int8_t identity[256];
    bool used[256] = {false};
    float largest = 0;
    for (int i = 0; i < 256; i++)
        identity[i] = (int8_t)(uint8_t)i;
    for (size_t block = 0; block < w->layout.n_blocks; block++) {
        const size_t n = lutra_smaller(LUTRA_PANEL, w->n - block * LUTRA_PANEL);
        kernels->unpack_panel_i8(&w->layout, w->indices + block * w->layout.block_bytes, identity, panel);
        for (size_t k = 0; k < w->k; k++)
            for (size_t i = 0; i < n; i++)
                used[(uint8_t)panel->tiles[lutra_tile_byte_i8(k, i)]] = true;
    }
    for (size_t i = 0; i < 256; i++)
        if (used[i] && fabsf(w->codebook[i]) > largest)
            largest = fabsf(w->codebook[i]);
    return largest;
}

/* On the grid of `largest` / 127; values beyond it are not used. */
static int8_t on_grid(float value, float largest)
{
    const long grid = largest > 0 ? lrintf(fminf(fmaxf(value / largest, -1.0f), 1.0f) * 127.0f) : 0;
    return (int8_t)grid;
}

static lutra_status bring_codebook(const lutra_kernels *kernels, const lutra_matrix *w,
                                   lutra_matrix_i8 *result, lutra_error *error)
{
    float largest = 127;
    if (!w->codebook_is_i8) {
        lutra_panel_i8 panel;
        const lutra_status status =
            lutra_allocate(w->layout.k_padded, LUTRA_PANEL, "a panel", &panel.tiles, error);
        if (status)
            return status;
        largest = largest_used(kernels, w, &panel);
        free(panel.tiles);
    }
    result->codebook_scale = largest / 127;
    for (size_t i = 0; i < 256; i++)
        result->codebook[i] = on_grid(w->codebook[i], largest);
    return LUTRA_OK;
}

static void quantise_dense_row(const lutra_matrix *w, size_t row, float *scale, lutra_panel_i8 *panel)
{
    float largest = 0;
    for (size_t i = 0; i < w->k; i++)
        largest = fmaxf(largest, fabsf(lutra_dense_element(w->dense, w->dtype, row * w->k + i)));
    *scale = largest / 127;
    for (size_t i = 0; i < w->k; i++) {
        const int8_t value = on_grid(lutra_dense_element(w->dense, w->dtype, row * w->k + i), largest);
        panel->tiles[lutra_tile_byte_i8(i, row % LUTRA_PANEL)] = value;
        panel->sums[row % LUTRA_PANEL] += value;
    }
}

static lutra_status quantise_dense(const lutra_matrix *w, lutra_matrix_i8 *result, lutra_error *error)
{
    const size_t n_panels = lutra_divide_up(w->n, LUTRA_PANEL);
    const size_t panel_bytes = lutra_round_up(w->k, LUTRA_TILE_INPUTS) * LUTRA_PANEL;
    lutra_status status;
    if ((status = lutra_allocate(n_panels, panel_bytes, "int8 weights", &result->tiles, error)) ||
        (status = lutra_allocate(n_panels, sizeof *result->panels, "panels", &result->panels, error)) ||
        (status = lutra_allocate(w->n, sizeof(float), "scales", &result->scale, error)))
        return status;
    for (size_t i = 0; i < n_panels; i++)
        result->panels[i].tiles = result->tiles + i * panel_bytes;
    for (size_t row = 0; row < w->n; row++)
        quantise_dense_row(w, row, &result->scale[row], &result->panels[row / LUTRA_PANEL]);
    return LUTRA_OK;
}

struct ordering {
    const lutra_kernels *kernels;
    lutra_matrix_i8 *weights;
    int8_t *tiles; /* of the threads' panels */
    size_t n_panels;
};

/* PANELS_PER_TASK panels, each unpacked once more where it is clustered. */
static void order_some(void *argument, size_t task, size_t worker)
{
    const struct ordering *job = argument;
    const lutra_matrix *w = job->weights->matrix;
    const size_t n_tiles = lutra_divide_up(w->k, LUTRA_TILE_INPUTS),
                 numbers = lutra_order_numbers_i8(n_tiles);
    const size_t end = lutra_smaller((task + 1) * PANELS_PER_TASK, job->n_panels);
    lutra_panel_i8 panel = {.tiles = job->tiles + worker * w->layout.k_padded * LUTRA_PANEL};
    for (size_t i = task * PANELS_PER_TASK; i < end; i++) {
        uint16_t *order = job->weights->orders + i * numbers;
        if (w->dense) {
            job->kernels->order_panel_i8(n_tiles, job->weights->panels[i].tiles, order);
            job->weights->panels[i].order = order;
            continue;
        }
        job->kernels->unpack_panel_i8(&w->layout, w->indices + i * w->layout.block_bytes,
                                      job->weights->codebook, &panel);
        job->kernels->order_panel_i8(n_tiles, panel.tiles, order);
    }
}

/* What its tiles' order is takes longer to find out than to multiply a panel with a few rows, and is the same
 * for every product. */
static lutra_status order_panels(const lutra_kernels *kernels, lutra_thread_pool *pool,
                                 lutra_matrix_i8 *result, lutra_error *error)
{
    const lutra_matrix *w = result->matrix;
    struct ordering job = {
        .kernels = kernels, .weights = result, .n_panels = lutra_divide_up(w->n, LUTRA_PANEL)};
    const size_t numbers = lutra_order_numbers_i8(lutra_divide_up(w->k, LUTRA_TILE_INPUTS));
    lutra_status status = lutra_allocate(job.n_panels, numbers * sizeof *result->orders, "orders of tiles",
                                         &result->orders, error);
    if (status == LUTRA_OK && !w->dense)
        status = lutra_allocate(w->layout.k_padded, LUTRA_PANEL * lutra_thread_pool_size(pool), "panels",
                                &job.tiles, error);
    if (status == LUTRA_OK)
        lutra_thread_pool_run(pool, lutra_divide_up(job.n_panels, PANELS_PER_TASK), order_some, &job);
    free(job.tiles);
    return status;
}

lutra_status lutra_matrix_i8_create(const lutra_kernels *kernels, lutra_thread_pool *pool,
                                    const lutra_matrix *matrix, lutra_matrix_i8 *result, lutra_error *error)
{
    *result = (lutra_matrix_i8){.matrix = matrix};
    lutra_status status = matrix->dense ? quantise_dense(matrix, result, error)
                                        : bring_codebook(kernels, matrix, result, error);
    if (status == LUTRA_OK && kernels->form_i8 == LUTRA_ORDERED_I8)
        status = order_panels(kernels, pool, result, error);
    if (status)
        lutra_matrix_i8_free(result);
    return status;
}

void lutra_matrix_i8_free(lutra_matrix_i8 *matrix)
{
    free(matrix->panels);
    free(matrix->tiles);
    free(matrix->scale);
    free(matrix->orders);
    *matrix = (lutra_matrix_i8){0};
}

static float scale_of_output(const lutra_matrix_i8 *weights, size_t output)
{
    const lutra_matrix *w = weights->matrix;
    return weights->scale ? weights->scale[output]
                          : w->scale[w->scale_per_row ? output : 0] * weights->codebook_scale;
}

void lutra_matrix_i8_row(const lutra_matrix_i8 *weights, size_t row, float *out)
{
    const lutra_matrix *w = weights->matrix;
    const float scale = scale_of_output(weights, row);
    for (size_t i = 0; i < w->k; i++) {
        if (weights->panels) {
            const lutra_panel_i8 *panel = &weights->panels[row / LUTRA_PANEL];
            out[i] = scale * panel->tiles[lutra_tile_byte_i8(i, row % LUTRA_PANEL)];
        } else {
            uint8_t tile[LUTRA_TILE_LANES];
            lutra_unpack_tile(&w->layout, w->indices + row / LUTRA_PANEL * w->layout.block_bytes,
                              i / LUTRA_TILE_INPUTS, tile);
            out[i] =
                scale * weights->codebook[tile[lutra_tile_byte_i8(i % LUTRA_TILE_INPUTS, row % LUTRA_PANEL)]];
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------- */

/* An odd number of cache lines: the rows of a tile, read side by side, then fall into different sets of a
 * cache whatever k is. */
size_t lutra_row_bytes_i8(size_t k)
{
    return lutra_round_up(k, 128) + 64;
}

static size_t thread_bytes(size_t max_k)
{
    return LUTRA_TILE_PANELS_I8 * LUTRA_PANEL * lutra_round_up(max_k, MAX_GROUP_INPUTS) +
           LUTRA_TILE_ROWS_I8 * GROUP_COLUMNS * sizeof(float);
}

static size_t activation_bytes(size_t m, size_t k)
{
    return lutra_round_up(m, LUTRA_GROUP_ROWS) * lutra_row_bytes_i8(k) +
           lutra_round_up(m * sizeof(lutra_row_i8), LUTRA_ALIGNMENT);
}

bool lutra_gemm_i8_scratch(size_t max_m, size_t max_k, size_t n_threads, size_t *bytes)
{
    size_t activations;
    /* The other sums are small: k is at most LUTRA_MAX_INPUTS. */
    return lutra_size_multiply(max_m, lutra_row_bytes_i8(max_k) + sizeof(lutra_row_i8), &activations) &&
           lutra_size_add(activations,
                          LUTRA_GROUP_ROWS * lutra_row_bytes_i8(max_k) + LUTRA_ALIGNMENT +
                              n_threads * thread_bytes(max_k),
                          bytes);
}

/* Row `i` of what is quantised; `room` [k] for one that is made here and goes nowhere else. */
static const float *bring_row(const struct job *job, size_t i, float *room)
{
    const lutra_layer_norm *norm = job->norm;
    if (norm) {
        float *y = norm->y ? norm->y + i * norm->ldy : room;
        job->kernels->layer_norm_row_f32(norm->dim, norm->x + i * norm->ldx, norm->gamma, norm->beta,
                                         norm->eps, y);
        return y;
    }
    if (job->patches) {
        float *patch = job->patches->out ? job->patches->out + i * job->k : room;
        lutra_patch_f32(job->kernels, job->patches, &job->scaling, i, patch);
        return patch;
    }
    return job->gemm->a + i * job->gemm->lda;
}

/* Quantises rows first..end - 1; row i goes to out + (i - first) * ld. */
static void quantise(const struct job *job, size_t first, size_t end, uint8_t *out, size_t ld, float *room)
{
    for (size_t i = first; i < end; i += ROOM_ROWS) {
        const size_t n = lutra_smaller(ROOM_ROWS, end - i);
        const float *rows[ROOM_ROWS];
        for (size_t row = 0; row < n; row++)
            rows[row] = bring_row(job, i + row, room + row * job->k);
        for (size_t row = 0; row < n; row++)
            job->kernels->quantise_row_i8(job->k, lutra_round_up(job->k, 64), rows[row],
                                          out + (i + row - first) * ld, &job->rows[i + row]);
    }
}

static void quantise_rows(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const size_t padded = lutra_round_up(job->k, 64), lda = job->lda;
    const size_t first = task * ROWS_PER_TASK, end = lutra_smaller(first + ROWS_PER_TASK, job->m);
    uint8_t *rows = (uint8_t *)job->scratch + worker * job->scratch_stride; /* of a group, or one of a pair */
    float *room = (float *)(void *)(rows + LUTRA_GROUP_ROWS * padded);
    switch (job->form) {
    case LUTRA_PLAIN_I8:
        quantise(job, first, end, job->a + first * lda, lda, room);
        break;
    case LUTRA_ORDERED_I8: /* rows that a group lacks are whatever lay there: nobody looks at their products
                            */
        for (size_t i = first; i < end; i += LUTRA_GROUP_ROWS) {
            quantise(job, i, lutra_smaller(i + LUTRA_GROUP_ROWS, end), rows, padded, room);
            job->kernels->group_rows_i8(padded, rows, padded, job->a + i * lda);
        }
        break;
    case LUTRA_PAIRED_I8:
        for (size_t i = first; i < end; i += 2) {
            uint8_t *pair = job->a + i * lda;
            quantise(job, i, i + 1, rows, padded, room);
            if (i + 1 < end)
                quantise(job, i + 1, i + 2, pair + lda, lda, room);
            else
                memset(pair + lda, 0, padded); /* it has no partner */
            lutra_pair_rows_i8(padded, rows, pair + lda, pair);
        }
        break;
    }
}

static void bring_panel(const struct job *job, size_t index, int8_t *tiles, lutra_panel_i8 *panel)
{
    const lutra_matrix *w = job->gemm->weights;
    const size_t n_tiles = lutra_divide_up(w->k, LUTRA_TILE_INPUTS);
    const bool paired = job->kernels->form_i8 == LUTRA_PAIRED_I8;
    if (w->dense) {
        *panel = job->weights->panels[index];
        if (paired) {
            job->kernels->pair_panel_i8(n_tiles, panel->tiles, tiles);
            panel->tiles = tiles;
        }
        return;
    }
    panel->tiles = tiles;
    if (job->weights->orders)
        panel->order = job->weights->orders + index * lutra_order_numbers_i8(n_tiles);
    job->kernels->unpack_panel_i8(&w->layout, w->indices + index * w->layout.block_bytes,
                                  job->weights->codebook, panel);
    if (paired)
        job->kernels->pair_panel_i8(n_tiles, tiles, tiles);
}

static void describe_columns(const struct job *job, size_t first, size_t n, lutra_columns *columns)
{
    const lutra_gemm *gemm = job->gemm;
    *columns = (lutra_columns){.activation = gemm->activation, .no_layer_scale = !gemm->layer_scale};
    for (size_t i = 0; i < n; i++) {
        columns->scale[i] = scale_of_output(job->weights, first + i);
        columns->bias[i] = gemm->bias ? gemm->bias[first + i] : 0.0f;
        columns->layer_scale[i] = gemm->layer_scale ? gemm->layer_scale[first + i] : 1.0f;
    }
}

/* The weights of a group as they lie in memory, and how many bytes they are. */
static const char *weights_of(const struct job *job, size_t group, size_t *bytes)
{
    const lutra_matrix *w = job->gemm->weights;
    const size_t n = lutra_smaller(LUTRA_TILE_PANELS_I8,
                                   lutra_divide_up(w->n, LUTRA_PANEL) - group * LUTRA_TILE_PANELS_I8);
    if (w->dense) {
        *bytes = n * lutra_round_up(w->k, LUTRA_TILE_INPUTS) * LUTRA_PANEL;
        return (const char *)job->weights->panels[group * LUTRA_TILE_PANELS_I8].tiles;
    }
    *bytes = n * w->layout.block_bytes;
    return (const char *)w->indices + group * LUTRA_TILE_PANELS_I8 * w->layout.block_bytes;
}

static void multiply_group(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_kernels *kernels = job->kernels;
    const lutra_gemm *gemm = job->gemm;
    const lutra_matrix *w = gemm->weights;
    const size_t group = task % job->n_groups, part = task / job->n_groups;
    const size_t first = group * GROUP_COLUMNS, n = lutra_smaller(GROUP_COLUMNS, w->n - first);
    const size_t n_panels = lutra_divide_up(n, LUTRA_PANEL);
    const size_t panel_bytes = lutra_round_up(w->k, MAX_GROUP_INPUTS) * LUTRA_PANEL;
    char *scratch = job->scratch + worker * job->scratch_stride;
    float *tile = (float *)(void *)(scratch + LUTRA_TILE_PANELS_I8 * panel_bytes);
    lutra_panel_i8 panels[LUTRA_TILE_PANELS_I8];
    lutra_columns columns;

    for (size_t i = 0; i < n_panels; i++)
        bring_panel(job, first / LUTRA_PANEL + i, (int8_t *)scratch + i * panel_bytes, &panels[i]);
    describe_columns(job, first, n, &columns);

    /* The group that this thread will probably have next comes from beyond the second-level cache meanwhile.
     */
    const char *next_weights = NULL;
    size_t next_bytes = 0;
    if (group + 1 < job->n_groups)
        next_weights = weights_of(job, group + 1, &next_bytes);

    const size_t n_chunks = lutra_part_chunks(&job->parts, part);
    for (size_t chunk = 0; chunk < n_chunks; chunk++) {
        const size_t row = lutra_chunk_row(&job->parts, part, chunk, n_chunks);
        const size_t m = lutra_chunk_row(&job->parts, part, chunk + 1, n_chunks) - row;
        const size_t ahead = next_bytes * chunk / n_chunks;
        const lutra_outputs out = {.n = n,
                                   .c = gemm->c + row * gemm->ldc + first,
                                   .ldc = gemm->ldc,
                                   .residual =
                                       gemm->residual ? gemm->residual + row * gemm->ldr + first : NULL,
                                   .ldr = gemm->ldr,
                                   .ahead = next_weights ? next_weights + ahead : NULL,
                                   .ahead_bytes = next_bytes * (chunk + 1) / n_chunks - ahead};
        if (w->k >= MIN_PREFETCH_INPUTS)
            lutra_prefetch_outputs(gemm, row, m, first, n);
        if (job->finishes) {
            kernels->multiply_finish_i8(m, w->k, job->a + row * job->lda, job->lda, job->rows + row, n_panels,
                                        panels, &columns, &out);
            continue;
        }
        lutra_multiply_form_i8(kernels, job->form, m, w->k, job->a + row * job->lda, job->lda,
                               job->rows + row, n_panels, panels, tile, GROUP_COLUMNS);
        kernels->finish_f32(&columns, m, n, tile, GROUP_COLUMNS, out.c, out.ldc, out.residual, out.ldr);
    }
}

/* Whether a level multiplies and finishes a tile at once; the reference does, so that it is tested. */
static bool finishes(const lutra_kernels *kernels)
{
    const lutra_kernels *reference = lutra_kernels_level(0);
    return kernels == reference || kernels->multiply_finish_i8 != reference->multiply_finish_i8;
}

static struct job job_of(const lutra_kernels *kernels, size_t m, size_t k, void *scratch)
{
    char *rows = (char *)scratch + lutra_round_up(m, LUTRA_GROUP_ROWS) * lutra_row_bytes_i8(k);
    return (struct job){.kernels = kernels,
                        .m = m,
                        .k = k,
                        .form = kernels->form_i8,
                        .a = scratch,
                        .rows = (lutra_row_i8 *)(void *)rows,
                        .lda = lutra_row_bytes_i8(k),
                        .scratch = (char *)scratch + activation_bytes(m, k),
                        .scratch_stride = thread_bytes(k)};
}

void lutra_layer_norm_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_layer_norm *norm,
                         void *scratch)
{
    struct job job = job_of(kernels, norm->n_rows, norm->dim, scratch);
    job.norm = norm;
    lutra_thread_pool_run(pool, lutra_divide_up(job.m, ROWS_PER_TASK), quantise_rows, &job);
}

void lutra_patches_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_patches *patches,
                      void *scratch)
{
    const size_t side = patches->patch, per_picture = (patches->height / side) * (patches->width / side);
    struct job job = job_of(kernels, patches->batch * per_picture, 3 * side * side, scratch);
    job.patches = patches;
    job.scaling = lutra_pixel_scaling_of(patches);
    lutra_thread_pool_run(pool, lutra_divide_up(job.m, ROWS_PER_TASK), quantise_rows, &job);
}

void lutra_gemm_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                   const lutra_matrix_i8 *weights, void *scratch)
{
    const size_t n_groups = lutra_divide_up(gemm->weights->n, GROUP_COLUMNS);
    const bool is_few = lutra_is_few_rows_i8(kernels, gemm);
    struct job job = job_of(kernels, gemm->m, gemm->weights->k, scratch);
    if (gemm->m == 0 || n_groups == 0)
        return;
    job.gemm = gemm;
    job.weights = weights;
    if (is_few)
        job.form = LUTRA_PLAIN_I8;
    if (gemm->a)
        lutra_thread_pool_run(pool, lutra_divide_up(gemm->m, ROWS_PER_TASK), quantise_rows, &job);
    if (is_few) {
        lutra_few_rows_i8(kernels, pool, gemm, weights, job.a, job.lda, job.rows);
        return;
    }
    job.finishes = job.form == LUTRA_PLAIN_I8 && finishes(kernels);
    job.n_groups = n_groups;
    job.parts = (lutra_row_parts){
        .m = gemm->m, .unit = lutra_form_unit_i8(job.form), .tile_rows = lutra_form_rows_i8(job.form)};
    lutra_choose_parts(&job.parts, n_groups, job.k * gemm->weights->n, lutra_thread_pool_size(pool));
    lutra_thread_pool_run(pool, n_groups * job.parts.n_parts, multiply_group, &job);
}
