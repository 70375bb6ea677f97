/* SPDX-License-Identifier: Apache-2.0 */
/* lutra profile --html: the profile as JSON has it, and what is predicted for every described device. */
#include <stdlib.h>

#include "devices.h"
#include "json.h"
#include "profile.h"
#include "report.h"

/* Appends what one result's model is predicted to take on `device`. */
static int append_prediction(json_t *list, const profile_result *result, const lutra_device *device)
{
    const lutra_prediction_options options = {.mode = result->mode, .batch = result->batch};
    const size_t n = lutra_model_n_steps(result->model->model);
    lutra_step_prediction *steps = calloc(n + 1, sizeof *steps);
    lutra_error error;
    double seconds = 0;
    if (!steps)
        return tool_out_of_memory();
    const lutra_status status = lutra_predict(result->model->model, device, &options, steps, &error);
    for (size_t i = 0; i < n && !status; i++)
        seconds += steps[i].seconds;
    free(steps);
    if (status || tool_interrupted())
        return tool_fail(&error);
    json_t *json = json_object();
    json_object_set_new(json, "predicted", json_true());
    json_object_set_new(json, "title", tool_json_text(device->title));
    json_object_set_new(json, "clusters", tool_json_size(result->model->info->n_clusters));
    json_object_set_new(json, "total_ms", tool_json_real(1e3 * seconds));
    json_array_append_new(list, json);
    return TOOL_DONE;
}

/* For the model that a result is of, `against` false, or the one that it is compared with. */
static int predict_devices(const profile_results *results, json_t *list)
{
    tool_device_names names;
    lutra_error error;
    int result = TOOL_DONE;
    if (tool_device_names_read(&names, &error))
        return tool_fail(&error);
    for (size_t i = 0; i < names.n && !result; i++) {
        lutra_device device;
        if (tool_device_read(names.at[i], &device, &error))
            result = tool_fail(&error);
        for (size_t j = 0; j < results->n && !result; j++) {
            result = append_prediction(list, &results->at[j], &device);
            json_object_set_new(json_array_get(list, json_array_size(list) - 1), "against",
                                json_boolean(j > 0));
        }
    }
    tool_device_names_free(&names);
    return result;
}

/* The limits of the roofline plot; null where they are not known. */
static void set_peaks(json_t *json, const profile_result *result)
{
    const lutra_device *d = &result->device->device;
    const double gmacs = 1e-9 * profile_peak_macs(d, result->mode, result->threads);
    const double bytes = lutra_device_bandwidth(d, d->n_caches, result->threads);
    json_object_set_new(json, "peak_gmacs", gmacs > 0 ? tool_json_real(gmacs) : json_null());
    json_object_set_new(json, "dram_gb_per_s", bytes > 0 ? tool_json_real(1e-9 * bytes) : json_null());
}

int profile_write_page(const profile_results *results, const char *path)
{
    json_t *page = json_object(), *devices = json_array(), *profile = profile_json(results);
    const int result = predict_devices(results, devices);
    set_peaks(profile, &results->at[0]);
    if (results->n > 1)
        set_peaks(json_object_get(profile, "against"), &results->at[1]);
    json_object_set_new(page, "profile", profile);
    json_object_set_new(page, "devices", devices);
    if (!result)
        return tool_report_write(path, page);
    json_decref(page);
    return result;
}
