/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define STEP ((size_t)16) /* pixels in three 16-byte vectors */

#define NO 0x80
/* [channel][vector]: where in the vector the channel's byte of each of the 16 pixels lies, if it does. */
static const uint8_t shuffles[3][3][16] = {
    {{0, 3, 6, 9, 12, 15, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
     {NO, NO, NO, NO, NO, NO, 2, 5, 8, 11, 14, NO, NO, NO, NO, NO},
     {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 1, 4, 7, 10, 13}},
    {{1, 4, 7, 10, 13, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
     {NO, NO, NO, NO, NO, 0, 3, 6, 9, 12, 15, NO, NO, NO, NO, NO},
     {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 2, 5, 8, 11, 14}},
    {{2, 5, 8, 11, 14, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
     {NO, NO, NO, NO, NO, 1, 4, 7, 10, 13, NO, NO, NO, NO, NO, NO},
     {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 0, 3, 6, 9, 12, 15}},
};

LUTRA_INLINE void split(const uint8_t *pixels, const float *scale, const float *shift, float *out,
                        size_t plane)
{
    __m128i parts[3];
    LUTRA_UNROLL
    for (size_t i = 0; i < 3; i++)
        parts[i] = _mm_loadu_si128((const __m128i_u *)(pixels + 16 * i));
    LUTRA_UNROLL
    for (size_t c = 0; c < 3; c++) {
        const __m256 factor = _mm256_set1_ps(scale[c]), offset = _mm256_set1_ps(shift[c]);
        __m128i bytes = _mm_setzero_si128();
        LUTRA_UNROLL
        for (size_t i = 0; i < 3; i++) {
            const __m128i shuffle = _mm_loadu_si128((const __m128i_u *)shuffles[c][i]);
            bytes = _mm_or_si128(bytes, _mm_shuffle_epi8(parts[i], shuffle));
        }
        const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
        const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)));
        _mm256_storeu_ps(out + c * plane, _mm256_fmadd_ps(low, factor, offset));
        _mm256_storeu_ps(out + c * plane + 8, _mm256_fmadd_ps(high, factor, offset));
    }
}

void lutra_patch_row_f32_avx2(size_t n, const uint8_t *pixels, const float *scale, const float *shift,
                              float *out, size_t plane)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        split(pixels + 3 * i, scale, shift, out + i, plane);
    if (i < n) {
        uint8_t rest[3 * STEP] = {0};
        float values[3 * STEP];
        memcpy(rest, pixels + 3 * i, 3 * (n - i));
        split(rest, scale, shift, values, STEP);
        for (size_t c = 0; c < 3; c++)
            memcpy(out + c * plane + i, values + c * STEP, (n - i) * sizeof *out);
    }
}
