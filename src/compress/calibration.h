/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the model over the calibration pictures, step by step, with what clustering has made of it so far, so
 * that each matrix is fitted to the inputs that it will really get.
 *
 *     for each matrix, in the order of the plan:
 *         lutra_calibration_reach(calibration, matrix, ...);    // gathers the moments of its inputs
 *         ... cluster it ...
 *         lutra_calibration_replace(calibration, &clustering, shift, ...);
 */
#ifndef LUTRA_COMPRESS_CALIBRATION_H
#define LUTRA_COMPRESS_CALIBRATION_H

#include "cluster/calibrated.h"
#include "compress/job.h"
#include "compress/outputs.h"
#include "compress/sensitivity.h"

typedef struct lutra_calibration {
    const lutra_model *model;
    lutra_job *job;
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;       /* the caller's */
    lutra_context *context;        /* all pictures at once */
    const uint8_t *pixels;         /* [n_all][height][width][3] */
    size_t n_pictures;             /* that matrices are fitted to */
    size_t n_all;                  /* with those for validation, behind them */
    lutra_outputs dense;           /* of the model as it was, on all pictures; with a budget */
    lutra_sensitivity sensitivity; /* of the model as it was */
    size_t step;                   /* the next one */
    lutra_moments moments;         /* of the matrix that was reached */
    bool has_bias;                 /* that matrix's product has one, in a tensor of its own, */
    lutra_dtype bias_dtype;        /* of this type */
    float *weights, *bias;         /* of the largest matrix, decoded; of the highest */
    float *shift;                  /* [sum of n over the matrices] what the biases gain */
    size_t *shift_of; /* [n_matrices] where a matrix's begin; SIZE_MAX: its product has no bias */
} lutra_calibration;

lutra_status lutra_calibration_create(const lutra_model *model, const lutra_cluster_options *options,
                                      lutra_job *job, lutra_thread_pool *pool,
                                      lutra_calibration **calibration, lutra_error *error);
void lutra_calibration_free(lutra_calibration *calibration); /* NULL is fine */

/* Runs up to the product with matrix `index` of the model. */
lutra_status lutra_calibration_reach(lutra_calibration *calibration, size_t index, lutra_error *error);

/* How the rows of the matrix that was reached hang together. */
const lutra_coupling *lutra_calibration_coupling(const lutra_calibration *calibration);

/* Where the shift of matrix `index`'s bias goes, [n]. */
float *lutra_calibration_shift(lutra_calibration *calibration, size_t index);

/* `shift` [n] becomes what the bias of the matrix that was reached gains in its type: none where it would be
 * too large for that. */
void lutra_calibration_round_shift(const lutra_calibration *calibration, const lutra_product *product,
                                   float *shift);

/* From here on the matrix that was reached is the clustered one, its bias shifted, as its type holds that. */
void lutra_calibration_replace(lutra_calibration *calibration, size_t index,
                               const lutra_clustering *clustering, bool scale_per_row);

/* The mean KL(dense || clustered) after the last matrix: on the validation pictures, or on all where there
 * are none. Once. */
lutra_status lutra_calibration_kl(lutra_calibration *calibration, double *kl, lutra_error *error);

/* The shift [tensor->shape[0]] of the bias in `tensor`, or NULL where it is none of the matrices' biases. */
const float *lutra_calibration_shift_of_tensor(const lutra_calibration *calibration,
                                               const lutra_tensor *tensor);

#endif
