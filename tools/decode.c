/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Beyond these the messages are only counted: a wrong folder should not fill the screen. */
#define MAX_MESSAGES 20

typedef struct work {
    const tool_decoder *decoder;
    char *const *paths;
    size_t n;
    atomic_size_t next;
} work;

/* The library waits for standard input, the command until Ctrl-C. */
static lutra_status read_picture(const char *path, const lutra_preprocessing *preprocessing, uint8_t *pixels,
                                 lutra_error *error)
{
    char *bytes;
    size_t n;
    if (strcmp(path, "-") != 0)
        return lutra_image_read(path, preprocessing, pixels, error);
    lutra_status status = tool_read_file(path, &bytes, &n, error);
    if (!status)
        status = lutra_image_read_memory(bytes, n, "standard input", preprocessing, pixels, error);
    free(bytes);
    return status;
}

static void *decode(void *argument)
{
    work *shared = argument;
    const tool_decoder *decoder = shared->decoder;
    size_t i;
    while ((i = atomic_fetch_add(&shared->next, 1)) < shared->n && !tool_interrupted()) {
        lutra_error *error = &decoder->errors[i];
        error->status = LUTRA_OK;
        if (read_picture(shared->paths[i], decoder->preprocessing,
                         decoder->pixels + i * decoder->picture_bytes, error) &&
            error->status == LUTRA_OK)
            error->status = LUTRA_ERROR_FORMAT;
    }
    return NULL;
}

static void decode_all(tool_decoder *decoder, const tool_files *files)
{
    pthread_t threads[LUTRA_MAX_THREADS];
    work shared = {decoder, files->paths + decoder->first, decoder->end - decoder->first, 0};
    size_t n_started = 0;
    const size_t n_wanted = shared.n < decoder->n_threads ? shared.n : decoder->n_threads;
    /* A thread that cannot be created leaves its share to the others. */
    while (n_started + 1 < n_wanted && pthread_create(&threads[n_started], NULL, decode, &shared) == 0)
        n_started++;
    decode(&shared);
    for (size_t i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
}

bool tool_decoder_create(tool_decoder *decoder, const lutra_model_info *info, size_t max_batch,
                         size_t n_threads)
{
    *decoder = (tool_decoder){.preprocessing = &info->preprocessing,
                              .max_batch = max_batch,
                              .n_threads = n_threads,
                              .picture_bytes = info->input_bytes};
    decoder->pixels = calloc(max_batch, info->input_bytes);
    decoder->index = calloc(max_batch, sizeof *decoder->index);
    decoder->errors = calloc(max_batch, sizeof *decoder->errors);
    return decoder->pixels && decoder->index && decoder->errors;
}

void tool_decoder_free(tool_decoder *decoder)
{
    free(decoder->pixels);
    free(decoder->index);
    free(decoder->errors);
    *decoder = (tool_decoder){0};
}

static void report(tool_decoder *decoder, const lutra_error *error, tool_progress *progress)
{
    decoder->n_unreadable++;
    if (decoder->silent || decoder->n_unreadable > MAX_MESSAGES + 1)
        return;
    if (progress)
        tool_progress_hide(progress);
    if (decoder->n_unreadable > MAX_MESSAGES)
        tool_error("more pictures cannot be read; from now on they are only counted");
    else
        tool_error("%s", error->message);
}

bool tool_decoder_next(tool_decoder *decoder, const tool_files *files, tool_progress *progress)
{
    const double start = tool_seconds();
    decoder->first = decoder->end;
    decoder->n = 0;
    if (decoder->first == files->n || tool_interrupted())
        return false;
    const size_t left = files->n - decoder->first;
    decoder->end = decoder->first + (left < decoder->max_batch ? left : decoder->max_batch);
    decode_all(decoder, files);
    if (tool_interrupted())
        return false;
    for (size_t i = 0; i < decoder->end - decoder->first; i++) {
        if (decoder->errors[i].status != LUTRA_OK) {
            report(decoder, &decoder->errors[i], progress);
            continue;
        }
        if (decoder->n != i)
            memcpy(decoder->pixels + decoder->n * decoder->picture_bytes,
                   decoder->pixels + i * decoder->picture_bytes, decoder->picture_bytes);
        decoder->index[decoder->n++] = decoder->first + i;
    }
    decoder->seconds += tool_seconds() - start;
    return true;
}
