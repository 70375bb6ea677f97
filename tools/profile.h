/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lutra profile, in parts: runs in turns (profile_time.c), what each step's numbers say (profile_steps.c),
 * what is printed (profile_report.c, profile_json.c).
 */
#ifndef LUTRA_TOOLS_PROFILE_H
#define LUTRA_TOOLS_PROFILE_H

#include <jansson.h>

#include "bench.h"
#include "device.h"

#define PROFILE_MAX_BOUNDS (LUTRA_MAX_CACHES + 1)
#define PROFILE_MAX_MODELS 2 /* the one that is profiled, and the one that it is compared with */

/* A step, or several together. Counts are of a run, that is of a batch. */
typedef struct profile_numbers {
    size_t n_steps;
    tool_spread seconds; /* of several: the sum of medians alone */
    double share;        /* of all steps' time */
    uint64_t macs, weight_bytes, activation_bytes;
    uint64_t dram_bytes; /* modelled: from beyond the last cache */
    /* Seconds that the device needs at the least, by what they are bound by: arithmetic, the first cache's
     * misses, the second's, ... A step has one of them. All 0: not known. */
    double roofline[PROFILE_MAX_BOUNDS];
} profile_numbers;

typedef struct profile_step {
    lutra_step_info info;
    profile_numbers numbers;
} profile_step;

typedef struct profile_energy {
    bool is_measured;
    char source[32], what[128];
    char reason[800]; /* why it is not measured */
    lutra_energy energy;
    double lower_bound; /* mJ a picture: the bare multiply-adds, and the modelled bytes from main memory */
} profile_energy;

/* What the hardware counts: lines that the last cache misses, what the memory controllers move for all
 * programs. */
enum { PROFILE_MISSES, PROFILE_CONTROLLERS, PROFILE_N_COUNTERS };

typedef struct profile_result {
    const bench_model *model;
    lutra_mode mode;
    size_t threads, batch;
    const char *isa;
    const tool_device *device;
    size_t n_runs;
    tool_spread seconds; /* of a run */
    profile_step *steps; /* [n_steps], owned */
    size_t n_steps;
    profile_numbers all;
    uint64_t counted_bytes[PROFILE_N_COUNTERS]; /* by the hardware, of a run */
    bool is_counted[PROFILE_N_COUNTERS];
    profile_energy energy;
    bool is_predicted; /* with --on: nothing was run */
} profile_result;

typedef struct profile_results {
    profile_result at[PROFILE_MAX_MODELS];
    size_t n;
} profile_results;
void profile_results_free(profile_results *results);

/* Times the models, one run each in turn. Returns the exit status. */
int profile_time(const bench_models *models, const tool_arguments *arguments, tool_progress *progress,
                 profile_results *results);

/* The same without a run: predicted for `device`. */
int profile_predict(const bench_models *models, const tool_arguments *arguments, const tool_device *device,
                    profile_results *results);

/* Fills in what follows from the plan, the device and the medians: all but `seconds` of the steps. */
int profile_complete(profile_result *result);

/* Measures where there is a meter. Fails only where the user's own meter does, or on Ctrl-C. */
int profile_measure_energy(profile_result *result, const tool_arguments *arguments, tool_progress *progress);

/* Multiply-adds a second that `threads` of the device's cores do at the most. */
double profile_peak_macs(const lutra_device *device, lutra_mode mode, size_t threads);

typedef enum profile_grouping { PROFILE_ALL, PROFILE_BY_KIND, PROFILE_BY_BLOCK } profile_grouping;

/* The steps from `from` on that are like it (the same operation and place in a block; the same block), taken
 * together; their number. 0 where an earlier step is like it. */
size_t profile_group(const profile_result *result, profile_grouping grouping, size_t from,
                     profile_numbers *numbers);

/* The step's name without its block. */
const char *profile_kind(const lutra_step_info *info);

double profile_gmacs(const profile_numbers *numbers);     /* multiply-adds a second in 1e9 */
double profile_intensity(const profile_numbers *numbers); /* MACs for a byte of weights or activations */
double profile_percent(const profile_numbers *numbers);   /* of the roofline; NaN: not known */
/* "compute", "L2", "L3" or "DRAM": what the longest part of the roofline is bound by; NULL: not known. */
const char *profile_bound(const profile_result *result, const profile_numbers *numbers);

void profile_print_table(const profile_results *results);
json_t *profile_json(const profile_results *results);
int profile_write_page(const profile_results *results, const char *path); /* --html; the exit status */
void profile_print_csv(const profile_results *results);

#endif
