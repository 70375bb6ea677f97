/* SPDX-License-Identifier: Apache-2.0 */
/* A whole file, mapped read-only. Makes no assumption about the page size. */
#ifndef LUTRA_BASE_FILE_MAP_H
#define LUTRA_BASE_FILE_MAP_H

#include "base/error.h"

typedef struct lutra_file_map {
    const uint8_t *data; /* [size]; NULL for an empty file */
    size_t size;
} lutra_file_map;

lutra_status lutra_file_map_open(const char *path, lutra_file_map *map, lutra_error *error);
void lutra_file_map_close(lutra_file_map *map);

#endif
