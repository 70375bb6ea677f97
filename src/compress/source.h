/* SPDX-License-Identifier: Apache-2.0 */
/* A model's matrix as clustering reads it, and what clustering made of it as the model runs it. */
#ifndef LUTRA_COMPRESS_SOURCE_H
#define LUTRA_COMPRESS_SOURCE_H

#include "cluster/cluster.h"
#include "model/model.h"

lutra_row_source lutra_source_of(const lutra_named_matrix *named);

/* weights [n][k] = scale * entry. */
void lutra_decode_clustering(const lutra_clustering *clustering, size_t n, size_t k, bool scale_per_row,
                             float *weights);

#endif
