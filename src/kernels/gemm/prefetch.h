/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A product writes, and for a residual reads, a few lines of each of a tile's rows, rows kilobytes apart: no
 * hardware sees that coming. Asked for before the tile is multiplied, they are in the cache when it is
 * finished.
 */
#ifndef LUTRA_KERNELS_GEMM_PREFETCH_H
#define LUTRA_KERNELS_GEMM_PREFETCH_H

#include "kernels/gemm/gemm.h"

#define FLOATS_OF_LINE 16

/* Columns first .. first + n - 1 of rows row .. row + m - 1. */
static inline void lutra_prefetch_outputs(const lutra_gemm *gemm, size_t row, size_t m, size_t first,
                                          size_t n)
{
    for (size_t i = row; i < row + m; i++)
        for (size_t j = first; j < first + n; j += FLOATS_OF_LINE) {
            __builtin_prefetch(gemm->c + i * gemm->ldc + j, 1);
            if (gemm->residual && gemm->residual != gemm->c)
                __builtin_prefetch(gemm->residual + i * gemm->ldr + j, 0);
        }
}

#endif
