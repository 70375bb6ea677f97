/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "compress/cluster_config.h"
#include "compress/cluster_output.h"
#include "compress/source.h"
#include "compress/spending.h"

typedef struct cluster_job {
    lutra_job job;
    const lutra_cluster_options *options;
    lutra_model *model;
    lutra_thread_pool *pool;
    const char *path;   /* of the output */
    json_t *source;     /* what the output says of it */
    size_t *n_clusters; /* [n_matrices] */
    lutra_spending spending;
    lutra_cluster_output output;
    lutra_calibration *calibration; /* NULL without pictures */
    double kl;                      /* that the last round lost */
    lutra_codebook codebook;        /* scope model */
    uint8_t *indices;               /* of the largest matrix */
    float *scale;                   /* of the highest */
    lutra_cluster_report *report;
} cluster_job;

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
    tensor->squared_output_error = clustering->squared_output_error;
    tensor->squared_output = clustering->squared_output;
    report->n_clustered += (uint64_t)tensor->n * tensor->k;
    report->squared_error += tensor->squared_error;
    report->squared_weight += tensor->squared_weight;
    if (tensor->optimality_gap > report->optimality_gap)
        report->optimality_gap = tensor->optimality_gap;
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
                                       .coupling = lutra_calibration_coupling(calibration),
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
    const lutra_row_source source = lutra_source_of(named);
    lutra_clustering clustering = {.indices = c->indices, .scale = c->scale};
    const lutra_clustering_options options = {.n_clusters = c->n_clusters[index],
                                              .per_row = c->options->scope == LUTRA_SCOPE_ROW,
                                              .i8_grid =
                                                  lutra_codebook_is_i8(c->options, c->n_clusters[index]),
                                              .exact = c->options->exact};
    lutra_status status = cluster_matrix(c, index, &source, &options, &clustering, error);
    if (status)
        return lutra_job_name_tensor(c->model, named->name, status, error);
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
        sources[i] = lutra_source_of(lutra_model_matrix(c->model, i));
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

static lutra_status refuse(lutra_error *error, const char *message)
{
    return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "%s", message);
}

static lutra_status check_budget(const lutra_cluster_options *options, lutra_error *error)
{
    if (options->budget_unit > LUTRA_BUDGET_KL || !(options->budget > 0 && options->budget < INFINITY))
        return refuse(error, "a budget must be a number above 0");
    if (options->budget_unit == LUTRA_BUDGET_BITS && (options->budget < 1 || options->budget > 8))
        return refuse(error, "a budget of bits: the mean index has 1 to 8");
    if (options->scope == LUTRA_SCOPE_MODEL)
        return refuse(error, "a budget gives each matrix its own number of clusters: not for scope model");
    if (!options->calibration_pixels)
        return refuse(error, "a budget needs calibration pictures to measure sensitivities on");
    if (options->budget_unit == LUTRA_BUDGET_KL && !options->n_validation_pictures)
        return refuse(error, "a budget of KL needs validation pictures to measure it on");
    return LUTRA_OK;
}

static lutra_status check_options(const lutra_cluster_options *options, lutra_error *error)
{
    const size_t k = options->budget_unit ? 2 : options->n_clusters;
    const bool is_i8 = lutra_codebook_is_i8(options, k);
    if (k < 2 || k > 256)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu clusters: the number must be between 2 and 256", k);
    if (is_i8 && k > 255)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu clusters: a codebook of 8-bit integers has at most 255", k);
    if (is_i8 && options->scope == LUTRA_SCOPE_MODEL)
        return refuse(error, "one codebook for the whole model (scope model) must be F32");
    if (options->calibration_pixels && options->n_calibration_pictures == 0)
        return refuse(error, "no calibration pictures");
    /* All run in one batch. */
    if (options->calibration_pixels &&
        (options->n_calibration_pictures > LUTRA_MAX_BATCH ||
         options->n_validation_pictures > LUTRA_MAX_BATCH - options->n_calibration_pictures))
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu calibration and %zu validation pictures: at most %d in all",
                          options->n_calibration_pictures, options->n_validation_pictures, LUTRA_MAX_BATCH);
    return options->budget_unit ? check_budget(options, error) : LUTRA_OK;
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
        c->n_clusters[i] = c->options->budget_unit ? 2 : c->options->n_clusters;
    return LUTRA_OK;
}

static lutra_status open_output(cluster_job *c, lutra_error *error)
{
    c->output = (lutra_cluster_output){.model = c->model,
                                       .options = c->options,
                                       .n_clusters = c->n_clusters,
                                       .job = &c->job,
                                       .pool = c->pool};
    return lutra_cluster_output_open(&c->output, c->path, error);
}

static lutra_status open_all(cluster_job *c, const char *input, lutra_error *error)
{
    const size_t n_threads = c->options->n_threads ? c->options->n_threads : lutra_default_threads();
    lutra_status status = lutra_model_open(input, &c->options->model, &c->model, error);
    if (status || (status = lutra_job_check_output(c->model, c->path, error)))
        return status;
    const lutra_model_info *info = lutra_model_get_info(c->model);
    if (info->n_clustered > 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, info->path, LUTRA_NO_OFFSET,
                          "its weights are clustered already; cluster the original, or an export of it");
    if (c->options->budget_unit && info->n_classes == 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, info->path, LUTRA_NO_OFFSET,
                          "has no head: sensitivities, which a budget needs, are measured on its classes");
    c->job.total = info->file_bytes; /* for its hash, and then for its tensors */
    for (size_t i = 0; i < lutra_safetensors_count(lutra_model_file(c->model)); i++)
        c->job.total += lutra_safetensors_at(lutra_model_file(c->model), i)->bytes;
    if ((status = lutra_thread_pool_create(n_threads, &c->pool, error)) ||
        (status = allocate_buffers(c, error)) || (status = open_output(c, error)))
        return status;
    return lutra_describe_source(&c->job, c->model, &c->source, c->report->source_sha256, error);
}

static lutra_status begin(cluster_job *c, lutra_error *error)
{
    char *config = NULL;
    lutra_status status =
        lutra_cluster_config(c->model, c->options, c->n_clusters, c->source, &config, error);
    if (status == LUTRA_OK)
        status = lutra_cluster_output_begin(&c->output, config, error);
    free(config);
    return status;
}

/* Clusters the model as c->n_clusters says, into the output that has begun; may be done again. */
static lutra_status cluster(cluster_job *c, lutra_error *error)
{
    lutra_cluster_report *report = c->report;
    lutra_status status = LUTRA_OK;
    report->n_clustered = 0;
    report->squared_error = report->squared_weight = report->optimality_gap = 0;
    report->n_rounds++;
    lutra_calibration_free(c->calibration);
    c->calibration = NULL;
    if (c->options->calibration_pixels)
        status = lutra_calibration_create(c->model, c->options, &c->job, c->pool, &c->calibration, error);
    if (status == LUTRA_OK)
        status = cluster_all(c, error);
    if (status == LUTRA_OK && c->options->budget_unit)
        status = lutra_calibration_kl(c->calibration, &c->kl, error);
    return status;
}

/* ---- budgets --------------------------------------------------------------------------------------- */

/* Progress counts each round anew. */
static void start_round(cluster_job *c)
{
    const lutra_safetensors *file = lutra_model_file(c->model);
    c->job.done = c->job.total = 0;
    for (size_t i = 0; i < lutra_safetensors_count(file); i++)
        c->job.total += lutra_safetensors_at(file, i)->bytes;
}

/* Begins the smallest file that there is. */
static lutra_status begin_least(cluster_job *c, lutra_error *error)
{
    const lutra_status status = begin(c, error);
    if (status)
        return status;
    const uint64_t least = lutra_writer_bytes(c->output.writer);
    if ((double)least > c->options->budget)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "a budget of %.0f bytes cannot be met: the smallest file, with 1 bit an index "
                          "everywhere, has %llu bytes",
                          c->options->budget, (unsigned long long)least);
    return LUTRA_OK;
}

/* What is no matrix's takes as much as in the smallest file, which was begun, and a little more where numbers
 * of more digits make the header longer. */
static lutra_status spend_bytes(cluster_job *c, lutra_error *error)
{
    const double budget = c->options->budget;
    const lutra_curve *curve = &c->spending.curve;
    double left = budget - (double)(lutra_writer_bytes(c->output.writer) - curve->points[0].bytes);
    lutra_status status;
    do {
        lutra_curve_choose(curve, LUTRA_BUDGET_BYTES, left, c->n_clusters, &c->report->chosen);
        if ((status = lutra_cluster_output_restart(&c->output, error)) || (status = begin(c, error)))
            return status;
        left = fmax(left - LUTRA_ALIGNMENT, (double)curve->points[0].bytes);
    } while ((double)lutra_writer_bytes(c->output.writer) > budget);
    return cluster(c, error);
}

static lutra_status spend_bits(cluster_job *c, lutra_error *error)
{
    lutra_curve_choose(&c->spending.curve, LUTRA_BUDGET_BITS, c->options->budget, c->n_clusters,
                       &c->report->chosen);
    const lutra_status status = begin(c, error);
    return status ? status : cluster(c, error);
}

static lutra_status spend_loss(cluster_job *c, lutra_error *error)
{
    lutra_spending *spending = &c->spending;
    do {
        lutra_status status;
        start_round(c);
        lutra_curve_at(&spending->curve, spending->point, c->n_clusters);
        c->report->chosen = spending->curve.points[spending->point];
        if ((status = lutra_cluster_output_restart(&c->output, error)) || (status = begin(c, error)) ||
            (status = cluster(c, error)))
            return status;
    } while (lutra_spending_next(spending, c->kl));
    if (c->kl <= c->options->budget)
        return LUTRA_OK;
    return lutra_fail(
        error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
        "a KL of %g cannot be met: it is %.3g with %.2f bits an index, and more are not expected "
        "to lower it",
        c->options->budget, c->kl, c->report->chosen.bits);
}

static lutra_status spend(cluster_job *c, lutra_error *error)
{
    lutra_status status;
    if (c->options->budget_unit == LUTRA_BUDGET_BYTES && (status = begin_least(c, error)))
        return status; /* before sensitivities, which may take minutes */
    if ((status = lutra_spending_create(&c->spending, c->model, c->options, c->report->source_sha256, &c->job,
                                        c->pool, c->report->tensors, error)))
        return status;
    start_round(c);
    switch (c->options->budget_unit) {
    case LUTRA_BUDGET_BYTES:
        return spend_bytes(c, error);
    case LUTRA_BUDGET_BITS:
        return spend_bits(c, error);
    default:
        return spend_loss(c, error);
    }
}

/* The curve goes to the report, with the bytes that are no matrix's, and scaled to the loss that was
 * measured. */
static void report_budget(cluster_job *c)
{
    lutra_cluster_report *report = c->report;
    lutra_curve *curve = &c->spending.curve;
    const lutra_cluster_options *options = c->options;
    const uint64_t others = report->bytes_out - report->chosen.bytes;
    const double ratio = report->chosen.kl > 0 ? c->kl / report->chosen.kl : 1;
    report->curve = curve->points;
    report->n_points = curve->n_upgrades + 1;
    curve->points = NULL;
    for (size_t i = 0; i < report->n_points; i++) {
        report->curve[i].bytes += others;
        report->curve[i].kl *= ratio;
    }
    report->chosen.bytes = report->bytes_out;
    report->chosen.kl = c->kl;
    report->loss_is_of_validation = options->n_validation_pictures > 0;
    report->n_loss_pictures =
        report->loss_is_of_validation ? options->n_validation_pictures : options->n_calibration_pictures;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static void finish_report(cluster_job *c, double start)
{
    const lutra_model_info *info = lutra_model_get_info(c->model);
    lutra_cluster_report *report = c->report;
    report->bytes_in = info->file_bytes;
    report->bits_per_weight =
        report->n_clustered ? 8.0 * (double)c->output.clustered_bytes / (double)report->n_clustered : 0;
    if (c->options->scope == LUTRA_SCOPE_MODEL)
        report->optimality_gap = c->codebook.optimality_gap;
    if (c->options->budget_unit)
        report_budget(c);
    report->n_threads = lutra_thread_pool_size(c->pool);
    snprintf(report->arch, sizeof report->arch, "%s", info->arch);
    report->seconds = lutra_seconds() - start;
}

static lutra_status run(cluster_job *c, const char *input, lutra_error *error)
{
    lutra_status status = check_options(c->options, error);
    if (status || (status = open_all(c, input, error)))
        return status;
    if (c->options->budget_unit)
        status = spend(c, error);
    else if ((status = begin(c, error)) == LUTRA_OK)
        status = cluster(c, error);
    return status ? status : lutra_writer_commit(c->output.writer, &c->report->bytes_out, error);
}

lutra_status lutra_cluster_file(const char *input, const char *output, const lutra_cluster_options *options,
                                lutra_cluster_report *report, lutra_error *error)
{
    const double start = lutra_seconds();
    lutra_cluster_report made = {0};
    cluster_job c = {.job = {.progress = options->progress, .user = options->progress_user},
                     .options = options,
                     .path = output,
                     .report = &made};
    const lutra_status status = run(&c, input, error);
    if (status == LUTRA_OK)
        finish_report(&c, start);
    if (status == LUTRA_OK && report)
        *report = made;
    else
        lutra_cluster_report_free(&made);
    lutra_spending_free(&c.spending);
    lutra_calibration_free(c.calibration);
    lutra_cluster_output_close(&c.output);
    json_decref(c.source);
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
        free(report->curve);
        report->tensors = NULL;
        report->curve = NULL;
        report->n_tensors = report->n_points = 0;
    }
}
