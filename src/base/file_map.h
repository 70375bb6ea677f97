/* SPDX-License-Identifier: Apache-2.0 */
/* A whole file in memory: mapped read-only, or read. Makes no assumption about the page size. Where another
 * program cuts a mapped file short, looking at what is gone ends the program (SIGBUS); what was read stays.
 */
#ifndef LUTRA_BASE_FILE_MAP_H
#define LUTRA_BASE_FILE_MAP_H

#include <stdbool.h>

#include "base/error.h"

typedef struct lutra_file_map {
    const uint8_t *data; /* [size]; NULL for an empty file */
    size_t size;
    bool is_copy;
} lutra_file_map;

lutra_status lutra_file_map_open(const char *path, lutra_file_map *map, lutra_error *error);
/* Reads it; one with more than `limit` bytes is refused (FORMAT), one that shrinks meanwhile too (IO). */
lutra_status lutra_file_map_read(const char *path, size_t limit, lutra_file_map *map, lutra_error *error);
void lutra_file_map_close(lutra_file_map *map);

#endif
