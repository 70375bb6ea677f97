/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

void lutra_multiply_few_rows_f32_reference(const lutra_index_layout *layout, size_t n_blocks,
                                           const uint8_t *blocks, const int8_t *codebook, size_t m,
                                           const float *a, size_t lda, float *c, size_t ldc)
{
    for (size_t row = 0; row < m; row++)
        for (size_t block = 0; block < n_blocks; block++) {
            float sum[LUTRA_PANEL] = {0};
            for (size_t k = 0; k < layout->k; k++) {
                uint8_t tile[LUTRA_TILE_LANES];
                lutra_unpack_tile(layout, blocks + block * layout->block_bytes, k / LUTRA_TILE_INPUTS, tile);
                for (size_t j = 0; j < LUTRA_PANEL; j++)
                    sum[j] += a[row * lda + k] *
                              (float)codebook[tile[lutra_tile_byte_i8(k % LUTRA_TILE_INPUTS, j)]];
            }
            for (size_t j = 0; j < LUTRA_PANEL; j++)
                c[row * ldc + block * LUTRA_PANEL + j] = sum[j];
        }
}

void lutra_multiply_few_rows_i8_reference(const lutra_index_layout *layout, size_t n_blocks,
                                          const uint8_t *blocks, const int8_t *codebook, size_t m,
                                          const uint8_t *a, size_t lda, const lutra_row_i8 *rows, float *c,
                                          size_t ldc)
{
    for (size_t row = 0; row < m; row++)
        for (size_t block = 0; block < n_blocks; block++) {
            int32_t sum[LUTRA_PANEL] = {0};
            for (size_t k = 0; k < layout->k; k++) {
                uint8_t tile[LUTRA_TILE_LANES];
                lutra_unpack_tile(layout, blocks + block * layout->block_bytes, k / LUTRA_TILE_INPUTS, tile);
                for (size_t j = 0; j < LUTRA_PANEL; j++)
                    sum[j] += (a[row * lda + k] - rows[row].zero) *
                              codebook[tile[lutra_tile_byte_i8(k % LUTRA_TILE_INPUTS, j)]];
            }
            for (size_t j = 0; j < LUTRA_PANEL; j++)
                c[row * ldc + block * LUTRA_PANEL + j] = (float)sum[j] * rows[row].scale;
        }
}
