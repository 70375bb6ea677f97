/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation with a checked size, zeroed and aligned to a cache line. Free with free(). */
#ifndef LUTRA_BASE_MEMORY_H
#define LUTRA_BASE_MEMORY_H

#include "base/error.h"

#define LUTRA_ALIGNMENT 64

/* `count` elements of `size` bytes; LUTRA_ERROR_MEMORY (also on overflow) names `what`. count * size == 0
 * yields a valid pointer. */
lutra_status lutra_allocate(size_t count, size_t size, const char *what, void *pointer, lutra_error *error);

#endif
