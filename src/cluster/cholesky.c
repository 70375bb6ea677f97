/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cholesky.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"

#define BLOCK 64
#define TILE 8 /* sums that stay in registers */
#define ROWS_PER_TASK 16

typedef struct panel_job {
    double *a;
    size_t n, first, width; /* the block's columns */
    double *turned;         /* [width / TILE][first][TILE]: the block's rows so far, inputs first */
} panel_job;

static void turn_block(const panel_job *job)
{
    memset(job->turned, 0, BLOCK * job->first * sizeof *job->turned);
    for (size_t column = 0; column < job->width; column++) {
        const double *row = job->a + (job->first + column) * job->n;
        double *to = job->turned + column / TILE * TILE * job->first + column % TILE;
        for (size_t i = 0; i < job->first; i++)
            to[i * TILE] = row[i];
    }
}

/* Takes what the columns before the block contribute off a row's entries in the block. */
static void reduce_row(const panel_job *job, double *row)
{
    for (size_t tile = 0; tile < job->width; tile += TILE) {
        const double *turned = job->turned + tile * job->first;
        double sum[TILE] = {0};
        for (size_t i = 0; i < job->first; i++)
            for (size_t j = 0; j < TILE; j++)
                sum[j] += row[i] * turned[i * TILE + j];
        for (size_t j = 0; j < TILE && tile + j < job->width; j++)
            row[job->first + tile + j] -= sum[j];
    }
}

static void solve_row(const panel_job *job, double *row, size_t end)
{
    for (size_t j = job->first; j < end; j++) {
        const double *above = job->a + j * job->n;
        double sum = row[j];
        for (size_t i = job->first; i < j; i++)
            sum -= row[i] * above[i];
        row[j] = sum / above[j];
    }
}

static void finish_rows(void *job_, size_t task, size_t worker)
{
    const panel_job *job = job_;
    const size_t first = job->first + job->width + task * ROWS_PER_TASK;
    (void)worker;
    for (size_t i = first; i < first + ROWS_PER_TASK && i < job->n; i++) {
        reduce_row(job, job->a + i * job->n);
        solve_row(job, job->a + i * job->n, job->first + job->width);
    }
}

/* The block on the diagonal, row by row. */
static bool factor_block(const panel_job *job)
{
    for (size_t i = job->first; i < job->first + job->width; i++) {
        double *row = job->a + i * job->n;
        reduce_row(job, row);
        solve_row(job, row, i);
        for (size_t j = job->first; j < i; j++)
            row[i] -= row[j] * row[j];
        if (!(row[i] > 0))
            return false;
        row[i] = sqrt(row[i]);
    }
    return true;
}

lutra_status lutra_cholesky(double *a, size_t n, lutra_thread_pool *pool, lutra_error *error)
{
    double *turned = NULL;
    lutra_status status = lutra_allocate(n + BLOCK, BLOCK * sizeof *turned, "a factor", &turned, error);
    for (size_t first = 0; first < n && status == LUTRA_OK; first += BLOCK) {
        panel_job job = {
            .a = a, .n = n, .first = first, .width = n - first < BLOCK ? n - first : BLOCK, .turned = turned};
        turn_block(&job);
        if (!factor_block(&job))
            status = lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                                "a matrix of moments is not positive definite");
        else
            lutra_thread_pool_run(pool, lutra_divide_up(n - first - job.width, ROWS_PER_TASK), finish_rows,
                                  &job);
    }
    free(turned);
    return status;
}

void lutra_cholesky_solve(const double *lower, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            x[i] -= lower[i * n + j] * x[j];
        x[i] /= lower[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++)
            x[i] -= lower[j * n + i] * x[j];
        x[i] /= lower[i * n + i];
    }
}
