/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define QUARTERS 4 /* of a tile: 4 outputs each */
#define QUARTER 16 /* bytes */

/* Four inputs of one tile and four of the next, side by side. */
LUTRA_INLINE void store_pair(const int32x4_t *first, const int32x4_t *second, int8_t *pair)
{
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        vst1q_s8(pair + 2 * q * QUARTER, vreinterpretq_s8_s32(vzip1q_s32(first[q], second[q])));
        vst1q_s8(pair + (2 * q + 1) * QUARTER, vreinterpretq_s8_s32(vzip2q_s32(first[q], second[q])));
    }
}

LUTRA_INLINE void load_tile(const int8_t *tile, int32x4_t *quarters)
{
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        quarters[q] = vreinterpretq_s32_s8(vld1q_s8(tile + q * QUARTER));
}

void lutra_pair_panel_i8_neon(size_t n_tiles, const int8_t *tiles, int8_t *pairs)
{
    int32x4_t first[QUARTERS], second[QUARTERS];
    size_t t = 0;
    for (; t + 2 <= n_tiles; t += 2) {
        load_tile(tiles + t * LUTRA_TILE_LANES, first);
        load_tile(tiles + (t + 1) * LUTRA_TILE_LANES, second);
        store_pair(first, second, pairs + t * LUTRA_TILE_LANES);
    }
    if (t < n_tiles) {
        load_tile(tiles + t * LUTRA_TILE_LANES, first);
        LUTRA_UNROLL
        for (size_t q = 0; q < QUARTERS; q++)
            second[q] = vdupq_n_s32(0);
        store_pair(first, second, pairs + t * LUTRA_TILE_LANES);
    }
}
