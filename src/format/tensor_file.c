/* SPDX-License-Identifier: Apache-2.0 */
/* The public view of any safetensors file: one entry a tensor, a clustered matrix as one. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/clustered.h"

struct lutra_tensor_file {
    lutra_safetensors *file;
    lutra_clustered clustered;
    lutra_tensor_info *tensors; /* [n_tensors] */
    size_t n_tensors;
};

static bool ends_with(const char *name, const char *suffix, size_t *stem)
{
    const size_t length = strlen(name), n = strlen(suffix);
    *stem = length - n;
    return length > n && strcmp(name + length - n, suffix) == 0;
}

/* The codebook that all matrices share is nobody's part. */
static bool is_part(const lutra_clustered_tensor *matrix, const lutra_tensor *tensor)
{
    return tensor == matrix->indices || tensor == matrix->scale ||
           (tensor == matrix->codebook && matrix->scope != LUTRA_SCOPE_MODEL);
}

/* The clustered matrix that a stored tensor is a part of, or NULL. */
static const lutra_clustered_tensor *owner(const lutra_tensor_file *file, const lutra_tensor *tensor)
{
    static const char *const suffixes[] = {".indices", ".codebook", ".scale"};
    char name[1024]; /* a matrix whose parts have longer ones is refused */
    for (size_t s = 0; s < 3; s++) {
        size_t stem;
        if (!ends_with(tensor->name, suffixes[s], &stem) || stem >= sizeof name)
            continue;
        memcpy(name, tensor->name, stem);
        name[stem] = '\0';
        const lutra_clustered_tensor *matrix = lutra_clustered_find(&file->clustered, name);
        if (matrix && is_part(matrix, tensor))
            return matrix;
    }
    return NULL;
}

static void describe_clustered(const lutra_clustered_tensor *matrix, lutra_tensor_info *info)
{
    info->name = matrix->name;
    info->dtype = matrix->dtype;
    info->rank = matrix->rank;
    for (size_t i = 0; i < matrix->rank; i++)
        info->shape[i] = matrix->shape[i];
    info->bytes = matrix->indices->bytes + matrix->scale->bytes;
    if (matrix->scope != LUTRA_SCOPE_MODEL)
        info->bytes += matrix->codebook->bytes;
    info->offset = matrix->indices->offset;
    info->n_clusters = matrix->n_clusters;
    info->bits = matrix->layout.bits;
    info->scope = lutra_scope_name(matrix->scope);
}

static void describe_dense(const lutra_tensor *tensor, lutra_tensor_info *info)
{
    info->name = tensor->name;
    info->dtype = tensor->dtype;
    info->rank = tensor->rank;
    for (size_t i = 0; i < tensor->rank; i++)
        info->shape[i] = tensor->shape[i];
    info->bytes = tensor->bytes;
    info->offset = tensor->offset;
}

static lutra_status list_tensors(lutra_tensor_file *file, lutra_error *error)
{
    const size_t n = lutra_safetensors_count(file->file);
    lutra_status status = lutra_allocate(n, sizeof *file->tensors, "tensors", &file->tensors, error);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file->file, i);
        const lutra_clustered_tensor *matrix = owner(file, tensor);
        if (!matrix)
            describe_dense(tensor, &file->tensors[file->n_tensors++]);
        else if (tensor == matrix->indices)
            describe_clustered(matrix, &file->tensors[file->n_tensors++]);
    }
    return LUTRA_OK;
}

lutra_status lutra_tensor_file_open(const char *path, lutra_tensor_file **result, lutra_error *error)
{
    lutra_tensor_file *file = NULL;
    *result = NULL;
    lutra_status status = lutra_allocate(1, sizeof *file, "a tensor file", &file, error);
    if (status)
        return status;
    if ((status = lutra_safetensors_open(path, &file->file, error)) ||
        (status = lutra_clustered_open(file->file, &file->clustered, error)) ||
        (status = list_tensors(file, error)))
        lutra_tensor_file_close(file);
    else
        *result = file;
    return status;
}

void lutra_tensor_file_close(lutra_tensor_file *file)
{
    if (!file)
        return;
    free(file->tensors);
    lutra_clustered_close(&file->clustered);
    lutra_safetensors_close(file->file);
    free(file);
}

size_t lutra_tensor_file_n_tensors(const lutra_tensor_file *file)
{
    return file->n_tensors;
}

const lutra_tensor_info *lutra_tensor_file_tensor(const lutra_tensor_file *file, size_t index)
{
    return index < file->n_tensors ? &file->tensors[index] : NULL;
}

const char *lutra_tensor_file_metadata(const lutra_tensor_file *file, const char *key)
{
    return lutra_safetensors_metadata(file->file, key);
}

static lutra_status verify(const lutra_clustered_tensor *matrix, uint8_t *block, lutra_error *error)
{
    const lutra_index_layout *layout = &matrix->layout;
    for (size_t b = 0; b < layout->n_blocks; b++) {
        lutra_unpack_block(layout, matrix->indices->data + b * layout->block_bytes, block);
        for (size_t i = 0; i < LUTRA_TILE_OUTPUTS * layout->k_padded; i++)
            if (block[i] >= matrix->n_clusters)
                return lutra_fail(
                    error, LUTRA_ERROR_FORMAT, matrix->indices->path,
                    matrix->indices->offset + b * layout->block_bytes,
                    "tensor \"%.200s\": index %u at output %zu, input %zu is beyond the %zu clusters",
                    matrix->name, block[i], b * LUTRA_TILE_OUTPUTS + i / layout->k_padded,
                    i % layout->k_padded, matrix->n_clusters);
    }
    return LUTRA_OK;
}

lutra_status lutra_tensor_file_verify(const lutra_tensor_file *file, lutra_error *error)
{
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < file->clustered.n_tensors && status == LUTRA_OK; i++) {
        const lutra_clustered_tensor *matrix = &file->clustered.tensors[i];
        uint8_t *block;
        status =
            lutra_allocate(LUTRA_TILE_OUTPUTS, matrix->layout.k_padded, "a block of indices", &block, error);
        if (status)
            return status;
        status = verify(matrix, block, error);
        free(block);
    }
    return status;
}
