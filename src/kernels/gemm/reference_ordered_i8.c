/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

void lutra_group_rows_i8_reference(size_t n, const uint8_t *rows, size_t ld, uint8_t *group)
{
    for (size_t k = 0; k < n; k++)
        for (size_t row = 0; row < LUTRA_GROUP_ROWS; row++)
            group[lutra_group_byte_i8(k, row)] = rows[row * ld + k];
}

void lutra_multiply_ordered_i8_reference(size_t m, size_t k, const uint8_t *group, const lutra_row_i8 *rows,
                                         size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n_panels * LUTRA_PANEL; j++) {
            const lutra_panel_i8 *panel = &panels[j / LUTRA_PANEL];
            int32_t sum = -rows[i].zero * panel->sums[j % LUTRA_PANEL];
            for (size_t l = 0; l < k; l++)
                sum +=
                    group[lutra_group_byte_i8(l, i)] * panel->tiles[lutra_tile_byte_i8(l, j % LUTRA_PANEL)];
            c[i * ldc + j] = (float)sum * rows[i].scale;
        }
    }
}
