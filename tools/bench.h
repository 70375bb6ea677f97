/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lutra bench, in parts: the models that are timed (bench_models.c), what opening and holding one takes
 * (bench_probe.c), the turns that they take (bench_time.c), what is printed (bench_report.c).
 */
#ifndef LUTRA_TOOLS_BENCH_H
#define LUTRA_TOOLS_BENCH_H

#include "memory_traffic.h"
#include "statistics.h"
#include "terminal.h"

/* ---- models ------------------------------------------------------------------------------------ */

typedef struct bench_model {
    char *path; /* owned */
    int file;   /* of a temporary, without a name any more: `path` leads to it by this number; else -1 */
    lutra_model_options options;
    lutra_model *model;
    const lutra_model_info *info;
} bench_model;

typedef struct bench_models {
    bench_model at[TOOL_MAX_LIST + 2]; /* dense ones last, so that rows of the table read as the options do */
    size_t n;
} bench_models;

/* Whether a seed, where one is given, has weights to make; says that it has not. */
bool bench_check_seed(const tool_arguments *arguments);

/* Opens MODEL or makes one of --arch, clusters it and makes it dense as the options ask. What is made lies in
 * memory (/dev/shm) where there is room, else among the temporary files, and is gone with the process.
 * Returns the exit status; to be closed either way. */
int bench_models_open(bench_models *models, const tool_arguments *arguments, tool_progress *progress);
/* Opens one more. */
int bench_models_add(bench_models *models, const char *path, const lutra_model_options *options);
/* Adds the last model, which is dense, once more with its weights in `dtype`. */
int bench_models_add_dense(bench_models *models, lutra_dtype dtype, const tool_arguments *arguments,
                           tool_progress *progress);
void bench_models_close(bench_models *models);

/* ---- one model in one mode --------------------------------------------------------------------- */

typedef struct bench_settings {
    lutra_mode mode;
    size_t threads, batch;
} bench_settings;

typedef struct bench_probe {
    double start;       /* seconds to open the model, make a context and run for the first time */
    double later;       /* seconds of a later run */
    uint64_t rss_bytes; /* the most memory of its own at any time: RssAnon beyond what the process had */
} bench_probe;

/* Measures in a process of its own; `pixels` [batch][input_bytes]. */
lutra_status bench_probe_run(const bench_model *model, const bench_settings *settings, const uint8_t *pixels,
                             bench_probe *probe, lutra_error *error);

/* The times of a clustered model over those of a dense one, turn by turn. */
typedef struct bench_ratio {
    lutra_mode dense_mode;
    tool_interval ratio;
} bench_ratio;

/* A part of a long run. */
typedef struct bench_part {
    double end; /* seconds since the begin */
    double median, peak_gmacs;
    size_t n_runs;
} bench_part;

#define BENCH_MAX_RATIOS 8
typedef struct bench_result {
    const bench_model *model;
    bench_settings settings; /* the mode is never AUTO */
    bool chose_mode;         /* nobody named one */
    const char *isa;
    bench_probe probe;
    uint64_t weight_bytes;
    tool_spread seconds; /* of a run */
    size_t n_runs;
    double peak_gmacs; /* median, of as many threads; 0: unknown */
    bench_ratio ratios[BENCH_MAX_RATIOS];
    size_t n_ratios;
    bench_part *parts; /* [n_parts], owned; only with --duration */
    size_t n_parts;
    double contention; /* bytes a second that --contend read beside it */
} bench_result;

typedef struct bench_results {
    bench_result *at; /* [n], owned */
    size_t n;
} bench_results;
void bench_results_free(bench_results *results);

/* When turns end: after `most` rounds, or once they took `seconds` and are `least`. */
typedef struct bench_limit {
    size_t least, most;
    double seconds;
} bench_limit;

/* Times every model in every mode on `threads` threads in batches of `batch`, one run each in turn, and adds
 * their results. `limit`, for who has many models to time: --repeat and --duration do not count, and
 * nothing is probed; else NULL. Returns the exit status. */
int bench_time(const bench_models *models, const tool_arguments *arguments, size_t threads, size_t batch,
               const bench_limit *limit, tool_progress *progress, bench_results *results);

/* ---- what is printed --------------------------------------------------------------------------- */

double bench_gmacs(const bench_result *result);           /* multiply-adds per second, in 1e9 */
double bench_percent_of_peak(const bench_result *result); /* NaN: unknown */
void bench_print_part(const bench_result *result, const bench_part *part);
void bench_print_table(const bench_results *results, const tool_arguments *arguments);
int bench_print_json(const bench_results *results, const tool_arguments *arguments);

#endif
