/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed codebook indices: 1 to 8 bits each, in the tiles of docs/format.md.
 *
 * One tile = 16 outputs x 4 inputs = 64 indices, lane = 4 * (output mod 16) + (input mod 4). A matrix of N
 * outputs and K inputs is padded with index 0 to multiples of 16 outputs and of 4p inputs, where p tiles
 * share q vectors of 64 bytes (p/q = 8/bits in lowest terms). Blocks of 16 outputs follow each other.
 */
#ifndef LUTRA_KERNELS_INDICES_H
#define LUTRA_KERNELS_INDICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUTRA_TILE_OUTPUTS 16
#define LUTRA_TILE_INPUTS 4
#define LUTRA_TILE_LANES 64 /* outputs x inputs, and the bytes of a vector */

typedef struct lutra_index_layout {
    unsigned bits;          /* 1..8 */
    unsigned group_tiles;   /* p */
    unsigned group_vectors; /* q */
    size_t n, k;            /* outputs, inputs */
    size_t k_padded;        /* k rounded up to a multiple of 4p */
    size_t block_bytes;     /* of one block of 16 outputs */
    size_t n_blocks;
    size_t bytes; /* of the whole matrix */
} lutra_index_layout;

/* Bits that an index into `n_clusters` (2..256) entries needs. */
unsigned lutra_index_bits(size_t n_clusters);

/* False where the sizes overflow. */
bool lutra_index_layout_of(size_t n, size_t k, unsigned bits, lutra_index_layout *layout);

/* Packs `n_rows` <= 16 rows of one block: `indices` [n_rows][k], one byte each, all < 2^bits -> `packed`
 * [block_bytes]. */
void lutra_pack_block(const lutra_index_layout *layout, const uint8_t *indices, size_t n_rows,
                      uint8_t *packed);

/* Unpacks one block: `packed` [block_bytes] -> `indices` [16][k_padded], one byte each. */
void lutra_unpack_block(const lutra_index_layout *layout, const uint8_t *packed, uint8_t *indices);

/* Tile `tile` of a block, the inputs from 4 * tile on: `indices` [16][4], one byte each. */
void lutra_unpack_tile(const lutra_index_layout *layout, const uint8_t *packed, size_t tile,
                       uint8_t *indices);

#endif
