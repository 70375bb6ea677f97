/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products of activations with a model's weights, which lie in the file as packed codebook indices or
 * as dense numbers. Either way the weights are brought panel by panel (16 outputs x all inputs, f32) into a
 * buffer that stays in the cache, multiplied, and forgotten: the dense matrix never exists in memory.
 */
#ifndef LUTRA_KERNELS_GEMM_H
#define LUTRA_KERNELS_GEMM_H

#include "base/thread_pool.h"
#include "kernels/indices/indices.h"
#include "kernels/kernels.h"

/* So that int32 sums of 8-bit products cannot overflow. */
#define LUTRA_MAX_INPUTS 32768

/* A weight matrix [n][k] as it lies in the file: n outputs, k inputs. */
typedef struct lutra_matrix {
    size_t n, k;
    /* Dense: row-major. NULL where clustered. May be unaligned. */
    const void *dense; /* [n][k] of `dtype`: F64, F32, F16 or BF16 */
    lutra_dtype dtype;
    /* Clustered. */
    const uint8_t *indices; /* [layout.bytes], 64-byte aligned */
    lutra_index_layout layout;
    const float *codebook; /* [256]; entries beyond the cluster count are 0 */
    bool codebook_is_i8;   /* every entry is an integer in -127..127 */
    const float *scale;    /* [n] with scope row, [1] otherwise; a weight is scale * codebook[index] */
    bool scale_per_row;
} lutra_matrix;

typedef enum lutra_activation { LUTRA_IDENTITY, LUTRA_GELU_ERF, LUTRA_GELU_TANH } lutra_activation;

/* c = layer_scale * activation(a w^T + bias) + residual */
typedef struct lutra_gemm {
    size_t m; /* rows of activations */
    const lutra_matrix *weights;
    const float *a; /* [m][lda], k used of each row */
    size_t lda;
    float *c; /* [m][ldc], n written of each row */
    size_t ldc;
    const float *bias; /* [n], or NULL */
    lutra_activation activation;
    const float *layer_scale; /* [n], or NULL */
    const float *residual;    /* [m][ldr], or NULL; may be c itself */
    size_t ldr;
} lutra_gemm;

/* Bytes of scratch that any product with up to `max_k` inputs needs on `n_threads`. */
size_t lutra_gemm_f32_scratch(size_t max_k, size_t n_threads);

/* `scratch` is 64-byte aligned. Results do not depend on the number of threads. */
void lutra_gemm_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                    void *scratch);

/* Row `row` of the matrix as f32 -> `out` [k]; the plain way, for export and tests. */
void lutra_matrix_row(const lutra_matrix *matrix, size_t row, float *out);

#endif
