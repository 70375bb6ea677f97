/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears whole or not at all:
 *
 *     lutra_atomic_file_open("model.safetensors", &file, error);   // .model.safetensors.lutra-tmp, locked
 *     lutra_atomic_file_write(file, 0, data, size, error);         // in any order, from any thread
 *     lutra_atomic_file_commit(file, error);                       // sync, rename, sync the folder
 *     lutra_atomic_file_close(file);                               // uncommitted: the temporary is removed
 *
 * What an interrupted run left behind is not locked any more and is used again; a locked temporary belongs to
 * a writer at work and is an error. A symbolic link at `path` is itself replaced by the file; a file that is
 * replaced passes its permissions on.
 */
#ifndef LUTRA_FORMAT_ATOMIC_FILE_H
#define LUTRA_FORMAT_ATOMIC_FILE_H

#include <stdbool.h>

#include "base/error.h"

typedef struct lutra_atomic_file lutra_atomic_file;

/* Errors: ARGUMENT ("-"), IO (a folder, a device, no permission, another writer at work). */
lutra_status lutra_atomic_file_open(const char *path, lutra_atomic_file **file, lutra_error *error);
lutra_status lutra_atomic_file_write(lutra_atomic_file *file, uint64_t offset, const void *data, size_t bytes,
                                     lutra_error *error);
/* Empties it; it stays this writer's. */
lutra_status lutra_atomic_file_restart(lutra_atomic_file *file, lutra_error *error);
lutra_status lutra_atomic_file_commit(lutra_atomic_file *file, lutra_error *error);
void lutra_atomic_file_close(lutra_atomic_file *file); /* NULL is fine */

/* The temporary of an output at `path` -> `temporary` [size]; false where it is longer than that. */
bool lutra_atomic_file_temporary(const char *path, char *temporary, size_t size);

const char *lutra_atomic_file_path(const lutra_atomic_file *file);

#endif
