/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a panel's tiles are multiplied where the instruction adds two products in 16 bits and
 * saturates (vpmaddubsw). A sum's order is free, and the weights are known when a panel is made: so it is
 * known whether a tile can saturate. For each half of the panel (8 outputs, 16 such sums to a tile) its tiles
 * are
 *
 *   paired  none of the 16-bit sums of the two, added up, passes +-128 * 255: they are widened together;
 *   single  that holds for the tile alone;
 *   halved  that does not hold: each weight has to be multiplied as a sum of two of half its size.
 *
 * As stored, for one half after the other: the number of pairs, the number of singles, then where each tile
 * lies (LUTRA_ORDER_STEP), the pairs first and the halved last.
 *
 * The rows of activations go with it in groups of LUTRA_GROUP_ROWS, [k_padded / 4][8][4]: what a tile is
 * multiplied with lies side by side, so that one register leads to all of it.
 */
#ifndef LUTRA_KERNELS_GEMM_ORDER_I8_H
#define LUTRA_KERNELS_GEMM_ORDER_I8_H

#include <stddef.h>
#include <stdint.h>

/* What the weights of one 16-bit sum may add up to, positive and negative ones each for themselves: 128 * 255
 * fits, 129 * 255 does not. */
#define LUTRA_MAX_PAIR_SUM 128

/* Tile t is written down as LUTRA_ORDER_STEP * t: x86 multiplies an index by up to 8 as it addresses memory,
 * and that makes 64 bytes of weights or, by 4, the 32 bytes of a group's activations. */
#define LUTRA_ORDER_STEP 8

#define LUTRA_GROUP_ROWS ((size_t)8)

/* Tiles that wait for one that they can be paired with. */
#define LUTRA_WAITING_TILES 8

typedef struct lutra_order_i8 {
    size_t n_pairs, n_singles, n_halved;
    const uint16_t *pairs, *singles, *halved; /* tiles: [n_pairs][2], [n_singles], [n_halved] */
} lutra_order_i8;

/* Numbers that the order of a panel of `n_tiles` takes. */
static inline size_t lutra_order_numbers_i8(size_t n_tiles)
{
    return 2 * (n_tiles + 2);
}

static inline lutra_order_i8 lutra_order_of_half_i8(const uint16_t *order, size_t n_tiles, size_t half)
{
    const uint16_t *numbers = order + half * (n_tiles + 2);
    const size_t n_pairs = numbers[0], n_singles = numbers[1];
    return (lutra_order_i8){.n_pairs = n_pairs,
                            .n_singles = n_singles,
                            .n_halved = n_tiles - 2 * n_pairs - n_singles,
                            .pairs = numbers + 2,
                            .singles = numbers + 2 + 2 * n_pairs,
                            .halved = numbers + 2 + 2 * n_pairs + n_singles};
}

/* Where input `k` of row `row` lies in its group. */
static inline size_t lutra_group_byte_i8(size_t k, size_t row)
{
    return (k / 4 * LUTRA_GROUP_ROWS + row) * 4 + k % 4;
}

#endif
