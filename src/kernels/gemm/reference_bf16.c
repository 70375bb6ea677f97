/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/gemm/bf16.h"
#include "kernels/table.h"

void lutra_round_bf16_reference(size_t n, const float *x, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = lutra_float_of_bits(lutra_bits_of_bf16(x[i]));
}

void lutra_pair_row_bf16_reference(size_t k, const float *x, uint32_t *out)
{
    for (size_t i = 0; i < k; i += 2)
        out[i / 2] = lutra_pair_bf16(x[i], i + 1 < k ? x[i + 1] : 0.0f);
}

void lutra_unpack_panel_bf16_reference(const lutra_index_layout *layout, const uint8_t *block,
                                       const float *codebook, uint32_t *panel)
{
    for (size_t k = 0; k < layout->k_padded; k += LUTRA_TILE_INPUTS) {
        uint8_t tile[LUTRA_TILE_LANES];
        lutra_unpack_tile(layout, block, k / LUTRA_TILE_INPUTS, tile);
        for (size_t i = 0; i < LUTRA_TILE_INPUTS; i += 2)
            for (size_t output = 0; output < LUTRA_PANEL; output++) {
                const uint8_t *index = tile + output * LUTRA_TILE_INPUTS + i;
                panel[(k + i) / 2 * LUTRA_PANEL + output] =
                    lutra_pair_bf16(codebook[index[0]], codebook[index[1]]);
            }
    }
}

void lutra_pair_panel_bf16_reference(size_t k, void *panel)
{
    for (size_t i = 0; i < k; i += 2) {
        float first[LUTRA_PANEL], second[LUTRA_PANEL] = {0};
        uint32_t pairs[LUTRA_PANEL];
        memcpy(first, (char *)panel + i * sizeof first, sizeof first);
        if (i + 1 < k)
            memcpy(second, (char *)panel + (i + 1) * sizeof second, sizeof second);
        for (size_t j = 0; j < LUTRA_PANEL; j++)
            pairs[j] = lutra_pair_bf16(first[j], second[j]);
        memcpy((char *)panel + i / 2 * sizeof pairs, pairs, sizeof pairs);
    }
}

/* The sum is rounded once; a denormal becomes zero. */
static float add_product(float sum, uint32_t a, uint32_t w)
{
    const float result = fmaf(lutra_float_of_bits(a), lutra_float_of_bits(w), sum);
    return fabsf(result) < 0x1p-126f ? copysignf(0.0f, result) : result;
}

void lutra_multiply_bf16_reference(size_t m, size_t n_pairs, const uint32_t *a, size_t lda, size_t n_panels,
                                   const uint32_t *panels, size_t panel_stride, float *c, size_t ldc)
{
    for (size_t row = 0; row < m; row++)
        for (size_t p = 0; p < n_panels; p++) {
            float sum[LUTRA_PANEL] = {0};
            for (size_t i = 0; i < n_pairs; i++)
                for (size_t j = 0; j < LUTRA_PANEL; j++) {
                    const uint32_t x = a[row * lda + i], w = panels[p * panel_stride + i * LUTRA_PANEL + j];
                    sum[j] = add_product(sum[j], x & 0xffff0000u, w & 0xffff0000u);
                    sum[j] = add_product(sum[j], x << 16, w << 16);
                }
            for (size_t j = 0; j < LUTRA_PANEL; j++)
                c[row * ldc + p * LUTRA_PANEL + j] = sum[j];
        }
}
