/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/table.h"

void lutra_layer_norm_row_f32_reference(size_t dim, const float *x, const float *gamma, const float *beta,
                                        float eps, float *y)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)x[i];
    const double mean = sum / (double)dim;
    for (size_t i = 0; i < dim; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double factor = 1.0 / sqrt(squares / (double)dim + (double)eps);
    for (size_t i = 0; i < dim; i++)
        y[i] = (float)(((double)x[i] - mean) * factor * (double)gamma[i] + (double)beta[i]);
}
