/* SPDX-License-Identifier: Apache-2.0 */
/* The best codebook of integers in -127..127: which of them, and what a step of the grid is worth. */
#ifndef LUTRA_CLUSTER_GRID_H
#define LUTRA_CLUSTER_GRID_H

#include "base/thread_pool.h"
#include "cluster/kmeans_1d.h"

typedef struct lutra_grid {
    double step;
    float entries[255]; /* [k], distinct integers in ascending order */
    double objective;   /* sum of w (x - step * nearest entry)^2, up to which side of a border a bin falls */
} lutra_grid;

/* `bins` [n] as for lutra_kmeans_1d_fit, `farthest` the greatest magnitude of the free centres; 2 <= k <=
 * 255. */
lutra_status lutra_grid_fit(const lutra_bin *bins, size_t n, size_t k, const lutra_kmeans_1d *fit,
                            double least_reach, lutra_thread_pool *pool, lutra_grid *result,
                            lutra_error *error);

#endif
