/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

LUTRA_INLINE __m512 load_part(const float *x, size_t n)
{
    return n >= 16 ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
}

/* The least and the largest of a row, and whether all of it is finite. */
struct range {
    __m512 low, high, zero; /* `zero` is that, or not a number once any was not finite */
};

LUTRA_INLINE void widen(struct range *range, __m512 v)
{
    range->low = _mm512_min_ps(v, range->low);
    range->high = _mm512_max_ps(v, range->high);
    range->zero = _mm512_fmadd_ps(v, _mm512_setzero_ps(), range->zero);
}

/* In four parts, for each waits on itself for 4 cycles. */
static struct range range_of(size_t k, const float *x)
{
    struct range range[4];
    size_t i = 0;
    LUTRA_UNROLL
    for (size_t j = 0; j < 4; j++)
        range[j].low = range[j].high = range[j].zero = _mm512_setzero_ps();
    for (; i + 64 <= k; i += 64) {
        LUTRA_UNROLL
        for (size_t j = 0; j < 4; j++)
            widen(&range[j], _mm512_loadu_ps(x + i + 16 * j));
    }
    for (; i < k; i += 16)
        widen(&range[0], load_part(x + i, k - i));
    LUTRA_UNROLL
    for (size_t j = 1; j < 4; j++) {
        range[0].low = _mm512_min_ps(range[0].low, range[j].low);
        range[0].high = _mm512_max_ps(range[0].high, range[j].high);
        range[0].zero = _mm512_add_ps(range[0].zero, range[j].zero);
    }
    return range[0];
}

/* 64 bytes of the row, from float i on, of which `n` are there: rounded, then shifted. */
LUTRA_INLINE __m512i quantise_part(const float *x, size_t n, __m512 inverse, __m512i zero)
{
    /* Packing goes by 128-bit lanes: double words come out in this order. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i v[4];
    LUTRA_UNROLL
    for (size_t j = 0; j < 4; j++)
        v[j] = _mm512_cvtps_epi32(_mm512_mul_ps(load_part(x + 16 * j, n > 16 * j ? n - 16 * j : 0), inverse));
    const __m512i first = _mm512_add_epi16(_mm512_packs_epi32(v[0], v[1]), zero); /* within +-255 */
    const __m512i second = _mm512_add_epi16(_mm512_packs_epi32(v[2], v[3]), zero);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second));
}

void lutra_quantise_row_i8_avx512(size_t k, size_t padded, const float *x, uint8_t *out, lutra_row_i8 *row)
{
    const struct range range = range_of(k, x);
    const bool finite = _mm512_cmp_ps_mask(range.zero, range.zero, _CMP_UNORD_Q) == 0;
    float inverse;
    *row =
        lutra_row_i8_of(_mm512_reduce_min_ps(range.low), _mm512_reduce_max_ps(range.high), finite, &inverse);
    const __m512 factor = _mm512_set1_ps(inverse);
    const __m512i zero = _mm512_set1_epi16((short)row->zero);
    size_t i = 0;
    for (; finite && i + 64 <= k; i += 64)
        _mm512_store_si512(out + i, quantise_part(x + i, 64, factor, zero));
    for (; i < padded; i += 64) {
        const size_t n = finite && i < k ? k - i : 0;
        const __mmask64 used = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
        _mm512_store_si512(out + i, _mm512_maskz_mov_epi8(used, quantise_part(x + i, n, factor, zero)));
    }
}
