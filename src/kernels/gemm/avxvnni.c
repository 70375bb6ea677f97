/* SPDX-License-Identifier: Apache-2.0 */
/* 6 x 16: 12 sums, two vectors of weights and the broadcast activations fill 15 of 16 registers. */
#include <immintrin.h>
#include <string.h>

#include "base/size.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define MAX_ROWS 6
#define BASE_ROWS 3
#define N_BASES ((MAX_ROWS + BASE_ROWS - 1) / BASE_ROWS)
#define HALVES 2 /* of a panel: 8 outputs each */

/* sum += four products of unsigned a and signed w in each double word. As assembly because GCC 12 moves the
 * sums of the intrinsic through memory; where the instruction is emulated there is none. */
#if defined(LUTRA_EMULATED)
#define dot _mm256_dpbusd_epi32
#else
LUTRA_INLINE __m256i dot(__m256i sum, __m256i a, __m256i w)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w));
    return sum;
}
#endif

LUTRA_INLINE __m256i four_activations(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Called with a constant for m: all loops but that over k vanish, and `sum` lives in registers. */
LUTRA_INLINE void multiply_tile(const size_t m, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panel, float *c, size_t ldc)
{
    const uint8_t *base[N_BASES]; /* every BASE_ROWS-th row: x86 addresses base + {0, 1, 2} * lda */
    __m256i sum[MAX_ROWS][HALVES];
    LUTRA_UNROLL
    for (size_t i = 0; i < N_BASES; i++)
        base[i] = a + (i * BASE_ROWS < m ? i * BASE_ROWS * lda : 0);
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_si256();
    for (size_t l = 0; l < k; l += LUTRA_TILE_INPUTS) {
        const __m256i *w = (const __m256i *)(const void *)(panel->tiles + l * LUTRA_PANEL);
        const __m256i low = _mm256_load_si256(w), high = _mm256_load_si256(w + 1);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m256i x = four_activations(base[i / BASE_ROWS] + i % BASE_ROWS * lda + l);
            sum[i][0] = dot(sum[i][0], x, low);
            sum[i][1] = dot(sum[i][1], x, high);
        }
    }
    LUTRA_UNROLL
    for (size_t half = 0; half < HALVES; half++) {
        const __m256i of_weights = _mm256_loadu_si256((const __m256i_u *)(panel->sums + 8 * half));
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(rows[i].zero), of_weights);
            const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i][half], zero));
            _mm256_storeu_ps(c + i * ldc + 8 * half, _mm256_mul_ps(exact, _mm256_set1_ps(rows[i].scale)));
        }
    }
}

#include "kernels/gemm/multiply_rows_i8.h"

void lutra_multiply_i8_avxvnni(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                               size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const size_t n_parts = lutra_divide_up(m, MAX_ROWS);
    for (size_t p = 0; p < n_panels; p++)
        for (size_t part = 0; part < n_parts; part++) {
            const size_t row = m * part / n_parts, n = m * (part + 1) / n_parts - row;
            multiply_rows(n, k, a + row * lda, lda, rows + row, &panels[p], c + row * ldc + p * LUTRA_PANEL,
                          ldc);
        }
}
