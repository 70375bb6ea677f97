/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For floats, tbl brings the four weights of an output to the top byte of its word, one after the other, and
 * the conversion takes the 2^24 back. For 8 bits, activations less 128 times weights are at most 128 * 127,
 * so that two products of a pair of inputs can be added in 16 bits before they are widened.
 */
#include "kernels/gemm/few_rows_neon.h"

/* ---- f32 --------------------------------------------------------------------------------------- */

#define TOP_BYTE 24

/* The look-up that brings byte `i` of each word to its top and clears the others. */
LUTRA_INLINE uint8x16_t byte_to_top(const unsigned i)
{
    const uint32_t none = 0x00ffffff, next = 4u << TOP_BYTE, first = none | i << TOP_BYTE;
    const uint32_t words[4] = {first, first + next, first + 2 * next, first + 3 * next};
    return vreinterpretq_u8_u32(vld1q_u32(words));
}

LUTRA_INLINE float32x4_t add_product(float32x4_t sum, float32x4_t w, float32x4_t x, const unsigned lane)
{
    switch (lane) {
    case 0:
        return vfmaq_laneq_f32(sum, w, x, 0);
    case 1:
        return vfmaq_laneq_f32(sum, w, x, 1);
    case 2:
        return vfmaq_laneq_f32(sum, w, x, 2);
    default:
        return vfmaq_laneq_f32(sum, w, x, 3);
    }
}

/* One group of tiles with the inputs a[row][0..]. */
LUTRA_INLINE void add_group_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                const size_t m, const uint8_t *group, const lutra_byte_tables *tables,
                                const float *const *a, float32x4_t (*sum)[QUARTERS])
{
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        uint8x16_t vectors[MAX_GROUP_VECTORS];
        load_quarter(n_vectors, group, q, vectors);
        LUTRA_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            const uint8x16_t weights =
                lutra_look_bytes_up(bits, tables, lutra_indices_of_tile(bits, n_vectors, vectors, t));
            float32x4_t x[LUTRA_FEW_ROWS];
            LUTRA_UNROLL
            for (size_t row = 0; row < m; row++)
                x[row] = vld1q_f32(a[row] + (size_t)LUTRA_TILE_INPUTS * t);
            LUTRA_UNROLL
            for (unsigned i = 0; i < LUTRA_TILE_INPUTS; i++) {
                const uint8x16_t top = vqtbl1q_u8(weights, byte_to_top(i));
                const float32x4_t w = vcvtq_n_f32_s32(vreinterpretq_s32_u8(top), TOP_BYTE);
                LUTRA_UNROLL
                for (size_t row = 0; row < m; row++)
                    sum[row][q] = add_product(sum[row][q], w, x[row], i);
            }
        }
    }
}

LUTRA_INLINE void multiply_block_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                     const size_t m, const lutra_index_layout *layout, const uint8_t *block,
                                     const lutra_byte_tables *tables, const float *const *rows,
                                     float (*c)[LUTRA_PANEL])
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    const float *a[LUTRA_FEW_ROWS] = {rows[0], rows[1], rows[2], rows[3]};
    float32x4_t sum[LUTRA_FEW_ROWS][QUARTERS];
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        sum[row][q] = vdupq_n_f32(0);
    size_t k = 0;
    for (; k + group_inputs <= layout->k; k += group_inputs) {
        prefetch_group(n_vectors, block, layout->block_bytes);
        add_group_f32(bits, n_tiles, n_vectors, m, block, tables, a, sum);
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            a[row] += group_inputs;
    }
    if (k < layout->k) { /* inputs beyond k are zeros */
        float last[LUTRA_FEW_ROWS][MAX_GROUP_TILES * LUTRA_TILE_INPUTS] = {{0}};
        for (size_t row = 0; row < m; row++) {
            memcpy(last[row], a[row], (layout->k - k) * sizeof(float));
            a[row] = last[row];
        }
        add_group_f32(bits, n_tiles, n_vectors, m, block, tables, a, sum);
    }
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++)
        vst1q_f32(c[row] + 4 * q, sum[row][q]);
}

void lutra_multiply_few_rows_f32_neon(const lutra_index_layout *layout, size_t n_blocks,
                                      const uint8_t *blocks, const int8_t *codebook, size_t m, const float *a,
                                      size_t lda, float *c, size_t ldc)
{
    if (layout->bits != 4 && layout->bits != 6) {
        lutra_multiply_few_rows_f32_reference(layout, n_blocks, blocks, codebook, m, a, lda, c, ldc);
        return;
    }
    const float *rows[LUTRA_FEW_ROWS];
    lutra_byte_tables tables;
    lutra_load_byte_tables(6, (const uint8_t *)codebook, &tables); /* of 4 bits the first quarter is used */
    for (size_t row = 0; row < LUTRA_FEW_ROWS; row++)              /* a row too many counts twice */
        rows[row] = a + (row < m ? row : m - 1) * lda;
    for (size_t block = 0; block < n_blocks; block++) {
        const uint8_t *indices = blocks + block * layout->block_bytes;
        float result[LUTRA_FEW_ROWS][LUTRA_PANEL];
        switch (layout->bits) {
            TUNED_BITS(multiply_block_f32, layout, indices, &tables, rows, result)
        }
        for (size_t row = 0; row < m; row++)
            memcpy(c + row * ldc + block * LUTRA_PANEL, result[row], sizeof result[row]);
    }
}

/* ---- int8 -------------------------------------------------------------------------------------- */

#define FEW_ROWS_I8 lutra_multiply_few_rows_i8_neon

/* sum += the products of a tile's four inputs, x[4 * lane..], and those of four outputs. */
LUTRA_INLINE int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t x, const unsigned lane)
{
    const int32x4_t words = vreinterpretq_s32_s8(x);
    const int8x16_t four = vreinterpretq_s8_s32(lane == 0   ? vdupq_laneq_s32(words, 0)
                                                : lane == 1 ? vdupq_laneq_s32(words, 1)
                                                : lane == 2 ? vdupq_laneq_s32(words, 2)
                                                            : vdupq_laneq_s32(words, 3));
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(four)), high = vmull_high_s8(w, four);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}

LUTRA_INLINE int32x4_t add_weights(int32x4_t sum, int8x16_t w)
{
    return vpadalq_s16(sum, vpaddlq_s8(w));
}

#include "kernels/gemm/few_rows_i8_neon.h"
