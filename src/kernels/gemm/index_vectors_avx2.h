/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What unpacking for AVX2 has in common: the indices of half a tile, 8 outputs x 4 inputs, one to a byte, and
 * their look-up among bytes.
 */
#ifndef LUTRA_KERNELS_INDEX_VECTORS_AVX2_H
#define LUTRA_KERNELS_INDEX_VECTORS_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/vector/unroll.h"

#define LUTRA_MAX_BYTE_TABLES 16

LUTRA_INLINE __m256i lutra_shift_right(__m256i x, const int n)
{
    return n > 0 ? _mm256_srli_epi32(x, n) : n < 0 ? _mm256_slli_epi32(x, -n) : x;
}

/* Half of tile t of a group, each byte's index in its low bits, anything above. Tiles beyond the whole fields
 * are put together from the spare top bits of several vectors. */
LUTRA_INLINE __m256i lutra_indices_of_half(const unsigned bits, const unsigned n_vectors,
                                           const __m256i *vectors, const unsigned t)
{
    const unsigned fields = 8 / bits, spare = 8 - fields * bits;
    if (t < fields * n_vectors)
        return lutra_shift_right(vectors[t / fields], (int)(bits * (t % fields)));
    const unsigned first = (t - fields * n_vectors) * bits; /* spare bit */
    __m256i index = _mm256_setzero_si256();
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++) {
        const unsigned begin = v * spare > first ? v * spare : first;
        if (begin >= (v + 1) * spare || begin >= first + bits)
            continue;
        const unsigned end = (v + 1) * spare < first + bits ? (v + 1) * spare : first + bits;
        const int to = (int)(begin - first), from = (int)(fields * bits + begin - v * spare);
        const __m256i mask = _mm256_set1_epi8((char)(((1 << (end - begin)) - 1) << to));
        index = _mm256_or_si256(index, _mm256_and_si256(lutra_shift_right(vectors[v], from - to), mask));
    }
    return index;
}

/* 16 entries to a table. A table is kept as its difference (exclusive or) from the one before, but for every
 * eighth, so that a look-up can add up what it finds (below). `codebook` [256], of which 2^bits count. */
LUTRA_INLINE void lutra_byte_tables(const unsigned bits, const int8_t *codebook, __m256i *table)
{
    const unsigned n_tables = bits <= 4 ? 1 : 1u << (bits - 4);
    for (unsigned i = 0; i < n_tables; i++) {
        int8_t entries[16];
        for (unsigned j = 0; j < 16; j++) {
            const unsigned entry = (16 * i + j) & ((1u << bits) - 1);
            entries[j] = (int8_t)(codebook[entry] ^ (i % 8 ? codebook[entry - 16] : 0));
        }
        table[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i_u *)entries));
    }
}

/*
 * Entries of 2^bits for each byte, the index in its low bits. vpshufb yields 0 where the top bit is set and
 * ignores bits 4 to 6: of an index less 16 j, table j counts where that is not negative, and the differences
 * of tables 0 to index / 16 add up to the entry. Twice as fast as choosing among the tables by vpblendvb.
 */
LUTRA_INLINE __m256i lutra_look_bytes_up(const unsigned bits, const __m256i *table, __m256i index)
{
    const unsigned n_tables = bits <= 4 ? 1 : bits < 7 ? 1u << (bits - 4) : 8;
    __m256i rest = _mm256_and_si256(index, _mm256_set1_epi8((char)(bits < 7 ? (1 << bits) - 1 : 127)));
    __m256i found = _mm256_shuffle_epi8(table[0], rest), upper = found;
    if (bits == 8)
        upper = _mm256_shuffle_epi8(table[8], rest);
    LUTRA_UNROLL
    for (unsigned i = 1; i < n_tables; i++) {
        rest = _mm256_sub_epi8(rest, _mm256_set1_epi8(16));
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(table[i], rest));
        if (bits == 8)
            upper = _mm256_xor_si256(upper, _mm256_shuffle_epi8(table[8 + i], rest));
    }
    return bits == 8 ? _mm256_blendv_epi8(found, upper, index) : found;
}

#endif
