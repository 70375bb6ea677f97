/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/search.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "cluster/assign.h"
#include "kernels/gemm/gemm.h"

#define BLOCK LUTRA_SEARCH_BLOCK
#define ROWS_PER_TASK 8

lutra_status lutra_search_create(lutra_search *s, size_t n, size_t k, size_t n_threads, lutra_error *error)
{
    static const char what[] = "the search for indices";
    const size_t longest = k > BLOCK ? k : BLOCK;
    lutra_status status;
    s->n = n;
    s->k = k;
    if ((status = lutra_allocate(n, sizeof(float), what, &s->scale, error)) ||
        (status = lutra_allocate(n * k, 1, what, &s->indices, error)) ||
        (status = lutra_allocate(n * k, sizeof(float), what, &s->error, error)) ||
        (status = lutra_allocate(n * k, sizeof(float), what, &s->gradient, error)) ||
        (status = lutra_allocate(n, sizeof(double), what, &s->cost, error)) ||
        (status = lutra_allocate(n, sizeof(size_t), what, &s->changed, error)) ||
        (status = lutra_allocate(BLOCK * k, sizeof(float), what, &s->block, error)) ||
        (status = lutra_allocate(n * BLOCK, sizeof(float), what, &s->sums, error)))
        return status;
    return lutra_allocate(lutra_gemm_f32_scratch(longest, n_threads), 1, what, &s->scratch, error);
}

void lutra_search_free(lutra_search *s)
{
    free(s->scale);
    free(s->indices);
    free(s->error);
    free(s->gradient);
    free(s->cost);
    free(s->changed);
    free(s->block);
    free(s->sums);
    free(s->scratch);
}

double lutra_search_cost(const lutra_search *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->cost[i];
    return sum;
}

/* ---- assignment with error feedback --------------------------------------------------------------- */

typedef struct pass {
    lutra_search *s;
    lutra_nearest nearest;
    size_t first, end;          /* the block's places */
    float factor;               /* of the scales */
    float turned[BLOCK][BLOCK]; /* for feedback: the factor's columns in the block */
} pass;

static void decide_row(const pass *p, size_t row)
{
    lutra_search *s = p->s;
    const size_t width = p->end - p->first;
    const float scale = s->scale[row] * p->factor;
    const float *target = s->target + row * s->k + p->first;
    float *sums = s->sums + row * BLOCK, *error = s->error + row * s->k + p->first;
    uint8_t *indices = s->indices + row * s->k + p->first;
    double cost = 0;
    for (size_t r = width; r-- > 0;) {
        const float wanted = target[r] + sums[r];
        indices[r] = 0;
        if (scale > 0)
            lutra_nearest_of_row(&p->nearest, &wanted, 1, (double)scale, &indices[r]);
        const float decoded = scale * s->codebook.entries[indices[r]];
        const double off = (double)wanted - (double)decoded;
        cost += s->norm->pivot[p->first + r] * off * off;
        error[r] = target[r] - decoded;
        for (size_t i = 0; i < r; i++)
            sums[i] += p->turned[r][i] * error[r];
    }
    s->cost[row] += cost;
}

static void decide_rows(void *pass_, size_t task, size_t worker)
{
    const pass *p = pass_;
    (void)worker;
    for (size_t row = task * ROWS_PER_TASK; row < (task + 1) * ROWS_PER_TASK && row < p->s->n; row++)
        decide_row(p, row);
}

/* What the errors at the places from `end` on ask of those in the block. */
static void gather_errors(const pass *p)
{
    lutra_search *s = p->s;
    const size_t width = p->end - p->first, left = s->k - p->end;
    if (left == 0) {
        memset(s->sums, 0, s->n * BLOCK * sizeof *s->sums);
        return;
    }
    for (size_t r = 0; r < width; r++)
        memcpy(s->block + r * left, s->norm->factor + (p->first + r) * s->k + p->end, left * sizeof(float));
    const lutra_matrix weights = {.n = width, .k = left, .dense = s->block, .dtype = LUTRA_F32};
    const lutra_gemm gemm = {
        .m = s->n, .weights = &weights, .a = s->error + p->end, .lda = s->k, .c = s->sums, .ldc = BLOCK};
    lutra_gemm_f32(s->kernels, s->pool, &gemm, s->scratch);
}

static size_t n_tasks(const lutra_search *s)
{
    return lutra_divide_up(s->n, ROWS_PER_TASK);
}

void lutra_feedback(lutra_search *s, float factor)
{
    pass p = {.s = s, .factor = factor};
    lutra_nearest_prepare(&p.nearest, s->codebook.entries, s->codebook.n_clusters);
    memset(s->cost, 0, s->n * sizeof *s->cost);
    for (p.end = s->k; p.end > 0; p.end = p.first) {
        p.first = p.end > BLOCK ? p.end - BLOCK : 0;
        for (size_t i = p.first; i < p.end; i++)
            for (size_t r = p.first; r < p.end; r++)
                p.turned[r - p.first][i - p.first] = s->norm->factor[i * s->k + r];
        gather_errors(&p);
        lutra_thread_pool_run(s->pool, n_tasks(s), decide_rows, &p);
    }
}

/* ---- measuring ------------------------------------------------------------------------------------ */

static void take_errors(void *pass_, size_t task, size_t worker)
{
    lutra_search *s = ((const pass *)pass_)->s;
    (void)worker;
    for (size_t row = task * ROWS_PER_TASK; row < (task + 1) * ROWS_PER_TASK && row < s->n; row++)
        for (size_t i = row * s->k; i < (row + 1) * s->k; i++)
            s->error[i] = s->target[i] - s->scale[row] * s->codebook.entries[s->indices[i]];
}

static void take_costs(void *pass_, size_t task, size_t worker)
{
    lutra_search *s = ((const pass *)pass_)->s;
    (void)worker;
    for (size_t row = task * ROWS_PER_TASK; row < (task + 1) * ROWS_PER_TASK && row < s->n; row++) {
        double sum[4] = {0};
        for (size_t i = 0; i < s->k; i++)
            sum[i % 4] += (double)s->error[row * s->k + i] * (double)s->gradient[row * s->k + i];
        s->cost[row] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
}

void lutra_search_take_errors(lutra_search *s)
{
    pass p = {.s = s};
    lutra_thread_pool_run(s->pool, n_tasks(s), take_errors, &p);
}

void lutra_search_measure(lutra_search *s)
{
    pass p = {.s = s};
    const lutra_matrix moment = {.n = s->k, .k = s->k, .dense = s->norm->moment, .dtype = LUTRA_F32};
    const lutra_gemm gemm = {
        .m = s->n, .weights = &moment, .a = s->error, .lda = s->k, .c = s->gradient, .ldc = s->k};
    lutra_search_take_errors(s);
    lutra_gemm_f32(s->kernels, s->pool, &gemm, s->scratch);
    lutra_thread_pool_run(s->pool, n_tasks(s), take_costs, &p);
}

/* ---- coordinate descent --------------------------------------------------------------------------- */

static void improve_row(const pass *p, size_t row)
{
    lutra_search *s = p->s;
    const size_t k = s->k, width = p->end - p->first;
    const float scale = s->scale[row];
    float *gradient = s->gradient + row * k + p->first, *moves = s->sums + row * BLOCK;
    float *error = s->error + row * k + p->first;
    uint8_t *indices = s->indices + row * k + p->first;
    memset(moves, 0, BLOCK * sizeof *moves);
    for (size_t j = 0; j < width && scale > 0; j++) {
        const float *moment = s->norm->moment + (p->first + j) * k + p->first;
        const float decoded = scale * s->codebook.entries[indices[j]];
        const float wanted = decoded + gradient[j] / moment[j];
        uint8_t index;
        lutra_nearest_of_row(&p->nearest, &wanted, 1, (double)scale, &index);
        if (index == indices[j])
            continue;
        const float move = scale * s->codebook.entries[index] - decoded;
        indices[j] = index;
        moves[j] = -move;
        error[j] -= move;
        for (size_t i = 0; i < width; i++)
            gradient[i] -= move * moment[i];
        s->changed[row]++;
    }
}

static void improve_rows(void *pass_, size_t task, size_t worker)
{
    const pass *p = pass_;
    (void)worker;
    for (size_t row = task * ROWS_PER_TASK; row < (task + 1) * ROWS_PER_TASK && row < p->s->n; row++)
        improve_row(p, row);
}

/* Brings the moves of a block into the gradient of all other places. */
static void spread_moves(const pass *p)
{
    lutra_search *s = p->s;
    const size_t k = s->k, width = p->end - p->first;
    const size_t sides[2][2] = {{0, p->first}, {p->end, k}};
    for (size_t side = 0; side < 2; side++) {
        const size_t first = sides[side][0], n = sides[side][1] - first;
        if (n == 0)
            continue;
        for (size_t i = 0; i < n; i++)
            memcpy(s->block + i * width, s->norm->moment + (first + i) * k + p->first, width * sizeof(float));
        const lutra_matrix moment = {.n = n, .k = width, .dense = s->block, .dtype = LUTRA_F32};
        const lutra_gemm gemm = {.m = s->n,
                                 .weights = &moment,
                                 .a = s->sums,
                                 .lda = BLOCK,
                                 .c = s->gradient + first,
                                 .ldc = k,
                                 .residual = s->gradient + first,
                                 .ldr = k};
        lutra_gemm_f32(s->kernels, s->pool, &gemm, s->scratch);
    }
}

size_t lutra_descend(lutra_search *s)
{
    pass p = {.s = s};
    size_t n_changed = 0;
    memset(s->changed, 0, s->n * sizeof *s->changed);
    lutra_nearest_prepare(&p.nearest, s->codebook.entries, s->codebook.n_clusters);
    for (p.end = s->k; p.end > 0; p.end = p.first) {
        p.first = p.end > BLOCK ? p.end - BLOCK : 0;
        lutra_thread_pool_run(s->pool, n_tasks(s), improve_rows, &p);
        spread_moves(&p);
    }
    for (size_t i = 0; i < s->n; i++)
        n_changed += s->changed[i];
    lutra_thread_pool_run(s->pool, n_tasks(s), take_costs, &p);
    return n_changed;
}
