/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* flock */
#include "whole_file.h"

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

lutra_status tool_write_whole(const char *path, const void *head, size_t head_bytes, const void *rest,
                              size_t rest_bytes, lutra_error *error)
{
    char *folder, *temporary = temporary_name(path, &folder);
    lutra_status status = LUTRA_OK;
    const int descriptor = temporary ? open_temporary(temporary) : -1;
    if (descriptor < 0) {
        status = tool_io_error(error, path, "write it", temporary ? errno : ENOMEM);
        goto cleanup;
    }
    if (!write_all(descriptor, head, head_bytes) || !write_all(descriptor, rest, rest_bytes) ||
        fsync(descriptor) != 0 || rename(temporary, path) != 0) {
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
