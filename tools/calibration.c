/* SPDX-License-Identifier: Apache-2.0 */
#include "calibration.h"

#include <stdlib.h>
#include <string.h>

/* Keeps `n` of the files, evenly over their order. */
static void thin_out(tool_files *files, size_t n)
{
    size_t kept = 0;
    if (n >= files->n)
        return;
    for (size_t i = 0; i < files->n; i++) {
        if (kept < n && i == kept * files->n / n)
            files->paths[kept++] = files->paths[i];
        else
            free(files->paths[i]);
    }
    files->n = kept;
}

static int decode(tool_calibration *c, const tool_arguments *arguments, const tool_files *files,
                  const lutra_model_info *info)
{
    const size_t n_threads = arguments->n_threads ? arguments->n_threads : lutra_default_threads();
    tool_progress progress;
    c->preprocessing = info->preprocessing;
    if (!tool_decoder_create(&c->decoder, info, files->n, n_threads))
        return tool_out_of_memory();
    c->decoder.preprocessing = &c->preprocessing;
    tool_progress_begin(&progress, arguments, "reading pictures");
    tool_decoder_next(&c->decoder, files, &progress);
    tool_progress_hide(&progress);
    if (tool_interrupted())
        return TOOL_INTERRUPTED;
    if (c->decoder.n < TOOL_MIN_CALIBRATION) {
        tool_error("--calibrate %s: %zu pictures could be read; calibration needs at least %d",
                   arguments->calibrate, c->decoder.n, TOOL_MIN_CALIBRATION);
        return TOOL_FAILED;
    }
    return TOOL_DONE;
}

int tool_calibration_read(tool_calibration *c, const tool_arguments *arguments, const char *path)
{
    lutra_error error;
    lutra_model *model = NULL;
    tool_files files = {0};
    size_t unreadable = 0;
    int result = TOOL_DONE;
    *c = (tool_calibration){0};
    if (!tool_files_expand(&files, &arguments->calibrate, 1, &unreadable))
        result = tool_out_of_memory();
    else if (unreadable)
        result = TOOL_FAILED;
    else if (lutra_model_open(path, &arguments->model, &model, &error))
        result = tool_fail(&error);
    if (result == TOOL_DONE) {
        thin_out(&files, arguments->n_calibrate);
        result = decode(c, arguments, &files, lutra_model_get_info(model));
    }
    lutra_model_close(model);
    tool_files_free(&files);
    return result;
}

void tool_calibration_free(tool_calibration *c)
{
    tool_decoder_free(&c->decoder);
}
