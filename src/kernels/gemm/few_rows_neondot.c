/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm/few_rows_neon.h"

#define FEW_ROWS_I8 lutra_multiply_few_rows_i8_neondot

/* sum += the products of a tile's four inputs, x[4 * lane..], and those of four outputs. */
LUTRA_INLINE int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t x, const unsigned lane)
{
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(sum, w, x, 0);
    case 1:
        return vdotq_laneq_s32(sum, w, x, 1);
    case 2:
        return vdotq_laneq_s32(sum, w, x, 2);
    default:
        return vdotq_laneq_s32(sum, w, x, 3);
    }
}

LUTRA_INLINE int32x4_t add_weights(int32x4_t sum, int8x16_t w)
{
    return vdotq_s32(sum, w, vdupq_n_s8(1));
}

#include "kernels/gemm/few_rows_i8_neon.h"
