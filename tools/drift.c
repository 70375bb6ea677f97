/* SPDX-License-Identifier: Apache-2.0 */
#include "drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds the floats of a step's output for one picture to those before it -> `end`; false where they are more
 * than memory can be. */
static bool add_output(const lutra_model *model, size_t index, size_t begin, size_t *end)
{
    lutra_step_info info;
    lutra_error error;
    if (lutra_model_step(model, index, &info, &error))
        return false;
    return !__builtin_add_overflow(begin, info.written_bytes / sizeof(float), end);
}

bool tool_drift_create(tool_drift *drift, const lutra_model *model)
{
    const size_t n = lutra_model_n_steps(model);
    *drift = (tool_drift){.n_steps = n};
    drift->steps = calloc(n + 1, sizeof *drift->steps);
    drift->offset = calloc(n + 1, sizeof *drift->offset);
    if (!drift->steps || !drift->offset)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!add_output(model, i, drift->offset[i], &drift->offset[i + 1]))
            return false;
    drift->kept = calloc(drift->offset[n] ? drift->offset[n] : 1, sizeof *drift->kept);
    return drift->kept != NULL;
}

void tool_drift_free(tool_drift *drift)
{
    free(drift->steps);
    free(drift->offset);
    free(drift->kept);
    *drift = (tool_drift){0};
}

static float *kept_output(const tool_drift *drift, const lutra_step_result *result)
{
    const size_t room = drift->offset[result->index + 1] - drift->offset[result->index];
    return result->rows * result->columns <= room ? drift->kept + drift->offset[result->index] : NULL;
}

void tool_drift_keep(void *drift_, const lutra_step_result *result)
{
    float *kept = kept_output(drift_, result);
    for (size_t i = 0; i < result->rows && kept; i++)
        memcpy(kept + i * result->columns, result->data + i * result->ld, result->columns * sizeof *kept);
}

void tool_drift_compare(void *drift_, const lutra_step_result *result)
{
    const tool_drift *drift = drift_;
    tool_step_drift *step = &drift->steps[result->index];
    const float *kept = kept_output(drift, result);
    for (size_t i = 0; i < result->rows && kept; i++) {
        const float *right = kept + i * result->columns, *other = result->data + i * result->ld;
        double product = 0, signal = 0, square = 0;
        for (size_t j = 0; j < result->columns; j++) {
            const double x = (double)right[j], y = (double)other[j];
            product += x * y;
            signal += x * x;
            square += y * y;
            step->noise += (x - y) * (x - y);
        }
        step->signal += signal;
        if (signal > 0 && square > 0)
            step->cosine += product / sqrt(signal * square);
        else
            step->cosine += signal == square; /* two rows of zeros are the same */
        step->n_rows++;
    }
}

double tool_drift_decibels(const tool_step_drift *step)
{
    return 10 * log10(step->signal / step->noise);
}

double tool_drift_cosine(const tool_step_drift *step)
{
    return step->cosine / step->n_rows;
}
