/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vision transformer's tensors do not tell: how many heads share a row, which GELU, which eps, which
 * picture. It comes from the table of known architectures, from config.json (timm's or Hugging Face's) or
 * from a clustered file's own description; everything else is read off the tensors' names and shapes.
 */
#ifndef LUTRA_MODEL_VIT_SETTINGS_H
#define LUTRA_MODEL_VIT_SETTINGS_H

#include <jansson.h>

#include "base/error.h"

#define LUTRA_ARCH_NAME_SIZE 128
#define LUTRA_MAX_EXTENT 65536 /* of a size in a configuration */

typedef enum lutra_pool {
    LUTRA_POOL_TOKEN,             /* the class token */
    LUTRA_POOL_AVERAGE,           /* of the patches' tokens */
    LUTRA_POOL_TOKEN_AND_AVERAGE, /* both, one behind the other (DINOv2's classifiers) */
} lutra_pool;

typedef struct lutra_vit_settings {
    char arch[LUTRA_ARCH_NAME_SIZE]; /* "" or "vit" where it has no name */
    const char *arch_source;         /* "option", "config", "file name" or "shapes" */
    size_t n_heads;
    lutra_pool pool;
    bool gelu_tanh;
    double eps;
    size_t native_height, native_width; /* of the pictures that the position embedding was trained for */
    bool position_antialias; /* of resampled positions: timm's, Hugging Face's where there are registers */
    size_t dim, depth, mlp_dim, patch; /* what the tensors must agree with; 0: not said */
    bool says_registers;               /* else n_registers is not said */
    size_t n_registers;
    lutra_preprocessing preprocessing;
    json_t *labels; /* an array of strings, owned; NULL: none */
} lutra_vit_settings;

/* A known architecture. Every row: mlp_dim = 4 dim, class token pooled, exact GELU, eps 1e-6, bicubic, centre
 * crop. */
typedef struct lutra_vit_arch {
    const char *name;
    size_t image_size, patch, dim, depth, n_heads;
    bool distilled;
    size_t n_registers;
    bool position_on_patches_only;
    bool layer_scale;
    size_t n_classes;        /* 0: features only */
    bool half_normalisation; /* mean = std = 0.5; else ImageNet's */
    double crop_pct;
} lutra_vit_arch;

const lutra_vit_arch *lutra_vit_arch_at(size_t index); /* NULL beyond the last */
const lutra_vit_arch *lutra_vit_arch_find(const char *name, size_t length);
/* The known architecture whose name the text begins with, the longest; NULL: none. */
const lutra_vit_arch *lutra_vit_arch_prefix(const char *text);
/* Whether such a text goes on as the name of weights for which pictures are prepared otherwise. */
bool lutra_vit_arch_wants_other_pictures(const lutra_vit_arch *arch, const char *text);
/* LUTRA_ERROR_UNSUPPORTED: `name` is unknown, with the nearest known names. */
lutra_status lutra_vit_arch_unknown(const char *name, const char *path, lutra_error *error);

void lutra_vit_settings_init(lutra_vit_settings *settings);
void lutra_vit_settings_from_arch(const lutra_vit_arch *arch, lutra_vit_settings *settings);
void lutra_vit_settings_free(lutra_vit_settings *settings);

/* config.json at `path`, either dialect, and preprocessor_config.json at `preprocessor_path` (its JSON NULL
 * where there is none), over what `settings` already holds. */
lutra_status lutra_vit_settings_from_config(const json_t *config, const char *path,
                                            const json_t *preprocessor, const char *preprocessor_path,
                                            lutra_vit_settings *settings, lutra_error *error);
lutra_status lutra_vit_settings_from_timm(const json_t *config, const char *path,
                                          lutra_vit_settings *settings, lutra_error *error);
lutra_status lutra_vit_settings_from_hugging_face(const json_t *config, const char *path,
                                                  const json_t *preprocessor, const char *preprocessor_path,
                                                  lutra_vit_settings *settings, lutra_error *error);

/* preprocessor_config.json, or where it is NULL the model's own size. */
lutra_status lutra_vit_settings_from_preprocessor(const json_t *preprocessor, const char *path,
                                                  const char *model_type, lutra_vit_settings *settings,
                                                  lutra_error *error);

/* A clustered file's own description, and how it is made (a new object). */
lutra_status lutra_vit_settings_from_lutra(const json_t *config, const char *path,
                                           lutra_vit_settings *settings, lutra_error *error);
json_t *lutra_vit_settings_to_lutra(const lutra_vit_settings *settings);

/* A member of a configuration; NULL where it is absent or null. */
const json_t *lutra_config_present(const json_t *object, const char *key);

/* What a list ["a", "b"] or a numbered one {"0": "a", "1": "b"} has at `index`; NULL: nothing. */
const json_t *lutra_config_element(const json_t *list, size_t index);

/* Members of a configuration: untouched where absent or null, LUTRA_ERROR_FORMAT naming the key where wrong.
 */
lutra_status lutra_config_size(const json_t *object, const char *key, const char *path, size_t *value,
                               lutra_error *error); /* 1..65536 */
lutra_status lutra_config_number(const json_t *object, const char *key, const char *path, double *value,
                                 lutra_error *error); /* > 0, a float's */
lutra_status lutra_config_flag(const json_t *object, const char *key, const char *path, bool *value,
                               lutra_error *error);
lutra_status lutra_config_rgb(const json_t *object, const char *key, const char *path, float *value /* [3] */,
                              lutra_error *error);
/* As lutra_config_rgb, of what is divided by: each at least 1e-6. */
lutra_status lutra_config_rgb_divisor(const json_t *object, const char *key, const char *path,
                                      float *value /* [3] */, lutra_error *error);
/* Above 0 and at most 1. */
lutra_status lutra_config_part(const json_t *object, const char *key, const char *path, double *value,
                               lutra_error *error);
/* 224 or [224, 192] */
lutra_status lutra_config_extent(const json_t *object, const char *key, const char *path, size_t *height,
                                 size_t *width, lutra_error *error);

#endif
