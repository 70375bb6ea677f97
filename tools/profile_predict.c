/* SPDX-License-Identifier: Apache-2.0 */
/* lutra profile --on: nothing is run, each step is predicted from the description of a device. */
#include <stdlib.h>

#include "profile.h"

static int predict_steps(profile_result *result)
{
    lutra_error error;
    const lutra_prediction_options options = {
        .mode = result->mode, .n_threads = result->threads, .batch = result->batch};
    lutra_step_prediction *steps = calloc(result->n_steps + 1, sizeof *steps);
    if (!steps)
        return tool_out_of_memory();
    lutra_status status =
        lutra_predict(result->model->model, &result->device->device, &options, steps, &error);
    for (size_t i = 0; i < result->n_steps && status == LUTRA_OK; i++) {
        profile_step *step = &result->steps[i];
        const double seconds = steps[i].seconds;
        status = lutra_model_step(result->model->model, i, &step->info, &error);
        step->info.weight_bytes = steps[i].weight_bytes;
        step->numbers.seconds = (tool_spread){.p10 = seconds, .median = seconds, .p90 = seconds};
        result->seconds.median += seconds;
        result->energy.lower_bound += steps[i].millijoules / (double)result->batch;
    }
    result->seconds.p10 = result->seconds.p90 = result->seconds.median;
    free(steps);
    return status || tool_interrupted() ? tool_fail(&error) : TOOL_DONE;
}

int profile_predict(const bench_models *models, const tool_arguments *arguments, const tool_device *device,
                    profile_results *results)
{
    /* AUTO becomes what it is for the first model, for all of them. */
    const lutra_mode mode = arguments->mode != LUTRA_MODE_AUTO
                                ? arguments->mode
                                : lutra_device_mode(&device->device, models->at[0].model);
    int failed = TOOL_DONE;
    for (size_t i = 0; i < models->n && !failed; i++) {
        profile_result *result = &results->at[results->n++];
        *result =
            (profile_result){.model = &models->at[i],
                             .mode = mode,
                             .batch = arguments->batch ? arguments->batch : 1,
                             .threads = arguments->n_threads ? arguments->n_threads : device->device.n_cores,
                             .isa = device->device.isa,
                             .device = device,
                             .is_predicted = true};
        result->n_steps = lutra_model_n_steps(result->model->model);
        result->steps = calloc(result->n_steps + 1, sizeof *result->steps);
        failed = result->steps ? predict_steps(result) : tool_out_of_memory();
    }
    return failed;
}
