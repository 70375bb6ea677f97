/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of packed indices: where a tile of a group lies in them. */
#ifndef LUTRA_KERNELS_GEMM_INDEX_VECTORS_AVX512_H
#define LUTRA_KERNELS_GEMM_INDEX_VECTORS_AVX512_H

#include <immintrin.h>

#include "kernels/vector/unroll.h"

LUTRA_INLINE __m512i lutra_shift_right(__m512i x, const int n)
{
    return n > 0 ? _mm512_srli_epi32(x, (unsigned)n) : n < 0 ? _mm512_slli_epi32(x, (unsigned)-n) : x;
}

/* x where `mask` has ones, y elsewhere. */
LUTRA_INLINE __m512i select_bits(__m512i mask, __m512i x, __m512i y)
{
    return _mm512_ternarylogic_epi32(mask, x, y, 0xca);
}

/* Tile t of a group, each byte's index in its low bits. Tiles beyond the whole fields are put together from
 * the spare top bits of several vectors. */
LUTRA_INLINE __m512i lutra_indices_of_tile(const unsigned bits, const unsigned n_vectors,
                                           const __m512i *vectors, const unsigned t)
{
    const unsigned fields = 8 / bits, spare = 8 - fields * bits;
    if (t < fields * n_vectors)
        return lutra_shift_right(vectors[t / fields], (int)(bits * (t % fields)));
    const unsigned first = (t - fields * n_vectors) * bits; /* spare bit */
    __m512i index = _mm512_setzero_si512();
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++) {
        const unsigned begin = v * spare > first ? v * spare : first;
        if (begin >= (v + 1) * spare || begin >= first + bits)
            continue;
        const int to = (int)(begin - first), from = (int)(fields * bits + begin - v * spare);
        const __m512i bits_here = lutra_shift_right(vectors[v], from - to);
        const __m512i below = _mm512_set1_epi8((char)((1 << to) - 1));
        index = to == 0 ? bits_here : select_bits(below, index, bits_here);
    }
    return index;
}

#endif
