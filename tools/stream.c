/* SPDX-License-Identifier: Apache-2.0 */
/* lutra classify --stream: a thread reads frames and keeps the newest, the main thread classifies it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "classify.h"
#include "inputs.h"
#include "newest_frame.h"
#include "predictions.h"
#include "terminal.h"

typedef struct stream {
    tool_newest_frame newest;
    tool_frame_cutter cutter; /* the reader's own, as is what follows, until the stream has ended */
    int read_error;
} stream;

static void *read_frames(void *argument)
{
    stream *s = argument;
    uint8_t buffer[1 << 16];
    ssize_t n;
    while ((n = tool_wait_to_read(STDIN_FILENO) ? read(STDIN_FILENO, buffer, sizeof buffer) : 0) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (tool_frame_byte(&s->cutter, buffer[i]))
                tool_newest_frame_offer(&s->newest, &s->cutter);
    s->read_error = n < 0 ? errno : 0;
    tool_newest_frame_end(&s->newest);
    return NULL;
}

static int classify_frame(const tool_arguments *arguments, const tool_session *session,
                          const tool_taken_frame *taken, uint8_t *pixels, float *logits, bool *readable)
{
    const size_t n_classes = session->info->n_classes;
    const size_t n_top = arguments->top < n_classes ? arguments->top : n_classes;
    char name[48];
    lutra_error error = {0};
    const double start = tool_seconds();
    snprintf(name, sizeof name, "frame %llu", (unsigned long long)taken->number);
    *readable = !lutra_image_read_memory(taken->data, taken->size, name, &session->info->preprocessing,
                                         pixels, &error);
    if (*readable && lutra_context_run(session->context, pixels, 1, logits, NULL, &error))
        return tool_fail(&error);
    json_t *json = json_object();
    json_object_set_new(json, "frame", tool_json_size(taken->number));
    json_object_set_new(json, "dropped", tool_json_size(taken->dropped));
    json_object_set_new(json, "ms", tool_json_real(1e3 * (tool_seconds() - start)));
    if (!*readable)
        json_object_set_new(json, "error", tool_json_text(error.message));
    json_object_set_new(json, "predictions",
                        *readable ? tool_predictions_json(session, logits, n_top) : json_array());
    tool_json_context(json, arguments, session->context);
    if (!*readable)
        tool_error("%s", error.message);
    return tool_json_print(json, true);
}

static int classify_frames(const tool_arguments *arguments, const tool_session *session, stream *s)
{
    uint8_t *pixels = malloc(session->info->input_bytes);
    float *logits = calloc(session->info->n_classes, sizeof *logits);
    uint64_t n_read = 0, n_unreadable = 0, n_dropped = 0;
    tool_taken_frame taken = {0};
    int result = pixels && logits ? TOOL_DONE : tool_out_of_memory();
    while (!result && !tool_interrupted() && tool_newest_frame_take(&s->newest, &taken)) {
        bool readable;
        result = classify_frame(arguments, session, &taken, pixels, logits, &readable);
        n_read += readable;
        n_unreadable += !readable;
        n_dropped += taken.dropped;
        free(taken.data);
    }
    free(pixels);
    free(logits);
    if (result)
        return result;
    if (tool_interrupted()) {
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    /* The reader has ended. */
    const bool cut_off = tool_frame_cut_off(&s->cutter);
    n_unreadable += s->newest.too_large + s->cutter.n_abandoned;
    n_dropped += s->newest.dropped;
    if (s->newest.too_large)
        tool_error("frames that are larger than 64 MiB, or than memory allows: %llu",
                   (unsigned long long)s->newest.too_large);
    if (s->cutter.n_abandoned)
        tool_error("frames that break off before the next one begins: %llu",
                   (unsigned long long)s->cutter.n_abandoned);
    if (s->read_error) {
        lutra_error error;
        tool_io_error(&error, "standard input", "read it", s->read_error);
        return tool_fail(&error);
    }
    if (cut_off)
        tool_error("standard input ends within a frame");
    if (n_read + n_unreadable == 0) {
        tool_error("standard input holds no JPEG");
        return TOOL_FAILED;
    }
    tool_note(arguments, "%llu frames classified, %llu dropped, %llu unreadable", (unsigned long long)n_read,
              (unsigned long long)n_dropped, (unsigned long long)n_unreadable);
    if (n_read == 0)
        return TOOL_FAILED;
    return n_unreadable || cut_off ? TOOL_UNREADABLE : TOOL_DONE;
}

int tool_classify_stream(const tool_arguments *arguments, const tool_session *session)
{
    stream s = {.newest = TOOL_NO_FRAME_YET};
    pthread_t reader;
    int result = TOOL_FAILED;
    if (pthread_create(&reader, NULL, read_frames, &s) != 0) {
        tool_error("cannot start the thread that reads standard input");
    } else {
        result = classify_frames(arguments, session, &s);
        /* After a failure the reader may wait for a camera that never ends: it waits where it can be
         * cancelled. Once interrupted it ends by itself. */
        if (!tool_interrupted())
            pthread_cancel(reader);
        pthread_join(reader, NULL);
    }
    tool_frame_free(&s.cutter);
    free(s.newest.data);
    return result;
}
