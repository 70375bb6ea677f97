/* SPDX-License-Identifier: Apache-2.0 */
/* 14 x 32: 28 sums, two vectors of weights and the broadcast activations fill 31 of 32 registers. */
#include <immintrin.h>

#include "kernels/gemm/bf16_avx512.h"
#include "kernels/table.h"

#define TILE_ROWS 14
#define TILE_PANELS 2
#define BASE_ROWS 5
#define N_BASES ((TILE_ROWS + BASE_ROWS - 1) / BASE_ROWS)

/* Called with constants for m and n_panels: all loops but that over k vanish, and `sum` lives in registers.
 */
LUTRA_INLINE void multiply_tile(const size_t m, const size_t n_panels, size_t n_pairs, const uint32_t *a,
                                size_t lda, const uint32_t *panels, size_t panel_stride, float *c, size_t ldc)
{
    const uint32_t *base[N_BASES];
    __m512 sum[TILE_ROWS][TILE_PANELS];
    LUTRA_UNROLL
    for (size_t i = 0; i < N_BASES; i++)
        base[i] = a + (i * BASE_ROWS < m ? i * BASE_ROWS * lda : 0);
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++)
        sum[i][j] = _mm512_setzero_ps();
    for (size_t l = 0; l < n_pairs; l++) {
        __m512i w[TILE_PANELS];
        LUTRA_UNROLL
        for (size_t j = 0; j < n_panels; j++)
            w[j] = _mm512_loadu_si512(panels + j * panel_stride + l * LUTRA_PANEL);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i x = _mm512_set1_epi32((int)base[i / BASE_ROWS][i % BASE_ROWS * lda + l]);
            LUTRA_UNROLL
            for (size_t j = 0; j < n_panels; j++)
                sum[i][j] = lutra_dot_bf16(sum[i][j], x, w[j]);
        }
    }
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++)
        _mm512_storeu_ps(c + i * ldc + j * LUTRA_PANEL, sum[i][j]);
}

#define ROWS(m, n_panels)                                                                                    \
    case m:                                                                                                  \
        multiply_tile(m, n_panels, n_pairs, a, lda, panels, panel_stride, c, ldc);                           \
        return;
#include "kernels/gemm/all_rows_avx512.h"

void lutra_multiply_bf16_avx512bf16(size_t m, size_t n_pairs, const uint32_t *a, size_t lda, size_t n_panels,
                                    const uint32_t *panels, size_t panel_stride, float *c, size_t ldc)
{
    if (n_panels == 1)
        switch (m) {
            ALL_ROWS(1)
        }
    switch (m) {
        ALL_ROWS(2)
    }
}
