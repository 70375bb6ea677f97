/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect.h"
#include "json.h"
#include "terminal.h"

static json_t *tensor_json(const lutra_tensor_info *tensor)
{
    json_t *json = json_object(), *shape = json_array();
    for (size_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, tool_json_size(tensor->shape[i]));
    json_object_set_new(json, "name", tool_json_text(tensor->name));
    json_object_set_new(json, "shape", shape);
    json_object_set_new(json, "dtype", json_string(lutra_dtype_name(tensor->dtype)));
    json_object_set_new(json, "clusters",
                        tensor->n_clusters ? tool_json_size(tensor->n_clusters) : json_null());
    json_object_set_new(json, "bits", tensor->n_clusters ? tool_json_size(tensor->bits) : json_null());
    json_object_set_new(json, "scope", tool_json_text(tensor->scope));
    json_object_set_new(json, "bytes", tool_json_size(tensor->bytes));
    json_object_set_new(json, "offset", tool_json_size(tensor->offset));
    return json;
}

static json_t *model_json(const lutra_model *model)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    json_t *json = json_object();
    json_object_set_new(json, "arch", tool_json_text(info->arch));
    json_object_set_new(json, "arch_source", tool_json_text(info->arch_source));
    json_object_set_new(json, "family", tool_json_text(info->family));
    json_object_set_new(json, "classes", tool_json_size(info->n_classes));
    json_object_set_new(json, "named_classes", json_boolean(lutra_model_label(model, 0) != NULL));
    json_object_set_new(json, "features", tool_json_size(info->n_features));
    json_object_set_new(json, "dim", tool_json_size(info->dim));
    json_object_set_new(json, "depth", tool_json_size(info->depth));
    json_object_set_new(json, "heads", tool_json_size(info->n_heads));
    json_object_set_new(json, "mlp_dim", tool_json_size(info->mlp_dim));
    json_object_set_new(json, "patch_size", tool_json_size(info->patch_size));
    json_object_set_new(json, "tokens", tool_json_size(info->n_tokens));
    json_object_set_new(json, "prefix_tokens", tool_json_size(info->n_prefix_tokens));
    json_object_set_new(json, "parameters", tool_json_size(info->n_parameters));
    json_object_set_new(json, "clustered_parameters", tool_json_size(info->n_clustered));
    json_object_set_new(json, "file_bytes", tool_json_size(info->file_bytes));
    json_object_set_new(json, "macs", tool_json_size(info->macs));
    json_object_set_new(json, "copied_tensors", tool_json_size(info->n_copied_tensors));
    json_object_set_new(json, "preprocessing", tool_json_preprocessing(&info->preprocessing));
    return json;
}

/* NULL and an error where a step cannot be had. */
static json_t *plan_json(const lutra_model *model, lutra_error *error)
{
    json_t *list = json_array();
    lutra_step_info step;
    for (size_t i = 0; i < lutra_model_n_steps(model); i++) {
        if (lutra_model_step(model, i, &step, error)) {
            json_decref(list);
            return NULL;
        }
        json_t *json = json_object();
        json_object_set_new(json, "op", tool_json_text(step.op));
        json_object_set_new(json, "name", tool_json_text(step.name));
        json_object_set_new(json, "m", tool_json_size(step.m));
        json_object_set_new(json, "n", tool_json_size(step.n));
        json_object_set_new(json, "k", tool_json_size(step.k));
        json_object_set_new(json, "macs", tool_json_size(step.macs));
        json_object_set_new(json, "weight_bytes", tool_json_size(step.weight_bytes));
        json_object_set_new(json, "read_bytes", tool_json_size(step.read_bytes));
        json_object_set_new(json, "written_bytes", tool_json_size(step.written_bytes));
        json_array_append_new(list, json);
    }
    return list;
}

/* The description in a clustered file, less what is shown elsewhere or long. */
static json_t *config_json(const lutra_tensor_file *file)
{
    const char *text = lutra_tensor_file_metadata(file, "lutra.config");
    json_t *json = text ? tool_json_parse(text) : NULL;
    if (!json)
        return json_null();
    json_object_del(json, "tensors");
    json_object_del(json, "labels");
    return json;
}

int tool_inspect_json(const tool_inspection *inspection)
{
    lutra_error error = {0};
    const char *isa = NULL;
    if (lutra_isa(&isa, &error))
        return tool_fail(&error);
    const tool_totals totals = tool_inspect_totals(inspection);
    json_t *json = json_object(), *tensors = json_array(), *sums = json_object();
    for (size_t i = 0; i < totals.n_tensors; i++)
        json_array_append_new(tensors, tensor_json(lutra_tensor_file_tensor(inspection->file, i)));
    json_object_set_new(sums, "tensors", tool_json_size(totals.n_tensors));
    json_object_set_new(sums, "elements", tool_json_size(totals.elements));
    json_object_set_new(sums, "bytes", tool_json_size(totals.bytes));
    json_object_set_new(sums, "clustered_tensors", tool_json_size(totals.n_clustered_tensors));
    json_object_set_new(sums, "clustered_elements", tool_json_size(totals.clustered_elements));
    json_object_set_new(sums, "clustered_bytes", tool_json_size(totals.clustered_bytes));
    json_object_set_new(json, "file", tool_json_text(inspection->arguments->inputs[0]));
    json_object_set_new(json, "tensors", tensors);
    json_object_set_new(json, "totals", sums);
    json_object_set_new(json, "config", config_json(inspection->file));
    json_object_set_new(json, "model", inspection->model ? model_json(inspection->model) : json_null());
    if (!inspection->model)
        json_object_set_new(json, "no_model", tool_json_text(inspection->no_model.message));
    if (inspection->arguments->verify)
        json_object_set_new(json, "verified", json_true());
    tool_json_machine(json, lutra_default_threads(), isa);
    if (inspection->arguments->plan) {
        json_t *plan = plan_json(inspection->model, &error);
        if (!plan) {
            json_decref(json);
            return error.status ? tool_fail(&error) : tool_out_of_memory();
        }
        json_object_set_new(json, "plan", plan);
    }
    return tool_json_print(json, false);
}
