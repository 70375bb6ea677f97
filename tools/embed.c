/* SPDX-License-Identifier: Apache-2.0 */
/* lutra embed: features of pictures, as a NumPy file. */
#include <math.h>
#include <stdlib.h>

#include "decode.h"
#include "json.h"
#include "npy.h"
#include "session.h"

#define DEFAULT_BATCH 16

/* Fills features [files->n][n_features]; the row of a picture that cannot be read stays NaN. */
static int embed(const tool_session *session, tool_decoder *decoder, const tool_files *files, float *features,
                 tool_progress *progress)
{
    const size_t n_features = session->info->n_features;
    lutra_error error;
    float *batch = calloc(decoder->max_batch, n_features * sizeof *batch);
    int result = batch ? TOOL_DONE : tool_out_of_memory();
    while (!result && tool_decoder_next(decoder, files, progress)) {
        if (decoder->n &&
            lutra_context_run(session->context, decoder->pixels, decoder->n, NULL, batch, &error))
            result = tool_fail(&error);
        for (size_t i = 0; !result && i < decoder->n; i++)
            for (size_t j = 0; j < n_features; j++)
                features[decoder->index[i] * n_features + j] = batch[i * n_features + j];
        tool_progress_update(progress, files->paths[decoder->end - 1], decoder->end, files->n);
    }
    free(batch);
    return result;
}

static int print_json(const tool_arguments *arguments, const tool_session *session, const tool_files *files,
                      size_t unreadable, double seconds)
{
    json_t *json = json_object(), *names = json_array(), *shape = json_array();
    for (size_t i = 0; i < files->n; i++)
        json_array_append_new(names, tool_json_text(files->paths[i]));
    json_array_append_new(shape, tool_json_size(files->n));
    json_array_append_new(shape, tool_json_size(session->info->n_features));
    json_object_set_new(json, "output", tool_json_text(arguments->output));
    json_object_set_new(json, "shape", shape);
    json_object_set_new(json, "files", names);
    json_object_set_new(json, "unreadable", tool_json_size(unreadable));
    json_object_set_new(json, "model", tool_json_text(session->info->path));
    json_object_set_new(json, "arch", tool_json_text(session->info->arch));
    json_object_set_new(json, "seconds", tool_json_real(seconds));
    tool_json_context(json, arguments, session->context);
    json_object_set_new(json, "preprocessing", tool_json_preprocessing(&session->info->preprocessing));
    return tool_json_print(json, false);
}

static int embed_and_write(const tool_arguments *arguments, const tool_session *session,
                           const tool_files *files, size_t unreadable)
{
    const size_t n_features = session->info->n_features;
    lutra_error error;
    tool_decoder decoder;
    tool_progress progress;
    tool_progress_begin(&progress, arguments, "embedding");
    float *features = calloc(files->n, n_features * sizeof *features); /* which multiplies without overflow */
    int result = TOOL_DONE;
    if (!tool_decoder_create(&decoder, session->info, arguments->batch ? arguments->batch : DEFAULT_BATCH,
                             lutra_context_threads(session->context)) ||
        !features)
        result = tool_out_of_memory();
    for (size_t i = 0; !result && i < files->n * n_features; i++)
        features[i] = NAN;
    if (!result)
        result = embed(session, &decoder, files, features, &progress);
    tool_progress_hide(&progress);
    unreadable += decoder.n_unreadable;
    if (!result && tool_interrupted()) {
        tool_error("interrupted");
        result = TOOL_INTERRUPTED;
    } else if (!result && decoder.n_unreadable == files->n) {
        tool_error("no picture could be read; nothing is written");
        result = TOOL_FAILED;
    }
    const double seconds = tool_seconds() - progress.started;
    if (!result && tool_write_npy(arguments->output, features, files->n, n_features, &error))
        result = tool_fail(&error);
    if (!result && arguments->json)
        result = print_json(arguments, session, files, unreadable, seconds);
    if (!result && !arguments->json) {
        tool_print(stdout, arguments->output);
        printf("  float32 [%zu][%zu], %.2f s\n", files->n, n_features, seconds);
    }
    if (!result && unreadable) {
        tool_error("%zu of the inputs cannot be read%s", unreadable,
                   decoder.n_unreadable ? "; the rows of unreadable pictures are NaN" : "");
        result = TOOL_UNREADABLE;
    }
    tool_decoder_free(&decoder);
    free(features);
    return result;
}

static int run(const tool_arguments *arguments)
{
    const bool named = tool_first_is_model(arguments);
    const size_t n_pictures = arguments->n_inputs - named;
    lutra_error error;
    tool_files files = {0};
    tool_session session = {0};
    size_t unreadable = 0;
    if (n_pictures == 0 || !arguments->output) {
        tool_error(
            "embed needs pictures and -o FILE, as in: lutra embed model.safetensors photos -o features.npy");
        return TOOL_USAGE;
    }
    if (tool_check_document(arguments->output, arguments->inputs, arguments->n_inputs, &error))
        return tool_fail(&error);
    int result = tool_files_expand(&files, arguments->inputs + named, n_pictures, &unreadable);
    if (!result && files.n == 0)
        result = TOOL_FAILED; /* each input has been complained about */
    if (!result && tool_check_output(arguments->output, (const char *const *)files.paths, files.n, &error))
        result = tool_fail(&error);
    if (!result)
        result =
            tool_session_open(&session, arguments, named ? arguments->inputs[0] : NULL, &arguments->model,
                              arguments->mode, arguments->batch ? arguments->batch : DEFAULT_BATCH);
    if (!result)
        result = embed_and_write(arguments, &session, &files, unreadable);
    tool_session_close(&session);
    tool_files_free(&files);
    return result;
}

static const tool_option options[] = {
    TOOL_OUTPUT, TOOL_ARCH,    TOOL_IMAGE_SIZE, TOOL_CROP_PCT, TOOL_NO_EXIF, TOOL_COPY, TOOL_BATCH,
    TOOL_MODE,   TOOL_THREADS, TOOL_CPUS,       TOOL_JSON,     TOOL_QUIET,   TOOL_HELP, TOOL_NO_OPTION,
};

const tool_command tool_command_embed = {
    .name = "embed",
    .usage = "[MODEL] PICTURE|DIR|@LIST... -o FILE",
    .summary = "write the features of pictures as a NumPy file",
    .description = "Writes what the head of MODEL would see: an array of 32-bit floats, one row per picture "
                   "in the order "
                   "given, to FILE in NumPy's .npy format. Folders are searched for .jpg, .jpeg, .png and "
                   ".webp; @LIST is a "
                   "file with one input a line; - is a picture on standard input. The row of a picture that "
                   "cannot be read "
                   "is NaN, and the exit status then is 3.\n\n"
                   "Without MODEL, the model that comes with Lutra is used.",
    .examples = "# in Python: features = numpy.load('features.npy')\n"
                "lutra embed vit_small_patch14_dinov2.safetensors photos/ -o features.npy",
    .options = options,
    .run = run,
};
