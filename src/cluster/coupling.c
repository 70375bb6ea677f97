/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/coupling.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/size.h"
#include "cluster/quadratic.h"
#include "kernels/gemm/gemm.h"

/* Of what rows have in common this part is relied on, and less where few gradients were seen. */
#define KEPT 0.5
/* Added to the diagonal, as part of its mean. */
#define DAMPING 0.03

lutra_status lutra_coupling_create(lutra_coupling *c, size_t n, lutra_error *error)
{
    const size_t n_groups = lutra_divide_up(n, LUTRA_COUPLED_ROWS);
    *c = (lutra_coupling){.n = n, .group = lutra_divide_up(n, n_groups)};
    return lutra_allocate(n * c->group, sizeof *c->of, "what rows have in common", &c->of, error);
}

void lutra_coupling_free(lutra_coupling *c)
{
    free(c->of);
    *c = (lutra_coupling){0};
}

lutra_status lutra_coupling_scratch_create(lutra_coupling_scratch *s, size_t rows, size_t n_threads,
                                           lutra_error *error)
{
    static const char what[] = "what rows have in common";
    const size_t group = LUTRA_COUPLED_ROWS;
    lutra_status status;
    *s = (lutra_coupling_scratch){0};
    if ((status = lutra_allocate(group * rows, sizeof(float), what, &s->turned, error)) ||
        (status = lutra_allocate(group * group, sizeof(float), what, &s->product, error)) ||
        (status = lutra_allocate(rows, sizeof(float), what, &s->root, error)) ||
        (status = lutra_allocate(lutra_gemm_f32_scratch(rows, n_threads), 1, what, &s->gemm, error)))
        lutra_coupling_scratch_free(s);
    return status;
}

void lutra_coupling_scratch_free(lutra_coupling_scratch *s)
{
    free(s->turned);
    free(s->product);
    free(s->root);
    free(s->gemm);
    *s = (lutra_coupling_scratch){0};
}

/* One over the root of each gradient's length. */
static void take_roots(lutra_coupling *c, const float *gradients, size_t rows, float *root)
{
    for (size_t row = 0; row < rows; row++) {
        double sum = 0;
        for (size_t i = row * c->n; i < (row + 1) * c->n; i++)
            sum += (double)gradients[i] * (double)gradients[i];
        const double length = sqrt(sum);
        const bool counts = length > 0 && isfinite(length);
        root[row] = counts ? (float)(1 / sqrt(length)) : 0;
        c->weight += counts ? length : 0;
        c->square_weight += counts ? sum : 0;
    }
}

void lutra_coupling_add(lutra_coupling *c, const float *gradients, size_t rows, const lutra_kernels *kernels,
                        lutra_thread_pool *pool, lutra_coupling_scratch *s)
{
    take_roots(c, gradients, rows, s->root);
    for (size_t first = 0; first < c->n; first += c->group) {
        const size_t n = c->n - first < c->group ? c->n - first : c->group;
        for (size_t row = 0; row < rows; row++)
            for (size_t i = 0; i < n; i++)
                s->turned[i * rows + row] =
                    s->root[row] > 0 ? s->root[row] * gradients[row * c->n + first + i] : 0;
        const lutra_matrix columns = {.n = n, .k = rows, .dense = s->turned, .dtype = LUTRA_F32};
        const lutra_gemm gemm = {
            .m = n, .weights = &columns, .a = s->turned, .lda = rows, .c = s->product, .ldc = n};
        lutra_gemm_f32(kernels, pool, &gemm, s->gemm);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                c->of[(first + i) * c->group + j] += s->product[i * n + j];
    }
}

void lutra_coupling_end(lutra_coupling *c)
{
    const double kept = KEPT * (1 - lutra_shrinkage(c->group, c->weight, c->square_weight));
    double trace = 0;
    for (size_t i = 0; i < c->n; i++)
        trace += (double)c->of[i * c->group + i % c->group];
    double damping = DAMPING * trace / (double)c->n;
    /* Sums that floats are too coarse or too short for are as good as none. */
    const bool none = !(damping >= (double)FLT_MIN && trace + damping <= (double)FLT_MAX);
    if (none)
        damping = 1;
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < c->group; j++) {
            float *of = &c->of[i * c->group + j];
            const double sum = none ? 0 : (double)*of;
            *of = (float)(j == i % c->group ? sum + damping : kept * sum);
        }
}
