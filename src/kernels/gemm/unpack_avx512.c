/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vector of a tile holds one output in each of its 16 double words, and in their bytes the indices of its
 * four inputs. Shifted so that an input's index comes lowest, a vector is the operand that vpermps and
 * vpermi2ps want: they look 16 and 32 entries up and ignore all higher bits, so nothing needs to be masked.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm/index_vectors_avx512.h"
#include "kernels/table.h"

#define MAX_TABLE_VECTORS 16

/* Codebook entries of 2^bits, for the index in the low bits of each lane; higher bits may be anything. */
LUTRA_INLINE __m512 look_up(const unsigned bits, const __m512 *table, __m512i index)
{
    if (bits <= 4)
        return _mm512_permutexvar_ps(index, table[0]);
    __m512 found[MAX_TABLE_VECTORS / 2];
    const unsigned n = 1u << (bits - 5);
    LUTRA_UNROLL
    for (unsigned i = 0; i < n; i++)
        found[i] = _mm512_permutex2var_ps(table[2 * i], index, table[2 * i + 1]);
    LUTRA_UNROLL
    for (unsigned bit = 5; bit < bits; bit++) {
        const __mmask16 set = _mm512_test_epi32_mask(index, _mm512_set1_epi32(1 << bit));
        LUTRA_UNROLL
        for (unsigned i = 0; i < 1u << (bits - bit - 1); i++)
            found[i] = _mm512_mask_blend_ps(set, found[2 * i], found[2 * i + 1]);
    }
    return found[0];
}

LUTRA_INLINE void unpack(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                         size_t n_groups, const uint8_t *block, const float *codebook, float *panel)
{
    __m512 table[MAX_TABLE_VECTORS];
    float entries[256];
    const unsigned n_entries = bits < 4 ? 16 : 1u << bits;
    for (unsigned i = 0; i < n_entries; i++)
        entries[i] = codebook[i & ((1u << bits) - 1)];
    LUTRA_UNROLL
    for (unsigned i = 0; i < n_entries / 16; i++)
        table[i] = _mm512_loadu_ps(entries + (size_t)16 * i);
    for (size_t group = 0; group < n_groups; group++) {
        __m512i vectors[8];
        LUTRA_UNROLL
        for (unsigned v = 0; v < n_vectors; v++, block += LUTRA_TILE_LANES)
            vectors[v] = _mm512_loadu_si512(block);
        LUTRA_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            const __m512i index = lutra_indices_of_tile(bits, n_vectors, vectors, t);
            LUTRA_UNROLL
            for (int i = 0; i < LUTRA_TILE_INPUTS; i++, panel += LUTRA_PANEL)
                _mm512_storeu_ps(panel, look_up(bits, table, lutra_shift_right(index, 8 * i)));
        }
    }
}

#define BITS(bits, n_tiles, n_vectors)                                                                       \
    case bits:                                                                                               \
        unpack(bits, n_tiles, n_vectors, n_groups, block, codebook, panel);                                  \
        return;

void lutra_unpack_panel_f32_avx512(const lutra_index_layout *layout, const uint8_t *block,
                                   const float *codebook, bool codebook_is_i8, float *panel)
{
    const size_t n_groups = layout->k_padded / LUTRA_TILE_INPUTS / layout->group_tiles;
    (void)codebook_is_i8; /* bytes would have to be widened again: no faster for up to 64 entries */
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
