/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading safetensors: the header checked in full, the tensors as pointers into the mapped bytes.
 *
 *     lutra_safetensors *file;
 *     lutra_safetensors_open("model.safetensors", &file, &error);
 *     const lutra_tensor *weight = lutra_safetensors_find(file, "head.weight");
 *
 * On success every tensor lies within the file, none overlap, and bytes = product of shape x dtype size.
 */
#ifndef LUTRA_FORMAT_SAFETENSORS_H
#define LUTRA_FORMAT_SAFETENSORS_H

#include <stdbool.h>

#include "base/error.h"

#define LUTRA_MAX_TENSORS 65536 /* of a file and its shards together; ViT-g has 500 */
#define LUTRA_MAX_SHARDS 1024

typedef struct lutra_tensor {
    const char *name;
    lutra_dtype dtype;
    size_t rank;
    size_t shape[LUTRA_MAX_RANK];
    size_t n_elements;
    const uint8_t *data; /* [bytes], unaligned */
    size_t bytes;
    uint64_t offset;  /* of data in the file */
    size_t readable;  /* bytes from data to the end of the file */
    const char *path; /* the file it lies in */
} lutra_tensor;

typedef struct lutra_safetensors lutra_safetensors;

/* A .safetensors file, or the index of shards (*.index.json), whose tensors then appear as one list. */
lutra_status lutra_safetensors_open(const char *path, lutra_safetensors **file, lutra_error *error);
/* The same, read into memory where `copy` is set instead of mapped (base/file_map.h). */
lutra_status lutra_safetensors_open_as(const char *path, bool copy, lutra_safetensors **file,
                                       lutra_error *error);
/* `data` must outlive the result; `name` stands in messages. */
lutra_status lutra_safetensors_open_memory(const void *data, size_t size, const char *name,
                                           lutra_safetensors **file, lutra_error *error);
void lutra_safetensors_close(lutra_safetensors *file);

size_t lutra_safetensors_count(const lutra_safetensors *file);
/* In the order of their offsets (shard after shard). */
const lutra_tensor *lutra_safetensors_at(const lutra_safetensors *file, size_t index);
const lutra_tensor *lutra_safetensors_find(const lutra_safetensors *file, const char *name);
const char *lutra_safetensors_metadata(const lutra_safetensors *file, const char *key); /* or NULL */
uint64_t lutra_safetensors_bytes(const lutra_safetensors *file);                        /* of all files */
const char *lutra_safetensors_path(const lutra_safetensors *file);

#endif
