/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions of AVX512_BF16, on the types that hold pairs of bf16 elsewhere. */
#ifndef LUTRA_KERNELS_GEMM_BF16_AVX512_H
#define LUTRA_KERNELS_GEMM_BF16_AVX512_H

#include <immintrin.h>

#include "kernels/vector/unroll.h"

/* As assembly because GCC 12 moves the sums of intrinsics through memory in a tile as large as can be; where
 * the instructions are emulated there is none. */
#if defined(LUTRA_EMULATED)
#define lutra_dot_bf16 emulated_dpbf16
#define lutra_to_bf16 emulated_cvtneps_bf16
#define lutra_two_to_bf16 emulated_cvtne2ps_bf16
#else
/* sum += the products of the upper halves, then those of the lower ones. */
LUTRA_INLINE __m512 lutra_dot_bf16(__m512 sum, __m512i a, __m512i w)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
}

/* 16 floats as bf16. */
LUTRA_INLINE __m256i lutra_to_bf16(__m512 x)
{
    __m256i result;
    __asm__("vcvtneps2bf16 %1, %0" : "=v"(result) : "v"(x));
    return result;
}

/* 32 floats as bf16, `low` in the lower half. */
LUTRA_INLINE __m512i lutra_two_to_bf16(__m512 high, __m512 low)
{
    __m512i result;
    __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(result) : "v"(high), "v"(low));
    return result;
}
#endif

/* Numbers that follow each other as pairs, whose first is in the upper half. */
LUTRA_INLINE __m512i lutra_neighbours_bf16(__m512 first, __m512 next)
{
    return _mm512_rol_epi32(lutra_two_to_bf16(next, first), 16);
}

/* The upper halves of both inputs' double words as pairs. */
LUTRA_INLINE __m512i lutra_pairs_of_bf16(__m512 first, __m512 second)
{
    const __m512i low = _mm512_cvtepu16_epi32(lutra_to_bf16(second));
    return _mm512_or_si512(_mm512_slli_epi32(_mm512_cvtepu16_epi32(lutra_to_bf16(first)), 16), low);
}

#endif
