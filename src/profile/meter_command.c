/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the user's that prints the watts of an external meter, a line each time it has measured: a
 * number, or a table with commas whose last column is one. The first line may be the table's heading.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "profile/meter.h"

#define MOST_WATTS 1e5 /* beyond which a line is no meter's */
#define MOST_BYTES                                                                                           \
    ((size_t)65536) /* that a reading takes, as many as a pipe holds: a program may never pause */

extern char **environ;

typedef struct command {
    pid_t process; /* of a group of its own, so that what it starts ends with it; 0: none */
    int output;
    char line[256];
    size_t used, n_lines;
    double watts, last_time;
    bool has_value;
} command;

static lutra_status open_command(const lutra_world *world, void **state, lutra_error *error)
{
    const char *arguments[] = {"sh", "-c", world->command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    command *c = NULL;
    int ends[2];
    *state = NULL;
    if (!world->command)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "no --power-meter was given");
    const lutra_status status = lutra_allocate(1, sizeof *c, "a meter", &c, error);
    if (status)
        return status;
    *state = c;
    c->output = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return lutra_sys_fail(errno, "--power-meter", NULL, error);
    c->output = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    /* posix_spawn's arguments are not const for historical reasons; it does not write to them. */
    const int failed = posix_spawn(&c->process, "/bin/sh", &actions, &attributes,
                                   (char *const *)(uintptr_t)arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    c->last_time = world->now(world->user);
    if (failed) {
        c->process = 0;
        return lutra_sys_fail(failed, "--power-meter", NULL, error);
    }
    return LUTRA_OK;
}

/* A whole line in c->line. */
static lutra_status take_line(command *c, lutra_error *error)
{
    const char *comma = strrchr(c->line, ','), *text = comma ? comma + 1 : c->line;
    char *end;
    const double watts = lutra_parse_number(text, &end);
    end += strspn(end, " \t\r");
    c->n_lines++;
    if (end != text && !*end && isfinite(watts) && watts >= 0 && watts < MOST_WATTS) {
        c->watts = watts;
        c->has_value = true;
        return LUTRA_OK;
    }
    if (c->n_lines == 1 && comma)
        return LUTRA_OK;
    return lutra_fail(error, LUTRA_ERROR_FORMAT, "--power-meter", LUTRA_NO_OFFSET,
                      "line %zu is not watts: '%.40s'", c->n_lines, c->line);
}

/* Of several lines the last one counts. */
static lutra_status take_bytes(command *c, const char *bytes, size_t n, bool *is_new, lutra_error *error)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            if (c->used + 1 == sizeof c->line)
                return lutra_fail(error, LUTRA_ERROR_FORMAT, "--power-meter", LUTRA_NO_OFFSET,
                                  "line %zu is longer than any number", c->n_lines + 1);
            c->line[c->used++] = bytes[i];
            continue;
        }
        c->line[c->used] = 0;
        c->used = 0;
        const lutra_status status = take_line(c, error);
        if (status)
            return status;
        *is_new |= c->has_value;
    }
    return LUTRA_OK;
}

/* Kills it, unless it has ended by itself, with all that it started; how it ended. */
static int end_command(command *c)
{
    kill(-c->process, SIGKILL);
    const int status = lutra_wait_for_end(c->process);
    c->process = 0;
    return status;
}

/* Who closes the output may go on without it. */
static lutra_status fail_ended(command *c, lutra_error *error)
{
    const int status = end_command(c);
    return lutra_fail(error, LUTRA_ERROR_IO, "--power-meter", LUTRA_NO_OFFSET,
                      "the command ended or closed its output (%s %d) while it was needed",
                      WIFSIGNALED(status) ? "signal" : "status",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static lutra_status read_command(const lutra_world *world, void *state, lutra_reading *reading,
                                 lutra_error *error)
{
    command *c = state;
    const double now = world->now(world->user);
    char block[4096];
    ssize_t n = 1;
    bool is_new = false;
    *reading = (lutra_reading){.is_power = true};
    if (c->process == 0)
        return lutra_fail(error, LUTRA_ERROR_IO, "--power-meter", LUTRA_NO_OFFSET, "the command has ended");
    for (size_t taken = 0; taken < MOST_BYTES && (n = read(c->output, block, sizeof block)) > 0;
         taken += (size_t)n) {
        const lutra_status status = take_bytes(c, block, (size_t)n, &is_new, error);
        if (status)
            return status;
    }
    if (n == 0)
        return fail_ended(c, error);
    if (is_new)
        c->last_time = now;
    else if (now - c->last_time > LUTRA_METER_PATIENCE)
        return lutra_fail(error, LUTRA_ERROR_IO, "--power-meter", LUTRA_NO_OFFSET,
                          "the command has printed nothing for %.0f seconds", now - c->last_time);
    reading->is_new = is_new;
    reading->value = c->watts;
    return LUTRA_OK;
}

static void close_command(const lutra_world *world, void *state)
{
    command *c = state;
    (void)world;
    if (!c)
        return;
    if (c->output >= 0)
        close(c->output);
    if (c->process > 0)
        end_command(c);
    free(c);
}

const lutra_meter_kind lutra_meter_command = {
    .open = open_command, .read = read_command, .close = close_command};
