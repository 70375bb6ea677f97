/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"
#include "kernels/vector/avx2.h"

/* As lutra_bits_of_bf16. */
LUTRA_INLINE vector rounded(vector x)
{
    const __m256i bits = _mm256_castps_si256(x), upper = _mm256_set1_epi32((int)0xffff0000u);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256 no_number = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256 quiet = _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x00400000)));
    const __m256 result = _mm256_and_ps(_mm256_blendv_ps(_mm256_castsi256_ps(nearest), quiet, no_number),
                                        _mm256_castsi256_ps(upper));
    const __m256 normal = _mm256_cmp_ps(v_absolute(x), v_set(0x1p-126f), _CMP_NLT_UQ);
    return _mm256_and_ps(result, _mm256_or_ps(normal, v_set(-0.0f)));
}

void lutra_round_bf16_avx2(size_t n, const float *x, float *out)
{
    size_t i = 0;
    for (; i + VECTOR_WIDTH <= n; i += VECTOR_WIDTH)
        v_store(out + i, rounded(v_load(x + i)));
    if (i < n)
        v_store_part(out + i, rounded(v_load_part(x + i, n - i)), n - i);
}
