/* SPDX-License-Identifier: Apache-2.0 */
/* How a row of activations becomes 8 bits; the same arithmetic, in the same order, on every level. */
#ifndef LUTRA_KERNELS_GEMM_ROW_I8_H
#define LUTRA_KERNELS_GEMM_ROW_I8_H

#include <math.h>
#include <stdint.h>

/* x is about scale * (a - zero), a and zero in 0..255. */
typedef struct lutra_row_i8 {
    float scale;
    int32_t zero;
} lutra_row_i8;

/* Of numbers in low..high, low <= 0 <= high, so that 0 is met exactly: a = round(x * *inverse) + zero, at
 * least 0 and at most 255. A row that is not finite gets a scale of NaN, as its products would be in f32. */
static inline lutra_row_i8 lutra_row_i8_of(float low, float high, bool finite, float *inverse)
{
    const float scale = high * (1.0f / 255) - low * (1.0f / 255); /* high - low may overflow */
    *inverse = 0;
    if (!finite)
        return (lutra_row_i8){.scale = NAN};
    if (!(scale >= 0x1p-110f)) /* the inverse would overflow: as good as nothing but zeros */
        return (lutra_row_i8){0};
    *inverse = 1.0f / scale;
    const long zero = lrintf(-low * *inverse);
    return (lutra_row_i8){.scale = scale, .zero = (int32_t)(zero < 255 ? zero : 255)};
}

#endif
