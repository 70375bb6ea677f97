/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm over the last dimension (Ba et al. 2016): (x - mean) / sqrt(variance + eps) * gamma + beta. */
#ifndef LUTRA_KERNELS_LAYER_NORM_H
#define LUTRA_KERNELS_LAYER_NORM_H

#include "base/thread_pool.h"
#include "kernels/kernels.h"

typedef struct lutra_layer_norm {
    size_t n_rows, dim;
    const float *x; /* [n_rows][ldx] */
    size_t ldx;
    float *y; /* [n_rows][ldy]; may be x */
    size_t ldy;
    const float *gamma, *beta; /* [dim] each */
    float eps;
} lutra_layer_norm;

void lutra_layer_norm_f32(const lutra_kernels *kernels, lutra_thread_pool *pool,
                          const lutra_layer_norm *norm);

#endif
