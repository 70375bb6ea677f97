/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "kernels/gemm/gemm.h"

#define INPUTS_PER_TASK 16
#define COLUMNS 128 /* of the products, computed at a time */

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
        (status = lutra_allocate(LUTRA_MOMENT_ROWS, sizeof(float), what, &moments->roots, error)) ||
        (status = lutra_allocate(k * LUTRA_MOMENT_ROWS, sizeof(float), what, &moments->rows, error)) ||
        (status = lutra_allocate(k * LUTRA_MOMENT_ROWS, sizeof(float), what, &moments->turned, error)) ||
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
    free(moments->roots);
    free(moments->rows);
    free(moments->turned);
    free(moments->products);
    free(moments->scratch);
    *moments = (lutra_moments){0};
}

/* One group of inputs turned into rows, with their sums. */
static void turn_inputs(void *moments_, size_t task, size_t worker)
{
    lutra_moments *m = moments_;
    const size_t first = task * INPUTS_PER_TASK, k = m->k;
    const size_t end = first + INPUTS_PER_TASK < k ? first + INPUTS_PER_TASK : k;
    double sums[INPUTS_PER_TASK] = {0};
    (void)worker;
    for (size_t row = 0; row < m->n_held; row++)
        for (size_t i = first; i < end; i++) {
            m->turned[i * LUTRA_MOMENT_ROWS + row] = m->rows[row * k + i];
            sums[i - first] += (double)m->rows[row * k + i] * (double)m->roots[row];
        }
    for (size_t i = first; i < end; i++) {
        memset(m->turned + i * LUTRA_MOMENT_ROWS + m->n_held, 0,
               (LUTRA_MOMENT_ROWS - m->n_held) * sizeof *m->turned);
        m->first[i] += sums[i - first];
    }
}

/* The products of the rows at hand, all in f32, join the sums: those on and below the diagonal. */
static void add_held(lutra_moments *m, const lutra_kernels *kernels, lutra_thread_pool *pool)
{
    const size_t k = m->k;
    lutra_thread_pool_run(pool, lutra_divide_up(k, INPUTS_PER_TASK), turn_inputs, m);
    for (size_t first = 0; first < k; first += COLUMNS) {
        const float *x = m->turned + first * LUTRA_MOMENT_ROWS;
        const lutra_matrix columns = {.n = k - first < COLUMNS ? k - first : COLUMNS,
                                      .k = LUTRA_MOMENT_ROWS,
                                      .dense = x,
                                      .dtype = LUTRA_F32};
        const lutra_gemm gemm = {.m = k - first,
                                 .weights = &columns,
                                 .a = x,
                                 .lda = LUTRA_MOMENT_ROWS,
                                 .c = m->products + first * k + first,
                                 .ldc = k};
        lutra_gemm_f32(kernels, pool, &gemm, m->scratch);
    }
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++)
            m->second[i * k + j] += (double)m->products[i * k + j];
    m->n_held = 0;
}

void lutra_moments_add(lutra_moments *m, const float *x, float weight, const lutra_kernels *kernels,
                       lutra_thread_pool *pool)
{
    const float root = sqrtf(weight);
    for (size_t i = 0; i < m->k; i++)
        m->rows[m->n_held * m->k + i] = root * x[i];
    m->roots[m->n_held] = root;
    m->weight += (double)weight;
    m->square_weight += (double)weight * (double)weight;
    if (++m->n_held == LUTRA_MOMENT_ROWS)
        add_held(m, kernels, pool);
}

void lutra_moments_end(lutra_moments *m, const lutra_kernels *kernels, lutra_thread_pool *pool)
{
    if (m->n_held > 0)
        add_held(m, kernels, pool);
    for (size_t i = 0; i < m->k; i++)
        for (size_t j = 0; j < i; j++)
            m->second[j * m->k + i] = m->second[i * m->k + j];
}

/* Those off the diagonal are no larger than those on it. */
bool lutra_moments_are_finite(const lutra_moments *m)
{
    for (size_t i = 0; i < m->k; i++)
        if (!isfinite(m->second[i * m->k + i]))
            return false;
    return true;
}
