/* SPDX-License-Identifier: Apache-2.0 */
/* How pictures become a Hugging Face model's input: preprocessor_config.json, and what stands for it. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "model/vit_settings.h"

typedef struct picture_size {
    size_t height, width; /* 0: not said */
    size_t shortest_edge; /* 0: not said */
} picture_size;

/* 224 (of both sides, but of the shortest edge for some processors), {"height": 224, "width": 224} or
 * {"shortest_edge": 256}. */
static lutra_status read_size(const json_t *preprocessor, const char *key, const char *path,
                              bool plain_is_shortest_edge, picture_size *size, lutra_error *error)
{
    const json_t *member = lutra_config_present(preprocessor, key);
    lutra_status status;
    *size = (picture_size){0};
    if (!member)
        return LUTRA_OK;
    if (json_is_integer(member) && plain_is_shortest_edge)
        return lutra_config_size(preprocessor, key, path, &size->shortest_edge, error);
    if (!json_is_object(member))
        return lutra_config_extent(preprocessor, key, path, &size->height, &size->width, error);
    if ((status = lutra_config_size(member, "height", path, &size->height, error)) ||
        (status = lutra_config_size(member, "width", path, &size->width, error)) ||
        (status = lutra_config_size(member, "shortest_edge", path, &size->shortest_edge, error)))
        return status;
    if (!size->height != !size->width || (!size->height && !size->shortest_edge))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"%s\" must have height and width, or shortest_edge", key);
    return LUTRA_OK;
}

/* What an image processor does where its file does not say. */
typedef struct processor_defaults {
    const char *name; /* before "ImageProcessor" or, in older files, "FeatureExtractor" */
    picture_size size;
    float mean[3], std[3];
    int resample;
    bool plain_is_shortest_edge; /* "size": 224 */
    bool crops;
} processor_defaults;

#define HALF                                                                                                 \
    {0.5f, 0.5f, 0.5f},                                                                                      \
    {                                                                                                        \
        0.5f, 0.5f, 0.5f                                                                                     \
    }
#define CLIP                                                                                                 \
    {0.48145466f, 0.4578275f, 0.40821073f},                                                                  \
    {                                                                                                        \
        0.26862954f, 0.26130258f, 0.27577711f                                                                \
    }

static const processor_defaults processors[] = {
    {"ViT", {224, 224, 0}, HALF, LUTRA_BILINEAR, false, false},
    {"DeiT", {256, 256, 0}, HALF, LUTRA_BICUBIC, false, true},
    {"Bit", {0, 0, 224}, CLIP, LUTRA_BICUBIC, true, true},
    {"CLIP", {0, 0, 224}, CLIP, LUTRA_BICUBIC, true, true},
};

#undef HALF
#undef CLIP

static bool is_processor(const char *type, const char *name)
{
    const size_t length = strlen(name);
    return strncmp(type, name, length) == 0 && (strncmp(type + length, "ImageProcessor", 14) == 0 ||
                                                strncmp(type + length, "FeatureExtractor", 16) == 0);
}

/* The processor's own name, or that of the model's type. */
static const char *processor_type(const json_t *preprocessor, const char *model_type)
{
    const char *type = json_string_value(json_object_get(preprocessor, "image_processor_type"));
    type = type ? type : json_string_value(json_object_get(preprocessor, "feature_extractor_type"));
    if (type)
        return type;
    return strcmp(model_type, "vit") == 0    ? "ViTImageProcessor"
           : strcmp(model_type, "deit") == 0 ? "DeiTImageProcessor"
                                             : "BitImageProcessor";
}

static const processor_defaults *find_processor(const char *type)
{
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++)
        if (is_processor(type, processors[i].name))
            return &processors[i];
    return NULL;
}

static lutra_status read_resize(const json_t *preprocessor, const char *path,
                                const processor_defaults *processor, lutra_preprocessing *result,
                                lutra_error *error)
{
    bool crops = processor->crops, resizes = true;
    picture_size size, crop;
    lutra_status status;
    if ((status = lutra_config_flag(preprocessor, "do_center_crop", path, &crops, error)) ||
        (status = lutra_config_flag(preprocessor, "do_resize", path, &resizes, error)) ||
        (status = read_size(preprocessor, "size", path, processor->plain_is_shortest_edge, &size, error)) ||
        (status = read_size(preprocessor, "crop_size", path, false, &crop, error)))
        return status;
    if (!resizes)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"do_resize\" is false, but pictures come in any size");
    if (!size.height && !size.shortest_edge)
        size = processor->size;
    if (crops && crop.shortest_edge && !crop.height)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"crop_size\" must have height and width");
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
        const double mean = (double)result->mean[i] / unit, std = (double)result->std[i] / unit;
        if (!(fabs(mean) <= (double)FLT_MAX) || std < 1e-6 || std > (double)FLT_MAX)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                              "\"rescale_factor\" is out of range");
        result->mean[i] = (float)mean;
        result->std[i] = (float)std;
    }
    return LUTRA_OK;
}

/* Nothing says how pictures become the input: they get the model's own size, and ViT's normalisation or what
 * the published models of the other kinds have. */
static void resize_to_native(const lutra_vit_settings *settings, bool is_vit, lutra_preprocessing *result)
{
    const bool keep_aspect = !is_vit && settings->native_height == settings->native_width;
    result->height = result->resize_height = settings->native_height;
    result->width = settings->native_width;
    result->resize_width = keep_aspect ? 0 : settings->native_width;
    result->crop_mode = keep_aspect ? LUTRA_CROP_CENTER : LUTRA_CROP_SQUASH;
    result->crop_pct = 1.0;
    result->resample = is_vit ? LUTRA_BILINEAR : LUTRA_BICUBIC;
    if (is_vit) {
        set_rgb(result->mean, 0.5f);
        set_rgb(result->std, 0.5f);
    }
}

static lutra_status read_file(const json_t *preprocessor, const char *model_type, const char *path,
                              lutra_preprocessing *result, lutra_error *error)
{
    const json_t *resample = lutra_config_present(preprocessor, "resample");
    const char *type = processor_type(preprocessor, model_type);
    const processor_defaults *processor = find_processor(type);
    if (!processor)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "prepares pictures with \"%.80s\"; Lutra knows those of ViT, DeiT, Bit and CLIP",
                          type);
    lutra_status status = read_resize(preprocessor, path, processor, result, error);
    if (status)
        return status;
    result->resample = processor->resample;
    memcpy(result->mean, processor->mean, sizeof result->mean);
    memcpy(result->std, processor->std, sizeof result->std);
    if (resample) {
        if (!json_is_integer(resample) || json_integer_value(resample) < 0 ||
            json_integer_value(resample) > 5)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                              "\"resample\" must be one of Pillow's codes, 0 to 5");
        result->resample = (int)json_integer_value(resample);
    }
    return read_normalisation(preprocessor, path, result, error);
}

lutra_status lutra_vit_settings_from_preprocessor(const json_t *preprocessor, const char *path,
                                                  const char *model_type, lutra_vit_settings *settings,
                                                  lutra_error *error)
{
    if (preprocessor)
        return read_file(preprocessor, model_type, path, &settings->preprocessing, error);
    resize_to_native(settings, strcmp(model_type, "vit") == 0, &settings->preprocessing);
    return LUTRA_OK;
}
