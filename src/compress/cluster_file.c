/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "compress/cluster_config.h"
#include "compress/cluster_output.h"

typedef struct cluster_job {
    lutra_job job;
    const lutra_cluster_options *options;
    lutra_model *model;
    lutra_thread_pool *pool;
    size_t *n_clusters; /* [n_matrices] */
    lutra_cluster_output output;
    lutra_calibration *calibration; /* NULL without pictures */
    lutra_codebook codebook;        /* scope model */
    uint8_t *indices;               /* of the largest matrix */
    float *scale;                   /* of the highest */
    lutra_cluster_report *report;
} cluster_job;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void read_f32_row(const void *matrix_, size_t row, float *out)
{
    const lutra_matrix *matrix = matrix_;
    memcpy(out, (const uint8_t *)matrix->dense + row * matrix->k * sizeof(float), matrix->k * sizeof(float));
}

static void read_any_row(const void *matrix, size_t row, float *out)
{
    lutra_matrix_row(matrix, row, out);
}

static lutra_row_source source_of(const lutra_named_matrix *named)
{
    const lutra_matrix *matrix = &named->matrix;
    return (lutra_row_source){.n = matrix->n,
                              .k = matrix->k,
                              .read = matrix->dtype == LUTRA_F32 ? read_f32_row : read_any_row,
                              .matrix = matrix};
}

static uint64_t source_bytes(const lutra_named_matrix *named)
{
    return (uint64_t)named->matrix.n * named->matrix.k * lutra_dtype_size(named->dtype);
}

/* ---- clustering ---------------------------------------------------------------------------------- */

static void report_matrix(cluster_job *c, size_t index, const lutra_clustering *clustering)
{
    const lutra_named_matrix *named = lutra_model_matrix(c->model, index);
    lutra_cluster_report *report = c->report;
    lutra_tensor_report *tensor = &report->tensors[index];
    snprintf(tensor->name, sizeof tensor->name, "%s", named->name);
    tensor->n = named->matrix.n;
    tensor->k = named->matrix.k;
    tensor->n_clusters = c->n_clusters[index];
    tensor->bits = lutra_index_bits(tensor->n_clusters);
    tensor->squared_error = clustering->squared_error;
    tensor->squared_weight = clustering->squared_weight;
    tensor->optimality_gap = clustering->codebook.optimality_gap;
    report->n_clustered += (uint64_t)tensor->n * tensor->k;
    report->squared_error += tensor->squared_error;
    report->squared_weight += tensor->squared_weight;
    if (tensor->optimality_gap > report->optimality_gap)
        report->optimality_gap = tensor->optimality_gap;
}

/* The message of a failure that knows nothing of files, with the file and the tensor. */
static lutra_status name_the_tensor(cluster_job *c, const char *name, lutra_status status, lutra_error *error)
{
    char message[sizeof error->message];
    if (!error || status == LUTRA_ERROR_MEMORY)
        return status;
    snprintf(message, sizeof message, "%s", error->message);
    return lutra_fail(error, status, lutra_safetensors_path(lutra_model_file(c->model)), LUTRA_NO_OFFSET,
                      "tensor %s: %s", name, message);
}

/* For the pictures, with the inputs that the matrices clustered so far yield. */
static lutra_status calibrate_matrix(cluster_job *c, size_t index, const lutra_row_source *source,
                                     const lutra_clustering_options *options, lutra_clustering *clustering,
                                     lutra_error *error)
{
    lutra_calibration *calibration = c->calibration;
    lutra_status status = lutra_calibration_reach(calibration, index, error);
    if (status)
        return status;
    const lutra_calibration_job job = {.source = source,
                                       .moments = &calibration->moments,
                                       .options = options,
                                       .shared = c->options->scope == LUTRA_SCOPE_MODEL ? &c->codebook : NULL,
                                       .has_bias = calibration->has_bias,
                                       .kernels = calibration->kernels,
                                       .pool = c->pool};
    status = lutra_cluster_calibrated(&job, clustering, lutra_calibration_shift(calibration, index), error);
    if (status == LUTRA_OK)
        lutra_calibration_replace(calibration, index, clustering, options->per_row);
    return status;
}

static lutra_status cluster_matrix(cluster_job *c, size_t index, const lutra_row_source *source,
                                   const lutra_clustering_options *options, lutra_clustering *clustering,
                                   lutra_error *error)
{
    if (c->calibration)
        return calibrate_matrix(c, index, source, options, clustering, error);
    if (c->options->scope == LUTRA_SCOPE_MODEL)
        return lutra_cluster_assign(source, &c->codebook, c->pool, clustering, error);
    return lutra_cluster_matrix(source, options, c->pool, clustering, error);
}

static lutra_status cluster_one(cluster_job *c, size_t index, lutra_error *error)
{
    const lutra_named_matrix *named = lutra_model_matrix(c->model, index);
    const lutra_row_source source = source_of(named);
    lutra_clustering clustering = {.indices = c->indices, .scale = c->scale};
    const lutra_clustering_options options = {.n_clusters = c->n_clusters[index],
                                              .per_row = c->options->scope == LUTRA_SCOPE_ROW,
                                              .i8_grid =
                                                  lutra_codebook_is_i8(c->options, c->n_clusters[index]),
                                              .exact = c->options->exact};
    lutra_status status = cluster_matrix(c, index, &source, &options, &clustering, error);
    if (status)
        return name_the_tensor(c, named->name, status, error);
    if ((status = lutra_cluster_output_matrix(&c->output, index, &clustering, error)))
        return status;
    report_matrix(c, index, &clustering);
    return lutra_job_advance(&c->job, named->name, source_bytes(named), error);
}

static lutra_status fit_shared_codebook(cluster_job *c, lutra_error *error)
{
    const size_t n = lutra_model_n_matrices(c->model);
    const lutra_clustering_options options = {.n_clusters = c->options->n_clusters,
                                              .exact = c->options->exact};
    lutra_row_source *sources = NULL;
    lutra_status status = lutra_allocate(n, sizeof *sources, "the matrices", &sources, error);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++)
        sources[i] = source_of(lutra_model_matrix(c->model, i));
    status = lutra_cluster_matrices_codebook(sources, n, &options, c->pool, &c->codebook, error);
    free(sources);
    return status ? status : lutra_cluster_output_codebook(&c->output, &c->codebook, error);
}

static lutra_status cluster_all(cluster_job *c, lutra_error *error)
{
    lutra_status status = LUTRA_OK;
    if (c->options->scope == LUTRA_SCOPE_MODEL)
        status = fit_shared_codebook(c, error);
    for (size_t i = 0; i < lutra_model_n_matrices(c->model) && status == LUTRA_OK; i++)
        status = cluster_one(c, i, error);
    return status ? status : lutra_cluster_output_others(&c->output, c->calibration, error);
}

/* ---- the job ------------------------------------------------------------------------------------- */

static lutra_status check_options(const lutra_cluster_options *options, lutra_error *error)
{
    const size_t k = options->n_clusters;
    const bool is_i8 = lutra_codebook_is_i8(options, k);
    if (k < 2 || k > 256)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu clusters: the number must be between 2 and 256", k);
    if (is_i8 && k > 255)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu clusters: a codebook of 8-bit integers has at most 255", k);
    if (is_i8 && options->scope == LUTRA_SCOPE_MODEL)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "one codebook for the whole model (scope model) must be F32");
    if (options->calibration_pixels && options->n_calibration_pictures == 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "no calibration pictures");
    return LUTRA_OK;
}

/* The counts, the report, and what holds one matrix at a time. */
static lutra_status allocate_buffers(cluster_job *c, lutra_error *error)
{
    const size_t n = lutra_model_n_matrices(c->model);
    size_t most_weights = 0, most_rows = 0;
    lutra_status status;
    for (size_t i = 0; i < n; i++) {
        const lutra_matrix *matrix = &lutra_model_matrix(c->model, i)->matrix;
        most_weights = matrix->n * matrix->k > most_weights ? matrix->n * matrix->k : most_weights;
        most_rows = matrix->n > most_rows ? matrix->n : most_rows;
    }
    if ((status = lutra_allocate(n, sizeof *c->n_clusters, "the matrices", &c->n_clusters, error)) ||
        (status = lutra_allocate(most_weights, 1, "a matrix's indices", &c->indices, error)) ||
        (status = lutra_allocate(most_rows, sizeof(float), "a matrix's scales", &c->scale, error)) ||
        (status = lutra_allocate(n, sizeof *c->report->tensors, "the report", &c->report->tensors, error)))
        return status;
    c->report->n_tensors = n;
    for (size_t i = 0; i < n; i++)
        c->n_clusters[i] = c->options->n_clusters;
    return LUTRA_OK;
}

static lutra_status open_all(cluster_job *c, const char *input, const char *output, lutra_error *error)
{
    const size_t n_threads = c->options->n_threads ? c->options->n_threads : lutra_default_threads();
    lutra_status status = lutra_model_open(input, &c->options->model, &c->model, error);
    if (status)
        return status;
    const lutra_model_info *info = lutra_model_get_info(c->model);
    if (info->n_clustered > 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, info->path, LUTRA_NO_OFFSET,
                          "its weights are clustered already; cluster the original, or an export of it");
    c->job.total = info->file_bytes; /* for its hash, and then for its tensors */
    for (size_t i = 0; i < lutra_safetensors_count(lutra_model_file(c->model)); i++)
        c->job.total += lutra_safetensors_at(lutra_model_file(c->model), i)->bytes;
    if ((status = lutra_thread_pool_create(n_threads, &c->pool, error)) ||
        (status = allocate_buffers(c, error)))
        return status;
    if (c->options->calibration_pixels &&
        (status = lutra_calibration_create(c->model, c->options, &c->job, c->pool, &c->calibration, error)))
        return status;
    c->output = (lutra_cluster_output){.model = c->model,
                                       .options = c->options,
                                       .n_clusters = c->n_clusters,
                                       .job = &c->job,
                                       .pool = c->pool};
    return lutra_cluster_output_open(&c->output, output, error);
}

static lutra_status begin(cluster_job *c, lutra_error *error)
{
    char *config = NULL;
    lutra_status status = lutra_cluster_config(&c->job, c->model, c->options, c->n_clusters, &config, error);
    if (status == LUTRA_OK)
        status = lutra_cluster_output_begin(&c->output, config, error);
    free(config);
    return status;
}

static void finish_report(cluster_job *c, double start)
{
    const lutra_model_info *info = lutra_model_get_info(c->model);
    lutra_cluster_report *report = c->report;
    report->bytes_in = info->file_bytes;
    report->bits_per_weight =
        report->n_clustered ? 8.0 * (double)c->output.clustered_bytes / (double)report->n_clustered : 0;
    if (c->options->scope == LUTRA_SCOPE_MODEL)
        report->optimality_gap = c->codebook.optimality_gap;
    report->n_threads = lutra_thread_pool_size(c->pool);
    snprintf(report->arch, sizeof report->arch, "%s", info->arch);
    report->seconds = seconds_now() - start;
}

lutra_status lutra_cluster_file(const char *input, const char *output, const lutra_cluster_options *options,
                                lutra_cluster_report *report, lutra_error *error)
{
    const double start = seconds_now();
    lutra_cluster_report made = {0};
    cluster_job c = {.job = {.progress = options->progress, .user = options->progress_user},
                     .options = options,
                     .report = &made};
    lutra_status status = check_options(options, error);
    if (status || (status = open_all(&c, input, output, error)) || (status = begin(&c, error)) ||
        (status = cluster_all(&c, error)) ||
        (status = lutra_writer_commit(c.output.writer, &made.bytes_out, error)))
        goto cleanup;
    finish_report(&c, start);
    if (report) {
        *report = made;
        made.tensors = NULL;
    }
cleanup:
    lutra_cluster_report_free(&made);
    lutra_calibration_free(c.calibration);
    lutra_cluster_output_close(&c.output);
    lutra_thread_pool_free(c.pool);
    free(c.n_clusters);
    free(c.indices);
    free(c.scale);
    lutra_model_close(c.model);
    return status;
}

void lutra_cluster_report_free(lutra_cluster_report *report)
{
    if (report) {
        free(report->tensors);
        report->tensors = NULL;
        report->n_tensors = 0;
    }
}
