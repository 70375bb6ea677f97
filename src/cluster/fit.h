/* SPDX-License-Identifier: Apache-2.0 */
/* The codebook of values, by way of bins fine enough for the promised distance to the optimum. */
#ifndef LUTRA_CLUSTER_FIT_H
#define LUTRA_CLUSTER_FIT_H

#include "cluster/grid.h"
#include "cluster/values.h"

/* `options->n_clusters` entries, or one for each distinct value (but two at least) where there are fewer.
 * `step` is what 1 in the codebook is worth: of the integer grid, otherwise 1. */
lutra_status lutra_fit_codebook(const lutra_values *values, const lutra_clustering_options *options,
                                lutra_thread_pool *pool, lutra_codebook *codebook, double *step,
                                lutra_error *error);

#endif
