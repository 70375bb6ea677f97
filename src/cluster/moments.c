/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/moments.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "kernels/gemm/gemm.h"

lutra_status lutra_moments_create(lutra_moments *moments, size_t k, size_t n_threads, lutra_error *error)
{
    static const char what[] = "the inputs' moments";
    size_t square;
    lutra_status status;
    *moments = (lutra_moments){.k = k};
    if (!lutra_size_multiply(k, k, &square))
        return lutra_fail_memory(error, SIZE_MAX, what);
    if ((status = lutra_allocate(square, sizeof(double), what, &moments->second, error)) ||
        (status = lutra_allocate(k, sizeof(double), what, &moments->first, error)) ||
        (status = lutra_allocate(k * LUTRA_MOMENT_ROWS, sizeof(float), what, &moments->x, error)) ||
        (status = lutra_allocate(square, sizeof(float), what, &moments->products, error)) ||
        (status = lutra_allocate(lutra_gemm_f32_scratch(LUTRA_MOMENT_ROWS, n_threads), 1, what,
                                 &moments->scratch, error)))
        lutra_moments_free(moments);
    return status;
}

void lutra_moments_free(lutra_moments *moments)
{
    free(moments->second);
    free(moments->first);
    free(moments->x);
    free(moments->products);
    free(moments->scratch);
    *moments = (lutra_moments){0};
}

/* The products of the rows at hand, all in f32, join the sums. */
static void add_held(lutra_moments *moments, const lutra_kernels *kernels, lutra_thread_pool *pool)
{
    const size_t k = moments->k;
    const lutra_matrix x = {.n = k, .k = LUTRA_MOMENT_ROWS, .dense = moments->x, .dtype = LUTRA_F32};
    const lutra_gemm gemm = {
        .m = k, .weights = &x, .a = moments->x, .lda = LUTRA_MOMENT_ROWS, .c = moments->products, .ldc = k};
    lutra_gemm_f32(kernels, pool, &gemm, moments->scratch);
    for (size_t i = 0; i < k * k; i++)
        moments->second[i] += (double)moments->products[i];
    moments->n_held = 0;
}

void lutra_moments_add(lutra_moments *moments, const float *x, const lutra_kernels *kernels,
                       lutra_thread_pool *pool)
{
    for (size_t i = 0; i < moments->k; i++) {
        moments->x[i * LUTRA_MOMENT_ROWS + moments->n_held] = x[i];
        moments->first[i] += (double)x[i];
    }
    moments->n_rows++;
    if (++moments->n_held == LUTRA_MOMENT_ROWS)
        add_held(moments, kernels, pool);
}

void lutra_moments_end(lutra_moments *moments, const lutra_kernels *kernels, lutra_thread_pool *pool)
{
    const size_t left = LUTRA_MOMENT_ROWS - moments->n_held;
    if (moments->n_held == 0)
        return;
    for (size_t i = 0; i < moments->k; i++)
        memset(moments->x + i * LUTRA_MOMENT_ROWS + moments->n_held, 0, left * sizeof(float));
    add_held(moments, kernels, pool);
}
