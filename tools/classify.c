/* SPDX-License-Identifier: Apache-2.0 */
/* lutra classify: the names of what is in pictures. */
#include <stdlib.h>

#include "classify.h"
#include "decode.h"
#include "draw.h"
#include "predictions.h"

/* Pictures per run where there are several. */
#define BATCH 8

static json_t *picture_json(const tool_arguments *arguments, const tool_session *session, const char *file,
                            json_t *predictions, const char *unreadable)
{
    json_t *json = json_object();
    json_object_set_new(json, "file", tool_json_text(file));
    if (unreadable)
        json_object_set_new(json, "error", tool_json_text(unreadable));
    json_object_set_new(json, "predictions", predictions);
    json_object_set_new(json, "model", tool_json_text(session->info->path));
    json_object_set_new(json, "arch", tool_json_text(session->info->arch));
    tool_json_context(json, arguments, session->context);
    json_object_set_new(json, "preprocessing", tool_json_preprocessing(&session->info->preprocessing));
    return json;
}

static int print_picture(const tool_session *session, const char *file, const float *logits, size_t n_top)
{
    tool_prediction *predictions = calloc(n_top, sizeof *predictions);
    if (!predictions || !tool_predict(session, logits, n_top, predictions)) {
        free(predictions);
        return tool_out_of_memory();
    }
    tool_print(stdout, file);
    putchar('\n');
    for (size_t i = 0; i < n_top; i++) {
        printf("%s%7.2f %%  ", i == 0 ? tool_bold(stdout) : "", 100 * predictions[i].probability);
        if (predictions[i].name)
            tool_print(stdout, predictions[i].name);
        else
            printf("class %zu", predictions[i].index);
        printf("%s\n", i == 0 ? tool_plain(stdout) : "");
    }
    free(predictions);
    return TOOL_DONE;
}

/* Prints, or appends to `list`, what was found in the decoder's batch, in the order of the files. */
static int report_batch(const tool_arguments *arguments, const tool_session *session,
                        const tool_decoder *decoder, const tool_files *files, const float *logits,
                        size_t n_top, json_t *list)
{
    int result = TOOL_DONE;
    const float *at = logits;
    const uint8_t *pixels = decoder->pixels;
    for (size_t i = decoder->first; !result && i < decoder->end; i++) {
        const lutra_error *error = &decoder->errors[i - decoder->first];
        const bool read = error->status == LUTRA_OK;
        if (list)
            json_array_append_new(
                list, picture_json(arguments, session, files->paths[i],
                                   read ? tool_predictions_json(session, at, n_top) : json_array(),
                                   read ? NULL : error->message));
        else if (read) {
            if (arguments->draw)
                tool_draw(stdout, pixels, session->info->preprocessing.height,
                          session->info->preprocessing.width);
            result = print_picture(session, files->paths[i], at, n_top);
        }
        at += read ? session->info->n_classes : 0;
        pixels += read ? decoder->picture_bytes : 0;
    }
    return result;
}

static int classify(const tool_arguments *arguments, const tool_session *session, const tool_files *files,
                    tool_decoder *decoder, tool_progress *progress, json_t *list)
{
    const size_t n_classes = session->info->n_classes;
    const size_t n_top = arguments->top < n_classes ? arguments->top : n_classes;
    lutra_error error;
    float *logits = calloc(decoder->max_batch * n_classes, sizeof *logits); /* [max_batch][n_classes] */
    int result = logits ? TOOL_DONE : tool_out_of_memory();
    while (!result && tool_decoder_next(decoder, files, progress)) {
        if (decoder->n &&
            lutra_context_run(session->context, decoder->pixels, decoder->n, logits, NULL, &error))
            result = tool_fail(&error);
        tool_progress_hide(progress);
        if (!result)
            result = report_batch(arguments, session, decoder, files, logits, n_top, list);
        if (list) /* else the answers themselves show how far it is */
            tool_progress_update(progress, files->paths[decoder->end - 1], decoder->end, files->n);
    }
    tool_progress_hide(progress);
    free(logits);
    if (!result && tool_interrupted()) {
        tool_error("interrupted");
        result = TOOL_INTERRUPTED;
    }
    return result;
}

static int classify_files(const tool_arguments *arguments, const tool_session *session,
                          const tool_files *files, size_t max_batch, size_t unreadable)
{
    tool_decoder decoder;
    tool_progress progress;
    json_t *list = arguments->json ? json_array() : NULL;
    tool_progress_begin(&progress, arguments, "classifying");
    int result = TOOL_DONE;
    if (!tool_decoder_create(&decoder, session->info, max_batch, lutra_context_threads(session->context)) ||
        (arguments->json && !list))
        result = tool_out_of_memory();
    if (!result)
        result = classify(arguments, session, files, &decoder, &progress, list);
    if (!result && arguments->json)
        result = tool_json_print(list, false);
    else
        json_decref(list);
    if (!result && (unreadable || decoder.n_unreadable))
        result = decoder.n_unreadable == files->n ? TOOL_FAILED : TOOL_UNREADABLE;
    tool_decoder_free(&decoder);
    return result;
}

static int run(const tool_arguments *arguments)
{
    const bool named = tool_first_is_model(arguments);
    tool_files files = {0};
    tool_session session = {0};
    size_t unreadable = 0, max_batch = 1;
    if ((arguments->n_inputs == named) != arguments->stream) {
        tool_error(arguments->stream
                       ? "--stream reads standard input; name no pictures"
                       : "classify needs pictures, as in: lutra classify model.safetensors photo.jpg");
        return TOOL_USAGE;
    }
    if (arguments->draw && (arguments->json || arguments->stream)) {
        tool_error("--draw and --%s both say what to print; give one", arguments->json ? "json" : "stream");
        return TOOL_USAGE;
    }
    int result =
        tool_files_expand(&files, arguments->inputs + named, arguments->n_inputs - named, &unreadable);
    if (!result && files.n == 0 && !arguments->stream)
        result = TOOL_FAILED; /* each input has been complained about */
    if (files.n > 1)
        max_batch = files.n < BATCH ? files.n : BATCH;
    if (!result)
        result = tool_session_open(&session, arguments, named ? arguments->inputs[0] : NULL,
                                   &arguments->model, arguments->mode, max_batch);
    if (!result && session.info->n_classes == 0) {
        tool_error("%s: has no head to classify with; 'lutra embed' writes its features", session.info->path);
        result = TOOL_FAILED;
    }
    if (!result)
        tool_session_name_classes(&session, arguments);
    if (!result)
        result = arguments->stream ? tool_classify_stream(arguments, &session)
                                   : classify_files(arguments, &session, &files, max_batch, unreadable);
    tool_session_close(&session);
    tool_files_free(&files);
    return result;
}

static const tool_option options[] = {
    TOOL_TOP,  TOOL_LABELS, TOOL_ARCH,    TOOL_IMAGE_SIZE, TOOL_CROP_PCT, TOOL_NO_EXIF,
    TOOL_COPY, TOOL_MODE,   TOOL_THREADS, TOOL_CPUS,       TOOL_DRAW,     TOOL_STREAM,
    TOOL_JSON, TOOL_QUIET,  TOOL_HELP,    TOOL_NO_OPTION,
};

const tool_command tool_command_classify = {
    .name = "classify",
    .usage = "[MODEL] PICTURE|DIR|@LIST|-...",
    .summary = "name what is in pictures",
    .description =
        "Prints the most probable classes of each picture. Pictures are JPEG, PNG or WebP files; folders are "
        "searched for them, @LIST is a file with one input a line, and - is a picture on standard input. The "
        "pictures are resized, cropped and normalised as the model was trained.\n\n"
        "MODEL is a .safetensors file or a folder that holds one, dense or clustered. Without it, the model "
        "that "
        "comes with Lutra is used.\n\n"
        "With --json, a list of {file, predictions: [{index, name, probability}]}, and what else was "
        "settled. "
        "With --stream, one line of JSON for each frame: its number, how many older frames were dropped "
        "before "
        "it, and the ms that decoding and running took.",
    .examples =
        "lutra classify deit-tiny-64.safetensors photo.jpg another.png --top 3\n"
        "# everything in a folder, for a program to read\n"
        "lutra classify deit-tiny-64.safetensors photos/ --json\n"
        "# a camera\n"
        "rpicam-vid --codec mjpeg --timeout 0 -o - | lutra classify deit-tiny-64.safetensors --stream",
    .options = options,
    .run = run,
};
