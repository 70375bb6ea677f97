/* SPDX-License-Identifier: Apache-2.0 */
/* layer_norm_row_f32 for any level with vectors: included by the level's file after its vectors. */
#include <math.h>

#include "kernels/table.h"

/* Several sums at once, because one would wait for its own additions. */
#define N_SUMS ((size_t)4)

void LUTRA_OF_LEVEL(layer_norm_row_f32)(size_t dim, const float *x, const float *gamma, const float *beta,
                                        float eps, float *y)
{
    const size_t whole = dim / VECTOR_WIDTH * VECTOR_WIDTH, step = N_SUMS * VECTOR_WIDTH,
                 fast = dim / step * step;
    vector sums[N_SUMS] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
    float rest = 0;
    for (size_t i = 0; i < fast; i += step) {
        LUTRA_UNROLL
        for (size_t j = 0; j < N_SUMS; j++)
            sums[j] = v_add(sums[j], v_load(x + i + j * VECTOR_WIDTH));
    }
    for (size_t i = fast; i < whole; i += VECTOR_WIDTH)
        sums[0] = v_add(sums[0], v_load(x + i));
    for (size_t i = whole; i < dim; i++)
        rest += x[i];
    const float mean = (v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3]))) + rest) / (float)dim;

    /* The deviations themselves, and not the mean of squares less the square of the mean, which would cancel.
     */
    const vector means = v_set(mean);
    LUTRA_UNROLL
    for (size_t j = 0; j < N_SUMS; j++)
        sums[j] = v_set(0.0f);
    rest = 0;
    for (size_t i = 0; i < fast; i += step) {
        LUTRA_UNROLL
        for (size_t j = 0; j < N_SUMS; j++) {
            const vector d = v_subtract(v_load(x + i + j * VECTOR_WIDTH), means);
            sums[j] = v_multiply_add(d, d, sums[j]);
        }
    }
    for (size_t i = fast; i < whole; i += VECTOR_WIDTH) {
        const vector d = v_subtract(v_load(x + i), means);
        sums[0] = v_multiply_add(d, d, sums[0]);
    }
    for (size_t i = whole; i < dim; i++)
        rest += (x[i] - mean) * (x[i] - mean);
    const float squares = v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3]))) + rest;
    if (!isfinite(squares)) { /* what a double holds, too: else every row would become beta */
        lutra_layer_norm_row_f32_reference(dim, x, gamma, beta, eps, y);
        return;
    }

    const float factor = 1.0f / sqrtf(squares / (float)dim + eps);
    const vector factors = v_set(factor);
    for (size_t i = 0; i < whole; i += VECTOR_WIDTH) {
        const vector d = v_multiply(v_subtract(v_load(x + i), means), factors);
        v_store(y + i, v_multiply_add(d, v_load(gamma + i), v_load(beta + i)));
    }
    for (size_t i = whole; i < dim; i++)
        y[i] = (x[i] - mean) * factor * gamma[i] + beta[i];
}
