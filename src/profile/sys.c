/* SPDX-License-Identifier: Apache-2.0 */
/* Single values from /sys, and the real world of meters. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/perf_event.h>
#include <sys/syscall.h>
#endif

#include "base/clock.h"
#include "profile/meter.h"

extern char **environ;

int lutra_sys_text(const lutra_world *world, const char *path, char *text, size_t size)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", world->root, path);
    const int descriptor = open(whole, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return errno;
    const ssize_t n = read(descriptor, text, size - 1);
    const int failed = n < 0 ? errno : 0;
    close(descriptor);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    return failed;
}

double lutra_parse_number(const char *text, char **end)
{
    /* Takes no memory: the C library has this locale ready. */
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), own = uselocale(plain);
    const double value = strtod(text, end);
    uselocale(own);
    if (plain)
        freelocale(plain);
    return value;
}

int lutra_sys_number(const lutra_world *world, const char *path, double *value)
{
    char text[64], *end = text;
    const int failed = lutra_sys_text(world, path, text, sizeof text);
    if (failed)
        return failed;
    *value = lutra_parse_number(text, &end);
    return end == text || *end || !isfinite(*value) ? EINVAL : 0;
}

lutra_status lutra_sys_fail(int error_number, const char *path, const char *grant, lutra_error *error)
{
    const bool denied = error_number == EACCES || error_number == EPERM;
    /* What this program has too little of says nothing of the file. */
    const bool lacks = error_number == ENOMEM || error_number == EMFILE || error_number == ENFILE;
    return lutra_fail(error, lacks ? LUTRA_ERROR_MEMORY : LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET,
                      "cannot be read: %s%s%s",
                      error_number == EINVAL ? "it does not hold a number" : strerror(error_number),
                      denied && grant ? "; to grant it: " : "", denied && grant ? grant : "");
}

int lutra_wait_for_end(pid_t process)
{
    int status = 0;
    while (waitpid(process, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* ---- the real world ---------------------------------------------------------------------------- */

static double now(void *user)
{
    (void)user;
    return lutra_seconds();
}

static void wait_seconds(void *user, double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - floor(seconds)))};
    (void)user;
    nanosleep(&left, NULL);
}

static int perf_open(void *user, uint32_t type, uint64_t config, int cpu)
{
    (void)user;
#if defined(__linux__)
    struct perf_event_attr attributes = {.type = type, .size = sizeof attributes, .config = config};
    attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    const bool is_own = cpu == LUTRA_THIS_PROCESS;
    attributes.inherit = is_own;
    attributes.exclude_kernel = is_own; /* asks for less of a permission */
    const long descriptor =
        syscall(SYS_perf_event_open, &attributes, is_own ? 0 : -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return descriptor < 0 ? -errno : (int)descriptor;
#else
    (void)type;
    (void)config;
    (void)cpu;
    return -ENOSYS;
#endif
}

static int perf_read(void *user, int descriptor, uint64_t *value)
{
    struct {
        uint64_t value, enabled,
            running; /* nanoseconds: of several events on one counter each runs in turn */
    } counted;
    (void)user;
    const ssize_t n = read(descriptor, &counted, sizeof counted);
    if (n != (ssize_t)sizeof counted)
        return n < 0 ? -errno : -EIO;
    *value = counted.value;
    return counted.running < counted.enabled ? -EBUSY : 0;
}

static void perf_close(void *user, int descriptor)
{
    (void)user;
    close(descriptor);
}

/* Reads to the end, until `deadline`. */
static int read_all(int descriptor, double deadline, char *text, size_t size)
{
    for (size_t used = 0; used < size - 1;) {
        struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
        const double left = deadline - lutra_seconds();
        const int n_ready = left > 0 ? poll(&wanted, 1, (int)(1e3 * left) + 1) : 0;
        if (n_ready == 0)
            return -ETIMEDOUT;
        const ssize_t n = n_ready < 0 ? -1 : read(descriptor, text + used, size - 1 - used);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0) {
            text[used] = 0;
            return 0;
        }
        used += n > 0 ? (size_t)n : 0;
    }
    return -EMSGSIZE;
}

/* Waits until `deadline` for a child that has closed its output: most end with that. */
static int await_end(pid_t process, double deadline, int *status)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    pid_t ended;
    while ((ended = waitpid(process, status, WNOHANG)) == 0 && lutra_seconds() < deadline)
        nanosleep(&pause, NULL);
    return ended == 0 ? -ETIMEDOUT : 0;
}

/* Gives the program a second. It is run from a thread that takes no signals, too, and may well want some. */
static int run(void *user, const char *const *arguments, char *text, size_t size)
{
    const double deadline = lutra_seconds() + 1;
    int ends[2], status = 0;
    pid_t process;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    (void)user;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    /* posix_spawn's arguments are not const for historical reasons; it does not write to them. */
    int failed = -posix_spawnp(&process, arguments[0], &actions, &attributes,
                               (char *const *)(uintptr_t)arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return failed;
    }
    failed = read_all(ends[0], deadline, text, size);
    close(ends[0]);
    if (!failed)
        failed = await_end(process, deadline, &status);
    if (failed) {
        kill(process, SIGKILL);
        lutra_wait_for_end(process);
    }
    return failed ? failed : status != 0 ? -EIO : 0;
}

const lutra_world lutra_real_world = {
    .root = "",
    .now = now,
    .wait = wait_seconds,
    .perf_open = perf_open,
    .perf_read = perf_read,
    .perf_close = perf_close,
    .run = run,
    .begin_sampling = lutra_begin_sampling,
    .end_sampling = lutra_end_sampling,
};
