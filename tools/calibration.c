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

/* How many pictures to read in all. */
static size_t wanted(const tool_arguments *arguments, size_t n_files)
{
    const size_t n = arguments->n_calibrate;
    /* Fewer left over than are worth calibrating on are not worth judging on. */
    const bool more = arguments->budget_unit && n_files >= n + TOOL_MIN_CALIBRATION;
    const size_t all = more ? n + TOOL_MAX_VALIDATION : n;
    return all < TOOL_MAX_PICTURES ? all : TOOL_MAX_PICTURES;
}

static size_t count_validation(const tool_arguments *arguments, size_t n)
{
    const size_t left_over = n > arguments->n_calibrate ? n - arguments->n_calibrate : 0;
    if (arguments->budget_unit == LUTRA_BUDGET_KL && left_over < n / 4)
        return n / 4;
    return left_over;
}

/* Brings the pictures to judge on, taken evenly, behind the others; false when out of memory. */
static bool part_pictures(tool_calibration *c)
{
    const size_t n = c->decoder.n, bytes = c->decoder.picture_bytes;
    uint8_t *pixels = c->decoder.pixels, *kept = malloc(c->n_validation * bytes + 1);
    size_t n_kept = 0;
    if (!kept)
        return false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *picture = pixels + i * bytes;
        if (i * c->n_validation / n != (i + 1) * c->n_validation / n)
            memcpy(kept + n_kept++ * bytes, picture, bytes);
        else if (n_kept)
            memcpy(pixels + (i - n_kept) * bytes, picture, bytes);
    }
    memcpy(pixels + (n - n_kept) * bytes, kept, n_kept * bytes);
    free(kept);
    return true;
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
    if (tool_interrupted()) {
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    c->n_validation = count_validation(arguments, c->decoder.n);
    c->n = c->decoder.n - c->n_validation;
    if (c->n < TOOL_MIN_CALIBRATION) {
        tool_error("--calibrate %s: %zu pictures could be read; calibration needs at least %d%s",
                   arguments->calibrate, c->decoder.n, TOOL_MIN_CALIBRATION,
                   c->n_validation ? ", and a loss a quarter of all to be judged on" : "");
        return TOOL_FAILED;
    }
    return part_pictures(c) ? TOOL_DONE : tool_out_of_memory();
}

/* What is written must not take the place of a picture. */
static lutra_status check_outputs(const tool_arguments *arguments, const tool_files *files,
                                  lutra_error *error)
{
    const char *const *pictures = (const char *const *)files->paths;
    const lutra_status status = tool_check_output(arguments->output, pictures, files->n, error);
    if (status || !arguments->report)
        return status;
    return tool_check_output(arguments->report, pictures, files->n, error);
}

int tool_calibration_read(tool_calibration *c, const tool_arguments *arguments, const char *path)
{
    lutra_error error;
    lutra_model *model = NULL;
    tool_files files = {0};
    size_t unreadable = 0;
    *c = (tool_calibration){0};
    int result = tool_files_expand(&files, &arguments->calibrate, 1, &unreadable);
    if (!result && unreadable)
        result = TOOL_FAILED;
    if (!result && check_outputs(arguments, &files, &error))
        result = tool_fail(&error);
    if (!result && lutra_model_open(path, &arguments->model, &model, &error))
        result = tool_fail(&error);
    if (!result) {
        thin_out(&files, wanted(arguments, files.n));
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
