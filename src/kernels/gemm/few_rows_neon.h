/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What products of a few rows have in common at the Arm levels: 16 weights at a time, a quarter of a tile, 4
 * outputs x 4 inputs, one to a byte. The widths are the tuned ones of few_rows.c.
 */
#ifndef LUTRA_KERNELS_GEMM_FEW_ROWS_NEON_H
#define LUTRA_KERNELS_GEMM_FEW_ROWS_NEON_H

#include <string.h>

#include "kernels/gemm/few_rows_tuned.h"
#include "kernels/gemm/index_vectors_neon.h"

#define QUARTERS 4
#define QUARTER 16 /* bytes */
#define MAX_GROUP_TILES 4
#define MAX_GROUP_VECTORS 3

LUTRA_INLINE void load_quarter(const unsigned n_vectors, const uint8_t *group, size_t quarter,
                               uint8x16_t *vectors)
{
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++)
        vectors[v] = vld1q_u8(group + v * (size_t)LUTRA_TILE_LANES + quarter * QUARTER);
}

#endif
