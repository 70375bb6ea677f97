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

/* Names come from strangers' files: a control character must not reach a person's terminal. */
static void replace_control_characters(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

lutra_status lutra_fail(lutra_error *error, lutra_status status, const char *path, uint64_t offset,
                        const char *format, ...)
{
    if (!error)
        return status;
    error->status = status;
    error->offset = offset;
    snprintf(error->path, sizeof error->path, "%s", path ? path : "");

    size_t used = 0;
    if (path && *path) {
        int n = snprintf(error->message, sizeof error->message, "%s: ", error->path);
        used = n > 0 ? (size_t)n : 0;
    }
    if (offset != LUTRA_NO_OFFSET && used < sizeof error->message) {
        int n = snprintf(error->message + used, sizeof error->message - used, "byte %" PRIu64 ": ", offset);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < sizeof error->message) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message + used, sizeof error->message - used, format, arguments);
        va_end(arguments);
    }
    replace_control_characters(error->path);
    replace_control_characters(error->message);
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
