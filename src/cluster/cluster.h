/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters one matrix: codebook, indices and scales that minimise the squared error.
 *
 * Scope row: rows are divided by a scale (their root mean square), one codebook is fitted over all of them
 * with each value weighted by its row's scale squared, and then the best of several scales is chosen for each
 * row and refitted by least squares given the indices. Scopes tensor and model: one codebook over plain
 * values, scale 1 (or the grid's step, see below). docs/clustering.md says how good the result is.
 */
#ifndef LUTRA_CLUSTER_CLUSTER_H
#define LUTRA_CLUSTER_CLUSTER_H

#include "base/thread_pool.h"

/* Rows of weights as f32, brought on demand so that no dense copy of a matrix needs to exist. */
typedef struct lutra_row_source {
    size_t n, k;
    void (*read)(const void *matrix, size_t row, float *out); /* out [k] */
    const void *matrix;
} lutra_row_source;

typedef struct lutra_codebook {
    size_t n_clusters;     /* as asked for, or fewer (2 at least) where there are fewer distinct values */
    bool is_i8;            /* entries are integers in -127..127, in units of the scale */
    float entries[256];    /* ascending; beyond n_clusters 0 */
    double optimality_gap; /* upper bound on objective / optimum - 1, before rounding to the grid */
} lutra_codebook;

typedef struct lutra_clustering {
    lutra_codebook codebook;
    uint8_t *indices; /* [n][k], one byte each; the caller's */
    float *scale;     /* [n] with per_row, else [1]; the caller's */
    double squared_error, squared_weight;
    double squared_output_error, squared_output; /* calibrated: in the norm that was minimised; else 0 */
} lutra_clustering;

typedef struct lutra_clustering_options {
    size_t n_clusters;
    bool per_row;
    bool i8_grid;
    bool exact;
} lutra_clustering_options;

/* Fits and assigns one matrix. Deterministic on any number of threads. */
lutra_status lutra_cluster_matrix(const lutra_row_source *source, const lutra_clustering_options *options,
                                  lutra_thread_pool *pool, lutra_clustering *clustering, lutra_error *error);

/* One codebook over several matrices (scope model), F32, then the assignment of each with it. */
lutra_status lutra_cluster_matrices_codebook(const lutra_row_source *sources, size_t n_sources,
                                             const lutra_clustering_options *options, lutra_thread_pool *pool,
                                             lutra_codebook *codebook, lutra_error *error);
lutra_status lutra_cluster_assign(const lutra_row_source *source, const lutra_codebook *codebook,
                                  lutra_thread_pool *pool, lutra_clustering *clustering, lutra_error *error);

#endif
