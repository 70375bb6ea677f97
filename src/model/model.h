/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open model, for the layers above (compress, profile): its matrices and tensors, and its configuration.
 */
#ifndef LUTRA_MODEL_MODEL_H
#define LUTRA_MODEL_MODEL_H

#include "format/safetensors.h"
#include "kernels/gemm/gemm.h"

#define LUTRA_MAX_BATCH 1024 /* pictures of a run */

/* A matrix that the plan multiplies by, under the name it has in the file ("blocks.0.attn.qkv.weight"). */
typedef struct lutra_named_matrix {
    const char *name;
    size_t rank;
    size_t shape[LUTRA_MAX_RANK]; /* of the source: [n][...], n * product = n * k */
    lutra_dtype dtype;            /* of the source */
    size_t n_clusters;            /* 0: dense */
    lutra_scope scope;
    lutra_matrix matrix;
} lutra_named_matrix;

/* Each matrix once, in the order of the plan's first use. */
size_t lutra_model_n_matrices(const lutra_model *model);
const lutra_named_matrix *lutra_model_matrix(const lutra_model *model, size_t index);

const lutra_safetensors *lutra_model_file(const lutra_model *model);

/* The description that a clustered file carries, as JSON text without "tensors" and clustering: architecture,
 * preprocessing, labels. Free with free(). */
lutra_status lutra_model_describe(const lutra_model *model, char **json, lutra_error *error);

#endif
