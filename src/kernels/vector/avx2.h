/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of floats for the kernels that are written once for all levels: AVX2 and FMA. */
#ifndef LUTRA_KERNELS_VECTOR_H
#define LUTRA_KERNELS_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/vector/unroll.h"

#define LUTRA_OF_LEVEL(name) lutra_##name##_avx2
#define VECTOR_WIDTH ((size_t)8)
typedef __m256 vector;

LUTRA_INLINE vector v_set(float x)
{
    return _mm256_set1_ps(x);
}

LUTRA_INLINE vector v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

LUTRA_INLINE void v_store(float *p, vector a)
{
    _mm256_storeu_ps(p, a);
}

LUTRA_INLINE __m256i v_first(size_t n)
{
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i_u *)(mask + 8 - n));
}

/* The first n < 8 of them; the others are not touched in memory and are 0 in the register. */
LUTRA_INLINE vector v_load_part(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, v_first(n));
}

LUTRA_INLINE void v_store_part(float *p, vector a, size_t n)
{
    _mm256_maskstore_ps(p, v_first(n), a);
}

LUTRA_INLINE vector v_add(vector a, vector b)
{
    return _mm256_add_ps(a, b);
}

LUTRA_INLINE vector v_subtract(vector a, vector b)
{
    return _mm256_sub_ps(a, b);
}

LUTRA_INLINE vector v_multiply(vector a, vector b)
{
    return _mm256_mul_ps(a, b);
}

LUTRA_INLINE vector v_divide(vector a, vector b)
{
    return _mm256_div_ps(a, b);
}

/* a * b + c, rounded once. */
LUTRA_INLINE vector v_multiply_add(vector a, vector b, vector c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* c - a * b, rounded once. */
LUTRA_INLINE vector v_subtract_product(vector c, vector a, vector b)
{
    return _mm256_fnmadd_ps(a, b, c);
}

LUTRA_INLINE vector v_max(vector a, vector b)
{
    return _mm256_max_ps(a, b);
}

LUTRA_INLINE vector v_min(vector a, vector b)
{
    return _mm256_min_ps(a, b);
}

LUTRA_INLINE vector v_absolute(vector a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

/* a * 2^n, where n is the whole number in the low 9 bits of `bits`, if the result is no denormal. */
LUTRA_INLINE vector v_add_to_exponent(vector a, vector bits)
{
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(bits), 23)));
}

LUTRA_INLINE float v_sum(vector a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

LUTRA_INLINE float v_largest(vector a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#endif
