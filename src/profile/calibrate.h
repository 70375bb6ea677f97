/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures how well the kernels use this machine: kernels alone, on one thread, in shapes that no model of
 * Lutra's tables has, so that predictions of models are put to a test and not fitted to it. For the files of
 * this folder.
 */
#ifndef LUTRA_PROFILE_CALIBRATE_H
#define LUTRA_PROFILE_CALIBRATE_H

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "lutra/lutra.h"

typedef struct lutra_calibration {
    const lutra_device *device; /* its multiply-adds in a cycle */
    const lutra_kernels *kernels;
    lutra_thread_pool *pool; /* of one thread */
    lutra_efficiency *efficiency;
    lutra_error *error;
} lutra_calibration;

typedef void lutra_timed(const lutra_calibration *calibration, const void *job);

/* A cost in multiply-adds of f32 that is too small to be seen in the times counts as this. */
#define LUTRA_LEAST_COST 0.01

typedef struct lutra_timing {
    lutra_timed *run;
    const void *job;
    double cycles; /* is found: at the clock that the peak showed right before, the median of several turns */
} lutra_timing;

/* All take turns, so that what slows the machine for a while slows each of them alike. */
lutra_status lutra_count_cycles(const lutra_calibration *calibration, lutra_timing *timings, size_t n);

/* A number in 0..limit - 1, spread about the middle as trained weights are: one in 16 lies three times as far
 * from it as the others, so that most 8-bit weights are small beside the largest. */
unsigned lutra_bell(uint32_t *state, unsigned limit);

/* The error of times that do not tell the costs from each other. */
lutra_status lutra_undetermined(const lutra_calibration *calibration);

lutra_status lutra_calibrate_products(const lutra_calibration *calibration);

#endif
