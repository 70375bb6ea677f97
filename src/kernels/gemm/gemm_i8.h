/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products in 8 bits: each row of activations is quantised as it comes (asymmetric, 0..255), weights
 * are decoded to int8, their products are summed in int32, exactly. What follows a sum (scales, bias,
 * activation, layer scale, residual) is f32, as in gemm.h.
 *
 *     lutra_matrix_i8_create(kernels, pool, &matrix, &weights, error);      // once
 *     lutra_gemm_i8(kernels, pool, &gemm, &weights, scratch);         // gemm.weights == &matrix
 */
#ifndef LUTRA_KERNELS_GEMM_I8_H
#define LUTRA_KERNELS_GEMM_I8_H

#include "kernels/gemm/gemm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/patches/patches.h"

/* 16 outputs of a matrix as int8, as a level's kernels leave them to each other. */
typedef struct lutra_panel_i8 {
    int8_t *tiles;         /* [k_padded / 4][16][4], 64-byte aligned: a tile is one operand of vpdpbusd */
    int32_t sums[16];      /* of an output's k weights */
    const uint16_t *order; /* of its tiles (order_i8.h), where the level wants one */
} lutra_panel_i8;

/* Where the weight of input `k` for one of a panel's 16 outputs lies in its tiles. */
static inline size_t lutra_tile_byte_i8(size_t k, size_t output)
{
    return (k / LUTRA_TILE_INPUTS * LUTRA_TILE_OUTPUTS + output) * LUTRA_TILE_INPUTS + k % LUTRA_TILE_INPUTS;
}

/* What int8 products need to know of a matrix beside the matrix itself. */
typedef struct lutra_matrix_i8 {
    const lutra_matrix *matrix;
    /* Clustered: the codebook on the int8 grid; codebook_scale is 1 where it lies there by itself. */
    int8_t codebook[256];
    float codebook_scale;
    /* Dense: quantised symmetrically, row by row. */
    lutra_panel_i8 *panels; /* [divide_up(n, 16)], or NULL */
    int8_t *tiles;          /* of all panels */
    float *scale;           /* [n] */
    /* Where the level wants it: the order of each panel's tiles. */
    uint16_t *orders; /* [divide_up(n, 16)][lutra_order_numbers_i8(divide_up(k, 4))], or NULL */
} lutra_matrix_i8;

/* A codebook of floats is brought to the grid of its largest entry that the matrix uses, which costs
 * accuracy: lutra_matrix_i8_row shows what became of the weights. `matrix` must outlive the result. */
lutra_status lutra_matrix_i8_create(const lutra_kernels *kernels, lutra_thread_pool *pool,
                                    const lutra_matrix *matrix, lutra_matrix_i8 *result, lutra_error *error);
void lutra_matrix_i8_free(lutra_matrix_i8 *matrix);

/* Row `row` of the matrix as products see it -> `out` [k]. */
void lutra_matrix_i8_row(const lutra_matrix_i8 *matrix, size_t row, float *out);

/* Bytes of scratch that any product with up to `max_m` rows and `max_k` inputs needs on `n_threads`; false
 * where they overflow. */
bool lutra_gemm_i8_scratch(size_t max_m, size_t max_k, size_t n_threads, size_t *bytes);

/* From one row of `k` activations to the next in `scratch`. */
size_t lutra_row_bytes_i8(size_t k);

/* `scratch` is 64-byte aligned. Results do not depend on the number of threads; before the float steps they
 * do not depend on the level either. gemm->a NULL: the rows are those that lutra_layer_norm_i8 or
 * lutra_patches_i8 left. */
void lutra_gemm_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                   const lutra_matrix_i8 *weights, void *scratch);

/* Normalises rows and quantises each at once, for the products of `n_rows` > LUTRA_FEW_ROWS rows and `dim`
 * inputs that come next: they find them in `scratch` until something else uses it. norm->y may be NULL: what
 * nobody else reads goes no further than the nearest cache. */
void lutra_layer_norm_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_layer_norm *norm,
                         void *scratch);

/* The same with patches cut from 8-bit pictures: each is normalised and quantised where it is cut.
 * patches->out may be NULL. */
void lutra_patches_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_patches *patches,
                      void *scratch);

#endif
