/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usmmla multiplies two rows of unsigned activations with two outputs' signed weights, eight inputs of each,
 * and so wants both in pairs (pair_i8.h). 3 pairs of rows x 8 pairs of outputs: 24 sums, two vectors of
 * activations for each pair of rows and two of weights are NEON's 32 registers.
 */
#include <arm_neon.h>

#include "base/size.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define TILE_PAIRS 3
#define OUTPUT_PAIRS (LUTRA_PANEL / 2)
#define STEP ((size_t)32) /* inputs of a turn of the loop */
#define INPUTS ((size_t)8)
#define VECTOR ((size_t)16) /* bytes */

/* Products of 2 rows and 2 outputs. As assembly because GCC 12 moves sums of the intrinsic through memory in
 * a tile that fills the registers. */
LUTRA_INLINE int32x4_t add_products(int32x4_t sum, uint8x16_t x, int8x16_t w)
{
    __asm__("usmmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
    return sum;
}

/* The exact sums of one row and 4 outputs, scaled. */
LUTRA_INLINE void store_4(int64x2_t sums, int32x4_t of_weights, const lutra_row_i8 *row, float *c)
{
    const int32x4_t exact = vmlsq_n_s32(vreinterpretq_s32_s64(sums), of_weights, row->zero);
    vst1q_f32(c, vmulq_n_f32(vcvtq_f32_s32(exact), row->scale));
}

/* Called with a constant for m, the rows: all loops but that over k vanish, and `sum` lives in registers. */
LUTRA_INLINE void multiply_tile(const size_t m, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panel, float *c, size_t ldc)
{
    const size_t n_pairs = (m + 1) / 2;
    const int8_t *tiles = panel->tiles;
    const uint8_t *pair[TILE_PAIRS];
    int32x4_t sum[TILE_PAIRS][OUTPUT_PAIRS];
    LUTRA_UNROLL
    for (size_t i = 0; i < n_pairs; i++) {
        pair[i] = a + 2 * i * lda;
        LUTRA_UNROLL
        for (size_t j = 0; j < OUTPUT_PAIRS; j++)
            sum[i][j] = vdupq_n_s32(0);
    }
    for (size_t l = 0; l < k; l += STEP, tiles += STEP * LUTRA_PANEL) {
        uint8x16_t x[TILE_PAIRS][2];
        LUTRA_UNROLL
        for (size_t v = 0; v < STEP / INPUTS * OUTPUT_PAIRS; v += 2) {
            if (v % (2 * OUTPUT_PAIRS) == 0) {
                LUTRA_UNROLL
                for (size_t i = 0; i < n_pairs; i++) {
                    x[i][0] = vld1q_u8(pair[i]);
                    x[i][1] = vld1q_u8(pair[i] + VECTOR);
                    pair[i] += 2 * VECTOR;
                }
            }
            const int8x16_t w[2] = {vld1q_s8(tiles + v * VECTOR), vld1q_s8(tiles + (v + 1) * VECTOR)};
            LUTRA_UNROLL
            for (size_t j = 0; j < 2; j++) {
                LUTRA_UNROLL
                for (size_t i = 0; i < n_pairs; i++)
                    sum[i][v % OUTPUT_PAIRS + j] =
                        add_products(sum[i][v % OUTPUT_PAIRS + j], x[i][v / OUTPUT_PAIRS % 2], w[j]);
            }
        }
    }
    LUTRA_UNROLL
    for (size_t j = 0; j < OUTPUT_PAIRS; j += 2) {
        const int32x4_t of_weights = vld1q_s32(panel->sums + 2 * j);
        LUTRA_UNROLL
        for (size_t i = 0; i < n_pairs; i++) {
            const int64x2_t low = vreinterpretq_s64_s32(sum[i][j]);
            const int64x2_t high = vreinterpretq_s64_s32(sum[i][j + 1]);
            float *at = c + 2 * i * ldc + 2 * j;
            store_4(vzip1q_s64(low, high), of_weights, &rows[2 * i], at);
            if (2 * i + 1 < m)
                store_4(vzip2q_s64(low, high), of_weights, &rows[2 * i + 1], at + ldc);
        }
    }
}

#include "kernels/gemm/multiply_rows_i8.h"

/* The pairs of rows in parts as even as possible. */
void lutra_multiply_pairs_i8_i8mm(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                                  size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const size_t n_pairs = lutra_divide_up(m, 2), n_parts = lutra_divide_up(n_pairs, TILE_PAIRS);
    for (size_t p = 0; p < n_panels; p++)
        for (size_t part = 0; part < n_parts; part++) {
            const size_t i = 2 * (n_pairs * part / n_parts), end = 2 * (n_pairs * (part + 1) / n_parts);
            multiply_rows((end < m ? end : m) - i, k, a + i * lda, lda, rows + i, &panels[p],
                          c + i * ldc + p * LUTRA_PANEL, ldc);
        }
}
