/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/path.h"
#include "format/atomic_file.h"
#include "format/clustered.h"
#include "format/json.h"

#define PIECE_BYTES ((size_t)4 << 20)

lutra_status lutra_job_advance(lutra_job *job, const char *what, uint64_t bytes, lutra_error *error)
{
    job->done += bytes;
    if (job->progress && !job->progress(job->user, what, job->done, job->total))
        return lutra_fail(error, LUTRA_ERROR_CANCELLED, NULL, LUTRA_NO_OFFSET, "cancelled");
    return LUTRA_OK;
}

lutra_status lutra_job_run_steps(lutra_job *job, const lutra_model *model, lutra_context *context,
                                 size_t first, const uint8_t *pixels, size_t n_pictures, lutra_error *error)
{
    lutra_status status = LUTRA_OK;
    for (size_t i = first; i < lutra_model_n_steps(model) && status == LUTRA_OK; i++) {
        lutra_context_step(context, i, pixels, n_pictures, NULL, NULL);
        status = lutra_job_advance(job, "outputs", 0, error);
    }
    return status;
}

lutra_status lutra_job_copy(lutra_job *job, lutra_writer *writer, size_t slot, const lutra_tensor *tensor,
                            lutra_error *error)
{
    lutra_status status = LUTRA_OK;
    for (size_t at = 0; at < tensor->bytes && status == LUTRA_OK; at += PIECE_BYTES) {
        const size_t left = tensor->bytes - at, bytes = left < PIECE_BYTES ? left : PIECE_BYTES;
        status = lutra_writer_write(writer, slot, at, tensor->data + at, bytes, error);
        if (status == LUTRA_OK)
            status = lutra_job_advance(job, tensor->name, bytes, error);
    }
    return status;
}

lutra_status lutra_job_name_tensor(const lutra_model *model, const char *name, lutra_status status,
                                   lutra_error *error)
{
    char message[sizeof error->message];
    if (!error || status == LUTRA_ERROR_MEMORY)
        return status;
    snprintf(message, sizeof message, "%s", error->message);
    return lutra_fail(error, status, lutra_safetensors_path(lutra_model_file(model)), LUTRA_NO_OFFSET,
                      "tensor %s: %s", name, message);
}

static bool is_same_file(const struct stat *file, const char *path)
{
    struct stat other;
    return stat(path, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

/* Whether it is `name` in the folder of `path`. */
static bool is_beside(const struct stat *file, const char *path, const char *name)
{
    char beside[4096];
    return lutra_path_beside(path, name, beside, sizeof beside) && is_same_file(file, beside);
}

static bool is_input(const lutra_safetensors *file, const char *output)
{
    const char *path = lutra_safetensors_path(file); /* the file, or the index of shards */
    struct stat out;
    if (stat(output, &out) != 0)
        return false; /* new, or the writer will say what is wrong */
    bool found = is_same_file(&out, path) || is_beside(&out, path, "config.json") ||
                 is_beside(&out, path, "preprocessor_config.json");
    for (size_t i = 0; i < lutra_safetensors_count(file) && !found; i++) {
        const char *shard = lutra_safetensors_at(file, i)->path;
        found = shard != path && is_same_file(&out, shard); /* one after the other */
        path = shard;
    }
    return found;
}

lutra_status lutra_job_check_output(const lutra_model *model, const char *output, lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(model);
    char temporary[4096];
    if (is_input(file, output))
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, output, LUTRA_NO_OFFSET,
                          "is a file of the input; name another one to write");
    /* Who rescues what a killed writer had nearly finished. */
    if (lutra_atomic_file_temporary(output, temporary, sizeof temporary) && is_input(file, temporary))
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, output, LUTRA_NO_OFFSET,
                          "its temporary file is a file of the input; rename that one before");
    return LUTRA_OK;
}

static bool add_name(json_t *names, const char *name, const char *suffix)
{
    const size_t n = strlen(name), n_suffix = strlen(suffix);
    char *text = malloc(n + n_suffix + 1);
    if (!text)
        return false;
    memcpy(text, name, n);
    memcpy(text + n, suffix, n_suffix + 1);
    const bool added = json_object_set_new(names, text, json_true()) == 0;
    free(text);
    return added;
}

json_t *lutra_matrix_tensor_names(const lutra_model *model)
{
    json_t *names = json_object();
    bool complete = names && add_name(names, LUTRA_MODEL_CODEBOOK, "");
    for (size_t i = 0; i < lutra_model_n_matrices(model) && complete; i++) {
        const lutra_named_matrix *matrix = lutra_model_matrix(model, i);
        if (matrix->n_clusters == 0)
            complete = add_name(names, matrix->name, "");
        else
            complete = add_name(names, matrix->name, ".indices") &&
                       add_name(names, matrix->name, ".codebook") && add_name(names, matrix->name, ".scale");
    }
    if (!complete) {
        json_decref(names);
        return NULL;
    }
    return names;
}

lutra_status lutra_begin_dense(lutra_writer *writer, const char *description, lutra_error *error)
{
    /* "format" tells the readers of PyTorch that its conventions hold. */
    static const char *const keys[] = {"format", "lutra.version", "lutra.config"};
    json_t *config;
    lutra_status status =
        lutra_json_parse(description, strlen(description), NULL, LUTRA_NO_OFFSET, &config, error);
    if (status)
        return status;
    lutra_json_set(&config, "tensors", json_object());
    char *text;
    status = lutra_json_text(config, JSON_COMPACT, "the output's description", &text, error);
    const char *const values[] = {"pt", LUTRA_FORMAT_VERSION, text};
    if (status == LUTRA_OK)
        status = lutra_writer_begin(writer, keys, values, 3, error);
    free(text);
    json_decref(config);
    return status;
}
