/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of one to four rows of activations with a clustered matrix (a class token's head, a decoder's
 * step): each weight is used so few times that bringing panels to memory first would cost more than the
 * multiplications. The indices are decoded in registers and multiplied there. The results are those of gemm.h
 * and gemm_i8.h.
 */
#ifndef LUTRA_KERNELS_FEW_ROWS_H
#define LUTRA_KERNELS_FEW_ROWS_H

#include "kernels/gemm/gemm_i8.h"
#include "kernels/gemm/row_i8.h"

#define LUTRA_FEW_ROWS 4
#define LUTRA_FEW_ROWS_BLOCKS 4 /* of 16 outputs, that a kernel multiplies with at once */

/* Runs the product where it is one of few rows, none beyond what the kernels hold, with a codebook on the
 * int8 grid, and the level has a kernel of its own for it; false where it is not. */
bool lutra_few_rows_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm);

/* The same in 8 bits, parted in two: whether the product is such a one, and the product; `a` [gemm->m][lda]
 * are the activations as `rows` [gemm->m] describe them. */
bool lutra_is_few_rows_i8(const lutra_kernels *kernels, const lutra_gemm *gemm);
void lutra_few_rows_i8(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                       const lutra_matrix_i8 *weights, const uint8_t *a, size_t lda,
                       const lutra_row_i8 *rows);

#endif
