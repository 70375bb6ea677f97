/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of floats for the kernels that are written once for all levels: AVX-512 F. */
#ifndef LUTRA_KERNELS_VECTOR_H
#define LUTRA_KERNELS_VECTOR_H

#include <immintrin.h>
#include <stddef.h>

#include "kernels/vector/unroll.h"

#define LUTRA_OF_LEVEL(name) lutra_##name##_avx512
#define VECTOR_WIDTH ((size_t)16)
typedef __m512 vector;

LUTRA_INLINE vector v_set(float x)
{
    return _mm512_set1_ps(x);
}

LUTRA_INLINE vector v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

LUTRA_INLINE void v_store(float *p, vector a)
{
    _mm512_storeu_ps(p, a);
}

/* The first n < 16 of them; the others are not touched in memory and are 0 in the register. */
LUTRA_INLINE vector v_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

LUTRA_INLINE void v_store_part(float *p, vector a, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}

LUTRA_INLINE vector v_add(vector a, vector b)
{
    return _mm512_add_ps(a, b);
}

LUTRA_INLINE vector v_subtract(vector a, vector b)
{
    return _mm512_sub_ps(a, b);
}

LUTRA_INLINE vector v_multiply(vector a, vector b)
{
    return _mm512_mul_ps(a, b);
}

LUTRA_INLINE vector v_divide(vector a, vector b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c, rounded once. */
LUTRA_INLINE vector v_multiply_add(vector a, vector b, vector c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a * b, rounded once. */
LUTRA_INLINE vector v_subtract_product(vector c, vector a, vector b)
{
    return _mm512_fnmadd_ps(a, b, c);
}

LUTRA_INLINE vector v_max(vector a, vector b)
{
    return _mm512_max_ps(a, b);
}

LUTRA_INLINE vector v_min(vector a, vector b)
{
    return _mm512_min_ps(a, b);
}

LUTRA_INLINE vector v_absolute(vector a)
{
    return _mm512_abs_ps(a);
}

/* a * 2^n, where n is the whole number in the low 9 bits of `bits`, if the result is no denormal. */
LUTRA_INLINE vector v_add_to_exponent(vector a, vector bits)
{
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(bits), 23)));
}

LUTRA_INLINE float v_sum(vector a)
{
    return _mm512_reduce_add_ps(a);
}

LUTRA_INLINE float v_largest(vector a)
{
    return _mm512_reduce_max_ps(a);
}

#endif
