/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/table.h"

void lutra_softmax_f32_reference(size_t n, float scale, float *scores, lutra_softmax *running)
{
    float max = running->max;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmaxf(max, scores[i] * scale);
    for (size_t i = 0; i < n; i++) {
        scores[i] = expf(scores[i] * scale - max);
        sum += (double)scores[i];
    }
    running->correction = expf(running->max - max);
    running->sum = running->sum * running->correction + (float)sum;
    running->max = max;
}
