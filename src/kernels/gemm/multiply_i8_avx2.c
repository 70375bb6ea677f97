/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vpmaddubsw adds two products in 16 bits, which 255 * 127 + 255 * 127 exceeds. Split into their low seven
 * bits and the highest one, activations cannot: 2 * 127 * 127 and 2 * 128 * 127 fit.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define TILE_ROWS 4
#define HALVES 2 /* of a tile: 8 outputs each */

LUTRA_INLINE __m256i four_activations(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
}

/* sum += four products of unsigned a and signed w in each double word. */
LUTRA_INLINE __m256i dot(__m256i sum, __m256i low, __m256i high, __m256i w)
{
    const __m256i ones = _mm256_set1_epi16(1);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(low, w), ones));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(high, w), ones));
}

LUTRA_INLINE void multiply_tile(const size_t m, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panel, float *c, size_t ldc)
{
    __m256i sum[TILE_ROWS][HALVES];
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t j = 0; j < HALVES; j++)
        sum[i][j] = _mm256_setzero_si256();
    for (size_t l = 0; l < k; l += LUTRA_TILE_INPUTS) {
        const __m256i *w = (const __m256i *)(const void *)(panel->tiles + l * LUTRA_PANEL);
        const __m256i top = _mm256_set1_epi8((char)-128);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m256i x = four_activations(a + i * lda + l);
            const __m256i high = _mm256_and_si256(x, top), low = _mm256_andnot_si256(top, x);
            LUTRA_UNROLL
            for (size_t j = 0; j < HALVES; j++)
                sum[i][j] = dot(sum[i][j], low, high, _mm256_load_si256(w + j));
        }
    }
    LUTRA_UNROLL
    for (size_t j = 0; j < HALVES; j++) {
        const __m256i of_weights = _mm256_loadu_si256((const __m256i_u *)(panel->sums + 8 * j));
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(rows[i].zero), of_weights);
            const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i][j], zero));
            _mm256_storeu_ps(c + i * ldc + 8 * j, _mm256_mul_ps(exact, _mm256_set1_ps(rows[i].scale)));
        }
    }
}

void lutra_multiply_i8_avx2(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                            size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    for (size_t p = 0; p < n_panels; p++) {
        size_t i = 0;
        for (; i + TILE_ROWS <= m; i += TILE_ROWS)
            multiply_tile(TILE_ROWS, k, a + i * lda, lda, rows + i, &panels[p], c + i * ldc + p * LUTRA_PANEL,
                          ldc);
        for (; i < m; i++)
            multiply_tile(1, k, a + i * lda, lda, rows + i, &panels[p], c + i * ldc + p * LUTRA_PANEL, ldc);
    }
}
