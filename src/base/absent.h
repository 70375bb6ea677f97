/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_BASE_ABSENT_H
#define LUTRA_BASE_ABSENT_H

#include <stdbool.h>

/* Whether nothing has this name. What is there and cannot be read, such as a link that leads nowhere, and
 * what cannot be asked for, is not absent: opening it tells why. */
bool lutra_is_absent(const char *path);

#endif
