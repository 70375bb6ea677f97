/* SPDX-License-Identifier: Apache-2.0 */
/* A task is LUTRA_FEW_ROWS_BLOCKS blocks of outputs, for all rows. */
#include "kernels/gemm/few_rows.h"

#include "base/half.h"
#include "base/size.h"
#include "kernels/table.h"

#define TASK_COLUMNS ((size_t)(LUTRA_FEW_ROWS_BLOCKS * LUTRA_PANEL))

struct job {
    const lutra_kernels *kernels;
    const lutra_gemm *gemm;
    int8_t codebook[256]; /* 2^bits entries, again and again */
    float codebook_scale;
    const uint8_t *a_i8; /* [m][lda_i8], in 8 bits; else NULL */
    size_t lda_i8;
    const lutra_row_i8 *rows; /* [m] */
};

static void describe_columns(const struct job *job, size_t first, size_t n, lutra_columns *columns)
{
    const lutra_gemm *gemm = job->gemm;
    const lutra_matrix *w = gemm->weights;
    *columns = (lutra_columns){.activation = gemm->activation};
    for (size_t i = 0; i < n; i++) {
        columns->scale[i] = w->scale[w->scale_per_row ? first + i : 0] * job->codebook_scale;
        columns->bias[i] = gemm->bias ? gemm->bias[first + i] : 0.0f;
        columns->layer_scale[i] = gemm->layer_scale ? gemm->layer_scale[first + i] : 1.0f;
    }
}

static void finish(const struct job *job, size_t first, size_t n, const float *tile)
{
    const lutra_gemm *gemm = job->gemm;
    lutra_columns columns;
    for (size_t i = 0; i < n; i += LUTRA_MAX_TILE_COLUMNS) {
        const size_t width = lutra_smaller(LUTRA_MAX_TILE_COLUMNS, n - i), column = first + i;
        describe_columns(job, column, width, &columns);
        job->kernels->finish_f32(&columns, gemm->m, width, tile + i, TASK_COLUMNS, gemm->c + column,
                                 gemm->ldc, gemm->residual ? gemm->residual + column : NULL, gemm->ldr);
    }
}

static void multiply_task(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_gemm *gemm = job->gemm;
    const lutra_index_layout *layout = &gemm->weights->layout;
    const size_t block = task * LUTRA_FEW_ROWS_BLOCKS, first = task * TASK_COLUMNS;
    const size_t n_blocks = lutra_smaller(LUTRA_FEW_ROWS_BLOCKS, layout->n_blocks - block);
    const uint8_t *blocks = gemm->weights->indices + block * layout->block_bytes;
    _Alignas(64) float tile[LUTRA_FEW_ROWS * TASK_COLUMNS];
    (void)worker;
    if (job->a_i8)
        job->kernels->multiply_few_rows_i8(layout, n_blocks, blocks, job->codebook, gemm->m, job->a_i8,
                                           job->lda_i8, job->rows, tile, TASK_COLUMNS);
    else
        job->kernels->multiply_few_rows_f32(layout, n_blocks, blocks, job->codebook, gemm->m, gemm->a,
                                            gemm->lda, tile, TASK_COLUMNS);
    finish(job, first, lutra_smaller(TASK_COLUMNS, gemm->weights->n - first), tile);
}

/* The widths that the levels decode in registers; others go by way of panels. */
static bool is_tuned(const lutra_matrix *w)
{
    return !w->dense && (w->layout.bits == 4 || w->layout.bits == 6);
}

static void run(lutra_thread_pool *pool, const struct job *job)
{
    const size_t n_blocks = job->gemm->weights->layout.n_blocks;
    lutra_thread_pool_run(pool, lutra_divide_up(n_blocks, LUTRA_FEW_ROWS_BLOCKS), multiply_task,
                          (void *)(uintptr_t)job);
}

/* Whether a sum may overflow where a level multiplies with 2^24 times the weights: not while no activation
 * has the two upper bits of an exponent, those of 2^65 on, for LUTRA_MAX_INPUTS times 127 times that is 2^87.
 */
static bool could_overflow(const lutra_gemm *gemm)
{
    uint32_t both = 0;
    for (size_t row = 0; row < gemm->m; row++)
        for (size_t i = 0; i < gemm->weights->k; i++) {
            const uint32_t bits = lutra_bits_of_float(gemm->a[row * gemm->lda + i]);
            both |= bits & bits << 1;
        }
    return both & 0x40000000u;
}

bool lutra_few_rows_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm)
{
    const lutra_matrix *w = gemm->weights;
    const lutra_kernels *reference = lutra_kernels_level(0);
    struct job job = {.kernels = kernels, .gemm = gemm, .codebook_scale = 1};
    if (!is_tuned(w) || gemm->m > LUTRA_FEW_ROWS || !w->codebook_is_i8 ||
        (kernels != reference && kernels->multiply_few_rows_f32 == reference->multiply_few_rows_f32) ||
        could_overflow(gemm))
        return false;
    for (size_t i = 0; i < 256; i++)
        job.codebook[i] = (int8_t)w->codebook[i & ((1u << w->layout.bits) - 1)];
    run(pool, &job);
    return true;
}

bool lutra_is_few_rows_i8(const lutra_kernels *kernels, const lutra_gemm *gemm)
{
    const lutra_kernels *reference = lutra_kernels_level(0);
    /* Where a tile is finished with a GELU of its own, few rows must not get another's bits than many. */
    if (gemm->activation != LUTRA_IDENTITY && kernels->multiply_finish_i8 != reference->multiply_finish_i8)
        return false;
    return is_tuned(gemm->weights) && gemm->m <= LUTRA_FEW_ROWS &&
           (kernels == reference || kernels->multiply_few_rows_i8 != reference->multiply_few_rows_i8);
}

void lutra_few_rows_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                       const lutra_matrix_i8 *weights, const uint8_t *a, size_t lda, const lutra_row_i8 *rows)
{
    struct job job = {.kernels = kernels,
                      .gemm = gemm,
                      .codebook_scale = weights->codebook_scale,
                      .a_i8 = a,
                      .lda_i8 = lda,
                      .rows = rows};
    for (size_t i = 0; i < 256; i++)
        job.codebook[i] = weights->codebook[i & ((1u << gemm->weights->layout.bits) - 1)];
    run(pool, &job);
}
