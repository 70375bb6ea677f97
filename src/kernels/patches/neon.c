/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define STEP ((size_t)16) /* pixels that one load takes apart into channels */

LUTRA_INLINE void store_4(uint16x4_t pixels, float32x4_t factor, float32x4_t offset, float *out)
{
    vst1q_f32(out, vfmaq_f32(offset, vcvtq_f32_u32(vmovl_u16(pixels)), factor));
}

LUTRA_INLINE void split(const uint8_t *pixels, const float *scale, const float *shift, float *out,
                        size_t plane)
{
    const uint8x16x3_t channels = vld3q_u8(pixels);
    LUTRA_UNROLL
    for (size_t c = 0; c < 3; c++) {
        const float32x4_t factor = vdupq_n_f32(scale[c]), offset = vdupq_n_f32(shift[c]);
        const uint16x8_t low = vmovl_u8(vget_low_u8(channels.val[c]));
        const uint16x8_t high = vmovl_u8(vget_high_u8(channels.val[c]));
        store_4(vget_low_u16(low), factor, offset, out + c * plane);
        store_4(vget_high_u16(low), factor, offset, out + c * plane + 4);
        store_4(vget_low_u16(high), factor, offset, out + c * plane + 8);
        store_4(vget_high_u16(high), factor, offset, out + c * plane + 12);
    }
}

void lutra_patch_row_f32_neon(size_t n, const uint8_t *pixels, const float *scale, const float *shift,
                              float *out, size_t plane)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        split(pixels + 3 * i, scale, shift, out + i, plane);
    if (i < n) {
        uint8_t rest[3 * STEP] = {0};
        float values[3 * STEP];
        memcpy(rest, pixels + 3 * i, 3 * (n - i));
        split(rest, scale, shift, values, STEP);
        for (size_t c = 0; c < 3; c++)
            memcpy(out + c * plane + i, values + c * STEP, (n - i) * sizeof *out);
    }
}
