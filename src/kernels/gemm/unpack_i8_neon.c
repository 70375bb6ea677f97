/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm/index_vectors_neon.h"
#include "kernels/table.h"

#define QUARTERS 4 /* of a tile: 4 outputs each */
#define QUARTER 16 /* bytes */
/* So many tiles can be added in 16 bits: 120 * 2 * 128 < 2^15. */
#define MAX_TILES 120

/* Groups whose tiles are added up in 16 bits: every second lane is another two inputs of an output. */
LUTRA_INLINE void unpack_groups(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                size_t n_groups, const uint8_t *block, const lutra_byte_tables *tables,
                                int8_t *tiles, int32x4_t *sums)
{
    int16x8_t partial[QUARTERS];
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        partial[q] = vdupq_n_s16(0);
    for (size_t group = 0; group < n_groups; group++) {
        LUTRA_UNROLL
        for (size_t q = 0; q < QUARTERS; q++) {
            uint8x16_t vectors[8];
            LUTRA_UNROLL
            for (size_t v = 0; v < n_vectors; v++)
                vectors[v] = vld1q_u8(block + v * LUTRA_TILE_LANES + q * QUARTER);
            LUTRA_UNROLL
            for (unsigned t = 0; t < n_tiles; t++) {
                const int8x16_t w = vreinterpretq_s8_u8(
                    lutra_look_bytes_up(bits, tables, lutra_indices_of_tile(bits, n_vectors, vectors, t)));
                vst1q_s8(tiles + t * LUTRA_TILE_LANES + q * QUARTER, w);
                partial[q] = vpadalq_s8(partial[q], w);
            }
        }
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        tiles += n_tiles * (size_t)LUTRA_TILE_LANES;
    }
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        sums[q] = vpadalq_s16(sums[q], partial[q]);
}

LUTRA_INLINE void unpack(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                         const lutra_index_layout *layout, const uint8_t *block, const int8_t *codebook,
                         lutra_panel_i8 *panel)
{
    const size_t n_groups = layout->k_padded / LUTRA_TILE_INPUTS / n_tiles;
    const size_t at_once = MAX_TILES / n_tiles;
    lutra_byte_tables tables;
    int32x4_t sums[QUARTERS];
    lutra_load_byte_tables(bits, (const uint8_t *)codebook, &tables);
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        sums[q] = vdupq_n_s32(0);
    for (size_t group = 0; group < n_groups; group += at_once)
        unpack_groups(bits, n_tiles, n_vectors, n_groups - group < at_once ? n_groups - group : at_once,
                      block + group * n_vectors * LUTRA_TILE_LANES, &tables,
                      panel->tiles + group * n_tiles * LUTRA_TILE_LANES, sums);
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        vst1q_s32(panel->sums + 4 * q, sums[q]);
    for (size_t k = layout->k; k < layout->k_padded; k++)
        for (size_t output = 0; output < LUTRA_PANEL; output++)
            panel->sums[output] -= panel->tiles[lutra_tile_byte_i8(k, output)];
}

#define BITS(bits, n_tiles, n_vectors)                                                                       \
    case bits:                                                                                               \
        unpack(bits, n_tiles, n_vectors, layout, block, codebook, panel);                                    \
        return;

void lutra_unpack_panel_i8_neon(const lutra_index_layout *layout, const uint8_t *block,
                                const int8_t *codebook, lutra_panel_i8 *panel)
{
    switch (layout->bits) {
        BITS(1, 8, 1)
        BITS(2, 4, 1)
        BITS(3, 8, 3)
        BITS(4, 2, 1)
        BITS(5, 8, 5)
        BITS(6, 4, 3)
        BITS(7, 8, 7)
        BITS(8, 1, 1)
    }
}
