/* SPDX-License-Identifier: Apache-2.0 */
#include "model/binding.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/dtype.h"
#include "model/finite.h"

#define MAX_NAMES 4
#define NAME_SIZE 256

static const struct {
    bool in_block;
    const char *names[MAX_NAMES];
} roles[LUTRA_N_ROLES] = {
#define TENSOR(role, in_block, ...) [LUTRA_##role] = {in_block, {__VA_ARGS__}},
#include "model/vit_tensors.inc"
#undef TENSOR
};

void lutra_role_name(lutra_role role, size_t block, char *name, size_t size)
{
    if (roles[role].in_block)
        snprintf(name, size, "blocks.%zu.%s", block, roles[role].names[0]);
    else
        snprintf(name, size, "%s", roles[role].names[0]);
}

/* ---- finding ----------------------------------------------------------------------------------- */

struct found {
    const lutra_tensor *dense;
    const lutra_clustered_tensor *clustered;
};

static bool find_named(const lutra_binding *binding, const char *name, struct found *found)
{
    found->clustered = lutra_clustered_find(binding->clustered, name);
    found->dense = found->clustered ? NULL : lutra_safetensors_find(binding->file, name);
    return found->clustered || found->dense;
}

static bool find(const lutra_binding *binding, lutra_role role, size_t block, struct found *found)
{
    char name[NAME_SIZE];
    for (size_t i = 0; i < MAX_NAMES && roles[role].names[i]; i++) {
        if (roles[role].in_block)
            snprintf(name, sizeof name, "%s%s%zu.%s", binding->prefix, binding->block_prefix, block,
                     roles[role].names[i]);
        else
            snprintf(name, sizeof name, "%s%s", binding->prefix, roles[role].names[i]);
        if (find_named(binding, name, found))
            return true;
        /* Heads stand outside the model that they belong to. */
        if (!roles[role].in_block && find_named(binding, roles[role].names[i], found))
            return true;
    }
    return false;
}

bool lutra_binding_has(const lutra_binding *binding, lutra_role role, size_t block)
{
    struct found found;
    return find(binding, role, block, &found);
}

bool lutra_binding_is_timm(const lutra_binding *binding)
{
    return strcmp(binding->block_prefix, "blocks.") == 0;
}

static lutra_status find_required(const lutra_binding *binding, lutra_role role, size_t block,
                                  struct found *found, lutra_error *error)
{
    if (find(binding, role, block, found))
        return LUTRA_OK;
    char name[NAME_SIZE];
    const char *last = roles[role].names[!lutra_binding_is_timm(binding) && roles[role].names[1] ? 1 : 0];
    if (roles[role].in_block)
        snprintf(name, sizeof name, "%s%s%zu.%s", binding->prefix, binding->block_prefix, block, last);
    else
        snprintf(name, sizeof name, "%s%s", binding->prefix, last);
    return lutra_fail(error, LUTRA_ERROR_FORMAT, lutra_safetensors_path(binding->file), LUTRA_NO_OFFSET,
                      "tensor \"%s\" is missing", name);
}

static const char *found_name(const struct found *found)
{
    return found->clustered ? found->clustered->name : found->dense->name;
}

static lutra_status fail_found(const struct found *found, lutra_error *error, lutra_status status,
                               const char *problem)
{
    const lutra_tensor *tensor = found->clustered ? found->clustered->indices : found->dense;
    return lutra_fail(error, status, tensor->path, tensor->offset, "tensor \"%.200s\" %s", found_name(found),
                      problem);
}

static lutra_status fail_size(const struct found *found, size_t n, size_t k, lutra_error *error)
{
    char problem[96];
    snprintf(problem, sizeof problem, "must have %zu outputs and %zu inputs", n, k);
    return fail_found(found, error, LUTRA_ERROR_FORMAT, problem);
}

/* ---- the dialect ------------------------------------------------------------------------------- */

lutra_status lutra_binding_init(const lutra_safetensors *file, const lutra_clustered *clustered,
                                lutra_binding *binding, lutra_error *error)
{
    static const char *const prefixes[] = {"",      "vit.", "deit.", "dinov2.", "dinov2_with_registers.",
                                           "model."};
    static const char *const block_prefixes[] = {"blocks.", "encoder.layer.", "layers."};
    const size_t n = lutra_safetensors_count(file);
    lutra_status status;
    *binding = (lutra_binding){.file = file, .clustered = clustered};
    if ((status = lutra_allocate(n, sizeof *binding->used, "tensors", &binding->used, error)) ||
        (status = lutra_allocate(n, sizeof *binding->matrices, "matrices", &binding->matrices, error)) ||
        (status = lutra_allocate(3 * n + 16, sizeof *binding->owned, "tensors", &binding->owned, error)))
        return status;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        for (size_t j = 0; j < sizeof block_prefixes / sizeof *block_prefixes; j++) {
            binding->prefix = prefixes[i];
            binding->block_prefix = block_prefixes[j];
            if (lutra_binding_has(binding, LUTRA_PATCH_WEIGHT, 0) &&
                lutra_binding_has(binding, LUTRA_NORM1_WEIGHT, 0))
                return LUTRA_OK;
        }
    }
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, lutra_safetensors_path(file), LUTRA_NO_OFFSET,
                      "holds no vision transformer that Lutra knows: neither \"patch_embed.proj.weight\" and "
                      "\"blocks.0.norm1.weight\" (timm) nor Hugging Face's names are among its %zu tensors",
                      n);
}

void lutra_binding_free(lutra_binding *binding)
{
    for (size_t i = 0; i < binding->n_owned; i++)
        free(binding->owned[i]);
    free(binding->owned);
    free(binding->matrices);
    free(binding->used);
    *binding = (lutra_binding){0};
}

lutra_status lutra_binding_allocate(lutra_binding *binding, size_t count, size_t size, const char *what,
                                    void *pointer, lutra_error *error)
{
    void *memory;
    lutra_status status = lutra_allocate(count, size, what, &memory, error);
    if (status)
        return status;
    binding->owned[binding->n_owned++] = memory;
    memcpy(pointer, &memory, sizeof memory);
    return LUTRA_OK;
}

/* ---- bringing in ------------------------------------------------------------------------------- */

static void mark_used(lutra_binding *binding, const lutra_tensor *tensor)
{
    binding->used[tensor - lutra_safetensors_at(binding->file, 0)] = true;
}

lutra_status lutra_binding_shape(const lutra_binding *binding, lutra_role role, size_t block, size_t *rank,
                                 size_t *shape, lutra_error *error)
{
    struct found found;
    lutra_status status = find_required(binding, role, block, &found, error);
    if (status)
        return status;
    *rank = found.clustered ? found.clustered->rank : found.dense->rank;
    memcpy(shape, found.clustered ? found.clustered->shape : found.dense->shape,
           LUTRA_MAX_RANK * sizeof *shape);
    return LUTRA_OK;
}

static lutra_status check_weights(const struct found *found, lutra_error *error)
{
    if (!lutra_dtype_is_weight(found->dense->dtype))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, found->dense->path, found->dense->offset,
                          "tensor \"%.200s\" has type %s; weights must be F64, F32, F16 or BF16",
                          found->dense->name, lutra_dtype_name(found->dense->dtype));
    return lutra_check_finite(found->dense, error);
}

lutra_status lutra_binding_vector(lutra_binding *binding, lutra_role role, size_t block, size_t length,
                                  bool optional, const float **vector, lutra_error *error)
{
    struct found found;
    lutra_status status;
    float *copy;
    *vector = NULL;
    if (optional && !find(binding, role, block, &found))
        return LUTRA_OK;
    if ((status = find_required(binding, role, block, &found, error)))
        return status;
    if (found.clustered || found.dense->n_elements != length)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, found.clustered ? NULL : found.dense->path,
                          found.clustered ? LUTRA_NO_OFFSET : found.dense->offset,
                          "tensor \"%.200s\" must have %zu numbers", found_name(&found), length);
    if ((status = check_weights(&found, error)))
        return status;
    mark_used(binding, found.dense);
    binding->n_parameters += length;
    const bool aligned = (uintptr_t)found.dense->data % sizeof(float) == 0;
    if (found.dense->dtype == LUTRA_F32 && aligned) {
        *vector = (const float *)(const void *)found.dense->data;
        return LUTRA_OK;
    }
    binding->n_copied += !aligned;
    if ((status = lutra_binding_allocate(binding, length, sizeof *copy, "a tensor", &copy, error)))
        return status;
    const lutra_matrix row = {.n = 1, .k = length, .dense = found.dense->data, .dtype = found.dense->dtype};
    lutra_matrix_row(&row, 0, copy);
    *vector = copy;
    return LUTRA_OK;
}

/* Indices must be aligned, and kernels read up to 64 bytes past their end. */
static lutra_status bind_indices(lutra_binding *binding, const lutra_tensor *indices, const uint8_t **result,
                                 lutra_error *error)
{
    uint8_t *copy;
    if ((uintptr_t)indices->data % 64 == 0 && indices->readable - indices->bytes >= 64) {
        *result = indices->data;
        return LUTRA_OK;
    }
    lutra_status status = lutra_binding_allocate(binding, indices->bytes + 64, 1, "indices", &copy, error);
    if (status)
        return status;
    memcpy(copy, indices->data, indices->bytes);
    binding->n_copied++;
    *result = copy;
    return LUTRA_OK;
}

/* Products multiply entries unscaled and scale the sums: entries so large that these could overflow, or so
 * small that they would be lost, share a power of two with their scales. */
static int exponent_to_move(size_t n, const float *entries)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(entries[i]));
    return largest == 0 || (largest >= 0x1p-64f && largest <= 0x1p64f) ? 0 : ilogbf(largest);
}

/* The scales are to be 2^*exponent times what they are in the file. */
static lutra_status bind_codebook(lutra_binding *binding, const lutra_tensor *codebook, lutra_matrix *matrix,
                                  int *exponent, lutra_error *error)
{
    float *table;
    lutra_status status = lutra_binding_allocate(binding, 256, sizeof *table, "a codebook", &table, error);
    if (status)
        return status;
    matrix->codebook_is_i8 = codebook->dtype == LUTRA_I8;
    for (size_t i = 0; i < codebook->n_elements; i++) {
        if (matrix->codebook_is_i8)
            table[i] = (float)(int8_t)codebook->data[i];
        else
            memcpy(&table[i], codebook->data + sizeof(float) * i, sizeof(float));
    }
    *exponent = exponent_to_move(codebook->n_elements, table);
    for (size_t i = 0; i < codebook->n_elements && *exponent; i++)
        table[i] = ldexpf(table[i], -*exponent);
    matrix->codebook = table;
    return LUTRA_OK;
}

static lutra_status bind_scale(lutra_binding *binding, const lutra_tensor *scale, int exponent,
                               const float **result, lutra_error *error)
{
    const bool aligned = (uintptr_t)scale->data % sizeof(float) == 0;
    float *copy;
    if (aligned && exponent == 0) {
        *result = (const float *)(const void *)scale->data;
        return LUTRA_OK;
    }
    lutra_status status =
        lutra_binding_allocate(binding, scale->n_elements, sizeof *copy, "scales", &copy, error);
    if (status)
        return status;
    memcpy(copy, scale->data, scale->bytes);
    for (size_t i = 0; i < scale->n_elements && exponent; i++)
        copy[i] = ldexpf(copy[i], exponent);
    binding->n_copied += !aligned;
    *result = copy;
    return LUTRA_OK;
}

static lutra_status bind_clustered(lutra_binding *binding, const lutra_clustered_tensor *tensor,
                                   lutra_named_matrix *named, lutra_error *error)
{
    lutra_matrix *matrix = &named->matrix;
    lutra_status status;
    int exponent;
    named->n_clusters = tensor->n_clusters;
    named->scope = tensor->scope;
    matrix->layout = tensor->layout;
    matrix->scale_per_row = tensor->scope == LUTRA_SCOPE_ROW;
    if ((status = bind_indices(binding, tensor->indices, &matrix->indices, error)) ||
        (status = bind_codebook(binding, tensor->codebook, matrix, &exponent, error)) ||
        (status = bind_scale(binding, tensor->scale, exponent, &matrix->scale, error)))
        return status;
    mark_used(binding, tensor->indices);
    mark_used(binding, tensor->codebook);
    mark_used(binding, tensor->scale);
    binding->n_clustered_parameters += (uint64_t)tensor->n * tensor->k;
    return LUTRA_OK;
}

lutra_status lutra_binding_matrix(lutra_binding *binding, lutra_role role, size_t block, size_t n, size_t k,
                                  const lutra_named_matrix **result, lutra_error *error)
{
    struct found found;
    lutra_status status;
    size_t rank, elements = 1;
    lutra_named_matrix *named = &binding->matrices[binding->n_matrices];
    *named = (lutra_named_matrix){0};
    if ((status = find_required(binding, role, block, &found, error)) ||
        (status = lutra_binding_shape(binding, role, block, &rank, named->shape, error)))
        return status;
    for (size_t i = 1; i < rank; i++)
        elements *= named->shape[i]; /* cannot overflow: checked when the file was read */
    if (rank < 2 || named->shape[0] != n || elements != k)
        return fail_size(&found, n, k, error);
    if (k > LUTRA_MAX_INPUTS)
        return fail_found(&found, error, LUTRA_ERROR_UNSUPPORTED, "has more than 32768 inputs");
    named->name = found_name(&found);
    named->rank = rank;
    named->dtype = found.clustered ? found.clustered->dtype : found.dense->dtype;
    named->matrix = (lutra_matrix){.n = n, .k = k};
    if (found.clustered) {
        status = bind_clustered(binding, found.clustered, named, error);
    } else if ((status = check_weights(&found, error)) == LUTRA_OK) {
        named->matrix.dense = found.dense->data;
        named->matrix.dtype = found.dense->dtype;
        mark_used(binding, found.dense);
    }
    if (status)
        return status;
    binding->n_parameters += (uint64_t)n * k;
    binding->n_matrices++;
    *result = named;
    return LUTRA_OK;
}

/* What Hugging Face's files carry for training or for other tasks: it plays no part in classification. */
static bool is_ignorable(const char *name)
{
    return strstr(name, "mask_token") || strstr(name, "position_ids") || strstr(name, "pooler.dense.");
}

lutra_status lutra_binding_check_all_used(const lutra_binding *binding, lutra_error *error)
{
    for (size_t i = 0; i < lutra_safetensors_count(binding->file); i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(binding->file, i);
        if (!binding->used[i] && !is_ignorable(tensor->name))
            return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, tensor->path, tensor->offset,
                              "tensor \"%.200s\" belongs to no part of a vision transformer that Lutra runs",
                              tensor->name);
    }
    return LUTRA_OK;
}
