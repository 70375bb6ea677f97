/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "bench.h"
#include "inputs.h"

#define LATER_RUNS 3

/* What the process of its own sends back. */
typedef struct answer {
    lutra_error error;
    bench_probe probe;
    uint64_t before; /* its RssAnon at first: pages of ours that it shares until it writes to them */
} answer;

/* RssAnon of a process, 0 where it cannot be read: resident pages without those of files and shared memory.
 * statm, because status takes ten times as long to read, and that while the process is timed. */
static uint64_t anonymous_bytes(pid_t process)
{
    char path[48];
    unsigned long size = 0, resident = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)process);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    const bool complete = fscanf(file, "%20lu %20lu %20lu", &size, &resident, &shared) == 3;
    fclose(file);
    return complete && resident > shared ? (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE)
                                         : 0;
}

static double time_run(lutra_context *context, const uint8_t *pixels, size_t batch, float *output,
                       bool logits, answer *a)
{
    const double begin = tool_seconds();
    lutra_context_run(context, pixels, batch, logits ? output : NULL, logits ? NULL : output, &a->error);
    return tool_seconds() - begin;
}

/* Everything that the first picture costs: nothing is open yet. Nothing is closed either: the process ends.
 */
static void measure(const bench_model *model, const bench_settings *settings, const uint8_t *pixels,
                    answer *a)
{
    const lutra_context_options options = {
        .n_threads = settings->threads, .max_batch = settings->batch, .mode = settings->mode};
    lutra_model *opened;
    lutra_context *context;
    const size_t n_classes = model->info->n_classes;
    const double begin = tool_seconds();
    a->before = anonymous_bytes(getpid());
    if (lutra_model_open(model->path, &model->options, &opened, &a->error) ||
        lutra_context_create(opened, &options, &context, &a->error))
        return;
    float *output =
        malloc(settings->batch * (n_classes ? n_classes : model->info->n_features) * sizeof *output);
    if (!output) {
        tool_io_error(&a->error, "the outputs", "hold them", ENOMEM);
        return;
    }
    time_run(context, pixels, settings->batch, output, n_classes > 0, a);
    a->probe.start = tool_seconds() - begin;
    for (size_t i = 0; i < LATER_RUNS; i++) {
        const double took = time_run(context, pixels, settings->batch, output, n_classes > 0, a);
        a->probe.later = i == 0 || took < a->probe.later ? took : a->probe.later;
    }
    a->probe.rss_bytes = anonymous_bytes(getpid());
}

/* Waits for the answer and watches how large the process gets. */
static bool receive(int descriptor, pid_t process, answer *a)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLIN};
    uint64_t most = 0;
    while (poll(&ready, 1, 1) == 0 || (errno == EINTR && !ready.revents)) {
        const uint64_t now = anonymous_bytes(process);
        most = now > most ? now : most;
    }
    if (read(descriptor, a, sizeof *a) != (ssize_t)sizeof *a)
        return false;
    most = a->probe.rss_bytes > most ? a->probe.rss_bytes : most;
    a->probe.rss_bytes = most > a->before ? most - a->before : 0;
    return true;
}

lutra_status bench_probe_run(const bench_model *model, const bench_settings *settings, const uint8_t *pixels,
                             bench_probe *probe, lutra_error *error)
{
    answer a = {0};
    int ends[2], state = 0;
    fflush(stdout);
    fflush(stderr);
#if defined(__GLIBC__)
    /* Free memory that the process inherits would be used again and not be counted. */
    malloc_trim(0);
#endif
    if (pipe(ends) != 0)
        return tool_io_error(error, "a process", "talk to it", errno);
    const pid_t process = fork();
    if (process == 0) {
        close(ends[0]);
        measure(model, settings, pixels, &a);
        const bool sent = write(ends[1], &a, sizeof a) == (ssize_t)sizeof a;
        _exit(sent ? 0 : 1);
    }
    close(ends[1]);
    const int number = process < 0 ? errno : ECHILD;
    const bool received = process > 0 && receive(ends[0], process, &a);
    close(ends[0]);
    while (process > 0 && waitpid(process, &state, 0) < 0 && errno == EINTR)
        continue;
    if (!received)
        return tool_io_error(error, "a process of its own", "measure the start in it", number);
    *probe = a.probe;
    *error = a.error;
    return a.error.status;
}
