/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

void lutra_patch_row_f32_reference(size_t n, const uint8_t *pixels, const float *scale, const float *shift,
                                   float *out, size_t plane)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            out[c * plane + i] = (float)pixels[3 * i + c] * scale[c] + shift[c];
}
