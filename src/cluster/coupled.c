/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block B of rows beside which the errors of all others, R, stand costs, but for what it does not change,
 *
 *     tr(C_BB (T - Q) H (T - Q)^T),   T = W_B + C_BB^-1 C_BR E_R,
 *
 * so its rows are decided for T in place of their weights, in the same way as for these, and the decisions
 * are kept where that cost falls.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cluster/cholesky.h"
#include "cluster/search.h"

#define SWEEPS 2
#define ROWS 16 /* of a block */

typedef struct sweep {
    lutra_search *s;
    const lutra_coupling *coupling;
    float *errors;             /* [n][k] */
    float *target;             /* [ROWS][k] */
    uint8_t *indices;          /* [ROWS][k] before the block was decided */
    float *parts;              /* [ROWS][group] C_BB^-1 C_BR, 0 within the block */
    size_t first, count;       /* rows of the block */
    size_t group, group_count; /* rows of its group */
    double own[ROWS * ROWS];   /* C_BB */
} sweep;

static float coupling_of(const sweep *w, size_t row, size_t other)
{
    return w->coupling->of[row * w->coupling->group + other - w->group];
}

static lutra_status take_parts(sweep *w, lutra_error *error)
{
    const size_t n = w->count;
    double factor[ROWS * ROWS];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            factor[i * n + j] = w->own[i * n + j] = (double)coupling_of(w, w->first + i, w->first + j);
    const lutra_status status = lutra_cholesky(factor, n, w->s->pool, error);
    for (size_t j = 0; j < w->group_count && status == LUTRA_OK; j++) {
        const size_t other = w->group + j;
        const bool within = other >= w->first && other < w->first + n;
        double x[ROWS];
        for (size_t i = 0; i < n; i++)
            x[i] = within ? 0 : (double)coupling_of(w, w->first + i, other);
        lutra_cholesky_solve(factor, n, x);
        for (size_t i = 0; i < n; i++)
            w->parts[i * w->coupling->group + j] = (float)x[i];
    }
    return status;
}

static void take_target(void *sweep_, size_t task, size_t worker)
{
    const sweep *w = sweep_;
    const size_t k = w->s->k;
    float *target = w->target + task * k;
    (void)worker;
    memcpy(target, w->s->target + (w->first + task) * k, k * sizeof *target);
    for (size_t j = 0; j < w->group_count; j++) {
        const float part = w->parts[task * w->coupling->group + j];
        const float *error = w->errors + (w->group + j) * k;
        for (size_t i = 0; i < k; i++)
            target[i] += part * error[i];
    }
}

/* The rows of the block as a search of their own. */
static lutra_search search_of(const sweep *w)
{
    lutra_search block = *w->s;
    block.n = w->count;
    block.target = w->target;
    block.scale += w->first;
    block.indices += w->first * block.k;
    block.error += w->first * block.k;
    block.gradient += w->first * block.k;
    block.cost += w->first;
    block.changed += w->first;
    return block;
}

static double cost_of(const sweep *w, const lutra_search *block)
{
    const size_t n = w->count, k = block->k;
    double cost = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)block->error[i * k + l] * (double)block->gradient[j * k + l];
            cost += w->own[i * n + j] * sum;
        }
    return cost;
}

static lutra_status decide_block(sweep *w, lutra_error *error)
{
    const lutra_status status = take_parts(w, error);
    if (status)
        return status;
    lutra_search block = search_of(w);
    const size_t n = w->count * block.k;
    lutra_thread_pool_run(block.pool, w->count, take_target, w);
    lutra_search_measure(&block);
    const double before = cost_of(w, &block);
    memcpy(w->indices, block.indices, n);
    lutra_feedback(&block, 1);
    lutra_search_measure(&block);
    lutra_descend(&block);
    if (!(cost_of(w, &block) < before))
        memcpy(block.indices, w->indices, n);
    block.target = w->s->target + w->first * block.k;
    lutra_search_take_errors(&block);
    memcpy(w->errors + w->first * block.k, block.error, n * sizeof *w->errors);
    return LUTRA_OK;
}

static lutra_status decide_all(sweep *w, lutra_error *error)
{
    const size_t n = w->s->n, group = w->coupling->group;
    lutra_status status = LUTRA_OK;
    for (w->first = 0; w->first < n && status == LUTRA_OK; w->first += w->count) {
        w->group = w->first / group * group;
        w->group_count = n - w->group < group ? n - w->group : group;
        const size_t left = w->group + w->group_count - w->first;
        w->count = left < ROWS ? left : ROWS;
        status = decide_block(w, error);
    }
    return status;
}

lutra_status lutra_search_couple(lutra_search *s, const lutra_coupling *coupling, lutra_error *error)
{
    static const char what[] = "the search for indices";
    sweep w = {.s = s, .coupling = coupling};
    lutra_status status;
    if ((status = lutra_allocate(s->n * s->k, sizeof *w.errors, what, &w.errors, error)) ||
        (status = lutra_allocate(ROWS * s->k, sizeof *w.target, what, &w.target, error)) ||
        (status = lutra_allocate(ROWS * s->k, 1, what, &w.indices, error)) ||
        (status = lutra_allocate(ROWS * coupling->group, sizeof *w.parts, what, &w.parts, error)))
        goto cleanup;
    lutra_search_take_errors(s);
    memcpy(w.errors, s->error, s->n * s->k * sizeof *w.errors);
    for (int i = 0; i < SWEEPS && status == LUTRA_OK; i++)
        status = decide_all(&w, error);
    lutra_search_measure(s);
cleanup:
    free(w.errors);
    free(w.target);
    free(w.indices);
    free(w.parts);
    return status;
}
