/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/half.h"
#include "base/memory.h"
#include "base/size.h"
#include "cluster/cluster.h"
#include "compress/calibration.h"
#include "compress/cluster_config.h"
#include "format/clustered.h"

/* Where the parts of one matrix go. */
typedef struct slots {
    size_t indices, codebook, scale;
    lutra_index_layout layout;
} slots;

typedef struct cluster_job {
    lutra_job job;
    const lutra_cluster_options *options;
    lutra_codebook_type codebook_type; /* I8 or F32 */
    lutra_model *model;
    lutra_thread_pool *pool;
    lutra_writer *writer;
    lutra_calibration *calibration; /* NULL without pictures */
    json_t *matrix_names;
    slots *slots;            /* [n_matrices] */
    size_t *other_slots;     /* [tensors of the file]; only those of tensors that are copied count */
    size_t codebook_slot;    /* scope model */
    lutra_codebook codebook; /* scope model */
    uint8_t *indices;        /* of the largest matrix */
    float *scale;            /* of the highest */
    uint8_t *blocks;         /* [threads][largest block] */
    size_t block_stride;
    uint64_t clustered_bytes;
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

/* ---- the output's layout ------------------------------------------------------------------------- */

static lutra_status declare_part(cluster_job *c, const char *name, const char *suffix, lutra_dtype dtype,
                                 size_t count, size_t *slot, lutra_error *error)
{
    char full[1024];
    if ((size_t)snprintf(full, sizeof full, "%s%s", name, suffix) >= sizeof full)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, lutra_safetensors_path(lutra_model_file(c->model)),
                          LUTRA_NO_OFFSET, "the name of tensor %.100s... is too long", name);
    c->clustered_bytes += count * lutra_dtype_size(dtype);
    return lutra_writer_declare(c->writer, full, dtype, 1, &count, slot, error);
}

static lutra_status declare_matrix(cluster_job *c, const lutra_named_matrix *named, slots *to,
                                   lutra_error *error)
{
    const lutra_scope scope = c->options->scope;
    const unsigned bits = lutra_index_bits(c->options->n_clusters);
    const lutra_dtype type = c->codebook_type == LUTRA_CODEBOOK_I8 ? LUTRA_I8 : LUTRA_F32;
    lutra_status status;
    if (!lutra_index_layout_of(named->matrix.n, named->matrix.k, bits, &to->layout))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, lutra_safetensors_path(lutra_model_file(c->model)),
                          LUTRA_NO_OFFSET, "tensor %s is too large", named->name);
    if ((status =
             declare_part(c, named->name, ".indices", LUTRA_U8, to->layout.bytes, &to->indices, error)) ||
        (status = declare_part(c, named->name, ".scale", LUTRA_F32,
                               scope == LUTRA_SCOPE_ROW ? named->matrix.n : 1, &to->scale, error)))
        return status;
    if (scope == LUTRA_SCOPE_MODEL)
        return LUTRA_OK;
    return declare_part(c, named->name, ".codebook", type, c->options->n_clusters, &to->codebook, error);
}

static bool is_copied(const cluster_job *c, const lutra_tensor *tensor)
{
    return !json_object_get(c->matrix_names, tensor->name);
}

static lutra_status declare_all(cluster_job *c, lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(c->model);
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < lutra_model_n_matrices(c->model) && status == LUTRA_OK; i++)
        status = declare_matrix(c, lutra_model_matrix(c->model, i), &c->slots[i], error);
    if (status == LUTRA_OK && c->options->scope == LUTRA_SCOPE_MODEL)
        status = declare_part(c, LUTRA_MODEL_CODEBOOK, "", LUTRA_F32, c->options->n_clusters,
                              &c->codebook_slot, error);
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        if (is_copied(c, tensor))
            status = lutra_writer_declare(c->writer, tensor->name, tensor->dtype, tensor->rank, tensor->shape,
                                          &c->other_slots[i], error);
    }
    return status;
}

/* ---- clustering ---------------------------------------------------------------------------------- */

typedef struct pack_job {
    cluster_job *c;
    const slots *to;
    lutra_error *errors;    /* [threads] */
    lutra_status *statuses; /* [threads] */
} pack_job;

static void pack_block(void *job, size_t block, size_t worker)
{
    const pack_job *p = job;
    const lutra_index_layout *layout = &p->to->layout;
    uint8_t *packed = p->c->blocks + worker * p->c->block_stride;
    const size_t first = block * LUTRA_TILE_OUTPUTS, left = layout->n - first;
    if (p->statuses[worker])
        return;
    lutra_pack_block(layout, p->c->indices + first * layout->k,
                     left < LUTRA_TILE_OUTPUTS ? left : LUTRA_TILE_OUTPUTS, packed);
    p->statuses[worker] = lutra_writer_write(p->c->writer, p->to->indices, block * layout->block_bytes,
                                             packed, layout->block_bytes, &p->errors[worker]);
}

static lutra_status write_indices(cluster_job *c, const slots *to, lutra_error *error)
{
    lutra_error errors[LUTRA_MAX_THREADS];
    lutra_status statuses[LUTRA_MAX_THREADS] = {LUTRA_OK};
    pack_job p = {.c = c, .to = to, .errors = errors, .statuses = statuses};
    lutra_thread_pool_run(c->pool, to->layout.n_blocks, pack_block, &p);
    for (size_t i = 0; i < LUTRA_MAX_THREADS; i++) {
        if (statuses[i]) {
            if (error)
                *error = errors[i];
            return statuses[i];
        }
    }
    return LUTRA_OK;
}

static lutra_status write_codebook(cluster_job *c, size_t slot, const lutra_codebook *codebook,
                                   lutra_error *error)
{
    const size_t n = c->options->n_clusters;
    int8_t integers[256];
    if (!codebook->is_i8)
        return lutra_writer_write(c->writer, slot, 0, codebook->entries, n * sizeof(float), error);
    for (size_t i = 0; i < n; i++)
        integers[i] = (int8_t)codebook->entries[i];
    return lutra_writer_write(c->writer, slot, 0, integers, n, error);
}

static void report_matrix(cluster_job *c, const lutra_named_matrix *named, const lutra_clustering *clustering,
                          unsigned bits)
{
    lutra_cluster_report *report = c->report;
    lutra_tensor_report *tensor = &report->tensors[report->n_tensors++];
    snprintf(tensor->name, sizeof tensor->name, "%s", named->name);
    tensor->n = named->matrix.n;
    tensor->k = named->matrix.k;
    tensor->n_clusters = c->options->n_clusters;
    tensor->bits = bits;
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
    const slots *to = &c->slots[index];
    lutra_clustering clustering = {.indices = c->indices, .scale = c->scale};
    const lutra_clustering_options options = {.n_clusters = c->options->n_clusters,
                                              .per_row = c->options->scope == LUTRA_SCOPE_ROW,
                                              .i8_grid = c->codebook_type == LUTRA_CODEBOOK_I8,
                                              .exact = c->options->exact};
    const bool shared = c->options->scope == LUTRA_SCOPE_MODEL;
    lutra_status status = cluster_matrix(c, index, &source, &options, &clustering, error);
    if (status)
        return name_the_tensor(c, named->name, status, error);
    if ((status = write_indices(c, to, error)) ||
        (status = shared ? LUTRA_OK : write_codebook(c, to->codebook, &clustering.codebook, error)) ||
        (status = lutra_writer_write(c->writer, to->scale, 0, c->scale,
                                     (options.per_row ? source.n : 1) * sizeof(float), error)))
        return status;
    report_matrix(c, named, &clustering, to->layout.bits);
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
    return status ? status : write_codebook(c, c->codebook_slot, &c->codebook, error);
}

/* A bias, with what it gains so that the outputs of the clustered matrix keep their mean. */
static lutra_status write_bias(cluster_job *c, size_t slot, const lutra_tensor *tensor, const float *shift,
                               lutra_error *error)
{
    const size_t n = (size_t)tensor->shape[0];
    uint8_t *bytes = NULL;
    lutra_status status = lutra_allocate(tensor->bytes, 1, "a bias", &bytes, error);
    for (size_t i = 0; i < n && status == LUTRA_OK; i++) {
        uint16_t half;
        float value;
        if (tensor->dtype == LUTRA_F32) {
            memcpy(&value, tensor->data + i * sizeof value, sizeof value);
            value += shift[i];
            memcpy(bytes + i * sizeof value, &value, sizeof value);
            continue;
        }
        memcpy(&half, tensor->data + i * sizeof half, sizeof half);
        value = tensor->dtype == LUTRA_F16 ? lutra_f16_to_f32(half) : lutra_bf16_to_f32(half);
        half = tensor->dtype == LUTRA_F16 ? lutra_f32_to_f16(value + shift[i])
                                          : lutra_f32_to_bf16(value + shift[i]);
        memcpy(bytes + i * sizeof half, &half, sizeof half);
    }
    if (status == LUTRA_OK)
        status = lutra_writer_write(c->writer, slot, 0, bytes, tensor->bytes, error);
    free(bytes);
    return status ? status : lutra_job_advance(&c->job, tensor->name, tensor->bytes, error);
}

static lutra_status write_other(cluster_job *c, size_t slot, const lutra_tensor *tensor, lutra_error *error)
{
    const float *shift = c->calibration ? lutra_calibration_shift_of_tensor(c->calibration, tensor) : NULL;
    return shift ? write_bias(c, slot, tensor, shift, error)
                 : lutra_job_copy(&c->job, c->writer, slot, tensor, error);
}

static lutra_status cluster_all(cluster_job *c, lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(c->model);
    lutra_status status = LUTRA_OK;
    if (c->options->scope == LUTRA_SCOPE_MODEL)
        status = fit_shared_codebook(c, error);
    for (size_t i = 0; i < lutra_model_n_matrices(c->model) && status == LUTRA_OK; i++)
        status = cluster_one(c, i, error);
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        if (is_copied(c, tensor))
            status = write_other(c, c->other_slots[i], tensor, error);
    }
    return status;
}

/* ---- the job ------------------------------------------------------------------------------------- */

static lutra_status check_options(const lutra_cluster_options *options, lutra_codebook_type *type,
                                  lutra_error *error)
{
    const size_t k = options->n_clusters;
    *type = options->codebook;
    if (*type == LUTRA_CODEBOOK_AUTO)
        *type = k <= 128 && options->scope != LUTRA_SCOPE_MODEL ? LUTRA_CODEBOOK_I8 : LUTRA_CODEBOOK_F32;
    if (k < 2 || k > 256)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu clusters: the number must be between 2 and 256", k);
    if (*type == LUTRA_CODEBOOK_I8 && k > 255)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu clusters: a codebook of 8-bit integers has at most 255", k);
    if (*type == LUTRA_CODEBOOK_I8 && options->scope == LUTRA_SCOPE_MODEL)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "one codebook for the whole model (scope model) must be F32");
    if (options->calibration_pixels && options->n_calibration_pictures == 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "no calibration pictures");
    return LUTRA_OK;
}

/* Everything that holds one matrix at a time. */
static lutra_status allocate_buffers(cluster_job *c, lutra_error *error)
{
    const size_t n = lutra_model_n_matrices(c->model), n_threads = lutra_thread_pool_size(c->pool);
    size_t most_weights = 0, most_rows = 0, largest_block = 0;
    lutra_status status;
    for (size_t i = 0; i < n; i++) {
        const lutra_matrix *matrix = &lutra_model_matrix(c->model, i)->matrix;
        const size_t block = c->slots[i].layout.block_bytes;
        most_weights = matrix->n * matrix->k > most_weights ? matrix->n * matrix->k : most_weights;
        most_rows = matrix->n > most_rows ? matrix->n : most_rows;
        largest_block = block > largest_block ? block : largest_block;
    }
    c->block_stride = lutra_round_up(largest_block, LUTRA_ALIGNMENT);
    if ((status = lutra_allocate(most_weights, 1, "a matrix's indices", &c->indices, error)) ||
        (status = lutra_allocate(most_rows, sizeof(float), "a matrix's scales", &c->scale, error)) ||
        (status = lutra_allocate(n_threads, c->block_stride, "packed indices", &c->blocks, error)))
        return status;
    return lutra_allocate(n, sizeof *c->report->tensors, "the report", &c->report->tensors, error);
}

static lutra_status begin(cluster_job *c, lutra_error *error)
{
    static const char *const keys[] = {"lutra.version", "lutra.config"};
    char *config = NULL;
    lutra_status status = declare_all(c, error);
    if (status || (status = allocate_buffers(c, error)) ||
        (status = lutra_cluster_config(&c->job, c->model, c->options, c->codebook_type, &config, error)))
        return status;
    const char *const values[] = {LUTRA_FORMAT_VERSION, config};
    status = lutra_writer_begin(c->writer, keys, values, 2, error);
    free(config);
    return status;
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
    const size_t n_tensors = lutra_safetensors_count(lutra_model_file(c->model));
    c->job.total = info->file_bytes; /* for its hash, and then for its tensors */
    for (size_t i = 0; i < n_tensors; i++)
        c->job.total += lutra_safetensors_at(lutra_model_file(c->model), i)->bytes;
    c->matrix_names = lutra_matrix_tensor_names(c->model);
    if (!c->matrix_names)
        return lutra_fail_memory(error, 0, "the names of tensors");
    if ((status = lutra_allocate(lutra_model_n_matrices(c->model), sizeof *c->slots, "tensors", &c->slots,
                                 error)) ||
        (status = lutra_allocate(n_tensors, sizeof *c->other_slots, "tensors", &c->other_slots, error)) ||
        (status = lutra_thread_pool_create(n_threads, &c->pool, error)))
        return status;
    if (c->options->calibration_pixels &&
        (status = lutra_calibration_create(c->model, c->options, &c->job, c->pool, &c->calibration, error)))
        return status;
    return lutra_writer_create(output, &c->writer, error);
}

static void finish_report(cluster_job *c, double start)
{
    const lutra_model_info *info = lutra_model_get_info(c->model);
    lutra_cluster_report *report = c->report;
    report->bytes_in = info->file_bytes;
    report->bits_per_weight =
        report->n_clustered ? 8.0 * (double)c->clustered_bytes / (double)report->n_clustered : 0;
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
    lutra_status status = check_options(options, &c.codebook_type, error);
    if (status || (status = open_all(&c, input, output, error)) || (status = begin(&c, error)) ||
        (status = cluster_all(&c, error)) || (status = lutra_writer_commit(c.writer, &made.bytes_out, error)))
        goto cleanup;
    finish_report(&c, start);
    if (report) {
        *report = made;
        made.tensors = NULL;
    }
cleanup:
    lutra_cluster_report_free(&made);
    lutra_calibration_free(c.calibration);
    lutra_writer_free(c.writer);
    lutra_thread_pool_free(c.pool);
    json_decref(c.matrix_names);
    free(c.slots);
    free(c.other_slots);
    free(c.indices);
    free(c.scale);
    free(c.blocks);
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
