/* SPDX-License-Identifier: Apache-2.0 */
/* The description that a clustered file carries (docs/format.md, lutra.config): read and made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "model/labels.h"
#include "model/vit_settings.h"

static const char *const crop_modes[] = {
    [LUTRA_CROP_CENTER] = "center", [LUTRA_CROP_SQUASH] = "squash", [LUTRA_CROP_BORDER] = "border"};

static const char *const pools[] = {[LUTRA_POOL_TOKEN] = "token",
                                    [LUTRA_POOL_AVERAGE] = "average",
                                    [LUTRA_POOL_TOKEN_AND_AVERAGE] = "token and average"};

static lutra_status fail(lutra_error *error, const char *path, const char *what)
{
    return lutra_fail(error, LUTRA_ERROR_FORMAT, path, 8, "lutra.config: %s", what);
}

static lutra_status read_model(const json_t *model, const char *path, lutra_vit_settings *settings,
                               lutra_error *error)
{
    lutra_status status;
    const char *pool = json_string_value(json_object_get(model, "pool"));
    const char *activation = json_string_value(json_object_get(model, "activation"));
    size_t i = 0;
    while (pool && i < 3 && strcmp(pool, pools[i]) != 0)
        i++;
    if (!pool || i == 3 || !activation ||
        (strcmp(activation, "gelu") != 0 && strcmp(activation, "gelu_tanh") != 0))
        return fail(error, path, "pool or activation is missing or unknown");
    settings->pool = (lutra_pool)i;
    settings->gelu_tanh = strcmp(activation, "gelu_tanh") == 0;
    if ((status = lutra_config_size(model, "heads", path, &settings->n_heads, error)) ||
        (status = lutra_config_number(model, "eps", path, &settings->eps, error)) ||
        (status = lutra_config_extent(model, "image_size", path, &settings->native_height,
                                      &settings->native_width, error)))
        return status;
    return lutra_config_flag(model, "position_antialias", path, &settings->position_antialias, error);
}

static lutra_status read_preprocessing(const json_t *json, const char *path, lutra_preprocessing *result,
                                       lutra_error *error)
{
    lutra_status status;
    const char *mode = json_string_value(json_object_get(json, "crop_mode"));
    const json_t *resample = json_object_get(json, "resample");
    bool known = false;
    for (size_t i = 0; i < 3 && mode; i++) {
        if (strcmp(mode, crop_modes[i]) == 0) {
            result->crop_mode = (lutra_crop_mode)i;
            known = true;
        }
    }
    if (!known || !json_is_integer(resample) || json_integer_value(resample) < 0 ||
        json_integer_value(resample) > 5)
        return fail(error, path, "crop_mode or resample is missing or unknown");
    result->resample = (int)json_integer_value(resample);
    if ((status = lutra_config_extent(json, "size", path, &result->height, &result->width, error)) ||
        (status = lutra_config_part(json, "crop_pct", path, &result->crop_pct, error)) ||
        (status = lutra_config_size(json, "resize_height", path, &result->resize_height, error)) ||
        (status = lutra_config_size(json, "resize_width", path, &result->resize_width, error)) ||
        (status = lutra_config_rgb(json, "mean", path, result->mean, error)))
        return status;
    return lutra_config_rgb_divisor(json, "std", path, result->std, error);
}

static lutra_status read_labels(const json_t *labels, const char *path, lutra_vit_settings *settings,
                                lutra_error *error)
{
    if (!json_is_array(labels))
        return LUTRA_OK;
    lutra_status status = lutra_labels_check_count(json_array_size(labels), path, error);
    if (status)
        return status;
    for (size_t i = 0; i < json_array_size(labels); i++)
        if (!json_is_string(json_array_get(labels, i)))
            return fail(error, path, "labels must be a list of texts");
    json_decref(settings->labels);
    settings->labels = json_incref((json_t *)(uintptr_t)labels);
    return LUTRA_OK;
}

lutra_status lutra_vit_settings_from_lutra(const json_t *config, const char *path,
                                           lutra_vit_settings *settings, lutra_error *error)
{
    const char *family = json_string_value(json_object_get(config, "family"));
    const char *arch = json_string_value(json_object_get(config, "architecture"));
    lutra_status status;
    if (!family || strcmp(family, "vit") != 0)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, 8,
                          "lutra.config: the family \"%.60s\" is unknown", family ? family : "");
    if (arch && strlen(arch) >= sizeof settings->arch)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, 8,
                          "lutra.config: the architecture's name is longer than %zu bytes",
                          sizeof settings->arch - 1);
    snprintf(settings->arch, sizeof settings->arch, "%s", arch ? arch : "");
    settings->arch_source = "config";
    if ((status = read_model(json_object_get(config, "model"), path, settings, error)) ||
        (status = read_preprocessing(json_object_get(config, "preprocessing"), path, &settings->preprocessing,
                                     error)))
        return status;
    return read_labels(json_object_get(config, "labels"), path, settings, error);
}

/* A float as the double with 9 digits that is read back as the same. */
static double written(float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", (double)value);
    return strtod(text, NULL);
}

json_t *lutra_vit_settings_to_lutra(const lutra_vit_settings *settings)
{
    const lutra_preprocessing *p = &settings->preprocessing;
    json_t *json = json_pack(
        "{s:s, s:s, s:{s:I, s:f, s:s, s:s, s:[I, I], s:b}, s:{s:[I, I], s:f, s:s, s:i, s:[f, f, f], s:[f, f, "
        "f]}}",
        "family", "vit", "architecture", settings->arch, "model", "heads", (json_int_t)settings->n_heads,
        "eps", settings->eps, "pool", pools[settings->pool], "activation",
        settings->gelu_tanh ? "gelu_tanh" : "gelu", "image_size", (json_int_t)settings->native_height,
        (json_int_t)settings->native_width, "position_antialias", settings->position_antialias,
        "preprocessing", "size", (json_int_t)p->height, (json_int_t)p->width, "crop_pct", p->crop_pct,
        "crop_mode", crop_modes[p->crop_mode], "resample", p->resample, "mean", written(p->mean[0]),
        written(p->mean[1]), written(p->mean[2]), "std", written(p->std[0]), written(p->std[1]),
        written(p->std[2]));
    json_t *preprocessing = json_incref(json_object_get(json, "preprocessing"));
    if (p->resize_height)
        lutra_json_set(&preprocessing, "resize_height", json_integer((json_int_t)p->resize_height));
    if (p->resize_width)
        lutra_json_set(&preprocessing, "resize_width", json_integer((json_int_t)p->resize_width));
    lutra_json_set(&json, "preprocessing", preprocessing);
    if (settings->labels)
        lutra_json_set(&json, "labels", json_incref(settings->labels));
    return json;
}
