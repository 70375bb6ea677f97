/* SPDX-License-Identifier: Apache-2.0 */
/* softmax_f32 for any level with vectors: included by the level's file after its vectors. */
#include <float.h>
#include <math.h>

#include "kernels/attention/running.h"
#include "kernels/table.h"
#include "kernels/vector/functions.h"

#define LOG2_E 0x1.715476p+0f
#define N_SUMS ((size_t)4)

/* e^(scale x) = 2^(x factor), factor = scale log2 e, x = score - max, a difference before anything is
 * rounded: e of the maximum is 1 whatever its size. x is at least `least`, for below 2^-125 a softmax has
 * nothing left; it comes second, because of a number and a NaN x86 takes what does. */
LUTRA_INLINE vector exponentiate(const float *scores, vector factor, vector least, vector max)
{
    return v_exp2_product(v_max(least, v_subtract(v_load(scores), max)), factor);
}

static float largest(size_t n, float *scores)
{
    const size_t step = N_SUMS * VECTOR_WIDTH, fast = n / step * step;
    vector part[N_SUMS]; /* several at once, because one would wait for itself */
    /* What fills the last vector up counts as infinitely little. */
    for (size_t i = n; i % VECTOR_WIDTH; i++)
        scores[i] = -FLT_MAX;
    LUTRA_UNROLL
    for (size_t j = 0; j < N_SUMS; j++)
        part[j] = v_set(-FLT_MAX);
    for (size_t i = 0; i < fast; i += step) {
        LUTRA_UNROLL
        for (size_t j = 0; j < N_SUMS; j++)
            part[j] = v_max(part[j], v_load(scores + i + j * VECTOR_WIDTH));
    }
    for (size_t i = fast; i < n; i += VECTOR_WIDTH)
        part[0] = v_max(part[0], v_load(scores + i));
    return v_largest(v_max(v_max(part[0], part[1]), v_max(part[2], part[3])));
}

/* The sum of what the scores became. */
static float exponentiate_row(size_t n, vector factor, vector least, vector max, float *scores)
{
    const size_t step = N_SUMS * VECTOR_WIDTH, fast = n / step * step;
    vector part[N_SUMS];
    LUTRA_UNROLL
    for (size_t j = 0; j < N_SUMS; j++)
        part[j] = v_set(0.0f);
    for (size_t i = 0; i < fast; i += step) {
        LUTRA_UNROLL
        for (size_t j = 0; j < N_SUMS; j++) {
            const vector e = exponentiate(scores + i + j * VECTOR_WIDTH, factor, least, max);
            v_store(scores + i + j * VECTOR_WIDTH, e);
            part[j] = v_add(part[j], e);
        }
    }
    for (size_t i = fast; i < n; i += VECTOR_WIDTH) {
        const vector e = exponentiate(scores + i, factor, least, max);
        v_store(scores + i, e);
        part[0] = v_add(part[0], e);
    }
    return v_sum(v_add(v_add(part[0], part[1]), v_add(part[2], part[3])));
}

void LUTRA_OF_LEVEL(softmax_f32)(size_t m, size_t n, float scale, float *scores, size_t ld,
                                 lutra_softmax *running)
{
    float max[LUTRA_MAX_TILE_ROWS];
    const vector factor = v_set(scale * LOG2_E), least = v_set(-125.0f / (scale * LOG2_E));
    for (size_t i = 0; i < m; i++)
        max[i] = fmaxf(running[i].max, largest(n, scores + i * ld));
    for (size_t i = 0; i < m; i++)
        lutra_softmax_carry_on(&running[i], scale, max[i],
                               exponentiate_row(n, factor, least, v_set(max[i]), scores + i * ld));
}
