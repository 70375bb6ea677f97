/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters one matrix such that its outputs, rather than its weights, are off by as little as can be: error
 * feedback, then refits of codebook and scales and coordinate descent over the indices in turn.
 * docs/clustering.md says what each step gives.
 */
#ifndef LUTRA_CLUSTER_CALIBRATED_H
#define LUTRA_CLUSTER_CALIBRATED_H

#include "cluster/cluster.h"
#include "cluster/coupling.h"
#include "cluster/moments.h"

typedef struct lutra_calibration_job {
    const lutra_row_source *source;
    const lutra_moments *moments; /* ended; of the matrix's inputs */
    const lutra_clustering_options *options;
    const lutra_codebook *shared;   /* scope model: the codebook, which stays as it is; else NULL */
    const lutra_coupling *coupling; /* ended; of the matrix's rows, or NULL: each row for itself */
    bool has_bias;
    bool quick; /* feedback alone: not as good, in a small part of the time */
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
} lutra_calibration_job;

/* As lutra_cluster_matrix; `shift` [n] is what the bias must gain (0 without one) so that the outputs keep
 * their mean. Where inputs or outputs are not finite, or too large for their squares to be summed, the
 * weights alone are clustered: squared_output and the shift are then 0. */
lutra_status lutra_cluster_calibrated(const lutra_calibration_job *job, lutra_clustering *clustering,
                                      float *shift, lutra_error *error);

#endif
