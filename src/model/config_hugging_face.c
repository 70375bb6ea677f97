/* SPDX-License-Identifier: Apache-2.0 */
/* config.json as transformers' save_pretrained writes it. */
#include <stdio.h>
#include <string.h>

#include "format/json.h"
#include "model/labels.h"
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
    const bool is_dinov2 = strncmp(type, "dinov2", 6) == 0;
    const bool has_registers = strcmp(type, "dinov2_with_registers") == 0;
    if ((status = lutra_config_flag(config, "use_swiglu_ffn", path, &swiglu, error)))
        return status;
    if (swiglu)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, path, LUTRA_NO_OFFSET,
                          "\"use_swiglu_ffn\" is true, which Lutra does not run");
    snprintf(settings->arch, sizeof settings->arch, "%s", type);
    settings->arch_source = "config";
    settings->position_antialias = has_registers;
    settings->pool = is_classifier && is_dinov2 ? LUTRA_POOL_TOKEN_AND_AVERAGE : LUTRA_POOL_TOKEN;
    /* The library's own defaults, of ViT-Base, for what the file leaves out. */
    settings->dim = 768;
    settings->depth = settings->n_heads = 12;
    settings->patch = is_dinov2 && !has_registers ? 14 : 16;
    settings->native_height = settings->native_width = 224;
    settings->mlp_dim = 0;
    settings->says_registers = true;
    settings->n_registers = has_registers ? 4 : 0;
    settings->eps = is_dinov2 ? 1e-6 : 1e-12;
    if ((status = lutra_config_size(config, "hidden_size", path, &settings->dim, error)) ||
        (status = lutra_config_size(config, "num_hidden_layers", path, &settings->depth, error)) ||
        (status = lutra_config_size(config, "num_attention_heads", path, &settings->n_heads, error)) ||
        (status = lutra_config_size(config, "intermediate_size", path, &settings->mlp_dim, error)) ||
        (status = lutra_config_size(config, "patch_size", path, &settings->patch, error)) ||
        (has_registers &&
         (status = lutra_config_size(config, "num_register_tokens", path, &settings->n_registers, error))) ||
        (status = lutra_config_extent(config, "image_size", path, &settings->native_height,
                                      &settings->native_width, error)) ||
        (status = lutra_config_number(config, "layer_norm_eps", path, &settings->eps, error)))
        return status;
    if (is_dinov2)
        settings->mlp_dim = 0; /* intermediate_size is not what these models use: mlp_ratio is */
    return read_activation(config, path, settings, error);
}

/* id2label maps "0", "1", ... to names. */
static lutra_status read_labels(const json_t *config, const char *path, lutra_vit_settings *settings,
                                lutra_error *error)
{
    const json_t *names = json_object_get(config, "id2label");
    if (!json_is_object(names) || json_object_size(names) == 0)
        return LUTRA_OK;
    lutra_status status = lutra_labels_check_count(json_object_size(names), path, error);
    if (status)
        return status;
    json_decref(settings->labels);
    settings->labels = json_array();
    for (size_t i = 0; i < json_object_size(names); i++) {
        const char *name = json_string_value(lutra_config_element(names, i));
        lutra_json_append(&settings->labels, json_string(name ? name : ""));
    }
    return settings->labels ? LUTRA_OK : lutra_fail_memory(error, json_object_size(names), "labels");
}

lutra_status lutra_vit_settings_from_hugging_face(const json_t *config, const char *path,
                                                  const json_t *preprocessor, const char *preprocessor_path,
                                                  lutra_vit_settings *settings, lutra_error *error)
{
    lutra_status status;
    if ((status = read_arch(config, path, settings, error)) ||
        (status = read_labels(config, path, settings, error)))
        return status;
    return lutra_vit_settings_from_preprocessor(preprocessor, preprocessor_path,
                                                json_string_value(json_object_get(config, "model_type")),
                                                settings, error);
}
