/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/labels.h"
#include "model/position.h"

static lutra_status fail(const lutra_binding *binding, lutra_error *error, lutra_status status,
                         const char *format, size_t a, size_t b)
{
    char text[256];
    snprintf(text, sizeof text, format, a, b);
    return lutra_fail(error, status, lutra_safetensors_path(binding->file), LUTRA_NO_OFFSET, "%s", text);
}

/* ---- dimensions -------------------------------------------------------------------------------- */

static size_t isqrt(size_t value)
{
    const size_t root = (size_t)(sqrt((double)value) + 0.5);
    return root * root == value ? root : 0;
}

static lutra_status read_dimensions(const lutra_binding *binding, lutra_vit *vit, lutra_error *error)
{
    size_t rank, shape[LUTRA_MAX_RANK];
    lutra_status status = lutra_binding_shape(binding, LUTRA_PATCH_WEIGHT, 0, &rank, shape, error);
    if (status)
        return status;
    if (rank != 4 || shape[1] != 3 || shape[2] != shape[3] || shape[2] == 0 || shape[2] > LUTRA_MAX_PATCH ||
        shape[0] == 0)
        return fail(binding, error, LUTRA_ERROR_UNSUPPORTED,
                    "the patch embedding must have the shape [dim][3][patch][patch]; it has %zu dimensions, "
                    "%zu channels",
                    rank, rank > 1 ? shape[1] : 0);
    vit->dim = shape[0];
    vit->patch = shape[2];
    if (vit->dim > LUTRA_MAX_INPUTS)
        return fail(binding, error, LUTRA_ERROR_UNSUPPORTED, "an embedding dimension of %zu: at most %zu",
                    vit->dim, LUTRA_MAX_INPUTS);
    while (lutra_binding_has(binding, LUTRA_NORM1_WEIGHT, vit->depth))
        vit->depth++;
    if ((status = lutra_binding_shape(binding, LUTRA_FC1_WEIGHT, 0, &rank, shape, error)))
        return status;
    vit->mlp_dim = shape[0];
    if (!vit->mlp_dim)
        return fail(binding, error, LUTRA_ERROR_FORMAT, "an MLP of %zu neurons in each of %zu blocks", 0,
                    vit->depth);
    vit->class_token = lutra_binding_has(binding, LUTRA_CLASS_TOKEN, 0);
    vit->distilled = lutra_binding_has(binding, LUTRA_DISTILLATION_TOKEN, 0);
    if (lutra_binding_has(binding, LUTRA_REGISTER_TOKENS, 0)) {
        if ((status = lutra_binding_shape(binding, LUTRA_REGISTER_TOKENS, 0, &rank, shape, error)))
            return status;
        vit->n_registers = rank >= 2 ? shape[rank - 2] : 0;
        if (vit->n_registers > LUTRA_MAX_REGISTERS)
            return fail(binding, error, LUTRA_ERROR_UNSUPPORTED, "%zu register tokens: at most %zu",
                        vit->n_registers, LUTRA_MAX_REGISTERS);
    }
    if (lutra_binding_has(binding, LUTRA_HEAD_WEIGHT, 0)) {
        if ((status = lutra_binding_shape(binding, LUTRA_HEAD_WEIGHT, 0, &rank, shape, error)))
            return status;
        vit->n_classes = shape[0];
        if (vit->n_classes > LUTRA_MAX_LABELS)
            return fail(binding, error, LUTRA_ERROR_UNSUPPORTED, "%zu classes: at most %zu", vit->n_classes,
                        LUTRA_MAX_LABELS);
    }
    /* Without a head timm's models yield what two heads would see, Hugging Face's the class token. */
    vit->averages_tokens =
        vit->distilled && (vit->n_classes ? lutra_binding_has(binding, LUTRA_HEAD_DIST_WEIGHT, 0)
                                          : lutra_binding_is_timm(binding));
    vit->n_prefix = (size_t)vit->class_token + vit->distilled + vit->n_registers;
    return LUTRA_OK;
}

static lutra_status check_against_settings(const lutra_binding *binding, const lutra_vit_settings *settings,
                                           const lutra_vit *vit, lutra_error *error)
{
    const struct {
        const char *what;
        size_t said, found;
    } checks[] = {{"an embedding dimension", settings->dim, vit->dim},
                  {"a depth", settings->depth, vit->depth},
                  {"a patch size", settings->patch, vit->patch},
                  {"an MLP dimension", settings->mlp_dim, vit->mlp_dim}};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].said && checks[i].said != checks[i].found)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, lutra_safetensors_path(binding->file),
                              LUTRA_NO_OFFSET, "%s (named by its %s) has %s of %zu, but the tensors have %zu",
                              settings->arch, settings->arch_source, checks[i].what, checks[i].said,
                              checks[i].found);
    if (settings->says_registers && settings->n_registers != vit->n_registers)
        return fail(binding, error, LUTRA_ERROR_FORMAT,
                    "%zu register tokens are said to be there, but the file has %zu", settings->n_registers,
                    vit->n_registers);
    if (settings->n_heads == 0 || vit->dim % settings->n_heads != 0)
        return fail(binding, error, LUTRA_ERROR_FORMAT, "%zu attention heads do not divide the dimension %zu",
                    settings->n_heads, vit->dim);
    if (settings->pool != LUTRA_POOL_AVERAGE && !vit->class_token)
        return fail(binding, error, LUTRA_ERROR_FORMAT,
                    "the class token is pooled, but the file has none%.0zu%.0zu", 0, 0);
    if (settings->pool != LUTRA_POOL_TOKEN && vit->averages_tokens)
        return fail(binding, error, LUTRA_ERROR_UNSUPPORTED,
                    "the distillation token is pooled as well as an average of the patches%.0zu%.0zu", 0, 0);
    if (settings->pool == LUTRA_POOL_TOKEN_AND_AVERAGE && lutra_binding_has(binding, LUTRA_FC_NORM_WEIGHT, 0))
        return fail(binding, error, LUTRA_ERROR_UNSUPPORTED,
                    "a norm behind the pool of the class token and an average%.0zu%.0zu", 0, 0);
    return LUTRA_OK;
}

/* ---- tokens and positions ---------------------------------------------------------------------- */

/* The grid of a position embedding with `n` rows, at most LUTRA_MAX_TOKENS, of which the first 0, 1 or all
 * prefix tokens' are no patches. */
static bool find_grid(const lutra_vit_settings *settings, const lutra_vit *vit, size_t n, size_t *height,
                      size_t *width, size_t *n_prefix)
{
    const size_t prefixes[] = {vit->n_prefix, 0, vit->class_token};
    /* Where the configuration does not say what they were trained on, it is what the model is given. */
    const size_t heights[] = {settings->native_height, settings->preprocessing.height};
    const size_t widths[] = {settings->native_width, settings->preprocessing.width};
    for (size_t i = 0; i < 6; i++) {
        *height = heights[i / 3] / vit->patch;
        *width = widths[i / 3] / vit->patch;
        *n_prefix = prefixes[i % 3];
        if (*height && *width && *height <= n / *width && *height * *width + *n_prefix == n)
            return true;
    }
    for (size_t i = 0; i < 3; i++) {
        *n_prefix = prefixes[i];
        if (n > prefixes[i] && (*height = *width = isqrt(n - prefixes[i])))
            return true;
    }
    return false;
}

static lutra_status choose_image_size(const lutra_binding *binding, const lutra_vit_settings *settings,
                                      size_t image_size, size_t grid_height, size_t grid_width,
                                      lutra_vit *vit, lutra_error *error)
{
    vit->height = vit->width = image_size;
    if (!image_size) {
        vit->height = settings->preprocessing.height;
        vit->width = settings->preprocessing.width;
    }
    if (!vit->height) {
        vit->height = grid_height * vit->patch;
        vit->width = grid_width * vit->patch;
    }
    if (!vit->height || !vit->width || vit->height % vit->patch || vit->width % vit->patch ||
        vit->height > LUTRA_MAX_SIDE_OF_INPUT || vit->width > LUTRA_MAX_SIDE_OF_INPUT)
        return fail(binding, error, LUTRA_ERROR_ARGUMENT,
                    "the picture's size must be a multiple of the patch size %zu, at most 8192, not %zu",
                    vit->patch, vit->height % vit->patch ? vit->height : vit->width);
    vit->n_patches = (vit->height / vit->patch) * (vit->width / vit->patch);
    vit->n_tokens = vit->n_patches + vit->n_prefix;
    if (vit->n_tokens > LUTRA_MAX_TOKENS)
        return fail(binding, error, LUTRA_ERROR_UNSUPPORTED,
                    "the picture comes to %zu tokens: at most %zu (is it too large for the patch size?)",
                    vit->n_tokens, LUTRA_MAX_TOKENS);
    return LUTRA_OK;
}

/* The prefix tokens with their positions added. */
static lutra_status bind_prefix(lutra_binding *binding, const float *positions, size_t n_positions,
                                lutra_vit *vit, lutra_error *error)
{
    const struct {
        lutra_role role;
        size_t n;
    } parts[] = {{LUTRA_CLASS_TOKEN, vit->class_token},
                 {LUTRA_DISTILLATION_TOKEN, vit->distilled},
                 {LUTRA_REGISTER_TOKENS, vit->n_registers}};
    float *prefix, *out;
    lutra_status status = lutra_binding_allocate(binding, vit->n_prefix * vit->dim, sizeof *prefix,
                                                 "prefix tokens", &prefix, error);
    if (status)
        return status;
    out = prefix;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const float *tokens;
        if (parts[i].n == 0)
            continue;
        if ((status = lutra_binding_vector(binding, parts[i].role, 0, parts[i].n * vit->dim, false, &tokens,
                                           error)))
            return status;
        memcpy(out, tokens, parts[i].n * vit->dim * sizeof *out);
        out += parts[i].n * vit->dim;
    }
    for (size_t i = 0; i < n_positions * vit->dim; i++)
        prefix[i] += positions[i];
    vit->prefix = prefix;
    return LUTRA_OK;
}

static lutra_status bind_patch_positions(lutra_binding *binding, const lutra_vit_settings *settings,
                                         const float *trained, size_t grid_height, size_t grid_width,
                                         lutra_vit *vit, lutra_error *error)
{
    const size_t height = vit->height / vit->patch, width = vit->width / vit->patch;
    float *resampled;
    vit->positions = trained;
    if (height == grid_height && width == grid_width)
        return LUTRA_OK;
    lutra_status status = lutra_binding_allocate(binding, vit->n_patches * vit->dim, sizeof *resampled,
                                                 "a position embedding", &resampled, error);
    if (status)
        return status;
    vit->positions = resampled;
    return lutra_resample_positions(trained, grid_height, grid_width, resampled, height, width, vit->dim,
                                    settings->position_antialias, error);
}

static lutra_status bind_tokens(lutra_binding *binding, lutra_vit_settings *settings, size_t image_size,
                                lutra_vit *vit, lutra_error *error)
{
    size_t rank, shape[LUTRA_MAX_RANK], height = 0, width = 0, n_prefix = 0;
    const float *positions;
    lutra_status status = lutra_binding_shape(binding, LUTRA_POSITIONS, 0, &rank, shape, error);
    if (status)
        return status;
    const size_t n = rank >= 2 ? shape[rank - 2] : 0;
    if (n > LUTRA_MAX_TOKENS)
        return fail(binding, error, LUTRA_ERROR_UNSUPPORTED,
                    "the position embedding has %zu rows: at most %zu", n, LUTRA_MAX_TOKENS);
    if (!find_grid(settings, vit, n, &height, &width, &n_prefix))
        return fail(binding, error, LUTRA_ERROR_FORMAT,
                    "the position embedding's %zu rows fit no grid of patches with %zu other tokens", n,
                    vit->n_prefix);
    if ((status = lutra_binding_vector(binding, LUTRA_POSITIONS, 0, n * vit->dim, false, &positions, error)))
        return status;
    settings->native_height = height * vit->patch;
    settings->native_width = width * vit->patch;
    if ((status = choose_image_size(binding, settings, image_size, height, width, vit, error)) ||
        (status = bind_prefix(binding, positions, n_prefix, vit, error)))
        return status;
    return bind_patch_positions(binding, settings, positions + n_prefix * vit->dim, height, width, vit,
                                error);
}

/* ---- layers ------------------------------------------------------------------------------------ */

static lutra_status bind_norm(lutra_binding *binding, lutra_role weight, lutra_role bias, size_t block,
                              bool optional, size_t dim, lutra_norm *norm, lutra_error *error)
{
    lutra_status status = lutra_binding_vector(binding, weight, block, dim, optional, &norm->gamma, error);
    if (status || !norm->gamma)
        return status;
    return lutra_binding_vector(binding, bias, block, dim, false, &norm->beta, error);
}

typedef enum bias_rule { BIAS_REQUIRED, BIAS_OPTIONAL } bias_rule;

static lutra_status bind_linear(lutra_binding *binding, lutra_role weight, lutra_role bias, bias_rule rule,
                                size_t block, size_t n, size_t k, lutra_linear *linear, lutra_error *error)
{
    lutra_status status = lutra_binding_matrix(binding, weight, block, n, k, &linear->weight, error);
    if (status)
        return status;
    return lutra_binding_vector(binding, bias, block, n, rule == BIAS_OPTIONAL, &linear->bias, error);
}

/* What all blocks have or none: one that lacks it has lost it. */
static lutra_status check_alike(const lutra_binding *binding, const lutra_vit *vit, lutra_error *error)
{
    static const lutra_role groups[][3] = {
        {LUTRA_QKV_BIAS, LUTRA_QKV_BIAS, LUTRA_QKV_BIAS},
        {LUTRA_Q_BIAS, LUTRA_K_BIAS, LUTRA_V_BIAS},
        {LUTRA_SCALE1, LUTRA_SCALE2, LUTRA_SCALE2},
    };
    for (size_t group = 0; group < sizeof groups / sizeof *groups; group++) {
        size_t n_found = 0, missing_block = 0, missing_role = 0;
        for (size_t i = 0; i < 3 * vit->depth; i++) {
            if (lutra_binding_has(binding, groups[group][i % 3], i / 3)) {
                n_found++;
            } else {
                missing_block = i / 3;
                missing_role = i % 3;
            }
        }
        size_t rank, shape[LUTRA_MAX_RANK];
        if (n_found > 0 && n_found < 3 * vit->depth) /* says which one is missing */
            return lutra_binding_shape(binding, groups[group][missing_role], missing_block, &rank, shape,
                                       error);
    }
    return LUTRA_OK;
}

static lutra_status bind_qkv(lutra_binding *binding, size_t i, size_t dim, lutra_vit_block *block,
                             lutra_error *error)
{
    lutra_status status;
    if (lutra_binding_has(binding, LUTRA_QKV_WEIGHT, i) || !lutra_binding_has(binding, LUTRA_Q_WEIGHT, i))
        return bind_linear(binding, LUTRA_QKV_WEIGHT, LUTRA_QKV_BIAS, BIAS_OPTIONAL, i, 3 * dim, dim,
                           &block->qkv, error);
    if ((status = bind_linear(binding, LUTRA_Q_WEIGHT, LUTRA_Q_BIAS, BIAS_OPTIONAL, i, dim, dim, &block->q,
                              error)) ||
        (status = bind_linear(binding, LUTRA_K_WEIGHT, LUTRA_K_BIAS, BIAS_OPTIONAL, i, dim, dim, &block->k,
                              error)))
        return status;
    return bind_linear(binding, LUTRA_V_WEIGHT, LUTRA_V_BIAS, BIAS_OPTIONAL, i, dim, dim, &block->v, error);
}

static lutra_status bind_block(lutra_binding *binding, const lutra_vit *vit, size_t i, lutra_vit_block *block,
                               lutra_error *error)
{
    const size_t dim = vit->dim, mlp_dim = vit->mlp_dim;
    lutra_status status;
    if ((status =
             bind_norm(binding, LUTRA_NORM1_WEIGHT, LUTRA_NORM1_BIAS, i, false, dim, &block->norm1, error)) ||
        (status = bind_qkv(binding, i, dim, block, error)) ||
        (status = bind_linear(binding, LUTRA_PROJ_WEIGHT, LUTRA_PROJ_BIAS, BIAS_REQUIRED, i, dim, dim,
                              &block->proj, error)) ||
        (status = lutra_binding_vector(binding, LUTRA_SCALE1, i, dim, true, &block->scale1, error)) ||
        (status =
             bind_norm(binding, LUTRA_NORM2_WEIGHT, LUTRA_NORM2_BIAS, i, false, dim, &block->norm2, error)) ||
        (status = bind_linear(binding, LUTRA_FC1_WEIGHT, LUTRA_FC1_BIAS, BIAS_REQUIRED, i, mlp_dim, dim,
                              &block->fc1, error)) ||
        (status = bind_linear(binding, LUTRA_FC2_WEIGHT, LUTRA_FC2_BIAS, BIAS_REQUIRED, i, dim, mlp_dim,
                              &block->fc2, error)))
        return status;
    return lutra_binding_vector(binding, LUTRA_SCALE2, i, dim, true, &block->scale2, error);
}

static lutra_status bind_layers(lutra_binding *binding, lutra_vit *vit, lutra_error *error)
{
    const size_t dim = vit->dim;
    lutra_status status;
    /* Where a norm follows the embedding its bias would be in vain: timm leaves it out. */
    const bias_rule patch_bias =
        lutra_binding_has(binding, LUTRA_NORM_PRE_WEIGHT, 0) ? BIAS_OPTIONAL : BIAS_REQUIRED;
    if ((status = check_alike(binding, vit, error)) ||
        (status = bind_linear(binding, LUTRA_PATCH_WEIGHT, LUTRA_PATCH_BIAS, patch_bias, 0, dim,
                              3 * vit->patch * vit->patch, &vit->patch_embed, error)) ||
        (status = bind_norm(binding, LUTRA_NORM_PRE_WEIGHT, LUTRA_NORM_PRE_BIAS, 0, true, dim, &vit->norm_pre,
                            error)) ||
        (status =
             lutra_binding_allocate(binding, vit->depth, sizeof *vit->blocks, "blocks", &vit->blocks, error)))
        return status;
    for (size_t i = 0; i < vit->depth; i++)
        if ((status = bind_block(binding, vit, i, &vit->blocks[i], error)))
            return status;
    const bool has_fc_norm = lutra_binding_has(binding, LUTRA_FC_NORM_WEIGHT, 0);
    if ((status = bind_norm(binding, LUTRA_NORM_WEIGHT, LUTRA_NORM_BIAS, 0, has_fc_norm, dim, &vit->norm,
                            error)) ||
        (status = bind_norm(binding, LUTRA_FC_NORM_WEIGHT, LUTRA_FC_NORM_BIAS, 0, true, dim, &vit->fc_norm,
                            error)))
        return status;
    if (vit->n_classes && (status = bind_linear(binding, LUTRA_HEAD_WEIGHT, LUTRA_HEAD_BIAS, BIAS_REQUIRED, 0,
                                                vit->n_classes, vit->n_features, &vit->head, error)))
        return status;
    if (vit->n_classes && vit->averages_tokens)
        return bind_linear(binding, LUTRA_HEAD_DIST_WEIGHT, LUTRA_HEAD_DIST_BIAS, BIAS_REQUIRED, 0,
                           vit->n_classes, dim, &vit->head_dist, error);
    return LUTRA_OK;
}

lutra_status lutra_vit_bind(lutra_binding *binding, lutra_vit_settings *settings, size_t image_size,
                            lutra_vit *vit, lutra_error *error)
{
    lutra_status status;
    *vit = (lutra_vit){0};
    if ((status = read_dimensions(binding, vit, error)) ||
        (status = check_against_settings(binding, settings, vit, error)))
        return status;
    vit->n_heads = settings->n_heads;
    vit->pool = settings->pool;
    vit->n_features = settings->pool == LUTRA_POOL_TOKEN_AND_AVERAGE ? 2 * vit->dim : vit->dim;
    vit->gelu_tanh = settings->gelu_tanh;
    vit->eps = (float)settings->eps;
    if ((status = bind_tokens(binding, settings, image_size, vit, error)) ||
        (status = bind_layers(binding, vit, error)))
        return status;
    settings->preprocessing.height = vit->height;
    settings->preprocessing.width = vit->width;
    return lutra_binding_check_all_used(binding, error);
}
