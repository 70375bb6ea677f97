/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"
#include "kernels/vector/avx2.h"

/* The first n of 8 floats, zeros behind. */
LUTRA_INLINE __m256 load_some(const float *x, size_t n)
{
    return n >= 8 ? v_load(x) : v_load_part(x, n);
}

/* The least and the largest of a row, and whether all of it is finite. */
struct range {
    __m256 low, high, zero; /* `zero` is that, or not a number once any was not finite */
};

LUTRA_INLINE void widen(struct range *range, __m256 v)
{
    range->low = _mm256_min_ps(v, range->low);
    range->high = _mm256_max_ps(v, range->high);
    range->zero = _mm256_fmadd_ps(v, _mm256_setzero_ps(), range->zero);
}

/* In four parts, for each waits on itself for 4 cycles. */
static struct range range_of(size_t k, const float *x)
{
    struct range range[4];
    size_t i = 0;
    LUTRA_UNROLL
    for (size_t j = 0; j < 4; j++)
        range[j].low = range[j].high = range[j].zero = _mm256_setzero_ps();
    for (; i + 32 <= k; i += 32) {
        LUTRA_UNROLL
        for (size_t j = 0; j < 4; j++)
            widen(&range[j], v_load(x + i + 8 * j));
    }
    for (; i < k; i += 8)
        widen(&range[0], load_some(x + i, k - i));
    LUTRA_UNROLL
    for (size_t j = 1; j < 4; j++) {
        range[0].low = _mm256_min_ps(range[0].low, range[j].low);
        range[0].high = _mm256_max_ps(range[0].high, range[j].high);
        range[0].zero = _mm256_add_ps(range[0].zero, range[j].zero);
    }
    return range[0];
}

static float least(__m256 a)
{
    return -v_largest(_mm256_sub_ps(_mm256_setzero_ps(), a));
}

/* 32 bytes of the row, from float i on, of which `n` are there: rounded, then shifted. */
LUTRA_INLINE __m256i quantise_part(const float *x, size_t n, __m256 inverse, __m256i zero)
{
    /* Packing goes by 128-bit lanes: double words come out in this order. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i v[4];
    LUTRA_UNROLL
    for (size_t j = 0; j < 4; j++)
        v[j] = _mm256_cvtps_epi32(_mm256_mul_ps(load_some(x + 8 * j, n > 8 * j ? n - 8 * j : 0), inverse));
    const __m256i first = _mm256_add_epi16(_mm256_packs_epi32(v[0], v[1]), zero); /* within +-255 */
    const __m256i second = _mm256_add_epi16(_mm256_packs_epi32(v[2], v[3]), zero);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
}

/* 255 for the first n of 32 bytes. */
static __m256i first_bytes(size_t n)
{
    const __m256i number = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
                                            19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    return _mm256_cmpgt_epi8(_mm256_set1_epi8((char)n), number);
}

void lutra_quantise_row_i8_avx2(size_t k, size_t padded, const float *x, uint8_t *out, lutra_row_i8 *row)
{
    const struct range range = range_of(k, x);
    const bool finite = _mm256_movemask_ps(_mm256_cmp_ps(range.zero, range.zero, _CMP_UNORD_Q)) == 0;
    float inverse;
    *row = lutra_row_i8_of(least(range.low), v_largest(range.high), finite, &inverse);
    const __m256 factor = _mm256_set1_ps(inverse);
    const __m256i zero = _mm256_set1_epi16((short)row->zero);
    size_t i = 0;
    for (; finite && i + 32 <= k; i += 32)
        _mm256_store_si256((__m256i *)(void *)(out + i), quantise_part(x + i, 32, factor, zero));
    for (; i < padded; i += 32) {
        const size_t n = finite && i < k ? k - i : 0;
        const __m256i bytes = n ? quantise_part(x + i, n, factor, zero) : _mm256_setzero_si256();
        _mm256_store_si256((__m256i *)(void *)(out + i), _mm256_and_si256(bytes, first_bytes(n)));
    }
}
