/* SPDX-License-Identifier: Apache-2.0 */
/* What a block of keys changes in the softmax of a row, for any level's softmax. */
#ifndef LUTRA_KERNELS_ATTENTION_RUNNING_H
#define LUTRA_KERNELS_ATTENTION_RUNNING_H

#include <float.h>
#include <math.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

/* `max` is that of all blocks so far, `sum` this block's. The first block has nothing to correct, nor has one
 * without a new maximum. */
LUTRA_INLINE void lutra_softmax_carry_on(lutra_softmax *running, float scale, float max, float sum)
{
    running->correction = running->max == max        ? 1.0f
                          : running->max == -FLT_MAX ? 0.0f
                                                     : expf((running->max - max) * scale);
    if (max == -FLT_MAX) /* nothing but -Inf so far, and so no probabilities, or NaNs */
        sum *= 0;
    running->sum = running->sum * running->correction + sum;
    running->max = max;
}

#endif
