/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/gemm/dense.h"
#include "kernels/table.h"

void lutra_unpack_panel_f32_reference(const lutra_index_layout *layout, const uint8_t *block,
                                      const float *codebook, bool codebook_is_i8, float *panel)
{
    (void)codebook_is_i8; /* for levels that have a faster way then */
    for (size_t k = 0; k < layout->k_padded; k += LUTRA_TILE_INPUTS) {
        uint8_t tile[LUTRA_TILE_LANES];
        lutra_unpack_tile(layout, block, k / LUTRA_TILE_INPUTS, tile);
        for (size_t i = 0; i < LUTRA_TILE_INPUTS; i++)
            for (size_t output = 0; output < LUTRA_PANEL; output++)
                panel[(k + i) * LUTRA_PANEL + output] = codebook[tile[output * LUTRA_TILE_INPUTS + i]];
    }
}

void lutra_pack_panel_f32_reference(const void *rows, lutra_dtype dtype, size_t ld, size_t n_rows, size_t k,
                                    float *panel)
{
    for (size_t i = 0; i < k; i++)
        for (size_t row = 0; row < LUTRA_PANEL; row++)
            panel[i * LUTRA_PANEL + row] =
                row < n_rows ? lutra_dense_element(rows, dtype, row * ld + i) : 0.0f;
}

void lutra_multiply_f32_reference(size_t m, size_t k, const float *a, size_t lda, size_t n_panels,
                                  const float *panels, size_t panel_stride, float *c, size_t ldc)
{
    for (size_t row = 0; row < m; row++) {
        for (size_t p = 0; p < n_panels; p++) {
            float sum[LUTRA_PANEL] = {0};
            for (size_t i = 0; i < k; i++)
                for (size_t j = 0; j < LUTRA_PANEL; j++)
                    sum[j] += a[row * lda + i] * panels[p * panel_stride + i * LUTRA_PANEL + j];
            for (size_t j = 0; j < LUTRA_PANEL; j++)
                c[row * ldc + p * LUTRA_PANEL + j] = sum[j];
        }
    }
}

/* Hendrycks and Gimpel 2016: x Phi(x), and the approximation through tanh that they give beside it. */
static double activate(double x, lutra_activation activation)
{
    switch (activation) {
    case LUTRA_GELU_ERF:
        return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
    case LUTRA_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case LUTRA_IDENTITY:
        break;
    }
    return x;
}

void lutra_finish_f32_reference(const lutra_columns *columns, size_t m, size_t n, const float *tile,
                                size_t ldt, float *c, size_t ldc, const float *residual, size_t ldr)
{
    for (size_t row = 0; row < m; row++) {
        for (size_t j = 0; j < n; j++) {
            const double x =
                (double)tile[row * ldt + j] * (double)columns->scale[j] + (double)columns->bias[j];
            double y = activate(x, columns->activation) * (double)columns->layer_scale[j];
            if (residual)
                y += (double)residual[row * ldr + j];
            c[row * ldc + j] = (float)y;
        }
    }
}
