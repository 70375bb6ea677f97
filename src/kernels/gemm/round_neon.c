/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define STEP ((size_t)4)

/* As lutra_bits_of_bf16. */
LUTRA_INLINE uint32x4_t rounded(uint32x4_t bits)
{
    const uint32x4_t magnitude = vandq_u32(bits, vdupq_n_u32(0x7fffffffu));
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t nearest = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x00400000u));
    const uint32x4_t no_number = vcgtq_u32(magnitude, vdupq_n_u32(0x7f800000u));
    const uint32x4_t normal = vcgeq_u32(magnitude, vdupq_n_u32(0x00800000u));
    const uint32x4_t result = vandq_u32(vbslq_u32(no_number, quiet, nearest), vdupq_n_u32(0xffff0000u));
    return vandq_u32(result, vorrq_u32(normal, vdupq_n_u32(0x80000000u)));
}

void lutra_round_bf16_neon(size_t n, const float *x, float *out)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        vst1q_f32(out + i, vreinterpretq_f32_u32(rounded(vreinterpretq_u32_f32(vld1q_f32(x + i)))));
    if (i < n) {
        float rest[STEP] = {0};
        memcpy(rest, x + i, (n - i) * sizeof *x);
        vst1q_f32(rest, vreinterpretq_f32_u32(rounded(vreinterpretq_u32_f32(vld1q_f32(rest)))));
        memcpy(out + i, rest, (n - i) * sizeof *x);
    }
}
