/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/width_loss.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "compress/calibration.h"
#include "compress/cluster_config.h"
#include "compress/source.h"
#include "model/steps.h"

#define N_JUDGING 32 /* half of few */

static const size_t measured_clusters[LUTRA_N_WIDTH_LOSSES] = {4, 8, 16, 64};

typedef struct measurement {
    const lutra_model *model;
    lutra_cluster_options options; /* with the pictures that calibrate */
    lutra_job *job;
    lutra_thread_pool *pool;
    lutra_calibration *calibration; /* of the dense model, on its way through it */
    lutra_context *context;         /* of the dense model with the pictures that judge, */
    size_t step;                    /* before this one */
    lutra_outputs dense;
    uint8_t *pixels; /* [pictures][height][width][3] those that calibrate, */
    uint8_t *judges; /* [n_judges] and within them, those that judge */
    size_t n_judges;
    float *before;       /* [arena] the activations that the matrix at hand is multiplied with */
    float *weights;      /* [n][k] of the largest matrix, clustered */
    uint8_t *indices;    /* [n][k] */
    float *scale, *bias; /* [n] of the highest */
} measurement;

/* Those that judge are taken evenly: pictures come in the order of their names, which often is that of their
 * classes. All others calibrate. */
static lutra_status take_pictures(measurement *m, lutra_error *error)
{
    const uint8_t *from = m->options.calibration_pixels;
    const size_t n = m->options.n_calibration_pictures, bytes = lutra_model_get_info(m->model)->input_bytes;
    m->n_judges = n / 2 < N_JUDGING ? n / 2 : N_JUDGING;
    if (m->n_judges == 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "sensitivities need two calibration pictures at least");
    lutra_status status = lutra_allocate(n, bytes, "pictures", &m->pixels, error);
    if (status)
        return status;
    uint8_t *to = m->pixels, *judge = m->judges = m->pixels + (n - m->n_judges) * bytes;
    for (size_t i = 0; i < n; i++) {
        const bool judges = (i + 1) * m->n_judges / n > i * m->n_judges / n;
        uint8_t **place = judges ? &judge : &to;
        memcpy(*place, from + i * bytes, bytes);
        *place += bytes;
    }
    m->options.calibration_pixels = m->pixels;
    m->options.n_calibration_pictures = n - m->n_judges;
    m->options.n_validation_pictures = 0;
    m->options.budget_unit = LUTRA_BUDGET_NONE; /* the outputs of those that calibrate are not asked for */
    return LUTRA_OK;
}

static lutra_status run_dense(measurement *m, lutra_error *error)
{
    const lutra_context_options options = {
        .n_threads = lutra_thread_pool_size(m->pool), .max_batch = m->n_judges, .mode = LUTRA_MODE_F32};
    lutra_status status;
    if ((status = lutra_context_create(m->model, &options, &m->context, error)) ||
        (status = lutra_job_run_steps(m->job, m->model, m->context, 0, m->judges, m->n_judges, error)))
        return status;
    const lutra_rows logits = lutra_context_logits(m->context, m->n_judges);
    const lutra_model_info *info = lutra_model_get_info(m->model);
    return lutra_outputs_keep(&m->dense, &logits, info->n_classes, info->path, error);
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
    if ((status = lutra_calibration_create(m->model, &m->options, m->job, m->pool, &m->calibration, error)) ||
        (status = run_dense(m, error)))
        return status;
    lutra_context_arena(m->context, &n_floats);
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
    lutra_context_free(m->context);
    lutra_outputs_free(&m->dense);
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
    lutra_calibration_round_shift(c, product, m->bias);
    for (size_t row = 0; row < source.n && product->bias; row++)
        m->bias[row] += product->bias[row];
    return LUTRA_OK;
}

/* One step of those that judge, with the model's weights where `weight` is NULL. */
static void step(measurement *m, size_t index, const lutra_matrix *weight, const float *bias)
{
    lutra_context_step(m->context, index, m->judges, m->n_judges, weight, bias);
}

/* The KL with the clustered matrix, from the activations before its product on. */
static double run_from_here(measurement *m, const lutra_product *product)
{
    const lutra_matrix *dense = &product->weight->matrix;
    const lutra_matrix decoded = {.n = dense->n, .k = dense->k, .dense = m->weights, .dtype = LUTRA_F32};
    size_t n_floats;
    float *arena = lutra_context_arena(m->context, &n_floats);
    memcpy(arena, m->before, n_floats * sizeof *arena);
    step(m, m->step, &decoded, product->bias ? m->bias : NULL);
    for (size_t i = m->step + 1; i < lutra_model_n_steps(m->model); i++)
        step(m, i, NULL, NULL);
    const lutra_rows logits = lutra_context_logits(m->context, m->n_judges);
    return lutra_outputs_kl(&m->dense, &logits, 0);
}

static lutra_status measure_matrix(measurement *m, size_t index, lutra_tensor_report *tensor,
                                   lutra_error *error)
{
    lutra_calibration *c = m->calibration;
    lutra_product product;
    size_t n_floats;
    float *arena = lutra_context_arena(m->context, &n_floats);
    lutra_status status = lutra_calibration_reach(c, index, error);
    if (status)
        return status;
    lutra_context_product(c->context, c->step, c->n_all, &product);
    for (; m->step < c->step; m->step++)
        step(m, m->step, NULL, NULL);
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
