/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of a codebook are looked up as two bytes each, 64 at once, by the instructions that look up int8.
 * The bytes of a tile then lie by output, in each the four inputs: interleaved they are the outputs' bf16,
 * whose first and last two inputs are pairs.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm/bf16.h"
#include "kernels/gemm/bf16_avx512.h"
#include "kernels/gemm/index_vectors_avx512.h"
#include "kernels/gemm/look_up_vbmi.h"
#include "kernels/table.h"

/* Every second double word of both, from the first or the second on, as those of the tile follow each other.
 */
LUTRA_INLINE __m512i double_words(__m512i a, __m512i b, const int second)
{
    const __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
    return _mm512_castps_si512(second ? _mm512_shuffle_ps(x, y, 0xdd) : _mm512_shuffle_ps(x, y, 0x88));
}

LUTRA_INLINE void unpack(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                         size_t n_groups, const uint8_t *block, const float *codebook, uint32_t *panel)
{
    uint8_t low_bytes[LUTRA_TILE_LANES], high_bytes[LUTRA_TILE_LANES];
    for (unsigned i = 0; i < LUTRA_TILE_LANES; i++) {
        const uint32_t entry = lutra_bits_of_bf16(codebook[i & ((1u << bits) - 1)]);
        low_bytes[i] = (uint8_t)(entry >> 16);
        high_bytes[i] = (uint8_t)(entry >> 24);
    }
    const __m512i low_table = _mm512_loadu_si512(low_bytes), high_table = _mm512_loadu_si512(high_bytes);
    for (size_t group = 0; group < n_groups; group++) {
        __m512i vectors[8];
        LUTRA_UNROLL
        for (unsigned v = 0; v < n_vectors; v++, block += LUTRA_TILE_LANES)
            vectors[v] = _mm512_loadu_si512(block);
        LUTRA_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            const __m512i index = lutra_indices_of_tile(bits, n_vectors, vectors, t);
            const __m512i low = lutra_look_up_vbmi(bits, &low_table, index);
            const __m512i high = lutra_look_up_vbmi(bits, &high_table, index);
            const __m512i a = _mm512_unpacklo_epi8(low, high), b = _mm512_unpackhi_epi8(low, high);
            LUTRA_UNROLL
            for (int i = 0; i < 2; i++, panel += LUTRA_PANEL)
                _mm512_storeu_si512(panel, _mm512_rol_epi32(double_words(a, b, i), 16));
        }
    }
}

void lutra_unpack_panel_bf16_avx512bf16(const lutra_index_layout *layout, const uint8_t *block,
                                        const float *codebook, uint32_t *panel)
{
    const size_t n_groups = layout->k_padded / LUTRA_TILE_INPUTS / layout->group_tiles;
    if (layout->bits == 4)
        unpack(4, 2, 1, n_groups, block, codebook, panel);
    else
        unpack(6, 4, 3, n_groups, block, codebook, panel);
}

void lutra_pair_row_bf16_avx512bf16(size_t k, const float *x, uint32_t *out)
{
    size_t i = 0;
    for (; i + 16 <= k; i += 16) { /* numbers that follow each other, the first in the lower half: swapped */
        const __m256i pairs = _mm256_rol_epi32(lutra_to_bf16(_mm512_loadu_ps(x + i)), 16);
        _mm256_storeu_si256((__m256i_u *)(out + i / 2), pairs);
    }
    for (; i < k; i += 2)
        out[i / 2] = lutra_pair_bf16(x[i], i + 1 < k ? x[i + 1] : 0.0f);
}

void lutra_pair_panel_bf16_avx512bf16(size_t k, void *panel)
{
    const float *rows = panel;
    for (size_t i = 0; i < k; i += 2) {
        const __m512 first = _mm512_loadu_ps(rows + i * LUTRA_PANEL);
        const __m512 second = i + 1 < k ? _mm512_loadu_ps(rows + (i + 1) * LUTRA_PANEL) : _mm512_setzero_ps();
        _mm512_storeu_si512((char *)panel + i / 2 * LUTRA_TILE_LANES, lutra_pairs_of_bf16(first, second));
    }
}
