/* SPDX-License-Identifier: Apache-2.0 */
/* Reads memory in order and does nothing else, as wide as a level's kernels read. */
#ifndef LUTRA_PROFILE_READ_LOOP_H
#define LUTRA_PROFILE_READ_LOOP_H

#include <stddef.h>

#define LUTRA_READ_LOOP_BYTES ((size_t)512) /* of which `bytes` is a multiple above 0 */

typedef void lutra_read_loop(const void *memory, size_t bytes);

/* The CPU must support the level. */
lutra_read_loop *lutra_read_loop_of(const char *level);

#endif
