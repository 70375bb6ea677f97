/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "json.h"
#include "terminal.h"

#define IMAGENET_CLASSES 1000

bool tool_first_is_model(const tool_arguments *arguments)
{
    return arguments->n_inputs > 0 && arguments->inputs[0][0] != '@' &&
           strcmp(arguments->inputs[0], "-") != 0 && tool_is_model(arguments->inputs[0]);
}

lutra_status tool_imagenet_names(const lutra_model_info *info, tool_names *names, lutra_error *error)
{
    bool known = false;
    const char *name;
    *names = (tool_names){0};
    for (size_t i = 0; !known && (name = lutra_arch_name(i)); i++)
        known = strcmp(name, info->arch) == 0;
    if (!known || info->n_classes != IMAGENET_CLASSES)
        return LUTRA_OK;
    char *path = tool_find_data(TOOL_IMAGENET_NAMES, error);
    const lutra_status status = path ? tool_names_read(path, names, error) : error->status;
    free(path);
    return status;
}

const char *tool_against_arch(const tool_arguments *arguments)
{
    lutra_model *model = NULL;
    lutra_error error;
    const bool tells =
        !arguments->model.arch || lutra_model_open(arguments->against, NULL, &model, &error) == LUTRA_OK;
    lutra_model_close(model);
    return tells ? NULL : arguments->model.arch;
}

/* What was guessed, a person should be able to see. */
static void note_guess(const tool_session *session, const tool_arguments *arguments)
{
    const lutra_model_info *info = session->info;
    if (strcmp(info->arch_source, "file name") == 0 || strcmp(info->arch_source, "shapes") == 0)
        tool_note(arguments, "%s: taken for %s, by its %s", info->path, info->arch, info->arch_source);
}

static void note_mode(const tool_session *session, const tool_arguments *arguments, lutra_mode mode)
{
    if (mode == LUTRA_MODE_AUTO)
        tool_note(arguments, "mode %s (auto): the fastest here that fits the weights of %s",
                  tool_mode_name(lutra_context_mode(session->context)), session->info->path);
}

void tool_session_name_classes(tool_session *session, const tool_arguments *arguments)
{
    const lutra_model_info *info = session->info;
    lutra_error error;
    if (info->n_classes == 0 || lutra_model_label(session->model, 0))
        return;
    if (tool_imagenet_names(info, &session->imagenet, &error))
        tool_note(arguments, "classes have no names: %s", error.message);
    else if (session->imagenet.n)
        tool_note(arguments, "%s: carries no names of classes; ImageNet-1k's are used", info->path);
}

static lutra_status open_model(tool_session *session, const tool_arguments *arguments, const char *path,
                               const lutra_model_options *options, lutra_error *error)
{
    char *embedded = NULL;
    if (!path) {
        embedded = tool_find_data(TOOL_EMBEDDED_MODEL, error);
        if (!embedded)
            return error->status;
        path = embedded;
        tool_note(arguments, "no model named; the embedded one is used: %s", path);
    }
    const lutra_status status = lutra_model_open(path, options, &session->model, error);
    free(embedded);
    return status;
}

int tool_session_open(tool_session *session, const tool_arguments *arguments, const char *path,
                      const lutra_model_options *options, lutra_mode mode, size_t max_batch)
{
    lutra_error error;
    const lutra_context_options context = {.n_threads = arguments->n_threads,
                                           .max_batch = max_batch,
                                           .mode = mode,
                                           .cpus = arguments->cpus,
                                           .n_cpus = arguments->n_cpus};
    *session = (tool_session){0};
    if (open_model(session, arguments, path, options, &error) ||
        lutra_context_create(session->model, &context, &session->context, &error))
        return tool_fail(&error);
    session->info = lutra_model_get_info(session->model);
    note_guess(session, arguments);
    note_mode(session, arguments, mode);
    return TOOL_DONE;
}

void tool_session_close(tool_session *session)
{
    tool_names_free(&session->imagenet);
    lutra_context_free(session->context);
    lutra_model_close(session->model);
    *session = (tool_session){0};
}

const char *tool_session_label(const tool_session *session, size_t index)
{
    const char *label = lutra_model_label(session->model, index);
    if (!label && index < session->imagenet.n)
        label = session->imagenet.name[index];
    return label;
}

bool tool_same_preprocessing(const lutra_preprocessing *a, const lutra_preprocessing *b)
{
    /* Mean and deviation are applied to the pixels later, by the model; a border is filled with the mean. */
    const bool same_fill = a->crop_mode != LUTRA_CROP_BORDER || memcmp(a->mean, b->mean, sizeof a->mean) == 0;
    return a->height == b->height && a->width == b->width && a->crop_pct == b->crop_pct &&
           a->resize_height == b->resize_height && a->resize_width == b->resize_width &&
           a->crop_mode == b->crop_mode && a->resample == b->resample && a->ignore_exif == b->ignore_exif &&
           same_fill;
}
