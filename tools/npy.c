/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* flock */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inputs.h"

#define HEADER_BYTES 128

/* Magic, version 1.0, the length of the rest, and a Python dictionary padded with spaces. */
static void make_header(char header[HEADER_BYTES], size_t n_rows, size_t n_columns)
{
    static const unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER_BYTES - 10, 0};
    const unsigned one = 1;
    unsigned char low;
    memcpy(&low, &one, 1);
    memset(header, ' ', HEADER_BYTES);
    memcpy(header, start, sizeof start);
    char text[HEADER_BYTES];
    const int n =
        snprintf(text, sizeof text, "{'descr': '%cf4', 'fortran_order': False, 'shape': (%zu, %zu), }",
                 low ? '<' : '>', n_rows, n_columns);
    memcpy(header + sizeof start, text, (size_t)n);
    header[HEADER_BYTES - 1] = '\n';
}

static bool write_all(int descriptor, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes) {
        const ssize_t n = write(descriptor, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* ".NAME.lutra-tmp" in the folder of `path`, which goes to `folder`; both allocated, NULL when out of memory.
 */
static char *temporary_name(const char *path, char **folder)
{
    char *copy = strdup(path), *name = NULL, *result = NULL;
    *folder = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    copy = strdup(path);
    const char *base = copy ? basename(copy) : NULL;
    if (base && *folder && (name = malloc(strlen(base) + 13))) {
        snprintf(name, strlen(base) + 13, ".%s.lutra-tmp", base);
        result = tool_join(*folder, name);
    }
    free(name);
    free(copy);
    return result;
}

/* The temporary, empty and locked; -1 and errno. A stale one of a killed run is used again. */
static int open_temporary(const char *path)
{
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor >= 0 && (flock(descriptor, LOCK_EX | LOCK_NB) != 0 || ftruncate(descriptor, 0) != 0)) {
        const int number = errno;
        close(descriptor);
        errno = number;
        return -1;
    }
    return descriptor;
}

static void sync_folder(const char *folder)
{
    const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    fsync(descriptor); /* not every file system can: the rename has happened either way */
    close(descriptor);
}

lutra_status tool_write_npy(const char *path, const float *values, size_t n_rows, size_t n_columns,
                            lutra_error *error)
{
    char header[HEADER_BYTES];
    char *folder, *temporary = temporary_name(path, &folder);
    lutra_status status = LUTRA_OK;
    const int descriptor = temporary ? open_temporary(temporary) : -1;
    if (descriptor < 0) {
        status = tool_io_error(error, path, "write it", temporary ? errno : ENOMEM);
        goto cleanup;
    }
    make_header(header, n_rows, n_columns);
    if (!write_all(descriptor, header, sizeof header) ||
        !write_all(descriptor, values, n_rows * n_columns * sizeof *values) || fsync(descriptor) != 0 ||
        rename(temporary, path) != 0) {
        status = tool_io_error(error, path, "write it", errno);
        unlink(temporary);
    }
    if (close(descriptor) != 0 && !status)
        status = tool_io_error(error, path, "write it", errno);
    if (!status)
        sync_folder(folder);
cleanup:
    free(temporary);
    free(folder);
    return status;
}
