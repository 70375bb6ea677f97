/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes: the rows of activations are rounded once, then the product runs as in gemm.c. Scratch:
 *
 *     | activations [m][row_words(k)]: pairs, or floats | scratch of gemm.c |
 */
#include "kernels/gemm/gemm_bf16.h"

#include "base/memory.h"
#include "base/size.h"
#include "kernels/gemm/few_rows.h"
#include "kernels/gemm/panels.h"
#include "kernels/table.h"

/* Rows that a task rounds: enough to be worth handing out. */
#define ROWS_PER_TASK ((size_t)16)

struct job {
    const lutra_kernels *kernels;
    const lutra_gemm *gemm;
    bool pairs;
    void *a; /* [m][lda] pairs or floats */
    size_t lda;
};

/* An odd number of cache lines: the rows of a tile, read side by side, then fall into different sets of a
 * cache whatever k is. */
static size_t row_words(size_t k)
{
    return lutra_round_up(k, 32) + 16;
}

bool lutra_gemm_bf16_scratch(size_t max_m, size_t max_k, size_t n_threads, size_t *bytes)
{
    size_t activations;
    return lutra_size_multiply(max_m, row_words(max_k) * sizeof(float), &activations) &&
           lutra_size_add(activations, lutra_gemm_f32_scratch(max_k, n_threads), bytes);
}

bool lutra_multiplies_bf16(const lutra_kernels *kernels)
{
    return kernels->multiply_bf16 != lutra_kernels_level(0)->multiply_bf16;
}

static void round_rows(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_gemm *gemm = job->gemm;
    const size_t k = gemm->weights->k, begin = task * ROWS_PER_TASK;
    (void)worker;
    for (size_t i = begin; i < gemm->m && i < begin + ROWS_PER_TASK; i++) {
        const float *x = gemm->a + i * gemm->lda;
        if (job->pairs)
            job->kernels->pair_row_bf16(k, x, (uint32_t *)job->a + i * job->lda);
        else
            job->kernels->round_bf16(k, x, (float *)job->a + i * job->lda);
    }
}

void lutra_gemm_bf16(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                     void *scratch)
{
    lutra_matrix weights = *gemm->weights;
    float codebook[256];
    lutra_gemm product = *gemm;
    struct job job = {
        .kernels = kernels,
        .gemm = gemm,
        /* The reference has pairs too, so that it is tested with what uses them. A few rows are decoded in
         * registers, in f32: it is not their multiplications that take long. */
        .pairs =
            (kernels == lutra_kernels_level(0) || lutra_multiplies_bf16(kernels)) && gemm->m > LUTRA_FEW_ROWS,
        .a = scratch,
        .lda = row_words(weights.k),
    };
    lutra_thread_pool_run(pool, lutra_divide_up(gemm->m, ROWS_PER_TASK), round_rows, &job);
    if (!weights.dense && !weights.codebook_is_i8) {
        kernels->round_bf16(256, weights.codebook, codebook);
        weights.codebook = codebook;
    }
    product.weights = &weights;
    product.a = job.a;
    product.lda = job.lda;
    lutra_multiply_panels(kernels, pool, &product, job.pairs ? LUTRA_PAIRS_BF16 : LUTRA_ROUNDED_BF16,
                          (float *)scratch + gemm->m * job.lda);
}
