/* SPDX-License-Identifier: Apache-2.0 */
/* 14 x 32: 28 sums, two vectors of weights and the broadcast activations fill 31 of 32 registers. */
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define BASE_ROWS 5
#define N_BASES ((LUTRA_TILE_ROWS_I8 + BASE_ROWS - 1) / BASE_ROWS)

/* sum += four products of unsigned a and signed w in each double word. As assembly because GCC 12 moves the
 * sums of the intrinsic through memory in a tile this large; where the instruction is emulated there is none.
 */
#if defined(LUTRA_EMULATED)
#define dot _mm512_dpbusd_epi32
#else
LUTRA_INLINE __m512i dot(__m512i sum, __m512i a, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
}
#endif

LUTRA_INLINE __m512i four_activations(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Called with constants for m and n_panels: all loops but that over k vanish, and `sum` lives in registers.
 */
LUTRA_INLINE void multiply_tile(const size_t m, const size_t n_panels, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const uint8_t *base[N_BASES];
    const int8_t *tiles[LUTRA_TILE_PANELS_I8];
    __m512i sum[LUTRA_TILE_ROWS_I8][LUTRA_TILE_PANELS_I8];
    LUTRA_UNROLL
    for (size_t i = 0; i < N_BASES; i++)
        base[i] = a + (i * BASE_ROWS < m ? i * BASE_ROWS * lda : 0);
    LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++)
        tiles[j] = panels[j].tiles;
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++)
        sum[i][j] = _mm512_setzero_si512();
    for (size_t l = 0; l < k; l += LUTRA_TILE_INPUTS) {
        __m512i w[LUTRA_TILE_PANELS_I8];
        LUTRA_UNROLL
        for (size_t j = 0; j < n_panels; j++)
            w[j] = _mm512_load_si512(tiles[j] + l * LUTRA_PANEL);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i x = four_activations(base[i / BASE_ROWS] + i % BASE_ROWS * lda + l);
            LUTRA_UNROLL
            for (size_t j = 0; j < n_panels; j++)
                sum[i][j] = dot(sum[i][j], x, w[j]);
        }
    }
    LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++) {
        const __m512i of_weights = _mm512_loadu_si512(panels[j].sums);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i zero = _mm512_mullo_epi32(_mm512_set1_epi32(rows[i].zero), of_weights);
            const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[i][j], zero));
            _mm512_storeu_ps(c + i * ldc + j * LUTRA_PANEL,
                             _mm512_mul_ps(exact, _mm512_set1_ps(rows[i].scale)));
        }
    }
}

#define ROWS(m, n_panels)                                                                                    \
    case m:                                                                                                  \
        multiply_tile(m, n_panels, k, a, lda, rows, panels, c, ldc);                                         \
        return;
#include "kernels/gemm/all_rows_avx512.h"

void lutra_multiply_i8_avx512vnni(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                                  size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    if (n_panels == 1)
        switch (m) {
            ALL_ROWS(1)
        }
    switch (m) {
        ALL_ROWS(2)
    }
}
