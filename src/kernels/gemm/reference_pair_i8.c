/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm/pair_i8.h"

#include "kernels/table.h"

void lutra_pair_panel_i8_reference(size_t n_tiles, const int8_t *tiles, int8_t *pairs)
{
    for (size_t t = 0; t < n_tiles; t += 2) {
        int8_t pair[2 * LUTRA_TILE_LANES] = {0};
        for (size_t i = 0; i < LUTRA_PAIR_INPUTS && t + i / LUTRA_TILE_INPUTS < n_tiles; i++)
            for (size_t output = 0; output < LUTRA_PANEL; output++)
                pair[lutra_pair_byte_i8(i, output)] =
                    tiles[lutra_tile_byte_i8(t * LUTRA_TILE_INPUTS + i, output)];
        memcpy(pairs + t * LUTRA_TILE_LANES, pair, sizeof pair);
    }
}

void lutra_multiply_pairs_i8_reference(size_t m, size_t k, const uint8_t *a, size_t lda,
                                       const lutra_row_i8 *rows, size_t n_panels,
                                       const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        const uint8_t *row = a + i / 2 * 2 * lda + i % 2 * LUTRA_PAIR_INPUTS;
        for (size_t j = 0; j < n_panels * LUTRA_PANEL; j++) {
            const lutra_panel_i8 *panel = &panels[j / LUTRA_PANEL];
            const size_t output = j % LUTRA_PANEL;
            int32_t sum = -rows[i].zero * panel->sums[output];
            for (size_t l = 0; l < k; l++)
                sum += row[2 * (l / LUTRA_PAIR_INPUTS * LUTRA_PAIR_INPUTS) + l % LUTRA_PAIR_INPUTS] *
                       panel->tiles[lutra_pair_byte_i8(l, output)];
            c[i * ldc + j] = (float)sum * rows[i].scale;
        }
    }
}
