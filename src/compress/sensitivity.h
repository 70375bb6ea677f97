/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an error in a token's activations costs, measured on the model before it is clustered: for small
 * errors the KL divergence of the output distribution grows with the square of the error along the gradient
 * of the log-probabilities (the Fisher information). Few tokens matter: behind the middle of a ViT the class
 * token makes most of it.
 */
#ifndef LUTRA_COMPRESS_SENSITIVITY_H
#define LUTRA_COMPRESS_SENSITIVITY_H

#include "cluster/coupling.h"
#include "compress/job.h"

typedef struct lutra_sensitivity {
    size_t n_steps;
    float **weights; /* [n_steps]: of a product's inputs [n_pictures][rows], 1 on average; NULL: no product */
    lutra_coupling *couplings; /* [n_steps]: of a product's outputs, ended; n = 0: no product */
    float *all;
} lutra_sensitivity;

/* `pixels` [n_pictures][height][width][3]. Deterministic on any number of threads. */
lutra_status lutra_sensitivity_measure(const lutra_model *model, const uint8_t *pixels, size_t n_pictures,
                                       lutra_job *job, lutra_thread_pool *pool,
                                       lutra_sensitivity *sensitivity, lutra_error *error);
void lutra_sensitivity_free(lutra_sensitivity *sensitivity);

#endif
