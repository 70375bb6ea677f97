/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define STEP ((size_t)16) /* numbers that fill one vector of bytes */

/* 16 numbers, rounded to even and shifted; narrowing brings them to 0..255. */
LUTRA_INLINE uint8x16_t quantise(const float *x, float32x4_t inverse, int32x4_t zero)
{
    int16x4_t part[4];
    LUTRA_UNROLL
    for (size_t i = 0; i < 4; i++)
        part[i] = vqmovn_s32(vaddq_s32(vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 4 * i), inverse)), zero));
    return vcombine_u8(vqmovun_s16(vcombine_s16(part[0], part[1])),
                       vqmovun_s16(vcombine_s16(part[2], part[3])));
}

void lutra_quantise_row_i8_neon(size_t k, size_t padded, const float *x, uint8_t *out, lutra_row_i8 *row)
{
    const size_t whole = k / STEP * STEP;
    float32x4_t low = vdupq_n_f32(0), high = low, difference = low;
    float inverse, rest[STEP] = {0};
    memcpy(rest, x + whole, (k - whole) * sizeof *x);
    for (size_t i = 0; i < k; i += STEP) {
        const float *from = i < whole ? x + i : rest;
        LUTRA_UNROLL
        for (size_t j = 0; j < STEP; j += 4) {
            const float32x4_t v = vld1q_f32(from + j);
            low = vminq_f32(low, v);
            high = vmaxq_f32(high, v);
            difference = vaddq_f32(difference, vsubq_f32(v, v)); /* 0, or not a number for ever */
        }
    }
    const bool finite = vminvq_u32(vceqq_f32(difference, difference)) != 0;
    *row = lutra_row_i8_of(vminvq_f32(low), vmaxvq_f32(high), finite, &inverse);
    memset(out + whole, 0, padded - whole);
    if (!finite) {
        memset(out, 0, whole);
        return;
    }
    const float32x4_t factor = vdupq_n_f32(inverse);
    const int32x4_t zero = vdupq_n_s32(row->zero);
    for (size_t i = 0; i < whole; i += STEP)
        vst1q_u8(out + i, quantise(x + i, factor, zero));
    if (whole < k) {
        uint8_t bytes[STEP];
        vst1q_u8(bytes, quantise(rest, factor, zero));
        memcpy(out + whole, bytes, k - whole);
    }
}
