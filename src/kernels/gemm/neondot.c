/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdot multiplies signed bytes: activations are taken less 128, and 128 times the sums of the weights is
 * added again. 6 x 16: 24 sums, 16 inputs of each of 6 rows and two vectors of weights are NEON's 32
 * registers.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/size.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define TILE_ROWS 6
#define QUARTERS 4        /* of a tile: 4 outputs each */
#define QUARTER 16        /* bytes */
#define STEP ((size_t)16) /* inputs that one vector of activations brings: 4 tiles */

/* sum += the products of four inputs, x[4 * lane..] and those of four outputs. As assembly because GCC 12
 * moves sums of the intrinsic through memory in a tile that fills the registers. */
LUTRA_INLINE int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t x, const size_t lane)
{
    switch (lane) {
    case 0:
        __asm__("sdot %0.4s, %1.16b, %2.4b[0]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    case 1:
        __asm__("sdot %0.4s, %1.16b, %2.4b[1]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    case 2:
        __asm__("sdot %0.4s, %1.16b, %2.4b[2]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    default:
        __asm__("sdot %0.4s, %1.16b, %2.4b[3]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    }
}

/* 128 in every byte, anew at each use: it would take a register away from the sums. */
LUTRA_INLINE uint8x16_t offset(void)
{
    uint8x16_t bytes;
    __asm__ volatile("movi %0.16b, #128" : "=w"(bytes));
    return bytes;
}

/* Four activations less 128; 0 for inputs from n on. */
LUTRA_INLINE int8x16_t last_activations(const uint8_t *a, size_t n)
{
    const uint32_t used = n >= 4 ? ~(uint32_t)0 : ((uint32_t)1 << 8 * n) - 1;
    uint32_t four;
    memcpy(&four, a, sizeof four);
    return vreinterpretq_s8_u32(vdupq_n_u32((four ^ 0x80808080u) & used));
}

/* Called with a constant for m: all loops but those over k vanish, and `sum` lives in registers. */
LUTRA_INLINE void multiply_tile(const size_t m, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panel, float *c, size_t ldc)
{
    const int8_t *tiles = panel->tiles;
    const uint8_t *row[TILE_ROWS];
    int32x4_t sum[TILE_ROWS][QUARTERS];
    size_t l = 0;
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        row[i] = a + i * lda;
        LUTRA_UNROLL
        for (size_t q = 0; q < QUARTERS; q++)
            sum[i][q] = vdupq_n_s32(0);
    }
    for (; l + STEP <= k; l += STEP, tiles += STEP * LUTRA_PANEL) {
        int8x16_t x[TILE_ROWS];
        const uint8x16_t sign = offset();
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++)
            x[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(row[i] + l), sign));
        int8x16_t w = vld1q_s8(tiles);
        LUTRA_UNROLL
        for (size_t v = 0; v < STEP; v++) {
            /* The next weights are on their way while these are used: in-order cores wait for no load. */
            const int8x16_t next = v + 1 < STEP ? vld1q_s8(tiles + (v + 1) * QUARTER) : w;
            LUTRA_UNROLL
            for (size_t i = 0; i < m; i++)
                sum[i][v % QUARTERS] = add_products(sum[i][v % QUARTERS], w, x[i], v / QUARTERS);
            w = next;
        }
    }
    for (; l < k; l += LUTRA_TILE_INPUTS, tiles += LUTRA_TILE_LANES)
        LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        const int8x16_t x = last_activations(row[i] + l, k - l);
        LUTRA_UNROLL
        for (size_t q = 0; q < QUARTERS; q++)
            sum[i][q] = add_products(sum[i][q], vld1q_s8(tiles + q * QUARTER), x, 0);
    }
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        const int32x4_t of_weights = vld1q_s32(panel->sums + 4 * q);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const int32x4_t exact = vmlaq_n_s32(sum[i][q], of_weights, 128 - rows[i].zero);
            vst1q_f32(c + i * ldc + 4 * q, vmulq_n_f32(vcvtq_f32_s32(exact), rows[i].scale));
        }
    }
}

#include "kernels/gemm/multiply_rows_i8.h"

/* The rows in parts as even as possible. */
void lutra_multiply_i8_neondot(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                               size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const size_t n_parts = lutra_divide_up(m, TILE_ROWS);
    for (size_t p = 0; p < n_panels; p++)
        for (size_t part = 0; part < n_parts; part++) {
            const size_t i = m * part / n_parts, n = m * (part + 1) / n_parts - i;
            multiply_rows(n, k, a + i * lda, lda, rows + i, &panels[p], c + i * ldc + p * LUTRA_PANEL, ldc);
        }
}
