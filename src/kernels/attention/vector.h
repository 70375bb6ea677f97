/* SPDX-License-Identifier: Apache-2.0 */
/* softmax_f32 for any level with vectors: included by the level's file after its vectors. */
#include <float.h>
#include <math.h>

#include "kernels/table.h"
#include "kernels/vector/functions.h"

void LUTRA_OF_LEVEL(softmax_f32)(size_t n, float scale, float *scores, lutra_softmax *running)
{
    const vector factor = v_set(scale);
    vector max = v_set(running->max), sum = v_set(0.0f);
    /* What fills the last vector up counts as infinitely little. */
    for (size_t i = n; i % VECTOR_WIDTH; i++)
        scores[i] = -FLT_MAX;
    for (size_t i = 0; i < n; i += VECTOR_WIDTH)
        max = v_max(max, v_multiply(v_load(scores + i), factor));
    const float new_max = v_largest(max);
    max = v_set(new_max);
    for (size_t i = 0; i < n; i += VECTOR_WIDTH) {
        const vector e = v_exp(v_subtract(v_multiply(v_load(scores + i), factor), max));
        v_store(scores + i, e);
        sum = v_add(sum, e);
    }
    running->correction = expf(running->max - new_max);
    running->sum = running->sum * running->correction + v_sum(sum);
    running->max = new_max;
}
