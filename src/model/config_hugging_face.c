/* SPDX-License-Identifier: Apache-2.0 */
/* config.json and preprocessor_config.json as transformers' save_pretrained writes them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/vit_settings.h"

static bool is_one_of(const char *text, const char *const *names, size_t n)
{
    for (size_t i = 0; text && i < n; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

static lutra_status read_activation(const json_t *config, const char *path, lutra_vit_settings *settings,
                                    lutra_error *error)
{
    static const char *const tanh_names[] = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast"};
    const char *name = json_string_value(json_object_get(config, "hidden_act"));
    settings->gelu_tanh = is_one_of(name, tanh_names, 3);
    if (name && !settings->gelu_tanh && strcmp(name, "gelu") != 0)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"hidden_act\" is \"%.60s\"; Lutra runs gelu and gelu_pytorch_tanh", name);
    return LUTRA_OK;
}

static lutra_status read_arch(const json_t *config, const char *path, lutra_vit_settings *settings,
                              lutra_error *error)
{
    static const char *const types[] = {"vit", "deit", "dinov2", "dinov2_with_registers"};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const char *class = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    const bool is_classifier = class && strstr(class, "ForImageClassification");
    bool swiglu = false;
    lutra_status status;
    if (!is_one_of(type, types, 4))
        return lutra_fail(
            error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
            "\"model_type\" is \"%.60s\"; Lutra runs vit, deit, dinov2 and dinov2_with_registers", type);
    if ((status = lutra_config_flag(config, "use_swiglu_ffn", path, &swiglu, error)))
        return status;
    if (swiglu)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"use_swiglu_ffn\" is true, which Lutra does not run");
    snprintf(settings->arch, sizeof settings->arch, "%s", type);
    settings->arch_source = "config";
    settings->position_antialias = false;
    settings->pool =
        is_classifier && strncmp(type, "dinov2", 6) == 0 ? LUTRA_POOL_TOKEN_AND_AVERAGE : LUTRA_POOL_TOKEN;
    /* The library's own defaults, of ViT-Base, for what the file leaves out. */
    settings->dim = 768;
    settings->depth = settings->n_heads = 12;
    settings->patch = strncmp(type, "dinov2", 6) == 0 ? 14 : 16;
    settings->native_height = settings->native_width = 224;
    settings->mlp_dim = 0;
    settings->says_registers = true;
    settings->n_registers = strcmp(type, "dinov2_with_registers") == 0 ? 4 : 0;
    settings->eps = strncmp(type, "dinov2", 6) == 0 ? 1e-6 : 1e-12;
    if ((status = lutra_config_size(config, "hidden_size", path, &settings->dim, error)) ||
        (status = lutra_config_size(config, "num_hidden_layers", path, &settings->depth, error)) ||
        (status = lutra_config_size(config, "num_attention_heads", path, &settings->n_heads, error)) ||
        (status = lutra_config_size(config, "intermediate_size", path, &settings->mlp_dim, error)) ||
        (status = lutra_config_size(config, "patch_size", path, &settings->patch, error)) ||
        (settings->n_registers &&
         (status = lutra_config_size(config, "num_register_tokens", path, &settings->n_registers, error))) ||
        (status = lutra_config_extent(config, "image_size", path, &settings->native_height,
                                      &settings->native_width, error)) ||
        (status = lutra_config_number(config, "layer_norm_eps", path, &settings->eps, error)))
        return status;
    if (strncmp(type, "dinov2", 6) == 0)
        settings->mlp_dim = 0; /* intermediate_size is not what these models use: mlp_ratio is */
    return read_activation(config, path, settings, error);
}

/* id2label maps "0", "1", ... to names. */
static void read_labels(const json_t *config, lutra_vit_settings *settings)
{
    const json_t *names = json_object_get(config, "id2label");
    char key[24];
    if (!json_is_object(names) || json_object_size(names) == 0)
        return;
    json_decref(settings->labels);
    settings->labels = json_array();
    for (size_t i = 0; i < json_object_size(names); i++) {
        snprintf(key, sizeof key, "%zu", i);
        const char *name = json_string_value(json_object_get(names, key));
        json_array_append_new(settings->labels, json_string(name ? name : ""));
    }
}

typedef struct picture_size {
    size_t height, width; /* 0: not said */
    size_t shortest_edge; /* 0: not said */
} picture_size;

/* 224 (of both sides, but of the shortest edge for some processors), {"height": 224, "width": 224} or
 * {"shortest_edge": 256}. */
static lutra_status read_size(const json_t *preprocessor, const char *key, const char *path,
                              bool plain_is_shortest_edge, picture_size *size, lutra_error *error)
{
    const json_t *member = json_object_get(preprocessor, key);
    lutra_status status;
    *size = (picture_size){0};
    if (!member || json_is_null(member))
        return LUTRA_OK;
    if (json_is_integer(member) && plain_is_shortest_edge)
        return lutra_config_size(preprocessor, key, path, &size->shortest_edge, error);
    if (!json_is_object(member))
        return lutra_config_extent(preprocessor, key, path, &size->height, &size->width, error);
    if ((status = lutra_config_size(member, "height", path, &size->height, error)) ||
        (status = lutra_config_size(member, "width", path, &size->width, error)) ||
        (status = lutra_config_size(member, "shortest_edge", path, &size->shortest_edge, error)))
        return status;
    if (!size->shortest_edge && (!size->height || !size->width))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"%s\" has neither height and width nor shortest_edge", key);
    return LUTRA_OK;
}

static lutra_status read_resize(const json_t *preprocessor, const char *path, bool is_deit, bool is_dinov2,
                                lutra_preprocessing *result, lutra_error *error)
{
    const char *type = json_string_value(json_object_get(preprocessor, "image_processor_type"));
    const bool is_bit = type ? strncmp(type, "Bit", 3) == 0 || strncmp(type, "CLIP", 4) == 0 : is_dinov2;
    bool crops = is_deit || is_bit, resizes = true;
    picture_size size, crop;
    lutra_status status;
    if ((status = lutra_config_flag(preprocessor, "do_center_crop", path, &crops, error)) ||
        (status = lutra_config_flag(preprocessor, "do_resize", path, &resizes, error)) ||
        (status = read_size(preprocessor, "size", path, is_bit, &size, error)) ||
        (status = read_size(preprocessor, "crop_size", path, false, &crop, error)))
        return status;
    if (!resizes)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"do_resize\" is false, but pictures come in any size");
    if (!size.height && !size.shortest_edge) /* the processor's own default */
        size = is_deit  ? (picture_size){256, 256, 0}
               : is_bit ? (picture_size){0, 0, 224}
                        : (picture_size){224, 224, 0};
    if (!crop.height)
        crop = (picture_size){224, 224, 0};
    if (!crops && size.shortest_edge)
        return lutra_fail(
            error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
            "\"size\" fixes the shorter edge alone and nothing is cropped: the input has no fixed size");
    result->height = crops ? crop.height : size.height;
    result->width = crops ? crop.width : size.width;
    result->crop_pct = 1.0;
    result->crop_mode = size.shortest_edge ? LUTRA_CROP_CENTER : LUTRA_CROP_SQUASH;
    result->resize_height = size.shortest_edge ? size.shortest_edge : size.height;
    result->resize_width = size.shortest_edge ? 0 : size.width;
    return LUTRA_OK;
}

static void set_rgb(float *rgb, float value)
{
    rgb[0] = rgb[1] = rgb[2] = value;
}

static lutra_status read_normalisation(const json_t *preprocessor, const char *path,
                                       lutra_preprocessing *result, lutra_error *error)
{
    bool normalises = true, rescales = true;
    double factor = 1.0 / 255;
    lutra_status status;
    if ((status = lutra_config_flag(preprocessor, "do_normalize", path, &normalises, error)) ||
        (status = lutra_config_flag(preprocessor, "do_rescale", path, &rescales, error)) ||
        (status = lutra_config_number(preprocessor, "rescale_factor", path, &factor, error)) ||
        (status = lutra_config_rgb(preprocessor, "image_mean", path, result->mean, error)) ||
        (status = lutra_config_rgb_divisor(preprocessor, "image_std", path, result->std, error)))
        return status;
    if (!normalises) {
        set_rgb(result->mean, 0);
        set_rgb(result->std, 1);
    }
    /* (pixel * factor - mean) / std, in terms of pixel / 255. */
    const double unit = 255 * (rescales ? factor : 1.0);
    for (size_t i = 0; i < 3 && fabs(unit - 1) > 1e-6; i++) {
        result->mean[i] = (float)(result->mean[i] / unit);
        result->std[i] = (float)(result->std[i] / unit);
    }
    return LUTRA_OK;
}

/* Nothing says how pictures become the input: they get the model's own size. */
static void resize_to_native(const lutra_vit_settings *settings, bool keep_aspect,
                             lutra_preprocessing *result)
{
    const bool square = settings->native_height == settings->native_width;
    result->height = result->resize_height = settings->native_height;
    result->width = settings->native_width;
    result->resize_width = keep_aspect && square ? 0 : settings->native_width;
    result->crop_mode = keep_aspect && square ? LUTRA_CROP_CENTER : LUTRA_CROP_SQUASH;
    result->crop_pct = 1.0;
}

static lutra_status read_preprocessing(const json_t *preprocessor, const json_t *config, const char *path,
                                       lutra_vit_settings *settings, lutra_error *error)
{
    lutra_preprocessing *result = &settings->preprocessing;
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const bool is_deit = strcmp(type, "deit") == 0, is_dinov2 = strncmp(type, "dinov2", 6) == 0;
    const json_t *resample = json_object_get(preprocessor, "resample");
    lutra_status status = LUTRA_OK;
    if (!preprocessor)
        resize_to_native(settings, is_deit || is_dinov2, result);
    else if ((status = read_resize(preprocessor, path, is_deit, is_dinov2, result, error)))
        return status;
    result->resample = is_deit || is_dinov2 ? LUTRA_BICUBIC : LUTRA_BILINEAR;
    if (resample && !json_is_null(resample)) {
        if (!json_is_integer(resample) || json_integer_value(resample) < 0 ||
            json_integer_value(resample) > 5)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                              "\"resample\" must be one of Pillow's codes, 0 to 5");
        result->resample = (int)json_integer_value(resample);
    }
    if (!is_deit && !is_dinov2) {
        set_rgb(result->mean, 0.5f);
        set_rgb(result->std, 0.5f);
    }
    return read_normalisation(preprocessor, path, result, error);
}

lutra_status lutra_vit_settings_from_hugging_face(const json_t *config, const char *path,
                                                  const json_t *preprocessor, const char *preprocessor_path,
                                                  bool keep_arch, lutra_vit_settings *settings,
                                                  lutra_error *error)
{
    lutra_status status;
    if (!keep_arch && (status = read_arch(config, path, settings, error)))
        return status;
    read_labels(config, settings);
    return read_preprocessing(preprocessor, config, preprocessor_path, settings, error);
}
