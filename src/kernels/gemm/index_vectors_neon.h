/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of packed indices, 16 bytes of each, and how bytes are looked up by them. */
#ifndef LUTRA_KERNELS_GEMM_INDEX_VECTORS_NEON_H
#define LUTRA_KERNELS_GEMM_INDEX_VECTORS_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/vector/unroll.h"

/* The low 8 - n bits of `a` become the top ones of `b`, 0 < n < 8. */
LUTRA_INLINE uint8x16_t lutra_insert_right(uint8x16_t a, uint8x16_t b, const unsigned n)
{
    switch (n) {
    case 1:
        return vsriq_n_u8(a, b, 1);
    case 2:
        return vsriq_n_u8(a, b, 2);
    case 3:
        return vsriq_n_u8(a, b, 3);
    case 4:
        return vsriq_n_u8(a, b, 4);
    case 5:
        return vsriq_n_u8(a, b, 5);
    case 6:
        return vsriq_n_u8(a, b, 6);
    default:
        return vsriq_n_u8(a, b, 7);
    }
}

/* 16 lanes of tile t of a group: the indices themselves, as a look-up beyond its table yields 0. Tiles beyond
 * the whole fields are put together from the spare top bits of several vectors, from the highest bits down.
 */
LUTRA_INLINE uint8x16_t lutra_indices_of_tile(const unsigned bits, const unsigned n_vectors,
                                              const uint8x16_t *vectors, const unsigned t)
{
    const unsigned fields = 8 / bits, spare = 8 - fields * bits;
    if (t < fields * n_vectors) {
        const unsigned field = t % fields;
        const uint8x16_t index = vectors[t / fields] >> (uint8_t)(bits * field);
        return bits * (field + 1) == 8 ? index : vandq_u8(index, vdupq_n_u8((uint8_t)((1 << bits) - 1)));
    }
    const unsigned first = (t - fields * n_vectors) * bits; /* spare bit */
    unsigned n_placed = 0;
    uint8x16_t index = vdupq_n_u8(0);
    LUTRA_UNROLL
    for (unsigned v = n_vectors; v-- > 0;) {
        const unsigned begin = v * spare > first ? v * spare : first;
        const unsigned end = (v + 1) * spare < first + bits ? (v + 1) * spare : first + bits;
        if (begin >= end)
            continue;
        const unsigned above = (v + 1) * spare - end; /* bits of the vector, which go */
        const uint8x16_t at_top = vectors[v] << (uint8_t)above;
        index = n_placed ? lutra_insert_right(index, at_top, n_placed) : at_top;
        n_placed += end - begin;
    }
    return index >> (uint8_t)(8 - bits);
}

/* A codebook of bytes, up to 64 entries in each. */
typedef struct lutra_byte_tables {
    uint8x16x4_t of_64[4];
} lutra_byte_tables;

LUTRA_INLINE void lutra_load_byte_tables(const unsigned bits, const uint8_t *entries /* [256] */,
                                         lutra_byte_tables *tables)
{
    const unsigned n_tables = bits <= 6 ? 1u : 1u << (bits - 6);
    LUTRA_UNROLL
    for (unsigned i = 0; i < n_tables; i++)
        LUTRA_UNROLL
    for (unsigned j = 0; j < 4; j++)
        tables->of_64[i].val[j] = vld1q_u8(entries + (size_t)64 * i + (size_t)16 * j);
}

LUTRA_INLINE uint8x16_t lutra_look_bytes_up(const unsigned bits, const lutra_byte_tables *tables,
                                            uint8x16_t index)
{
    const uint8x16x4_t *of_64 = tables->of_64;
    if (bits <= 4)
        return vqtbl1q_u8(of_64[0].val[0], index);
    if (bits == 5)
        return vqtbl2q_u8((uint8x16x2_t){{of_64[0].val[0], of_64[0].val[1]}}, index);
    const unsigned n_tables = bits <= 6 ? 1u : 1u << (bits - 6);
    uint8x16_t found = vqtbl4q_u8(of_64[0], index);
    LUTRA_UNROLL
    for (unsigned i = 1; i < n_tables; i++) {
        index = vsubq_u8(index, vdupq_n_u8(64));
        found = vqtbx4q_u8(found, of_64[i], index);
    }
    return found;
}

#endif
