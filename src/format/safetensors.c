/* SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/memory.h"
#include "base/path.h"
#include "format/json.h"
#include "format/safetensors_header.h"

struct shard {
    char *path;
    lutra_file_map map;
    bool owns_map;
    json_t *header; /* holds the tensors' names and the metadata */
};

struct lutra_safetensors {
    char *path;
    bool copies;
    lutra_json_room room; /* for the headers of all shards */
    struct shard *shards; /* [n_shards] */
    size_t n_shards;
    lutra_tensor *tensors;        /* [n_tensors], shard after shard, by offset */
    const lutra_tensor **by_name; /* [n_tensors] */
    size_t n_tensors;
};

static lutra_status copy_string(const char *text, char **copy, lutra_error *error)
{
    *copy = strdup(text);
    return *copy ? LUTRA_OK : lutra_fail_memory(error, strlen(text) + 1, "a path");
}

void lutra_safetensors_close(lutra_safetensors *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->n_shards; i++) {
        json_decref(file->shards[i].header);
        if (file->shards[i].owns_map)
            lutra_file_map_close(&file->shards[i].map);
        free(file->shards[i].path);
    }
    free(file->shards);
    free(file->tensors);
    free(file->by_name);
    free(file->path);
    free(file);
}

static lutra_status append_tensors(lutra_safetensors *file, lutra_tensor *tensors, size_t n,
                                   lutra_error *error)
{
    if (n == 0) { /* realloc to no bytes may free what it was given, or not */
        free(tensors);
        return LUTRA_OK;
    }
    if (!file->tensors) {
        file->tensors = tensors;
        file->n_tensors = n;
        return LUTRA_OK;
    }
    if (n > LUTRA_MAX_TENSORS - file->n_tensors) {
        free(tensors);
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, file->path, LUTRA_NO_OFFSET,
                          "its shards declare more than %d tensors", LUTRA_MAX_TENSORS);
    }
    lutra_tensor *all = realloc(file->tensors, (file->n_tensors + n) * sizeof *all);
    if (!all) {
        free(tensors);
        return lutra_fail_memory(error, (file->n_tensors + n) * sizeof *all, "tensors");
    }
    memcpy(all + file->n_tensors, tensors, n * sizeof *all);
    free(tensors);
    file->tensors = all;
    file->n_tensors += n;
    return LUTRA_OK;
}

/* The next free shard, its path and map set, becomes part of the file. */
static lutra_status parse_shard(lutra_safetensors *file, lutra_error *error)
{
    struct shard *shard = &file->shards[file->n_shards++];
    lutra_tensor *tensors;
    size_t n;
    lutra_status status = lutra_safetensors_parse(shard->map.data, shard->map.size, shard->path, &file->room,
                                                  &shard->header, &tensors, &n, error);
    return status ? status : append_tensors(file, tensors, n, error);
}

static lutra_status map_shard(lutra_safetensors *file, const char *path, lutra_error *error)
{
    struct shard *shard = &file->shards[file->n_shards];
    lutra_status status = copy_string(path, &shard->path, error);
    if (status)
        return status;
    status = file->copies ? lutra_file_map_read(path, SIZE_MAX, &shard->map, error)
                          : lutra_file_map_open(path, &shard->map, error);
    if (status) {
        free(shard->path);
        return status;
    }
    shard->owns_map = true;
    return parse_shard(file, error);
}

static int compare_names(const void *left, const void *right)
{
    const lutra_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static lutra_status index_names(lutra_safetensors *file, lutra_error *error)
{
    lutra_status status =
        lutra_allocate(file->n_tensors, sizeof *file->by_name, "tensor names", &file->by_name, error);
    if (status)
        return status;
    for (size_t i = 0; i < file->n_tensors; i++)
        file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->n_tensors, sizeof *file->by_name, compare_names);
    for (size_t i = 1; i < file->n_tensors; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, file->by_name[i]->path, file->by_name[i]->offset,
                              "tensor \"%.200s\" is also in another shard", file->by_name[i]->name);
    return LUTRA_OK;
}

/* A shard's name must stay inside the folder of its index: it comes from a stranger. */
static bool is_plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool has_shard(const lutra_safetensors *file, const char *path)
{
    for (size_t i = 0; i < file->n_shards; i++)
        if (strcmp(file->shards[i].path, path) == 0)
            return true;
    return false;
}

static lutra_status open_shards(lutra_safetensors *file, const json_t *weight_map, lutra_error *error)
{
    const char *name;
    json_t *value;
    char path[4096];
    if (json_object_size(weight_map) > LUTRA_MAX_TENSORS)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, file->path, LUTRA_NO_OFFSET,
                          "names %zu tensors; the limit is %d", json_object_size(weight_map),
                          LUTRA_MAX_TENSORS);
    lutra_status status =
        lutra_allocate(LUTRA_MAX_SHARDS, sizeof *file->shards, "shards", &file->shards, error);
    json_object_foreach((json_t *)(uintptr_t)weight_map, name, value)
    {
        if (status)
            return status;
        const char *shard = json_string_value(value);
        if (!shard || !is_plain_name(shard))
            return lutra_fail(error, LUTRA_ERROR_FORMAT, file->path, LUTRA_NO_OFFSET,
                              "tensor \"%.200s\" does not name a file beside the index", name);
        if (!lutra_path_beside(file->path, shard, path, sizeof path))
            return lutra_fail(error, LUTRA_ERROR_IO, file->path, LUTRA_NO_OFFSET, "has too long a path");
        if (has_shard(file, path))
            continue;
        if (file->n_shards == LUTRA_MAX_SHARDS)
            return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, file->path, LUTRA_NO_OFFSET,
                              "names more than %d shards", LUTRA_MAX_SHARDS);
        status = map_shard(file, path, error);
    }
    if (status == LUTRA_OK)
        status = index_names(file, error);
    if (status)
        return status;
    json_object_foreach((json_t *)(uintptr_t)weight_map, name, value) if (
        !lutra_safetensors_find(file, name)) return lutra_fail(error, LUTRA_ERROR_FORMAT, file->path,
                                                               LUTRA_NO_OFFSET,
                                                               "tensor \"%.200s\" is missing from %.200s",
                                                               name, json_string_value(value));
    return LUTRA_OK;
}

static lutra_status open_index(lutra_safetensors *file, lutra_error *error)
{
    json_t *index;
    lutra_status status = lutra_json_read_optional(file->path, &index, error);
    if (status)
        return status;
    const json_t *weight_map = json_object_get(index, "weight_map");
    if (!index)
        status = lutra_fail(error, LUTRA_ERROR_IO, file->path, LUTRA_NO_OFFSET, "does not exist");
    else if (!json_is_object(weight_map))
        status = lutra_fail(error, LUTRA_ERROR_FORMAT, file->path, LUTRA_NO_OFFSET,
                            "is no index of shards: it has no \"weight_map\"");
    else
        status = open_shards(file, weight_map, error);
    json_decref(index);
    return status;
}

static lutra_status new_file(const char *path, lutra_safetensors **file, lutra_error *error)
{
    lutra_status status = lutra_allocate(1, sizeof **file, "a model file", file, error);
    if (status)
        return status;
    (*file)->room = LUTRA_JSON_ROOM;
    return copy_string(path, &(*file)->path, error);
}

static lutra_status open_one(lutra_safetensors *file, const void *data, size_t size, lutra_error *error)
{
    lutra_status status = lutra_allocate(1, sizeof *file->shards, "a model file", &file->shards, error);
    if (status)
        return status;
    if (data) {
        file->shards[0].map = (lutra_file_map){.data = data, .size = size};
        status = copy_string(file->path, &file->shards[0].path, error);
        status = status ? status : parse_shard(file, error);
    } else {
        status = map_shard(file, file->path, error);
    }
    return status ? status : index_names(file, error);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), n = strlen(end);
    return length >= n && strcmp(text + length - n, end) == 0;
}

lutra_status lutra_safetensors_open(const char *path, lutra_safetensors **result, lutra_error *error)
{
    return lutra_safetensors_open_as(path, false, result, error);
}

lutra_status lutra_safetensors_open_as(const char *path, bool copy, lutra_safetensors **result,
                                       lutra_error *error)
{
    lutra_safetensors *file = NULL;
    *result = NULL;
    lutra_status status = new_file(path, &file, error);
    if (status == LUTRA_OK)
        file->copies = copy;
    if (status == LUTRA_OK)
        status = ends_with(path, ".json") ? open_index(file, error) : open_one(file, NULL, 0, error);
    if (status)
        lutra_safetensors_close(file);
    else
        *result = file;
    return status;
}

lutra_status lutra_safetensors_open_memory(const void *data, size_t size, const char *name,
                                           lutra_safetensors **result, lutra_error *error)
{
    lutra_safetensors *file = NULL;
    *result = NULL;
    if (!data)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, name, LUTRA_NO_OFFSET, "no data");
    lutra_status status = new_file(name, &file, error);
    if (status == LUTRA_OK)
        status = open_one(file, data, size, error);
    if (status)
        lutra_safetensors_close(file);
    else
        *result = file;
    return status;
}

size_t lutra_safetensors_count(const lutra_safetensors *file)
{
    return file->n_tensors;
}

const lutra_tensor *lutra_safetensors_at(const lutra_safetensors *file, size_t index)
{
    return index < file->n_tensors ? &file->tensors[index] : NULL;
}

const lutra_tensor *lutra_safetensors_find(const lutra_safetensors *file, const char *name)
{
    size_t low = 0, high = file->n_tensors;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *lutra_safetensors_metadata(const lutra_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->n_shards; i++) {
        const json_t *metadata = json_object_get(file->shards[i].header, "__metadata__");
        const char *value = json_string_value(json_object_get(metadata, key));
        if (value)
            return value;
    }
    return NULL;
}

uint64_t lutra_safetensors_bytes(const lutra_safetensors *file)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < file->n_shards; i++)
        bytes += file->shards[i].map.size;
    return bytes;
}

const char *lutra_safetensors_path(const lutra_safetensors *file)
{
    return file->path;
}
