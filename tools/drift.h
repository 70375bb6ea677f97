/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far one model's activations are from another's, step by step:
 *
 *     tool_drift_create(&drift, model);
 *     lutra_context_observe(other, tool_drift_keep, &drift);      // first the one that is right
 *     lutra_context_observe(context, tool_drift_compare, &drift); // then the one that is judged
 *     lutra_context_run(other, picture, 1, ...); lutra_context_run(context, picture, 1, ...);
 */
#ifndef LUTRA_TOOLS_DRIFT_H
#define LUTRA_TOOLS_DRIFT_H

#include "lutra/lutra.h"

/* Of a step's output, summed over all rows of all pictures. */
typedef struct tool_step_drift {
    double signal, noise;  /* squares of what is right, of the difference */
    double cosine, n_rows; /* sum of the rows' cosines */
} tool_step_drift;

typedef struct tool_drift {
    size_t n_steps;
    tool_step_drift *steps; /* [n_steps] */
    size_t *offset;         /* [n_steps + 1] of a step's output in `kept` */
    float *kept;            /* what is right for the picture at hand */
} tool_drift;

/* False when out of memory; to be freed either way. */
bool tool_drift_create(tool_drift *drift, const lutra_model *model);
void tool_drift_free(tool_drift *drift);

/* Observers (lutra_step_observer) with the tool_drift as `user`, for runs of one picture. */
void tool_drift_keep(void *drift, const lutra_step_result *result);
void tool_drift_compare(void *drift, const lutra_step_result *result);

/* 10 log10(signal / noise); infinite where nothing differs. */
double tool_drift_decibels(const tool_step_drift *step);
double tool_drift_cosine(const tool_step_drift *step); /* mean over rows */

#endif
