/* SPDX-License-Identifier: Apache-2.0 */
#include "tiny_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "fuzz.h"

enum { MAX_BYTES = 1 << 25 };

struct builder {
    json_t *header;
    uint8_t *data; /* [MAX_BYTES] */
    size_t n_bytes;
    uint64_t state;
};

uint64_t tiny_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t tiny_random_below(uint64_t *state, size_t limit)
{
    return (size_t)(tiny_random(state) % limit);
}

double tiny_random_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (double)(tiny_random(state) >> 11) * 0x1p-53;
    return sum - 6;
}

static void put(struct builder *builder, lutra_dtype dtype, double value)
{
    const float f32 = (float)value;
    const uint16_t half = dtype == LUTRA_BF16 ? lutra_f32_to_bf16(f32) : lutra_f32_to_f16(f32);
    const size_t size = lutra_dtype_size(dtype);
    const void *from = size == 8   ? (const void *)&value
                       : size == 4 ? (const void *)&f32
                                   : (const void *)&half;
    fuzz_require(builder->n_bytes + size <= MAX_BYTES);
    memcpy(builder->data + builder->n_bytes, from, size);
    builder->n_bytes += size;
}

/* A tensor of normal numbers; `shape` ends with 0. */
static void add(struct builder *builder, const char *name, lutra_dtype dtype, const size_t *shape,
                double mean, double spread)
{
    const size_t begin = builder->n_bytes;
    size_t n = 1;
    json_t *extents = json_array();
    for (; *shape; shape++) {
        n *= *shape;
        json_array_append_new(extents, json_integer((json_int_t)*shape));
    }
    for (size_t i = 0; i < n; i++)
        put(builder, dtype, mean + spread * tiny_random_normal(&builder->state));
    fuzz_require(json_object_set_new(builder->header, name,
                                     json_pack("{s:s, s:o, s:[I, I]}", "dtype", lutra_dtype_name(dtype),
                                               "shape", extents, "data_offsets", (json_int_t)begin,
                                               (json_int_t)builder->n_bytes)) == 0);
}

static void add_vector(struct builder *builder, size_t n, double mean, double spread, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void add_vector(struct builder *builder, size_t n, double mean, double spread, const char *format, ...)
{
    char name[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    add(builder, name, LUTRA_F32, (const size_t[]){n, 0}, mean, spread);
}

static void add_norm(struct builder *builder, size_t dim, const char *prefix, const char *name)
{
    add_vector(builder, dim, 1, 0.1, "%s%s.weight", prefix, name);
    add_vector(builder, dim, 0, 0.1, "%s%s.bias", prefix, name);
}

/* Matrix and bias; outputs about as large as the inputs. */
static void add_linear(struct builder *builder, const tiny_model *model, size_t n, size_t k,
                       const char *prefix, const char *name)
{
    char weight[128];
    snprintf(weight, sizeof weight, "%s%s.weight", prefix, name);
    add(builder, weight, model->dtype, (const size_t[]){n, k, 0}, 0, 1 / sqrt((double)k));
    add_vector(builder, n, 0, 0.1, "%s%s.bias", prefix, name);
}

static void add_block(struct builder *builder, const tiny_model *model, size_t block)
{
    char prefix[64];
    const size_t dim = model->dim;
    snprintf(prefix, sizeof prefix, "blocks.%zu.", block);
    add_norm(builder, dim, prefix, "norm1");
    if (model->separate_qkv) {
        add_linear(builder, model, dim, dim, prefix, "attention.attention.query");
        add_linear(builder, model, dim, dim, prefix, "attention.attention.key");
        add_linear(builder, model, dim, dim, prefix, "attention.attention.value");
    } else {
        add_linear(builder, model, 3 * dim, dim, prefix, "attn.qkv");
    }
    add_linear(builder, model, dim, dim, prefix, "attn.proj");
    if (model->layer_scale)
        add_vector(builder, dim, 0.5, 0.2, "%sls1.gamma", prefix);
    add_norm(builder, dim, prefix, "norm2");
    add_linear(builder, model, model->mlp_dim, dim, prefix, "mlp.fc1");
    add_linear(builder, model, dim, model->mlp_dim, prefix, "mlp.fc2");
    if (model->layer_scale)
        add_vector(builder, dim, 0.5, 0.2, "%sls2.gamma", prefix);
}

static void add_tensors(struct builder *builder, const tiny_model *model)
{
    const size_t dim = model->dim, patch = model->patch;
    const size_t n_features = model->pool == LUTRA_POOL_TOKEN_AND_AVERAGE ? 2 * dim : dim;
    const size_t n_prefix = (size_t)!model->no_class_token + model->distilled + model->n_registers;
    const size_t n_tokens = n_prefix + model->grid_height * model->grid_width;
    if (!model->no_class_token)
        add(builder, "cls_token", LUTRA_F32, (const size_t[]){1, 1, dim, 0}, 0, 0.5);
    if (model->distilled)
        add(builder, "dist_token", LUTRA_F32, (const size_t[]){1, 1, dim, 0}, 0, 0.5);
    if (model->n_registers)
        add(builder, "reg_token", LUTRA_F32, (const size_t[]){1, model->n_registers, dim, 0}, 0, 0.5);
    add(builder, "pos_embed", LUTRA_F32, (const size_t[]){1, n_tokens, dim, 0}, 0, 0.5);
    add(builder, "patch_embed.proj.weight", model->dtype, (const size_t[]){dim, 3, patch, patch, 0}, 0,
        1 / sqrt(3.0 * (double)(patch * patch)));
    add_vector(builder, dim, 0, 0.1, "patch_embed.proj.bias");
    if (model->norm_pre)
        add_norm(builder, dim, "", "norm_pre");
    for (size_t block = 0; block < model->depth; block++)
        add_block(builder, model, block);
    add_norm(builder, dim, "", model->fc_norm ? "fc_norm" : "norm");
    if (model->n_classes)
        add_linear(builder, model, model->n_classes, n_features, "", "head");
    if (model->n_classes && model->distilled)
        add_linear(builder, model, model->n_classes, dim, "", "head_dist");
}

static char *describe(const tiny_model *model)
{
    lutra_vit_settings settings;
    lutra_vit_settings_init(&settings);
    settings.n_heads = model->n_heads;
    settings.pool = model->pool;
    settings.gelu_tanh = model->gelu_tanh;
    settings.eps = 1e-6;
    settings.native_height = settings.preprocessing.height = model->grid_height * model->patch;
    settings.native_width = settings.preprocessing.width = model->grid_width * model->patch;
    json_t *json = lutra_vit_settings_to_lutra(&settings);
    fuzz_require(json && json_object_set_new(json, "tensors", json_object()) == 0);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    lutra_vit_settings_free(&settings);
    return text;
}

uint8_t *tiny_model_make(const tiny_model *model, uint64_t seed, size_t *size)
{
    struct builder builder = {.header = json_object(), .data = malloc(MAX_BYTES), .state = seed};
    char *description = describe(model);
    fuzz_require(builder.data && description);
    add_tensors(&builder, model);
    json_object_set_new(builder.header, "__metadata__",
                        json_pack("{s:s, s:s}", "lutra.version", "1", "lutra.config", description));
    char *header = json_dumps(builder.header, JSON_COMPACT);
    const size_t length = (strlen(header) + 8 + 63) / 64 * 64 - 8;
    *size = 8 + length + builder.n_bytes;
    uint8_t *file = malloc(*size);
    fuzz_require(file);
    for (size_t i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memset(file + 8, ' ', length);
    memcpy(file + 8, header, strlen(header));
    memcpy(file + 8 + length, builder.data, builder.n_bytes);
    free(header);
    free(description);
    free(builder.data);
    json_decref(builder.header);
    return file;
}
