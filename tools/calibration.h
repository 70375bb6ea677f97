/* SPDX-License-Identifier: Apache-2.0 */
/* The pictures that `lutra cluster --calibrate` names. */
#ifndef LUTRA_TOOLS_CALIBRATION_H
#define LUTRA_TOOLS_CALIBRATION_H

#include "decode.h"

#define TOOL_MIN_CALIBRATION 16 /* fewer say too little of a model's inputs */
/* Of the pictures that are not calibrated on, so many judge what a budget lost. */
#define TOOL_MAX_VALIDATION 128
#define TOOL_MAX_PICTURES 1024 /* of both, that a context takes at once */

typedef struct tool_calibration {
    tool_decoder decoder; /* pixels: those to calibrate on, then those to judge on */
    size_t n, n_validation;
    lutra_preprocessing preprocessing;
} tool_calibration;

/* Reads arguments->n_calibrate of them, evenly over the sorted names, prepared for the model at `model`; with
 * a budget also, as evenly, pictures to judge on: of those that are left over, and for a loss a quarter of
 * all at least. Returns the exit status, having said what is wrong; to be freed either way. */
int tool_calibration_read(tool_calibration *calibration, const tool_arguments *arguments, const char *model);
void tool_calibration_free(tool_calibration *calibration);

#endif
