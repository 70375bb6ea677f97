/* SPDX-License-Identifier: Apache-2.0 */
/* What a clustered file says of itself: the metadata lutra.config of docs/format.md. */
#ifndef LUTRA_COMPRESS_CLUSTER_CONFIG_H
#define LUTRA_COMPRESS_CLUSTER_CONFIG_H

#include "compress/job.h"

/* JSON text, free with free(). Reads the source's files for their hashes and advances the job by their bytes.
 */
lutra_status lutra_cluster_config(lutra_job *job, const lutra_model *model,
                                  const lutra_cluster_options *options, lutra_codebook_type type, char **text,
                                  lutra_error *error);

#endif
