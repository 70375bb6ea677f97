/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vector of indices, shifted so that a tile's come lowest in every byte, is the operand that vpermb and
 * vpermi2b want: they look 64 and 128 entries up and ignore all higher bits, so nothing needs to be masked.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm/index_vectors_avx512.h"
#include "kernels/gemm/look_up_vbmi.h"
#include "kernels/table.h"

/* Ones for the inputs in 0..n-1 of a tile, any n. */
static __m512i ones_of(size_t n)
{
    return _mm512_set1_epi32(n >= 4 ? 0x01010101 : 0x01010101 & ((1 << 8 * (int)n) - 1));
}

LUTRA_INLINE void unpack(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                         const lutra_index_layout *layout, const uint8_t *block, const int8_t *codebook,
                         lutra_panel_i8 *panel)
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    __m512i table[LUTRA_MAX_VBMI_TABLES], sum[8];
    int8_t repeated[64];
    int8_t *tile = panel->tiles;
    /* Higher bits of an index are whatever the next one is, and those below the sixth are looked at. */
    for (unsigned i = 0; bits < 6 && i < 64; i++)
        repeated[i] = codebook[i & ((1u << bits) - 1)];
    LUTRA_UNROLL
    for (unsigned i = 0; i < LUTRA_MAX_VBMI_TABLES; i++)
        table[i] = _mm512_loadu_si512(bits < 6 ? repeated : codebook + (bits > 6 ? (size_t)64 * i : 0));
    LUTRA_UNROLL
    for (unsigned t = 0; t < n_tiles; t++)
        sum[t] = _mm512_setzero_si512();
    for (size_t k = 0; k < layout->k_padded; k += group_inputs) {
        const bool whole = k + group_inputs <= layout->k;
        __m512i vectors[8];
        LUTRA_UNROLL
        for (unsigned v = 0; v < n_vectors; v++, block += LUTRA_TILE_LANES)
            vectors[v] = _mm512_loadu_si512(block);
        LUTRA_UNROLL
        for (unsigned t = 0; t < n_tiles; t++, tile += LUTRA_TILE_LANES) {
            const __m512i w =
                lutra_look_up_vbmi(bits, table, lutra_indices_of_tile(bits, n_vectors, vectors, t));
            const size_t first = k + (size_t)LUTRA_TILE_INPUTS * t;
            const __m512i ones = whole               ? _mm512_set1_epi8(1)
                                 : first < layout->k ? ones_of(layout->k - first)
                                                     : _mm512_setzero_si512();
            _mm512_store_si512(tile, w);
            sum[t] = _mm512_dpbusd_epi32(sum[t], ones, w);
        }
    }
    LUTRA_UNROLL
    for (unsigned t = 1; t < n_tiles; t++)
        sum[0] = _mm512_add_epi32(sum[0], sum[t]);
    _mm512_storeu_si512(panel->sums, sum[0]);
}

void lutra_unpack_panel_i8_avx512vnni(const lutra_index_layout *layout, const uint8_t *block,
                                      const int8_t *codebook, lutra_panel_i8 *panel)
{
    switch (layout->bits) {
    case 1:
        unpack(1, 8, 1, layout, block, codebook, panel);
        return;
    case 2:
        unpack(2, 4, 1, layout, block, codebook, panel);
        return;
    case 3:
        unpack(3, 8, 3, layout, block, codebook, panel);
        return;
    case 4:
        unpack(4, 2, 1, layout, block, codebook, panel);
        return;
    case 5:
        unpack(5, 8, 5, layout, block, codebook, panel);
        return;
    case 6:
        unpack(6, 4, 3, layout, block, codebook, panel);
        return;
    case 7:
        unpack(7, 8, 7, layout, block, codebook, panel);
        return;
    default:
        unpack(8, 1, 1, layout, block, codebook, panel);
        return;
    }
}
