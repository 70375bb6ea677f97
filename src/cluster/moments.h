/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second moments of the inputs that a matrix is multiplied with, summed as they come: the norm in which
 * calibration measures a weight's error, since E|(w - q) x|^2 = (w - q)^T E[x x^T] (w - q).
 */
#ifndef LUTRA_CLUSTER_MOMENTS_H
#define LUTRA_CLUSTER_MOMENTS_H

#include "base/thread_pool.h"
#include "kernels/kernels.h"

#define LUTRA_MOMENT_ROWS 1024 /* of inputs that are summed in f32, before they join the sums in double */

typedef struct lutra_moments {
    size_t k;
    double weight, square_weight; /* sums of the inputs' weights, and of their squares */
    double *second;               /* [k][k] sum of weight x x^T; until the end only below the diagonal */
    double *first;                /* [k] sum of weight x */
    float *roots;                 /* [LUTRA_MOMENT_ROWS] of the weights at hand */
    float *rows, *turned;         /* [LUTRA_MOMENT_ROWS][k] the inputs at hand; [k][LUTRA_MOMENT_ROWS] */
    size_t n_held;
    float *products; /* [k][k] of the inputs at hand */
    void *scratch;
} lutra_moments;

lutra_status lutra_moments_create(lutra_moments *moments, size_t k, size_t n_threads, lutra_error *error);
void lutra_moments_free(lutra_moments *moments);

/* One input, x [k], which counts `weight` times. */
void lutra_moments_add(lutra_moments *moments, const float *x, float weight, const lutra_kernels *kernels,
                       lutra_thread_pool *pool);

/* After the last one. */
void lutra_moments_end(lutra_moments *moments, const lutra_kernels *kernels, lutra_thread_pool *pool);

/* After the end: false where an input was no number, or the square of one too large for f32. */
bool lutra_moments_are_finite(const lutra_moments *moments);

#endif
