/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half a vector of a tile holds 8 outputs in its double words, and in their bytes the indices of four inputs.
 * Floats are looked up 8 entries at a time. With more than 16 entries and a codebook on the int8 grid it is
 * faster to look bytes up, 32 weights at once and 16 entries at a time, and to widen them after.
 */
#include <immintrin.h>

#include "kernels/gemm/index_vectors_avx2.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define HALF 32 /* bytes */

/* ---- codebooks of bytes ---- */

LUTRA_INLINE void unpack_bytes(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                               size_t n_groups, const uint8_t *block, const float *codebook, float *panel)
{
    __m256i table[LUTRA_MAX_BYTE_TABLES];
    int8_t bytes_of_codebook[256];
    for (unsigned i = 0; i < 1u << bits; i++)
        bytes_of_codebook[i] = (int8_t)codebook[i];
    lutra_byte_tables(bits, bytes_of_codebook, table);
    for (size_t group = 0; group < n_groups; group++) {
        for (size_t half = 0; half < 2; half++) {
            __m256i vectors[8];
            LUTRA_UNROLL
            for (unsigned v = 0; v < n_vectors; v++)
                vectors[v] = _mm256_loadu_si256(
                    (const __m256i_u *)(block + v * (size_t)LUTRA_TILE_LANES + half * HALF));
            LUTRA_UNROLL
            for (unsigned t = 0; t < n_tiles; t++) {
                const __m256i bytes =
                    lutra_look_bytes_up(bits, table, lutra_indices_of_half(bits, n_vectors, vectors, t));
                LUTRA_UNROLL
                for (unsigned i = 0; i < LUTRA_TILE_INPUTS; i++) {
                    const __m256i weights =
                        _mm256_srai_epi32(_mm256_slli_epi32(bytes, (int)(24 - 8 * i)), 24);
                    _mm256_storeu_ps(panel + (t * LUTRA_TILE_INPUTS + i) * LUTRA_PANEL + half * 8,
                                     _mm256_cvtepi32_ps(weights));
                }
            }
        }
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        panel += n_tiles * (size_t)LUTRA_TILE_INPUTS * LUTRA_PANEL;
    }
}

/* ---- codebooks of floats ---- */

/* Up to 64 entries lie in registers or the nearest cache; for more a gather takes fewer instructions. */
#define MAX_PERMUTED_BITS 6

LUTRA_INLINE __m256 look_floats_up(const unsigned bits, const __m256 *table, const float *codebook,
                                   __m256i index)
{
    if (bits > MAX_PERMUTED_BITS)
        return _mm256_i32gather_ps(codebook, _mm256_and_si256(index, _mm256_set1_epi32((1 << bits) - 1)), 4);
    __m256 found[8];
    const unsigned n_tables = bits <= 3 ? 1u : 1u << (bits - 3);
    LUTRA_UNROLL
    for (unsigned i = 0; i < n_tables; i++)
        found[i] = _mm256_permutevar8x32_ps(table[i], index);
    LUTRA_UNROLL
    for (unsigned bit = 3; bit < bits; bit++) {
        const __m256 top = _mm256_castsi256_ps(_mm256_slli_epi32(index, (int)(31 - bit)));
        LUTRA_UNROLL
        for (unsigned i = 0; i < 1u << (bits - bit - 1); i++)
            found[i] = _mm256_blendv_ps(found[2 * i], found[2 * i + 1], top);
    }
    return found[0];
}

LUTRA_INLINE void unpack_floats(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                size_t n_groups, const uint8_t *block, const float *codebook, float *panel)
{
    __m256 table[8];
    const unsigned n_entries = bits < 3 ? 8 : bits <= MAX_PERMUTED_BITS ? 1u << bits : 0;
    for (unsigned i = 0; i < n_entries / 8; i++) {
        float entries[8];
        for (unsigned j = 0; j < 8; j++)
            entries[j] = codebook[(8 * i + j) & ((1u << bits) - 1)];
        table[i] = _mm256_loadu_ps(entries);
    }
    for (size_t group = 0; group < n_groups; group++) {
        for (size_t half = 0; half < 2; half++) {
            __m256i vectors[8];
            LUTRA_UNROLL
            for (unsigned v = 0; v < n_vectors; v++)
                vectors[v] = _mm256_loadu_si256(
                    (const __m256i_u *)(block + v * (size_t)LUTRA_TILE_LANES + half * HALF));
            LUTRA_UNROLL
            for (unsigned t = 0; t < n_tiles; t++) {
                const __m256i index = lutra_indices_of_half(bits, n_vectors, vectors, t);
                LUTRA_UNROLL
                for (unsigned i = 0; i < LUTRA_TILE_INPUTS; i++)
                    _mm256_storeu_ps(
                        panel + (t * LUTRA_TILE_INPUTS + i) * LUTRA_PANEL + half * 8,
                        look_floats_up(bits, table, codebook, lutra_shift_right(index, (int)(8 * i))));
            }
        }
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        panel += n_tiles * (size_t)LUTRA_TILE_INPUTS * LUTRA_PANEL;
    }
}

#define FLOATS(bits, n_tiles, n_vectors)                                                                     \
    case bits:                                                                                               \
        unpack_floats(bits, n_tiles, n_vectors, n_groups, block, codebook, panel);                           \
        return;
#define EITHER(bits, n_tiles, n_vectors)                                                                     \
    case bits:                                                                                               \
        if (codebook_is_i8)                                                                                  \
            unpack_bytes(bits, n_tiles, n_vectors, n_groups, block, codebook, panel);                        \
        else                                                                                                 \
            unpack_floats(bits, n_tiles, n_vectors, n_groups, block, codebook, panel);                       \
        return;

void lutra_unpack_panel_f32_avx2(const lutra_index_layout *layout, const uint8_t *block,
                                 const float *codebook, bool codebook_is_i8, float *panel)
{
    const size_t n_groups = layout->k_padded / LUTRA_TILE_INPUTS / layout->group_tiles;
    switch (layout->bits) {
        FLOATS(1, 8, 1)
        FLOATS(2, 4, 1)
        FLOATS(3, 8, 3)
        FLOATS(4, 2, 1)
        EITHER(5, 8, 5)
        EITHER(6, 4, 3)
        EITHER(7, 8, 7)
        EITHER(8, 1, 1)
    }
}
