/* SPDX-License-Identifier: Apache-2.0 */
/* config.json as timm's save_for_hf and push_to_hf_hub write it. */
#include <stdio.h>
#include <string.h>

#include "format/json.h"
#include "model/labels.h"
#include "model/vit_settings.h"

static lutra_status fail_value(lutra_error *error, const char *path, const char *key, const char *value)
{
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                      "\"%s\" is \"%.60s\", which Lutra does not run", key, value);
}

/* The architecture's name, without the tag of its weights ("vit_small_patch16_224.augreg_in1k"). */
static lutra_status read_arch(const json_t *config, const char *path, lutra_vit_settings *settings,
                              lutra_error *error)
{
    const char *name = json_string_value(json_object_get(config, "architecture"));
    const size_t length = strcspn(name, ".");
    const lutra_vit_arch *arch = lutra_vit_arch_find(name, length);
    /* What an unknown name stands for (its activation, its eps) is nowhere in the file, whatever model_args
     * say. */
    if (!arch)
        return lutra_vit_arch_unknown(name, path, error);
    lutra_vit_settings_from_arch(arch, settings);
    snprintf(settings->arch, sizeof settings->arch, "%.*s", (int)(length < 120 ? length : 120), name);
    settings->arch_source = "config";
    return LUTRA_OK;
}

static lutra_status read_pool(const json_t *object, const char *path, lutra_vit_settings *settings,
                              lutra_error *error)
{
    const char *pool = json_string_value(json_object_get(object, "global_pool"));
    if (!pool)
        return LUTRA_OK;
    if (strcmp(pool, "token") == 0)
        settings->pool = LUTRA_POOL_TOKEN;
    else if (strcmp(pool, "avg") == 0)
        settings->pool = LUTRA_POOL_AVERAGE;
    else
        return fail_value(error, path, "global_pool", pool);
    return LUTRA_OK;
}

static lutra_status read_activation(const json_t *arguments, const char *path, lutra_vit_settings *settings,
                                    lutra_error *error)
{
    const char *activation = json_string_value(json_object_get(arguments, "act_layer"));
    if (!activation)
        return LUTRA_OK;
    if (strcmp(activation, "gelu") != 0 && strcmp(activation, "gelu_tanh") != 0)
        return fail_value(error, path, "act_layer", activation);
    settings->gelu_tanh = strcmp(activation, "gelu_tanh") == 0;
    return LUTRA_OK;
}

/* Options that leave no trace in the tensors' names and would silently change the result. */
static lutra_status refuse_options(const json_t *arguments, const char *path, lutra_error *error)
{
    static const char *const refused[] = {"pool_include_prefix", "dynamic_img_pad", "block_fn",  "mlp_layer",
                                          "attn_layer",          "embed_layer",     "norm_layer"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const json_t *value = lutra_config_present(arguments, refused[i]);
        const char *text = json_string_value(value);
        if (text && strcmp(refused[i], "norm_layer") == 0 && strcmp(text, "layernorm") == 0)
            continue;
        if (value && !json_is_false(value))
            return fail_value(error, path, refused[i], text ? text : "set");
    }
    return LUTRA_OK;
}

static lutra_status read_arguments(const json_t *arguments, const char *path, lutra_vit_settings *settings,
                                   lutra_error *error)
{
    lutra_status status;
    double mlp_ratio = 0;
    const size_t table_dim = settings->dim;
    if ((status = lutra_config_size(arguments, "num_heads", path, &settings->n_heads, error)) ||
        (status = lutra_config_size(arguments, "embed_dim", path, &settings->dim, error)) ||
        (status = lutra_config_size(arguments, "depth", path, &settings->depth, error)) ||
        (status = lutra_config_size(arguments, "patch_size", path, &settings->patch, error)) ||
        (status = lutra_config_extent(arguments, "img_size", path, &settings->native_height,
                                      &settings->native_width, error)) ||
        (status = lutra_config_number(arguments, "mlp_ratio", path, &mlp_ratio, error)))
        return status;
    if (mlp_ratio > 1024)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET, "\"mlp_ratio\" is out of range");
    if (mlp_ratio > 0)
        settings->mlp_dim = (size_t)((double)settings->dim * mlp_ratio);
    else if (settings->dim != table_dim)
        settings->mlp_dim = 4 * settings->dim;
    size_t n_registers;
    bool says_registers;
    if ((status = lutra_json_size(arguments, "reg_tokens", 1024, path, &n_registers, &says_registers, error)))
        return status;
    if (says_registers)
        settings->n_registers = n_registers;
    if ((status = read_activation(arguments, path, settings, error)) ||
        (status = read_pool(arguments, path, settings, error)))
        return status;
    return refuse_options(arguments, path, error);
}

static lutra_status read_interpolation(const json_t *pretrained, const char *path, int *resample,
                                       lutra_error *error)
{
    static const char *const names[] = {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"};
    const char *name = json_string_value(json_object_get(pretrained, "interpolation"));
    if (!name)
        return LUTRA_OK;
    for (int i = 0; i < 6; i++) {
        if (strcmp(name, names[i]) == 0) {
            *resample = i;
            return LUTRA_OK;
        }
    }
    return fail_value(error, path, "interpolation", name);
}

static lutra_status read_crop_mode(const json_t *pretrained, const char *path, lutra_crop_mode *mode,
                                   lutra_error *error)
{
    static const char *const names[] = {
        [LUTRA_CROP_CENTER] = "center", [LUTRA_CROP_SQUASH] = "squash", [LUTRA_CROP_BORDER] = "border"};
    const char *name = json_string_value(json_object_get(pretrained, "crop_mode"));
    if (!name)
        return LUTRA_OK;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *mode = (lutra_crop_mode)i;
            return LUTRA_OK;
        }
    }
    return fail_value(error, path, "crop_mode", name);
}

static lutra_status read_preprocessing(const json_t *pretrained, const char *path,
                                       lutra_preprocessing *result, lutra_error *error)
{
    lutra_status status;
    const json_t *input = json_object_get(pretrained, "input_size"); /* [3][height][width] */
    if (json_array_size(input) == 3) {
        if (json_integer_value(json_array_get(input, 0)) != 3)
            return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                              "\"input_size\" does not have 3 channels");
        const json_int_t height = json_integer_value(json_array_get(input, 1));
        const json_int_t width = json_integer_value(json_array_get(input, 2));
        if (height < 1 || width < 1 || height > 65536 || width > 65536)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                              "\"input_size\" is out of range");
        result->height = (size_t)height;
        result->width = (size_t)width;
    }
    if ((status = lutra_config_part(pretrained, "crop_pct", path, &result->crop_pct, error)) ||
        (status = read_crop_mode(pretrained, path, &result->crop_mode, error)) ||
        (status = read_interpolation(pretrained, path, &result->resample, error)) ||
        (status = lutra_config_rgb(pretrained, "mean", path, result->mean, error)))
        return status;
    return lutra_config_rgb_divisor(pretrained, "std", path, result->std, error);
}

/* Models that take pictures of one size take those that they were made for, others what the configuration
 * says, as in timm. */
static lutra_status choose_input(const json_t *arguments, const json_t *pretrained, const char *path,
                                 lutra_vit_settings *settings, lutra_error *error)
{
    bool is_dynamic = false, is_fixed = true;
    lutra_status status = lutra_config_flag(arguments, "dynamic_img_size", path, &is_dynamic, error);
    if (status || (status = lutra_config_flag(pretrained, "fixed_input_size", path, &is_fixed, error)))
        return status;
    if (lutra_config_present(arguments, "img_size") && is_fixed && !is_dynamic) {
        settings->preprocessing.height = settings->native_height;
        settings->preprocessing.width = settings->native_width;
    }
    return LUTRA_OK;
}

static const json_t *find_either(const json_t *config, const json_t *pretrained, const char *key)
{
    const json_t *value = lutra_config_present(config, key);
    return value ? value : lutra_config_present(pretrained, key);
}

/* label_names are the classes, label_descriptions tells what a name such as "n01440764" means. */
static lutra_status read_labels(const json_t *config, const json_t *pretrained, const char *path,
                                lutra_vit_settings *settings, lutra_error *error)
{
    const json_t *names = find_either(config, pretrained, "label_names");
    const json_t *descriptions = find_either(config, pretrained, "label_descriptions");
    const size_t n = json_is_object(names) ? json_object_size(names) : json_array_size(names);
    if (n == 0)
        return LUTRA_OK;
    lutra_status status = lutra_labels_check_count(n, path, error);
    if (status)
        return status;
    json_decref(settings->labels);
    settings->labels = json_array();
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(lutra_config_element(names, i));
        const char *description = name ? json_string_value(json_object_get(descriptions, name)) : NULL;
        lutra_json_append(&settings->labels, json_string(description ? description : name ? name : ""));
    }
    return settings->labels ? LUTRA_OK : lutra_fail_memory(error, n, "labels");
}

lutra_status lutra_vit_settings_from_timm(const json_t *config, const char *path,
                                          lutra_vit_settings *settings, lutra_error *error)
{
    const json_t *arguments = json_object_get(config, "model_args");
    const json_t *pretrained = lutra_config_present(config, "pretrained_cfg");
    lutra_status status;
    if (!pretrained)
        pretrained = config; /* some files carry its keys at the top */
    if ((status = read_arch(config, path, settings, error)) ||
        (status = read_pool(config, path, settings, error)) ||
        (status = read_arguments(arguments, path, settings, error)) ||
        (status = read_labels(config, pretrained, path, settings, error)))
        return status;
    if ((status = read_preprocessing(pretrained, path, &settings->preprocessing, error)))
        return status;
    return choose_input(arguments, pretrained, path, settings, error);
}

lutra_status lutra_vit_settings_from_config(const json_t *config, const char *path,
                                            const json_t *preprocessor, const char *preprocessor_path,
                                            lutra_vit_settings *settings, lutra_error *error)
{
    if (json_is_string(json_object_get(config, "architecture")))
        return lutra_vit_settings_from_timm(config, path, settings, error);
    if (json_is_string(json_object_get(config, "model_type")))
        return lutra_vit_settings_from_hugging_face(config, path, preprocessor, preprocessor_path, settings,
                                                    error);
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                      "has neither timm's \"architecture\" nor Hugging Face's \"model_type\"");
}
