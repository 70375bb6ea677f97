/* SPDX-License-Identifier: Apache-2.0 */
#include "format/clustered.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "format/dtype.h"
#include "format/json.h"

static const char *const scope_names[] = {
    [LUTRA_SCOPE_ROW] = "row", [LUTRA_SCOPE_TENSOR] = "tensor", [LUTRA_SCOPE_MODEL] = "model"};

const char *lutra_scope_name(lutra_scope scope)
{
    return scope_names[scope];
}

static lutra_status fail(lutra_error *error, const lutra_safetensors *file, const char *name,
                         const char *problem)
{
    return lutra_fail(error, LUTRA_ERROR_FORMAT, lutra_safetensors_path(file), LUTRA_NO_OFFSET,
                      "clustered tensor \"%.200s\": %s", name, problem);
}

static lutra_status read_shape(const lutra_safetensors *file, const json_t *shape,
                               lutra_clustered_tensor *tensor, lutra_error *error)
{
    tensor->rank = json_array_size(shape);
    if (tensor->rank < 1 || tensor->rank > LUTRA_MAX_RANK)
        return fail(error, file, tensor->name, "its shape in lutra.config must have 1 to 8 dimensions");
    tensor->k = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 1)
            return fail(error, file, tensor->name,
                        "its shape in lutra.config has a dimension that is no count");
        if (!lutra_size_from((uint64_t)json_integer_value(extent), &tensor->shape[i]) ||
            (i > 0 && !lutra_size_multiply(tensor->k, tensor->shape[i], &tensor->k)))
            return fail(error, file, tensor->name, "its shape in lutra.config overflows");
    }
    tensor->n = tensor->shape[0];
    return LUTRA_OK;
}

static bool read_scope(const char *name, lutra_scope *scope)
{
    for (size_t i = 0; i < sizeof scope_names / sizeof *scope_names; i++) {
        if (name && strcmp(name, scope_names[i]) == 0) {
            *scope = (lutra_scope)i;
            return true;
        }
    }
    return false;
}

static lutra_status read_description(const lutra_safetensors *file, const json_t *json,
                                     lutra_clustered_tensor *tensor, lutra_error *error)
{
    const char *path = lutra_safetensors_path(file);
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    size_t bits = 0;
    bool found, has_bits;
    lutra_status status = read_shape(file, json_object_get(json, "shape"), tensor, error);
    if (status)
        return status;
    if (!dtype || !lutra_dtype_parse(dtype, &tensor->dtype) || !lutra_dtype_is_weight(tensor->dtype))
        return fail(error, file, tensor->name, "its dtype in lutra.config is not F64, F32, F16 or BF16");
    if (!read_scope(json_string_value(json_object_get(json, "scope")), &tensor->scope))
        return fail(error, file, tensor->name, "its scope in lutra.config is not row, tensor or model");
    if ((status = lutra_json_size(json, "clusters", 256, path, &tensor->n_clusters, &found, error)) ||
        (status = lutra_json_size(json, "bits", 8, path, &bits, &has_bits, error)))
        return status;
    if (!found || tensor->n_clusters < 2 || !has_bits || bits != lutra_index_bits(tensor->n_clusters))
        return fail(error, file, tensor->name,
                    "its clusters (2 to 256) and bits in lutra.config do not agree");
    if (!lutra_index_layout_of(tensor->n, tensor->k, (unsigned)bits, &tensor->layout))
        return fail(error, file, tensor->name, "its shape in lutra.config overflows");
    return LUTRA_OK;
}

static lutra_status find_part(const lutra_safetensors *file, const lutra_clustered_tensor *tensor,
                              const char *suffix, const lutra_tensor **part, lutra_error *error)
{
    char name[1024];
    if ((size_t)snprintf(name, sizeof name, "%s%s", tensor->name, suffix) >= sizeof name)
        return fail(error, file, tensor->name, "its name is too long");
    *part = lutra_safetensors_find(file, name);
    if (!*part)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, lutra_safetensors_path(file), LUTRA_NO_OFFSET,
                          "tensor \"%.200s\", declared in lutra.config, is missing", name);
    return LUTRA_OK;
}

static lutra_status fail_part(lutra_error *error, const lutra_tensor *part, const char *problem)
{
    return lutra_fail(error, LUTRA_ERROR_FORMAT, part->path, part->offset, "tensor \"%.200s\" %s", part->name,
                      problem);
}

/* `largest` magnitude of an entry. */
static lutra_status check_codebook(const lutra_tensor *codebook, size_t n_clusters, float *largest,
                                   lutra_error *error)
{
    *largest = 0;
    if (codebook->rank != 1 || codebook->n_elements != n_clusters ||
        (codebook->dtype != LUTRA_I8 && codebook->dtype != LUTRA_F32))
        return fail_part(error, codebook, "must be I8 or F32 with one entry per cluster");
    for (size_t i = 0; i < n_clusters; i++) {
        float entry;
        if (codebook->dtype == LUTRA_F32)
            memcpy(&entry, codebook->data + 4 * i, 4);
        else if ((entry = (float)(int8_t)codebook->data[i]) < -127)
            return fail_part(error, codebook, "has an entry of -128");
        if (!isfinite(entry))
            return fail_part(error, codebook, "has an entry that is not finite");
        *largest = fmaxf(*largest, fabsf(entry));
    }
    return LUTRA_OK;
}

static lutra_status check_scale(const lutra_tensor *scale, size_t n, float largest_entry, lutra_error *error)
{
    if (scale->rank != 1 || scale->dtype != LUTRA_F32 || scale->n_elements != n)
        return fail_part(error, scale, "must be F32 with one scale per row (scope row) or one in all");
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, scale->data + 4 * i, 4);
        if (!isfinite(value) || value < 0)
            return fail_part(error, scale, "has a scale that is negative or not finite");
        if (!isfinite(value * largest_entry))
            return fail_part(error, scale, "has a scale that makes weights infinite");
    }
    return LUTRA_OK;
}

static lutra_status bind_parts(const lutra_safetensors *file, lutra_clustered_tensor *tensor,
                               lutra_error *error)
{
    lutra_status status;
    if ((status = find_part(file, tensor, ".indices", &tensor->indices, error)) ||
        (status = find_part(file, tensor, ".scale", &tensor->scale, error)))
        return status;
    if (tensor->scope == LUTRA_SCOPE_MODEL) {
        tensor->codebook = lutra_safetensors_find(file, LUTRA_MODEL_CODEBOOK);
        if (!tensor->codebook)
            return fail(error, file, tensor->name, "the tensor \"" LUTRA_MODEL_CODEBOOK "\" is missing");
    } else if ((status = find_part(file, tensor, ".codebook", &tensor->codebook, error))) {
        return status;
    }
    if (tensor->indices->dtype != LUTRA_U8 || tensor->indices->bytes != tensor->layout.bytes)
        return fail_part(error, tensor->indices, "is not as long as its matrix's packed indices must be");
    float largest;
    if ((status = check_codebook(tensor->codebook, tensor->n_clusters, &largest, error)))
        return status;
    return check_scale(tensor->scale, tensor->scope == LUTRA_SCOPE_ROW ? tensor->n : 1, largest, error);
}

static int compare_names(const void *left, const void *right)
{
    const lutra_clustered_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* Thousands of names are looked for among thousands. */
static lutra_status index_names(lutra_clustered *clustered, lutra_error *error)
{
    lutra_status status = lutra_allocate(clustered->n_tensors, sizeof *clustered->by_name,
                                         "clustered tensors", &clustered->by_name, error);
    if (status)
        return status;
    for (size_t i = 0; i < clustered->n_tensors; i++)
        clustered->by_name[i] = &clustered->tensors[i];
    qsort(clustered->by_name, clustered->n_tensors, sizeof *clustered->by_name, compare_names);
    return LUTRA_OK;
}

static lutra_status read_tensors(const lutra_safetensors *file, lutra_clustered *clustered,
                                 lutra_error *error)
{
    const json_t *tensors = json_object_get(clustered->config, "tensors");
    const char *name;
    json_t *description;
    if (!json_is_object(tensors))
        return lutra_fail(error, LUTRA_ERROR_FORMAT, lutra_safetensors_path(file), 8,
                          "lutra.config has no \"tensors\"");
    const size_t n = json_object_size(tensors), n_held = lutra_safetensors_count(file);
    if (n > n_held)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, lutra_safetensors_path(file), 8,
                          "lutra.config describes %zu tensors, but the file holds %zu", n, n_held);
    lutra_status status =
        lutra_allocate(n, sizeof *clustered->tensors, "clustered tensors", &clustered->tensors, error);
    json_object_foreach((json_t *)(uintptr_t)tensors, name, description)
    {
        if (status)
            return status;
        lutra_clustered_tensor *tensor = &clustered->tensors[clustered->n_tensors++];
        tensor->name = name;
        status = read_description(file, description, tensor, error);
        if (status == LUTRA_OK)
            status = bind_parts(file, tensor, error);
    }
    return status ? status : index_names(clustered, error);
}

lutra_status lutra_clustered_open(const lutra_safetensors *file, lutra_clustered *clustered,
                                  lutra_error *error)
{
    *clustered = (lutra_clustered){0};
    const char *config = lutra_safetensors_metadata(file, "lutra.config");
    const char *version = lutra_safetensors_metadata(file, "lutra.version");
    const char *path = lutra_safetensors_path(file);
    if (!config)
        return LUTRA_OK;
    if (!version || strcmp(version, LUTRA_FORMAT_VERSION) != 0)
        return lutra_fail(
            error, LUTRA_ERROR_UNSUPPORTED, path, 8,
            "format version \"%.32s\" is unknown; this library reads version " LUTRA_FORMAT_VERSION,
            version ? version : "");
    lutra_error problem;
    lutra_status status =
        lutra_json_parse(config, strlen(config), NULL, LUTRA_NO_OFFSET, &clustered->config, &problem);
    if (status)
        lutra_fail(error, status, path, LUTRA_NO_OFFSET, "lutra.config: %s", problem.message);
    if (status == LUTRA_OK && !json_is_object(clustered->config))
        status = lutra_fail(error, LUTRA_ERROR_FORMAT, path, 8, "lutra.config is not a JSON object");
    if (status == LUTRA_OK)
        status = read_tensors(file, clustered, error);
    if (status)
        lutra_clustered_close(clustered);
    return status;
}

void lutra_clustered_close(lutra_clustered *clustered)
{
    free(clustered->tensors);
    free(clustered->by_name);
    json_decref(clustered->config);
    *clustered = (lutra_clustered){0};
}

const lutra_clustered_tensor *lutra_clustered_find(const lutra_clustered *clustered, const char *name)
{
    const lutra_clustered_tensor wanted = {.name = name}, *key = &wanted;
    const lutra_clustered_tensor **found = clustered->n_tensors
                                               ? bsearch(&key, clustered->by_name, clustered->n_tensors,
                                                         sizeof *clustered->by_name, compare_names)
                                               : NULL;
    return found ? *found : NULL;
}
