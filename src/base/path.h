/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_BASE_PATH_H
#define LUTRA_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Whether nothing has this name. What is there and cannot be read, such as a link that leads nowhere, and
 * what cannot be asked for, is not absent: opening it tells why. */
bool lutra_is_absent(const char *path);

/* `name` in the folder of `path` -> `beside` [size]; false where it is longer than that. */
bool lutra_path_beside(const char *path, const char *name, char *beside, size_t size);

#endif
