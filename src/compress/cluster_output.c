/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/cluster_output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "base/size.h"
#include "compress/cluster_config.h"
#include "format/clustered.h"

static lutra_status declare_part(lutra_cluster_output *o, const char *name, const char *suffix,
                                 lutra_dtype dtype, size_t count, size_t *slot, lutra_error *error)
{
    char full[1024];
    if ((size_t)snprintf(full, sizeof full, "%s%s", name, suffix) >= sizeof full)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, lutra_safetensors_path(lutra_model_file(o->model)),
                          LUTRA_NO_OFFSET, "the name of tensor %.100s... is too long", name);
    o->clustered_bytes += count * lutra_dtype_size(dtype);
    return lutra_writer_declare(o->writer, full, dtype, 1, &count, slot, error);
}

static lutra_status declare_matrix(lutra_cluster_output *o, size_t index, lutra_error *error)
{
    const lutra_named_matrix *named = lutra_model_matrix(o->model, index);
    lutra_matrix_slots *to = &o->slots[index];
    const lutra_scope scope = o->options->scope;
    const size_t n_clusters = o->n_clusters[index];
    const unsigned bits = lutra_index_bits(n_clusters);
    const lutra_dtype type = lutra_codebook_is_i8(o->options, n_clusters) ? LUTRA_I8 : LUTRA_F32;
    lutra_status status;
    if (!lutra_index_layout_of(named->matrix.n, named->matrix.k, bits, &to->layout))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, lutra_safetensors_path(lutra_model_file(o->model)),
                          LUTRA_NO_OFFSET, "tensor %s is too large", named->name);
    if ((status =
             declare_part(o, named->name, ".indices", LUTRA_U8, to->layout.bytes, &to->indices, error)) ||
        (status = declare_part(o, named->name, ".scale", LUTRA_F32,
                               scope == LUTRA_SCOPE_ROW ? named->matrix.n : 1, &to->scale, error)))
        return status;
    if (scope == LUTRA_SCOPE_MODEL)
        return LUTRA_OK;
    return declare_part(o, named->name, ".codebook", type, n_clusters, &to->codebook, error);
}

static bool is_copied(const lutra_cluster_output *o, const lutra_tensor *tensor)
{
    return !json_object_get(o->matrix_names, tensor->name);
}

static lutra_status declare_all(lutra_cluster_output *o, lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(o->model);
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < lutra_model_n_matrices(o->model) && status == LUTRA_OK; i++)
        status = declare_matrix(o, i, error);
    if (status == LUTRA_OK && o->options->scope == LUTRA_SCOPE_MODEL)
        status =
            declare_part(o, LUTRA_MODEL_CODEBOOK, "", LUTRA_F32, o->n_clusters[0], &o->codebook_slot, error);
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        if (is_copied(o, tensor))
            status = lutra_writer_declare(o->writer, tensor->name, tensor->dtype, tensor->rank, tensor->shape,
                                          &o->other_slots[i], error);
    }
    return status;
}

uint64_t lutra_clustered_bytes(const lutra_cluster_options *options, const lutra_matrix *matrix,
                               size_t n_clusters)
{
    lutra_index_layout layout;
    if (!lutra_index_layout_of(matrix->n, matrix->k, lutra_index_bits(n_clusters), &layout))
        return 0;
    const size_t entry = lutra_codebook_is_i8(options, n_clusters) ? 1 : sizeof(float);
    return layout.bytes + entry * n_clusters +
           sizeof(float) * (options->scope == LUTRA_SCOPE_ROW ? matrix->n : 1);
}

lutra_status lutra_cluster_output_open(lutra_cluster_output *o, const char *path, lutra_error *error)
{
    const size_t n_matrices = lutra_model_n_matrices(o->model),
                 n_tensors = lutra_safetensors_count(lutra_model_file(o->model));
    lutra_status status;
    o->matrix_names = lutra_matrix_tensor_names(o->model);
    if (!o->matrix_names)
        return lutra_fail_memory(error, 0, "the names of tensors");
    if ((status = lutra_allocate(n_matrices, sizeof *o->slots, "tensors", &o->slots, error)) ||
        (status = lutra_allocate(n_tensors, sizeof *o->other_slots, "tensors", &o->other_slots, error)))
        return status;
    return lutra_writer_create(path, &o->writer, error);
}

lutra_status lutra_cluster_output_restart(lutra_cluster_output *o, lutra_error *error)
{
    free(o->blocks);
    o->blocks = NULL;
    o->clustered_bytes = 0;
    return lutra_writer_restart(o->writer, error);
}

static lutra_status allocate_blocks(lutra_cluster_output *o, lutra_error *error)
{
    size_t largest = 0;
    for (size_t i = 0; i < lutra_model_n_matrices(o->model); i++)
        if (o->slots[i].layout.block_bytes > largest)
            largest = o->slots[i].layout.block_bytes;
    o->block_stride = lutra_round_up(largest, LUTRA_ALIGNMENT);
    return lutra_allocate(lutra_thread_pool_size(o->pool), o->block_stride, "packed indices", &o->blocks,
                          error);
}

lutra_status lutra_cluster_output_begin(lutra_cluster_output *o, const char *config, lutra_error *error)
{
    static const char *const keys[] = {"lutra.version", "lutra.config"};
    const char *const values[] = {LUTRA_FORMAT_VERSION, config};
    lutra_status status;
    if ((status = declare_all(o, error)) || (status = allocate_blocks(o, error)))
        return status;
    return lutra_writer_begin(o->writer, keys, values, 2, error);
}

void lutra_cluster_output_close(lutra_cluster_output *o)
{
    lutra_writer_free(o->writer);
    json_decref(o->matrix_names);
    free(o->slots);
    free(o->other_slots);
    free(o->blocks);
    *o = (lutra_cluster_output){0};
}

/* ---- its parts ----------------------------------------------------------------------------------- */

typedef struct pack_job {
    lutra_cluster_output *o;
    const lutra_matrix_slots *to;
    const uint8_t *indices; /* [n][k], one byte each */
    lutra_error *errors;    /* [threads] */
    lutra_status *statuses; /* [threads] */
} pack_job;

static void pack_block(void *job, size_t block, size_t worker)
{
    const pack_job *p = job;
    const lutra_index_layout *layout = &p->to->layout;
    uint8_t *packed = p->o->blocks + worker * p->o->block_stride;
    const size_t first = block * LUTRA_TILE_OUTPUTS, left = layout->n - first;
    if (p->statuses[worker])
        return;
    lutra_pack_block(layout, p->indices + first * layout->k,
                     left < LUTRA_TILE_OUTPUTS ? left : LUTRA_TILE_OUTPUTS, packed);
    p->statuses[worker] = lutra_writer_write(p->o->writer, p->to->indices, block * layout->block_bytes,
                                             packed, layout->block_bytes, &p->errors[worker]);
}

static lutra_status write_indices(lutra_cluster_output *o, const lutra_matrix_slots *to,
                                  const uint8_t *indices, lutra_error *error)
{
    lutra_error errors[LUTRA_MAX_THREADS];
    lutra_status statuses[LUTRA_MAX_THREADS] = {LUTRA_OK};
    pack_job p = {.o = o, .to = to, .indices = indices, .errors = errors, .statuses = statuses};
    lutra_thread_pool_run(o->pool, to->layout.n_blocks, pack_block, &p);
    for (size_t i = 0; i < LUTRA_MAX_THREADS; i++) {
        if (statuses[i]) {
            if (error)
                *error = errors[i];
            return statuses[i];
        }
    }
    return LUTRA_OK;
}

/* With `n` entries: those that were asked for, where there may be fewer. */
static lutra_status write_codebook(lutra_cluster_output *o, size_t slot, const lutra_codebook *codebook,
                                   size_t n, lutra_error *error)
{
    int8_t integers[256];
    if (!codebook->is_i8)
        return lutra_writer_write(o->writer, slot, 0, codebook->entries, n * sizeof(float), error);
    for (size_t i = 0; i < n; i++)
        integers[i] = (int8_t)codebook->entries[i];
    return lutra_writer_write(o->writer, slot, 0, integers, n, error);
}

/* A bias, with what it gains so that the outputs of the clustered matrix keep their mean. */
static lutra_status write_bias(lutra_cluster_output *o, size_t slot, const lutra_tensor *tensor,
                               const float *shift, lutra_error *error)
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
        status = lutra_writer_write(o->writer, slot, 0, bytes, tensor->bytes, error);
    free(bytes);
    return status ? status : lutra_job_advance(o->job, tensor->name, tensor->bytes, error);
}

static lutra_status write_other(lutra_cluster_output *o, size_t slot, const lutra_tensor *tensor,
                                const lutra_calibration *calibration, lutra_error *error)
{
    const float *shift = calibration ? lutra_calibration_shift_of_tensor(calibration, tensor) : NULL;
    return shift ? write_bias(o, slot, tensor, shift, error)
                 : lutra_job_copy(o->job, o->writer, slot, tensor, error);
}

lutra_status lutra_cluster_output_matrix(lutra_cluster_output *o, size_t index,
                                         const lutra_clustering *clustering, lutra_error *error)
{
    const lutra_matrix_slots *to = &o->slots[index];
    const size_t n_scales =
        o->options->scope == LUTRA_SCOPE_ROW ? lutra_model_matrix(o->model, index)->matrix.n : 1;
    lutra_status status = write_indices(o, to, clustering->indices, error);
    if (status == LUTRA_OK && o->options->scope != LUTRA_SCOPE_MODEL)
        status = write_codebook(o, to->codebook, &clustering->codebook, o->n_clusters[index], error);
    return status ? status
                  : lutra_writer_write(o->writer, to->scale, 0, clustering->scale, n_scales * sizeof(float),
                                       error);
}

lutra_status lutra_cluster_output_codebook(lutra_cluster_output *o, const lutra_codebook *codebook,
                                           lutra_error *error)
{
    return write_codebook(o, o->codebook_slot, codebook, o->n_clusters[0], error);
}

lutra_status lutra_cluster_output_others(lutra_cluster_output *o, const lutra_calibration *calibration,
                                         lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(o->model);
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        if (is_copied(o, tensor))
            status = write_other(o, o->other_slots[i], tensor, calibration, error);
    }
    return status;
}
