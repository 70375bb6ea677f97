/* SPDX-License-Identifier: Apache-2.0 */
/* What a clustered file says of itself: the metadata lutra.config of docs/format.md. */
#ifndef LUTRA_COMPRESS_CLUSTER_CONFIG_H
#define LUTRA_COMPRESS_CLUSTER_CONFIG_H

#include "compress/job.h"

/* Whether a codebook of so many clusters holds 8-bit integers. */
bool lutra_codebook_is_i8(const lutra_cluster_options *options, size_t n_clusters);

/* JSON text, free with free(); `n_clusters` [n_matrices]. Reads the source's files for their hashes and
 * advances the job by their bytes. */
lutra_status lutra_cluster_config(lutra_job *job, const lutra_model *model,
                                  const lutra_cluster_options *options, const size_t *n_clusters, char **text,
                                  lutra_error *error);

#endif
