/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multiply_f32 for any level with vectors: included by the level's file after its vectors and TILE_ROWS,
 * TILE_PANELS and BASE_ROWS.
 */
#include "kernels/table.h"

#define PANEL_VECTORS (LUTRA_PANEL / VECTOR_WIDTH)
#define TILE_VECTORS (TILE_PANELS * PANEL_VECTORS)
/* Rows are addressed as a few base pointers plus 0..4 times lda, which x86 does within the instruction; a
 * pointer for each row would not fit the registers. */
#define N_BASES ((TILE_ROWS + BASE_ROWS - 1) / BASE_ROWS)

/* Called with constants for m and n_panels: all loops but that over k vanish, and `sum` lives in registers.
 */
LUTRA_INLINE void multiply_tile(const size_t m, const size_t n_panels, size_t k, const float *a, size_t lda,
                                const float *panels, size_t panel_stride, float *c, size_t ldc)
{
    const size_t n_vectors = n_panels * PANEL_VECTORS;
    const float *base[N_BASES];
    vector sum[TILE_ROWS][TILE_VECTORS];
    LUTRA_UNROLL
    for (size_t i = 0; i < N_BASES; i++)
        base[i] = a + (i * BASE_ROWS < m ? i * BASE_ROWS * lda : 0);
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        LUTRA_UNROLL
        for (size_t j = 0; j < n_vectors; j++)
            sum[i][j] = v_set(0.0f);
    }
    for (size_t l = 0; l < k; l++) {
        vector w[TILE_VECTORS];
        LUTRA_UNROLL
        for (size_t j = 0; j < n_vectors; j++)
            w[j] = v_load(panels + j / PANEL_VECTORS * panel_stride + l * LUTRA_PANEL +
                          j % PANEL_VECTORS * VECTOR_WIDTH);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const vector x = v_set(base[i / BASE_ROWS][i % BASE_ROWS * lda]);
            LUTRA_UNROLL
            for (size_t j = 0; j < n_vectors; j++)
                sum[i][j] = v_multiply_add(x, w[j], sum[i][j]);
        }
        LUTRA_UNROLL
        for (size_t i = 0; i < N_BASES; i++)
            base[i]++;
    }
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        LUTRA_UNROLL
        for (size_t j = 0; j < n_vectors; j++)
            v_store(c + i * ldc + j * VECTOR_WIDTH, sum[i][j]);
    }
}

#define ROWS(m, n_panels)                                                                                    \
    case m:                                                                                                  \
        multiply_tile(m, n_panels, k, a, lda, panels, panel_stride, c, ldc);                                 \
        return;
