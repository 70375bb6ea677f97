/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of a product is cut into tasks: a group of panels (as many as the level's tile is wide) times a
 * part of the rows. A task brings its panels to f32 once, then multiplies them with its rows, tile by tile.
 * Scratch of one thread:
 *
 *     | panels [LUTRA_MAX_TILE_PANELS][k_padded][16] | tile [LUTRA_MAX_TILE_ROWS][LUTRA_MAX_TILE_COLUMNS] |
 */
#include "kernels/gemm/gemm.h"

#include "base/size.h"
#include "kernels/gemm/dense.h"
#include "kernels/gemm/panels.h"
#include "kernels/gemm/prefetch.h"
#include "kernels/gemm/row_parts.h"
#include "kernels/table.h"

/* k is padded to whole groups of packed tiles: at most 8 tiles of 4 inputs. */
#define MAX_GROUP_INPUTS ((size_t)32)

struct job {
    const lutra_kernels *kernels;
    const lutra_gemm *gemm;
    lutra_numbers numbers;
    float *scratch;
    size_t scratch_stride; /* floats per thread */
    lutra_row_parts parts;
    size_t n_groups; /* of panels */
};

static size_t scratch_floats(size_t max_k)
{
    return LUTRA_MAX_TILE_COLUMNS * lutra_round_up(max_k, MAX_GROUP_INPUTS) +
           LUTRA_MAX_TILE_ROWS * LUTRA_MAX_TILE_COLUMNS;
}

size_t lutra_gemm_f32_scratch(size_t max_k, size_t n_threads)
{
    return scratch_floats(max_k) * sizeof(float) * n_threads;
}

static void bring_dense(const struct job *job, size_t first_output, float *panel)
{
    const lutra_matrix *w = job->gemm->weights;
    const size_t offset = first_output * w->k * lutra_dense_size(w->dtype);
    job->kernels->pack_panel_f32((const char *)w->dense + offset, w->dtype, w->k,
                                 lutra_smaller(LUTRA_PANEL, w->n - first_output), w->k, panel);
    if (job->numbers == LUTRA_ROUNDED_BF16)
        job->kernels->round_bf16(w->k * LUTRA_PANEL, panel, panel);
    if (job->numbers == LUTRA_PAIRS_BF16)
        job->kernels->pair_panel_bf16(w->k, panel);
}

static void bring_panel(const struct job *job, size_t first_output, float *panel)
{
    const lutra_matrix *w = job->gemm->weights;
    if (w->dense) {
        bring_dense(job, first_output, panel);
        return;
    }
    const uint8_t *block = w->indices + first_output / LUTRA_PANEL * w->layout.block_bytes;
    const bool pairs = job->numbers == LUTRA_PAIRS_BF16;
    if (pairs && (w->layout.bits == 4 || w->layout.bits == 6)) {
        job->kernels->unpack_panel_bf16(&w->layout, block, w->codebook, (uint32_t *)(void *)panel);
        return;
    }
    job->kernels->unpack_panel_f32(&w->layout, block, w->codebook, w->codebook_is_i8, panel);
    if (pairs)
        job->kernels->pair_panel_bf16(w->layout.k_padded, panel);
}

static void multiply_tile(const struct job *job, size_t row, size_t m, size_t n_panels, const float *panels,
                          size_t panel_stride, float *tile)
{
    const lutra_gemm *gemm = job->gemm;
    const float *a = gemm->a + row * gemm->lda;
    if (job->numbers == LUTRA_PAIRS_BF16)
        job->kernels->multiply_bf16(
            m, lutra_divide_up(gemm->weights->k, 2), (const uint32_t *)(const void *)a, gemm->lda, n_panels,
            (const uint32_t *)(const void *)panels, panel_stride, tile, LUTRA_MAX_TILE_COLUMNS);
    else
        job->kernels->multiply_f32(m, gemm->weights->k, a, gemm->lda, n_panels, panels, panel_stride, tile,
                                   LUTRA_MAX_TILE_COLUMNS);
}

static void describe_columns(const lutra_gemm *gemm, size_t first, size_t n, lutra_columns *columns)
{
    const lutra_matrix *w = gemm->weights;
    *columns = (lutra_columns){.activation = gemm->activation};
    for (size_t i = 0; i < n; i++) {
        columns->scale[i] = w->dense ? 1.0f : w->scale[w->scale_per_row ? first + i : 0];
        columns->bias[i] = gemm->bias ? gemm->bias[first + i] : 0.0f;
        columns->layer_scale[i] = gemm->layer_scale ? gemm->layer_scale[first + i] : 1.0f;
    }
}

static void multiply_group(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_kernels *kernels = job->kernels;
    const lutra_gemm *gemm = job->gemm;
    const lutra_matrix *w = gemm->weights;
    const size_t group = task % job->n_groups, part = task / job->n_groups;
    const size_t first = group * kernels->tile_panels * LUTRA_PANEL;
    const size_t n = lutra_smaller(kernels->tile_panels * LUTRA_PANEL, w->n - first);
    const size_t n_panels = lutra_divide_up(n, LUTRA_PANEL);
    const size_t panel_stride = lutra_round_up(w->k, MAX_GROUP_INPUTS) * LUTRA_PANEL;
    float *panels = job->scratch + worker * job->scratch_stride;
    float *tile = panels + LUTRA_MAX_TILE_PANELS * panel_stride;
    lutra_columns columns;

    for (size_t i = 0; i < n_panels; i++)
        bring_panel(job, first + i * LUTRA_PANEL, panels + i * panel_stride);
    describe_columns(gemm, first, n, &columns);

    const size_t n_chunks = lutra_part_chunks(&job->parts, part);
    for (size_t chunk = 0; chunk < n_chunks; chunk++) {
        const size_t row = lutra_chunk_row(&job->parts, part, chunk, n_chunks);
        const size_t m = lutra_chunk_row(&job->parts, part, chunk + 1, n_chunks) - row;
        lutra_prefetch_outputs(gemm, row, m, first, n);
        multiply_tile(job, row, m, n_panels, panels, panel_stride, tile);
        kernels->finish_f32(&columns, m, n, tile, LUTRA_MAX_TILE_COLUMNS, gemm->c + row * gemm->ldc + first,
                            gemm->ldc, gemm->residual ? gemm->residual + row * gemm->ldr + first : NULL,
                            gemm->ldr);
    }
}

void lutra_multiply_panels(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                           lutra_numbers numbers, void *scratch)
{
    const size_t n_groups = lutra_divide_up(gemm->weights->n, kernels->tile_panels * LUTRA_PANEL);
    struct job job = {.kernels = kernels,
                      .gemm = gemm,
                      .numbers = numbers,
                      .scratch = scratch,
                      .scratch_stride = scratch_floats(gemm->weights->k),
                      .n_groups = n_groups};
    if (gemm->m == 0 || n_groups == 0 ||
        (numbers != LUTRA_PAIRS_BF16 && lutra_few_rows_f32(kernels, pool, gemm)))
        return;
    job.parts = (lutra_row_parts){.m = gemm->m, .unit = 1, .tile_rows = kernels->tile_rows};
    lutra_choose_parts(&job.parts, n_groups, gemm->weights->k * gemm->weights->n,
                       lutra_thread_pool_size(pool));
    lutra_thread_pool_run(pool, n_groups * job.parts.n_parts, multiply_group, &job);
}

void lutra_gemm_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                    void *scratch)
{
    lutra_multiply_panels(kernels, pool, gemm, LUTRA_FLOATS, scratch);
}

void lutra_matrix_row(const lutra_matrix *w, size_t row, float *out)
{
    if (w->dense) {
        for (size_t i = 0; i < w->k; i++)
            out[i] = lutra_dense_element(w->dense, w->dtype, row * w->k + i);
        return;
    }
    const uint8_t *block = w->indices + row / LUTRA_TILE_OUTPUTS * w->layout.block_bytes;
    const float scale = w->scale[w->scale_per_row ? row : 0];
    for (size_t i = 0; i < w->k; i += LUTRA_TILE_INPUTS) {
        uint8_t tile[LUTRA_TILE_LANES];
        lutra_unpack_tile(&w->layout, block, i / LUTRA_TILE_INPUTS, tile);
        for (size_t j = 0; j < lutra_smaller(LUTRA_TILE_INPUTS, w->k - i); j++)
            out[i + j] = scale * w->codebook[tile[row % LUTRA_TILE_OUTPUTS * LUTRA_TILE_INPUTS + j]];
    }
}
