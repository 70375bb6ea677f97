/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/layer_norm/layer_norm.h"

#include "base/size.h"
#include "kernels/table.h"

/* Fewer rows are not worth waking a thread for. */
#define ROWS_PER_TASK ((size_t)16)

struct job {
    const lutra_kernels *kernels;
    const lutra_layer_norm *norm;
};

static void normalise_rows(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_layer_norm *norm = job->norm;
    const size_t first = task * ROWS_PER_TASK;
    const size_t left = norm->n_rows - first, n = left < ROWS_PER_TASK ? left : ROWS_PER_TASK;
    (void)worker;
    for (size_t row = first; row < first + n; row++)
        job->kernels->layer_norm_row_f32(norm->dim, norm->x + row * norm->ldx, norm->gamma, norm->beta,
                                         norm->eps, norm->y + row * norm->ldy);
}

void lutra_layer_norm_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_layer_norm *norm)
{
    struct job job = {.kernels = kernels, .norm = norm};
    lutra_thread_pool_run(pool, lutra_divide_up(norm->n_rows, ROWS_PER_TASK), normalise_rows, &job);
}
