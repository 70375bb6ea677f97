/* SPDX-License-Identifier: Apache-2.0 */
/* finish_f32 for any level with vectors: included by the level's file after its vectors. */
#include "kernels/table.h"
#include "kernels/vector/functions.h"

LUTRA_INLINE vector activate(vector x, const lutra_activation activation)
{
    return activation == LUTRA_GELU_ERF ? v_gelu_erf(x) : activation == LUTRA_GELU_TANH ? v_gelu_tanh(x) : x;
}

LUTRA_INLINE void finish_tile(const lutra_columns *columns, const lutra_activation activation, size_t m,
                              size_t n, const float *tile, size_t ldt, float *c, size_t ldc,
                              const float *residual, size_t ldr)
{
    for (size_t j = 0; j < n; j += VECTOR_WIDTH) {
        const vector scale = v_load(columns->scale + j), bias = v_load(columns->bias + j);
        const vector layer_scale = v_load(columns->layer_scale + j);
        const size_t width = n - j;
        for (size_t i = 0; i < m; i++) {
            vector y = activate(v_multiply_add(v_load(tile + i * ldt + j), scale, bias), activation);
            if (width >= VECTOR_WIDTH) {
                y = residual ? v_multiply_add(y, layer_scale, v_load(residual + i * ldr + j))
                             : v_multiply(y, layer_scale);
                v_store(c + i * ldc + j, y);
            } else {
                y = residual ? v_multiply_add(y, layer_scale, v_load_part(residual + i * ldr + j, width))
                             : v_multiply(y, layer_scale);
                v_store_part(c + i * ldc + j, y, width);
            }
        }
    }
}

void LUTRA_OF_LEVEL(finish_f32)(const lutra_columns *columns, size_t m, size_t n, const float *tile,
                                size_t ldt, float *c, size_t ldc, const float *residual, size_t ldr)
{
    switch (columns->activation) {
    case LUTRA_GELU_ERF:
        finish_tile(columns, LUTRA_GELU_ERF, m, n, tile, ldt, c, ldc, residual, ldr);
        return;
    case LUTRA_GELU_TANH:
        finish_tile(columns, LUTRA_GELU_TANH, m, n, tile, ldt, c, ldc, residual, ldr);
        return;
    case LUTRA_IDENTITY:
        finish_tile(columns, LUTRA_IDENTITY, m, n, tile, ldt, c, ldc, residual, ldr);
        return;
    }
}
