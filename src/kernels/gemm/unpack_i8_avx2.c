/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/gemm/index_vectors_avx2.h"
#include "kernels/table.h"

#define HALVES 2
#define HALF 32 /* bytes: 8 outputs x 4 inputs */

/* Ones for the inputs in 0..n-1 of a tile. */
static __m256i ones_of(size_t n)
{
    return _mm256_set1_epi32(n >= 4 ? 0x01010101 : 0x01010101 & ((1 << 8 * (int)n) - 1));
}

/* One half of a group of tiles that share `vectors`; `ones` of each tile say which weights its sums take in.
 */
LUTRA_INLINE __m256i unpack_half(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                 const uint8_t *block, const __m256i *table, const __m256i *ones,
                                 int8_t *tile)
{
    __m256i vectors[8], pairs = _mm256_setzero_si256(); /* 8 tiles x 2 x 128: far from the end of 16 bits */
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++)
        vectors[v] = _mm256_loadu_si256((const __m256i_u *)(block + v * (size_t)LUTRA_TILE_LANES));
    LUTRA_UNROLL
    for (unsigned t = 0; t < n_tiles; t++) {
        const __m256i w =
            lutra_look_bytes_up(bits, table, lutra_indices_of_half(bits, n_vectors, vectors, t));
        _mm256_store_si256((__m256i *)(void *)(tile + t * (size_t)LUTRA_TILE_LANES), w);
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(ones[t], w));
    }
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

LUTRA_INLINE void unpack(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                         const lutra_index_layout *layout, const uint8_t *block, const int8_t *codebook,
                         lutra_panel_i8 *panel)
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    __m256i table[LUTRA_MAX_BYTE_TABLES], ones[8], sum[HALVES];
    lutra_byte_tables(bits, codebook, table);
    LUTRA_UNROLL
    for (unsigned t = 0; t < 8; t++)
        ones[t] = _mm256_set1_epi8(1);
    sum[0] = sum[1] = _mm256_setzero_si256();
    size_t k = 0;
    int8_t *tile = panel->tiles;
    for (; k + group_inputs <= layout->k; k += group_inputs) {
        LUTRA_UNROLL
        for (size_t half = 0; half < HALVES; half++)
            sum[half] = _mm256_add_epi32(sum[half], unpack_half(bits, n_tiles, n_vectors, block + half * HALF,
                                                                table, ones, tile + half * HALF));
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        tile += n_tiles * (size_t)LUTRA_TILE_LANES;
    }
    if (k < layout->k_padded) { /* the last group, whose inputs beyond k do not count */
        for (size_t t = 0; t < n_tiles; t++)
            ones[t] =
                ones_of(layout->k > k + LUTRA_TILE_INPUTS * t ? layout->k - k - LUTRA_TILE_INPUTS * t : 0);
        for (size_t half = 0; half < HALVES; half++)
            sum[half] = _mm256_add_epi32(sum[half], unpack_half(bits, n_tiles, n_vectors, block + half * HALF,
                                                                table, ones, tile + half * HALF));
    }
    for (size_t half = 0; half < HALVES; half++)
        _mm256_storeu_si256((__m256i_u *)(panel->sums + 8 * half), sum[half]);
}

#define BITS(bits, n_tiles, n_vectors)                                                                       \
    case bits:                                                                                               \
        unpack(bits, n_tiles, n_vectors, layout, block, codebook, panel);                                    \
        return;

void lutra_unpack_panel_i8_avx2(const lutra_index_layout *layout, const uint8_t *block,
                                const int8_t *codebook, lutra_panel_i8 *panel)
{
    switch (layout->bits) {
        BITS(1, 8, 1)
        BITS(2, 4, 1)
        BITS(3, 8, 3)
        BITS(4, 2, 1)
        BITS(5, 8, 5)
        BITS(6, 4, 3)
        BITS(7, 8, 7)
        BITS(8, 1, 1)
    }
}
