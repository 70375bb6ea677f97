/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Armv8.0 multiplies bytes into 16 bits. Activations less 128 and weights are at most 128 * 127, so two
 * products can be added there, of two tiles, before their pairs are added to sums in 32 bits: 16
 * multiply-adds take three instructions. Each output has two sums, of the even and of the odd pairs of
 * inputs.
 */
#include <arm_neon.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define TILE_ROWS 2
#define QUARTERS 4 /* of a tile: 4 outputs each */
#define HALVES 2   /* of a quarter: 2 outputs each */
#define QUARTER 16 /* bytes */

/* Four activations less 128, four times; 0 for inputs from n on. */
LUTRA_INLINE int8x16_t four_activations(const uint8_t *a, size_t n)
{
    const uint32_t used = n >= 4 ? ~(uint32_t)0 : ((uint32_t)1 << 8 * n) - 1;
    uint32_t four;
    memcpy(&four, a, sizeof four);
    return vreinterpretq_s8_u32(vdupq_n_u32((four ^ 0x80808080u) & used));
}

/* The tiles from input l on, as many as n_tiles, 1 or 2; `n` of their inputs count. */
LUTRA_INLINE void add_tiles(const size_t m, const size_t n_tiles, size_t n, const uint8_t *a, size_t lda,
                            const int8_t *tiles, int32x4_t sum[TILE_ROWS][QUARTERS][HALVES])
{
    int8x16_t x[TILE_ROWS][2];
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t t = 0; t < n_tiles; t++)
        x[i][t] = four_activations(a + i * lda + t * LUTRA_TILE_INPUTS, n - t * LUTRA_TILE_INPUTS);
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        int8x16_t w[2];
        LUTRA_UNROLL
        for (size_t t = 0; t < n_tiles; t++)
            w[t] = vld1q_s8(tiles + t * LUTRA_TILE_LANES + q * QUARTER);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            int16x8_t low = vmull_s8(vget_low_s8(x[i][0]), vget_low_s8(w[0]));
            int16x8_t high = vmull_high_s8(x[i][0], w[0]);
            if (n_tiles == 2) {
                low = vmlal_s8(low, vget_low_s8(x[i][1]), vget_low_s8(w[1]));
                high = vmlal_high_s8(high, x[i][1], w[1]);
            }
            sum[i][q][0] = vpadalq_s16(sum[i][q][0], low);
            sum[i][q][1] = vpadalq_s16(sum[i][q][1], high);
        }
    }
}

LUTRA_INLINE void multiply_tile(const size_t m, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panel, float *c, size_t ldc)
{
    const int8_t *tiles = panel->tiles;
    int32x4_t sum[TILE_ROWS][QUARTERS][HALVES];
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        sum[i][q][0] = sum[i][q][1] = vdupq_n_s32(0);
    for (; k >= 2 * LUTRA_TILE_INPUTS; k -= 2 * LUTRA_TILE_INPUTS) {
        add_tiles(m, 2, 2 * LUTRA_TILE_INPUTS, a, lda, tiles, sum);
        a += 2 * LUTRA_TILE_INPUTS;
        tiles += 2 * LUTRA_TILE_LANES;
    }
    if (k > LUTRA_TILE_INPUTS)
        add_tiles(m, 2, k, a, lda, tiles, sum);
    else if (k > 0)
        add_tiles(m, 1, k, a, lda, tiles, sum);
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        const int32x4_t of_weights = vld1q_s32(panel->sums + 4 * q);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const int32x4_t exact =
                vmlaq_n_s32(vpaddq_s32(sum[i][q][0], sum[i][q][1]), of_weights, 128 - rows[i].zero);
            vst1q_f32(c + i * ldc + 4 * q, vmulq_n_f32(vcvtq_f32_s32(exact), rows[i].scale));
        }
    }
}

void lutra_multiply_i8_neon(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                            size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    for (size_t p = 0; p < n_panels; p++) {
        float *columns = c + p * LUTRA_PANEL;
        size_t i = 0;
        for (; i + TILE_ROWS <= m; i += TILE_ROWS)
            multiply_tile(TILE_ROWS, k, a + i * lda, lda, rows + i, &panels[p], columns + i * ldc, ldc);
        if (i < m)
            multiply_tile(1, k, a + i * lda, lda, rows + i, &panels[p], columns + i * ldc, ldc);
    }
}
