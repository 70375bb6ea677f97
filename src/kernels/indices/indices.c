/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/indices/indices.h"

#include <string.h>

#include "base/size.h"

unsigned lutra_index_bits(size_t n_clusters)
{
    unsigned bits = 1;
    while (bits < 8 && ((size_t)1 << bits) < n_clusters)
        bits++;
    return bits;
}

static unsigned greatest_common_divisor_with_8(unsigned bits)
{
    return bits == 8 ? 8 : bits % 4 == 0 ? 4 : bits % 2 == 0 ? 2 : 1;
}

bool lutra_index_layout_of(size_t n, size_t k, unsigned bits, lutra_index_layout *layout)
{
    if (bits < 1 || bits > 8)
        return false;
    const unsigned divisor = greatest_common_divisor_with_8(bits);
    *layout = (lutra_index_layout){
        .bits = bits, .group_tiles = 8 / divisor, .group_vectors = bits / divisor, .n = n, .k = k};
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * layout->group_tiles;
    size_t n_padded = 0;
    if (!lutra_size_add(k, group_inputs - 1, &layout->k_padded) ||
        !lutra_size_add(n, LUTRA_TILE_OUTPUTS - 1, &n_padded))
        return false;
    layout->k_padded = layout->k_padded / group_inputs * group_inputs;
    layout->n_blocks = n_padded / LUTRA_TILE_OUTPUTS;
    return lutra_size_multiply(layout->k_padded / group_inputs,
                               (size_t)layout->group_vectors * LUTRA_TILE_LANES, &layout->block_bytes) &&
           lutra_size_multiply(layout->block_bytes, layout->n_blocks, &layout->bytes);
}

/* Where the bits of tile `t` of a group lie: one field of all its bits, or, for the tiles that are left over,
 * single bits in the spare top bits of several vectors. */
typedef struct piece {
    unsigned vector, vector_bit; /* where it lies in the group */
    unsigned index_bit, width;   /* which bits of the index it holds */
} piece;

static unsigned pieces_of_tile(const lutra_index_layout *layout, unsigned t, piece pieces[8])
{
    const unsigned bits = layout->bits, fields = 8 / bits, n_whole = fields * layout->group_vectors;
    const unsigned spare = 8 - fields * bits;
    if (t < n_whole) {
        pieces[0] = (piece){t / fields, bits * (t % fields), 0, bits};
        return 1;
    }
    for (unsigned j = 0; j < bits; j++) {
        const unsigned s = (t - n_whole) * bits + j;
        pieces[j] = (piece){s / spare, fields * bits + s % spare, j, 1};
    }
    return bits;
}

static void pack_tile(const lutra_index_layout *layout, unsigned t, const uint8_t *tile, /* [64] */
                      uint8_t *group) /* [group_vectors][64] */
{
    piece pieces[8];
    const unsigned n = pieces_of_tile(layout, t, pieces);
    for (unsigned i = 0; i < n; i++) {
        const piece at = pieces[i];
        const unsigned mask = (1u << at.width) - 1;
        uint8_t *vector = group + (size_t)at.vector * LUTRA_TILE_LANES;
        for (size_t lane = 0; lane < LUTRA_TILE_LANES; lane++) {
            const unsigned field = (unsigned)tile[lane] >> at.index_bit & mask;
            vector[lane] = (uint8_t)(vector[lane] | field << at.vector_bit);
        }
    }
}

void lutra_unpack_tile(const lutra_index_layout *layout, const uint8_t *packed, size_t tile, uint8_t *indices)
{
    piece pieces[8];
    const uint8_t *group = packed + tile / layout->group_tiles * layout->group_vectors * LUTRA_TILE_LANES;
    const unsigned n = pieces_of_tile(layout, (unsigned)(tile % layout->group_tiles), pieces);
    memset(indices, 0, LUTRA_TILE_LANES);
    for (unsigned i = 0; i < n; i++) {
        const piece at = pieces[i];
        const unsigned mask = (1u << at.width) - 1;
        const uint8_t *vector = group + (size_t)at.vector * LUTRA_TILE_LANES;
        for (size_t lane = 0; lane < LUTRA_TILE_LANES; lane++) {
            const unsigned field = (unsigned)vector[lane] >> at.vector_bit & mask;
            indices[lane] = (uint8_t)(indices[lane] | field << at.index_bit);
        }
    }
}

void lutra_pack_block(const lutra_index_layout *layout, const uint8_t *indices, size_t n_rows,
                      uint8_t *packed)
{
    memset(packed, 0, layout->block_bytes);
    for (size_t k = 0; k < layout->k; k += LUTRA_TILE_INPUTS) {
        uint8_t tile[LUTRA_TILE_LANES] = {0};
        const size_t width = lutra_smaller(LUTRA_TILE_INPUTS, layout->k - k);
        for (size_t row = 0; row < n_rows; row++)
            memcpy(tile + row * LUTRA_TILE_INPUTS, indices + row * layout->k + k, width);
        const size_t t = k / LUTRA_TILE_INPUTS;
        uint8_t *group = packed + t / layout->group_tiles * layout->group_vectors * LUTRA_TILE_LANES;
        pack_tile(layout, (unsigned)(t % layout->group_tiles), tile, group);
    }
}

void lutra_unpack_block(const lutra_index_layout *layout, const uint8_t *packed, uint8_t *indices)
{
    for (size_t k = 0; k < layout->k_padded; k += LUTRA_TILE_INPUTS) {
        uint8_t tile[LUTRA_TILE_LANES];
        lutra_unpack_tile(layout, packed, k / LUTRA_TILE_INPUTS, tile);
        for (size_t row = 0; row < LUTRA_TILE_OUTPUTS; row++)
            memcpy(indices + row * layout->k_padded + k, tile + row * LUTRA_TILE_INPUTS, LUTRA_TILE_INPUTS);
    }
}
