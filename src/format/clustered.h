/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `lutra.config` in a safetensors file says of its clustered matrices, checked against the tensors that
 * hold them (docs/format.md). A file without it has none.
 */
#ifndef LUTRA_FORMAT_CLUSTERED_H
#define LUTRA_FORMAT_CLUSTERED_H

#include <jansson.h>

#include "format/safetensors.h"
#include "kernels/indices/indices.h"

#define LUTRA_FORMAT_VERSION "1"              /* of the metadata key lutra.version */
#define LUTRA_MODEL_CODEBOOK "lutra.codebook" /* the tensor of scope model */

typedef struct lutra_clustered_tensor {
    const char *name;
    lutra_dtype dtype; /* of the source */
    size_t rank;
    size_t shape[LUTRA_MAX_RANK]; /* of the source; n = the first, k = the product of the others */
    size_t n, k;
    size_t n_clusters;
    lutra_scope scope;
    lutra_index_layout layout;
    const lutra_tensor *indices, *codebook, *scale;
} lutra_clustered_tensor;

typedef struct lutra_clustered {
    json_t *config; /* the JSON of lutra.config; NULL where the file is not clustered */
    lutra_clustered_tensor *tensors;
    const lutra_clustered_tensor **by_name; /* [n_tensors] */
    size_t n_tensors;
} lutra_clustered;

lutra_status lutra_clustered_open(const lutra_safetensors *file, lutra_clustered *clustered,
                                  lutra_error *error);
void lutra_clustered_close(lutra_clustered *clustered);
const lutra_clustered_tensor *lutra_clustered_find(const lutra_clustered *clustered, const char *name);

/* "row", "tensor", "model". */
const char *lutra_scope_name(lutra_scope scope);

#endif
