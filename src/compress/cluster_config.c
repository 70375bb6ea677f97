/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/cluster_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "compress/sha256.h"
#include "format/clustered.h"
#include "format/json.h"

#define PIECE_BYTES ((size_t)1 << 20)

/* {"name", "bytes", "sha256"} of the file that holds `tensor`: of the bytes that were opened, whatever lies
 * at its path by now. */
static lutra_status describe_source_file(lutra_job *job, const lutra_tensor *tensor, json_t **list,
                                         lutra_error *error)
{
    const char *slash = strrchr(tensor->path, '/');
    const char *name = slash ? slash + 1 : tensor->path;
    const uint8_t *data = tensor->data - tensor->offset;
    const size_t bytes = (size_t)tensor->offset + tensor->readable;
    lutra_sha256 hash;
    char hex[65], escaped[1024];
    lutra_status status = LUTRA_OK;
    lutra_sha256_start(&hash);
    for (size_t at = 0; at < bytes && status == LUTRA_OK; at += PIECE_BYTES) {
        const size_t left = bytes - at, n = left < PIECE_BYTES ? left : PIECE_BYTES;
        lutra_sha256_add(&hash, data + at, n);
        status = lutra_job_advance(job, tensor->path, n, error);
    }
    lutra_sha256_end(&hash, hex);
    if (!lutra_is_utf8(name, strlen(name))) { /* as JSON must be; a file's name may be any bytes */
        lutra_escape(&name, escaped, sizeof escaped);
        name = escaped;
    }
    if (status == LUTRA_OK)
        lutra_json_append(
            list, json_pack("{s:s, s:I, s:s}", "name", name, "bytes", (json_int_t)bytes, "sha256", hex));
    return status;
}

static void sum_up(const json_t *files, char sum[65])
{
    lutra_sha256 hash;
    lutra_sha256_start(&hash);
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *hex = json_string_value(json_object_get(json_array_get(files, i), "sha256"));
        lutra_sha256_add(&hash, hex, strlen(hex));
        snprintf(sum, 65, "%s", hex);
    }
    if (json_array_size(files) > 1)
        lutra_sha256_end(&hash, sum);
}

lutra_status lutra_describe_source(lutra_job *job, const lutra_model *model, json_t **source, char sum[65],
                                   lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(model);
    lutra_status status = LUTRA_OK;
    const char *last = NULL;
    *source = json_array();
    /* Tensors come shard after shard. */
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        if (!last || strcmp(tensor->path, last) != 0)
            status = describe_source_file(job, tensor, source, error);
        last = tensor->path;
    }
    if (status == LUTRA_OK && !*source)
        return lutra_fail_memory(error, SIZE_MAX, "the source's description");
    if (status == LUTRA_OK)
        sum_up(*source, sum);
    return status;
}

bool lutra_codebook_is_i8(const lutra_cluster_options *options, size_t n_clusters)
{
    if (options->codebook != LUTRA_CODEBOOK_AUTO)
        return options->codebook == LUTRA_CODEBOOK_I8;
    return n_clusters <= 128 && options->scope != LUTRA_SCOPE_MODEL;
}

static json_t *describe_matrix(const lutra_named_matrix *named, size_t n_clusters, lutra_scope scope)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < named->rank; i++)
        lutra_json_append(&shape, json_integer((json_int_t)named->shape[i]));
    return json_pack("{s:o, s:s, s:I, s:i, s:s}", "shape", shape, "dtype", lutra_dtype_name(named->dtype),
                     "clusters", (json_int_t)n_clusters, "bits", (int)lutra_index_bits(n_clusters), "scope",
                     lutra_scope_name(scope));
}

/* How it was clustered: into how many, or for which budget. */
static json_t *describe_clustering(const lutra_cluster_options *options)
{
    static const char *const units[] = {NULL, "bytes", "bits", "kl"};
    const size_t pictures = options->calibration_pixels ? options->n_calibration_pictures : 0;
    json_t *json = json_object();
    if (options->budget_unit)
        lutra_json_set(&json, "budget", json_pack("{s:f}", units[options->budget_unit], options->budget));
    else
        lutra_json_set(&json, "clusters", json_integer((json_int_t)options->n_clusters));
    lutra_json_set(&json, "scope", json_string(lutra_scope_name(options->scope)));
    lutra_json_set(&json, "codebook",
                   json_string(lutra_codebook_is_i8(options, options->budget_unit ? 2 : options->n_clusters)
                                   ? "I8"
                                   : "F32"));
    lutra_json_set(&json, "exact", json_boolean(options->exact));
    lutra_json_set(&json, "calibration_pictures", json_integer((json_int_t)pictures));
    lutra_json_set(&json, "library", json_string(lutra_version()));
    return json;
}

lutra_status lutra_cluster_config(const lutra_model *model, const lutra_cluster_options *options,
                                  const size_t *n_clusters, json_t *source, char **text, lutra_error *error)
{
    char *description = NULL;
    lutra_status status = lutra_model_describe(model, &description, error);
    if (status)
        return status;
    json_t *config, *tensors = json_object();
    status = lutra_json_parse(description, strlen(description), NULL, LUTRA_NO_OFFSET, &config, error);
    free(description);
    for (size_t i = 0; i < lutra_model_n_matrices(model); i++) {
        const lutra_named_matrix *named = lutra_model_matrix(model, i);
        lutra_json_set(&tensors, named->name, describe_matrix(named, n_clusters[i], options->scope));
    }
    lutra_json_set(&config, "clustering", describe_clustering(options));
    lutra_json_set(&config, "source", json_incref(source));
    lutra_json_set(&config, "tensors", tensors);
    if (status == LUTRA_OK)
        status = lutra_json_text(config, JSON_COMPACT, "the output's description", text, error);
    json_decref(config);
    return status;
}
