/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values that k-means sees: the rows of one or more matrices, each divided by its scale where rows have
 * one, with the square of the scale as weight; brought row by row, in parallel chunks that do not depend on
 * the number of threads.
 */
#ifndef LUTRA_CLUSTER_VALUES_H
#define LUTRA_CLUSTER_VALUES_H

#include "cluster/cluster.h"

typedef struct lutra_values {
    const lutra_row_source *sources; /* [n_sources] */
    size_t n_sources;
    const float *scale; /* [n] of the only source, >= 0, 0: no values; NULL: rows as they are */
    size_t n_rows;      /* of all sources */
    size_t max_k;
    uint64_t n_values;
    size_t n_chunks;
    float *buffers; /* [threads][max_k] */
} lutra_values;

/* `sources` and `scale` stay the caller's. */
lutra_status lutra_values_create(const lutra_row_source *sources, size_t n_sources, const float *scale,
                                 const lutra_thread_pool *pool, lutra_values *values, lutra_error *error);
void lutra_values_free(lutra_values *values);

/* Calls `use` for every row of a chunk that has values: x [k], each of weight `weight`. Within a thread
 * pool's task, whose worker it names. */
typedef void lutra_use_row(void *job, const float *x, size_t k, double weight);
void lutra_values_for_chunk(const lutra_values *values, size_t chunk, size_t worker, lutra_use_row *use,
                            void *job);

#endif
