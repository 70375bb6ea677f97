/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json, a byte 0, preprocessor_config.json (which may be absent): refused with a reason, or settings
 * within their ranges, which survive being written into a clustered file's description and read again, and
 * with which a model of the dimensions that they name is bound or refused. Text that is neither dialect's is
 * read as such a description itself.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "fuzz.h"
#include "image/geometry.h"
#include "model/labels.h"
#include "model/plan.h"
#include "tiny_model.h"

static json_t *parse(const uint8_t *text, size_t size)
{
    json_t *json = NULL;
    lutra_error error;
    const lutra_status status = lutra_json_parse(text, size, "config.json", 0, &json, &error);
    if (status)
        fuzz_require_error(status, &error);
    if (!json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static void check_ranges(const lutra_vit_settings *settings)
{
    const lutra_preprocessing *p = &settings->preprocessing;
    fuzz_require(memchr(settings->arch, 0, sizeof settings->arch));
    fuzz_require(settings->n_heads <= 65536 && settings->dim <= 65536 && settings->depth <= 65536);
    fuzz_require(settings->patch <= 65536 && settings->mlp_dim <= (size_t)65536 * 1024);
    fuzz_require(settings->n_registers <= 65536);
    fuzz_require(settings->native_height <= 65536 && settings->native_width <= 65536);
    fuzz_require(settings->eps > 0 && isfinite((float)settings->eps));
    fuzz_require(p->height <= 65536 && p->width <= 65536 && !p->height == !p->width);
    for (size_t i = 0; i < 3; i++)
        fuzz_require(isfinite(p->mean[i]) && isfinite(p->std[i]) && p->std[i] > 0);
    fuzz_require(json_array_size(settings->labels) <= LUTRA_MAX_LABELS);
    for (size_t i = 0; i < json_array_size(settings->labels); i++)
        fuzz_require(json_string_value(json_array_get(settings->labels, i)));
}

/* Where the size of the input is known, every picture can be cut to it. */
static void check_geometry(const lutra_preprocessing *p)
{
    static const size_t sides[] = {1, 3, 640, 1u << 20};
    if (!p->height || !p->width)
        return;
    for (size_t i = 0; i < 16; i++) {
        const size_t width = sides[i % 4], height = sides[i / 4];
        lutra_geometry geometry;
        lutra_error error;
        const lutra_status status = lutra_geometry_plan(p, width, height, &geometry, &error);
        if (status) {
            fuzz_require_error(status, &error);
            continue;
        }
        fuzz_require(geometry.x.n_visible >= 1 && geometry.x.padding + geometry.x.n_visible <= p->width);
        fuzz_require(geometry.y.n_visible >= 1 && geometry.y.padding + geometry.y.n_visible <= p->height);
        fuzz_require(geometry.x.begin + geometry.x.n_visible <= geometry.x.resized);
        fuzz_require(geometry.y.begin + geometry.y.n_visible <= geometry.y.resized);
    }
}

/* `said`, `otherwise` where nothing is said, 0 beyond `limit`. */
static size_t small(size_t said, size_t otherwise, size_t limit)
{
    return said > limit ? 0 : said ? said : otherwise;
}

/* A model that has what the settings say of it; false where it is too large to be made for each input. */
static bool fit_model(const lutra_vit_settings *settings, tiny_model *model)
{
    *model = (tiny_model){.n_heads = 1, .n_registers = settings->n_registers, .dtype = LUTRA_F32};
    model->dim = small(settings->dim, 8, 48);
    model->depth = small(settings->depth, 1, 3);
    model->patch = small(settings->patch, 4, 16);
    model->mlp_dim = small(settings->mlp_dim, 4 * model->dim, 192);
    if (!model->dim || !model->depth || !model->patch || !model->mlp_dim || settings->n_registers > 8)
        return false;
    model->grid_height = small(settings->native_height / model->patch, 2, 8);
    model->grid_width = small(settings->native_width / model->patch, 2, 8);
    return model->grid_height && model->grid_width;
}

/* Its bytes; those of the last time where it is the same. */
static const uint8_t *bytes_of(const tiny_model *model, size_t *size)
{
    static tiny_model last;
    static uint8_t *bytes;
    static size_t n_bytes;
    if (!bytes || memcmp(model, &last, sizeof last) != 0) {
        free(bytes);
        bytes = tiny_model_make(model, 1, &n_bytes);
        last = *model;
    }
    *size = n_bytes;
    return bytes;
}

static void check_binding(const lutra_vit_settings *settings)
{
    enum { MAX_PATCHES = 4096 }; /* whose positions there is time to resample */
    const lutra_clustered none = {0};
    lutra_vit_settings used = *settings;
    lutra_safetensors *file;
    lutra_binding binding;
    lutra_vit vit;
    lutra_plan plan;
    lutra_error error;
    tiny_model model;
    size_t size;
    if (!fit_model(settings, &model))
        return;
    const size_t n_patches =
        settings->preprocessing.height / model.patch * (settings->preprocessing.width / model.patch);
    if (n_patches > MAX_PATCHES && n_patches <= LUTRA_MAX_TOKENS)
        return;
    const uint8_t *bytes = bytes_of(&model, &size);
    fuzz_require(lutra_safetensors_open_memory(bytes, size, "model", &file, NULL) == LUTRA_OK);
    fuzz_require(lutra_binding_init(file, &none, &binding, NULL) == LUTRA_OK);
    const lutra_status status = lutra_vit_bind(&binding, &used, 0, &vit, &error);
    if (status) {
        fuzz_require_error(status, &error);
    } else {
        fuzz_require(vit.height && vit.height % vit.patch == 0 && vit.width && vit.width % vit.patch == 0);
        fuzz_require(vit.n_tokens == vit.n_prefix + vit.n_patches && vit.n_tokens <= LUTRA_MAX_TOKENS);
        fuzz_require(lutra_vit_plan(&binding, &vit, &plan, NULL) == LUTRA_OK && plan.n_steps > 0);
    }
    lutra_binding_free(&binding);
    lutra_safetensors_close(file);
}

static void check_description(const lutra_vit_settings *settings)
{
    const lutra_preprocessing *p = &settings->preprocessing, *q;
    lutra_vit_settings again;
    lutra_error error;
    char *text;
    json_t *made = lutra_vit_settings_to_lutra(settings), *json;
    fuzz_require(lutra_json_text(made, JSON_COMPACT, "a description", &text, &error) == LUTRA_OK);
    fuzz_require(lutra_json_parse(text, strlen(text), "description", 0, &json, &error) == LUTRA_OK);
    lutra_vit_settings_init(&again);
    if (settings->n_heads && settings->native_height && p->height) {
        fuzz_require(lutra_vit_settings_from_lutra(json, "description", &again, &error) == LUTRA_OK);
        q = &again.preprocessing;
        fuzz_require(strcmp(again.arch, settings->arch) == 0);
        fuzz_require(again.n_heads == settings->n_heads && again.pool == settings->pool);
        fuzz_require(again.native_width == settings->native_width);
        fuzz_require(again.eps == settings->eps && q->crop_pct == p->crop_pct);
        fuzz_require(memcmp(q->mean, p->mean, sizeof p->mean) == 0);
        fuzz_require(memcmp(q->std, p->std, sizeof p->std) == 0);
        fuzz_require(q->resize_height == p->resize_height);
        fuzz_require(json_array_size(again.labels) == json_array_size(settings->labels));
        check_ranges(&again);
    }
    lutra_vit_settings_free(&again);
    json_decref(json);
    json_decref(made);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const size_t length = end ? (size_t)(end - data) : size;
    json_t *config = size ? parse(data, length) : NULL;
    json_t *preprocessor = end ? parse(end + 1, size - length - 1) : NULL;
    lutra_vit_settings settings;
    lutra_error error;
    lutra_vit_settings_init(&settings);
    if (config) {
        lutra_status status =
            json_object_get(config, "family")
                ? lutra_vit_settings_from_lutra(config, "config.json", &settings, &error)
                : lutra_vit_settings_from_config(config, "config.json", preprocessor,
                                                 "preprocessor_config.json", &settings, &error);
        if (status) {
            fuzz_require_error(status, &error);
        } else {
            check_ranges(&settings);
            check_geometry(&settings.preprocessing);
            check_binding(&settings);
            check_description(&settings);
        }
    }
    lutra_vit_settings_free(&settings);
    json_decref(config);
    json_decref(preprocessor);
    return 0;
}
