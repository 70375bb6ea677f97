/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

LUTRA_INLINE __m512 load_part(const float *x, size_t n)
{
    return n >= 16 ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
}

/* Rounded and shifted; what is no number becomes the least integer and then 0, as the reference has it. */
LUTRA_INLINE __m512i quantise(__m512 x, __m512 inverse, __m512i zero)
{
    return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)), zero);
}

void lutra_quantise_row_i8_avx512(size_t k, size_t padded, const float *x, uint8_t *out, lutra_row_i8 *row)
{
    /* Packing goes by 128-bit lanes: double words come out in this order. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512 low = _mm512_setzero_ps(), high = low, difference = low;
    float inverse;
    for (size_t i = 0; i < k; i += 16) {
        const __m512 v = load_part(x + i, k - i);
        low = _mm512_min_ps(v, low);
        high = _mm512_max_ps(v, high);
        difference = _mm512_add_ps(difference, _mm512_sub_ps(v, v)); /* 0, or not a number for ever */
    }
    const bool finite = _mm512_cmp_ps_mask(difference, difference, _CMP_UNORD_Q) == 0;
    *row = lutra_row_i8_of(_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high), finite, &inverse);
    const __m512 factor = _mm512_set1_ps(inverse);
    const __m512i zero = _mm512_set1_epi32(row->zero);
    for (size_t i = 0; i < padded; i += 64) {
        __m512i v[4];
        LUTRA_UNROLL
        for (size_t j = 0; j < 4; j++)
            v[j] = quantise(load_part(x + i + 16 * j, k > i + 16 * j ? k - i - 16 * j : 0), factor, zero);
        const __m512i packed =
            _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
        const size_t n = k - i;
        const __mmask64 used = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
        _mm512_store_si512(out + i,
                           _mm512_maskz_mov_epi8(finite ? used : 0, _mm512_permutexvar_epi32(order, packed)));
    }
}
