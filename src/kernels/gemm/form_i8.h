/* SPDX-License-Identifier: Apache-2.0 */
/* 8-bit products in whatever form a level wants its operands (lutra_form_i8). */
#ifndef LUTRA_KERNELS_GEMM_FORM_I8_H
#define LUTRA_KERNELS_GEMM_FORM_I8_H

#include "kernels/gemm/pair_i8.h"
#include "kernels/table.h"

/* Rows of a tile. */
static inline size_t lutra_form_rows_i8(lutra_form_i8 form)
{
    return form == LUTRA_ORDERED_I8  ? LUTRA_GROUP_ROWS
           : form == LUTRA_PAIRED_I8 ? LUTRA_TILE_ROWS_PAIRED_I8
                                     : LUTRA_TILE_ROWS_I8;
}

/* Rows that stay together. */
static inline size_t lutra_form_unit_i8(lutra_form_i8 form)
{
    return form == LUTRA_ORDERED_I8 ? LUTRA_GROUP_ROWS : form == LUTRA_PAIRED_I8 ? 2 : 1;
}

/* A tile's rows times panels, as multiply_i8 has it; `a` in the form, `lda` apart (of a group: nothing counts
 * on it). */
static inline void lutra_multiply_form_i8(const lutra_kernels *kernels, lutra_form_i8 form, size_t m,
                                          size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                                          size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    switch (form) {
    case LUTRA_PLAIN_I8:
        kernels->multiply_i8(m, k, a, lda, rows, n_panels, panels, c, ldc);
        break;
    case LUTRA_ORDERED_I8:
        kernels->multiply_ordered_i8(m, k, a, rows, n_panels, panels, c, ldc);
        break;
    case LUTRA_PAIRED_I8:
        kernels->multiply_pairs_i8(m, k, a, lda, rows, n_panels, panels, c, ldc);
        break;
    }
}

/* `m` <= lutra_form_rows_i8 rows of `n` bytes, n a multiple of 64 and `n` apart, brought to the form: in
 * `out`, of as many whole groups or pairs, `n` apart too, or where they are. `rows` has room for whole groups
 * and pairs. */
static inline const uint8_t *lutra_arrange_rows_i8(const lutra_kernels *kernels, size_t m, size_t n,
                                                   uint8_t *rows, uint8_t *out)
{
    switch (kernels->form_i8) {
    case LUTRA_ORDERED_I8:
        kernels->group_rows_i8(n, rows, n, out);
        return out;
    case LUTRA_PAIRED_I8:
        if (m % 2)
            memset(rows + m * n, 0, n); /* it has no partner */
        for (size_t i = 0; i < m; i += 2)
            lutra_pair_rows_i8(n, rows + i * n, rows + (i + 1) * n, out + i * n);
        return out;
    default:
        return rows;
    }
}

#endif
