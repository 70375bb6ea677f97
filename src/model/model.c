/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/path.h"
#include "format/json.h"
#include "model/labels.h"
#include "model/model_private.h"

#define PATH_SIZE 4096

static const lutra_model_options no_options;

void lutra_model_close(lutra_model *model)
{
    if (!model)
        return;
    lutra_binding_free(&model->binding);
    lutra_vit_settings_free(&model->settings);
    lutra_clustered_close(&model->clustered);
    lutra_safetensors_close(model->file);
    free(model);
}

static lutra_status apply_options(const lutra_model_options *options, lutra_vit_settings *settings,
                                  lutra_error *error)
{
    lutra_preprocessing *p = &settings->preprocessing;
    /* As in a configuration, so that what is written can be read. */
    if (options->crop_pct != 0 && !(options->crop_pct >= (double)FLT_MIN && options->crop_pct <= 1))
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "a crop_pct of %g: it must lie above 0, in a float's range, and not above 1",
                          options->crop_pct);
    if (options->crop_pct > 0) {
        p->crop_pct = options->crop_pct;
        p->resize_height = p->resize_width = 0;
    }
    p->ignore_exif = options->ignore_exif;
    if (!options->labels)
        return LUTRA_OK;
    lutra_vit_settings_free(settings);
    return lutra_labels_read(options->labels, &settings->labels, error);
}

static lutra_status scale_side(size_t *resized, size_t from, size_t to, lutra_error *error)
{
    if (!*resized || !from) /* not said */
        return LUTRA_OK;
    const size_t scaled = (*resized * to + from / 2) / from;
    if (scaled > LUTRA_MAX_EXTENT)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "an image size of %zu: pictures would be resized to %zu pixels before the crop, "
                          "at most %d",
                          to, scaled, LUTRA_MAX_EXTENT);
    *resized = scaled ? scaled : 1;
    return LUTRA_OK;
}

/* A size before the crop that was given in pixels follows the input's size, which was `given`. */
static lutra_status scale_resize(const lutra_preprocessing *given, lutra_preprocessing *p, lutra_error *error)
{
    lutra_status status = scale_side(&p->resize_height, given->height, p->height, error);
    return status ? status : scale_side(&p->resize_width, given->width, p->width, error);
}

static lutra_status check_labels(lutra_model *model, const lutra_model_options *options, lutra_error *error)
{
    const size_t n = json_array_size(model->settings.labels);
    if (!model->settings.labels || n == model->vit.n_classes)
        return LUTRA_OK;
    if (!model->vit.n_classes &&
        !options->labels) { /* those of the classifier that a headless model came from */
        lutra_vit_settings_free(&model->settings);
        return LUTRA_OK;
    }
    return lutra_fail(error, options->labels ? LUTRA_ERROR_ARGUMENT : LUTRA_ERROR_FORMAT,
                      options->labels ? options->labels : lutra_safetensors_path(model->file),
                      LUTRA_NO_OFFSET, "%zu labels do not match the model's %zu classes", n,
                      model->vit.n_classes);
}

static size_t most_clusters(const lutra_binding *binding)
{
    size_t most = 0;
    for (size_t i = 0; i < binding->n_matrices; i++)
        most = binding->matrices[i].n_clusters > most ? binding->matrices[i].n_clusters : most;
    return most;
}

static void fill_info(lutra_model *model)
{
    const lutra_vit *vit = &model->vit;
    lutra_model_info *info = &model->info;
    *info = (lutra_model_info){
        .path = lutra_safetensors_path(model->file),
        .arch = model->settings.arch[0] ? model->settings.arch : "vit",
        .arch_source = model->settings.arch_source,
        .family = "vit",
        .n_classes = vit->n_classes,
        .n_features = vit->n_features,
        .input_bytes = vit->height * vit->width * 3,
        .dim = vit->dim,
        .depth = vit->depth,
        .n_heads = vit->n_heads,
        .mlp_dim = vit->mlp_dim,
        .patch_size = vit->patch,
        .n_tokens = vit->n_tokens,
        .n_prefix_tokens = vit->n_prefix,
        .n_parameters = model->binding.n_parameters,
        .n_clustered = model->binding.n_clustered_parameters,
        .file_bytes = lutra_safetensors_bytes(model->file),
        .n_clusters = most_clusters(&model->binding),
        .n_copied_tensors = model->binding.n_copied,
        .preprocessing = model->settings.preprocessing,
    };
    for (size_t i = 0; i < model->plan.n_steps; i++) {
        lutra_step_info step;
        lutra_step_describe(vit, &model->plan.steps[i], &step);
        info->macs += step.macs;
    }
}

/* The file is open; everything else follows from it. */
static lutra_status build(lutra_model *model, const char *path, const lutra_model_options *options,
                          lutra_error *error)
{
    lutra_status status;
    if ((status = lutra_clustered_open(model->file, &model->clustered, error)) ||
        (status = lutra_binding_init(model->file, &model->clustered, &model->binding, error)) ||
        (status = lutra_model_read_settings(model, path, options, &model->settings, error)) ||
        (status = apply_options(options, &model->settings, error)))
        return status;
    const lutra_preprocessing given = model->settings.preprocessing;
    if ((status =
             lutra_vit_bind(&model->binding, &model->settings, options->image_size, &model->vit, error)) ||
        (status = scale_resize(&given, &model->settings.preprocessing, error)) ||
        (status = check_labels(model, options, error)) ||
        (status = lutra_vit_plan(&model->binding, &model->vit, &model->plan, error)))
        return status;
    fill_info(model);
    return LUTRA_OK;
}

/* A folder stands for the model in it. */
static lutra_status resolve(const char *path, char *file /* [PATH_SIZE] */, lutra_error *error)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    struct stat info;
    if (!path)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "no path");
    if (strlen(path) + 64 > PATH_SIZE)
        return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "the path is too long");
    snprintf(file, PATH_SIZE, "%s", path);
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return LUTRA_OK;
    for (size_t i = 0; i < 2; i++) {
        snprintf(file, PATH_SIZE, "%s/%s", path, names[i]);
        if (!lutra_is_absent(file))
            return LUTRA_OK;
    }
    return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET,
                      "the folder holds neither model.safetensors nor model.safetensors.index.json");
}

lutra_status lutra_model_open(const char *path, const lutra_model_options *options, lutra_model **result,
                              lutra_error *error)
{
    char file[PATH_SIZE];
    lutra_model *model = NULL;
    *result = NULL;
    lutra_status status = resolve(path, file, error);
    if (status || (status = lutra_allocate(1, sizeof *model, "a model", &model, error)))
        return status;
    options = options ? options : &no_options;
    if ((status = lutra_safetensors_open_as(file, options->copy, &model->file, error)) ||
        (status = build(model, file, options, error)))
        lutra_model_close(model);
    else
        *result = model;
    return status;
}

lutra_status lutra_model_open_memory(const void *data, size_t size, const lutra_model_options *options,
                                     lutra_model **result, lutra_error *error)
{
    lutra_model *model = NULL;
    *result = NULL;
    lutra_status status = lutra_allocate(1, sizeof *model, "a model", &model, error);
    if (status)
        return status;
    if ((status = lutra_safetensors_open_memory(data, size, "model in memory", &model->file, error)) ||
        (status = build(model, NULL, options ? options : &no_options, error)))
        lutra_model_close(model);
    else
        *result = model;
    return status;
}

const lutra_model_info *lutra_model_get_info(const lutra_model *model)
{
    return &model->info;
}

const char *lutra_model_label(const lutra_model *model, size_t index)
{
    return json_string_value(json_array_get(model->settings.labels, index));
}

size_t lutra_model_n_steps(const lutra_model *model)
{
    return model->plan.n_steps;
}

lutra_status lutra_model_step(const lutra_model *model, size_t index, lutra_step_info *info,
                              lutra_error *error)
{
    if (index >= model->plan.n_steps)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "step %zu of a plan of %zu",
                          index, model->plan.n_steps);
    lutra_step_describe(&model->vit, &model->plan.steps[index], info);
    return LUTRA_OK;
}

size_t lutra_model_n_matrices(const lutra_model *model)
{
    return model->binding.n_matrices;
}

const lutra_named_matrix *lutra_model_matrix(const lutra_model *model, size_t index)
{
    return index < model->binding.n_matrices ? &model->binding.matrices[index] : NULL;
}

const lutra_safetensors *lutra_model_file(const lutra_model *model)
{
    return model->file;
}

lutra_status lutra_model_describe(const lutra_model *model, char **text, lutra_error *error)
{
    json_t *json = lutra_vit_settings_to_lutra(&model->settings);
    const lutra_status status = lutra_json_text(json, JSON_COMPACT, "the model's description", text, error);
    json_decref(json);
    return status;
}
