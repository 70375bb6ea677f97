/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static fault armed; /* written while nothing else runs */
static atomic_size_t n_calls, n_hits;
static int report = -1;

#ifdef LUTRA_PRELOAD
#define WRAPPER(name) name
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))
/* dlsym may allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
#define REAL_malloc __libc_malloc
#define REAL_calloc __libc_calloc
#define REAL_realloc __libc_realloc
#define REAL_aligned_alloc __libc_memalign
#else
#define WRAPPER(name) __wrap_##name
#define REAL(name) __real_##name
#define REAL_malloc __real_malloc
#define REAL_calloc __real_calloc
#define REAL_realloc __real_realloc
#define REAL_aligned_alloc __real_aligned_alloc
#endif

/* With offsets of 64 bits, which Meson asks for, programs call the names that end in 64; in the library to
 * load, the headers see to it. */
#ifdef LUTRA_PRELOAD
#define WRAPPER64 WRAPPER
#define REAL64 REAL
#define DECLARE(type, name, ...)
#define DECLARE64(type, name, ...)
#else
#define WRAPPER64(name) __wrap_##name##64
#define REAL64(name) __real_##name##64
#define DECLARE(type, name, ...)                                                                             \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);
#define DECLARE64(type, name, ...)                                                                           \
    type __real_##name##64(__VA_ARGS__);                                                                     \
    type __wrap_##name##64(__VA_ARGS__);
#endif
/* Where times of 64 bits are asked for, too, as on machines of 32 bits, what tells times has another name. */
#if !defined(LUTRA_PRELOAD) && defined(_TIME_BITS) && _TIME_BITS == 64
#define WRAPPER_TIME64(name) __wrap___##name##64_time64
#define REAL_TIME64(name) __real___##name##64_time64
#define DECLARE_TIME64(type, name, ...)                                                                      \
    type __real___##name##64_time64(__VA_ARGS__);                                                            \
    type __wrap___##name##64_time64(__VA_ARGS__);
#else
#define WRAPPER_TIME64 WRAPPER64
#define REAL_TIME64 REAL64
#define DECLARE_TIME64 DECLARE64
#endif

void fault_arm(fault wanted)
{
    armed = wanted;
    atomic_store(&n_calls, 0);
    atomic_store(&n_hits, 0);
}

bool fault_disarm(void)
{
    armed.kind = FAULT_NONE;
    return atomic_load(&n_hits) > 0;
}

/* Whether this call of `kind` is to fail; errno is set then. */
static bool fails(fault_kind kind)
{
    if (armed.kind != kind)
        return false;
    const size_t call = atomic_fetch_add(&n_calls, 1);
    if (call < armed.first || call - armed.first >= armed.count)
        return false;
    if (atomic_fetch_add(&n_hits, 1) == 0 && report >= 0) {
        const int number = errno;
        /* A file in memory, or a pipe that is read when the program has ended. */
        if (dprintf(report, "%s", "x") < 0)
            abort();
        errno = number;
    }
    if (armed.error == FAULT_KILL_BEFORE)
        raise(SIGKILL);
    if (armed.error > 0)
        errno = armed.error;
    return true;
}

/* What is left to do of a call that fails: false, nothing. Otherwise `*bytes` are to be done. */
static bool does_part(size_t *bytes)
{
    if (armed.error == FAULT_SHORT)
        *bytes = *bytes > 1 ? *bytes / 2 : *bytes;
    if (armed.error == FAULT_END)
        *bytes = 0;
    return armed.error <= 0;
}

static void done(bool failed)
{
    if (failed && armed.error == FAULT_KILL_AFTER)
        raise(SIGKILL);
}

/* ---- memory ------------------------------------------------------------------------------------ */

DECLARE(void *, malloc, size_t size)
DECLARE(void *, calloc, size_t count, size_t size)
DECLARE(void *, realloc, void *pointer, size_t size)
DECLARE(void *, aligned_alloc, size_t alignment, size_t size)

void *WRAPPER(malloc)(size_t size)
{
    return fails(FAULT_ALLOCATE) ? NULL : REAL_malloc(size);
}

void *WRAPPER(calloc)(size_t count, size_t size)
{
    return fails(FAULT_ALLOCATE) ? NULL : REAL_calloc(count, size);
}

void *WRAPPER(realloc)(void *pointer, size_t size)
{
    return fails(FAULT_ALLOCATE) ? NULL : REAL_realloc(pointer, size);
}

void *WRAPPER(aligned_alloc)(size_t alignment, size_t size)
{
    return fails(FAULT_ALLOCATE) ? NULL : REAL_aligned_alloc(alignment, size);
}

void *fault_malloc(size_t size)
{
    return fails(FAULT_ALLOCATE) ? NULL : REAL_malloc(size);
}

#ifndef LUTRA_PRELOAD /* else it calls malloc */
DECLARE(char *, strdup, const char *text)

char *WRAPPER(strdup)(const char *text)
{
    return fails(FAULT_ALLOCATE) ? NULL : __real_strdup(text);
}
#endif

/* ---- files ------------------------------------------------------------------------------------- */

DECLARE64(int, open, const char *path, int flags, ...)
DECLARE64(int, openat, int folder, const char *path, int flags, ...)
DECLARE64(FILE *, fopen, const char *path, const char *mode)
DECLARE(DIR *, opendir, const char *path)
DECLARE(ssize_t, read, int descriptor, void *data, size_t bytes)
DECLARE64(ssize_t, pread, int descriptor, void *data, size_t bytes, off_t offset)
DECLARE(size_t, fread, void *data, size_t size, size_t count, FILE *file)
DECLARE(char *, fgets, char *text, int size, FILE *file)
DECLARE(ssize_t, write, int descriptor, const void *data, size_t bytes)
DECLARE64(ssize_t, pwrite, int descriptor, const void *data, size_t bytes, off_t offset)
DECLARE64(int, ftruncate, int descriptor, off_t size)
DECLARE(int, fsync, int descriptor)
DECLARE(int, rename, const char *from, const char *to)
DECLARE(int, renameat, int from_folder, const char *from, int to_folder, const char *to)
DECLARE64(void *, mmap, void *address, size_t bytes, int protection, int flags, int descriptor, off_t offset)
DECLARE(int, flock, int descriptor, int operation)
DECLARE_TIME64(int, fstat, int descriptor, struct stat *info)
DECLARE_TIME64(int, fstatat, int folder, const char *path, struct stat *info, int flags)
DECLARE_TIME64(int, lstat, const char *path, struct stat *info)

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT ? (mode_t)va_arg(arguments, int) : 0;
}

int WRAPPER64(open)(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    const bool failed = fails(FAULT_OPEN);
    const int result = failed && armed.error > 0 ? -1 : REAL64(open)(path, flags, mode);
    done(failed);
    return result;
}

int WRAPPER64(openat)(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    const bool failed = fails(FAULT_OPEN);
    const int result = failed && armed.error > 0 ? -1 : REAL64(openat)(folder, path, flags, mode);
    done(failed);
    return result;
}

FILE *WRAPPER64(fopen)(const char *path, const char *mode)
{
    return fails(FAULT_OPEN) && armed.error > 0 ? NULL : REAL64(fopen)(path, mode);
}

DIR *WRAPPER(opendir)(const char *path)
{
    return fails(FAULT_OPEN) && armed.error > 0 ? NULL : REAL(opendir)(path);
}

ssize_t WRAPPER(read)(int descriptor, void *data, size_t bytes)
{
    return fails(FAULT_READ) && !does_part(&bytes) ? -1 : REAL(read)(descriptor, data, bytes);
}

ssize_t WRAPPER64(pread)(int descriptor, void *data, size_t bytes, off_t offset)
{
    return fails(FAULT_READ) && !does_part(&bytes) ? -1 : REAL64(pread)(descriptor, data, bytes, offset);
}

/* glibc's mark of a stream that has failed. */
#define STREAM_HAS_FAILED 0x20

size_t WRAPPER(fread)(void *data, size_t size, size_t count, FILE *file)
{
    if (fails(FAULT_READ) && !does_part(&count)) {
        file->_flags |= STREAM_HAS_FAILED;
        return 0;
    }
    return REAL(fread)(data, size, count, file);
}

char *WRAPPER(fgets)(char *text, int size, FILE *file)
{
    if (fails(FAULT_READ) && armed.error > 0) {
        file->_flags |= STREAM_HAS_FAILED;
        return NULL;
    }
    return REAL(fgets)(text, size, file);
}

ssize_t WRAPPER(write)(int descriptor, const void *data, size_t bytes)
{
    const bool failed = fails(FAULT_WRITE);
    const ssize_t result = failed && !does_part(&bytes) ? -1 : REAL(write)(descriptor, data, bytes);
    done(failed);
    return result;
}

ssize_t WRAPPER64(pwrite)(int descriptor, const void *data, size_t bytes, off_t offset)
{
    const bool failed = fails(FAULT_WRITE);
    const ssize_t result =
        failed && !does_part(&bytes) ? -1 : REAL64(pwrite)(descriptor, data, bytes, offset);
    done(failed);
    return result;
}

#define WRAP_INT(kind, wrapper, real, parameters, arguments)                                                 \
    int wrapper parameters                                                                                   \
    {                                                                                                        \
        const bool failed = fails(kind);                                                                     \
        const int result = failed && armed.error > 0 ? -1 : real arguments;                                  \
        done(failed);                                                                                        \
        return result;                                                                                       \
    }

WRAP_INT(FAULT_WRITE, WRAPPER64(ftruncate), REAL64(ftruncate), (int descriptor, off_t size),
         (descriptor, size))
WRAP_INT(FAULT_SYNC, WRAPPER(fsync), REAL(fsync), (int descriptor), (descriptor))
WRAP_INT(FAULT_RENAME, WRAPPER(rename), REAL(rename), (const char *from, const char *to), (from, to))
WRAP_INT(FAULT_RENAME, WRAPPER(renameat), REAL(renameat),
         (int from_folder, const char *from, int to_folder, const char *to),
         (from_folder, from, to_folder, to))
WRAP_INT(FAULT_LOCK, WRAPPER(flock), REAL(flock), (int descriptor, int operation), (descriptor, operation))
WRAP_INT(FAULT_EXAMINE, WRAPPER_TIME64(fstat), REAL_TIME64(fstat), (int descriptor, struct stat *info),
         (descriptor, info))
WRAP_INT(FAULT_EXAMINE, WRAPPER_TIME64(fstatat), REAL_TIME64(fstatat),
         (int folder, const char *path, struct stat *info, int flags), (folder, path, info, flags))
WRAP_INT(FAULT_EXAMINE, WRAPPER_TIME64(lstat), REAL_TIME64(lstat), (const char *path, struct stat *info),
         (path, info))

void *WRAPPER64(mmap)(void *address, size_t bytes, int protection, int flags, int descriptor, off_t offset)
{
    const bool failed = descriptor >= 0 && fails(FAULT_MAP) && armed.error > 0;
    return failed ? MAP_FAILED : REAL64(mmap)(address, bytes, protection, flags, descriptor, offset);
}

/* ---- threads ----------------------------------------------------------------------------------- */

DECLARE(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
        void *argument)

int WRAPPER(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                            void *argument)
{
    return fails(FAULT_THREAD) ? armed.error : REAL(pthread_create)(thread, attributes, run, argument);
}

/* ---- in a program of its own ------------------------------------------------------------------- */

#ifdef LUTRA_PRELOAD
/* Where sizes are known to the compiler, fortified programs call these. */
ssize_t __read_chk(int descriptor, void *data, size_t bytes, size_t room);
ssize_t __pread64_chk(int descriptor, void *data, size_t bytes, off64_t offset, size_t room);
size_t __fread_chk(void *data, size_t room, size_t size, size_t count, FILE *file);
char *__fgets_chk(char *text, size_t room, int size, FILE *file);

ssize_t __read_chk(int descriptor, void *data, size_t bytes, size_t room)
{
    (void)room;
    return read(descriptor, data, bytes);
}

ssize_t __pread64_chk(int descriptor, void *data, size_t bytes, off64_t offset, size_t room)
{
    (void)room;
    return pread(descriptor, data, bytes, offset);
}

size_t __fread_chk(void *data, size_t room, size_t size, size_t count, FILE *file)
{
    (void)room;
    return fread(data, size, count, file);
}

char *__fgets_chk(char *text, size_t room, int size, FILE *file)
{
    (void)room;
    return fgets(text, size, file);
}

static const char *const kind_names[] = {
    [FAULT_ALLOCATE] = "allocate", [FAULT_OPEN] = "open",     [FAULT_READ] = "read",
    [FAULT_WRITE] = "write",       [FAULT_SYNC] = "sync",     [FAULT_MAP] = "map",
    [FAULT_RENAME] = "rename",     [FAULT_THREAD] = "thread", [FAULT_LOCK] = "lock",
    [FAULT_EXAMINE] = "examine",
};

__attribute__((constructor)) static void arm_as_told(void)
{
    const char *told = getenv("LUTRA_FAULT"), *where = getenv("LUTRA_FAULT_REPORT");
    char kind[16];
    fault wanted;
    if (!told || !where)
        return;
    report = atoi(where);
    if (sscanf(told, "%15s %zu %zu %d", kind, &wanted.first, &wanted.count, &wanted.error) != 4)
        abort();
    for (wanted.kind = FAULT_ALLOCATE; strcmp(kind, kind_names[wanted.kind]) != 0; wanted.kind++)
        if (wanted.kind == FAULT_EXAMINE)
            abort();
    unsetenv("LUTRA_FAULT");
    unsetenv("LD_PRELOAD"); /* not for programs that it starts */
    fault_arm(wanted);
}
#endif
