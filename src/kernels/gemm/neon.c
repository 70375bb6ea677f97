/* SPDX-License-Identifier: Apache-2.0 */
/* 6 x 16: 24 sums, four inputs of each of 6 rows and two vectors of weights are NEON's 32 registers. */
#include "kernels/vector/neon.h"

#include "kernels/gemm/finish_vector.h"
#include "kernels/table.h"

#define TILE_ROWS 6
#define PANEL_VECTORS (LUTRA_PANEL / 4)
#define STEP ((size_t)4) /* inputs that one vector of activations brings */

/* sum += w * x[lane], rounded once. As assembly because GCC 12 moves sums of the intrinsic through memory in
 * a tile that fills the registers. */
LUTRA_INLINE float32x4_t add_product(float32x4_t sum, float32x4_t w, float32x4_t x, const size_t lane)
{
    switch (lane) {
    case 0:
        __asm__("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    case 1:
        __asm__("fmla %0.4s, %1.4s, %2.s[1]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    case 2:
        __asm__("fmla %0.4s, %1.4s, %2.s[2]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    default:
        __asm__("fmla %0.4s, %1.4s, %2.s[3]" : "+w"(sum) : "w"(w), "w"(x));
        return sum;
    }
}

/* Called with a constant for m: all loops but those over k vanish, and `sum` lives in registers. */
LUTRA_INLINE void multiply_tile(const size_t m, size_t k, const float *a, size_t lda, const float *panel,
                                float *c, size_t ldc)
{
    float32x4_t sum[TILE_ROWS][PANEL_VECTORS];
    const float *row[TILE_ROWS];
    size_t l = 0;
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        row[i] = a + i * lda;
        LUTRA_UNROLL
        for (size_t j = 0; j < PANEL_VECTORS; j++)
            sum[i][j] = vdupq_n_f32(0);
    }
    for (; l + STEP <= k; l += STEP, panel += STEP * LUTRA_PANEL) {
        float32x4_t x[TILE_ROWS], w = vld1q_f32(panel);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++)
            x[i] = vld1q_f32(row[i] + l);
        LUTRA_UNROLL
        for (size_t v = 0; v < STEP * PANEL_VECTORS; v++) {
            /* The next weights are on their way while these are used: in-order cores wait for no load. */
            const float32x4_t next = v + 1 < STEP * PANEL_VECTORS ? vld1q_f32(panel + (v + 1) * 4) : w;
            LUTRA_UNROLL
            for (size_t i = 0; i < m; i++)
                sum[i][v % PANEL_VECTORS] =
                    add_product(sum[i][v % PANEL_VECTORS], w, x[i], v / PANEL_VECTORS);
            w = next;
        }
    }
    for (; l < k; l++, panel += LUTRA_PANEL)
        LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        const float32x4_t x = vdupq_n_f32(row[i][l]);
        LUTRA_UNROLL
        for (size_t j = 0; j < PANEL_VECTORS; j++)
            sum[i][j] = add_product(sum[i][j], vld1q_f32(panel + j * 4), x, 0);
    }
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t j = 0; j < PANEL_VECTORS; j++)
        vst1q_f32(c + i * ldc + j * 4, sum[i][j]);
}

#define ROWS(m)                                                                                              \
    case m:                                                                                                  \
        multiply_tile(m, k, a, lda, panels, c, ldc);                                                         \
        return;

void lutra_multiply_f32_neon(size_t m, size_t k, const float *a, size_t lda, size_t n_panels,
                             const float *panels, size_t panel_stride, float *c, size_t ldc)
{
    (void)n_panels; /* 1 */
    (void)panel_stride;
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
    }
}
