/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indices lie as outputs x inputs and floats are wanted as inputs x outputs: a group goes through a small
 * buffer, from which a load of four-byte structures takes each input's 16 outputs. A codebook on the int8
 * grid is looked up before that, 16 bytes at once, and widened after; floats are looked up after, a byte at a
 * time.
 */
#include "kernels/gemm/index_vectors_neon.h"
#include "kernels/table.h"

#define QUARTER 16 /* bytes of a tile: 4 outputs */
#define MAX_GROUP_TILES 8
/* Floats of up to 64 entries are looked up in four tables of their bytes; more would not fit the registers.
 */
#define MAX_PERMUTED_BITS 6

/* ---- codebooks of bytes ---- */

LUTRA_INLINE void store_bytes(int8x16_t bytes, float *panel)
{
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    vst1q_f32(panel, vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))));
    vst1q_f32(panel + 4, vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))));
    vst1q_f32(panel + 8, vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))));
    vst1q_f32(panel + 12, vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))));
}

/* ---- codebooks of floats ---- */

typedef struct float_tables {
    lutra_byte_tables byte[4]; /* the first byte of each entry, the second, ... */
} float_tables;

LUTRA_INLINE void load_float_tables(const float *codebook, float_tables *tables)
{
    LUTRA_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        const uint8x16x4_t bytes = vld4q_u8((const uint8_t *)(codebook + (size_t)16 * i));
        LUTRA_UNROLL
        for (unsigned j = 0; j < 4; j++)
            tables->byte[j].of_64[0].val[i] = bytes.val[j];
    }
}

LUTRA_INLINE void store_floats(const unsigned bits, const float_tables *tables, const float *codebook,
                               uint8x16_t index, float *panel)
{
    if (bits > MAX_PERMUTED_BITS) {
        uint8_t indices[LUTRA_PANEL];
        vst1q_u8(indices, index);
        LUTRA_UNROLL
        for (size_t i = 0; i < LUTRA_PANEL; i++)
            panel[i] = codebook[indices[i]];
        return;
    }
    uint8x16x4_t bytes;
    LUTRA_UNROLL
    for (unsigned j = 0; j < 4; j++)
        bytes.val[j] = lutra_look_bytes_up(bits, &tables->byte[j], index);
    const uint16x8_t low[2] = {vreinterpretq_u16_u8(vzip1q_u8(bytes.val[0], bytes.val[1])),
                               vreinterpretq_u16_u8(vzip2q_u8(bytes.val[0], bytes.val[1]))};
    const uint16x8_t high[2] = {vreinterpretq_u16_u8(vzip1q_u8(bytes.val[2], bytes.val[3])),
                                vreinterpretq_u16_u8(vzip2q_u8(bytes.val[2], bytes.val[3]))};
    LUTRA_UNROLL
    for (size_t i = 0; i < 2; i++) {
        vst1q_f32(panel + 8 * i, vreinterpretq_f32_u16(vzip1q_u16(low[i], high[i])));
        vst1q_f32(panel + 8 * i + 4, vreinterpretq_f32_u16(vzip2q_u16(low[i], high[i])));
    }
}

/* ---- panels ---- */

/* One group into `bytes` [n_tiles][64]: what `tables` has, or the indices. */
LUTRA_INLINE void unpack_group(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                               const uint8_t *block, const lutra_byte_tables *tables, uint8_t *bytes)
{
    LUTRA_UNROLL
    for (size_t quarter = 0; quarter < LUTRA_TILE_LANES; quarter += QUARTER) {
        uint8x16_t vectors[8];
        LUTRA_UNROLL
        for (size_t v = 0; v < n_vectors; v++)
            vectors[v] = vld1q_u8(block + v * LUTRA_TILE_LANES + quarter);
        LUTRA_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            const uint8x16_t index = lutra_indices_of_tile(bits, n_vectors, vectors, t);
            vst1q_u8(bytes + t * LUTRA_TILE_LANES + quarter,
                     tables ? lutra_look_bytes_up(bits, tables, index) : index);
        }
    }
}

LUTRA_INLINE void unpack_bytes(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                               size_t n_groups, const uint8_t *block, const float *codebook, float *panel)
{
    uint8_t entries[256], bytes[MAX_GROUP_TILES * LUTRA_TILE_LANES];
    lutra_byte_tables tables;
    for (size_t i = 0; i < 256; i++)
        entries[i] = (uint8_t)(int8_t)codebook[i];
    lutra_load_byte_tables(bits, entries, &tables);
    for (size_t group = 0; group < n_groups; group++, block += n_vectors * (size_t)LUTRA_TILE_LANES) {
        unpack_group(bits, n_tiles, n_vectors, block, &tables, bytes);
        for (size_t t = 0; t < n_tiles; t++) {
            const uint8x16x4_t inputs = vld4q_u8(bytes + t * LUTRA_TILE_LANES);
            LUTRA_UNROLL
            for (size_t i = 0; i < LUTRA_TILE_INPUTS; i++, panel += LUTRA_PANEL)
                store_bytes(vreinterpretq_s8_u8(inputs.val[i]), panel);
        }
    }
}

LUTRA_INLINE void unpack_floats(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                size_t n_groups, const uint8_t *block, const float *codebook, float *panel)
{
    uint8_t bytes[MAX_GROUP_TILES * LUTRA_TILE_LANES];
    float_tables tables;
    load_float_tables(codebook, &tables);
    for (size_t group = 0; group < n_groups; group++, block += n_vectors * (size_t)LUTRA_TILE_LANES) {
        unpack_group(bits, n_tiles, n_vectors, block, NULL, bytes);
        for (size_t t = 0; t < n_tiles; t++) {
            const uint8x16x4_t inputs = vld4q_u8(bytes + t * LUTRA_TILE_LANES);
            LUTRA_UNROLL
            for (size_t i = 0; i < LUTRA_TILE_INPUTS; i++, panel += LUTRA_PANEL)
                store_floats(bits, &tables, codebook, inputs.val[i], panel);
        }
    }
}

#define BITS(bits, n_tiles, n_vectors)                                                                       \
    case bits:                                                                                               \
        if (codebook_is_i8)                                                                                  \
            unpack_bytes(bits, n_tiles, n_vectors, n_groups, block, codebook, panel);                        \
        else                                                                                                 \
            unpack_floats(bits, n_tiles, n_vectors, n_groups, block, codebook, panel);                       \
        return;

void lutra_unpack_panel_f32_neon(const lutra_index_layout *layout, const uint8_t *block,
                                 const float *codebook, bool codebook_is_i8, float *panel)
{
    const size_t n_groups = layout->k_padded / LUTRA_TILE_INPUTS / layout->group_tiles;
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
