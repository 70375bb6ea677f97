/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "json.h"
#include "profile.h"

static void set_numbers(json_t *json, const profile_result *result, const profile_numbers *n)
{
    json_object_set_new(json, "ms", tool_json_real(1e3 * n->seconds.median));
    if (n->n_steps == 1) {
        json_object_set_new(json, "p10_ms", tool_json_real(1e3 * n->seconds.p10));
        json_object_set_new(json, "p90_ms", tool_json_real(1e3 * n->seconds.p90));
    }
    json_object_set_new(json, "share", tool_json_real(n->share));
    json_object_set_new(json, "macs", tool_json_size(n->macs));
    json_object_set_new(json, "gmacs", tool_json_real(profile_gmacs(n)));
    json_object_set_new(json, "weight_bytes", tool_json_size(n->weight_bytes));
    json_object_set_new(json, "activation_bytes", tool_json_size(n->activation_bytes));
    json_object_set_new(json, "dram_bytes",
                        result->device->device.n_caches ? tool_json_size(n->dram_bytes) : json_null());
    json_object_set_new(json, "intensity", tool_json_real(profile_intensity(n)));
    json_object_set_new(json, "percent_of_roofline", tool_json_real(profile_percent(n)));
    json_object_set_new(json, "bound", tool_json_text(profile_bound(result, n)));
}

static json_t *block_json(size_t block)
{
    return block == LUTRA_NO_BLOCK ? json_null() : tool_json_size(block);
}

static json_t *step_json(const profile_result *result, size_t index)
{
    const profile_step *step = &result->steps[index];
    json_t *json = json_object();
    json_object_set_new(json, "index", tool_json_size(index));
    json_object_set_new(json, "op", tool_json_text(step->info.op));
    json_object_set_new(json, "name", tool_json_text(step->info.name));
    json_object_set_new(json, "block", block_json(step->info.block));
    set_numbers(json, result, &step->numbers);
    return json;
}

static json_t *groups_json(const profile_result *result, profile_grouping grouping)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->n_steps; i++) {
        profile_numbers numbers;
        if (!profile_group(result, grouping, i, &numbers))
            continue;
        json_t *json = json_object();
        if (grouping == PROFILE_BY_BLOCK) {
            json_object_set_new(json, "block", block_json(result->steps[i].info.block));
        } else {
            json_object_set_new(json, "op", tool_json_text(result->steps[i].info.op));
            json_object_set_new(json, "name", tool_json_text(profile_kind(&result->steps[i].info)));
        }
        json_object_set_new(json, "steps", tool_json_size(numbers.n_steps));
        set_numbers(json, result, &numbers);
        json_array_append_new(list, json);
    }
    return list;
}

/* Three counts of traffic that are never mixed. */
static void set_counted(json_t *json, const char *name, const profile_result *result, size_t counter)
{
    json_object_set_new(json, name,
                        result->is_counted[counter] ? tool_json_size(result->counted_bytes[counter])
                                                    : json_null());
}

static json_t *traffic_json(const profile_result *result)
{
    const lutra_device *device = &result->device->device;
    json_t *json = json_object();
    json_object_set_new(json, "compulsory_weight_bytes", tool_json_size(result->all.weight_bytes));
    json_object_set_new(json, "modelled_bytes",
                        device->n_caches ? tool_json_size(result->all.dram_bytes) : json_null());
    json_object_set_new(json, "modelled_cache_bytes",
                        device->n_caches ? tool_json_size(lutra_device_cache_bytes(
                                               device, device->n_caches - 1, result->threads))
                                         : json_null());
    set_counted(json, "counted_bytes", result, PROFILE_MISSES);
    set_counted(json, "controller_bytes", result, PROFILE_CONTROLLERS);
    return json;
}

static json_t *energy_json(const profile_energy *energy)
{
    const lutra_energy *e = &energy->energy;
    const bool is_measured = energy->is_measured;
    const double none = NAN; /* becomes null */
    json_t *json = json_object();
    json_object_set_new(json, "source", tool_json_text(is_measured ? energy->source : "unavailable"));
    json_object_set_new(json, "mj_per_inference", tool_json_real(is_measured ? e->mj : none));
    json_object_set_new(json, "mj_per_inference_raw", tool_json_real(is_measured ? e->mj_raw : none));
    json_object_set_new(json, "idle_w", tool_json_real(is_measured ? e->idle_watts : none));
    json_object_set_new(json, "lower_bound_mj", tool_json_real(energy->lower_bound));
    if (!is_measured) {
        json_object_set_new(json, "reason", tool_json_text(energy->reason));
        return json;
    }
    json_object_set_new(json, "what", tool_json_text(energy->what));
    json_object_set_new(json, "busy_w", tool_json_real(e->busy_watts));
    json_object_set_new(json, "mj_p10", tool_json_real(e->mj_p10));
    json_object_set_new(json, "mj_p90", tool_json_real(e->mj_p90));
    json_object_set_new(json, "seconds", tool_json_real(e->seconds));
    json_object_set_new(json, "inferences", tool_json_size(e->n_pictures));
    json_object_set_new(json, "celsius_before", tool_json_real(e->celsius_before));
    json_object_set_new(json, "celsius_after", tool_json_real(e->celsius_after));
    json_object_set_new(json, "mhz_before", tool_json_real(e->mhz_before));
    json_object_set_new(json, "mhz_after", tool_json_real(e->mhz_after));
    json_object_set_new(json, "throttled", json_boolean(e->is_throttled));
    return json;
}

static json_t *result_json(const profile_result *result)
{
    json_t *json = json_object(), *steps = json_array();
    const lutra_model_info *info = result->model->info;
    json_object_set_new(json, "device", tool_json_text(result->device->device.title));
    if (result->is_predicted)
        json_object_set_new(json, "predicted", json_true());
    json_object_set_new(json, "arch", tool_json_text(info->arch));
    json_object_set_new(json, "clusters", tool_json_size(info->n_clusters));
    json_object_set_new(json, "mode", json_string(tool_mode_name(result->mode)));
    json_object_set_new(json, "batch", tool_json_size(result->batch));
    tool_json_machine(json, result->threads, result->isa);
    json_object_set_new(json, "runs", tool_json_size(result->n_runs));
    json_object_set_new(json, "total_ms", tool_json_real(1e3 * result->seconds.median));
    json_object_set_new(json, "p10_ms", tool_json_real(1e3 * result->seconds.p10));
    json_object_set_new(json, "p90_ms", tool_json_real(1e3 * result->seconds.p90));
    for (size_t i = 0; i < result->n_steps; i++)
        json_array_append_new(steps, step_json(result, i));
    json_object_set_new(json, "steps", steps);
    json_object_set_new(json, "kinds", groups_json(result, PROFILE_BY_KIND));
    json_object_set_new(json, "blocks", groups_json(result, PROFILE_BY_BLOCK));
    json_object_set_new(json, "traffic", traffic_json(result));
    json_object_set_new(json, "energy", energy_json(&result->energy));
    return json;
}

json_t *profile_json(const profile_results *results)
{
    json_t *json = result_json(&results->at[0]);
    if (results->n > 1)
        json_object_set_new(json, "against", result_json(&results->at[1]));
    return json;
}

/* A quote in it is written twice. */
static void print_quoted(const char *text)
{
    char part[256];
    putchar('"');
    while (*text) {
        lutra_escape(&text, part, sizeof part);
        for (const char *at = part; *at; at++) {
            if (*at == '"')
                putchar('"');
            putchar(*at);
        }
    }
    putchar('"');
}

static void print_real(double value)
{
    if (isfinite(value))
        printf(",%.9g", value);
    else
        putchar(',');
}

static void print_csv_row(const profile_result *result, size_t index)
{
    const profile_step *step = &result->steps[index];
    const profile_numbers *n = &step->numbers;
    const char *bound = profile_bound(result, n);
    printf("%zu,%zu,%s,", result->model->info->n_clusters, index, step->info.op);
    print_quoted(step->info.name);
    putchar(',');
    if (step->info.block != LUTRA_NO_BLOCK)
        printf("%zu", step->info.block);
    print_real(1e3 * n->seconds.median);
    print_real(1e3 * n->seconds.p10);
    print_real(1e3 * n->seconds.p90);
    print_real(n->share);
    printf(",%llu,%llu,%llu,", (unsigned long long)n->macs, (unsigned long long)n->weight_bytes,
           (unsigned long long)n->activation_bytes);
    if (result->device->device.n_caches)
        printf("%llu", (unsigned long long)n->dram_bytes);
    print_real(profile_gmacs(n));
    print_real(profile_intensity(n));
    print_real(profile_percent(n));
    printf(",%s\n", bound ? bound : "");
}

void profile_print_csv(const profile_results *results)
{
    puts("clusters,index,op,name,block,ms,p10_ms,p90_ms,share,macs,weight_bytes,activation_bytes,dram_bytes,"
         "gmacs,"
         "intensity,percent_of_roofline,bound");
    for (size_t i = 0; i < results->n; i++)
        for (size_t j = 0; j < results->at[i].n_steps; j++)
            print_csv_row(&results->at[i], j);
}
