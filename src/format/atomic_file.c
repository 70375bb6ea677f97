/* SPDX-License-Identifier: Apache-2.0 */
#include "format/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/path.h"

/* Another writer may rename or remove the temporary between our opening and our locking it: then we try
 * again. More often than this in a row is no accident. */
#define MAX_ATTEMPTS 100

struct lutra_atomic_file {
    char *path;
    char *name;      /* the last part of path */
    char *temporary; /* .NAME.lutra-tmp */
    int folder;      /* descriptors; -1: not open */
    int descriptor;  /* of the temporary, locked */
};

/* ".NAME.lutra-tmp", with the 0. */
static size_t temporary_size(const char *name)
{
    return strlen(name) + sizeof "..lutra-tmp";
}

static void name_temporary(const char *name, char *temporary /* [temporary_size] */)
{
    snprintf(temporary, temporary_size(name), ".%s.lutra-tmp", name);
}

bool lutra_atomic_file_temporary(const char *path, char *temporary, size_t size)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char beside[256]; /* longer than any file's name may be */
    if (temporary_size(name) > sizeof beside)
        return false;
    name_temporary(name, beside);
    return lutra_path_beside(path, beside, temporary, size);
}

/* path = FOLDER/NAME -> "FOLDER", "NAME" and ".NAME.lutra-tmp". */
static lutra_status split_path(lutra_atomic_file *file, const char *path, char **folder, lutra_error *error)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const size_t n_folder = slash ? (size_t)(slash - path) + 1 : 1, n_name = strlen(name);
    lutra_status status;
    if ((status = lutra_allocate(strlen(path) + 1, 1, "a path", &file->path, error)) ||
        (status = lutra_allocate(n_name + 1, 1, "a path", &file->name, error)) ||
        (status = lutra_allocate(temporary_size(name), 1, "a path", &file->temporary, error)) ||
        (status = lutra_allocate(n_folder + 1, 1, "a path", folder, error)))
        return status;
    memcpy(file->path, path, strlen(path));
    memcpy(file->name, name, n_name);
    memcpy(*folder, slash ? path : ".", n_folder);
    name_temporary(name, file->temporary);
    return LUTRA_OK;
}

/* A rename would replace a device (/dev/null) as readily as a file. */
static lutra_status check_target(const char *path, lutra_error *error)
{
    struct stat info;
    if (!*path || strcmp(path, "-") == 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "the output needs the name of a file, not \"%s\"", path);
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET,
                              "cannot write it: it is a folder");
        if (!S_ISREG(info.st_mode))
            return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET,
                              "cannot write it: it is not a regular file");
    } else if (path[strlen(path) - 1] == '/') {
        return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "cannot write it: it names a folder");
    }
    return LUTRA_OK;
}

/* `is_new`: it was made by us, whoever the file system says it belongs to. `again` is set where the locked
 * file is no longer the one that has the temporary's name. */
static lutra_status lock_temporary(lutra_atomic_file *file, bool is_new, bool *again, lutra_error *error)
{
    struct stat opened, named;
    *again = false;
    if (flock(file->descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return lutra_fail(error, LUTRA_ERROR_IO, file->path, LUTRA_NO_OFFSET,
                              "another program is writing it (%s is locked)", file->temporary);
        return lutra_fail_errno(error, errno, file->path, "lock its temporary file");
    }
    if (fstat(file->descriptor, &opened) != 0)
        return lutra_fail_errno(error, errno, file->path, "examine its temporary file");
    /* Someone else's file, or one with a second name, must not be written through. */
    if (!S_ISREG(opened.st_mode) || (!is_new && opened.st_uid != geteuid()) || opened.st_nlink > 1)
        return lutra_fail(error, LUTRA_ERROR_IO, file->path, LUTRA_NO_OFFSET,
                          "cannot write it: %s is in the way and not a plain file of one's own",
                          file->temporary);
    *again = fstatat(file->folder, file->temporary, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
             named.st_dev != opened.st_dev || named.st_ino != opened.st_ino;
    return LUTRA_OK;
}

/* A descriptor above those of the standard streams: where these are closed, what the program prints would
 * otherwise go into the file. -1: errno says why not. */
static int open_above_streams(int folder, const char *name, int more_flags)
{
    /* O_NONBLOCK: a FIFO of that name must not hang the program. */
    const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | more_flags;
    const int descriptor = openat(folder, name, flags, 0666);
    if (descriptor < 0 || descriptor > STDERR_FILENO)
        return descriptor;
    const int above = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int failure = errno;
    close(descriptor);
    errno = failure;
    return above;
}

/* What only some may read stays so; not every file system has permissions to set. */
static void take_permissions(const lutra_atomic_file *file)
{
    struct stat old;
    if (fstatat(file->folder, file->name, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode) &&
        old.st_uid == geteuid())
        (void)fchmod(file->descriptor, old.st_mode & 0777);
}

static lutra_status open_temporary(lutra_atomic_file *file, lutra_error *error)
{
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        bool again = false;
        file->descriptor = open_above_streams(file->folder, file->temporary, O_CREAT | O_EXCL);
        const bool is_new = file->descriptor >= 0;
        if (!is_new && errno == EEXIST) {
            file->descriptor = open_above_streams(file->folder, file->temporary, 0);
            if (file->descriptor < 0 && errno == ENOENT) /* gone meanwhile */
                continue;
        }
        if (file->descriptor < 0)
            return lutra_fail_errno(error, errno, file->path, "create its temporary file");
        lutra_status status = lock_temporary(file, is_new, &again, error);
        if (status == LUTRA_OK && !again) {
            if ((status = lutra_atomic_file_restart(file, error)) == LUTRA_OK) {
                take_permissions(file);
                return LUTRA_OK;
            }
            unlinkat(file->folder, file->temporary, 0); /* locked, and so ours */
        }
        close(file->descriptor); /* without removing what is not ours */
        file->descriptor = -1;
        if (status)
            return status;
    }
    return lutra_fail(error, LUTRA_ERROR_IO, file->path, LUTRA_NO_OFFSET, "other programs keep replacing it");
}

lutra_status lutra_atomic_file_open(const char *path, lutra_atomic_file **result, lutra_error *error)
{
    lutra_atomic_file *file = NULL;
    char *folder = NULL;
    *result = NULL;
    lutra_status status = check_target(path, error);
    if (status || (status = lutra_allocate(1, sizeof *file, "the output", &file, error)))
        return status;
    file->folder = file->descriptor = -1;
    if ((status = split_path(file, path, &folder, error)))
        goto cleanup;
    file->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->folder < 0) {
        status = lutra_fail_errno(error, errno, path, "open its folder");
        goto cleanup;
    }
    status = open_temporary(file, error);
cleanup:
    free(folder);
    if (status)
        lutra_atomic_file_close(file);
    else
        *result = file;
    return status;
}

/* Past a limit on file sizes the kernel sends SIGXFSZ, which would end the program before it can tidy up: it
 * is held back, and taken away, for the time of the call, in this thread only. */
static ssize_t write_without_signal(int descriptor, const void *data, size_t bytes, off_t offset)
{
    sigset_t limit, before, pending;
    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &limit, &before);
    sigpending(&pending);
    const ssize_t written = pwrite(descriptor, data, bytes, offset);
    const int failure = errno;
    if (written < 0 && failure == EFBIG && !sigismember(&pending, SIGXFSZ))
        sigtimedwait(&limit, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    return written;
}

lutra_status lutra_atomic_file_write(lutra_atomic_file *file, uint64_t offset, const void *data, size_t bytes,
                                     lutra_error *error)
{
    const uint8_t *from = data;
    while (bytes > 0) {
        const off_t at = (off_t)offset;
        if (at < 0 || (uint64_t)at != offset)
            return lutra_fail_errno(error, EFBIG, file->path, "write it");
        const ssize_t written = write_without_signal(file->descriptor, from, bytes, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return lutra_fail_errno(error, written < 0 ? errno : EIO, file->path, "write it");
        from += written;
        offset += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return LUTRA_OK;
}

lutra_status lutra_atomic_file_restart(lutra_atomic_file *file, lutra_error *error)
{
    return ftruncate(file->descriptor, 0) == 0
               ? LUTRA_OK
               : lutra_fail_errno(error, errno, file->path, "empty its temporary file");
}

lutra_status lutra_atomic_file_commit(lutra_atomic_file *file, lutra_error *error)
{
    if (fsync(file->descriptor) != 0)
        return lutra_fail_errno(error, errno, file->path, "write it");
    if (renameat(file->folder, file->temporary, file->folder, file->name) != 0)
        return lutra_fail_errno(error, errno, file->path, "rename its temporary file");
    close(file->descriptor);
    file->descriptor = -1;
    /* Some file systems cannot sync a folder. */
    if (fsync(file->folder) != 0 && errno != EINVAL && errno != ENOTSUP)
        return lutra_fail_errno(error, errno, file->path, "sync its folder");
    return LUTRA_OK;
}

void lutra_atomic_file_close(lutra_atomic_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0) { /* removed while still locked: nobody else can have taken it over */
        unlinkat(file->folder, file->temporary, 0);
        close(file->descriptor);
    }
    if (file->folder >= 0)
        close(file->folder);
    free(file->path);
    free(file->name);
    free(file->temporary);
    free(file);
}

lutra_status lutra_write_file(const char *path, const void *data, size_t bytes, const void *more,
                              size_t more_bytes, lutra_error *error)
{
    lutra_atomic_file *file = NULL;
    lutra_status status = lutra_atomic_file_open(path, &file, error);
    if (status == LUTRA_OK)
        status = lutra_atomic_file_write(file, 0, data, bytes, error);
    if (status == LUTRA_OK)
        status = lutra_atomic_file_write(file, bytes, more, more_bytes, error);
    if (status == LUTRA_OK)
        status = lutra_atomic_file_commit(file, error);
    lutra_atomic_file_close(file);
    return status;
}

const char *lutra_atomic_file_path(const lutra_atomic_file *file)
{
    return file->path;
}
