/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clustered file while it is written: what lies where in it, and each part brought to its place.
 *
 *     lutra_cluster_output output = {model, options, n_clusters, job, pool};
 *     lutra_cluster_output_open(&output, path, error);
 *     lutra_cluster_output_begin(&output, config, error);
 *     lutra_cluster_output_matrix(&output, i, &clustering, error);   // each
 *     lutra_cluster_output_others(&output, calibration, error);
 *     lutra_writer_commit(output.writer, &bytes, error);
 *     lutra_cluster_output_close(&output);                           // without commit: nothing is left
 *
 * Until then lutra_cluster_output_restart goes back to where it was opened.
 */
#ifndef LUTRA_COMPRESS_CLUSTER_OUTPUT_H
#define LUTRA_COMPRESS_CLUSTER_OUTPUT_H

#include "compress/calibration.h"
#include "kernels/indices/indices.h"

/* Where the parts of one matrix go. */
typedef struct lutra_matrix_slots {
    size_t indices, codebook, scale;
    lutra_index_layout layout;
} lutra_matrix_slots;

typedef struct lutra_cluster_output {
    const lutra_model *model;
    const lutra_cluster_options *options;
    const size_t *n_clusters; /* [n_matrices] */
    lutra_job *job;
    lutra_thread_pool *pool;

    lutra_writer *writer;
    json_t *matrix_names;
    lutra_matrix_slots *slots; /* [n_matrices] */
    size_t *other_slots;       /* [tensors of the file]; only those of tensors that are copied count */
    size_t codebook_slot;      /* scope model */
    uint8_t *blocks;           /* [threads][block_stride] */
    size_t block_stride;
    uint64_t clustered_bytes;
} lutra_cluster_output;

/* What indices, codebook and scales of a matrix take; 0 where that is beyond any file. */
uint64_t lutra_clustered_bytes(const lutra_cluster_options *options, const lutra_matrix *matrix,
                               size_t n_clusters);

/* To be closed either way. */
lutra_status lutra_cluster_output_open(lutra_cluster_output *output, const char *path, lutra_error *error);
lutra_status lutra_cluster_output_restart(lutra_cluster_output *output, lutra_error *error);
void lutra_cluster_output_close(lutra_cluster_output *output);

/* `config`: what `lutra.config` says. */
lutra_status lutra_cluster_output_begin(lutra_cluster_output *output, const char *config, lutra_error *error);

/* Indices, scales and, but for scope model, codebook of matrix `index`. */
lutra_status lutra_cluster_output_matrix(lutra_cluster_output *output, size_t index,
                                         const lutra_clustering *clustering, lutra_error *error);

/* The codebook of scope model. */
lutra_status lutra_cluster_output_codebook(lutra_cluster_output *output, const lutra_codebook *codebook,
                                           lutra_error *error);

/* All tensors that are no clustered matrices, biases with what `calibration` (or NULL) makes them gain. */
lutra_status lutra_cluster_output_others(lutra_cluster_output *output, const lutra_calibration *calibration,
                                         lutra_error *error);

#endif
