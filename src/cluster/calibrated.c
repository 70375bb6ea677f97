/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/calibrated.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cluster/assign.h"
#include "cluster/search.h"

/* A round begins anew with feedback, for the codebook that the round before has left; it is worth another
 * while it lowers the cost by more than this part. */
#define MAX_ROUNDS 4
#define WORTHWHILE 1e-3
#define N_DESCENTS 4 /* in a round, each with a refit */
#define N_SCALES 9   /* of each row, about the one it has */
#define FIRST_SPREAD 0.2
#define SPREAD 0.1

/* A state of the search to come back to. */
typedef struct best {
    lutra_codebook codebook;
    float *scale;
    uint8_t *indices;
    double cost; /* infinite: there is none */
} best;

typedef struct state {
    const lutra_calibration_job *job;
    lutra_quadratic norm;
    lutra_search search;
    best best;
    float *target; /* [n][k] */
    float *rows;   /* [threads][k] */
} state;

/* The weights by place. */
static void read_target_row(void *state_, size_t row, size_t worker)
{
    const state *st = state_;
    const lutra_row_source *source = st->job->source;
    float *w = st->rows + worker * source->k;
    source->read(source->matrix, row, w);
    for (size_t i = 0; i < source->k; i++)
        st->target[row * source->k + i] = w[st->norm.order[i]];
}

static lutra_status prepare(state *st, lutra_error *error)
{
    static const char what[] = "a matrix's calibration";
    const lutra_calibration_job *job = st->job;
    const size_t n = job->source->n, k = job->source->k, n_threads = lutra_thread_pool_size(job->pool);
    lutra_status status;
    st->search.kernels = job->kernels;
    st->search.pool = job->pool;
    st->search.norm = &st->norm;
    st->search.per_row = job->options->per_row;
    if ((status = lutra_quadratic_create(job->moments, job->has_bias, job->pool, &st->norm, error)) ||
        (status = lutra_search_create(&st->search, n, k, n_threads, error)) ||
        (status = lutra_allocate(n * k, sizeof(float), what, &st->target, error)) ||
        (status = lutra_allocate(n_threads * k, sizeof(float), what, &st->rows, error)) ||
        (status = lutra_allocate(n, sizeof(float), what, &st->best.scale, error)) ||
        (status = lutra_allocate(n * k, 1, what, &st->best.indices, error)))
        return status;
    st->search.target = st->target;
    lutra_thread_pool_run(job->pool, n, read_target_row, st);
    return LUTRA_OK;
}

/* Codebook, indices and scales that fit the weights best, whatever the inputs. */
static lutra_status fit_weights(const lutra_calibration_job *job, lutra_clustering *clustering,
                                lutra_error *error)
{
    if (!job->shared)
        return lutra_cluster_matrix(job->source, job->options, job->pool, clustering, error);
    clustering->codebook = *job->shared;
    return lutra_cluster_assign(job->source, job->shared, job->pool, clustering, error);
}

static lutra_status start(state *st, lutra_error *error)
{
    lutra_clustering clustering = {.indices = st->search.indices, .scale = st->search.scale};
    const lutra_status status = fit_weights(st->job, &clustering, error);
    st->search.codebook = clustering.codebook;
    for (size_t row = 1; row < st->search.n && !st->search.per_row; row++)
        st->search.scale[row] = st->search.scale[0];
    return status;
}

static bool keep_if_better(state *st)
{
    const lutra_search *s = &st->search;
    const double cost = lutra_search_cost(s);
    if (!(cost < st->best.cost)) /* as where it is NaN */
        return false;
    const bool much = cost < st->best.cost * (1 - WORTHWHILE);
    st->best.cost = cost;
    st->best.codebook = s->codebook;
    memcpy(st->best.scale, s->scale, s->n * sizeof *s->scale);
    memcpy(st->best.indices, s->indices, s->n * s->k);
    return much;
}

/* The scale of each row, of several about the one it has, with which feedback costs least. */
static lutra_status search_scales(state *st, double spread, lutra_error *error)
{
    lutra_search *s = &st->search;
    double *least = NULL;
    float *factor = NULL;
    const double most = lutra_largest_scale(s->codebook.entries, s->codebook.n_clusters);
    lutra_status status;
    if ((status = lutra_allocate(s->n, sizeof *least, "scales", &least, error)) ||
        (status = lutra_allocate(s->n, sizeof *factor, "scales", &factor, error)))
        goto cleanup;
    for (size_t row = 0; row < s->n; row++) {
        least[row] = INFINITY;
        factor[row] = 1;
    }
    for (int i = 0; i < N_SCALES; i++) {
        const float tried = (float)(1 + spread * (2.0 * i / (N_SCALES - 1) - 1));
        lutra_feedback(s, tried);
        for (size_t row = 0; row < s->n; row++)
            if (s->cost[row] < least[row] && (double)(s->scale[row] * tried) <= most) {
                least[row] = s->cost[row];
                factor[row] = tried;
            }
    }
    for (size_t row = 0; row < s->n; row++)
        s->scale[row] *= factor[row];
cleanup:
    free(least);
    free(factor);
    return status;
}

static lutra_status improve(state *st, lutra_error *error)
{
    lutra_search *s = &st->search;
    const bool fit = !st->job->shared;
    lutra_status status = LUTRA_OK;
    bool better = true;
    if (st->job->quick) {
        lutra_feedback(s, 1);
        lutra_search_measure(s);
        keep_if_better(st);
        return LUTRA_OK;
    }
    for (int round = 0; round < MAX_ROUNDS && better && status == LUTRA_OK; round++) {
        if (s->per_row)
            status = search_scales(st, round == 0 ? FIRST_SPREAD : SPREAD, error);
        lutra_feedback(s, 1);
        lutra_search_measure(s);
        better = keep_if_better(st);
        for (int i = 0; i < N_DESCENTS && status == LUTRA_OK; i++) {
            lutra_descend(s);
            if (fit)
                status = lutra_refit(s, error);
            better = keep_if_better(st) || better;
        }
        better = better && fit;
    }
    return status;
}

/* From the best state on, which was found with each row for itself. */
static lutra_status couple(state *st, lutra_error *error)
{
    lutra_search *s = &st->search;
    s->codebook = st->best.codebook;
    memcpy(s->scale, st->best.scale, s->n * sizeof *s->scale);
    memcpy(s->indices, st->best.indices, s->n * s->k);
    const lutra_status status = lutra_search_couple(s, st->job->coupling, error);
    memcpy(st->best.indices, s->indices, s->n * s->k);
    st->best.cost = lutra_search_cost(s);
    return status;
}

/* By input again; errors in the plain norm for the report. */
static void finish_row(state *st, size_t row, lutra_clustering *clustering, float *w, float *shift)
{
    const lutra_calibration_job *job = st->job;
    const lutra_moments *m = job->moments;
    const size_t k = job->source->k;
    const double weight = m->weight;
    const float scale = st->best.scale[row];
    uint8_t *indices = clustering->indices + row * k;
    double mean = 0, square = 0;
    job->source->read(job->source->matrix, row, w);
    for (size_t i = 0; i < k; i++)
        indices[st->norm.order[i]] = st->best.indices[row * k + i];
    for (size_t i = 0; i < k; i++) {
        const double decoded = (double)(scale * st->best.codebook.entries[indices[i]]);
        mean += ((double)w[i] - decoded) * m->first[i] / weight;
        square += (double)w[i] * (double)w[i];
    }
    shift[row] = job->has_bias && fabs(mean) <= (double)FLT_MAX ? (float)mean : 0;
    clustering->squared_weight += square;
    clustering->squared_error += lutra_row_error(st->best.codebook.entries, w, indices, k, scale);
    if (job->options->per_row || row == 0)
        clustering->scale[row] = scale;
}

/* Where numbers were too large to tell what the outputs cost, the best cost stays infinite. */
static lutra_status fit_outputs(state *st, lutra_clustering *clustering, lutra_error *error)
{
    lutra_status status = prepare(st, error);
    if (status)
        return status;
    lutra_search_measure(&st->search); /* with every scale 0, the error is the weight */
    clustering->squared_output = lutra_search_cost(&st->search);
    if (!isfinite(clustering->squared_output))
        return LUTRA_OK;
    if ((status = start(st, error)) || (status = improve(st, error)))
        return status;
    return st->job->coupling && isfinite(st->best.cost) ? couple(st, error) : LUTRA_OK;
}

static void finish(state *st, lutra_clustering *clustering, float *shift)
{
    clustering->squared_output_error = st->best.cost;
    clustering->codebook = st->best.codebook;
    clustering->squared_error = clustering->squared_weight = 0;
    for (size_t row = 0; row < st->job->source->n; row++)
        finish_row(st, row, clustering, st->rows, shift);
}

lutra_status lutra_cluster_calibrated(const lutra_calibration_job *job, lutra_clustering *clustering,
                                      float *shift, lutra_error *error)
{
    state st = {.job = job, .best.cost = INFINITY};
    lutra_status status = LUTRA_OK;
    if (lutra_moments_are_finite(job->moments))
        status = fit_outputs(&st, clustering, error);
    if (status == LUTRA_OK && isfinite(st.best.cost)) {
        finish(&st, clustering, shift);
    } else if (status == LUTRA_OK) {
        clustering->squared_output = clustering->squared_output_error = 0;
        memset(shift, 0, job->source->n * sizeof *shift);
        status = fit_weights(job, clustering, error);
    }
    lutra_quadratic_free(&st.norm);
    lutra_search_free(&st.search);
    free(st.target);
    free(st.rows);
    free(st.best.scale);
    free(st.best.indices);
    return status;
}
