/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a function fails:
 *
 *     if (header_size > file->size)
 *         return lutra_fail(error, LUTRA_ERROR_FORMAT, path, 0, "the header claims %" PRIu64 " bytes", n);
 *
 * The message becomes "PATH: byte OFFSET: the header claims ...".
 */
#ifndef LUTRA_BASE_ERROR_H
#define LUTRA_BASE_ERROR_H

#include <inttypes.h>

#include "lutra/lutra.h"

/* Fills `error` (unless NULL) and returns `status`. `path` may be NULL, `offset` LUTRA_NO_OFFSET. */
lutra_status lutra_fail(lutra_error *error, lutra_status status, const char *path, uint64_t offset,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));

/* LUTRA_ERROR_MEMORY: "cannot allocate SIZE bytes for WHAT". */
lutra_status lutra_fail_memory(lutra_error *error, size_t size, const char *what);

/* LUTRA_ERROR_IO with the text of `error_number`: "PATH: cannot ACTION: No space left on device". */
lutra_status lutra_fail_errno(lutra_error *error, int error_number, const char *path, const char *action);

#endif
