/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/width_loss.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "compress/calibration.h"
#include "compress/cluster_config.h"
#include "compress/source.h"
#include "model/steps.h"

#define N_PICTURES 64 /* half of them calibrate, the others judge */

static const size_t measured_clusters[LUTRA_N_WIDTH_LOSSES] = {4, 8, 16, 64};

typedef struct measurement {
    const lutra_model *model;
    lutra_cluster_options options; /* with the pictures that are used */
    lutra_job *job;
    lutra_thread_pool *pool;
    lutra_calibration *calibration; /* of the dense model, on its way through it */
    uint8_t *pixels;                /* [pictures][height][width][3] */
    float *before;                  /* [arena] the activations that the matrix at hand is multiplied with */
    float *weights;                 /* [n][k] of the largest matrix, clustered */
    uint8_t *indices;               /* [n][k] */
    float *scale, *bias;            /* [n] of the highest */
} measurement;

/* Evenly, in turns to calibrate on and to judge on: pictures come in the order of their names, which often is
 * that of their classes. */
static lutra_status take_pictures(measurement *m, lutra_error *error)
{
    const uint8_t *from = m->options.calibration_pixels;
    const size_t n_all = m->options.n_calibration_pictures, n = n_all < N_PICTURES ? n_all : N_PICTURES,
                 n_judge = n / 2, bytes = lutra_model_get_info(m->model)->input_bytes;
    if (n_judge == 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "sensitivities need two calibration pictures at least");
    lutra_status status = lutra_allocate(n, bytes, "pictures", &m->pixels, error);
    for (size_t i = 0; i < n && status == LUTRA_OK; i++) {
        const size_t to = i % 2 ? n - n_judge + i / 2 : i / 2;
        memcpy(m->pixels + to * bytes, from + i * n_all / n * bytes, bytes);
    }
    m->options.calibration_pixels = m->pixels;
    m->options.n_calibration_pictures = n - n_judge;
    m->options.n_validation_pictures = n_judge;
    return status;
}

static lutra_status prepare(measurement *m, lutra_error *error)
{
    size_t most_weights = 0, most_rows = 0, n_floats;
    lutra_status status = take_pictures(m, error);
    if (status)
        return status;
    for (size_t i = 0; i < lutra_model_n_matrices(m->model); i++) {
        const lutra_matrix *matrix = &lutra_model_matrix(m->model, i)->matrix;
        most_weights = matrix->n * matrix->k > most_weights ? matrix->n * matrix->k : most_weights;
        most_rows = matrix->n > most_rows ? matrix->n : most_rows;
    }
    if ((status = lutra_calibration_create(m->model, &m->options, m->job, m->pool, &m->calibration, error)))
        return status;
    lutra_context_arena(m->calibration->context, &n_floats);
    if ((status = lutra_allocate(n_floats, sizeof(float), "activations", &m->before, error)) ||
        (status = lutra_allocate(most_weights, sizeof(float), "a decoded matrix", &m->weights, error)) ||
        (status = lutra_allocate(most_weights, 1, "a matrix's indices", &m->indices, error)) ||
        (status = lutra_allocate(most_rows, sizeof(float), "a matrix's scales", &m->scale, error)))
        return status;
    return lutra_allocate(most_rows, sizeof(float), "a bias", &m->bias, error);
}

static void release(measurement *m)
{
    lutra_calibration_free(m->calibration);
    free(m->pixels);
    free(m->before);
    free(m->weights);
    free(m->indices);
    free(m->scale);
    free(m->bias);
}

/* The matrix clustered for the inputs that were gathered -> m->weights; its bias, or that of the model where
 * it has one of its own -> m->bias. */
static lutra_status cluster(measurement *m, const lutra_product *product, size_t n_clusters,
                            lutra_error *error)
{
    const lutra_calibration *c = m->calibration;
    const lutra_row_source source = lutra_source_of(product->weight);
    const lutra_clustering_options options = {.n_clusters = n_clusters,
                                              .per_row = m->options.scope == LUTRA_SCOPE_ROW,
                                              .i8_grid = lutra_codebook_is_i8(&m->options, n_clusters)};
    const lutra_calibration_job job = {.source = &source,
                                       .moments = &c->moments,
                                       .options = &options,
                                       .has_bias = c->has_bias,
                                       .quick = true,
                                       .kernels = c->kernels,
                                       .pool = m->pool};
    lutra_clustering clustering = {.indices = m->indices, .scale = m->scale};
    const lutra_status status = lutra_cluster_calibrated(&job, &clustering, m->bias, error);
    if (status)
        return lutra_job_name_tensor(m->model, product->weight->name, status, error);
    lutra_decode_clustering(&clustering, source.n, source.k, options.per_row, m->weights);
    for (size_t row = 0; row < source.n && product->bias; row++)
        m->bias[row] += product->bias[row];
    return LUTRA_OK;
}

/* The KL with the clustered matrix, from the activations before its product on. */
static double run_from_here(measurement *m, const lutra_product *product)
{
    const lutra_calibration *c = m->calibration;
    const lutra_matrix *dense = &product->weight->matrix;
    const lutra_matrix decoded = {.n = dense->n, .k = dense->k, .dense = m->weights, .dtype = LUTRA_F32};
    size_t n_floats;
    float *arena = lutra_context_arena(c->context, &n_floats);
    memcpy(arena, m->before, n_floats * sizeof *arena);
    lutra_context_step(c->context, c->step, c->pixels, c->n_all, &decoded, product->bias ? m->bias : NULL);
    for (size_t step = c->step + 1; step < lutra_model_n_steps(m->model); step++)
        lutra_context_step(c->context, step, c->pixels, c->n_all, NULL, NULL);
    const lutra_rows logits = lutra_context_logits(c->context, c->n_all);
    return lutra_outputs_kl(&c->dense, &logits, c->n_pictures);
}

static lutra_status measure_matrix(measurement *m, size_t index, lutra_tensor_report *tensor,
                                   lutra_error *error)
{
    lutra_calibration *c = m->calibration;
    lutra_product product;
    size_t n_floats;
    float *arena = lutra_context_arena(c->context, &n_floats);
    lutra_status status = lutra_calibration_reach(c, index, error);
    if (status)
        return status;
    lutra_context_product(c->context, c->step, c->n_all, &product);
    memcpy(m->before, arena, n_floats * sizeof *arena);
    for (size_t i = 0; i < LUTRA_N_WIDTH_LOSSES; i++) {
        const size_t n_clusters = measured_clusters[i];
        if ((status = cluster(m, &product, n_clusters, error)))
            return status;
        tensor->sensitivity[i] =
            (lutra_width_loss){.n_clusters = n_clusters, .kl = run_from_here(m, &product)};
        if ((status = lutra_job_advance(m->job, product.weight->name, 1, error)))
            return status;
    }
    tensor->is_measured = true;
    memcpy(arena, m->before, n_floats * sizeof *arena);
    return LUTRA_OK;
}

lutra_status lutra_measure_width_losses(const lutra_model *model, const lutra_cluster_options *options,
                                        lutra_job *job, lutra_thread_pool *pool, lutra_tensor_report *tensors,
                                        lutra_error *error)
{
    measurement m = {.model = model, .options = *options, .job = job, .pool = pool};
    job->done = 0;
    job->total = lutra_model_n_matrices(model) * LUTRA_N_WIDTH_LOSSES;
    lutra_status status = prepare(&m, error);
    for (size_t i = 0; i < lutra_model_n_matrices(model) && status == LUTRA_OK; i++)
        status = measure_matrix(&m, i, &tensors[i], error);
    release(&m);
    return status;
}
