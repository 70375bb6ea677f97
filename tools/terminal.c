/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* SIGXFSZ */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted; /* a signal handler can reach nothing else */

static void write_message(const char *format, va_list arguments)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    fputs("lutra: ", stderr);
    tool_print(stderr, text);
    fputc('\n', stderr);
}

void tool_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_message(format, arguments);
    va_end(arguments);
}

void tool_note(const tool_arguments *tool, const char *format, ...)
{
    if (tool->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    write_message(format, arguments);
    va_end(arguments);
}

int tool_fail(const lutra_error *error)
{
    if (tool_interrupted() || error->status == LUTRA_ERROR_CANCELLED) {
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    tool_error("%s", error->message);
    return TOOL_FAILED;
}

int tool_out_of_memory(void)
{
    tool_error("out of memory");
    return TOOL_FAILED;
}

static bool may_colour(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no_color && *no_color) && term && strcmp(term, "dumb") != 0 && isatty(fileno(stream));
}

const char *tool_bold(FILE *stream)
{
    return may_colour(stream) ? "\033[1m" : "";
}

const char *tool_plain(FILE *stream)
{
    return may_colour(stream) ? "\033[0m" : "";
}

void tool_print(FILE *stream, const char *text)
{
    char part[256];
    while (*text) {
        lutra_escape(&text, part, sizeof part);
        fputs(part, stream);
    }
}

void tool_print_bold(FILE *stream, const char *text)
{
    fputs(tool_bold(stream), stream);
    tool_print(stream, text);
    fputs(tool_plain(stream), stream);
}

tool_text tool_bytes(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    tool_text result;
    double value = (double)bytes / 1024;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(result.text, sizeof result.text, "%" PRIu64 " B", bytes);
        return result;
    }
    for (; value >= 1024 && unit < 3; unit++)
        value /= 1024;
    snprintf(result.text, sizeof result.text, "%.2f %s", value, units[unit]);
    return result;
}

tool_text tool_count(uint64_t count)
{
    char digits[24];
    tool_text result;
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *out = result.text;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = 0;
    return result;
}

tool_text tool_large(uint64_t count)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    tool_text result;
    double value = (double)count;
    size_t unit = 0;
    for (; value >= 1000 && unit < 4; unit++)
        value /= 1000;
    snprintf(result.text, sizeof result.text, unit ? "%.2f%s" : "%.0f%s", value, units[unit]);
    return result;
}

double tool_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool tool_hold_standard_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        /* Open for what nobody does with it, so that reading and writing fail as they would. */
        const int flags = stream == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(stream, F_GETFD) < 0 && errno == EBADF && open("/dev/null", flags) != stream)
            return false;
    }
    return true;
}

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* A mapped file was cut short. What an output has so far stays in its temporary, which the next run uses
 * again. */
static void end_for_lack_of_file(int signal_number)
{
    static const char text[] =
        "lutra: a file was cut short while it was in use (--copy reads models before)\n";
    (void)signal_number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(TOOL_FAILED);
    _exit(TOOL_FAILED);
}

void tool_catch_interrupts(void)
{
    static const int signals[] = {SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    action.sa_handler = end_for_lack_of_file;
    action.sa_flags = 0; /* several threads may miss the file at once: each must find the handler */
    sigaction(SIGBUS, &action, NULL);
    /* A file beyond the allowed size then is a failed write with a message, not a dead process. */
    signal(SIGXFSZ, SIG_IGN);
}

bool tool_interrupted(void)
{
    return interrupted != 0;
}

bool tool_wait_to_read(int descriptor)
{
    struct pollfd input = {.fd = descriptor, .events = POLLIN};
    int n = 0;
    /* A signal may meet another thread, or come just before: it is looked for ten times a second. */
    while (!tool_interrupted() && (n = poll(&input, 1, 100)) <= 0)
        if (n < 0 && errno != EINTR)
            return true; /* reading will say what is wrong */
    return n > 0;
}

int tool_finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return TOOL_DONE;
    if (tool_interrupted()) {
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    tool_error("cannot write to standard output");
    return TOOL_FAILED;
}

/* ---- progress ---------------------------------------------------------------------------------- */

void tool_progress_begin(tool_progress *progress, const tool_arguments *arguments, const char *action)
{
    const char *term = getenv("TERM");
    *progress = (tool_progress){.action = action, .quiet = arguments->quiet, .started = tool_seconds()};
    progress->printed = progress->started;
    progress->terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static void left_text(double seconds, char *text, size_t size)
{
    if (seconds >= 3600)
        snprintf(text, size, "%ld h %02ld min left", (long)seconds / 3600, (long)seconds % 3600 / 60);
    else if (seconds >= 90)
        snprintf(text, size, "%.0f min left", seconds / 60);
    else
        snprintf(text, size, "%.0f s left", seconds);
}

static void draw(tool_progress *progress, const char *what, double part, const char *left)
{
    enum { WIDTH = 24 };
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < (int)(part * WIDTH) ? '#' : '.';
    bar[WIDTH] = 0;
    char line[160];
    snprintf(line, sizeof line, "%s [%s] %3.0f %%  %-16.24s %.32s", progress->action, bar, part * 100, left,
             what ? what : "");
    fputs("\r\033[K", stderr);
    line[78] = 0; /* a line that wraps could not be wiped */
    tool_print(stderr, line);
    fflush(stderr);
    progress->drawn = true;
}

bool tool_progress_update(void *user, const char *what, uint64_t done, uint64_t total)
{
    tool_progress *progress = user;
    const double now = tool_seconds();
    const double part = total ? (double)done / (double)total : 0;
    char left[64] = "";
    if (tool_interrupted())
        return false;
    if (progress->quiet)
        return true;
    if (done < progress->done) { /* work of several parts begins anew with each */
        progress->started = now;
        progress->tenths = 0;
    }
    progress->done = done;
    const double elapsed = now - progress->started;
    if (part > 0 && elapsed > 1)
        left_text(elapsed * (1 - part) / part, left, sizeof left);
    if (progress->terminal) {
        if (now - progress->printed > 0.1 || (done == total && progress->drawn)) {
            draw(progress, what, part, left);
            progress->printed = now;
        }
    } else if ((unsigned)(part * 10) > progress->tenths && now - progress->printed > 2 && done < total) {
        progress->tenths = (unsigned)(part * 10);
        progress->printed = now;
        tool_error("%s: %.0f %%, %s", progress->action, part * 100, left);
    }
    return true;
}

void tool_progress_hide(tool_progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}
