/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of one to six rows, each of a number of rows that the compiler knows. Included after multiply_tile(m,
 * k, a, lda, rows, panel, c, ldc), which multiplies `m` rows by one panel. */
#define ROWS(m)                                                                                              \
    case m:                                                                                                  \
        multiply_tile(m, k, a, lda, rows, panel, c, ldc);                                                    \
        return;

static void multiply_rows(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                          const lutra_panel_i8 *panel, float *c, size_t ldc)
{
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
    }
}
