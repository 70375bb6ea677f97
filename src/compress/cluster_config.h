/* SPDX-License-Identifier: Apache-2.0 */
/* What a clustered file says of itself: the metadata lutra.config of docs/format.md. */
#ifndef LUTRA_COMPRESS_CLUSTER_CONFIG_H
#define LUTRA_COMPRESS_CLUSTER_CONFIG_H

#include "compress/job.h"

/* Whether a codebook of so many clusters holds 8-bit integers. */
bool lutra_codebook_is_i8(const lutra_cluster_options *options, size_t n_clusters);

/* [{"name", "bytes", "sha256"}] of the source's files; advances the job by their bytes. `sum`: what
 * lutra_cluster_report's source_sha256 is. */
lutra_status lutra_describe_source(lutra_job *job, const lutra_model *model, json_t **source, char sum[65],
                                   lutra_error *error);

/* JSON text, free with free(); `n_clusters` [n_matrices]. */
lutra_status lutra_cluster_config(const lutra_model *model, const lutra_cluster_options *options,
                                  const size_t *n_clusters, json_t *source, char **text, lutra_error *error);

#endif
