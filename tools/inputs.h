/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of files: what classify, embed and eval read. */
#ifndef LUTRA_TOOLS_INPUTS_H
#define LUTRA_TOOLS_INPUTS_H

#include "command.h"

typedef struct tool_files {
    char **paths; /* [n], owned */
    size_t n, capacity;
} tool_files;

/* False when out of memory. */
bool tool_files_add(tool_files *files, const char *path);
void tool_files_free(tool_files *files);

/* Adds the pictures in folder `path` (by their endings), sorted. Hidden files are passed over. */
lutra_status tool_files_add_folder(tool_files *files, const char *path, lutra_error *error);

/* Adds the names of the subfolders of `path`, sorted bytewise as Python's sorted() does. */
lutra_status tool_files_add_subfolders(tool_files *files, const char *path, lutra_error *error);

/* What a person named -> pictures: a file, "-" (standard input, once), a folder and what is below it (links
 * to folders are not followed), or "@LIST" with one of these a line. Says what cannot be read and counts it
 * in `*unreadable`. Returns the exit status: done, interrupted or out of memory. */
int tool_files_expand(tool_files *files, const char *const *inputs, size_t n, size_t *unreadable);

bool tool_is_folder(const char *path);
bool tool_is_picture_name(const char *path);
/* A safetensors file (by its name or its first bytes) or a folder that holds one or a config.json. */
bool tool_is_model(const char *path);

/* "folder/name", allocated; NULL when out of memory. */
char *tool_join(const char *folder, const char *name);

/* The IO error of `number` (errno): "PATH: cannot ACTION: No such file or directory". */
lutra_status tool_io_error(lutra_error *error, const char *path, const char *action, int number);

/* Refuses, before hours of work, an output that is a folder or lies in none, or is one of the `n` inputs or
 * the list that one names ("@LIST"); NULLs among them are passed over. */
lutra_status tool_check_output(const char *output, const char *const *inputs, size_t n, lutra_error *error);
/* The same for what is no model: a model, there or by its name, and a model's configuration are refused too.
 */
lutra_status tool_check_document(const char *output, const char *const *inputs, size_t n, lutra_error *error);

/* A whole file of less than 2^30 bytes -> `bytes` [`*n` + 1], ended by 0, allocated; "-" is standard input.
 * IO once interrupted. */
lutra_status tool_read_file(const char *path, char **bytes, size_t *n, lutra_error *error);
/* The same, of a text, without the byte order mark that it may begin with: FORMAT where a byte of it is 0. */
lutra_status tool_read_text(const char *path, char **text, lutra_error *error);

#endif
