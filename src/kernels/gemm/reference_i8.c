/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/table.h"

void lutra_quantise_row_i8_reference(size_t k, size_t padded, const float *x, uint8_t *out, lutra_row_i8 *row)
{
    float low = 0, high = 0, inverse;
    bool finite = true;
    for (size_t i = 0; i < k; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        finite = finite && isfinite(x[i]);
    }
    *row = lutra_row_i8_of(low, high, finite, &inverse);
    memset(out, 0, padded);
    for (size_t i = 0; finite && i < k; i++) {
        const long a = lrintf(x[i] * inverse) + row->zero;
        out[i] = (uint8_t)(a < 0 ? 0 : a > 255 ? 255 : a);
    }
}

void lutra_unpack_panel_i8_reference(const lutra_index_layout *layout, const uint8_t *block,
                                     const int8_t *codebook, lutra_panel_i8 *panel)
{
    memset(panel->sums, 0, sizeof panel->sums);
    for (size_t k = 0; k < layout->k_padded; k += LUTRA_TILE_INPUTS) {
        uint8_t tile[LUTRA_TILE_LANES];
        lutra_unpack_tile(layout, block, k / LUTRA_TILE_INPUTS, tile);
        for (size_t lane = 0; lane < LUTRA_TILE_LANES; lane++) {
            const int8_t w = codebook[tile[lane]];
            panel->tiles[k * LUTRA_PANEL + lane] = w;
            if (k + lane % LUTRA_TILE_INPUTS < layout->k)
                panel->sums[lane / LUTRA_TILE_INPUTS] += w;
        }
    }
}

void lutra_multiply_i8_reference(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                                 size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n_panels * LUTRA_PANEL; j++) {
            const lutra_panel_i8 *panel = &panels[j / LUTRA_PANEL];
            const size_t output = j % LUTRA_PANEL;
            int32_t sum = -rows[i].zero * panel->sums[output];
            for (size_t l = 0; l < k; l++)
                sum += a[i * lda + l] * panel->tiles[lutra_tile_byte_i8(l, output)];
            c[i * ldc + j] = (float)sum * rows[i].scale;
        }
    }
}

void lutra_multiply_finish_i8_reference(size_t m, size_t k, const uint8_t *a, size_t lda,
                                        const lutra_row_i8 *rows, size_t n_panels,
                                        const lutra_panel_i8 *panels, const lutra_columns *columns,
                                        const lutra_outputs *out)
{
    float tile[LUTRA_TILE_ROWS_I8 * LUTRA_TILE_PANELS_I8 * LUTRA_PANEL];
    const size_t ldt = LUTRA_TILE_PANELS_I8 * LUTRA_PANEL;
    lutra_multiply_i8_reference(m, k, a, lda, rows, n_panels, panels, tile, ldt);
    lutra_finish_f32_reference(columns, m, out->n, tile, ldt, out->c, out->ldc, out->residual, out->ldr);
}
