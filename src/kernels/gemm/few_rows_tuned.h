/* SPDX-License-Identifier: Apache-2.0 */
/* What products of a few rows have in common at every level: the widths that few_rows.c leaves to them, and
 * asking for the blocks that come next. */
#ifndef LUTRA_KERNELS_GEMM_FEW_ROWS_TUNED_H
#define LUTRA_KERNELS_GEMM_FEW_ROWS_TUNED_H

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

/* Called with constants for bits, n_tiles, n_vectors and m, so that all loops vanish. */
#define BITS(function, bits, n_tiles, n_vectors, ...)                                                        \
    case bits:                                                                                               \
        if (m == 1)                                                                                          \
            function(bits, n_tiles, n_vectors, 1, __VA_ARGS__);                                              \
        else                                                                                                 \
            function(bits, n_tiles, n_vectors, LUTRA_FEW_ROWS, __VA_ARGS__);                                 \
        break;
#define TUNED_BITS(function, ...)                                                                            \
    BITS(function, 4, 2, 1, __VA_ARGS__)                                                                     \
    BITS(function, 6, 4, 3, __VA_ARGS__)

/* What comes `ahead` bytes later: the hardware's own prefetching ends with each page. */
LUTRA_INLINE void prefetch_group(const unsigned n_vectors, const uint8_t *block, size_t ahead)
{
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++)
        __builtin_prefetch(block + ahead + v * (size_t)LUTRA_TILE_LANES);
}

#endif
