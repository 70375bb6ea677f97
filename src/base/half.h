/* SPDX-License-Identifier: Apache-2.0 */
/* 16-bit floats as f32, exactly; also where the CPU has no instruction for it. */
#ifndef LUTRA_BASE_HALF_H
#define LUTRA_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float lutra_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float lutra_bf16_to_f32(uint16_t half)
{
    return lutra_float_of_bits((uint32_t)half << 16);
}

/* IEEE 754 binary16. */
static inline float lutra_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) /* infinity or NaN: the largest exponent in both formats */
        return lutra_float_of_bits(sign | 0x7f800000u | magnitude << 13);
    /* As the bits of an f32 the exponent is 112 too small; a product corrects it, for denormals too. */
    const float value = lutra_float_of_bits(magnitude << 13) * 0x1p112f;
    return sign ? -value : value;
}

#endif
