/* SPDX-License-Identifier: Apache-2.0 */
/* The energy of a run, where there is a meter; where not, why, and what the bare operations take at the
 * least. */
#include <stdlib.h>

#include "profile.h"

#define QUICK_IDLE_SECONDS 2
#define QUICK_BUSY_SECONDS 5

static double lower_bound(const profile_result *result)
{
    const lutra_device *device = &result->device->device;
    double pj = device->pj_dram_byte * (double)result->all.dram_bytes;
    for (size_t i = 0; i < result->n_steps; i++)
        pj += (double)result->steps[i].numbers.macs *
              lutra_device_mac_energy(device, &result->steps[i].info, result->mode);
    return 1e-9 * pj / (double)result->batch;
}

static lutra_status measure(profile_result *result, const tool_arguments *arguments, lutra_meter *meter,
                            lutra_context *context, tool_progress *progress, lutra_error *error)
{
    const lutra_energy_options options = {.idle_seconds = arguments->quick ? QUICK_IDLE_SECONDS : 0,
                                          .busy_seconds = arguments->quick ? QUICK_BUSY_SECONDS : 0,
                                          .batch = result->batch,
                                          .progress = tool_progress_update,
                                          .progress_user = progress,
                                          .cpus = arguments->cpus,
                                          .n_cpus = arguments->n_cpus};
    uint8_t *pixels = calloc(result->batch, result->model->info->input_bytes);
    if (!pixels) {
        *error = (lutra_error){.status = LUTRA_ERROR_MEMORY};
        snprintf(error->message, sizeof error->message, "out of memory");
        return LUTRA_ERROR_MEMORY;
    }
    const lutra_status status =
        lutra_measure_energy(meter, context, pixels, &options, &result->energy.energy, error);
    free(pixels);
    return status;
}

int profile_measure_energy(profile_result *result, const tool_arguments *arguments, tool_progress *progress)
{
    const lutra_context_options options = {.n_threads = result->threads,
                                           .max_batch = result->batch,
                                           .mode = result->mode,
                                           .cpus = arguments->cpus,
                                           .n_cpus = arguments->n_cpus};
    profile_energy *energy = &result->energy;
    lutra_meter *meter = NULL;
    lutra_context *context = NULL;
    lutra_error error = {0};
    if (result->is_predicted) { /* the lower bound, too */
        snprintf(energy->reason, sizeof energy->reason, "nothing was run, all of this is predicted");
        return TOOL_DONE;
    }
    energy->lower_bound = lower_bound(result);
    if (arguments->no_energy) {
        snprintf(energy->reason, sizeof energy->reason, "--no-energy was given");
        return TOOL_DONE;
    }
    lutra_status status = lutra_meter_open(NULL, arguments->power_meter, &meter, &error);
    if (status == LUTRA_OK)
        status = lutra_context_create(result->model->model, &options, &context, &error);
    if (status == LUTRA_OK) {
        tool_progress_begin(progress, arguments, "measuring energy");
        status = measure(result, arguments, meter, context, progress, &error);
        tool_progress_hide(progress);
    }
    if (status == LUTRA_OK) {
        energy->is_measured = true;
        snprintf(energy->source, sizeof energy->source, "%s", lutra_meter_name(meter));
        snprintf(energy->what, sizeof energy->what, "%s", lutra_meter_what(meter));
    }
    lutra_context_free(context);
    lutra_meter_close(meter);
    snprintf(energy->reason, sizeof energy->reason, "%s", error.message);
    if (status == LUTRA_OK)
        return TOOL_DONE;
    /* What the user named must work; what the machine has may be missing. */
    if (status == LUTRA_ERROR_CANCELLED || status == LUTRA_ERROR_MEMORY || arguments->power_meter)
        return tool_fail(&error);
    return TOOL_DONE;
}
