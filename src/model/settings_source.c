/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "format/json.h"
#include "model/model_private.h"

static lutra_status read_beside(const char *path, const char *name, char *beside, size_t size, json_t **json,
                                lutra_error *error)
{
    *json = NULL;
    if (!lutra_path_beside(path, name, beside, size))
        return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "the path is too long");
    return lutra_json_read_optional(beside, json, error);
}

static lutra_status from_files_beside(const char *path, lutra_vit_settings *settings, bool *found,
                                      lutra_error *error)
{
    char config_path[4096], preprocessor_path[4096];
    json_t *config = NULL, *preprocessor = NULL;
    lutra_status status;
    *found = false;
    if ((status = read_beside(path, "config.json", config_path, sizeof config_path, &config, error)) ==
            LUTRA_OK &&
        config &&
        (status = read_beside(path, "preprocessor_config.json", preprocessor_path, sizeof preprocessor_path,
                              &preprocessor, error)) == LUTRA_OK) {
        *found = true;
        status = lutra_vit_settings_from_config(config, config_path, preprocessor, preprocessor_path,
                                                settings, error);
    }
    json_decref(config);
    json_decref(preprocessor);
    return status;
}

/* No known architecture has these. What else is different where they are, nothing but a configuration tells:
 * timm puts a norm behind an average of the patches, their maximum and, asked to, the class token. */
static lutra_status refuse_unknown_norms(const lutra_binding *binding, lutra_error *error)
{
    static const struct {
        lutra_role role;
        const char *what;
    } norms[] = {
        {LUTRA_NORM_PRE_WEIGHT, "as CLIP's models, whose activation, eps and preprocessing are others"},
        {LUTRA_FC_NORM_WEIGHT, "which may follow an average of the patches or the class token"},
    };
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        char name[64];
        if (!lutra_binding_has(binding, norms[i].role, 0))
            continue;
        lutra_role_name(norms[i].role, 0, name, sizeof name);
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, lutra_safetensors_path(binding->file), LUTRA_NO_OFFSET,
                          "has \"%s\", %s: put the model's config.json beside it", name, norms[i].what);
    }
    return LUTRA_OK;
}

/* What a known architecture and the tensors must share to be the same one. */
struct shapes {
    size_t dim, depth, patch, n_positions, n_registers;
    bool distilled, layer_scale;
};

static lutra_status read_shapes(const lutra_binding *binding, struct shapes *shapes, lutra_error *error)
{
    size_t rank, shape[LUTRA_MAX_RANK];
    lutra_status status = lutra_binding_shape(binding, LUTRA_PATCH_WEIGHT, 0, &rank, shape, error);
    if (status)
        return status;
    *shapes = (struct shapes){.dim = shape[0], .patch = rank == 4 ? shape[2] : 0};
    while (lutra_binding_has(binding, LUTRA_NORM1_WEIGHT, shapes->depth))
        shapes->depth++;
    if (lutra_binding_has(binding, LUTRA_POSITIONS, 0)) {
        if ((status = lutra_binding_shape(binding, LUTRA_POSITIONS, 0, &rank, shape, error)))
            return status;
        shapes->n_positions = rank >= 2 ? shape[rank - 2] : 0;
    }
    if (lutra_binding_has(binding, LUTRA_REGISTER_TOKENS, 0)) {
        if ((status = lutra_binding_shape(binding, LUTRA_REGISTER_TOKENS, 0, &rank, shape, error)))
            return status;
        shapes->n_registers = rank >= 2 ? shape[rank - 2] : 0;
    }
    shapes->distilled = lutra_binding_has(binding, LUTRA_DISTILLATION_TOKEN, 0);
    shapes->layer_scale = lutra_binding_has(binding, LUTRA_SCALE1, 0);
    return LUTRA_OK;
}

static bool fits(const lutra_vit_arch *arch, const struct shapes *shapes)
{
    const size_t grid = arch->image_size / arch->patch;
    const size_t n_prefix =
        arch->position_on_patches_only ? 0 : 1 + (size_t)arch->distilled + arch->n_registers;
    return arch->dim == shapes->dim && arch->depth == shapes->depth && arch->patch == shapes->patch &&
           arch->distilled == shapes->distilled && arch->layer_scale == shapes->layer_scale &&
           arch->n_registers == shapes->n_registers && grid * grid + n_prefix == shapes->n_positions;
}

static bool same_but_for_name(const lutra_vit_arch *a, const lutra_vit_arch *b)
{
    return a->n_heads == b->n_heads && a->half_normalisation == b->half_normalisation &&
           memcmp(&a->crop_pct, &b->crop_pct, sizeof a->crop_pct) == 0;
}

static lutra_status from_shapes(const lutra_binding *binding, lutra_vit_settings *settings,
                                lutra_error *error)
{
    const char *path = lutra_safetensors_path(binding->file);
    const lutra_vit_arch *arch, *first = NULL;
    char names[256] = "";
    bool ambiguous = false;
    struct shapes shapes;
    lutra_status status = read_shapes(binding, &shapes, error);
    if (status)
        return status;
    for (size_t i = 0; (arch = lutra_vit_arch_at(i)); i++) {
        if (!fits(arch, &shapes))
            continue;
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", arch->name);
        ambiguous = ambiguous || (first && !same_but_for_name(first, arch));
        first = first ? first : arch;
    }
    if (ambiguous)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
                          "the shapes fit several architectures: pass --arch with one of %s", names);
    if (!first)
        return lutra_fail(
            error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
            "the shapes (dimension %zu, depth %zu, patch %zu) fit no known architecture: put the "
            "model's config.json beside it, or pass --arch",
            shapes.dim, shapes.depth, shapes.patch);
    lutra_vit_settings_from_arch(first, settings);
    return LUTRA_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void from_arch(const lutra_vit_arch *arch, const char *source, lutra_vit_settings *settings)
{
    lutra_vit_settings_from_arch(arch, settings);
    settings->arch_source = source;
}

static lutra_status from_file_name(const lutra_vit_arch *arch, const char *path, lutra_vit_settings *settings,
                                   lutra_error *error)
{
    if (lutra_vit_arch_wants_other_pictures(arch, base_name(path)))
        return lutra_fail(
            error, LUTRA_ERROR_ARGUMENT, path, LUTRA_NO_OFFSET,
            "is named as weights of %s that want pictures prepared otherwise than others of it: "
            "put the model's config.json beside it",
            arch->name);
    from_arch(arch, "file name", settings);
    return LUTRA_OK;
}

lutra_status lutra_model_read_settings(const lutra_model *model, const char *path,
                                       const lutra_model_options *options, lutra_vit_settings *settings,
                                       lutra_error *error)
{
    const char *option = options->arch, *file = lutra_safetensors_path(model->file);
    const lutra_vit_arch *wanted = option ? lutra_vit_arch_find(option, strlen(option)) : NULL;
    const lutra_vit_arch *named = path ? lutra_vit_arch_prefix(base_name(path)) : NULL;
    lutra_status status = LUTRA_OK;
    bool found = model->clustered.config != NULL; /* a clustered file needs nothing else */
    lutra_vit_settings_init(settings);
    if (option && !wanted)
        return lutra_vit_arch_unknown(option, NULL, error);
    if (found)
        status = lutra_vit_settings_from_lutra(model->clustered.config, file, settings, error);
    else if (path)
        status = from_files_beside(path, settings, &found, error);
    if (status)
        return status;
    if (found && option && strcmp(option, settings->arch) != 0)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, file, LUTRA_NO_OFFSET,
                          "its configuration names the architecture \"%s\", --arch \"%s\"", settings->arch,
                          option);
    if (found || (status = refuse_unknown_norms(&model->binding, error)))
        return status;
    if (wanted)
        from_arch(wanted, "option", settings);
    else if (named)
        return from_file_name(named, path, settings, error);
    else
        return from_shapes(&model->binding, settings, error);
    return LUTRA_OK;
}
