/* SPDX-License-Identifier: Apache-2.0 */
/* 16-bit floats as f32, exactly, and f32 rounded to them (to nearest, ties to even); also where the CPU has
 * no instruction for it. */
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
    /* As the bits of an f32 the exponent is 112 too small, which a product corrects. Denormals would be ones
     * of an f32 too, and these may count as 0 where the host has set its processor so. */
    const float value = magnitude < 0x0400u ? (float)(int)magnitude * 0x1p-24f
                                            : lutra_float_of_bits(magnitude << 13) * 0x1p112f;
    return sign ? -value : value;
}

static inline uint32_t lutra_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* `value` is finite; the result is infinite where it is too large. */
static inline uint16_t lutra_f32_to_bf16(float value)
{
    const uint32_t bits = lutra_bits_of_float(value);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

/* As above. */
static inline uint16_t lutra_f32_to_f16(float value)
{
    const uint32_t bits = lutra_bits_of_float(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x477ff000u) /* 65520, halfway to what would be the next number */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude <
        0x38800000u) { /* below 2^-14: adding 1/2 leaves multiples of 2^-24, rounded, in the fraction */
        const float sum = lutra_float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (lutra_bits_of_float(sum) - 0x3f000000u));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13);
}

#endif
