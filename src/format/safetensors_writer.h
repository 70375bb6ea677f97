/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing safetensors, whole or not at all:
 *
 *     lutra_writer_declare(writer, "head.weight.indices", LUTRA_U8, 1, shape, error);  // all, first
 *     lutra_writer_begin(writer, metadata, error);      // writes the header; data starts 64-byte aligned
 *     lutra_writer_write(writer, slot, 0, data, bytes, error); // in any order, in pieces
 *     lutra_writer_commit(writer, error);               // sync, rename, sync the folder
 *     lutra_writer_free(writer);                        // without commit: the temporary is removed
 *
 * Tensors lie in the order of docs/format.md: first those declared as indices, then F64, F32, F16/BF16,
 * I8/U8.
 */
#ifndef LUTRA_FORMAT_SAFETENSORS_WRITER_H
#define LUTRA_FORMAT_SAFETENSORS_WRITER_H

#include "base/error.h"

typedef struct lutra_writer lutra_writer;

/* Opens `.NAME.lutra-tmp` beside `path`, without following links, locked. Errors: IO (a folder, no
 * permission, another writer at work). */
lutra_status lutra_writer_create(const char *path, lutra_writer **writer, lutra_error *error);
void lutra_writer_free(lutra_writer *writer); /* NULL is fine */

/* As after lutra_writer_create: nothing is declared. Nobody else can have written to it in between. */
lutra_status lutra_writer_restart(lutra_writer *writer, lutra_error *error);

/* Returns the slot of the tensor through `slot`. Names ending in ".indices" (U8, a multiple of 64 bytes) go
 * first. */
lutra_status lutra_writer_declare(lutra_writer *writer, const char *name, lutra_dtype dtype, size_t rank,
                                  const size_t *shape, size_t *slot, lutra_error *error);

/* `keys` and `values` [n_metadata]. */
lutra_status lutra_writer_begin(lutra_writer *writer, const char *const *keys, const char *const *values,
                                size_t n_metadata, lutra_error *error);
/* Of the whole file; from lutra_writer_begin on. */
uint64_t lutra_writer_bytes(const lutra_writer *writer);
/* Bytes `offset`..`offset + bytes` of the tensor in `slot`. Two threads may write at once. */
lutra_status lutra_writer_write(lutra_writer *writer, size_t slot, size_t offset, const void *data,
                                size_t bytes, lutra_error *error);
/* Everything declared must have been written. `file_bytes` may be NULL. */
lutra_status lutra_writer_commit(lutra_writer *writer, uint64_t *file_bytes, lutra_error *error);

#endif
