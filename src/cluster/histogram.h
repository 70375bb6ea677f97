/* SPDX-License-Identifier: Apache-2.0 */
/* Sorts values into bins for kmeans_1d.h, without sorting them or holding more than the bins. */
#ifndef LUTRA_CLUSTER_HISTOGRAM_H
#define LUTRA_CLUSTER_HISTOGRAM_H

#include "cluster/kmeans_1d.h"
#include "cluster/values.h"

typedef struct lutra_bins {
    lutra_bin *bins; /* [n]; free with free() */
    size_t n;        /* 0: no values at all */
} lutra_bins;

/* About `n_wanted` bins, finer where values are dense. Deterministic on any number of threads. */
lutra_status lutra_histogram(const lutra_values *values, size_t n_wanted, lutra_thread_pool *pool,
                             lutra_bins *result, lutra_error *error);

/* One bin for each distinct value. Takes 16 bytes of memory for each value, and more for distinct ones. */
lutra_status lutra_sort_values(const lutra_values *values, lutra_bins *result, lutra_error *error);

#endif
