/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operands in pairs, for instructions that multiply two rows of 8 inputs with two outputs' 8 weights
 * (usmmla):
 *
 *   activations  rows 2i and 2i + 1 lie where row 2i lay and after, 8 inputs of the one and 8 of the other in
 *                turns; a last row without a partner has one of zeros;
 *   weights      [k_padded / 8][16][8] in place of [k_padded / 4][16][4].
 */
#ifndef LUTRA_KERNELS_GEMM_PAIR_I8_H
#define LUTRA_KERNELS_GEMM_PAIR_I8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LUTRA_PAIR_INPUTS ((size_t)8)

/* Where the weight of input `k` for one of a panel's 16 outputs lies in its pairs. */
static inline size_t lutra_pair_byte_i8(size_t k, size_t output)
{
    return (k / LUTRA_PAIR_INPUTS * 16 + output) * LUTRA_PAIR_INPUTS + k % LUTRA_PAIR_INPUTS;
}

/* `even` and `odd` [n], n a multiple of 8 -> `pairs` [2 * n]. `odd` may lie in `pairs`, from byte n on. */
static inline void lutra_pair_rows_i8(size_t n, const uint8_t *even, const uint8_t *odd, uint8_t *pairs)
{
    for (size_t i = 0; i < n; i += LUTRA_PAIR_INPUTS) {
        uint8_t pair[2 * LUTRA_PAIR_INPUTS];
        memcpy(pair, even + i, LUTRA_PAIR_INPUTS);
        memcpy(pair + LUTRA_PAIR_INPUTS, odd + i, LUTRA_PAIR_INPUTS);
        memcpy(pairs + 2 * i, pair, sizeof pair);
    }
}

#endif
