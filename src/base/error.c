/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *lutra_status_name(lutra_status status)
{
    switch (status) {
    case LUTRA_OK:
        return "ok";
    case LUTRA_ERROR_ARGUMENT:
        return "argument";
    case LUTRA_ERROR_MEMORY:
        return "memory";
    case LUTRA_ERROR_IO:
        return "io";
    case LUTRA_ERROR_FORMAT:
        return "format";
    case LUTRA_ERROR_UNSUPPORTED:
        return "unsupported";
    case LUTRA_ERROR_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

lutra_status lutra_fail(lutra_error *error, lutra_status status, const char *path, uint64_t offset,
                        const char *format, ...)
{
    if (!error)
        return status;
    error->status = status;
    error->offset = offset;

    char text[sizeof error->message] = "";
    size_t used = 0;
    if (path && *path) {
        int n = snprintf(text, sizeof text, "%.*s: ", (int)sizeof error->path - 1, path);
        used = n > 0 ? (size_t)n : 0;
    }
    if (offset != LUTRA_NO_OFFSET && used < sizeof text) {
        int n = snprintf(text + used, sizeof text - used, "byte %" PRIu64 ": ", offset);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < sizeof text) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text + used, sizeof text - used, format, arguments);
        va_end(arguments);
    }
    /* Names come from strangers' files: what steers a terminal must not reach a person's. */
    const char *from = path ? path : "", *message = text;
    lutra_escape(&from, error->path, sizeof error->path);
    lutra_escape(&message, error->message, sizeof error->message);
    return status;
}

lutra_status lutra_fail_memory(lutra_error *error, size_t size, const char *what)
{
    return lutra_fail(error, LUTRA_ERROR_MEMORY, NULL, LUTRA_NO_OFFSET, "cannot allocate %zu bytes for %s",
                      size, what);
}

lutra_status lutra_fail_errno(lutra_error *error, int error_number, const char *path, const char *action)
{
    char text[128];
    /* The POSIX strerror_r: no shared buffer between threads. */
    if (strerror_r(error_number, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", error_number);
    return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "cannot %s: %s", action, text);
}
