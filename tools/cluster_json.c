/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "inputs.h"
#include "json.h"
#include "terminal.h"

static const char *const scopes[] = {"row", "tensor", "model"};
static const char *const codebooks[] = {"auto", "i8", "f32"};

static json_t *point_json(const lutra_budget_point *point)
{
    return json_pack("{s:o, s:o, s:o}", "bytes", tool_json_size(point->bytes), "bits",
                     tool_json_real(point->bits), "kl", tool_json_real(point->kl));
}

static json_t *sensitivity_json(const lutra_tensor_report *tensor)
{
    if (!tensor->is_measured)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < LUTRA_N_WIDTH_LOSSES; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "clusters",
                                              tool_json_size(tensor->sensitivity[i].n_clusters), "kl",
                                              tool_json_real(tensor->sensitivity[i].kl)));
    return list;
}

static json_t *tensors_json(const lutra_cluster_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->n_tensors; i++) {
        const lutra_tensor_report *tensor = &report->tensors[i];
        json_t *json = json_object();
        json_object_set_new(json, "name", tool_json_text(tensor->name));
        json_object_set_new(json, "n", tool_json_size(tensor->n));
        json_object_set_new(json, "k", tool_json_size(tensor->k));
        json_object_set_new(json, "clusters", tool_json_size(tensor->n_clusters));
        json_object_set_new(json, "bits", tool_json_size(tensor->bits));
        json_object_set_new(json, "squared_error", tool_json_real(tensor->squared_error));
        json_object_set_new(
            json, "relative_error",
            tool_json_real(tool_relative_error(tensor->squared_error, tensor->squared_weight)));
        json_object_set_new(json, "optimality_gap", tool_json_real(tensor->optimality_gap));
        json_object_set_new(
            json, "output_error",
            tensor->squared_output > 0
                ? tool_json_real(tool_relative_error(tensor->squared_output_error, tensor->squared_output))
                : json_null());
        json_object_set_new(json, "sensitivity", sensitivity_json(tensor));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *curve_json(const lutra_cluster_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->n_points; i++)
        json_array_append_new(list, point_json(&report->curve[i]));
    return list;
}

static void set_budget(json_t *json, const tool_clustering *clustering)
{
    const tool_arguments *arguments = clustering->arguments;
    const lutra_cluster_report *report = clustering->report;
    json_object_set_new(json, "budget",
                        json_pack("{s:s, s:f}", "unit", tool_budget_unit_name(arguments->budget_unit),
                                  "value", arguments->budget));
    json_object_set_new(json, "chosen", point_json(&report->chosen));
    json_object_set_new(json, "kl_pictures", tool_json_size(report->n_loss_pictures));
    json_object_set_new(json, "kl_of",
                        json_string(report->loss_is_of_validation ? "validation" : "calibration"));
    json_object_set_new(json, "rounds", tool_json_size(report->n_rounds));
    json_object_set_new(json, "curve", curve_json(report));
}

/* All there is to tell; NULL, or not whole (tool_json_dump knows), when out of memory. */
static json_t *describe(const tool_clustering *clustering, bool with_tensors)
{
    const tool_arguments *arguments = clustering->arguments;
    const lutra_cluster_report *report = clustering->report;
    json_t *json = json_object();
    json_object_set_new(json, "input", tool_json_text(arguments->inputs[0]));
    json_object_set_new(json, "output", tool_json_text(arguments->output));
    json_object_set_new(json, "arch", tool_json_text(report->arch));
    json_object_set_new(json, "source_sha256", tool_json_text(report->source_sha256));
    json_object_set_new(json, "scope", json_string(scopes[arguments->scope]));
    json_object_set_new(json, "codebook", json_string(codebooks[arguments->codebook]));
    if (arguments->budget_unit)
        set_budget(json, clustering);
    else
        json_object_set_new(json, "clusters", tool_json_size(clustering->n_clusters));
    json_object_set_new(json, "calibration_pictures", tool_json_size(clustering->n_pictures));
    json_object_set_new(json, "bytes_in", tool_json_size(report->bytes_in));
    json_object_set_new(json, "bytes_out", tool_json_size(report->bytes_out));
    json_object_set_new(json, "ratio", tool_json_real((double)report->bytes_in / (double)report->bytes_out));
    json_object_set_new(json, "clustered_weights", tool_json_size(report->n_clustered));
    json_object_set_new(json, "bits_per_weight", tool_json_real(report->bits_per_weight));
    json_object_set_new(json, "squared_error", tool_json_real(report->squared_error));
    json_object_set_new(json, "relative_error",
                        tool_json_real(tool_relative_error(report->squared_error, report->squared_weight)));
    json_object_set_new(json, "optimality_gap", tool_json_real(report->optimality_gap));
    json_object_set_new(json, "seconds", tool_json_real(report->seconds));
    json_object_set_new(json, "peak_rss_bytes", tool_json_size(tool_peak_rss_bytes()));
    tool_json_machine(json, report->n_threads, clustering->isa);
    if (with_tensors)
        json_object_set_new(json, "tensors", tensors_json(report));
    return json;
}

int tool_cluster_json(const tool_clustering *clustering)
{
    const tool_arguments *arguments = clustering->arguments;
    return tool_json_print(describe(clustering, arguments->errors || arguments->budget_unit), false);
}

int tool_cluster_write_report(const tool_clustering *clustering)
{
    lutra_error error;
    json_t *json = describe(clustering, true);
    int result = TOOL_DONE;
    char *text = tool_json_dump(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (!text)
        result = tool_out_of_memory();
    else if (lutra_write_file(clustering->arguments->report, text, strlen(text), "\n", 1, &error))
        result = tool_fail(&error);
    free(text);
    json_decref(json);
    return result;
}

/* ---- an earlier report -------------------------------------------------------------------------- */

static bool is_text(const json_t *json, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(json, name));
    return value && strcmp(value, text) == 0;
}

static bool read_tensor(const json_t *json, lutra_tensor_report *tensor)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const json_t *list = json_object_get(json, "sensitivity");
    if (!name || strlen(name) >= sizeof tensor->name || json_array_size(list) != LUTRA_N_WIDTH_LOSSES)
        return false;
    memcpy(tensor->name, name, strlen(name) + 1);
    for (size_t i = 0; i < LUTRA_N_WIDTH_LOSSES; i++) {
        const json_t *point = json_array_get(list, i), *kl = json_object_get(point, "kl");
        const json_int_t n_clusters = json_integer_value(json_object_get(point, "clusters"));
        if (n_clusters < 2 || n_clusters > 256 || !json_is_number(kl))
            return false;
        tensor->sensitivity[i] =
            (lutra_width_loss){.n_clusters = (size_t)n_clusters, .kl = json_number_value(kl)};
    }
    tensor->is_measured = true;
    return true;
}

bool tool_cluster_read_report(const tool_arguments *arguments, lutra_cluster_report *known)
{
    lutra_error error;
    char *text;
    json_t *json = tool_read_text(arguments->report, &text, &error) ? NULL : tool_json_parse(text);
    free(text);
    const char *source = json_string_value(json_object_get(json, "source_sha256"));
    const json_t *tensors = json_object_get(json, "tensors");
    const size_t n = json_array_size(tensors);
    bool complete = n && source && strlen(source) < sizeof known->source_sha256 &&
                    is_text(json, "scope", scopes[arguments->scope]) &&
                    is_text(json, "codebook", codebooks[arguments->codebook]);
    *known = (lutra_cluster_report){.n_tensors = n};
    if (complete) {
        memcpy(known->source_sha256, source, strlen(source) + 1);
        known->tensors = calloc(n, sizeof *known->tensors);
        complete = known->tensors != NULL;
    }
    for (size_t i = 0; i < n && complete; i++)
        complete = read_tensor(json_array_get(tensors, i), &known->tensors[i]);
    json_decref(json);
    if (!complete)
        lutra_cluster_report_free(known);
    return complete;
}
